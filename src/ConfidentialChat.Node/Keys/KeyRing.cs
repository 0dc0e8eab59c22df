// spec/envelope-v1.md section 10.
using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Node.Keys;

/// <summary>The node's key sets: the current one, and those before it that are still in grace. Safe for concurrent use.</summary>
/// <remarks>A set is current, then retired until its end, then erased. Before that it will be pending, until there is evidence that binds it; without evidence it is current at once.</remarks>
public sealed class KeyRing : IDisposable
{
    private readonly TimeProvider time;
    private readonly NodeOptions options;
    private readonly Lock gate = new();
    private volatile Sets sets; // swapped whole

    public KeyRing(NodeOptions options, TimeProvider time)
    {
        this.options = options;
        this.time = time;
        sets = new Sets([NewEntry()]);
    }

    /// <summary>Raised after each change of key sets, on the thread that made it.</summary>
    public event Action? Changed;

    public KeySet Current => Announced(sets.NewestFirst[0]);

    /// <summary>What the gateway may tell clients, newest first.</summary>
    public IReadOnlyList<KeySet> KeySets => [.. sets.NewestFirst.Select(Announced)];

    /// <summary>Time until <see cref="Tend"/> has something to do.</summary>
    internal TimeSpan UntilNextChange
    {
        get
        {
            var seen = sets;
            var wait = seen.IsFull ? TimeSpan.MaxValue : options.KeyLifetime - Age(seen.NewestFirst[0]);
            foreach (var entry in seen.NewestFirst.AsSpan(1))
            {
                var erasure = options.KeyGrace - time.GetElapsedTime(entry.RetiredAt!.Value);
                wait = erasure < wait ? erasure : wait;
            }

            return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
        }
    }

    /// <summary>The set of a public key that is current or in grace.</summary>
    internal bool TryFind(X25519PublicKey key, [NotNullWhen(true)] out NodeKeySet? set)
    {
        set = sets.ByX25519.TryGetValue(key, out var entry) && !InGraceNoLonger(entry) ? entry.Set : null;
        return set is not null;
    }

    /// <summary>Makes a new current set; the one before it stays for the grace period.</summary>
    /// <param name="eraseNow">Whether the oldest may be erased before its time, where the ring is full.</param>
    /// <returns>False, with nothing changed, where <see cref="KeySet.MaxHeld"/> are held.</returns>
    public bool TryRotate(bool eraseNow = false)
    {
        lock (gate)
        {
            Entry[] held = [.. sets.NewestFirst.Where(entry => !InGraceNoLonger(entry))];
            if (held.Length == KeySet.MaxHeld && !eraseNow)
                return false;
            Swap([NewEntry(), held[0] with { RetiredAt = time.GetTimestamp() }, .. held[1..]]);
        }

        Changed?.Invoke();
        return true;
    }

    /// <summary>Rotates and erases whatever is due. Ages run on the monotonic clock.</summary>
    internal void Tend()
    {
        // A full ring goes on with the current set until the oldest is due, which it is within the grace.
        if (Age(sets.NewestFirst[0]) >= options.KeyLifetime && TryRotate())
            return;

        lock (gate)
        {
            if (!sets.NewestFirst.Any(InGraceNoLonger))
                return;
            Swap(sets.NewestFirst);
        }

        Changed?.Invoke();
    }

    public void Dispose()
    {
        lock (gate)
        {
            foreach (var entry in sets.NewestFirst)
                entry.Set.Dispose();
        }
    }

    private void Swap(Entry[] wanted)
    {
        var before = sets.NewestFirst;
        sets = new Sets([.. wanted.Where(entry => !InGraceNoLonger(entry)).Take(KeySet.MaxHeld)]);
        foreach (var entry in before)
        {
            if (!sets.ByX25519.ContainsKey(entry.Set.X25519))
                entry.Set.Dispose();
        }
    }

    private Entry NewEntry() => new(new NodeKeySet(options.ReplayCapacity), time.GetTimestamp(), RetiredAt: null);

    // From the time that is left, at each announcement anew: a machine that slept, or a clock that was set, would else have announced an end
    // that is past, and no lock would go to this node until it rotates.
    private KeySet Announced(Entry entry)
    {
        var left = entry.RetiredAt is { } retired ? options.KeyGrace - time.GetElapsedTime(retired) : options.KeyLifetime + options.KeyGrace - Age(entry);
        return entry.Set.Announced(time.GetUtcNow() + left);
    }

    private TimeSpan Age(Entry entry) => time.GetElapsedTime(entry.MadeAt);

    private bool InGraceNoLonger(Entry entry) => entry.RetiredAt is { } retired && time.GetElapsedTime(retired) >= options.KeyGrace;

    private sealed record Entry(NodeKeySet Set, long MadeAt, long? RetiredAt);

    private sealed class Sets(Entry[] newestFirst)
    {
        public Entry[] NewestFirst => newestFirst;

        public bool IsFull => newestFirst.Length == KeySet.MaxHeld;

        public FrozenDictionary<X25519PublicKey, Entry> ByX25519 { get; } = newestFirst.ToFrozenDictionary(entry => entry.Set.X25519);
    }
}
