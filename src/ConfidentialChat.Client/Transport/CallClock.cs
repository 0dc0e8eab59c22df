namespace ConfidentialChat.Client.Transport;

/// <summary>The time that one call has left, and who ended it: the caller, the clock or the connection.</summary>
internal sealed class CallClock : IDisposable
{
    private readonly CancellationToken caller;
    private readonly CancellationTokenSource source;
    private TimeSpan limit;

    public CallClock(TimeSpan limit, CancellationToken caller)
    {
        this.caller = caller;
        source = CancellationTokenSource.CreateLinkedTokenSource(caller);
        Restart(limit);
    }

    /// <summary>Cancelled by the caller or the clock.</summary>
    public CancellationToken Token => source.Token;

    public void Restart(TimeSpan limit)
    {
        this.limit = limit;
        source.CancelAfter(limit);
    }

    /// <summary>Stops while the caller has the word.</summary>
    public void Pause() => source.CancelAfter(Timeout.InfiniteTimeSpan);

    /// <summary>Whether a failure is one of waiting or of the connection, which <see cref="Explain"/> names.</summary>
    public static bool IsTransport(Exception failure) => failure is OperationCanceledException or HttpRequestException or IOException;

    /// <summary>What a failed wait or a broken connection means to the caller.</summary>
    public Exception Explain(Exception failure, Func<Exception, Exception> broken)
    {
        if (caller.IsCancellationRequested)
            return new OperationCanceledException("The call was cancelled.", failure, caller);
        if (source.IsCancellationRequested)
            return new CallTimeoutException(new TimeoutException($"Nothing came within {limit}.", failure));
        return failure is OperationCanceledException
            ? new CallTimeoutException(new TimeoutException("The HttpClient gave up.", failure)) // a given one has a timeout of its own
            : broken(failure);
    }

    public void Dispose() => source.Dispose();
}
