using System.Formats.Asn1;
using System.Security.Cryptography;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>Writes revocation lists, right ones and wrong ones: RFC 5280 section 5.</summary>
internal sealed class RevocationListWriter
{
    private const string EcdsaWithSha256 = "1.2.840.10045.4.3.2";

    public required byte[] IssuerName { get; set; }

    public required ECDsa Key { get; set; }

    public DateTimeOffset ThisUpdate { get; set; }

    public DateTimeOffset? NextUpdate { get; set; }

    public int Version { get; set; } = 1;

    public List<byte[]> SerialNumbers { get; } = [];

    /// <summary>OID and criticality of an extension of the list.</summary>
    public (string Oid, bool Critical)? Extension { get; set; }

    /// <summary>OID and criticality of an extension of every entry.</summary>
    public (string Oid, bool Critical)? EntryExtension { get; set; }

    /// <summary>As the list names it, within what is signed and beside it.</summary>
    public (string Within, string Beside) Algorithms { get; set; } = (EcdsaWithSha256, EcdsaWithSha256);

    public bool HasGeneralizedTimes { get; set; }

    /// <summary>DER that nobody expects: at the end of an entry, of what is signed, of the list, and behind it.</summary>
    public (byte[]? Entry, byte[]? Signed, byte[]? List, byte[]? Behind) More { get; set; }

    /// <summary>The same at the end of an extension, and behind the list's extensions.</summary>
    public (byte[]? Extension, byte[]? Extensions) MoreExtended { get; set; }

    /// <summary>How many bits of the signature's last byte do not count.</summary>
    public int UnusedBits { get; set; }

    public byte[] Write()
    {
        var tbs = new AsnWriter(AsnEncodingRules.DER);
        using (tbs.PushSequence())
        {
            tbs.WriteInteger(Version);
            WriteAlgorithm(tbs, Algorithms.Within);
            tbs.WriteEncodedValue(IssuerName);
            WriteTime(tbs, ThisUpdate);
            if (NextUpdate is { } next)
                WriteTime(tbs, next);
            if (SerialNumbers.Count > 0)
            {
                using (tbs.PushSequence())
                {
                    foreach (var serialNumber in SerialNumbers)
                    {
                        using (tbs.PushSequence())
                        {
                            tbs.WriteIntegerUnsigned(serialNumber);
                            WriteTime(tbs, ThisUpdate);
                            WriteExtension(tbs, EntryExtension);
                            WriteMore(tbs, More.Entry);
                        }
                    }
                }
            }

            if (Extension is not null)
            {
                using (tbs.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0)))
                {
                    WriteExtension(tbs, Extension);
                    WriteMore(tbs, MoreExtended.Extensions);
                }
            }

            WriteMore(tbs, More.Signed);
        }

        var signed = tbs.Encode();
        var list = new AsnWriter(AsnEncodingRules.DER);
        using (list.PushSequence())
        {
            list.WriteEncodedValue(signed);
            WriteAlgorithm(list, Algorithms.Beside);
            var signature = Key.SignData(signed, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
            list.WriteBitString(UnusedBits == 0 ? signature : [.. signature, 0], UnusedBits);
            WriteMore(list, More.List);
        }

        return [.. list.Encode(), .. More.Behind ?? []];
    }

    private static void WriteAlgorithm(AsnWriter writer, string algorithm)
    {
        using (writer.PushSequence())
            writer.WriteObjectIdentifier(algorithm);
    }

    private static void WriteMore(AsnWriter writer, byte[]? more)
    {
        if (more is not null)
            writer.WriteEncodedValue(more);
    }

    private void WriteTime(AsnWriter writer, DateTimeOffset time)
    {
        if (HasGeneralizedTimes)
            writer.WriteGeneralizedTime(time, omitFractionalSeconds: true);
        else
            writer.WriteUtcTime(time);
    }

    private void WriteExtension(AsnWriter writer, (string Oid, bool Critical)? extension)
    {
        if (extension is not { } given)
            return;
        using (writer.PushSequence())
        {
            using (writer.PushSequence())
            {
                writer.WriteObjectIdentifier(given.Oid);
                if (given.Critical)
                    writer.WriteBoolean(true);
                writer.WriteOctetString([0x02, 0x01, 0x01]);
                WriteMore(writer, MoreExtended.Extension);
            }
        }
    }
}
