namespace ConfidentialChat.Node.Serving;

/// <summary>Bounds the requests that are served at once and those that wait for it. Decided before anything is opened.</summary>
internal sealed class Admission(NodeOptions options) : IDisposable
{
    private readonly SemaphoreSlim places = new(options.MaxConcurrent);
    private int present;
    private volatile bool closed;

    /// <summary>Requests being served.</summary>
    public int Running => options.MaxConcurrent - places.CurrentCount;

    /// <summary>Requests that wait.</summary>
    public int Queued => Math.Max(0, Volatile.Read(ref present) - Running);

    public bool IsClosed => closed;

    /// <summary>From now on nobody is let in; those inside and waiting go on.</summary>
    public void Close() => closed = true;

    /// <summary>Waits for a place; null where neither a place nor a seat in the queue is left.</summary>
    public async Task<IDisposable?> EnterAsync(CancellationToken cancellation)
    {
        if (closed)
            return null;
        if (Interlocked.Increment(ref present) > options.MaxConcurrent + options.MaxQueued)
        {
            Interlocked.Decrement(ref present);
            return null;
        }

        try
        {
            await places.WaitAsync(cancellation);
        }
        catch
        {
            Interlocked.Decrement(ref present);
            throw;
        }

        return new Place(this);
    }

    public void Dispose() => places.Dispose();

    private sealed class Place(Admission admission) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) != 0)
                return;
            admission.places.Release();
            Interlocked.Decrement(ref admission.present);
        }
    }
}
