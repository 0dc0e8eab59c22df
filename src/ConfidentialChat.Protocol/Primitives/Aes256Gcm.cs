// NIST SP 800-38D with 96-bit nonces and 128-bit tags; used by spec/envelope-v1.md section 3 and spec/oblivious-v2.md section 3.
using NSec.Cryptography;
using Aes256GcmAlgorithm = NSec.Cryptography.Aes256Gcm;
using Bcl = System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>AES-256-GCM under one key. libsodium where the processor has AES-NI, else the platform's. Not for concurrent use.</summary>
public sealed class Aes256Gcm : IAead
{
    public const int KeySize = 32;
    public const int NonceSize = 12;
    public const int TagSize = 16;

    internal static readonly bool LibsodiumHasAes = Aes256GcmAlgorithm.IsSupported;

    private readonly Key? key;
    private readonly Bcl.AesGcm? platform;

    /// <summary>Copies the 32 bytes of <paramref name="secret"/>; the caller clears its own.</summary>
    public Aes256Gcm(ReadOnlySpan<byte> secret)
        : this(secret, LibsodiumHasAes)
    {
    }

    /// <summary>Chooses the library, so that tests run both on one processor.</summary>
    internal Aes256Gcm(ReadOnlySpan<byte> secret, bool libsodium)
    {
        if (secret.Length != KeySize)
            throw new ArgumentException($"An AES-256 key has {KeySize} bytes, not {secret.Length}.", nameof(secret));
        if (libsodium)
            key = Key.Import(AeadAlgorithm.Aes256Gcm, secret, KeyBlobFormat.RawSymmetricKey);
        else
            platform = new Bcl.AesGcm(secret, TagSize);
    }

    /// <summary>Writes ciphertext and tag, <c>plaintext.Length + 16</c> bytes.</summary>
    public void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext)
    {
        if (ciphertext.Length != plaintext.Length + TagSize)
            throw new ArgumentException("The ciphertext is as long as the plaintext and the tag.", nameof(ciphertext));
        if (key is not null)
            AeadAlgorithm.Aes256Gcm.Encrypt(key, nonce, associatedData, plaintext, ciphertext);
        else
            platform!.Encrypt(nonce, plaintext, ciphertext[..plaintext.Length], ciphertext[plaintext.Length..], associatedData);
    }

    /// <summary>Writes the plaintext, 16 bytes less; false, with zeros written, where it does not authenticate.</summary>
    public bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext)
    {
        if (nonce.Length != NonceSize || ciphertext.Length < TagSize)
            return false;
        if (plaintext.Length != ciphertext.Length - TagSize)
            throw new ArgumentException("The plaintext is as long as the ciphertext without its tag.", nameof(plaintext));
        if (key is not null)
        {
            var authentic = AeadAlgorithm.Aes256Gcm.Decrypt(key, nonce, associatedData, ciphertext, plaintext);
            if (!authentic)
                plaintext.Clear(); // libsodium leaves what it decrypted
            return authentic;
        }

        try
        {
            platform!.Decrypt(nonce, ciphertext[..^TagSize], ciphertext[^TagSize..], plaintext, associatedData);
            return true;
        }
        catch (Bcl.AuthenticationTagMismatchException)
        {
            return false;
        }
    }

    public void Dispose()
    {
        key?.Dispose();
        platform?.Dispose();
    }
}
