// spec/attestation.md section 5. Source: Intel SGX PCK Certificate and CRL Profile Specification, section 1.3.5.
using System.Formats.Asn1;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>What Intel certifies of a platform.</summary>
public sealed record PckExtension
{
    private const string Oid = "1.2.840.113741.1.13.1";
    private const int ComponentCount = 16;

    /// <summary>16 bytes.</summary>
    public required ReadOnlyMemory<byte> Ppid { get; init; }

    /// <summary>16 SGX TCB components.</summary>
    public required ReadOnlyMemory<byte> Components { get; init; }

    public required int PceSvn { get; init; }

    /// <summary>2 bytes.</summary>
    public required ReadOnlyMemory<byte> PceId { get; init; }

    /// <summary>6 bytes: family, model, stepping, platform, custom SKU.</summary>
    public required ReadOnlyMemory<byte> Fmspc { get; init; }

    /// <summary>16 bytes, or null for platforms of one package.</summary>
    public ReadOnlyMemory<byte>? PlatformInstanceId { get; init; }

    /// <summary>What tells this platform from others, lower-case hexadecimal.</summary>
    public string PlatformId => Shown.Hex((PlatformInstanceId ?? Ppid).Span);

    public static Rejection? TryRead(Certificate certificate, out PckExtension? extension)
    {
        ArgumentNullException.ThrowIfNull(certificate);
        extension = null;
        if (certificate.ExtensionOids.Count(oid => oid == Oid) != 1)
            return new Rejection(RejectionCode.BadCertificate, $"the extension {Oid}", "none, or two");
        try
        {
            extension = Read(certificate.Extension(Oid)!.Value);
            return extension is null
                ? new Rejection(RejectionCode.BadCertificate, $"a complete extension {Oid}", "a part that is missing, doubled or of another size")
                : null;
        }
        catch (Exception e) when (e is AsnContentException or ArgumentException or OverflowException)
        {
            return new Rejection(RejectionCode.BadCertificate, $"the extension {Oid} in DER", "undecodable bytes");
        }
    }

    private static PckExtension? Read(ReadOnlyMemory<byte> der)
    {
        var members = Members(der);
        if (members is null || !members.TryGetValue(Oid + ".2", out var tcbBytes) || Members(tcbBytes) is not { } tcb
            || Octets(members, ".1", 16) is not { } ppid || Octets(members, ".3", 2) is not { } pceId || Octets(members, ".4", 6) is not { } fmspc)
            return null;
        var components = new byte[ComponentCount];
        for (var i = 0; i < ComponentCount; i++)
        {
            if (Number(tcb, $".2.{i + 1}", byte.MaxValue) is not { } svn)
                return null;
            components[i] = (byte)svn;
        }

        if (Number(tcb, ".2.17", ushort.MaxValue) is not { } pceSvn || Octets(tcb, ".2.18", 16) is null)
            return null;
        var instance = Octets(members, ".6", 16);
        if (instance is null && members.ContainsKey(Oid + ".6"))
            return null;
        return new PckExtension
        {
            Ppid = ppid,
            Components = components,
            PceSvn = pceSvn,
            PceId = pceId,
            Fmspc = fmspc,
            PlatformInstanceId = instance is { } id ? (ReadOnlyMemory<byte>?)id : null,
        };
    }

    // SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, value }; null where one stands twice.
    private static Dictionary<string, ReadOnlyMemory<byte>>? Members(ReadOnlyMemory<byte> der)
    {
        var members = new Dictionary<string, ReadOnlyMemory<byte>>(StringComparer.Ordinal);
        var reader = new AsnReader(der, AsnEncodingRules.DER);
        var list = reader.ReadSequence();
        reader.ThrowIfNotEmpty();
        while (list.HasData)
        {
            var member = list.ReadSequence();
            var oid = member.ReadObjectIdentifier();
            var value = member.ReadEncodedValue();
            member.ThrowIfNotEmpty();
            if (!members.TryAdd(oid, value))
                return null;
        }

        return members;
    }

    private static byte[]? Octets(Dictionary<string, ReadOnlyMemory<byte>> members, string suffix, int size)
    {
        if (!members.TryGetValue(Oid + suffix, out var value))
            return null;
        var octets = new AsnReader(value, AsnEncodingRules.DER).ReadOctetString();
        return octets.Length == size ? octets : null;
    }

    private static int? Number(Dictionary<string, ReadOnlyMemory<byte>> members, string suffix, int most) =>
        members.TryGetValue(Oid + suffix, out var value) && new AsnReader(value, AsnEncodingRules.DER).TryReadInt32(out var number)
        && number >= 0 && number <= most ? number : null;
}
