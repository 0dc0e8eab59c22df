// spec/attestation.md section 14.
using System.Buffers.Binary;
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>Verifies simulated evidence, which a policy has to allow by name. What it accepts is not protected.</summary>
public sealed class SimulatedCpuVerifier : ICpuVerifier
{
    public static readonly FactorName Evidence = new("simulated.evidence", FactorKind.Authenticity);
    public static readonly FactorName Protection = new("simulated.protection", FactorKind.Notice);

    internal const int SignatureSize = 64; // r ‖ s of P-256
    private const int KeySize = 91;

    // SubjectPublicKeyInfo of an uncompressed point on a curve that is named: what is before x and y.
    private static ReadOnlySpan<byte> KeyHead =>
    [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42,
        0x00, 0x04,
    ];

    internal static ReadOnlySpan<byte> Magic => "ConfidentialChat simulated evidence v1"u8;

    public string Type => CpuType.Simulated;

    public IReadOnlyCollection<string> CollateralNames => [];

    public CpuClaims? Verify(CpuEvidence evidence, Policy policy, Findings findings)
    {
        ArgumentNullException.ThrowIfNull(evidence);
        ArgumentNullException.ThrowIfNull(findings);
        var rejection = TryRead(evidence.Evidence.Span, out var reportData);
        findings.Report(Evidence, rejection, "simulated evidence", "signed by its own key");
        findings.Fail(Protection, RejectionCode.Untrusted, "a TEE", "a software key: NOTHING IS PROTECTED");
        return rejection is null ? new CpuClaims { ReportData = reportData, Measurements = new Dictionary<string, ReadOnlyMemory<byte>>() } : null;
    }

    private static Rejection? TryRead(ReadOnlySpan<byte> bytes, out byte[] reportData)
    {
        reportData = [];
        var head = Magic.Length + BundleStatement.ReportDataSize + 2;
        if (bytes.Length < head || !bytes.StartsWith(Magic))
            return Rejection.Malformed("simulated evidence, version 1", "another beginning");
        var keySize = BinaryPrimitives.ReadUInt16BigEndian(bytes[(head - 2)..]);
        if (keySize != KeySize || bytes.Length != head + keySize + SignatureSize)
            return Rejection.Malformed("sizes that fit", "others");
        if (!bytes[head..].StartsWith(KeyHead))
            return Rejection.Malformed("a P-256 key", "another");
        using var key = ECDsa.Create();
        try
        {
            key.ImportSubjectPublicKeyInfo(bytes.Slice(head, keySize), out var read);
            if (read != keySize || key.KeySize != 256 || !key.VerifyData(bytes[..^SignatureSize], bytes[^SignatureSize..], HashAlgorithmName.SHA256))
                return new Rejection(RejectionCode.BadSignature, "signed by its own key", "another signature");
        }
        // An object id that is no curve of this machine is "not supported", by an exception of its own.
        catch (Exception e) when (e is CryptographicException or ArgumentException or NotSupportedException)
        {
            return Rejection.Malformed("a P-256 key", "another");
        }

        reportData = bytes.Slice(Magic.Length, BundleStatement.ReportDataSize).ToArray();
        return null;
    }
}
