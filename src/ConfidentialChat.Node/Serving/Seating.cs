// spec/envelope-v2.md section 5 rule 1; spec/gateway.md section 4.
namespace ConfidentialChat.Node.Serving;

/// <summary>
/// Bounds the requests that are read, those that are served, and those that wait for it. Reading is not serving: an upload has a seat, and the
/// place of an engine is taken when all of it is there.
/// </summary>
internal sealed class Seating(NodeOptions options) : IDisposable
{
    private readonly SemaphoreSlim places = new(options.MaxConcurrent);
    private int inside; // with a seat or a place
    private int present; // being served or waiting for it
    private volatile bool closed;
    private readonly TaskCompletionSource empty = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Requests being served.</summary>
    public int Running => options.MaxConcurrent - places.CurrentCount;

    /// <summary>Requests that wait.</summary>
    public int Queued => Math.Max(0, Volatile.Read(ref present) - Running);

    /// <summary>Requests being read, waiting or being served.</summary>
    public int Inside => Volatile.Read(ref inside);

    public bool IsClosed => closed;

    /// <summary>Completes once it is closed and the last one has left.</summary>
    public Task Empty => empty.Task;

    private int MostPresent => options.MaxConcurrent + options.MaxQueued;

    /// <summary>From now on nobody is let in; those inside and waiting go on.</summary>
    public void Close()
    {
        closed = true;
        Interlocked.Increment(ref inside); // and left again: the last to leave completes Empty, also where nobody is inside
        Leave();
    }

    /// <summary>A seat for reading a request; null where none is left, or where nobody could be served who is read now.</summary>
    public IDisposable? TryTakeSeat()
    {
        if (Interlocked.Increment(ref inside) <= MostPresent + options.MaxReading && !closed && Volatile.Read(ref present) < MostPresent)
            return new Exit(Leave);
        Leave();
        return null;
    }

    /// <summary>Waits for a place, with a seat at hand; null where neither a place nor room to wait is left.</summary>
    public async Task<IDisposable?> EnterAsync(CancellationToken cancellation)
    {
        if (Interlocked.Increment(ref present) > MostPresent)
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

        return new Exit(() =>
        {
            places.Release();
            Interlocked.Decrement(ref present);
        });
    }

    public void Dispose() => places.Dispose();

    private void Leave()
    {
        if (Interlocked.Decrement(ref inside) == 0 && closed)
            empty.TrySetResult();
    }

    private sealed class Exit(Action leave) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) == 0)
                leave();
        }
    }
}
