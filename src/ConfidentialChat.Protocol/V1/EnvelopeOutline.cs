// spec/envelope-v1.md section 3.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>What a gateway needs of an envelope: where it goes and how large it is. The ciphertext stays as it came.</summary>
public sealed record EnvelopeOutline
{
    public required X25519PublicKey NodeKey { get; init; }

    public required string ModelName { get; init; }

    public required StackId Stack { get; init; }

    /// <summary>Null stands for the endpoint's default.</summary>
    public ComputeUnits? Units { get; init; }

    /// <summary>Bytes of the ciphertext.</summary>
    public required int CiphertextSize { get; init; }

    /// <summary>Reads an envelope's outline from arbitrary bytes, with exactly the rejections of <see cref="EnvelopeRequest.TryParse"/>.</summary>
    public static bool TryParse(
        ReadOnlySpan<byte> body, [NotNullWhen(true)] out EnvelopeOutline? outline, [NotNullWhen(false)] out Rejection? rejection)
    {
        outline = null;
        if (!EnvelopeFields.TryRead(body, keepsCiphertext: false, out var fields, out rejection))
            return false;
        if (fields.FirstMissing() is { } missing)
        {
            rejection = new Rejection(RequestError.InvalidField, missing);
            return false;
        }

        outline = new EnvelopeOutline
        {
            NodeKey = new X25519PublicKey(fields.NodeKey),
            ModelName = fields.ModelName!,
            Stack = new StackId(fields.Stack!.Value),
            Units = fields.Units,
            CiphertextSize = fields.CiphertextSize!.Value,
        };
        return true;
    }

    /// <summary>The outline of an envelope that is at hand.</summary>
    public static EnvelopeOutline Of(EnvelopeRequest envelope)
    {
        ArgumentNullException.ThrowIfNull(envelope);
        return new EnvelopeOutline
        {
            NodeKey = envelope.NodeKey,
            ModelName = envelope.ModelName,
            Stack = envelope.Stack,
            Units = envelope.Units,
            CiphertextSize = envelope.Ciphertext.Length,
        };
    }
}
