// RFC 9180 section 4.1, DHKEM(X25519, HKDF-SHA256); spec/oblivious-v2.md section 3.
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Hpke;

internal sealed class DhkemX25519 : Kem
{
    public static readonly DhkemX25519 Instance = new();

    private DhkemX25519()
    {
    }

    public override KemId Id => KemId.DhkemX25519;

    public override int Npk => X25519PublicKey.Size;

    public override int Nenc => X25519PublicKey.Size;

    private static ReadOnlySpan<byte> SuiteId => "KEM\x00\x20"u8;

    public override bool IsValid(ReadOnlySpan<byte> publicKey) =>
        publicKey.Length == Npk && !X25519PrivateKey.IsLowOrder(new X25519PublicKey(publicKey));

    public override void Encap(ReadOnlySpan<byte> pkR, Span<byte> enc, Span<byte> sharedSecret)
    {
        using var skE = X25519PrivateKey.GenerateBrief();
        Encap(skE, pkR, enc, sharedSecret);
    }

    /// <summary>The randomness is the ephemeral private key.</summary>
    public override void Encap(ReadOnlySpan<byte> pkR, ReadOnlySpan<byte> randomness, Span<byte> enc, Span<byte> sharedSecret)
    {
        using var skE = X25519PrivateKey.Import(randomness);
        Encap(skE, pkR, enc, sharedSecret);
    }

    public override HpkePrivateKey Generate() => new PrivateKey(X25519PrivateKey.Generate());

    public override HpkePrivateKey Import(ReadOnlySpan<byte> secret)
    {
        Size.Require(secret, X25519PublicKey.Size, nameof(secret));
        return new PrivateKey(X25519PrivateKey.Import(secret));
    }

    public override HpkePrivateKey Derive(ReadOnlySpan<byte> ikm)
    {
        var sk = DeriveSecret(ikm);
        try
        {
            return Import(sk);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(sk);
        }
    }

    /// <summary>The private key of DeriveKeyPair, in the open.</summary>
    internal static byte[] DeriveSecret(ReadOnlySpan<byte> ikm)
    {
        Span<byte> dkp_prk = stackalloc byte[HkdfSha256.PrkSize];
        var sk = new byte[X25519PublicKey.Size];
        var kdf = new LabeledHkdf(SuiteId);
        // dkp_prk = LabeledExtract("", "dkp_prk", ikm)
        // sk = LabeledExpand(dkp_prk, "sk", "", Nsk)
        kdf.Extract([], "dkp_prk"u8, ikm, dkp_prk);
        kdf.Expand(dkp_prk, "sk"u8, [], sk);
        CryptographicOperations.ZeroMemory(dkp_prk);
        return sk;
    }

    // dh = DH(skE, pkR); enc = pkE; shared_secret = ExtractAndExpand(dh, enc ‖ pkR)
    private static void Encap(X25519PrivateKey skE, ReadOnlySpan<byte> pkR, Span<byte> enc, Span<byte> sharedSecret)
    {
        Span<byte> dh = stackalloc byte[X25519PrivateKey.SharedSecretSize];
        Require(skE.TryAgree(new X25519PublicKey(pkR), dh));
        skE.PublicKey.Span.CopyTo(enc);
        ExtractAndExpand(dh, enc, pkR, sharedSecret);
    }

    private static void ExtractAndExpand(Span<byte> dh, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> pkR, Span<byte> sharedSecret)
    {
        Span<byte> eae_prk = stackalloc byte[HkdfSha256.PrkSize];
        Span<byte> kem_context = stackalloc byte[2 * X25519PublicKey.Size];
        enc.CopyTo(kem_context);
        pkR.CopyTo(kem_context[X25519PublicKey.Size..]);
        var kdf = new LabeledHkdf(SuiteId);
        // eae_prk = LabeledExtract("", "eae_prk", dh)
        // shared_secret = LabeledExpand(eae_prk, "shared_secret", kem_context, Nsecret)
        kdf.Extract([], "eae_prk"u8, dh, eae_prk);
        kdf.Expand(eae_prk, "shared_secret"u8, kem_context, sharedSecret);
        CryptographicOperations.ZeroMemory(eae_prk);
        CryptographicOperations.ZeroMemory(dh);
    }

    private sealed class PrivateKey(X25519PrivateKey skR) : HpkePrivateKey(Instance, skR.PublicKey.Span)
    {
        // dh = DH(skR, enc); shared_secret = ExtractAndExpand(dh, enc ‖ pkR)
        internal override bool TryDecap(ReadOnlySpan<byte> enc, Span<byte> sharedSecret)
        {
            Span<byte> dh = stackalloc byte[X25519PrivateKey.SharedSecretSize];
            if (enc.Length != X25519PublicKey.Size || !skR.TryAgree(new X25519PublicKey(enc), dh))
                return false;
            ExtractAndExpand(dh, enc, PublicKey.Span, sharedSecret);
            return true;
        }

        protected override void Dispose(bool disposing) => skR.Dispose();
    }
}
