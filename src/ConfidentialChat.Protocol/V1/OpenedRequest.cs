// spec/envelope-v1.md sections 4, 7 and 8, the node's side.
using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
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
    private Memory<byte> plaintext;
    private readonly SpentNonces nonces = new();
    private readonly FreshNonces fresh = new();
    private long events; // sealed so far
    private bool isEnded;
    private byte[] work = []; // plaintext, and in its place what it is sealed to

    private OpenedRequest(ContentKey key, Memory<byte> plaintext, UInt128 replayTag)
    {
        this.key = key;
        this.plaintext = plaintext;
        ReplayTag = replayTag;
    }

    /// <summary>The bytes as opened, valid until they are forgotten.</summary>
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
        [NotNullWhen(false)] out Rejection? rejection) =>
        TryOpen(envelope, nodeKey, tagger, new byte[Math.Max(envelope.Ciphertext.Length - Aes256Gcm.TagSize, 0)], out opened, out rejection);

    /// <summary>
    /// The same, and writes the plaintext over the envelope's ciphertext: a large
    /// request is in memory once. The envelope cannot be opened again.
    /// </summary>
    /// <remarks>
    /// The envelope is of <see cref="EnvelopeRequest.TryParseInPlace"/>, or its bytes are the
    /// caller's to change; they are needed until they are forgotten.
    /// </remarks>
    /// <inheritdoc cref="TryOpen(EnvelopeRequest, X25519PrivateKey, Blake2bTagger, out OpenedRequest?, out Rejection?)"/>
    public static bool TryOpenInPlace(
        EnvelopeRequest envelope,
        X25519PrivateKey nodeKey,
        Blake2bTagger tagger,
        [NotNullWhen(true)] out OpenedRequest? opened,
        [NotNullWhen(false)] out Rejection? rejection) =>
        TryOpen(envelope, nodeKey, tagger, MemoryMarshal.AsMemory(envelope.Ciphertext)[..^Aes256Gcm.TagSize], out opened, out rejection);

    private static bool TryOpen(
        EnvelopeRequest envelope,
        X25519PrivateKey nodeKey,
        Blake2bTagger tagger,
        Memory<byte> plaintext,
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
        if (!key.Aead.TryOpen(envelope.Nonce.Span, [], envelope.Ciphertext.Span, plaintext.Span)
            || !Blake2b256.Matches(plaintext.Span, envelope.PlaintextBodyHash.Span))
        {
            CryptographicOperations.ZeroMemory(plaintext.Span);
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
        Seal([], json, Padme.Length(json.Length), usage, output);

    /// <summary>
    /// Seals the next event of a stream: its place in front of its members, padded with blanks to a multiple of
    /// <see cref="EventBlockSize"/>, under a nonce of its own.
    /// </summary>
    /// <param name="json">One JSON object in UTF-8 on one line.</param>
    /// <param name="isLast">Whether no other follows: a reader takes a stream without its last event for one that was cut.</param>
    /// <param name="output">Takes the sealed object, UTF-8 JSON on one line.</param>
    /// <exception cref="ArgumentException">It is no object.</exception>
    /// <exception cref="InvalidOperationException">The last one has been sealed.</exception>
    public void SealEvent(ReadOnlySpan<byte> json, bool isLast, IBufferWriter<byte> output)
    {
        if (isEnded)
            throw new InvalidOperationException("The last event has been sealed.");
        json = json.Trim(" \t"u8);
        if (json.Length < 2 || json[0] != '{' || json[^1] != '}')
            throw new ArgumentException("An event is one JSON object.", nameof(json));
        var members = json[1..];
        Span<byte> start = stackalloc byte[EventPlace.MaxSize];
        var size = new EventPlace(events++, isLast).Write(start);
        isEnded = isLast;
        if (members.TrimStart(" \t"u8).Length > 1)
            start[size++] = (byte)',';
        else
            members = "}"u8;
        var length = size + members.Length;
        Seal(start[..size], members, (length + EventBlockSize - 1) / EventBlockSize * EventBlockSize, null, output);
    }

    /// <summary>Erases the plaintext: who has read it needs it no more, and an answer may take long.</summary>
    public void Forget()
    {
        CryptographicOperations.ZeroMemory(plaintext.Span);
        plaintext = default;
    }

    public void Dispose()
    {
        Forget();
        CryptographicOperations.ZeroMemory(work);
        key.Dispose();
    }

    private void Seal(ReadOnlySpan<byte> start, ReadOnlySpan<byte> rest, int paddedSize, ClearUsage? usage, IBufferWriter<byte> output)
    {
        var size = paddedSize + Aes256Gcm.TagSize;
        if (work.Length < size)
        {
            CryptographicOperations.ZeroMemory(work);
            work = new byte[Math.Max(size, EventBlockSize * 4)];
        }

        var padded = work.AsSpan(0, paddedSize);
        start.CopyTo(padded);
        rest.CopyTo(padded[start.Length..]);
        padded[(start.Length + rest.Length)..].Fill((byte)' ');
        Span<byte> nonce = stackalloc byte[Aes256Gcm.NonceSize];
        do
            fresh.Next(nonce);
        while (!nonces.TrySpend(nonce));
        key.Aead.Seal(nonce, [], padded, work.AsSpan(0, size)); // in place: the plaintext is gone with it
        Write(output, work.AsSpan(0, size), nonce, usage);
    }

    // By hand, because a stream is made of these: base64 needs no escaping, and all sizes are known.
    private static void Write(IBufferWriter<byte> output, ReadOnlySpan<byte> ciphertext, ReadOnlySpan<byte> nonce, ClearUsage? usage)
    {
        output.Write("{\"ciphertext\":\""u8);
        WriteBase64(output, ciphertext);
        output.Write("\",\"nonce\":\""u8);
        WriteBase64(output, nonce);
        output.Write("\",\"response_hash\":null,\"signature\":null"u8);
        if (usage is { } tokens)
        {
            output.Write(",\"usage\":{\"prompt_tokens\":"u8);
            WriteNumber(output, tokens.PromptTokens);
            output.Write(",\"completion_tokens\":"u8);
            WriteNumber(output, tokens.CompletionTokens);
            output.Write(",\"total_tokens\":"u8);
            WriteNumber(output, tokens.PromptTokens + tokens.CompletionTokens);
            output.Write("}"u8);
        }

        output.Write("}"u8);
    }

    private static void WriteBase64(IBufferWriter<byte> output, ReadOnlySpan<byte> bytes)
    {
        Base64.EncodeToUtf8(bytes, output.GetSpan(Base64.GetMaxEncodedToUtf8Length(bytes.Length)), out _, out var written);
        output.Advance(written);
    }

    private static void WriteNumber(IBufferWriter<byte> output, long number)
    {
        number.TryFormat(output.GetSpan(20), out var written, default, CultureInfo.InvariantCulture);
        output.Advance(written);
    }
}

/// <summary>Token counts that stand outside the ciphertext.</summary>
public readonly record struct ClearUsage(long PromptTokens, long CompletionTokens);
