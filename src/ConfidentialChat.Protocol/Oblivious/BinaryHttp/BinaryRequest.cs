// spec/binary-http.md sections 1, 5 and 7; RFC 9292 section 3.1.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>A whole request. Immutable as long as nobody writes to the memory of its content.</summary>
public sealed class BinaryRequest : IEquatable<BinaryRequest>
{
    /// <exception cref="ArgumentException">A content-length is not the content's, or stands in the trailers.</exception>
    public BinaryRequest(RequestHead head, ReadOnlyMemory<byte> content, FieldSection? trailers = null)
    {
        ArgumentNullException.ThrowIfNull(head);
        if (head.Fields.TryGetContentLength(out var declared) && declared is not null && declared != content.Length)
            throw new ArgumentException("The content-length is not that of the content.", nameof(content));
        Head = head;
        Content = content;
        Trailers = trailers ?? FieldSection.Empty;
        if (Trailers.Contains(FieldSection.ContentLength))
            throw new ArgumentException("A content-length is no trailer.", nameof(trailers));
    }

    public RequestHead Head { get; }

    /// <summary>After parsing, a slice of the message where its content is in one piece.</summary>
    public ReadOnlyMemory<byte> Content { get; }

    public FieldSection Trailers { get; }

    /// <summary>Reads a whole request of either length, with its padding, to its end.</summary>
    /// <param name="message">Must not change while the request is in use.</param>
    /// <param name="limits">What is taken at the most.</param>
    /// <param name="request">The request.</param>
    /// <param name="error">Why it is none.</param>
    public static bool TryParse(
        ReadOnlyMemory<byte> message, BinaryHttpLimits limits, [NotNullWhen(true)] out BinaryRequest? request, out BinaryHttpError error) =>
        TryParse(message, limits, out request, out error, out _);

    /// <param name="message">Must not change while the request is in use.</param>
    /// <param name="limits">What is taken at the most.</param>
    /// <param name="request">The request.</param>
    /// <param name="error">Why it is none.</param>
    /// <param name="end">The offset after the trailers, where padding may follow.</param>
    internal static bool TryParse(
        ReadOnlyMemory<byte> message, BinaryHttpLimits limits, [NotNullWhen(true)] out BinaryRequest? request, out BinaryHttpError error, out long end)
    {
        var reader = new RequestReader(limits);
        error = WholeMessage.Read(reader, message, out var content);
        end = reader.EndOfMessage ?? message.Length;
        request = error == BinaryHttpError.None ? new BinaryRequest(reader.Head!, content, reader.Trailers) : null;
        return request is not null;
    }

    /// <summary>Writes the request with known length, every integer in its shortest form, without padding.</summary>
    public void Write(IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        Varint.Write(output, (long)Framing.KnownLengthRequest);
        Head.WriteControl(output);
        Head.Fields.WriteKnownLength(output);
        WholeMessage.WriteContent(output, Content.Span);
        Trailers.WriteKnownLength(output);
    }

    public bool Equals(BinaryRequest? other) =>
        other is not null && Head.Equals(other.Head) && Content.Span.SequenceEqual(other.Content.Span) && Trailers.Equals(other.Trailers);

    public override bool Equals(object? obj) => Equals(obj as BinaryRequest);

    public override int GetHashCode() => HashCode.Combine(Head, Content.Length, Trailers);
}
