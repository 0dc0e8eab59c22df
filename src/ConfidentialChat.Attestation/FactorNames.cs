// spec/attestation.md: the names in its sections 6, 9, 12 and 14.
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation;

/// <summary>Every factor that this assembly can write.</summary>
public static class FactorNames
{
    public static IReadOnlyList<FactorName> All { get; } = [.. BundleFactors.All, .. TdxFactors.All, .. SevSnpFactors.All];

    /// <summary>Those that a policy may make advisory.</summary>
    internal static IReadOnlyCollection<string> Demotable { get; } =
        All.Where(name => name.Kind == FactorKind.Policy).Select(name => name.Value).ToHashSet(StringComparer.Ordinal);
}
