// spec/inference.md section 3.
namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>How long one request waits for its engine: in all, and for what it expects next. Ends with its caller too.</summary>
internal sealed class Patience : IDisposable
{
    private readonly CancellationTokenSource whole;
    private readonly CancellationTokenSource next;
    private readonly CancellationTokenSource either;
    private readonly CancellationToken caller;
    private readonly Lock gate = new();
    private bool isOver;

    public Patience(TimeSpan whole, TimeSpan first, TimeProvider time, CancellationToken caller)
    {
        this.caller = caller;
        this.whole = new CancellationTokenSource(whole, time);
        next = new CancellationTokenSource(first, time);
        either = CancellationTokenSource.CreateLinkedTokenSource(this.whole.Token, next.Token, caller);
        Token = either.Token;
    }

    public CancellationToken Token { get; }

    /// <summary>Whether a time ran out, and not the caller left.</summary>
    public bool IsTimedOut => !caller.IsCancellationRequested && (whole.IsCancellationRequested || next.IsCancellationRequested);

    /// <summary>From now on this long for the next thing.</summary>
    public void Expect(TimeSpan time)
    {
        lock (gate)
        {
            if (!isOver)
                next.CancelAfter(time);
        }
    }

    /// <summary>From now on nothing is due but the end of the whole.</summary>
    public void ExpectNothing() => Expect(Timeout.InfiniteTimeSpan);

    /// <summary>Stops whatever still waits.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            if (isOver)
                return;
            isOver = true;
        }

        either.Cancel();
        either.Dispose();
        next.Dispose();
        whole.Dispose();
    }
}
