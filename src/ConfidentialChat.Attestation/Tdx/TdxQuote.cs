// spec/attestation.md section 5.
using System.Buffers.Binary;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>A TDX quote, version 4 or 5, whose every size fits. Parsed, not verified.</summary>
public sealed class TdxQuote
{
    private const int HeaderSize = 48;
    private const int Td10Size = 584;
    private const int Td15Size = 648;
    private const ushort EcdsaP256 = 2;
    private const uint TdxTee = 0x81;
    private const ushort QeReportCertificationData = 6;
    private const ushort PckPathCertificationData = 5;

    private TdxQuote(ReadOnlyMemory<byte> bytes, int version)
    {
        Bytes = bytes;
        Version = version;
    }

    /// <summary>All of it, padding included.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    public int Version { get; }

    /// <summary>16 bytes.</summary>
    public ReadOnlyMemory<byte> QeVendorId { get; private init; }

    public TdReport Report { get; private init; } = null!;

    /// <summary>Header and body: what <see cref="Signature"/> is over.</summary>
    internal ReadOnlyMemory<byte> Signed { get; private init; }

    /// <summary>r ‖ s.</summary>
    internal ReadOnlyMemory<byte> Signature { get; private init; }

    /// <summary>x ‖ y.</summary>
    internal ReadOnlyMemory<byte> AttestationKey { get; private init; }

    internal QeReport Qe { get; private init; } = null!;

    internal ReadOnlyMemory<byte> QeReportSignature { get; private init; }

    internal ReadOnlyMemory<byte> QeAuthData { get; private init; }

    /// <summary>PEM or DER: leaf, intermediate, root.</summary>
    internal ReadOnlyMemory<byte> PckPath { get; private init; }

    /// <summary>Reads a quote. SGX quotes and unknown versions are refused by name.</summary>
    /// <param name="bytes">At most 64 KiB; copied.</param>
    /// <param name="quote">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlySpan<byte> bytes, out TdxQuote? quote)
    {
        quote = null;
        if (bytes.Length > Bounds.TdxQuote)
            return Rejection.TooLarge(Bounds.TdxQuote, bytes.Length);
        ReadOnlyMemory<byte> whole = bytes.ToArray();
        if (whole.Length < HeaderSize)
            return Short("a quote's header");
        var header = whole.Span;
        var version = BinaryPrimitives.ReadUInt16LittleEndian(header);
        var keyType = BinaryPrimitives.ReadUInt16LittleEndian(header[2..]);
        var tee = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
        if (header.StartsWith("HCLA"u8))
            return new Rejection(RejectionCode.Unsupported, "a quote", "Azure's HCL report, whose TDREPORT only its own machine can verify");
        if (version is not (4 or 5))
            return new Rejection(RejectionCode.Unsupported, "quote version 4 or 5", version == 3 ? "3, which is SGX's" : $"{version}");
        if (tee != TdxTee)
            return new Rejection(RejectionCode.Unsupported, "tee_type 0x81, TDX", tee == 0 ? "0x00, SGX" : $"0x{tee:x2}");
        if (keyType != EcdsaP256)
            return new Rejection(RejectionCode.Unsupported, "attestation_key_type 2, ECDSA P-256", keyType == 3 ? "3, ECDSA P-384" : $"{keyType}");

        var reader = new ByteReader(whole[HeaderSize..]);
        var bodyType = version == 4 ? (ushort)2 : reader.UInt16();
        var bodySize = version == 4 ? Td10Size : reader.UInt32();
        if (reader.HasFailed)
            return Short("a body");
        if (bodyType is not (2 or 3))
            return new Rejection(RejectionCode.Unsupported, "body type 2 or 3, TD 1.0 or TD 1.5", bodyType == 1 ? "1, an SGX enclave" : $"{bodyType}");
        if (bodySize != (bodyType == 2 ? Td10Size : Td15Size))
            return Rejection.Malformed($"{(bodyType == 2 ? Td10Size : Td15Size)} bytes of body", $"{bodySize}");
        var body = reader.Take(bodySize);
        var signedSize = whole.Length - reader.Remaining;
        var signatureDataSize = reader.UInt32();
        var signatureData = reader.Take(signatureDataSize);
        if (reader.HasFailed)
            return Short("body and signature data");

        reader = new ByteReader(signatureData);
        var signature = reader.Take(64);
        var attestationKey = reader.Take(64);
        var certificationType = reader.UInt16();
        var certificationSize = reader.UInt32();
        if (!reader.HasFailed && certificationType != QeReportCertificationData)
            return new Rejection(RejectionCode.Unsupported, "certification data type 6", $"{certificationType}");
        if (reader.HasFailed || certificationSize != reader.Remaining)
            return Short("certification data that fills the signature data");
        var qeReport = reader.Take(QeReport.Size);
        var qeReportSignature = reader.Take(64);
        var qeAuthData = reader.Take(reader.UInt16());
        var pathType = reader.UInt16();
        var pathSize = reader.UInt32();
        if (!reader.HasFailed && pathType != PckPathCertificationData)
            return new Rejection(RejectionCode.Unsupported, "certification data type 5, a PCK path", $"{pathType}");
        if (reader.HasFailed || pathSize != reader.Remaining)
            return Short("a PCK path that fills the certification data");

        quote = new TdxQuote(whole, version)
        {
            QeVendorId = whole.Slice(12, 16),
            Report = new TdReport(body),
            Signed = whole[..signedSize],
            Signature = signature,
            AttestationKey = attestationKey,
            Qe = new QeReport(qeReport),
            QeReportSignature = qeReportSignature,
            QeAuthData = qeAuthData,
            PckPath = reader.Take(pathSize),
        };
        return null;

        static Rejection Short(string expected) => Rejection.Malformed(expected, "a size that does not fit");
    }
}

/// <summary>The body of a quote: what the TDX module says of the TD. Sizes in bytes.</summary>
public sealed class TdReport
{
    internal TdReport(ReadOnlyMemory<byte> body) => Body = body;

    /// <summary>584, or 648 for TD 1.5.</summary>
    public ReadOnlyMemory<byte> Body { get; }

    /// <summary>16. [0] is the TDX module's isvsvn, [1] its major version.</summary>
    public ReadOnlyMemory<byte> TeeTcbSvn => Body[..16];

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> MrSeam => Body.Slice(16, 48);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> MrSignerSeam => Body.Slice(64, 48);

    /// <summary>8.</summary>
    public ReadOnlyMemory<byte> SeamAttributes => Body.Slice(112, 8);

    /// <summary>8; see <see cref="TdAttributes"/>.</summary>
    public ReadOnlyMemory<byte> TdAttributesBytes => Body.Slice(120, 8);

    /// <summary>Bit 0 DEBUG, 27 LASS, 28 SEPT_VE_DISABLE, 29 MIGRATABLE, 30 PKS, 31 KL, 63 PERFMON.</summary>
    public ulong TdAttributes => BinaryPrimitives.ReadUInt64LittleEndian(TdAttributesBytes.Span);

    /// <summary>8.</summary>
    public ReadOnlyMemory<byte> Xfam => Body.Slice(128, 8);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> MrTd => Body.Slice(136, 48);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> MrConfigId => Body.Slice(184, 48);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> MrOwner => Body.Slice(232, 48);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> MrOwnerConfig => Body.Slice(280, 48);

    /// <summary>64.</summary>
    public ReadOnlyMemory<byte> ReportData => Body.Slice(520, 64);

    /// <summary>48; zeros where no service TD is bound, and in TD 1.0, which has none.</summary>
    public ReadOnlyMemory<byte> MrServiceTd => Body.Length == 648 ? Body.Slice(600, 48) : new byte[48];

    /// <summary>48.</summary>
    /// <param name="index">0 to 3.</param>
    public ReadOnlyMemory<byte> Rtmr(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(index, 3);
        return Body.Slice(328 + (index * 48), 48);
    }
}

/// <summary>The quoting enclave's own SGX report. Sizes in bytes.</summary>
internal sealed class QeReport(ReadOnlyMemory<byte> bytes)
{
    public const int Size = 384;

    public ReadOnlyMemory<byte> Bytes { get; } = bytes;

    public ReadOnlySpan<byte> MiscSelect => Bytes.Span.Slice(16, 4);

    public ReadOnlySpan<byte> Attributes => Bytes.Span.Slice(48, 16);

    public ReadOnlySpan<byte> MrSigner => Bytes.Span.Slice(128, 32);

    public ushort IsvProdId => BinaryPrimitives.ReadUInt16LittleEndian(Bytes.Span[256..]);

    public ushort IsvSvn => BinaryPrimitives.ReadUInt16LittleEndian(Bytes.Span[258..]);

    public ReadOnlySpan<byte> ReportData => Bytes.Span.Slice(320, 64);
}
