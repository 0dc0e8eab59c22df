// spec/envelope-v1.md sections 7 and 8, the client's side.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>Opens the sealed objects of one answer, in the order they come. Not safe for concurrent use.</summary>
public sealed class AnswerOpener : IDisposable
{
    private readonly ContentKey key;
    private readonly SpentNonces nonces = new();

    internal AnswerOpener(ContentKey key, ReadOnlySpan<byte> requestNonce)
    {
        this.key = key;
        nonces.TrySpend(requestNonce);
    }

    /// <summary>Opens one sealed object: a whole answer, or one event of a stream.</summary>
    /// <param name="sealedJson">UTF-8 JSON <c>{"ciphertext","nonce",…}</c>.</param>
    /// <param name="plaintext">JSON with padding blanks at its end.</param>
    /// <returns>
    /// False where it is malformed, does not authenticate, contradicts its hash, or repeats a nonce: under one key
    /// a repeated nonce gives away both plaintexts, and a repeated event is a replay.
    /// </returns>
    public bool TryOpen(ReadOnlyMemory<byte> sealedJson, [NotNullWhen(true)] out byte[]? plaintext)
    {
        plaintext = null;
        return SealedAnswer.TryParse(sealedJson, out var answer) && TryOpen(answer, out plaintext);
    }

    /// <summary>Opens one sealed object that has been read already; otherwise as the other.</summary>
    public bool TryOpen(SealedAnswer answer, [NotNullWhen(true)] out byte[]? plaintext)
    {
        plaintext = null;
        if (answer.Nonce.Length != Aes256Gcm.NonceSize || answer.Ciphertext.Length < Aes256Gcm.TagSize
            || !nonces.TrySpend(answer.Nonce.Span))
            return false;
        var opened = new byte[answer.Ciphertext.Length - Aes256Gcm.TagSize];
        if (!key.Aead.TryOpen(answer.Nonce.Span, [], answer.Ciphertext.Span, opened)
            || (answer.ResponseHash is { } hash && !Blake2b256.Matches(opened, hash.Span)))
        {
            CryptographicOperations.ZeroMemory(opened);
            return false;
        }

        plaintext = opened;
        return true;
    }

    public void Dispose() => key.Dispose();
}

/// <summary>One sealed object as it travels from node to client.</summary>
public sealed record SealedAnswer
{
    public required ReadOnlyMemory<byte> Ciphertext { get; init; }

    /// <summary>12 bytes, fresh for every object.</summary>
    public required ReadOnlyMemory<byte> Nonce { get; init; }

    /// <summary>Null from every node of ours: an unkeyed hash of an answer gives the answer away. 32 bytes from origin nodes.</summary>
    public ReadOnlyMemory<byte>? ResponseHash { get; init; }

    /// <summary>Null from every node of ours. From origin nodes a text that nobody checks here: it signs a hash that we do not ask for.</summary>
    public string? Signature { get; init; }

    /// <summary>Tokens in clear, as the node counted them for the gateway; null where there are none, as in the events of a stream.</summary>
    public ClearUsage? Usage { get; init; }

    /// <summary>Reads one from arbitrary bytes; members that it does not know are passed over, and none may stand twice.</summary>
    public static bool TryParse(ReadOnlyMemory<byte> json, [NotNullWhen(true)] out SealedAnswer? answer)
    {
        answer = null;
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 16, AllowDuplicateProperties = false });
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object
                || !TryBytes(root, "ciphertext"u8, out var ciphertext) || ciphertext is null || ciphertext.Length < Aes256Gcm.TagSize
                || !TryBytes(root, "nonce"u8, out var nonce) || nonce is not { Length: Aes256Gcm.NonceSize }
                || !TryBytes(root, "response_hash"u8, out var hash) || hash is not (null or { Length: Blake2b256.Size }))
                return false;
            answer = new SealedAnswer
            {
                Ciphertext = ciphertext,
                Nonce = nonce,
                ResponseHash = hash is null ? (ReadOnlyMemory<byte>?)null : hash,
                Signature = root.TryGetProperty("signature"u8, out var signature) && signature.ValueKind == JsonValueKind.String
                    ? signature.GetString()
                    : null,
                Usage = ReadUsage(root),
            };
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    // What stands in clear is nobody's proof: a usage of another shape is none, and does not keep the answer from being opened.
    private static ClearUsage? ReadUsage(JsonElement root)
    {
        if (!root.TryGetProperty("usage"u8, out var usage) || usage.ValueKind != JsonValueKind.Object
            || Tokens(usage, "prompt_tokens"u8) is not { } prompt)
            return null;
        return new ClearUsage(prompt, Tokens(usage, "completion_tokens"u8) ?? 0); // embeddings complete nothing
    }

    private static long? Tokens(JsonElement usage, ReadOnlySpan<byte> name) =>
        usage.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var tokens) && tokens >= 0
            ? tokens
            : null;

    private static bool TryBytes(JsonElement root, ReadOnlySpan<byte> name, out byte[]? bytes)
    {
        bytes = null;
        if (!root.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null)
            return true;
        if (value.ValueKind != JsonValueKind.String || !StrictBase64.TryDecode(value.GetString(), out var decoded))
            return false;
        bytes = decoded;
        return true;
    }
}
