namespace ConfidentialChat.Client.Transport;

/// <summary>The time that one call has left, and who ended it: the caller, the clock or the connection.</summary>
internal sealed class CallClock : IDisposable
{
    private readonly TimeProvider time;
    private readonly CancellationToken caller;
    private readonly CancellationTokenSource source;
    private readonly CancellationTokenRegistration registration;
    private TimeSpan limit;
    private long began;

    /// <summary>Starts.</summary>
    /// <param name="limit">What the call has.</param>
    /// <param name="eventLimit">What each event, or piece of an answer, has once the answer has begun.</param>
    /// <param name="time">Measures both.</param>
    /// <param name="caller">The caller's.</param>
    public CallClock(TimeSpan limit, TimeSpan eventLimit, TimeProvider time, CancellationToken caller)
    {
        this.time = time;
        this.caller = caller;
        EventLimit = eventLimit;
        source = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        registration = caller.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), source);
        Restart(limit);
    }

    /// <summary>Starts with what the options say, and the call's own.</summary>
    public static CallClock Start(ConfidentialChatOptions options, CallOptions? call, CancellationToken caller) =>
        new(call?.Timeout ?? options.Timeout, call?.EventTimeout ?? options.EventTimeout, options.TimeProvider, caller);

    public TimeSpan EventLimit { get; }

    /// <summary>Cancelled by the caller or the clock.</summary>
    public CancellationToken Token => source.Token;

    /// <summary>Whether the caller or the clock has ended the call.</summary>
    public bool IsOver => source.IsCancellationRequested;

    /// <summary>Since the clock was last restarted.</summary>
    public TimeSpan Elapsed => time.GetElapsedTime(began);

    /// <summary>Until the clock ends the call.</summary>
    public TimeSpan Left => limit == Timeout.InfiniteTimeSpan ? TimeSpan.MaxValue : limit - Elapsed;

    public void Restart(TimeSpan limit)
    {
        this.limit = limit;
        began = time.GetTimestamp();
        source.CancelAfter(limit);
    }

    /// <summary>Stops while the caller has the word.</summary>
    public void Pause() => source.CancelAfter(Timeout.InfiniteTimeSpan);

    /// <summary>Waits, within the call's time.</summary>
    public async Task DelayAsync(TimeSpan wait)
    {
        try
        {
            await Task.Delay(wait, time, Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e)
        {
            throw Explain(e, broken => broken);
        }
    }

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

    public void Dispose()
    {
        registration.Dispose();
        source.Dispose();
    }
}
