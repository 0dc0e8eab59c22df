// FIPS 203, parameter set ML-KEM-768; half of MLKEM768-X25519, spec/oblivious-v2.md section 3.2.
namespace ConfidentialChat.Protocol.Primitives;

/// <summary>ML-KEM-768: sizes, the check of public keys, and encapsulation.</summary>
internal static class MlKem768
{
    public const int PublicKeySize = 1184; // FIPS 203 table 3
    public const int PrivateKeySize = 2400;
    public const int CiphertextSize = 1088;
    public const int SharedSecretSize = 32;
    public const int SeedSize = 64; // d ‖ z
    public const int EncapsulationSeedSize = 32; // m

    private const int Modulus = 3329; // q
    private const int PolynomialsSize = 1152; // 3 polynomials of 256 coefficients of 12 bits

    /// <summary>Whether every coefficient is below q, FIPS 203 section 7.2: without this check one key has several spellings.</summary>
    public static bool IsReduced(ReadOnlySpan<byte> publicKey)
    {
        Size.Require(publicKey, PublicKeySize, nameof(publicKey));
        for (var i = 0; i < PolynomialsSize; i += 3)
        {
            var first = publicKey[i] | ((publicKey[i + 1] & 0x0F) << 8);
            var second = (publicKey[i + 1] >> 4) | (publicKey[i + 2] << 4);
            if (first >= Modulus || second >= Modulus)
                return false;
        }

        return true;
    }

    /// <returns>False for a public key that is not reduced.</returns>
    public static bool TryEncapsulate(ReadOnlySpan<byte> publicKey, Span<byte> ciphertext, Span<byte> sharedSecret)
    {
        RequireSizes(publicKey, ciphertext, sharedSecret);
        return Sodium.crypto_kem_mlkem768_enc(ciphertext, sharedSecret, publicKey) == 0;
    }

    /// <summary>The same with given randomness, for vectors: a repeated <paramref name="m"/> repeats the secret.</summary>
    public static bool TryEncapsulate(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> m, Span<byte> ciphertext, Span<byte> sharedSecret)
    {
        RequireSizes(publicKey, ciphertext, sharedSecret);
        Size.Require(m, EncapsulationSeedSize, nameof(m));
        return Sodium.crypto_kem_mlkem768_enc_deterministic(ciphertext, sharedSecret, publicKey, m) == 0;
    }

    private static void RequireSizes(ReadOnlySpan<byte> publicKey, Span<byte> ciphertext, Span<byte> sharedSecret)
    {
        Size.Require(publicKey, PublicKeySize, nameof(publicKey));
        Size.Require(ciphertext, CiphertextSize, nameof(ciphertext));
        Size.Require(sharedSecret, SharedSecretSize, nameof(sharedSecret));
    }
}

/// <summary>An ML-KEM-768 private key, made from its seed, in guarded memory.</summary>
internal sealed class MlKem768PrivateKey : IDisposable
{
    private readonly GuardedSecret secret = new(MlKem768.PrivateKeySize);
    private readonly byte[] publicKey = new byte[MlKem768.PublicKeySize];

    /// <summary>Copies nothing of <paramref name="seed"/> (d ‖ z, 64 bytes); the caller clears it.</summary>
    public MlKem768PrivateKey(ReadOnlySpan<byte> seed)
    {
        Size.Require(seed, MlKem768.SeedSize, nameof(seed));
        if (Sodium.crypto_kem_mlkem768_seed_keypair(publicKey, secret, seed) != 0)
            throw new InvalidOperationException("libsodium made no ML-KEM-768 key.");
    }

    public ReadOnlySpan<byte> PublicKey => publicKey;

    /// <summary>Always gives a secret: for a damaged ciphertext a wrong one (implicit rejection, FIPS 203 section 6.3).</summary>
    public void Decapsulate(ReadOnlySpan<byte> ciphertext, Span<byte> sharedSecret)
    {
        Size.Require(ciphertext, MlKem768.CiphertextSize, nameof(ciphertext));
        Size.Require(sharedSecret, MlKem768.SharedSecretSize, nameof(sharedSecret));
        if (Sodium.crypto_kem_mlkem768_dec(sharedSecret, ciphertext, secret) != 0)
            throw new InvalidOperationException("libsodium did not decapsulate.");
    }

    public void Dispose() => secret.Dispose();
}
