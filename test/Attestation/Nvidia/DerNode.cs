using System.Formats.Asn1;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>DER as a tree that can be changed: its lengths follow. An OCTET STRING that holds one whole sequence is opened as well.</summary>
internal sealed class DerNode
{
    private const byte OctetString = 0x04, Sequence = 0x30, Constructed = 0x20;

    private DerNode(byte tag) => Tag = tag;

    public byte Tag { get; set; }

    /// <summary>Of a value that holds no others.</summary>
    public byte[] Content { get; set; } = [];

    public List<DerNode> Children { get; } = [];

    private bool HoldsOthers { get; set; }

    public static DerNode Parse(ReadOnlySpan<byte> der)
    {
        var node = new DerNode(der[0]);
        AsnDecoder.ReadEncodedValue(der, AsnEncodingRules.DER, out var offset, out var length, out _);
        var content = der.Slice(offset, length);
        node.HoldsOthers = (node.Tag & Constructed) != 0 || (node.Tag == OctetString && content is [Sequence, ..] && IsOne(content));
        if (!node.HoldsOthers)
            node.Content = content.ToArray();
        while (node.HoldsOthers && !content.IsEmpty)
        {
            AsnDecoder.ReadEncodedValue(content, AsnEncodingRules.DER, out _, out _, out var consumed);
            node.Children.Add(Parse(content[..consumed]));
            content = content[consumed..];
        }

        return node;
    }

    /// <summary>It and all below it that hold others.</summary>
    public IEnumerable<DerNode> Within() => HoldsOthers ? Children.SelectMany(child => child.Within()).Prepend(this) : [];

    public byte[] ToBytes()
    {
        byte[] content = HoldsOthers ? [.. Children.SelectMany(child => child.ToBytes())] : Content;
        byte[] length = content.Length switch
        {
            < 0x80 => [(byte)content.Length],
            < 0x100 => [0x81, (byte)content.Length],
            _ => [0x82, (byte)(content.Length >> 8), (byte)content.Length],
        };
        return [Tag, .. length, .. content];
    }

    private static bool IsOne(ReadOnlySpan<byte> content)
    {
        try
        {
            AsnDecoder.ReadEncodedValue(content, AsnEncodingRules.DER, out _, out _, out var consumed);
            return consumed == content.Length;
        }
        catch (AsnContentException)
        {
            return false;
        }
    }
}
