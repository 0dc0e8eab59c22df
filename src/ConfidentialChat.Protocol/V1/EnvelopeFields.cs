// spec/envelope-v1.md section 3.
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>The members of an envelope as they stand in its JSON: each valid or null where it is absent.</summary>
internal sealed class EnvelopeFields
{
    private readonly Memory<byte> place;
    private readonly bool keepsCiphertext;
    private ReadOnlyMemory<byte> ciphertext;
    private byte[]? nonce, salt, clientKey, nodeKey, hash;
    private int? ciphertextSize;
    private string? model;
    private long? stack;
    private (bool Seen, bool? Value) stream;
    private (bool Seen, long? Value) units;

    private EnvelopeFields(bool keepsCiphertext, Memory<byte> place)
    {
        this.keepsCiphertext = keepsCiphertext;
        this.place = place;
    }

    public byte[]? NodeKey => nodeKey;

    public string? ModelName => model;

    public long? Stack => stack;

    public bool? Stream => stream.Value;

    public ComputeUnits? Units => units.Value is { } value ? new ComputeUnits(value) : null;

    /// <summary>Bytes of the ciphertext, decoded or not.</summary>
    public int? CiphertextSize => ciphertextSize;

    /// <summary>Reads arbitrary bytes: either every member that is there is valid, or the rejection names the first fault.</summary>
    /// <param name="body">UTF-8 JSON, or anything else.</param>
    /// <param name="keepsCiphertext">False where its length is all that is wanted: it is judged as strictly, and not decoded.</param>
    /// <param name="fields">The members.</param>
    /// <param name="rejection">The first fault.</param>
    public static bool TryRead(
        ReadOnlySpan<byte> body, bool keepsCiphertext, [NotNullWhen(true)] out EnvelopeFields? fields, [NotNullWhen(false)] out Rejection? rejection) =>
        TryRead(body, new EnvelopeFields(keepsCiphertext, default), out fields, out rejection);

    /// <summary>The same, and decodes the ciphertext where it stands: a large body is in memory once. The JSON is no more, whatever comes of it.</summary>
    public static bool TryReadInPlace(
        Memory<byte> body, [NotNullWhen(true)] out EnvelopeFields? fields, [NotNullWhen(false)] out Rejection? rejection) =>
        TryRead(body.Span, new EnvelopeFields(keepsCiphertext: true, body), out fields, out rejection);

    private static bool TryRead(
        ReadOnlySpan<byte> body, EnvelopeFields read, [NotNullWhen(true)] out EnvelopeFields? fields, [NotNullWhen(false)] out Rejection? rejection)
    {
        fields = read;
        try
        {
            rejection = Utf8.IsValid(body) ? fields.Read(body) : new Rejection(RequestError.InvalidJson);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            rejection = new Rejection(RequestError.InvalidJson); // InvalidOperationException: a lone surrogate in a member's name
        }

        if (rejection is null)
            return true;
        fields = null;
        return false;
    }

    /// <summary>The first member that every envelope needs and this one lacks.</summary>
    public string? FirstMissing() =>
        FirstMissingOfFive() ?? (nodeKey is null ? "node_dh_public_key" : model is null ? "model_name" : stack is null ? "stack_small_id" : null);

    /// <summary>As <see cref="FirstMissing"/>, among the members of the older form.</summary>
    public string? FirstMissingOfFive() =>
        ciphertextSize is null ? "ciphertext"
        : nonce is null ? "nonce"
        : salt is null ? "salt"
        : clientKey is null ? "client_dh_public_key"
        : hash is null ? "plaintext_body_hash"
        : null;

    /// <summary>What both forms have in common. None of the five is missing.</summary>
    public FiveFieldRequest ToFiveFields() => new()
    {
        Ciphertext = ciphertext,
        Nonce = nonce,
        Salt = salt,
        ClientKey = new X25519PublicKey(clientKey),
        PlaintextBodyHash = hash,
        Stream = Stream,
        Units = Units,
    };

    private Rejection? Read(ReadOnlySpan<byte> body)
    {
        var json = new Utf8JsonReader(body);
        if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
            return new Rejection(RequestError.InvalidJson);
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string? fault;
            if (json.ValueTextEquals("ciphertext"u8))
                fault = ReadCiphertext(ref json) ? null : "ciphertext";
            else if (json.ValueTextEquals("nonce"u8))
                fault = ReadBytes(ref json, ref nonce, size => size == Aes256Gcm.NonceSize) ? null : "nonce";
            else if (json.ValueTextEquals("salt"u8))
                fault = ReadBytes(ref json, ref salt, size => size == EnvelopeRequest.SaltSize) ? null : "salt";
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
                return new Rejection(RequestError.InvalidField, fault);
        }

        if (json.TokenType != JsonTokenType.EndObject || json.Read())
            return new Rejection(RequestError.InvalidJson);
        return null;
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

    private bool ReadCiphertext(ref Utf8JsonReader json)
    {
        if (ciphertextSize is not null)
            return false;
        int size;
        if (!place.IsEmpty)
        {
            if (!TryDecodeInPlace(ref json, out size))
                return false;
        }
        else if (keepsCiphertext)
        {
            byte[]? decoded = null;
            if (!ReadBytes(ref json, ref decoded, _ => true))
                return false;
            ciphertext = decoded;
            size = decoded!.Length;
        }
        else if (!TryMeasure(ref json, out size))
        {
            return false;
        }

        ciphertextSize = size;
        return size >= Aes256Gcm.TagSize;
    }

    // The reader is past the string by then, and looks at its bytes no more.
    private bool TryDecodeInPlace(ref Utf8JsonReader json, out int size)
    {
        size = 0;
        json.Read();
        if (json.TokenType != JsonTokenType.String)
            return false;
        var text = place.Slice((int)json.TokenStartIndex + 1, json.ValueSpan.Length); // behind its quote
        if (json.ValueIsEscaped)
        {
            var unescaped = new byte[text.Length];
            if (!TryCopyString(ref json, unescaped, out var length) || !StrictBase64.TryDecode(unescaped.AsSpan(0, length), text.Span, out size))
                return false;
        }
        else if (!StrictBase64.TryDecodeInPlace(text.Span, out size))
        {
            return false;
        }

        ciphertext = text[..size];
        return true;
    }

    private static bool TryMeasure(ref Utf8JsonReader json, out int size)
    {
        size = 0;
        json.Read();
        if (json.TokenType != JsonTokenType.String)
            return false;
        if (!json.ValueIsEscaped)
            return StrictBase64.TryMeasure(json.ValueSpan, out size);
        var unescaped = new byte[json.ValueSpan.Length];
        return TryCopyString(ref json, unescaped, out var length) && StrictBase64.TryMeasure(unescaped.AsSpan(0, length), out size);
    }

    private static bool ReadModel(ref Utf8JsonReader json, ref string? value)
    {
        json.Read();
        if (value is not null || json.TokenType != JsonTokenType.String || json.ValueSpan.Length > ModelNames.MaxLength * 6)
            return false;
        value = GetString(ref json);
        return ModelNames.IsValid(value);
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
        if (json.TokenType != JsonTokenType.Number || !json.TryGetInt64(out var number) || number is < 1 or > ComputeUnits.MaxValue)
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
