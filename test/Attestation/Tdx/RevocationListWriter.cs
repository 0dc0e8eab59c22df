using System.Formats.Asn1;
using System.Security.Cryptography;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>Writes revocation lists, right ones and wrong ones: RFC 5280 section 5.</summary>
internal sealed class RevocationListWriter
{
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

    public byte[] Write()
    {
        var tbs = new AsnWriter(AsnEncodingRules.DER);
        using (tbs.PushSequence())
        {
            tbs.WriteInteger(Version);
            WriteAlgorithm(tbs);
            tbs.WriteEncodedValue(IssuerName);
            tbs.WriteUtcTime(ThisUpdate);
            if (NextUpdate is { } next)
                tbs.WriteUtcTime(next);
            if (SerialNumbers.Count > 0)
            {
                using (tbs.PushSequence())
                {
                    foreach (var serialNumber in SerialNumbers)
                    {
                        using (tbs.PushSequence())
                        {
                            tbs.WriteIntegerUnsigned(serialNumber);
                            tbs.WriteUtcTime(ThisUpdate);
                            WriteExtension(tbs, EntryExtension);
                        }
                    }
                }
            }

            if (Extension is not null)
            {
                using (tbs.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0)))
                    WriteExtension(tbs, Extension);
            }
        }

        var signed = tbs.Encode();
        var list = new AsnWriter(AsnEncodingRules.DER);
        using (list.PushSequence())
        {
            list.WriteEncodedValue(signed);
            WriteAlgorithm(list);
            list.WriteBitString(Key.SignData(signed, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence));
        }

        return list.Encode();
    }

    private static void WriteAlgorithm(AsnWriter writer)
    {
        using (writer.PushSequence())
            writer.WriteObjectIdentifier("1.2.840.10045.4.3.2");
    }

    private static void WriteExtension(AsnWriter writer, (string Oid, bool Critical)? extension)
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
            }
        }
    }
}
