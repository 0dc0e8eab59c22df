// NIST SP 800-38D with 96-bit nonces and 128-bit tags; used by spec/envelope-v1.md section 3 and spec/oblivious-v2.md section 3.
using Bcl = System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>AES-256-GCM under one key. libsodium where the processor has AES-NI, else the platform's. Not for concurrent use.</summary>
public sealed class Aes256Gcm : IAead
{
    public const int KeySize = 32;
    public const int NonceSize = 12;
    public const int TagSize = 16;

    internal static readonly bool LibsodiumHasAes = Sodium.crypto_aead_aes256gcm_is_available() == 1;

    private readonly AesSchedule? schedule;
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
            schedule = new AesSchedule(secret);
        else
            platform = new Bcl.AesGcm(secret, TagSize);
    }

    /// <summary>Writes ciphertext and tag, <c>plaintext.Length + 16</c> bytes.</summary>
    public void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext)
    {
        if (ciphertext.Length != plaintext.Length + TagSize)
            throw new ArgumentException("The ciphertext is as long as the plaintext and the tag.", nameof(ciphertext));
        Size.Require(nonce, NonceSize, nameof(nonce));
        if (schedule is null)
        {
            platform!.Encrypt(nonce, plaintext, ciphertext[..plaintext.Length], ciphertext[plaintext.Length..], associatedData);
            return;
        }

        RequireNoOverlap(plaintext, ciphertext);
        _ = Sodium.crypto_aead_aes256gcm_encrypt_afternm(
            ciphertext, 0, plaintext, (ulong)plaintext.Length, associatedData, (ulong)associatedData.Length, 0, nonce, schedule);
    }

    /// <summary>Writes the plaintext, 16 bytes less; false, with zeros written, where it does not authenticate.</summary>
    public bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext)
    {
        if (nonce.Length != NonceSize || ciphertext.Length < TagSize)
            return false;
        if (plaintext.Length != ciphertext.Length - TagSize)
            throw new ArgumentException("The plaintext is as long as the ciphertext without its tag.", nameof(plaintext));
        if (schedule is not null)
        {
            RequireNoOverlap(plaintext, ciphertext);
            var authentic = Sodium.crypto_aead_aes256gcm_decrypt_afternm(
                plaintext, 0, 0, ciphertext, (ulong)ciphertext.Length, associatedData, (ulong)associatedData.Length, nonce, schedule) == 0;
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
        schedule?.Dispose();
        platform?.Dispose();
    }

    // libsodium works in place or apart, and on buffers that overlap otherwise it corrupts what it has not read yet.
    internal static void RequireNoOverlap(ReadOnlySpan<byte> plaintext, ReadOnlySpan<byte> ciphertext)
    {
        if (plaintext.Overlaps(ciphertext, out var offset) && offset != 0)
            throw new ArgumentException("Plaintext and ciphertext are one buffer or two, not half of each other.", nameof(ciphertext));
    }
}
