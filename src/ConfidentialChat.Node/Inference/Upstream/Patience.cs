// spec/inference.md section 3.
namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>How long one request waits for its engine: in all, and for what it expects next. Ends with its caller too.</summary>
internal sealed class Patience : IDisposable
{
    private readonly CancellationTokenSource source;
    private readonly CancellationTokenRegistration leaving;
    private readonly CancellationToken caller;
    private readonly TimeProvider time;
    private readonly TimeSpan whole;
    private readonly long began;
    private readonly Lock gate = new();
    private bool isOver, ranOut;

    public Patience(TimeSpan whole, TimeSpan first, TimeProvider time, CancellationToken caller)
    {
        this.caller = caller;
        this.time = time;
        this.whole = whole;
        began = time.GetTimestamp();
        source = new CancellationTokenSource(first < whole ? first : whole, time);
        leaving = caller.UnsafeRegister(static patience => ((Patience)patience!).source.Cancel(), this);
        Token = source.Token;
    }

    public CancellationToken Token { get; }

    /// <summary>Whether a time ran out, and not the caller left.</summary>
    public bool IsTimedOut
    {
        get
        {
            lock (gate)
                return isOver ? ranOut : source.IsCancellationRequested && !caller.IsCancellationRequested;
        }
    }

    /// <summary>From now on this long for the next thing, and never longer than for the whole.</summary>
    public void Expect(TimeSpan next)
    {
        var left = whole - time.GetElapsedTime(began);
        lock (gate)
        {
            if (!isOver)
                source.CancelAfter(next < left ? next : left > TimeSpan.Zero ? left : TimeSpan.Zero);
        }
    }

    /// <summary>From now on nothing is due but the end of the whole.</summary>
    public void ExpectNothing() => Expect(TimeSpan.MaxValue);

    /// <summary>Stops whatever still waits.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            if (isOver)
                return;
            ranOut = source.IsCancellationRequested && !caller.IsCancellationRequested;
            isOver = true;
        }

        leaving.Dispose();
        source.Cancel();
        source.Dispose();
    }
}
