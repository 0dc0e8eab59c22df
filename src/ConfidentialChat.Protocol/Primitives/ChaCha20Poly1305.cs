// RFC 8439.
using NSec.Cryptography;
using Algorithm = NSec.Cryptography.AeadAlgorithm;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>ChaCha20-Poly1305 under one key, which lies in guarded memory.</summary>
internal sealed class ChaCha20Poly1305 : IAead
{
    public const int KeySize = 32;

    private readonly Key key;

    /// <summary>Copies the 32 bytes of <paramref name="secret"/>; the caller clears its own.</summary>
    public ChaCha20Poly1305(ReadOnlySpan<byte> secret)
    {
        Size.Require(secret, KeySize, nameof(secret));
        key = Key.Import(Algorithm.ChaCha20Poly1305, secret, KeyBlobFormat.RawSymmetricKey);
    }

    public void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext)
    {
        if (ciphertext.Length != plaintext.Length + IAead.TagSize)
            throw new ArgumentException("The ciphertext is as long as the plaintext and the tag.", nameof(ciphertext));
        Algorithm.ChaCha20Poly1305.Encrypt(key, nonce, associatedData, plaintext, ciphertext);
    }

    public bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext)
    {
        if (nonce.Length != IAead.NonceSize || ciphertext.Length < IAead.TagSize)
            return false;
        if (plaintext.Length != ciphertext.Length - IAead.TagSize)
            throw new ArgumentException("The plaintext is as long as the ciphertext without its tag.", nameof(plaintext));
        var authentic = Algorithm.ChaCha20Poly1305.Decrypt(key, nonce, associatedData, ciphertext, plaintext);
        if (!authentic)
            plaintext.Clear(); // libsodium leaves what it decrypted
        return authentic;
    }

    public void Dispose() => key.Dispose();
}
