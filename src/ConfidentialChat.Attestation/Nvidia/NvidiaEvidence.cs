// spec/attestation.md section 18.
namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>What is known of one GPU or switch: a stranger's bytes, which the owner does not change.</summary>
public sealed record NvidiaEvidence
{
    /// <summary>As evidence calls it: HOPPER, BLACKWELL, LS10. Null where nobody said.</summary>
    public string? Architecture { get; init; }

    /// <summary>The request and the response, as NVML gives them.</summary>
    public required ReadOnlyMemory<byte> Report { get; init; }

    /// <summary>Leaf first, in PEM or in DER one after the other; the root may be left out.</summary>
    public required ReadOnlyMemory<byte> Certificates { get; init; }

    /// <summary>RIM files and OCSP answers, in any order.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Documents { get; init; } = [];
}

/// <summary>What was read of one device, believed or not: the factors tell. Immutable.</summary>
public sealed record NvidiaDevice
{
    /// <summary>Null where it could not be parsed.</summary>
    public MeasurementReport? Report { get; init; }

    /// <summary>Null where there is none, or it could not be parsed.</summary>
    public OpaqueData? OpaqueData { get; init; }

    /// <summary>By its certificates; null where they are of no known chip.</summary>
    public DeviceArchitecture? Architecture { get; init; }

    /// <summary>The chip's id in its certificates, 16 hexadecimal digits; null where they name none.</summary>
    public string? Id { get; init; }

    /// <summary>The report is the root of trust's own, which knows of no driver.</summary>
    public bool IsFsp { get; init; }
}

/// <summary>A verdict on devices, and what was read of them.</summary>
/// <param name="Verdict">The factors, each of all devices together.</param>
/// <param name="Devices">In the order of the evidence.</param>
public sealed record NvidiaVerification(Verdict Verdict, IReadOnlyList<NvidiaDevice> Devices);
