// spec/attestation.md section 14.
using System.Buffers.Binary;
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Simulated;

/// <summary>Verifies simulated evidence, where the policy allows it. What it accepts is not protected.</summary>
public sealed class SimulatedEvidence : ICpuVerifier
{
    public static readonly FactorName Evidence = new("simulated.evidence", FactorKind.Authenticity);
    public static readonly FactorName Protection = new("simulated.protection", FactorKind.Notice);

    internal const int SignatureSize = 64; // r ‖ s of P-256
    private const int LargestKey = 256;

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
        if (keySize > LargestKey || bytes.Length != head + keySize + SignatureSize)
            return Rejection.Malformed("sizes that fit", "others");
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
