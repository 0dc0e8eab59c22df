namespace ConfidentialChat.Node.Serving;

/// <summary>Bounds the requests that are served at once and those that wait for it. Decided before anything is opened.</summary>
internal sealed class Admission(NodeOptions options) : IDisposable
{
    private readonly SemaphoreSlim places = new(options.MaxConcurrent);
    private int present;
    private volatile bool closed;
    private readonly TaskCompletionSource empty = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Requests being served.</summary>
    public int Running => options.MaxConcurrent - places.CurrentCount;

    /// <summary>Requests that wait.</summary>
    public int Queued => Math.Max(0, Volatile.Read(ref present) - Running);

    public bool IsClosed => closed;

    /// <summary>Completes once it is closed and the last one has left.</summary>
    public Task Empty => empty.Task;

    /// <summary>From now on nobody is let in; those inside and waiting go on.</summary>
    public void Close()
    {
        closed = true;
        Interlocked.Increment(ref present); // and left again: the last to leave completes Empty, also where nobody is inside
        Leave();
    }

    /// <summary>Waits for a place; null where neither a place nor a seat in the queue is left.</summary>
    public async Task<IDisposable?> EnterAsync(CancellationToken cancellation)
    {
        if (Interlocked.Increment(ref present) > options.MaxConcurrent + options.MaxQueued || closed)
        {
            Leave();
            return null;
        }

        try
        {
            await places.WaitAsync(cancellation);
        }
        catch
        {
            Leave();
            throw;
        }

        return new Place(this);
    }

    public void Dispose() => places.Dispose();

    private void Leave()
    {
        if (Interlocked.Decrement(ref present) == 0 && closed)
            empty.TrySetResult();
    }

    private sealed class Place(Admission admission) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) != 0)
                return;
            admission.places.Release();
            admission.Leave();
        }
    }
}
