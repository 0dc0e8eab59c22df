// spec/attestation.md section 18, "Extensions of a leaf". TCG DICE Attestation Architecture 1.1, sections 6.1.1 and 6.2.
using System.Formats.Asn1;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>What a leaf says of the firmware that it was issued to.</summary>
/// <param name="Fwid">48 bytes.</param>
/// <param name="IsDebug">Whether it can be debugged; null where such a leaf does not say.</param>
internal sealed record DeviceExtension(ReadOnlyMemory<byte> Fwid, bool? IsDebug)
{
    private const string CompositeDeviceId = "2.23.133.5.4.1";
    private const string TcbInfo = "2.23.133.5.4.1.1";
    private const string Sha384 = "2.16.840.1.101.3.4.2.2";
    private const int NotSecure = 1;
    private const int Recovery = 2;
    private const int Debug = 3;

    public static Rejection? TryRead(Certificate leaf, FwidPlace place, out DeviceExtension? extension)
    {
        extension = null;
        var oid = place == FwidPlace.TcbInfo ? TcbInfo : CompositeDeviceId;
        if (leaf.Extension(oid) is not { } encoded)
            return Rejection.Missing($"extension {oid} of the leaf");
        try
        {
            var reader = new AsnReader(encoded, AsnEncodingRules.DER);
            var content = reader.ReadSequence();
            reader.ThrowIfNotEmpty();
            extension = place == FwidPlace.TcbInfo ? ReadTcbInfo(content) : ReadCompositeDeviceId(content);
            return extension is null ? Rejection.Malformed("an FWID of SHA-384", "another") : null;
        }
        catch (AsnContentException)
        {
            return Rejection.Malformed($"extension {oid} in DER", "undecodable bytes");
        }
    }

    // SEQUENCE { version INTEGER 1, key of the device, FWID }
    private static DeviceExtension? ReadCompositeDeviceId(AsnReader content)
    {
        var isKnown = content.TryReadInt32(out var version) && version == 1;
        content.ReadSequence();
        var fwid = ReadFwid(content);
        content.ThrowIfNotEmpty();
        return isKnown && fwid is { } digest ? new DeviceExtension(digest, null) : null;
    }

    // SEQUENCE { [0] vendor ... [5] index, [6] FWIDs, [7] flags, [8] vendorInfo, [9] type }: of each at most one, in this order.
    private static DeviceExtension? ReadTcbInfo(AsnReader content)
    {
        ReadOnlyMemory<byte>? first = null;
        bool? isDebug = null;
        var last = -1;
        while (content.HasData)
        {
            var tag = content.PeekTag();
            if (tag.TagClass != TagClass.ContextSpecific || tag.TagValue <= last)
                return null;
            last = tag.TagValue;
            if (last == 6)
            {
                var list = content.ReadSequence(tag);
                first = ReadFwid(list);
                while (list.HasData)
                    ReadFwid(list);
            }
            else if (last == 7)
            {
                var flags = content.ReadBitString(out _, tag);
                bool IsSet(int bit) => bit / 8 < flags.Length && (flags[bit / 8] & (0x80 >> (bit % 8))) != 0;
                isDebug = IsSet(Debug) || IsSet(Recovery) || IsSet(NotSecure);
            }
            else
            {
                content.ReadEncodedValue();
            }
        }

        return first is { } fwid ? new DeviceExtension(fwid, isDebug) : null;
    }

    private static ReadOnlyMemory<byte>? ReadFwid(AsnReader reader)
    {
        var fwid = reader.ReadSequence();
        var algorithm = fwid.ReadObjectIdentifier();
        var digest = fwid.ReadOctetString();
        fwid.ThrowIfNotEmpty();
        return algorithm == Sha384 && digest.Length == 48 ? (ReadOnlyMemory<byte>?)digest : null; // without the cast null would be an FWID of no bytes
    }
}
