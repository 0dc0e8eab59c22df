// spec/gateway.md section 9.
namespace ConfidentialChat.Gateway.State;

/// <summary>Whether the database takes changes, as the last of them went; says so in the log once in a while. Safe from any thread.</summary>
internal sealed class WriteHealth(TimeProvider time, ILogger<WriteHealth> log)
{
    /// <summary>Between two lines about changes that failed: each request fails while a disk is full.</summary>
    public static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(1);

    private readonly Lock gate = new();
    private volatile bool isGood = true;
    private bool isLost, isTold;
    private long failed;
    private DateTimeOffset nextLine;

    public bool IsGood => isGood;

    /// <summary>Some changes were not written.</summary>
    public void Failed(GatewayStateException fault, int changes)
    {
        lock (gate)
        {
            isGood = false;
            isLost |= fault.Fault is StateFault.Unsynced; // whatever the disk says later: a restart reads what it really has
            failed += changes;
            var now = time.GetUtcNow();
            if (now < nextLine)
                return;
            log.NotWritten(failed, fault);
            (failed, isTold, nextLine) = (0, true, now + LogInterval);
        }
    }

    /// <summary>A change was written that is more than nothing.</summary>
    public void Wrote()
    {
        lock (gate)
        {
            if (isGood || isLost)
                return;
            isGood = true;
            if (isTold)
                log.WrittenAgain();
            isTold = false;
        }
    }
}

/// <summary>While changes fail, tries every second whether one can be written: nothing else may come along that would show it.</summary>
internal sealed class WriteProbe(IStateWriter state, WriteHealth health, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            if (health.IsGood)
                continue;
            try
            {
                await state.RunAsync(rows => rows.ProbeAsync());
            }
            catch (GatewayStateException)
            {
                // as before, and health has heard it
            }
        }
    }
}
