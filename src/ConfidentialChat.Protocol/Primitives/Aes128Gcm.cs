// NIST SP 800-38D with 96-bit nonces and 128-bit tags, by the platform's library.
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>AES-128-GCM, which libsodium does not have.</summary>
internal sealed class Aes128Gcm : IAead
{
    public const int KeySize = 16;

    private readonly AesGcm aes;

    /// <summary>Copies the 16 bytes of <paramref name="secret"/>; the caller clears its own.</summary>
    public Aes128Gcm(ReadOnlySpan<byte> secret)
    {
        Size.Require(secret, KeySize, nameof(secret));
        aes = new AesGcm(secret, IAead.TagSize);
    }

    public void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext)
    {
        if (ciphertext.Length != plaintext.Length + IAead.TagSize)
            throw new ArgumentException("The ciphertext is as long as the plaintext and the tag.", nameof(ciphertext));
        aes.Encrypt(nonce, plaintext, ciphertext[..plaintext.Length], ciphertext[plaintext.Length..], associatedData);
    }

    public bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext)
    {
        if (nonce.Length != IAead.NonceSize || ciphertext.Length < IAead.TagSize)
            return false;
        if (plaintext.Length != ciphertext.Length - IAead.TagSize)
            throw new ArgumentException("The plaintext is as long as the ciphertext without its tag.", nameof(plaintext));
        try
        {
            aes.Decrypt(nonce, ciphertext[..^IAead.TagSize], ciphertext[^IAead.TagSize..], plaintext, associatedData);
            return true;
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }
    }

    public void Dispose() => aes.Dispose();
}
