// spec/envelope-v1.md section 10; spec/envelope-v2.md section 11.
using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Node.Keys;

/// <summary>The node's key sets: the current one, and those before it that are held still. Safe for concurrent use.</summary>
/// <remarks>
/// Of a node with evidence a set is pending until its bundle is there, then current, then retired, and erased at the end that its bundle
/// names. Without evidence a set is current at once, and is erased a grace after it retired.
/// </remarks>
public sealed class KeyRing : IDisposable
{
    private readonly TimeProvider time;
    private readonly NodeOptions options;
    private readonly Ed25519PrivateKey? signing; // of this process; a ring of attested keys has one
    private readonly Lock gate = new();
    private readonly Queue<KeySetDigest> published = new(); // also those that are erased: an answer may take longer than its keys are held
    private volatile Sets sets; // swapped whole
    private byte nextKeyId = RandomNumberGenerator.GetBytes(1)[0]; // a process that started anew repeats no id of the one before by habit

    public KeyRing(NodeOptions options, TimeProvider time)
        : this(options, time, isAttested: false)
    {
    }

    /// <param name="options">Lifetimes and bounds.</param>
    /// <param name="time">The clock.</param>
    /// <param name="isAttested">Whether sets wait for evidence before they are current.</param>
    internal KeyRing(NodeOptions options, TimeProvider time, bool isAttested)
    {
        this.options = options;
        this.time = time;
        if (isAttested)
        {
            signing = Ed25519PrivateKey.Generate(out var seed);
            CryptographicOperations.ZeroMemory(seed);
            sets = new Sets([], NewEntry());
        }
        else
        {
            sets = new Sets([NewEntry()], null);
        }
    }

    /// <summary>Raised after each change of key sets, on the thread that made it.</summary>
    public event Action? Changed;

    /// <summary>The set that is the current one.</summary>
    /// <exception cref="InvalidOperationException">None is yet: its evidence is not there.</exception>
    public KeySet Current => sets.NewestFirst is [var newest, ..] ? Announced(newest) : throw new InvalidOperationException("No key set has evidence yet.");

    /// <summary>What the gateway may tell clients, newest first; none until the first has evidence.</summary>
    public IReadOnlyList<KeySet> KeySets => [.. sets.NewestFirst.Select(Announced)];

    /// <summary>Whether sets have bundles and take sealed requests.</summary>
    internal bool IsAttested => signing is not null;

    /// <summary>The process's key for what spec/receipts.md section 1 has, and for nothing else; null where sets have no bundles. Owned by the ring.</summary>
    internal Ed25519PrivateKey? Signing => signing;

    /// <summary>
    /// The set under which usage is vouched for: that of the request, where this process ever had it, else its newest. Null while none has
    /// evidence.
    /// </summary>
    internal KeySetDigest? SetToVouchUnder(KeySetDigest wanted)
    {
        lock (gate)
            return published.Contains(wanted) ? wanted : sets.NewestFirst is [var newest, ..] ? newest.Set.Digest : null;
    }

    /// <summary>The set that waits for its evidence; null where none does.</summary>
    internal NodeKeySet? Pending => sets.Pending?.Set;

    /// <summary>Requests that are being opened with any of its sets.</summary>
    internal int Openings => sets.Held.Sum(entry => entry.Set.Openings);

    /// <summary>Time until <see cref="Tend"/> has something to do.</summary>
    internal TimeSpan UntilNextChange
    {
        get
        {
            var seen = sets;
            var wait = TimeSpan.MaxValue;
            if (seen.Pending is null && !seen.IsFull)
                wait = options.KeyLifetime - Age(seen.NewestFirst[0]);
            foreach (var entry in seen.NewestFirst)
            {
                if (Left(entry) is { } left && left < wait)
                    wait = left;
            }

            return wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
        }
    }

    /// <summary>The set of a public key of envelope v1 that is held.</summary>
    internal bool TryFind(X25519PublicKey key, [NotNullWhen(true)] out NodeKeySet? set) => TryFind(sets.ByX25519, key, out set);

    /// <summary>The set of a digest that is held.</summary>
    internal bool TryFind(KeySetDigest digest, [NotNullWhen(true)] out NodeKeySet? set) => TryFind(sets.ByDigest, digest, out set);

    /// <summary>The evidence of a set that is held; null where it is not, or has none.</summary>
    internal KeySetEvidence? EvidenceOf(KeySetDigest digest) => sets.ByDigest.TryGetValue(digest, out var entry) && !IsDue(entry) ? entry.Evidence : null;

    /// <summary>Makes a new set: the current one, or the one that waits for its evidence to be.</summary>
    /// <param name="eraseNow">Whether the oldest may be erased before its time, where the ring is full.</param>
    /// <returns>False, with nothing changed, where <see cref="KeySet.MaxHeld"/> are held.</returns>
    public bool TryRotate(bool eraseNow = false)
    {
        lock (gate)
        {
            Entry[] held = [.. sets.NewestFirst.Where(entry => !IsDue(entry))];
            if (held.Length == KeySet.MaxHeld && !eraseNow)
                return false;
            if (!IsAttested)
                Swap([NewEntry(), .. Retire(held)], null);
            else
                // one that waits already is newer than the current one: rotations that come faster than evidence share it
                Swap(held, sets.Pending ?? NewEntry());
        }

        Changed?.Invoke();
        return true;
    }

    /// <summary>The evidence of the set that waits is there: it is the current one from here on.</summary>
    /// <param name="set">The one that it is for.</param>
    /// <param name="evidence">Its bundle, and when that ends.</param>
    /// <returns>False, with nothing changed, where another one waits by now.</returns>
    internal bool TryPublish(NodeKeySet set, KeySetEvidence evidence)
    {
        lock (gate)
        {
            if (sets.Pending is not { } pending || pending.Set != set || time.GetElapsedTime(evidence.IssuedAt) >= evidence.Lifetime)
                return false; // evidence that took longer than it holds is none
            Entry[] held = [.. sets.NewestFirst.Where(entry => !IsDue(entry))];
            Swap([pending with { Evidence = evidence }, .. Retire(held)], null);
            published.Enqueue(set.Digest);
            if (published.Count > 2 * KeySet.MaxHeld)
                published.Dequeue();
        }

        Changed?.Invoke();
        return true;
    }

    /// <summary>Rotates and erases whatever is due. Ages run on the monotonic clock.</summary>
    internal void Tend()
    {
        // A full ring goes on with the current set until the oldest is due, which it is within the grace.
        if (sets is { Pending: null, NewestFirst: [var current, ..] } && Age(current) >= options.KeyLifetime && TryRotate())
            return;

        lock (gate)
        {
            if (!sets.NewestFirst.Any(IsDue))
                return;
            Swap(sets.NewestFirst, sets.Pending);
        }

        Changed?.Invoke();
    }

    public void Dispose()
    {
        lock (gate)
        {
            foreach (var entry in sets.Held)
                entry.Set.Dispose();
            signing?.Dispose();
        }
    }

    private bool TryFind<TKey>(FrozenDictionary<TKey, Entry> index, TKey key, [NotNullWhen(true)] out NodeKeySet? set)
        where TKey : notnull
    {
        set = index.TryGetValue(key, out var entry) && !IsDue(entry) ? entry.Set : null;
        return set is not null;
    }

    private void Swap(Entry[] wanted, Entry? pending)
    {
        var before = sets.Held;
        sets = new Sets([.. wanted.Where(entry => !IsDue(entry)).Take(KeySet.MaxHeld)], pending);
        var held = sets.Held.Select(entry => entry.Set).ToHashSet();
        foreach (var entry in before)
        {
            if (!held.Contains(entry.Set))
                entry.Set.Dispose();
        }
    }

    private Entry NewEntry() => new(
        signing is null ? new NodeKeySet(options, time) : new NodeKeySet(options, time, unchecked(nextKeyId++), signing.PublicKey),
        time.GetTimestamp(), RetiredAt: null, Evidence: null);

    private Entry[] Retire(Entry[] held) => held is [var current, .. var others] ? [current with { RetiredAt = time.GetTimestamp() }, .. others] : held;

    // From the time that is left, at each announcement anew: a machine that slept, or a clock that was set, would else have announced an end
    // that is past, and no lock would go to this node until it rotates.
    private KeySet Announced(Entry entry)
    {
        var left = Left(entry) ?? options.KeyLifetime + options.KeyGrace - Age(entry);
        return entry.Set.Announced(time.GetUtcNow() + left, entry.Evidence?.Digest);
    }

    // Until it is erased; null where that is not known yet.
    private TimeSpan? Left(Entry entry) =>
        entry.Evidence is { } evidence ? evidence.Lifetime - time.GetElapsedTime(evidence.IssuedAt)
        : entry.RetiredAt is { } retired ? options.KeyGrace - time.GetElapsedTime(retired)
        : null;

    private TimeSpan Age(Entry entry) => time.GetElapsedTime(entry.MadeAt);

    private bool IsDue(Entry entry) => Left(entry) <= TimeSpan.Zero;

    private sealed record Entry(NodeKeySet Set, long MadeAt, long? RetiredAt, KeySetEvidence? Evidence);

    private sealed class Sets(Entry[] newestFirst, Entry? pending)
    {
        public Entry[] NewestFirst => newestFirst;

        public Entry? Pending => pending;

        public IEnumerable<Entry> Held => pending is null ? newestFirst : newestFirst.Append(pending);

        public bool IsFull => newestFirst.Length == KeySet.MaxHeld;

        public FrozenDictionary<X25519PublicKey, Entry> ByX25519 { get; } = newestFirst.ToFrozenDictionary(entry => entry.Set.X25519);

        public FrozenDictionary<KeySetDigest, Entry> ByDigest { get; } = newestFirst.ToFrozenDictionary(entry => entry.Set.Digest);
    }
}

/// <summary>What binds a key set to the processor.</summary>
/// <param name="Bundle">As it is served.</param>
/// <param name="Digest">SHA-256 of the bundle.</param>
/// <param name="IssuedAt">A timestamp of the node's monotonic clock.</param>
/// <param name="Lifetime">From then to the end that the bundle names, when the keys are erased.</param>
/// <param name="NotAfter">That end, as the bundle has it.</param>
internal sealed record KeySetEvidence(ReadOnlyMemory<byte> Bundle, ReadOnlyMemory<byte> Digest, long IssuedAt, TimeSpan Lifetime, DateTimeOffset NotAfter);
