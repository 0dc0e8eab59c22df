// spec/attestation.md section 12.
namespace ConfidentialChat.Attestation.Bundles;

/// <summary>The factors of a bundle, whatever its processor.</summary>
public static class BundleFactors
{
    public static readonly FactorName Format = new("bundle.format", FactorKind.Authenticity);
    public static readonly FactorName Statement = new("bundle.statement", FactorKind.Authenticity);
    public static readonly FactorName Tee = new("bundle.tee", FactorKind.Guard);
    public static readonly FactorName ReportData = new("bundle.report_data", FactorKind.Authenticity);
    public static readonly FactorName DevicesBound = new("bundle.devices_bound", FactorKind.Authenticity);
    public static readonly FactorName Nonce = new("bundle.nonce", FactorKind.Authenticity);
    public static readonly FactorName Time = new("bundle.time", FactorKind.Policy);
    public static readonly FactorName DangerousOptions = new("bundle.dangerous_options", FactorKind.Policy);
    public static readonly FactorName Upstream = new("bundle.upstream", FactorKind.Policy);
    public static readonly FactorName Devices = new("bundle.devices", FactorKind.Policy);
    public static readonly FactorName TestRoots = new("policy.test_roots", FactorKind.Notice);

    public static IReadOnlyList<FactorName> All { get; } =
        [Format, Statement, Tee, ReportData, DevicesBound, Nonce, Time, DangerousOptions, Upstream, Devices, TestRoots];
}
