// spec/oblivious-v2.md sections 6 to 8.
namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>The two forms of a message. Their labels keep them apart: nothing sealed in one opens in the other.</summary>
internal sealed class MessageForm
{
    public static readonly MessageForm Whole = new("message/bhttp request\0"u8, "message/bhttp response"u8);

    public static readonly MessageForm Chunked = new("message/bhttp chunked request\0"u8, "message/bhttp chunked response"u8);

    private readonly byte[] requestLabel;
    private readonly byte[] answerLabel;

    private MessageForm(ReadOnlySpan<byte> requestLabel, ReadOnlySpan<byte> answerLabel)
    {
        this.requestLabel = requestLabel.ToArray();
        this.answerLabel = answerLabel.ToArray();
    }

    /// <summary>The exporter context of the answer's secret.</summary>
    public ReadOnlySpan<byte> AnswerLabel => answerLabel;

    // info = label ‖ 0x00 ‖ hdr
    public byte[] Info(RequestHeader header)
    {
        var info = new byte[requestLabel.Length + RequestHeader.Size];
        requestLabel.CopyTo(info, 0);
        header.Write(info.AsSpan(requestLabel.Length));
        return info;
    }
}
