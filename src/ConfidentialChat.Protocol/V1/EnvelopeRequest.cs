// spec/envelope-v1.md section 3.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
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
    public const int MaxModelNameLength = 256;

    /// <summary>Above any model's context, far below overflow.</summary>
    public const long MaxUnits = 1L << 40;

    /// <summary>Reads an envelope from arbitrary bytes: either all of it is valid, or the rejection names the first fault.</summary>
    public static bool TryParse(
        ReadOnlySpan<byte> body, [NotNullWhen(true)] out EnvelopeRequest? request, [NotNullWhen(false)] out Rejection? rejection)
    {
        request = null;
        try
        {
            rejection = Utf8.IsValid(body) ? Read(body, out request) : new Rejection(V1Error.InvalidJson);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            rejection = new Rejection(V1Error.InvalidJson); // InvalidOperationException: a lone surrogate in a member's name
        }

        return rejection is null && request is not null;
    }

    private static Rejection? Read(ReadOnlySpan<byte> body, out EnvelopeRequest? request)
    {
        request = null;
        byte[]? ciphertext = null, nonce = null, salt = null, clientKey = null, nodeKey = null, hash = null;
        string? model = null;
        long? stack = null;
        (bool Seen, bool? Value) stream = default;
        (bool Seen, long? Value) units = default;

        var json = new Utf8JsonReader(body);
        if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
            return new Rejection(V1Error.InvalidJson);
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string? fault;
            if (json.ValueTextEquals("ciphertext"u8))
                fault = ReadBytes(ref json, ref ciphertext, size => size >= Aes256Gcm.TagSize) ? null : "ciphertext";
            else if (json.ValueTextEquals("nonce"u8))
                fault = ReadBytes(ref json, ref nonce, size => size == Aes256Gcm.NonceSize) ? null : "nonce";
            else if (json.ValueTextEquals("salt"u8))
                fault = ReadBytes(ref json, ref salt, size => size == SaltSize) ? null : "salt";
            else if (json.ValueTextEquals("client_dh_public_key"u8))
                fault = ReadBytes(ref json, ref clientKey, size => size == X25519PublicKey.Size) ? null : "client_dh_public_key";
            else if (json.ValueTextEquals("node_dh_public_key"u8))
                fault = ReadBytes(ref json, ref nodeKey, size => size == X25519PublicKey.Size) ? null : "node_dh_public_key";
            else if (json.ValueTextEquals("plaintext_body_hash"u8))
                fault = ReadBytes(ref json, ref hash, size => size == Blake2b256.Size) ? null : "plaintext_body_hash";
            else if (json.ValueTextEquals("model_name"u8))
                fault = ReadModel(ref json, ref model) ? null : "model_name";
            else if (json.ValueTextEquals("stack_small_id"u8))
                fault = ReadStack(ref json, ref stack) ? null : "stack_small_id";
            else if (json.ValueTextEquals("stream"u8))
                fault = ReadStream(ref json, ref stream) ? null : "stream";
            else if (json.ValueTextEquals("num_compute_units"u8))
                fault = ReadUnits(ref json, ref units) ? null : "num_compute_units";
            else
            {
                fault = null;
                json.Read();
                json.Skip();
            }

            if (fault is not null)
                return new Rejection(V1Error.InvalidField, fault);
        }

        if (json.TokenType != JsonTokenType.EndObject || json.Read())
            return new Rejection(V1Error.InvalidJson);

        var missing = ciphertext is null ? "ciphertext"
            : nonce is null ? "nonce"
            : salt is null ? "salt"
            : clientKey is null ? "client_dh_public_key"
            : nodeKey is null ? "node_dh_public_key"
            : hash is null ? "plaintext_body_hash"
            : model is null ? "model_name"
            : stack is null ? "stack_small_id"
            : null;
        if (missing is not null)
            return new Rejection(V1Error.InvalidField, missing);
        request = new EnvelopeRequest
        {
            Ciphertext = ciphertext,
            Nonce = nonce,
            Salt = salt,
            ClientKey = new X25519PublicKey(clientKey),
            NodeKey = new X25519PublicKey(nodeKey),
            PlaintextBodyHash = hash,
            ModelName = model!,
            Stack = new StackId(stack!.Value),
            Stream = stream.Value,
            Units = units.Value is { } value ? new ComputeUnits(value) : null,
        };
        return null;
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

    // Each reader takes the member's value; false for a wrong value and for a member that stands twice,
    // because two readers of one body must never see two different values.
    private static bool ReadBytes(ref Utf8JsonReader json, ref byte[]? value, Func<int, bool> isSize)
    {
        json.Read();
        if (value is not null || json.TokenType != JsonTokenType.String)
            return false;
        byte[] decoded;
        if (json.ValueIsEscaped)
        {
            var unescaped = new byte[json.ValueSpan.Length];
            if (!TryCopyString(ref json, unescaped, out var length) || !StrictBase64.TryDecode(unescaped.AsSpan(0, length), out decoded))
                return false;
        }
        else if (!StrictBase64.TryDecode(json.ValueSpan, out decoded))
        {
            return false;
        }

        value = decoded;
        return isSize(decoded.Length);
    }

    private static bool ReadModel(ref Utf8JsonReader json, ref string? value)
    {
        json.Read();
        if (value is not null || json.TokenType != JsonTokenType.String || json.ValueSpan.Length > MaxModelNameLength * 6)
            return false;
        value = GetString(ref json);
        return value is { Length: > 0 and <= MaxModelNameLength };
    }

    private static bool ReadStack(ref Utf8JsonReader json, ref long? value)
    {
        json.Read();
        if (value is not null || json.TokenType != JsonTokenType.Number || !json.TryGetInt64(out var number) || number < 0)
            return false;
        value = number;
        return true;
    }

    private static bool ReadStream(ref Utf8JsonReader json, ref (bool Seen, bool? Value) value)
    {
        json.Read();
        if (value.Seen || json.TokenType is not (JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null))
            return false;
        value = (true, json.TokenType == JsonTokenType.Null ? null : json.GetBoolean());
        return true;
    }

    private static bool ReadUnits(ref Utf8JsonReader json, ref (bool Seen, long? Value) value)
    {
        json.Read();
        if (value.Seen)
            return false;
        value = (true, null);
        if (json.TokenType == JsonTokenType.Null)
            return true;
        if (json.TokenType != JsonTokenType.Number || !json.TryGetInt64(out var number) || number is < 1 or > MaxUnits)
            return false;
        value = (true, number);
        return true;
    }

    private static bool TryCopyString(ref Utf8JsonReader json, Span<byte> destination, out int length)
    {
        length = 0;
        try
        {
            length = json.CopyString(destination);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false; // a lone surrogate
        }
    }

    private static string? GetString(ref Utf8JsonReader json)
    {
        try
        {
            return json.GetString();
        }
        catch (InvalidOperationException)
        {
            return null; // a lone surrogate
        }
    }
}
