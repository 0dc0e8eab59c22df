// draft-connolly-cfrg-xwing-kem; spec/oblivious-v2.md section 3.2.
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>X-Wing, that is MLKEM768-X25519: safe as long as one of ML-KEM-768 and X25519 is.</summary>
internal static class XWing
{
    public const int PublicKeySize = MlKem768.PublicKeySize + X25519PublicKey.Size; // 1216
    public const int CiphertextSize = MlKem768.CiphertextSize + X25519PublicKey.Size; // 1120
    public const int SeedSize = 32; // the private key
    public const int ScalarSize = 32; // of its X25519 half
    public const int SharedSecretSize = 32;
    public const int EncapsulationSeedSize = 64; // m of ML-KEM ‖ ephemeral X25519 scalar

    /// <summary>Whether both halves can be encapsulated to: the ML-KEM key is reduced, the X25519 key not of low order.</summary>
    public static bool IsValid(ReadOnlySpan<byte> publicKey) =>
        publicKey.Length == PublicKeySize
        && MlKem768.IsReduced(publicKey[..MlKem768.PublicKeySize])
        && !X25519PrivateKey.IsLowOrder(new X25519PublicKey(publicKey[MlKem768.PublicKeySize..]));

    /// <returns>False for a public key that is not valid.</returns>
    public static bool TryEncapsulate(ReadOnlySpan<byte> publicKey, Span<byte> ciphertext, Span<byte> sharedSecret)
    {
        RequireSizes(publicKey, ciphertext, sharedSecret);
        return Sodium.crypto_kem_xwing_enc(ciphertext, sharedSecret, publicKey) == 0;
    }

    /// <summary>The same with given randomness, for vectors: a repeated <paramref name="eseed"/> repeats the secret.</summary>
    public static bool TryEncapsulate(
        ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> eseed, Span<byte> ciphertext, Span<byte> sharedSecret)
    {
        RequireSizes(publicKey, ciphertext, sharedSecret);
        Size.Require(eseed, EncapsulationSeedSize, nameof(eseed));
        return Sodium.crypto_kem_xwing_enc_deterministic(ciphertext, sharedSecret, publicKey, eseed) == 0;
    }

    private static void RequireSizes(ReadOnlySpan<byte> publicKey, Span<byte> ciphertext, Span<byte> sharedSecret)
    {
        Size.Require(publicKey, PublicKeySize, nameof(publicKey));
        Size.Require(ciphertext, CiphertextSize, nameof(ciphertext));
        Size.Require(sharedSecret, SharedSecretSize, nameof(sharedSecret));
    }
}

/// <summary>
/// An X-Wing private key in guarded memory, erased on disposal. It is kept expanded: libsodium's own decapsulation makes the ML-KEM key
/// from the seed each time, which is a third of its cost (143 us against 93).
/// </summary>
internal sealed class XWingPrivateKey : IDisposable
{
    private static ReadOnlySpan<byte> Label => @"\.//^\"u8;

    private readonly MlKem768PrivateKey mlKem;
    private readonly X25519PrivateKey x25519;
    private readonly byte[] publicKey;

    // expanded = SHAKE256(seed, 96) = ML-KEM seed (64) ‖ X25519 scalar (32)
    private XWingPrivateKey(ReadOnlySpan<byte> seed)
    {
        Span<byte> expanded = stackalloc byte[MlKem768.SeedSize + XWing.ScalarSize];
        try
        {
            Shake256.Hash(seed, expanded);
            mlKem = new MlKem768PrivateKey(expanded[..MlKem768.SeedSize]);
            x25519 = X25519PrivateKey.Import(expanded[MlKem768.SeedSize..]);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(expanded);
        }

        publicKey = [.. mlKem.PublicKey, .. x25519.PublicKey.Span];
    }

    public ReadOnlySpan<byte> PublicKey => publicKey;

    public static XWingPrivateKey Generate()
    {
        Span<byte> seed = stackalloc byte[XWing.SeedSize];
        RandomNumberGenerator.Fill(seed);
        try
        {
            return new(seed);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(seed);
        }
    }

    /// <summary>Takes 32 secret bytes; the caller clears its own copy.</summary>
    public static XWingPrivateKey Import(ReadOnlySpan<byte> secret)
    {
        Size.Require(secret, XWing.SeedSize, nameof(secret));
        return new(secret);
    }

    /// <returns>
    /// False for a low-order X25519 half. A damaged ML-KEM half gives a wrong secret instead (implicit rejection).
    /// </returns>
    public bool TryDecapsulate(ReadOnlySpan<byte> ciphertext, Span<byte> sharedSecret)
    {
        Size.Require(ciphertext, XWing.CiphertextSize, nameof(ciphertext));
        Size.Require(sharedSecret, XWing.SharedSecretSize, nameof(sharedSecret));
        var ephemeral = ciphertext[MlKem768.CiphertextSize..];

        // ss = SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label)
        Span<byte> combined = stackalloc byte[MlKem768.SharedSecretSize + X25519PrivateKey.SharedSecretSize + (2 * X25519PublicKey.Size) + Label.Length];
        try
        {
            if (!x25519.TryAgree(new X25519PublicKey(ephemeral), combined.Slice(MlKem768.SharedSecretSize, X25519PrivateKey.SharedSecretSize)))
                return false;
            mlKem.Decapsulate(ciphertext[..MlKem768.CiphertextSize], combined[..MlKem768.SharedSecretSize]);
            var rest = combined[(MlKem768.SharedSecretSize + X25519PrivateKey.SharedSecretSize)..];
            ephemeral.CopyTo(rest);
            x25519.PublicKey.Span.CopyTo(rest[X25519PublicKey.Size..]);
            Label.CopyTo(rest[(2 * X25519PublicKey.Size)..]);
            return Sodium.crypto_hash_sha3256(sharedSecret, combined, (ulong)combined.Length) == 0;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(combined);
        }
    }

    public void Dispose()
    {
        mlKem.Dispose();
        x25519.Dispose();
    }
}
