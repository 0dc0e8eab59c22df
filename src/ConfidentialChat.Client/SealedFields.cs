// spec/envelope-v1.md sections 3 and 13.
using System.Buffers;
using System.Text.Json;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client;

/// <summary>
/// A request that the caller has sealed, as it is to stand in the envelope. The optional members that are null are not sent: without
/// <see cref="NodeDhPublicKey"/>, <see cref="ModelName"/> and <see cref="StackSmallId"/> it is the older five-field form, which a gateway
/// serves while all open locks of the caller name one node key and model.
/// </summary>
public sealed record SealedFields
{
    /// <summary>With the tag at its end; at least 16 bytes.</summary>
    /// <exception cref="ArgumentException">It is shorter.</exception>
    public required ReadOnlyMemory<byte> Ciphertext
    {
        get;
        init => field = Checked(value, value.Length >= Aes256Gcm.TagSize, "ciphertext: at least 16 bytes are wanted.");
    }

    public required X25519PublicKey ClientDhPublicKey { get; init; }

    /// <summary>12 bytes.</summary>
    /// <exception cref="ArgumentException">It has another length.</exception>
    public required ReadOnlyMemory<byte> Nonce { get; init => field = Checked(value, value.Length == Aes256Gcm.NonceSize, "nonce: 12 bytes are wanted."); }

    /// <summary>BLAKE2b-256 of the plaintext, 32 bytes.</summary>
    /// <exception cref="ArgumentException">It has another length.</exception>
    public required ReadOnlyMemory<byte> PlaintextBodyHash
    {
        get;
        init => field = Checked(value, value.Length == Blake2b256.Size, "plaintextBodyHash: 32 bytes are wanted.");
    }

    /// <summary>16 bytes.</summary>
    /// <exception cref="ArgumentException">It has another length.</exception>
    public required ReadOnlyMemory<byte> Salt { get; init => field = Checked(value, value.Length == EnvelopeRequest.SaltSize, "salt: 16 bytes are wanted."); }

    public X25519PublicKey? NodeDhPublicKey { get; init; }

    /// <summary>1 to 256 characters.</summary>
    /// <exception cref="ArgumentException">It is empty or longer.</exception>
    public string? ModelName
    {
        get;
        init => field = Checked(
            value, value is null or { Length: > 0 and <= ModelNames.MaxLength }, "modelName: 1 to 256 characters are wanted.");
    }

    /// <summary>From 0.</summary>
    /// <exception cref="ArgumentException">It is negative.</exception>
    public StackId? StackSmallId
    {
        get;
        init => field = Checked(value, value is null or { Value: >= 0 }, "stackSmallId: a number from 0 is wanted.");
    }

    /// <summary>Null says nothing; present, it equals the encrypted one.</summary>
    public bool? Stream { get; init; }

    /// <summary>1 to 2^40; null stands for the endpoint's default.</summary>
    /// <exception cref="ArgumentException">It is outside.</exception>
    public ComputeUnits? NumComputeUnits
    {
        get;
        init => field = Checked(
            value, value is null or { Value: >= 1 and <= ComputeUnits.MaxValue }, "numComputeUnits: 1 to 2^40 are wanted.");
    }

    /// <summary>All the fields of an envelope.</summary>
    public static SealedFields From(EnvelopeRequest envelope)
    {
        ArgumentNullException.ThrowIfNull(envelope);
        return new SealedFields
        {
            Ciphertext = envelope.Ciphertext,
            ClientDhPublicKey = envelope.ClientKey,
            Nonce = envelope.Nonce,
            PlaintextBodyHash = envelope.PlaintextBodyHash,
            Salt = envelope.Salt,
            NodeDhPublicKey = envelope.NodeKey,
            ModelName = envelope.ModelName,
            StackSmallId = envelope.Stack,
            Stream = envelope.Stream,
            NumComputeUnits = envelope.Units,
        };
    }

    /// <summary>From the fields as they stand on the wire. The texts of its exceptions begin with the parameter's name.</summary>
    internal static SealedFields Read(
        string ciphertext,
        string clientDhPublicKey,
        string nonce,
        string plaintextBodyHash,
        string salt,
        string? nodeDhPublicKey,
        string? modelName,
        long? stackSmallId,
        bool? stream,
        long? numComputeUnits) =>
        new()
        {
            Ciphertext = Bytes(ciphertext, nameof(ciphertext)),
            ClientDhPublicKey = Key(clientDhPublicKey, nameof(clientDhPublicKey)),
            Nonce = Bytes(nonce, nameof(nonce)),
            PlaintextBodyHash = Bytes(plaintextBodyHash, nameof(plaintextBodyHash)),
            Salt = Bytes(salt, nameof(salt)),
            NodeDhPublicKey = nodeDhPublicKey is null ? null : Key(nodeDhPublicKey, nameof(nodeDhPublicKey)),
            ModelName = modelName,
            StackSmallId = stackSmallId is { } stack ? new StackId(stack) : null,
            Stream = stream,
            NumComputeUnits = numComputeUnits is { } units ? new ComputeUnits(units) : null,
        };

    internal ReadOnlyMemory<byte> ToJson()
    {
        var body = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(body);
        json.WriteStartObject();
        json.WriteBase64String("ciphertext"u8, Ciphertext.Span);
        json.WriteBase64String("client_dh_public_key"u8, ClientDhPublicKey.Span);
        json.WriteBase64String("nonce"u8, Nonce.Span);
        json.WriteBase64String("plaintext_body_hash"u8, PlaintextBodyHash.Span);
        json.WriteBase64String("salt"u8, Salt.Span);
        if (NodeDhPublicKey is { } nodeKey)
            json.WriteBase64String("node_dh_public_key"u8, nodeKey.Span);
        if (ModelName is { } model)
            json.WriteString("model_name"u8, model);
        if (StackSmallId is { } stack)
            json.WriteNumber("stack_small_id"u8, stack.Value);
        if (Stream is { } stream)
            json.WriteBoolean("stream"u8, stream);
        if (NumComputeUnits is { } units)
            json.WriteNumber("num_compute_units"u8, units.Value);
        json.WriteEndObject();
        json.Flush();
        return body.WrittenMemory;
    }

    private static T Checked<T>(T value, bool isValid, string otherwise) => isValid ? value : throw new ArgumentException(otherwise, nameof(value));

    private static byte[] Bytes(string text, string name)
    {
        ArgumentNullException.ThrowIfNull(text, name);
        return StrictBase64.TryDecode(text, out var bytes) ? bytes : throw new ArgumentException($"{name}: base64 is wanted (RFC 4648 section 4).", name);
    }

    private static X25519PublicKey Key(string text, string name)
    {
        ArgumentNullException.ThrowIfNull(text, name);
        return X25519PublicKey.TryParse(text, out var key) ? key : throw new ArgumentException($"{name}: base64 of 32 bytes is wanted.", name);
    }
}
