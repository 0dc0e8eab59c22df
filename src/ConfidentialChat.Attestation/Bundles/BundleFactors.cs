// spec/attestation.md section 12.
namespace ConfidentialChat.Attestation.Bundles;

/// <summary>What binds a bundle together, whatever its processor and its policy. What a policy decides of it is <see cref="Policies.PolicyFactors"/>.</summary>
public static class BundleFactors
{
    public static readonly FactorName Format = new("bundle.format", FactorKind.Authenticity);
    public static readonly FactorName Statement = new("bundle.statement", FactorKind.Authenticity);
    public static readonly FactorName ReportData = new("bundle.report_data", FactorKind.Authenticity);
    public static readonly FactorName DevicesBound = new("bundle.devices_bound", FactorKind.Authenticity);
    public static readonly FactorName Nonce = new("bundle.nonce", FactorKind.Authenticity);

    public static IReadOnlyList<FactorName> All { get; } = [Format, Statement, ReportData, DevicesBound, Nonce];
}
