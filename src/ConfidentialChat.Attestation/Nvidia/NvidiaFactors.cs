// spec/attestation.md section 19.
namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>The factors of NVIDIA devices, in the order of the checks. Each is written once, for all devices together.</summary>
public static class NvidiaFactors
{
    public static readonly FactorName Report = new("nvidia.report", FactorKind.Authenticity);
    public static readonly FactorName Path = new("nvidia.path", FactorKind.Authenticity);
    public static readonly FactorName Architecture = new("nvidia.architecture", FactorKind.Authenticity);
    public static readonly FactorName Signature = new("nvidia.signature", FactorKind.Authenticity);
    public static readonly FactorName OpaqueData = new("nvidia.opaque_data", FactorKind.Authenticity);
    public static readonly FactorName Fwid = new("nvidia.fwid", FactorKind.Authenticity);
    public static readonly FactorName Nonce = new("nvidia.nonce", FactorKind.Authenticity);
    public static readonly FactorName Distinct = new("nvidia.distinct", FactorKind.Authenticity);
    public static readonly FactorName Rim = new("nvidia.rim", FactorKind.Authenticity);
    public static readonly FactorName RimPath = new("nvidia.rim_path", FactorKind.Authenticity);
    public static readonly FactorName RimSignature = new("nvidia.rim_signature", FactorKind.Authenticity);
    public static readonly FactorName Revocation = new("nvidia.revocation", FactorKind.Guard);
    public static readonly FactorName Debug = new("nvidia.debug", FactorKind.Guard);
    public static readonly FactorName Topology = new("nvidia.topology", FactorKind.Guard);
    public static readonly FactorName Mode = new("nvidia.mode", FactorKind.Policy);
    public static readonly FactorName Devices = new("nvidia.devices", FactorKind.Policy);
    public static readonly FactorName Driver = new("nvidia.driver", FactorKind.Policy);
    public static readonly FactorName Vbios = new("nvidia.vbios", FactorKind.Policy);
    public static readonly FactorName DriverRim = new("nvidia.driver_rim", FactorKind.Policy);
    public static readonly FactorName VbiosRim = new("nvidia.vbios_rim", FactorKind.Policy);
    public static readonly FactorName RimAge = new("nvidia.rim_age", FactorKind.Policy);
    public static readonly FactorName Measurements = new("nvidia.measurements", FactorKind.Policy);
    public static readonly FactorName MinSvn = new("nvidia.min_svn", FactorKind.Policy);

    public static IReadOnlyList<FactorName> All { get; } =
    [
        Report, Path, Architecture, Signature, OpaqueData, Fwid, Nonce, Distinct, Rim, RimPath, RimSignature, Revocation, Debug, Topology,
        Mode, Devices, Driver, Vbios, DriverRim, VbiosRim, RimAge, Measurements, MinSvn,
    ];
}
