// spec/envelope-v1.md sections 7 and 8, the client's side.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
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

    /// <summary>Opens one sealed object into a buffer that serves for many; otherwise as the other.</summary>
    /// <param name="sealedJson">UTF-8 JSON <c>{"ciphertext","nonce",…}</c>.</param>
    /// <param name="buffer">As long as <paramref name="sealedJson"/> at least; takes the plaintext, and the caller clears it.</param>
    /// <param name="size">How many bytes of it are the plaintext: JSON with padding blanks at its end.</param>
    /// <exception cref="ArgumentException">The buffer is shorter.</exception>
    public bool TryOpen(ReadOnlySpan<byte> sealedJson, Span<byte> buffer, out int size)
    {
        if (buffer.Length < sealedJson.Length)
            throw new ArgumentException("The buffer is as long as the sealed object at least.", nameof(buffer));
        size = 0;
        if (!SealedObject.TryRead(sealedJson, out var read) || !StrictBase64.TryDecode(read.Ciphertext, buffer, out var sealedSize)
            || sealedSize < Aes256Gcm.TagSize)
            return false;
        Span<byte> nonce = stackalloc byte[Aes256Gcm.NonceSize];
        Span<byte> hash = stackalloc byte[Blake2b256.Size];
        if (!read.TryGetNonce(nonce) || !read.TryGetResponseHash(hash, out var isHashed) || !nonces.TrySpend(nonce))
            return false;
        var opened = buffer[..(sealedSize - Aes256Gcm.TagSize)];
        if (!key.Aead.TryOpen(nonce, [], buffer[..sealedSize], opened) || (isHashed && !Blake2b256.Matches(opened, hash)))
        {
            CryptographicOperations.ZeroMemory(opened);
            return false;
        }

        size = opened.Length;
        return true;
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

    /// <summary>Reads one from arbitrary bytes; members that it does not know are passed over, and none of the others may stand twice.</summary>
    public static bool TryParse(ReadOnlyMemory<byte> json, [NotNullWhen(true)] out SealedAnswer? answer)
    {
        answer = null;
        var (nonce, hash) = (new byte[Aes256Gcm.NonceSize], new byte[Blake2b256.Size]);
        if (!SealedObject.TryRead(json.Span, out var read)
            || !StrictBase64.TryDecode(read.Ciphertext, out var ciphertext) || ciphertext.Length < Aes256Gcm.TagSize
            || !read.TryGetNonce(nonce) || !read.TryGetResponseHash(hash, out var isHashed))
            return false;
        answer = new SealedAnswer
        {
            Ciphertext = ciphertext,
            Nonce = nonce,
            ResponseHash = isHashed ? (ReadOnlyMemory<byte>?)hash : null,
            Signature = read.Signature,
            Usage = read.Usage,
        };
        return true;
    }
}
