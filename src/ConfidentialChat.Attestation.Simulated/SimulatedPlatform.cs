// spec/attestation.md section 14.
using System.Buffers.Binary;
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Bundles;

namespace ConfidentialChat.Attestation.Simulated;

/// <summary>Signs in the place of a processor, with a key of this process. It protects nothing.</summary>
public sealed class SimulatedPlatform : IEvidenceSource, IDisposable
{
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public string Type => CpuType.Simulated;

    public ValueTask<CpuEvidence> CollectAsync(ReadOnlyMemory<byte> reportData, CancellationToken cancellation) => new(Sign(reportData.Span));

    /// <summary>Evidence for these 64 bytes.</summary>
    public CpuEvidence Sign(ReadOnlySpan<byte> reportData)
    {
        if (reportData.Length != BundleStatement.ReportDataSize)
            throw new ArgumentException("64 bytes are signed.", nameof(reportData));
        var publicKey = key.ExportSubjectPublicKeyInfo();
        var evidence = new byte[SimulatedCpuVerifier.Magic.Length + reportData.Length + 2 + publicKey.Length + SimulatedCpuVerifier.SignatureSize];
        var rest = evidence.AsSpan();
        SimulatedCpuVerifier.Magic.CopyTo(rest);
        rest = rest[SimulatedCpuVerifier.Magic.Length..];
        reportData.CopyTo(rest);
        rest = rest[reportData.Length..];
        BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)publicKey.Length);
        publicKey.CopyTo(rest[2..]);
        var signed = evidence.AsSpan(0, evidence.Length - SimulatedCpuVerifier.SignatureSize);
        key.SignData(signed, evidence.AsSpan(signed.Length), HashAlgorithmName.SHA256);
        return new CpuEvidence { Type = CpuType.Simulated, Evidence = evidence };
    }

    public void Dispose() => key.Dispose();
}
