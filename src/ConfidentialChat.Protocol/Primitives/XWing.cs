// draft-connolly-cfrg-xwing-kem; spec/oblivious-v2.md section 3.2.
namespace ConfidentialChat.Protocol.Primitives;

/// <summary>X-Wing, that is MLKEM768-X25519: safe as long as one of ML-KEM-768 and X25519 is.</summary>
internal static class XWing
{
    public const int PublicKeySize = MlKem768.PublicKeySize + X25519PublicKey.Size; // 1216
    public const int CiphertextSize = MlKem768.CiphertextSize + X25519PublicKey.Size; // 1120
    public const int SeedSize = 32; // the private key
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

/// <summary>An X-Wing private key: a seed of 32 bytes in guarded memory, erased on disposal.</summary>
internal sealed class XWingPrivateKey : IDisposable
{
    private readonly GuardedSecret seed;
    private readonly byte[] publicKey;

    private XWingPrivateKey(GuardedSecret seed, byte[] publicKey)
    {
        this.seed = seed;
        this.publicKey = publicKey;
    }

    public ReadOnlySpan<byte> PublicKey => publicKey;

    public static XWingPrivateKey Generate()
    {
        var (seed, publicKey) = (new GuardedSecret(XWing.SeedSize), new byte[XWing.PublicKeySize]);
        if (Sodium.crypto_kem_xwing_keypair(publicKey, seed) != 0)
            throw new InvalidOperationException("libsodium made no X-Wing key.");
        return new(seed, publicKey);
    }

    /// <summary>Takes 32 secret bytes; the caller clears its own copy.</summary>
    public static XWingPrivateKey Import(ReadOnlySpan<byte> secret)
    {
        Size.Require(secret, XWing.SeedSize, nameof(secret));
        var (seed, publicKey) = (new GuardedSecret(XWing.SeedSize), new byte[XWing.PublicKeySize]);
        if (Sodium.crypto_kem_xwing_seed_keypair(publicKey, seed, secret) != 0)
            throw new InvalidOperationException("libsodium made no X-Wing key.");
        return new(seed, publicKey);
    }

    /// <returns>
    /// False for a low-order X25519 half. A damaged ML-KEM half gives a wrong secret instead (implicit rejection).
    /// </returns>
    public bool TryDecapsulate(ReadOnlySpan<byte> ciphertext, Span<byte> sharedSecret)
    {
        Size.Require(ciphertext, XWing.CiphertextSize, nameof(ciphertext));
        Size.Require(sharedSecret, XWing.SharedSecretSize, nameof(sharedSecret));
        return Sodium.crypto_kem_xwing_dec(sharedSecret, ciphertext, seed) == 0;
    }

    public void Dispose() => seed.Dispose();
}
