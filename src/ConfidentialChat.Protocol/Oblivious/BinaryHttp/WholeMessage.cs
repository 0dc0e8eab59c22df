// spec/binary-http.md section 7: parsing a whole message is the incremental reader over one piece.
using System.Buffers;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>What whole requests and responses have in common.</summary>
internal static class WholeMessage
{
    /// <summary>Reads to the end; what the reader has come upon stays in it.</summary>
    public static BinaryHttpError Read(MessageReader reader, ReadOnlyMemory<byte> message, out ReadOnlyMemory<byte> content)
    {
        content = default;
        ArrayBufferWriter<byte>? joined = null; // content in several chunks
        var input = message.Span;
        while (true)
        {
            switch (reader.Read(ref input, isFinal: true, out var piece))
            {
                case MessagePart.Content when content.IsEmpty:
                    content = message.Slice(message.Length - input.Length - piece.Length, piece.Length);
                    break;
                case MessagePart.Content:
                    if (joined is null)
                    {
                        joined = new ArrayBufferWriter<byte>(content.Length + piece.Length);
                        joined.Write(content.Span);
                    }

                    joined.Write(piece);
                    break;
                case MessagePart.End:
                    content = joined?.WrittenMemory ?? content;
                    return BinaryHttpError.None;
                case MessagePart.Invalid:
                    return reader.Error;
                default:
                    break;
            }
        }
    }

    /// <summary>The length, then the bytes.</summary>
    public static void WriteContent(IBufferWriter<byte> output, ReadOnlySpan<byte> content)
    {
        Varint.Write(output, content.Length);
        output.Write(content);
    }
}
