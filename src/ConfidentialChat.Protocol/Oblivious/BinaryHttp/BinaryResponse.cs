// spec/binary-http.md sections 1, 5 and 7; RFC 9292 section 3.1.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>A whole response. Immutable as long as nobody writes to the memory of its content.</summary>
public sealed class BinaryResponse : IEquatable<BinaryResponse>
{
    /// <exception cref="ArgumentException">A content-length is not the content's, or stands in the trailers.</exception>
    public BinaryResponse(ResponseHead head, ReadOnlyMemory<byte> content, FieldSection? trailers = null)
    {
        ArgumentNullException.ThrowIfNull(head);
        if (head.Fields.TryGetContentLength(out var declared) && declared is not null && declared != content.Length && !content.IsEmpty)
            throw new ArgumentException("The content-length is not that of the content.", nameof(content));
        Head = head;
        Content = content;
        Trailers = trailers ?? FieldSection.Empty;
        if (Trailers.Contains(FieldSection.ContentLength))
            throw new ArgumentException("A content-length is no trailer.", nameof(trailers));
    }

    public ResponseHead Head { get; }

    /// <summary>After parsing, a slice of the message where its content is in one piece.</summary>
    public ReadOnlyMemory<byte> Content { get; }

    public FieldSection Trailers { get; }

    /// <summary>Reads a whole response of either length, with its padding, to its end.</summary>
    /// <param name="message">Must not change while the response is in use.</param>
    /// <param name="limits">What is taken at the most.</param>
    /// <param name="response">The response.</param>
    /// <param name="error">Why it is none.</param>
    public static bool TryParse(
        ReadOnlyMemory<byte> message, BinaryHttpLimits limits, [NotNullWhen(true)] out BinaryResponse? response, out BinaryHttpError error)
    {
        var reader = new ResponseReader(limits);
        error = WholeMessage.Read(reader, message, out var content);
        response = error == BinaryHttpError.None ? new BinaryResponse(reader.Head!, content, reader.Trailers) : null;
        return response is not null;
    }

    /// <summary>Writes the response with known length, every integer in its shortest form, without padding.</summary>
    public void Write(IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        Varint.Write(output, (long)Framing.KnownLengthResponse);
        Head.Write(output, knownLength: true);
        WholeMessage.WriteContent(output, Content.Span);
        Trailers.WriteKnownLength(output);
    }

    public bool Equals(BinaryResponse? other) =>
        other is not null && Head.Equals(other.Head) && Content.Span.SequenceEqual(other.Content.Span) && Trailers.Equals(other.Trailers);

    public override bool Equals(object? obj) => Equals(obj as BinaryResponse);

    public override int GetHashCode() => HashCode.Combine(Head, Content.Length, Trailers);
}
