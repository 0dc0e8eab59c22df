// spec/binary-http.md section 1; RFC 9292 section 3.5.
using System.Buffers;

namespace ConfidentialChat.Protocol.Oblivious.BinaryHttp;

/// <summary>A status from 100 to 199 with its fields, sent before the answer proper.</summary>
public sealed class InformationalResponse : IEquatable<InformationalResponse>
{
    /// <exception cref="ArgumentException">The status is not from 100 to 199, or there is a content-length.</exception>
    public InformationalResponse(int status, FieldSection fields)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (!IsInformational(status))
            throw new ArgumentOutOfRangeException(nameof(status), status, "From 100 to 199.");
        if (fields.Contains(FieldSection.ContentLength))
            throw new ArgumentException($"Not an informational response: {BinaryHttpError.InvalidContentLength}.", nameof(fields));
        Status = status;
        Fields = fields;
    }

    public int Status { get; }

    public FieldSection Fields { get; }

    public bool Equals(InformationalResponse? other) => other is not null && Status == other.Status && Fields.Equals(other.Fields);

    public override bool Equals(object? obj) => Equals(obj as InformationalResponse);

    public override int GetHashCode() => HashCode.Combine(Status, Fields);

    internal static bool IsInformational(long status) => status is >= 100 and < 200;
}

/// <summary>The status, the header fields, and what was said before them. Immutable, and valid by construction.</summary>
public sealed class ResponseHead : IEquatable<ResponseHead>
{
    private readonly InformationalResponse[] informational;

    /// <param name="status">From 200 to 599.</param>
    /// <param name="fields">The header section.</param>
    /// <param name="informational">In their order; copied.</param>
    /// <exception cref="ArgumentException">One of them is not so.</exception>
    public ResponseHead(int status, FieldSection fields, params ReadOnlySpan<InformationalResponse> informational)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (!IsFinal(status))
            throw new ArgumentOutOfRangeException(nameof(status), status, "From 200 to 599.");
        if (!fields.TryGetContentLength(out _))
            throw new ArgumentException($"Not the head of a response: {BinaryHttpError.InvalidContentLength}.", nameof(fields));
        Status = status;
        Fields = fields;
        this.informational = informational.ToArray();
    }

    public int Status { get; }

    public FieldSection Fields { get; }

    public IReadOnlyList<InformationalResponse> Informational => informational;

    public bool Equals(ResponseHead? other) =>
        other is not null
        && Status == other.Status
        && Fields.Equals(other.Fields)
        && informational.AsSpan().SequenceEqual(other.informational);

    public override bool Equals(object? obj) => Equals(obj as ResponseHead);

    public override int GetHashCode() => HashCode.Combine(Status, Fields, informational.Length);

    internal static bool IsFinal(long status) => status is >= 200 and < 600;

    /// <summary>Everything from after the framing indicator to the end of the header section.</summary>
    internal void Write(IBufferWriter<byte> output, bool knownLength)
    {
        foreach (var response in informational)
            Write(output, response.Status, response.Fields, knownLength);
        Write(output, Status, Fields, knownLength);
    }

    private static void Write(IBufferWriter<byte> output, int status, FieldSection fields, bool knownLength)
    {
        Varint.Write(output, status);
        if (knownLength)
            fields.WriteKnownLength(output);
        else
            fields.WriteIndeterminateLength(output);
    }
}
