// draft-ietf-hpke-pq section "Hybrid KEMs", on draft-connolly-cfrg-xwing-kem; spec/oblivious-v2.md section 3.2.
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;
using Shake256 = ConfidentialChat.Protocol.Primitives.Shake256;

namespace ConfidentialChat.Protocol.Hpke;

/// <summary>X-Wing as it is: its shared secret is HPKE's, without another derivation.</summary>
internal sealed class MlKem768X25519 : Kem
{
    public static readonly MlKem768X25519 Instance = new();

    private MlKem768X25519()
    {
    }

    public override KemId Id => KemId.MlKem768X25519;

    public override int Npk => XWing.PublicKeySize;

    public override int Nenc => XWing.CiphertextSize;

    public override bool IsValid(ReadOnlySpan<byte> publicKey) => XWing.IsValid(publicKey);

    public override void Encap(ReadOnlySpan<byte> pkR, Span<byte> enc, Span<byte> sharedSecret) =>
        Require(XWing.TryEncapsulate(pkR, enc, sharedSecret));

    /// <summary>The randomness is X-Wing's eseed.</summary>
    public override void Encap(ReadOnlySpan<byte> pkR, ReadOnlySpan<byte> randomness, Span<byte> enc, Span<byte> sharedSecret) =>
        Require(XWing.TryEncapsulate(pkR, randomness, enc, sharedSecret));

    public override HpkePrivateKey Generate() => new PrivateKey(XWingPrivateKey.Generate());

    public override HpkePrivateKey Import(ReadOnlySpan<byte> secret) => new PrivateKey(XWingPrivateKey.Import(secret));

    // seed = SHAKE256(ikm ‖ "HPKE-v1" ‖ "KEM" ‖ 0x647A ‖ u16(13) ‖ "DeriveKeyPair" ‖ u16(32), 32)
    public override HpkePrivateKey Derive(ReadOnlySpan<byte> ikm)
    {
        Span<byte> seed = stackalloc byte[XWing.SeedSize];
        byte[] labeled = [.. ikm, .. "HPKE-v1KEM\x64\x7a\x00\x0d"u8, .. "DeriveKeyPair\x00\x20"u8];
        Shake256.Hash(labeled, seed);
        try
        {
            return Import(seed);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(labeled);
            CryptographicOperations.ZeroMemory(seed);
        }
    }

    private sealed class PrivateKey(XWingPrivateKey skR) : HpkePrivateKey(Instance, skR.PublicKey)
    {
        internal override bool TryDecap(ReadOnlySpan<byte> enc, Span<byte> sharedSecret) =>
            enc.Length == XWing.CiphertextSize && skR.TryDecapsulate(enc, sharedSecret);

        protected override void Dispose(bool disposing) => skR.Dispose();
    }
}
