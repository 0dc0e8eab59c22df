// spec/attestation.md: the names in its sections 6, 9 and 12.
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>Every factor that this assembly can write: a bundle's own, and those of all that it knows.</summary>
public static class FactorNames
{
    public static IReadOnlyList<FactorName> All { get; } =
        [.. BundleFactors.All, .. PolicyFactors.All, .. TdxFactors.All, .. SevSnpFactors.All, .. NvidiaFactors.All, .. NrasFactors.All];
}
