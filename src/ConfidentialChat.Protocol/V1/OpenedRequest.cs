// spec/envelope-v1.md sections 4, 7 and 8, the node's side.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Protocol.V1;

/// <summary>A request that has been opened and authenticated, and what seals its answer. Disposal erases key and plaintext.</summary>
public sealed class OpenedRequest : IDisposable
{
    /// <summary>Events of a stream are padded to a multiple of this many bytes before they are sealed; section 8.</summary>
    public const int EventBlockSize = 256;

    private readonly ContentKey key;
    private readonly byte[] plaintext;
    private readonly SpentNonces nonces = new();

    private OpenedRequest(ContentKey key, byte[] plaintext, UInt128 replayTag)
    {
        this.key = key;
        this.plaintext = plaintext;
        ReplayTag = replayTag;
    }

    /// <summary>The bytes as opened, valid until disposal.</summary>
    public ReadOnlyMemory<byte> Plaintext => plaintext;

    /// <summary>Names this request among those opened under the same tagger; section 6.</summary>
    public UInt128 ReplayTag { get; }

    /// <summary>Opens an envelope with the node's private key.</summary>
    /// <param name="envelope">A parsed envelope.</param>
    /// <param name="nodeKey">The private key of <see cref="EnvelopeRequest.NodeKey"/>.</param>
    /// <param name="tagger">Names the request for the replay memory.</param>
    /// <param name="opened">The opened request; the caller disposes of it.</param>
    /// <param name="rejection">A low-order client key, or "could not be opened": never whether tag or hash was wrong.</param>
    public static bool TryOpen(
        EnvelopeRequest envelope,
        X25519PrivateKey nodeKey,
        Blake2bTagger tagger,
        [NotNullWhen(true)] out OpenedRequest? opened,
        [NotNullWhen(false)] out Rejection? rejection)
    {
        opened = null;
        rejection = null;
        // 1 secret = X25519(node, client); all zeros: INVALID_KEY
        // 2 key = HKDF-SHA256(secret, salt)
        if (!ContentKey.TryDerive(nodeKey, envelope.ClientKey, envelope.Salt.Span, out var key))
        {
            rejection = new Rejection(RequestError.InvalidKey);
            return false;
        }

        // 3 plaintext = AES-256-GCM-Open(key, nonce, ciphertext)
        // 4 BLAKE2b-256(plaintext) = plaintext_body_hash, in constant time
        var plaintext = new byte[envelope.Ciphertext.Length - Aes256Gcm.TagSize];
        if (!key.Aead.TryOpen(envelope.Nonce.Span, [], envelope.Ciphertext.Span, plaintext)
            || !Blake2b256.Matches(plaintext, envelope.PlaintextBodyHash.Span))
        {
            CryptographicOperations.ZeroMemory(plaintext);
            key.Dispose();
            rejection = new Rejection(RequestError.DecryptionFailed);
            return false;
        }

        opened = new OpenedRequest(key, plaintext, key.ReplayTag(tagger, envelope.Nonce.Span));
        opened.nonces.TrySpend(envelope.Nonce.Span);
        return true;
    }

    /// <summary>Seals a whole answer: padded with blanks to its Padmé length.</summary>
    /// <param name="json">UTF-8 JSON.</param>
    /// <param name="usage">Tokens, shown outside in the clear as the origin API does.</param>
    /// <param name="output">Takes the sealed object, UTF-8 JSON on one line.</param>
    public void SealWhole(ReadOnlySpan<byte> json, ClearUsage? usage, IBufferWriter<byte> output) =>
        Seal(json, Padme.Length(json.Length), usage, output);

    /// <summary>Seals one event of a stream: padded with blanks to a multiple of <see cref="EventBlockSize"/>, under a nonce of its own.</summary>
    public void SealEvent(ReadOnlySpan<byte> json, ClearUsage? usage, IBufferWriter<byte> output) =>
        Seal(json, (json.Length + EventBlockSize - 1) / EventBlockSize * EventBlockSize, usage, output);

    public void Dispose()
    {
        CryptographicOperations.ZeroMemory(plaintext);
        key.Dispose();
    }

    private void Seal(ReadOnlySpan<byte> json, int paddedSize, ClearUsage? usage, IBufferWriter<byte> output)
    {
        var size = paddedSize + Aes256Gcm.TagSize;
        var padded = ArrayPool<byte>.Shared.Rent(paddedSize);
        var ciphertext = ArrayPool<byte>.Shared.Rent(size);
        try
        {
            json.CopyTo(padded);
            padded.AsSpan(json.Length, paddedSize - json.Length).Fill((byte)' ');
            Span<byte> nonce = stackalloc byte[Aes256Gcm.NonceSize];
            do
                RandomNumberGenerator.Fill(nonce);
            while (!nonces.TrySpend(nonce));
            key.Aead.Seal(nonce, [], padded.AsSpan(0, paddedSize), ciphertext.AsSpan(0, size));
            Write(output, ciphertext.AsSpan(0, size), nonce, usage);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(padded);
            ArrayPool<byte>.Shared.Return(padded);
            ArrayPool<byte>.Shared.Return(ciphertext);
        }
    }

    private static void Write(IBufferWriter<byte> output, ReadOnlySpan<byte> ciphertext, ReadOnlySpan<byte> nonce, ClearUsage? usage)
    {
        using var writer = new Utf8JsonWriter(output);
        writer.WriteStartObject();
        writer.WriteBase64String("ciphertext"u8, ciphertext);
        writer.WriteBase64String("nonce"u8, nonce);
        writer.WriteNull("response_hash"u8);
        writer.WriteNull("signature"u8);
        if (usage is { } tokens)
        {
            writer.WriteStartObject("usage"u8);
            writer.WriteNumber("prompt_tokens"u8, tokens.PromptTokens);
            writer.WriteNumber("completion_tokens"u8, tokens.CompletionTokens);
            writer.WriteNumber("total_tokens"u8, tokens.PromptTokens + tokens.CompletionTokens);
            writer.WriteEndObject();
        }

        writer.WriteEndObject();
    }
}

/// <summary>Token counts that stand outside the ciphertext.</summary>
public readonly record struct ClearUsage(long PromptTokens, long CompletionTokens);
