// spec/envelope-v2.md section 2; spec/attestation.md section 12.
using System.Collections.Frozen;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Client;

/// <summary>
/// A node whose evidence the policy accepts, with the keys that the evidence binds. Only a verification makes one, and this SDK seals to nothing
/// less. Immutable.
/// </summary>
public sealed class VerifiedNode
{
    // Nothing weaker is ever taken: a bundle without these is refused.
    private static readonly FrozenSet<KemId> Kems = FrozenSet.Create(KemId.MlKem768X25519);
    private static readonly FrozenSet<AeadId> Aeads = FrozenSet.Create(AeadId.Aes256Gcm);

    private readonly VerifiedBundle bundle;
    private readonly TimeSpan lifetime;
    private readonly long verified;

    private VerifiedNode(
        VerifiedBundle bundle, ReadOnlyMemory<byte> evidence, DocumentSet documents, Verdict verdict, KeyConfiguration key, SymmetricSuite suite,
        TimeSpan lifetime, Policy policy, long verified)
    {
        Evidence = evidence;
        Documents = documents;
        Policy = policy;
        this.bundle = bundle;
        this.lifetime = lifetime;
        this.verified = verified;
        Verdict = verdict;
        Key = key;
        Suite = suite;
        Id = new NodeId(bundle.Statement.Node);
        KeySet = new KeySetDigest(bundle.Keys.Digest());
        KeySetText = KeySet.ToString();
        X25519 = new X25519PublicKey(bundle.Keys.X25519.Span);
    }

    public NodeId Id { get; }

    /// <summary>Names exactly its keys.</summary>
    public KeySetDigest KeySet { get; }

    /// <summary>What protects it, one of <see cref="CpuType"/>. Simulated evidence protects nothing.</summary>
    public string Tee => bundle.Type;

    /// <summary>What it states and its evidence binds: models, software, configuration.</summary>
    public BundleStatement Statement => bundle.Statement;

    /// <summary>What its processor says of it.</summary>
    public CpuClaims Claims => bundle.Claims;

    /// <summary>Every check and what came of it, also of what was not asked for.</summary>
    public Verdict Verdict { get; }

    /// <summary>Nothing is sealed to its keys from here on; the node is verified again before.</summary>
    public DateTimeOffset SealBefore => bundle.SealBefore;

    internal KeyConfiguration Key { get; }

    /// <summary>The bundle as it came.</summary>
    internal ReadOnlyMemory<byte> Evidence { get; }

    /// <summary>What its devices name by digest, as far as it was at hand.</summary>
    internal DocumentSet Documents { get; }

    /// <summary>Which accepted it.</summary>
    internal Policy Policy { get; }

    internal SymmetricSuite Suite { get; }

    internal string KeySetText { get; }

    internal X25519PublicKey X25519 { get; }

    public override string ToString() => $"node {Id} ({Tee})";

    /// <summary>Whether the verdict stands: by the wall clock and by the monotonic one, so that a clock that is set back lengthens nothing.</summary>
    internal bool MayBeSealedTo(TimeProvider time)
    {
        var now = time.GetUtcNow();
        return now >= bundle.ValidFrom && now < bundle.SealBefore && time.GetElapsedTime(verified) < lifetime;
    }

    /// <summary>Whether it is time to look for the next bundle: 80 % of the verdict's time are over.</summary>
    internal bool IsDue(TimeProvider time) => time.GetElapsedTime(verified) >= lifetime * 0.8 || !MayBeSealedTo(time);

    internal bool Serves(string model) => Statement.Models.Any(served => string.Equals(served.Name, model, StringComparison.Ordinal));

    /// <summary>The one way to a verified node.</summary>
    /// <param name="json">The bundle as it came.</param>
    /// <param name="documents">What its devices name by digest, as far as it is at hand.</param>
    /// <param name="asked">The node that was asked for.</param>
    /// <param name="keySet">The key set that was asked for.</param>
    /// <param name="earliest">Before this no bundle of these keys is issued.</param>
    /// <param name="judge">Verifier, policy and clock.</param>
    /// <param name="nonce">What a live bundle's nonce has to be; null where nobody challenged.</param>
    /// <param name="refused">Why not; null where there is a node.</param>
    internal static VerifiedNode? Verify(
        ReadOnlyMemory<byte> json,
        DocumentSet documents,
        NodeId asked,
        KeySetDigest keySet,
        DateTimeOffset earliest,
        NodeJudge judge,
        ReadOnlyMemory<byte>? nonce,
        out UnverifiedNode? refused)
    {
        var (now, began) = (judge.Time.GetUtcNow(), judge.Time.GetTimestamp());
        var found = judge.Verifier.Verify(json, judge.Policy, now, nonce, documents);
        refused = null;
        if (found.Verified is not { } bundle)
        {
            refused = new UnverifiedNode(asked, [.. found.Verdict.Failures]);
            return null;
        }

        var statement = bundle.Statement;
        KeyConfiguration? key = null;
        SymmetricSuite suite = default;
        var fault =
            statement.Node != asked.Value ? NodeFactors.Failed(NodeFactors.Identity, RejectionCode.Mismatch, $"node {asked}", $"node {statement.Node}")
            : new KeySetDigest(bundle.Keys.Digest()) != keySet
                ? NodeFactors.Failed(NodeFactors.KeySet, RejectionCode.Mismatch, "the key set that is listed", "another")
            : statement.IssuedAt < earliest
                ? NodeFactors.Failed(NodeFactors.Order, RejectionCode.OutOfDate, $"issued at {earliest:u} or later", $"{statement.IssuedAt:u}")
            : !KeyConfigurationList.TryParse(bundle.Keys.Ohttp.Span, out var keys) || !keys.TryChoose(Kems, Aeads, out key, out suite)
                ? NodeFactors.Failed(NodeFactors.Suite, RejectionCode.Unsupported, "a key of X-Wing with AES-256-GCM", "none")
            : bundle.SealBefore <= now
                ? NodeFactors.Failed(NodeFactors.Lifetime, RejectionCode.Expired, $"keys beyond {now:u}", $"sealed to until {bundle.SealBefore:u}")
            : null;
        if (fault is not null)
            refused = new UnverifiedNode(asked, [fault]);
        return fault is null ? new VerifiedNode(bundle, json, documents, found.Verdict, key!, suite, bundle.SealBefore - now, judge.Policy, began) : null;
    }
}
