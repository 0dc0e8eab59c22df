// spec/envelope-v1.md section 3.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>A sealed request as it travels: what the gateway may read, and the ciphertext, which it may not.</summary>
public sealed record EnvelopeRequest
{
    /// <summary>AES-256-GCM output with the tag at its end; spec/envelope-v1.md section 3.</summary>
    public required ReadOnlyMemory<byte> Ciphertext { get; init; }

    /// <summary>12 bytes.</summary>
    public required ReadOnlyMemory<byte> Nonce { get; init; }

    /// <summary>16 bytes.</summary>
    public required ReadOnlyMemory<byte> Salt { get; init; }

    public required X25519PublicKey ClientKey { get; init; }

    public required X25519PublicKey NodeKey { get; init; }

    /// <summary>BLAKE2b-256 of the exact plaintext, 32 bytes. Checked by the node, stored by nobody.</summary>
    public required ReadOnlyMemory<byte> PlaintextBodyHash { get; init; }

    public required string ModelName { get; init; }

    public required StackId Stack { get; init; }

    /// <summary>Null says nothing; present, it equals the encrypted one.</summary>
    public bool? Stream { get; init; }

    /// <summary>Null stands for <see cref="ComputeUnits.Default"/>.</summary>
    public ComputeUnits? Units { get; init; }

    public const int SaltSize = 16;

    /// <summary>Reads an envelope from arbitrary bytes: either all of it is valid, or the rejection names the first fault.</summary>
    public static bool TryParse(
        ReadOnlySpan<byte> body, [NotNullWhen(true)] out EnvelopeRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        return EnvelopeFields.TryRead(body, keepsCiphertext: true, out var fields, out rejection) && TryTake(fields, out request, out rejection);
    }

    /// <summary>The same, and decodes the ciphertext where it stands, so that a large body is in memory once.</summary>
    /// <param name="body">Is no JSON any more afterwards, and what <see cref="Ciphertext"/> lies in: it stays the caller's, who keeps it for as long.</param>
    /// <param name="request">The envelope.</param>
    /// <param name="rejection">The first fault.</param>
    public static bool TryParseInPlace(
        Memory<byte> body, [NotNullWhen(true)] out EnvelopeRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        return EnvelopeFields.TryReadInPlace(body, out var fields, out rejection) && TryTake(fields, out request, out rejection);
    }

    private static bool TryTake(EnvelopeFields fields, [NotNullWhen(true)] out EnvelopeRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        rejection = null;
        if (fields.FirstMissing() is { } missing)
        {
            rejection = new Rejection(RequestError.InvalidField, missing);
            return false;
        }

        request = fields.ToFiveFields().To(new X25519PublicKey(fields.NodeKey), fields.ModelName!, new StackId(fields.Stack!.Value));
        return true;
    }

    /// <summary>Writes the envelope as JSON.</summary>
    public void Write(IBufferWriter<byte> output)
    {
        using var json = new Utf8JsonWriter(output);
        json.WriteStartObject();
        json.WriteBase64String("ciphertext"u8, Ciphertext.Span);
        json.WriteBase64String("nonce"u8, Nonce.Span);
        json.WriteBase64String("salt"u8, Salt.Span);
        json.WriteBase64String("client_dh_public_key"u8, ClientKey.Span);
        json.WriteBase64String("node_dh_public_key"u8, NodeKey.Span);
        json.WriteBase64String("plaintext_body_hash"u8, PlaintextBodyHash.Span);
        json.WriteString("model_name"u8, ModelName);
        json.WriteNumber("stack_small_id"u8, Stack.Value);
        if (Stream is { } stream)
            json.WriteBoolean("stream"u8, stream);
        if (Units is { } units)
            json.WriteNumber("num_compute_units"u8, units.Value);
        json.WriteEndObject();
    }
}
