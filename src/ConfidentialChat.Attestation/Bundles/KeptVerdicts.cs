// spec/attestation.md section 15.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>
/// Verdicts under one policy, kept for the times at which they hold and no others. The key is the digest of the bundle, in which
/// evidence and collateral are, and the challenge. Safe for several threads.
/// </summary>
public sealed class KeptVerdicts
{
    private readonly BundleVerifier verifier;
    private readonly Policy policy;
    private readonly int capacity;
    private readonly Lock gate = new();
    private readonly Dictionary<Key, BundleVerification> kept = [];
    private readonly Queue<Key> order = new();

    /// <param name="verifier">What verifies a bundle that is not kept.</param>
    /// <param name="policy">The one policy of all of them.</param>
    /// <param name="capacity">How many are kept; the oldest goes first.</param>
    public KeptVerdicts(BundleVerifier verifier, Policy policy, int capacity)
    {
        ArgumentNullException.ThrowIfNull(verifier);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        this.verifier = verifier;
        this.policy = policy;
        this.capacity = capacity;
    }

    /// <summary>The verdict on a bundle at this time: kept, or made now.</summary>
    public BundleVerification Verify(EvidenceBundle bundle, DateTimeOffset at, ReadOnlyMemory<byte>? nonce = null, DocumentSet? documents = null)
    {
        ArgumentNullException.ThrowIfNull(bundle);
        // What the documents are, the bundle's digest says; which of them are at hand, it does not.
        var key = new Key(bundle.Digest, nonce is { } challenge ? Digest32.Of(challenge.Span) : null, bundle.Devices.Count == 0 ? null : documents?.Digest);
        lock (gate)
        {
            if (kept.TryGetValue(key, out var found) && at >= found.Verdict.ValidFrom && at < found.Verdict.ValidBefore)
                return found;
        }

        // Outside the lock: two callers may verify the same bundle, and come to the same verdict.
        var made = verifier.Verify(bundle, policy, at, nonce, documents);
        lock (gate)
        {
            if (!kept.ContainsKey(key))
            {
                order.Enqueue(key);
                if (order.Count > capacity)
                    kept.Remove(order.Dequeue());
            }

            kept[key] = made;
        }

        return made;
    }

    private readonly record struct Key(Digest32 Bundle, Digest32? Nonce, Digest32? Documents);
}
