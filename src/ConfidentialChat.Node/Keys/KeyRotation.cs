// spec/envelope-v1.md section 10.
namespace ConfidentialChat.Node.Keys;

/// <summary>Rotates and erases key sets when their time has come.</summary>
internal sealed class KeyRotation(KeyRing ring, TimeProvider time, ILogger<KeyRotation> log) : BackgroundService
{
    /// <summary>A timer takes 49 days at the most, and an operator may want a key for longer.</summary>
    private static readonly TimeSpan MaxWait = TimeSpan.FromDays(1);

    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        ring.Changed += OnChanged;
        try
        {
            while (true)
            {
                // A millisecond more than asked: timers may be early, and an early one would spin.
                var told = Volatile.Read(ref changed).Task;
                using var waiting = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
                var wait = ring.UntilNextChange is var left && left < MaxWait ? left : MaxWait;
                await Task.WhenAny(told, Task.Delay(wait + TimeSpan.FromMilliseconds(1), time, waiting.Token));
                await waiting.CancelAsync();
                stoppingToken.ThrowIfCancellationRequested();
                ring.Tend();
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
        finally
        {
            ring.Changed -= OnChanged;
        }
    }

    // A rotation by hand brings an erasure forward: the set that it retires ends with its grace, not with the next rotation.
    private void OnChanged()
    {
        log.KeysChanged(ring.KeySets.Count);
        Interlocked.Exchange(ref changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
    }
}
