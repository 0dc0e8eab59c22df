// spec/inference.md section 1.
namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>Embeddings from a language model: the mean over all tokens of its last layer, of length 1.</summary>
/// <remarks>Has a context of its own, made when it is first needed; one request at a time, the others wait.</remarks>
internal sealed class Embedder(LlamaModel model, Func<ContextHandle> createContext, int waitingMax) : IAsyncDisposable
{
    private readonly SemaphoreSlim turn = new(1);
    private ContextHandle? context;
    private int present;
    private volatile bool isStopping;

    /// <summary>Takes a seat; false where too many wait already.</summary>
    public bool TryEnter()
    {
        if (isStopping)
            return false;
        if (Interlocked.Increment(ref present) <= 1 + waitingMax)
            return true;
        Interlocked.Decrement(ref present);
        return false;
    }

    /// <summary>Gives the seat back.</summary>
    public void Leave() => Interlocked.Decrement(ref present);

    /// <summary>Computes the embedding of each input, in turn with other requests.</summary>
    /// <param name="inputs">Tokens, one at the least each.</param>
    /// <param name="decoded">Told of the tokens that were computed.</param>
    /// <param name="cancellation">Takes effect between two decodes.</param>
    /// <exception cref="InferenceException">The engine failed.</exception>
    public async Task<float[][]> ComputeAsync(IReadOnlyList<int[]> inputs, Action<int> decoded, CancellationToken cancellation)
    {
        await turn.WaitAsync(cancellation);
        try
        {
            return await Task.Run(() => inputs.Select(tokens => Compute(tokens, decoded, cancellation)).ToArray(), cancellation);
        }
        finally
        {
            turn.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        isStopping = true;
        await turn.WaitAsync();
        context?.Dispose();
        context = null;
        turn.Release();
    }

    private float[] Compute(int[] tokens, Action<int> decoded, CancellationToken cancellation)
    {
        if (isStopping)
            throw new InferenceException(InferenceFailure.Failed, "The engine was stopped.");
        context ??= createContext();
        var memory = LlamaNative.Memory(context);
        var sum = new double[LlamaNative.EmbeddingSize(model.Handle)];
        try
        {
            for (var start = 0; start < tokens.Length; start += DecodeLoop.BatchMax)
            {
                cancellation.ThrowIfCancellationRequested();
                if (isStopping)
                    throw new InferenceException(InferenceFailure.Failed, "The engine was stopped.");
                var count = Math.Min(DecodeLoop.BatchMax, tokens.Length - start);
                Decode(tokens.AsSpan(start, count), sum);
                decoded(count);
            }
        }
        finally
        {
            LlamaNative.RemoveSequence(memory, -1, -1, -1);
        }

        var length = Math.Sqrt(sum.Sum(value => value * value)); // the mean's direction is the sum's
        if (!double.IsFinite(length) || length == 0)
            throw new InferenceException(InferenceFailure.Failed, "The model computed an embedding without a direction.");
        return [.. sum.Select(value => (float)(value / length))];
    }

    private unsafe void Decode(ReadOnlySpan<int> tokens, double[] sum)
    {
        Span<byte> outputs = stackalloc byte[tokens.Length];
        outputs.Fill(1);
        fixed (int* first = tokens)
        fixed (byte* output = outputs)
        {
            // Without positions and sequences the tokens follow those before them, in sequence 0.
            var result = LlamaNative.Decode(context!, new LlamaNative.Batch { Count = tokens.Length, Tokens = first, Outputs = output });
            if (result != 0)
                throw new InferenceException(InferenceFailure.Failed, $"llama_decode failed with {result}.");
        }

        for (var i = 0; i < tokens.Length; i++)
        {
            var embedding = LlamaNative.EmbeddingOf(context!, i);
            if (embedding is null)
                throw new InferenceException(InferenceFailure.Failed, "The model has no embedding for a token.");
            for (var j = 0; j < sum.Length; j++)
                sum[j] += embedding[j];
        }
    }
}
