// spec/envelope-v1.md section 13.
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Client.Transport;

/// <summary>The attempts of one call, up to the first byte of its answer.</summary>
/// <param name="config">When there is another.</param>
/// <param name="clock">The call's clock, started with the call.</param>
/// <param name="isSealedAnew">Whether each attempt locks and seals for itself, so that a lost lock can be mended.</param>
internal sealed class Attempts(RetryConfig config, CallClock clock, bool isSealedAnew)
{
    // Beyond this no timer waits, and no caller.
    private static readonly TimeSpan LongestWait = TimeSpan.FromDays(1);

    // A Retry-After below this is not followed.
    private static readonly TimeSpan ShortestAsked = TimeSpan.FromMilliseconds(500);

    /// <summary>How many were begun.</summary>
    public int Count { get; private set; }

    /// <summary>Makes attempts until one succeeds or none is to follow; then throws what the last one met.</summary>
    public async Task<T> RunAsync<T>(Func<Task<T>> attempt)
    {
        for (TimeSpan? wait = null; ;)
        {
            try
            {
                if (wait is { } time)
                    await clock.DelayAsync(time).ConfigureAwait(false);
                Count++;
                return await attempt().ConfigureAwait(false);
            }
            catch (ConfidentialChatException e) when (Counted(e) && WaitAfter(e) is { } next)
            {
                wait = next;
            }
        }
    }

    /// <summary>Counts one that the envelope's own rules make at once, within an attempt.</summary>
    public void CountAnother() => Count++;

    /// <summary>Writes the count onto a failure; true, to be the condition of a catch.</summary>
    public bool Counted(ConfidentialChatException failure)
    {
        failure.Attempts = Count;
        return true;
    }

    // Null where there is to be no other attempt.
    private TimeSpan? WaitAfter(ConfidentialChatException failure)
    {
        if (config.Strategy == RetryStrategy.None || clock.IsOver || !IsWorthAnother(failure))
            return null;
        // "At once", said by a proxy to everybody, would be a loop without a pause.
        var wait = (failure as ApiException)?.RetryAfter is { } asked && asked >= ShortestAsked ? asked : config.Wait(Count - 1);
        return wait <= LongestWait && wait < clock.Left && clock.Elapsed + wait <= config.MaxElapsed ? wait : null;
    }

    private bool IsWorthAnother(ConfidentialChatException failure) => failure switch
    {
        ApiException refusal => refusal.Retry switch
        {
            Retry.Later => true,
            Retry.IfAllowed => config.RetryServerErrors,
            Retry.WithNewKey => isSealedAnew,
            _ => false,
        },
        GatewayConnectionException or CallTimeoutException => config.RetryConnectionErrors,
        _ => false,
    };
}
