using System.Numerics;
using System.Runtime.InteropServices;

namespace ConfidentialChat.Node.Inference.Llama;

/// <summary>The one thread that runs the model, for all requests at once.</summary>
/// <remarks>
/// Each step decodes one batch: a token of every sequence that is speaking, and a share of the prompt of every one that is not yet.
/// A sequence has a part of the key-value cache to itself, which is emptied when its request ends.
/// </remarks>
internal sealed class DecodeLoop : IAsyncDisposable
{
    /// <summary>Tokens of a batch. A longer one would make those who are speaking wait for those who begin.</summary>
    public const int BatchMax = 256;

    private readonly LlamaModel model;
    private readonly ContextHandle context;
    private readonly ILogger log;
    private readonly nint memory;
    private readonly int waitingMax;
    private readonly TaskCompletionSource stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly AutoResetEvent wake = new(initialState: false);

    // Shared with callers, under the lock.
    private readonly Lock gate = new();
    private readonly LinkedList<Generation> waiting = new();
    private readonly Generation?[] active;
    private bool isStopping;

    // The thread's own.
    private readonly List<(Generation Generation, int Count, int Output)> step = [];
    private LlamaNative.Batch batch;

    /// <param name="model">Not owned.</param>
    /// <param name="context">Owned by the loop from here on; has as many sequences as <paramref name="sequences"/>.</param>
    /// <param name="sequences">Requests that run at once.</param>
    /// <param name="waitingMax">Requests that wait for one of those.</param>
    /// <param name="log">Told of failures; never of content.</param>
    public DecodeLoop(LlamaModel model, ContextHandle context, int sequences, int waitingMax, ILogger log)
    {
        this.model = model;
        this.context = context;
        this.log = log;
        this.waitingMax = waitingMax;
        active = new Generation?[sequences];
        memory = LlamaNative.Memory(context);
        batch = AllocateBatch();
        new Thread(Run) { IsBackground = true, Name = "llama decode" }.Start();
    }

    /// <summary>False once the loop has stopped or failed; it does not come back.</summary>
    public bool IsRunning => !stopped.Task.IsCompleted;

    /// <summary>Whether a request that came now would be taken; a later one may be or not.</summary>
    public bool HasRoom
    {
        get
        {
            lock (gate)
                return CountOfAll() < active.Length + waitingMax;
        }
    }

    /// <summary>Takes a request, which is the loop's until it has ended.</summary>
    /// <returns>False where there is no room; the request is still the caller's.</returns>
    /// <exception cref="InferenceException">The loop has been stopped, or failed.</exception>
    public bool TryAdd(Generation generation)
    {
        lock (gate)
        {
            if (isStopping)
                throw new InferenceException(InferenceFailure.Failed, "The engine has stopped.");
            if (CountOfAll() >= active.Length + waitingMax)
                return false;
            waiting.AddLast(generation);
        }

        Wake();
        return true;
    }

    /// <summary>Stops a request before the next decode. Its <see cref="Generation.Ended"/> says when.</summary>
    public void Stop(Generation generation)
    {
        lock (gate)
        {
            generation.IsStopping = true;
            if (waiting.Remove(generation))
            {
                generation.End(failure: null);
                return;
            }
        }

        Wake();
    }

    /// <summary>There may be something to do.</summary>
    public void Wake()
    {
        try
        {
            wake.Set();
        }
        catch (ObjectDisposedException)
        {
            // A reader that is still at the end of its text, after the loop has gone.
        }
    }

    /// <summary>Ends all requests with an <see cref="InferenceException"/>, waits for the thread, frees the context.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (gate)
            isStopping = true;
        Wake();
        await stopped.Task;
        wake.Dispose();
    }

    private int CountOfAll()
    {
        var count = waiting.Count;
        foreach (var generation in active)
            count += generation is null ? 0 : 1;
        return count;
    }

    private void Run()
    {
        Exception? failure = null;
        try
        {
            while (Admit())
            {
                FillBatch();
                if (step.Count == 0)
                    wake.WaitOne();
                else
                    DecodeBatch();
            }
        }
#pragma warning disable CA1031 // Nobody is above this thread: what goes wrong is told to every request, and no more are taken.
        catch (Exception unexpected)
#pragma warning restore CA1031
        {
            failure = unexpected;
            log.DecodeLoopFailed(unexpected);
        }

        EndAll(failure);
        context.Dispose();
        FreeBatch();
        stopped.TrySetResult();
    }

    /// <summary>Lets go of who is to stop and takes in who waits. False when the loop is to end.</summary>
    private bool Admit()
    {
        lock (gate)
        {
            if (isStopping)
                return false;
            for (var sequence = 0; sequence < active.Length; sequence++)
            {
                if (active[sequence] is { IsStopping: true } stopping)
                    Release(stopping, failure: null);
                if (active[sequence] is null && waiting.First is { } first)
                {
                    waiting.RemoveFirst();
                    first.Value.Sequence = sequence;
                    active[sequence] = first.Value;
                }
            }

            return true;
        }
    }

    private void FillBatch()
    {
        step.Clear();
        batch.Count = 0;

        // 1. How much of the batch is left for prompts, and how many share it.
        var prefilling = 0;
        var room = BatchMax;
        foreach (var generation in active)
        {
            if (generation is null)
                continue;
            if (generation.IsPrefilling)
                prefilling++;
            else
                room--;
        }

        // 2. In the order of the sequences, so that the library can join them into few matrices.
        foreach (var generation in active)
        {
            if (generation is null || !generation.HasRoom())
                continue;
            var count = 1;
            if (generation.IsPrefilling)
            {
                count = Math.Min(generation.Pending.Length, Math.Max(1, room / prefilling));
                room -= count;
                prefilling--;
            }

            // Logits are wanted of the last token alone, and of a prompt's only where it ends.
            var isLast = count == generation.Pending.Length;
            for (var i = 0; i < count; i++)
                Append(generation.Pending[i], generation.Position + i, generation.Sequence, isOutput: isLast && i == count - 1);
            step.Add((generation, count, isLast ? batch.Count - 1 : -1));
        }
    }

    private unsafe void Append(int token, int position, int sequence, bool isOutput)
    {
        var i = batch.Count++;
        batch.Tokens[i] = token;
        batch.Positions[i] = position;
        *batch.Sequences[i] = sequence;
        batch.Outputs[i] = isOutput ? (byte)1 : (byte)0;
    }

    private unsafe void DecodeBatch()
    {
        var result = LlamaNative.Decode(context, batch);
        if (result != 0)
        {
            log.DecodeFailed(result, step.Count);
            foreach (var (generation, _, _) in step)
                ReleaseLocked(generation, new InferenceException(InferenceFailure.Failed, $"llama_decode failed with {result}."));
            return;
        }

        foreach (var (generation, count, output) in step)
        {
            generation.Decoded(count);
            if (output < 0)
                continue;
            if (!AreFinite(LlamaNative.Logits(context, output)))
            {
                log.LogitsAreNoNumbers();
                ReleaseLocked(generation, new InferenceException(InferenceFailure.Failed, "The model computed logits that are no numbers."));
            }
            else if (generation.Sample(model, context, output))
            {
                ReleaseLocked(generation, failure: null);
            }
        }
    }

    // Samplers sort and exponentiate: what is no number makes their behaviour undefined. -∞ is a number here; it means never.
    private unsafe bool AreFinite(float* logits)
    {
        if (logits is null)
            return false;
        var values = new ReadOnlySpan<float>(logits, model.TokenCount);
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        var limit = new Vector<float>(float.MaxValue);
        foreach (var vector in vectors)
        {
            if (!Vector.LessThanOrEqualAll(vector, limit))
                return false;
        }

        foreach (var value in values[(vectors.Length * Vector<float>.Count)..])
        {
            if (!(value <= float.MaxValue))
                return false;
        }

        return true;
    }

    private void ReleaseLocked(Generation generation, Exception? failure)
    {
        lock (gate)
            Release(generation, failure);
    }

    private void Release(Generation generation, Exception? failure)
    {
        LlamaNative.RemoveSequence(memory, generation.Sequence, -1, -1);
        active[generation.Sequence] = null;
        generation.End(failure);
    }

    private void EndAll(Exception? failure)
    {
        lock (gate)
        {
            isStopping = true;
            var reason = new InferenceException(InferenceFailure.Failed, failure is null ? "The engine was stopped." : "The engine failed.", failure);
            foreach (var generation in waiting)
                generation.End(reason);
            waiting.Clear();
            for (var sequence = 0; sequence < active.Length; sequence++)
            {
                active[sequence]?.End(reason);
                active[sequence] = null;
            }
        }
    }

    private static unsafe LlamaNative.Batch AllocateBatch()
    {
        var batch = new LlamaNative.Batch
        {
            Tokens = (int*)NativeMemory.AllocZeroed(BatchMax, sizeof(int)),
            Positions = (int*)NativeMemory.AllocZeroed(BatchMax, sizeof(int)),
            SequenceCounts = (int*)NativeMemory.AllocZeroed(BatchMax, sizeof(int)),
            Sequences = (int**)NativeMemory.AllocZeroed(BatchMax, (nuint)sizeof(int*)),
            Outputs = (byte*)NativeMemory.AllocZeroed(BatchMax, sizeof(byte)),
        };
        // Each token is of one sequence; the ids are one block.
        var ids = (int*)NativeMemory.AllocZeroed(BatchMax, sizeof(int));
        for (var i = 0; i < BatchMax; i++)
        {
            batch.SequenceCounts[i] = 1;
            batch.Sequences[i] = ids + i;
        }

        return batch;
    }

    private unsafe void FreeBatch()
    {
        NativeMemory.Free(batch.Sequences[0]);
        NativeMemory.Free(batch.Sequences);
        NativeMemory.Free(batch.Tokens);
        NativeMemory.Free(batch.Positions);
        NativeMemory.Free(batch.SequenceCounts);
        NativeMemory.Free(batch.Outputs);
        batch = default;
    }
}
