// RFC 8439.
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>ChaCha20-Poly1305 under one key, which is erased on disposal.</summary>
internal sealed class ChaCha20Poly1305 : IAead
{
    public const int KeySize = 32;

    // Pinned, so that no copy stays behind where the collector moves it; not guarded, as AesSchedule says.
    private readonly byte[] key = GC.AllocateUninitializedArray<byte>(KeySize, pinned: true);
    private bool isDisposed;

    /// <summary>Copies the 32 bytes of <paramref name="secret"/>; the caller clears its own.</summary>
    public ChaCha20Poly1305(ReadOnlySpan<byte> secret)
    {
        Size.Require(secret, KeySize, nameof(secret));
        secret.CopyTo(key);
    }

    public void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext)
    {
        if (ciphertext.Length != plaintext.Length + IAead.TagSize)
            throw new ArgumentException("The ciphertext is as long as the plaintext and the tag.", nameof(ciphertext));
        Size.Require(nonce, IAead.NonceSize, nameof(nonce));
        Aes256Gcm.RequireNoOverlap(plaintext, ciphertext);
        ObjectDisposedException.ThrowIf(isDisposed, this);
        _ = Sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
            ciphertext, 0, plaintext, (ulong)plaintext.Length, associatedData, (ulong)associatedData.Length, 0, nonce, key);
    }

    public bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext)
    {
        if (nonce.Length != IAead.NonceSize || ciphertext.Length < IAead.TagSize)
            return false;
        if (plaintext.Length != ciphertext.Length - IAead.TagSize)
            throw new ArgumentException("The plaintext is as long as the ciphertext without its tag.", nameof(plaintext));
        Aes256Gcm.RequireNoOverlap(plaintext, ciphertext);
        ObjectDisposedException.ThrowIf(isDisposed, this);
        var authentic = Sodium.crypto_aead_chacha20poly1305_ietf_decrypt(
            plaintext, 0, 0, ciphertext, (ulong)ciphertext.Length, associatedData, (ulong)associatedData.Length, nonce, key) == 0;
        if (!authentic)
            plaintext.Clear(); // libsodium leaves what it decrypted
        return authentic;
    }

    public void Dispose()
    {
        isDisposed = true;
        CryptographicOperations.ZeroMemory(key);
    }
}
