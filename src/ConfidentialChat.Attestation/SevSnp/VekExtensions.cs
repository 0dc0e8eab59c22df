// spec/attestation.md section 8, "Extensions of a VEK".
using System.Formats.Asn1;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>What AMD says of a key in its certificate.</summary>
/// <param name="ProductName">A stranger's text until the certificate's path stands.</param>
/// <param name="Tcb">The version that the key was derived from, in the product's order.</param>
/// <param name="Hwid">A VCEK's chip: 64 bytes, or 8 of Turin. Null for a VLEK.</param>
/// <param name="CspId">A VLEK's provider. Null for a VCEK.</param>
internal sealed record VekExtensions(string ProductName, TcbVersion Tcb, ReadOnlyMemory<byte>? Hwid, string? CspId)
{
    private const string Arc = "1.3.6.1.4.1.3704.1.";
    private const string TcbArc = Arc + "3.";

    /// <summary>Reads the extensions as this product and kind have them.</summary>
    public static Rejection? TryRead(Certificate vek, SevSnpProduct product, VekKind kind, out VekExtensions? extensions)
    {
        extensions = null;
        var oids = vek.ExtensionOids.Where(oid => oid.StartsWith(Arc, StringComparison.Ordinal)).ToList();
        if (oids.Distinct(StringComparer.Ordinal).Count() != oids.Count)
            return Rejection.Malformed("each extension once", "one twice");
        var components = product.Components.Select(component => $"{TcbArc}{(int)component}").ToList();
        if (oids.FirstOrDefault(oid => oid.StartsWith(TcbArc, StringComparison.Ordinal) && !components.Contains(oid)) is { } unknown)
            return new Rejection(RejectionCode.Unsupported, $"the security versions of {product}", Shown.Text(unknown));
        try
        {
            if (Integer(vek, Arc + "1") is not (0 or 1))
                return Rejection.Malformed("structure version 0 or 1", "none or another");
            var tcb = 0UL;
            for (var i = 0; i < components.Count; i++)
            {
                if (Integer(vek, components[i]) is not (>= 0 and <= 255 and var version))
                    return Rejection.Malformed($"a security version of {product.Components[i].Spell()}, 0 to 255", "none or another");
                tcb |= (ulong)version << (8 * i);
            }

            if (Text(vek, Arc + "2") is not { } productName)
                return Rejection.Malformed("a product's name", "none");
            var (hwid, cspId) = (vek.Extension(Arc + "4"), Text(vek, Arc + "5"));
            if ((kind == VekKind.Vcek) != hwid is not null || (kind == VekKind.Vlek) != cspId is not null)
                return Rejection.Malformed(kind == VekKind.Vcek ? "hwid and no csp_id, a VCEK" : "csp_id and no hwid, a VLEK", "others");
            if (hwid is { } encoded && (hwid = ReadHwid(encoded, product.HwidSize)) is null)
                return Rejection.Malformed($"hwid of {product.HwidSize} bytes", $"{encoded.Length} bytes");
            extensions = new VekExtensions(productName, new TcbVersion(tcb), hwid, cspId);
            return null;
        }
        catch (AsnContentException)
        {
            return Rejection.Malformed("AMD's extensions in DER", "undecodable bytes");
        }
    }

    // Bare, as AMD issues it, or within an OCTET STRING, as its later specification has it: the size tells.
    private static ReadOnlyMemory<byte>? ReadHwid(ReadOnlyMemory<byte> encoded, int size)
    {
        if (encoded.Length == size)
            return encoded;
        if (encoded.Length == size + 2 && encoded.Span[0] == 0x04 && encoded.Span[1] == size)
            return encoded[2..];
        return null;
    }

    // Null where it is absent or beyond 32 bits.
    private static int? Integer(Certificate vek, string oid)
    {
        if (vek.Extension(oid) is not { } encoded
            || !AsnDecoder.TryReadInt32(encoded.Span, AsnEncodingRules.DER, out var value, out var consumed) || consumed != encoded.Length)
            return null;
        return value;
    }

    private static string? Text(Certificate vek, string oid)
    {
        if (vek.Extension(oid) is not { } encoded)
            return null;
        var text = AsnDecoder.ReadCharacterString(encoded.Span, AsnEncodingRules.DER, UniversalTagNumber.IA5String, out var consumed);
        return consumed == encoded.Length ? text : throw new AsnContentException();
    }
}
