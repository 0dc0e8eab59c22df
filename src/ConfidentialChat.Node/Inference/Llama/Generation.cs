using System.Threading.Channels;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>One request on its way through the decode loop: the prompt, the samplers, and the text as it comes.</summary>
/// <remarks>The loop's thread drives it; one reader takes the text. Nothing else is shared between the two.</remarks>
internal sealed class Generation : IDisposable
{
    // Pieces of text that may wait for the reader. With more, the sequence is passed over until some are read.
    private const int WaitingTextMax = 64;

    private readonly int[] prompt;
    private readonly SamplerHandle samplers;
    private readonly AnswerText text;
    private readonly long completionMax;

    // A token adds one piece, and the last one can add the rest as another: writes never find the channel full.
    private readonly Channel<string> pieces = Channel.CreateBounded<string>(new BoundedChannelOptions(WaitingTextMax + 2)
    {
        SingleWriter = true,
        AllowSynchronousContinuations = false,
    });

    private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private byte[] piece = new byte[64];
    private int prefilled;
    private long completed;
    private int nextToken = LlamaNative.NoToken;
    private volatile bool waitsForReader;
    private volatile string? finishReason;

    public Generation(LlamaModel model, IReadOnlyList<int> prompt, GenerationRequest request, long completionMax)
    {
        this.prompt = [.. prompt];
        text = new AnswerText(request.Stops);
        this.completionMax = completionMax;
        samplers = request.Sampling.Build(model, (int)completionMax);
    }

    /// <summary>Completed when the loop has nothing more to do with it.</summary>
    public Task Ended => ended.Task;

    /// <summary>As the API spells it; null where the text did not come to its end.</summary>
    public string? FinishReason => finishReason;

    public Usage Usage => new(Volatile.Read(ref prefilled), Volatile.Read(ref completed));

    /// <summary>The text as it comes. Ends by an exception where it did not come to its end.</summary>
    public ChannelReader<string> Pieces => pieces.Reader;

    /// <summary>Whether the loop passes the sequence over until some text is read.</summary>
    public bool WaitsForReader => waitsForReader;

    /// <summary>Asked to stop; seen by the loop before it decodes again.</summary>
    public bool IsStopping { get; set; }

    /// <summary>The sequence in the context, while it has one.</summary>
    public int Sequence { get; set; } = -1;

    /// <summary>Tokens that are to be decoded now: the rest of the prompt, or the token that was sampled last.</summary>
    public ReadOnlySpan<int> Pending => prefilled < prompt.Length
        ? prompt.AsSpan(prefilled)
        : new ReadOnlySpan<int>(ref nextToken);

    public bool IsPrefilling => prefilled < prompt.Length;

    /// <summary>Position of the first of <see cref="Pending"/>.</summary>
    public int Position => IsPrefilling ? prefilled : prompt.Length + (int)completed - 1;

    /// <summary>Whether the reader keeps up; where not, it wakes the loop once it has.</summary>
    public bool HasRoom()
    {
        if (pieces.Reader.Count < WaitingTextMax)
        {
            waitsForReader = false;
            return true;
        }

        // First say so, then look again: a reader that took text in between has not seen it.
        waitsForReader = true;
        Interlocked.MemoryBarrier();
        return pieces.Reader.Count < WaitingTextMax;
    }

    /// <summary>The first <paramref name="count"/> of <see cref="Pending"/> have been decoded.</summary>
    public void Decoded(int count)
    {
        if (IsPrefilling)
            Volatile.Write(ref prefilled, prefilled + count);
    }

    /// <summary>Chooses the next token from the logits at <paramref name="output"/>.</summary>
    /// <returns>Whether the answer is complete.</returns>
    public bool Sample(LlamaModel model, ContextHandle context, int output)
    {
        var token = LlamaNative.Sample(samplers, context, output);
        Volatile.Write(ref completed, completed + 1);
        if (model.IsEnd(token))
            return Finish("stop");
        Publish(text.Add(model.Piece(token, ref piece)));
        if (text.IsStopped)
            return Finish("stop");
        if (completed >= completionMax)
            return Finish("length");
        nextToken = token;
        return false;
    }

    /// <summary>The loop is done with it: after its last token, or with what kept it from there.</summary>
    public void End(Exception? failure)
    {
        samplers.Dispose();
        Array.Clear(prompt);
        pieces.Writer.TryComplete(finishReason is null ? failure ?? new OperationCanceledException() : null);
        ended.TrySetResult();
    }

    public void Dispose() => samplers.Dispose();

    private bool Finish(string reason)
    {
        Publish(text.End());
        finishReason = reason;
        return true;
    }

    private void Publish(string text)
    {
        if (text.Length > 0)
            pieces.Writer.TryWrite(text);
    }
}
