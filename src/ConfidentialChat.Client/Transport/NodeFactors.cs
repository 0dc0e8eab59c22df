// spec/envelope-v2.md section 2: what is asked of a bundle beyond the evidence itself.
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Client.Transport;

/// <summary>The client's own checks of a node, in the form of the verifier's.</summary>
internal static class NodeFactors
{
    public static readonly FactorName Bundle = new("node.bundle", FactorKind.Authenticity);
    public static readonly FactorName Identity = new("node.id", FactorKind.Authenticity);
    public static readonly FactorName KeySet = new("node.key_set", FactorKind.Authenticity);
    public static readonly FactorName Order = new("node.order", FactorKind.Authenticity);
    public static readonly FactorName Suite = new("node.suite", FactorKind.Authenticity);
    public static readonly FactorName Lifetime = new("node.time", FactorKind.Authenticity);
    public static readonly FactorName Model = new("node.model", FactorKind.Authenticity);
    public static readonly FactorName Lock = new("node.lock", FactorKind.Authenticity);

    public static Factor Failed(FactorName name, RejectionCode code, string expected, string found) =>
        new(name, Outcome.Fail, IsEnforced: true, code, expected, found);
}

/// <summary>What judges nodes: the types of evidence that are known, what is accepted of them, and the clock.</summary>
internal sealed record NodeJudge(BundleVerifier Verifier, Policy Policy, TimeProvider Time);
