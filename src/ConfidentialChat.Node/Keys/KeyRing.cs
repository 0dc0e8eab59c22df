// spec/envelope-v1.md section 10.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Keys;

/// <summary>The node's keys: the current one, and those before it that are still in grace. Safe for concurrent use.</summary>
public sealed class KeyRing : IDisposable
{
    /// <summary>Keys at once, the current one included; a rotation beyond it erases the oldest before its time.</summary>
    public const int MaxKeys = 4;

    private readonly TimeProvider time;
    private readonly NodeOptions options;
    private readonly Lock gate = new();
    private Slot[] slots; // newest first, swapped whole

    public KeyRing(NodeOptions options, TimeProvider time)
    {
        this.options = options;
        this.time = time;
        slots = [NewSlot()];
    }

    /// <summary>Raised after each change of keys, on the thread that made it.</summary>
    public event Action? Changed;

    public X25519PublicKey Current => slots[0].Pair.PublicKey;

    /// <summary>What the gateway may tell clients, newest first.</summary>
    public IReadOnlyList<NodeKey> PublicKeys =>
        [.. slots.Select(slot => new NodeKey(slot.Pair.PublicKey.ToString(), slot.ExpiresAt.ToUnixTimeSeconds()))];

    /// <summary>Time until <see cref="Tend"/> has something to do.</summary>
    internal TimeSpan UntilNextChange
    {
        get
        {
            var seen = slots;
            var wait = options.KeyLifetime - Age(seen[0]);
            foreach (var slot in seen.AsSpan(1))
            {
                var erasure = options.KeyGrace - time.GetElapsedTime(slot.RetiredAt!.Value);
                wait = erasure < wait ? erasure : wait;
            }

            return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
        }
    }

    /// <summary>The pair of a public key that is current or in grace.</summary>
    internal bool TryFind(X25519PublicKey key, [NotNullWhen(true)] out NodeKeyPair? pair)
    {
        pair = slots.FirstOrDefault(slot => slot.Pair.PublicKey.Equals(key) && !InGraceNoLonger(slot))?.Pair;
        return pair is not null;
    }

    /// <summary>Makes a new current key; the one before it stays for the grace period.</summary>
    public void Rotate()
    {
        lock (gate)
        {
            var retired = slots[0] with { RetiredAt = time.GetTimestamp(), ExpiresAt = time.GetUtcNow() + options.KeyGrace };
            Swap([NewSlot(), retired, .. slots[1..]]);
        }

        Changed?.Invoke();
    }

    /// <summary>Rotates and erases whatever is due. Ages run on the monotonic clock.</summary>
    internal void Tend()
    {
        if (Age(slots[0]) >= options.KeyLifetime)
        {
            Rotate();
            return;
        }

        lock (gate)
        {
            if (!slots.Any(InGraceNoLonger))
                return;
            Swap(slots);
        }

        Changed?.Invoke();
    }

    public void Dispose()
    {
        lock (gate)
        {
            foreach (var slot in slots)
                slot.Pair.Dispose();
        }
    }

    private void Swap(Slot[] wanted)
    {
        Slot[] kept = [.. wanted.Where(slot => !InGraceNoLonger(slot)).Take(MaxKeys)];
        slots = kept;
        foreach (var slot in wanted)
        {
            if (!kept.Contains(slot))
                slot.Pair.Dispose();
        }
    }

    private Slot NewSlot() =>
        new(new NodeKeyPair(options.ReplayCapacity), time.GetTimestamp(), time.GetUtcNow() + options.KeyLifetime + options.KeyGrace, null);

    private TimeSpan Age(Slot slot) => time.GetElapsedTime(slot.MadeAt);

    private bool InGraceNoLonger(Slot slot) => slot.RetiredAt is { } retired && time.GetElapsedTime(retired) >= options.KeyGrace;

    private sealed record Slot(NodeKeyPair Pair, long MadeAt, DateTimeOffset ExpiresAt, long? RetiredAt);
}

/// <summary>Rotates and erases keys when their time has come.</summary>
internal sealed partial class KeyRotation(KeyRing ring, TimeProvider time, ILogger<KeyRotation> logger) : BackgroundService
{
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
                await Task.WhenAny(told, Task.Delay(ring.UntilNextChange + TimeSpan.FromMilliseconds(1), time, waiting.Token));
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

    // A rotation by hand brings an erasure forward: the key that it retires ends with its grace, not with the next rotation.
    private void OnChanged()
    {
        LogRotated(logger, ring.PublicKeys.Count);
        Interlocked.Exchange(ref changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Node keys changed: {Keys} held.")]
    private static partial void LogRotated(ILogger logger, int keys);
}
