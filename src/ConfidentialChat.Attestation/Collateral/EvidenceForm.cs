// spec/attestation.md section 13, "Forms".
using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Attestation.Collateral;

/// <summary>
/// The forms in which files of evidence and collateral come, brought into the one that the verifier parses. Bundles have that one form already.
/// Nothing here is believed or refused: what is of no known form is given back as it is, and the parsers say what is wrong with it.
/// </summary>
public static class EvidenceForm
{
    /// <summary>The most that a file needs to be read of: hexadecimal doubles a quote, and lines break it.</summary>
    public const int LargestFile = 4 * Bounds.TdxQuote;

    /// <summary>Likewise of a revocation list.</summary>
    public const int LargestList = 3 * Bounds.RevocationList;

    private const string BeginCertificate = "-----BEGIN CERTIFICATE-----";
    private const string EndCertificate = "-----END CERTIFICATE-----";
    private const string BeginList = "-----BEGIN X509 CRL-----";
    private const string EndList = "-----END X509 CRL-----";
    private const int TableEntrySize = 24; // GUID, u32 offset, u32 size: Linux, SNP_GET_EXT_REPORT; AMD 56421, section 4.1.8.1
    private const int MostTableEntries = 16;
    private const int HclHeaderSize = 32; // "HCLA", version, size, type, status, reserved: Microsoft, Azure confidential VM guest attestation

    private static readonly SearchValues<byte> HexDigits = SearchValues.Create("0123456789abcdefABCDEF"u8);
    private static readonly SearchValues<byte> HexText = SearchValues.Create("0123456789abcdefABCDEF \t\r\n"u8);
    private static readonly byte[] VcekId = Convert.FromHexString("63da758de6644564adc5f4b93be8accd");
    private static readonly byte[] VlekId = Convert.FromHexString("a8074bc2a25a483eaae639c045a0b8a1");
    private static readonly byte[] AskId = Convert.FromHexString("4ab7b379bbac4fe4a02f05aef327c782");
    private static readonly byte[] ArkId = Convert.FromHexString("c0b406a4a803495297433fb6014cd0ae");
    private static readonly byte[] CrlId = Convert.FromHexString("92f81bc358114d3d97ffd19f88dc67ea");

    /// <summary>A quote or report as bytes: from hexadecimal, and a SEV-SNP report out of Azure's HCL report.</summary>
    /// <remarks>The HCL report of a TDX machine holds no quote: it is given back as it is, and refused by name.</remarks>
    public static byte[] Evidence(byte[] bytes)
    {
        ArgumentNullException.ThrowIfNull(bytes);
        var evidence = FromHex(bytes);
        return evidence.AsSpan().StartsWith("HCLA"u8) && evidence.Length >= HclHeaderSize + SevSnpReport.Size
            && BinaryPrimitives.ReadUInt32LittleEndian(evidence.AsSpan(HclHeaderSize)) is >= 1 and < 0x81 // a report's version; TDREPORTs begin with 0x81
            ? evidence.AsSpan(HclHeaderSize, SevSnpReport.Size).ToArray()
            : evidence;
    }

    /// <summary>Certificates in PEM or DER: out of a URL-encoded header of Intel's service, and without lines of comment between the blocks.</summary>
    public static ReadOnlyMemory<byte> Certificates(ReadOnlyMemory<byte> bytes)
    {
        var text = bytes;
        if (bytes.Span.IndexOf("-----BEGIN%20"u8) >= 0)
            text = Encoding.UTF8.GetBytes(Uri.UnescapeDataString(Encoding.UTF8.GetString(bytes.Span)));
        return WithoutComments(text) ?? text;
    }

    /// <summary>A revocation list in DER: from PEM or hexadecimal.</summary>
    public static ReadOnlyMemory<byte> RevocationList(ReadOnlyMemory<byte> bytes)
    {
        var text = Encoding.UTF8.GetString(bytes.Span);
        var begin = text.IndexOf(BeginList, StringComparison.Ordinal) is >= 0 and var at ? at + BeginList.Length : -1;
        var end = begin < 0 ? -1 : text.IndexOf(EndList, begin, StringComparison.Ordinal); // their dashes may overlap: the end is sought behind the beginning
        if (end < 0)
            return FromHex(bytes.ToArray());
        var body = text.AsSpan(begin, end - begin);
        var decoded = new byte[body.Length];
        return Convert.TryFromBase64Chars(body, decoded, out var written) ? decoded.AsMemory(0, written) : bytes;
    }

    /// <summary>
    /// What AMD's firmware needs, from a file of certificates: PEM, DER, or the kernel's table of certificates, in which a revocation list may
    /// stand as well.
    /// </summary>
    public static SevSnpCollateral SevSnp(ReadOnlyMemory<byte> bytes)
    {
        var entries = Table(bytes);
        if ((Find(VcekId) ?? Find(VlekId)) is not { } vek)
            return new SevSnpCollateral { Vek = Certificates(bytes) };
        byte[] path = [.. vek.Span, .. (Find(AskId) ?? default).Span, .. (Find(ArkId) ?? default).Span];
        return new SevSnpCollateral { Vek = path, Crl = Find(CrlId) };

        ReadOnlyMemory<byte>? Find(byte[] id)
        {
            foreach (var (found, value) in entries)
            {
                if (found.Span.SequenceEqual(id))
                    return value;
            }

            return null;
        }
    }

    // The entries up to the one of zeros; none where anything is not as it has to be.
    private static List<(ReadOnlyMemory<byte> Id, ReadOnlyMemory<byte> Value)> Table(ReadOnlyMemory<byte> bytes)
    {
        var entries = new List<(ReadOnlyMemory<byte>, ReadOnlyMemory<byte>)>();
        for (var at = 0; at + TableEntrySize <= bytes.Length && entries.Count < MostTableEntries; at += TableEntrySize)
        {
            var entry = bytes.Slice(at, TableEntrySize);
            if (!entry.Span.ContainsAnyExcept((byte)0))
                return entries;
            var (offset, size) = (BinaryPrimitives.ReadUInt32LittleEndian(entry.Span[16..]), BinaryPrimitives.ReadUInt32LittleEndian(entry.Span[20..]));
            if ((long)offset + size > bytes.Length)
                return [];
            entries.Add((entry[..16], bytes.Slice((int)offset, (int)size)));
        }

        return [];
    }

    // Null where there is nothing to leave out, or where there are blocks of another kind: that, the parser refuses.
    private static ReadOnlyMemory<byte>? WithoutComments(ReadOnlyMemory<byte> bytes)
    {
        var lines = Encoding.Latin1.GetString(bytes.Span).Split('\n');
        var kept = new StringBuilder();
        var isWithin = false;
        foreach (var line in lines)
        {
            var trimmed = line.Trim();
            if (trimmed.StartsWith("-----", StringComparison.Ordinal) && trimmed is not (BeginCertificate or EndCertificate))
                return null;
            if (trimmed == BeginCertificate)
                isWithin = true;
            if (isWithin)
                kept.Append(line).Append('\n');
            if (trimmed == EndCertificate)
                isWithin = false;
        }

        if (isWithin || kept.Length == 0)
            return null;
        return Encoding.Latin1.GetBytes(kept.ToString());
    }

    private static byte[] FromHex(byte[] bytes)
    {
        var text = bytes.AsSpan().Trim(" \t\r\n"u8);
        if (text.StartsWith("0x"u8) || text.StartsWith("0X"u8))
            text = text[2..];
        if (text.IsEmpty || text.ContainsAnyExcept(HexText))
            return bytes;
        var digits = new byte[text.Length];
        var count = 0;
        foreach (var c in text)
        {
            if (HexDigits.Contains(c))
                digits[count++] = c;
        }

        var decoded = new byte[count / 2];
        return count % 2 == 0 && Convert.FromHexString(digits.AsSpan(0, count), decoded, out _, out _) == OperationStatus.Done ? decoded : bytes;
    }
}
