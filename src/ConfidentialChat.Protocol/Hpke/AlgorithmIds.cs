// spec/oblivious-v2.md section 3.1; the numbers are IANA's registry "HPKE".
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Hpke;

/// <summary>The key encapsulation mechanisms that are implemented. A number from the wire may be none of them.</summary>
public enum KemId : ushort
{
    /// <summary>DHKEM(X25519, HKDF-SHA256).</summary>
    DhkemX25519 = 0x0020,

    /// <summary>ML-KEM-768 and X25519 together, also called X-Wing: the default.</summary>
    MlKem768X25519 = 0x647A,
}

/// <summary>The key derivation functions that are implemented.</summary>
public enum KdfId : ushort
{
    HkdfSha256 = 0x0001,
}

/// <summary>The AEADs that are implemented.</summary>
public enum AeadId : ushort
{
    Aes128Gcm = 0x0001,

    /// <summary>The default.</summary>
    Aes256Gcm = 0x0002,

    ChaCha20Poly1305 = 0x0003,

    /// <summary>A context that exports secrets and seals nothing; never in an envelope.</summary>
    ExportOnly = 0xFFFF,
}

/// <summary>What a key offers or a request uses beside its KEM.</summary>
public readonly record struct SymmetricSuite(KdfId Kdf, AeadId Aead)
{
    /// <summary>HKDF-SHA256 and AES-256-GCM.</summary>
    public static SymmetricSuite Default { get; } = new(KdfId.HkdfSha256, AeadId.Aes256Gcm);

    /// <summary>Whether both are known here and can seal.</summary>
    public bool CanSeal => Kdf == KdfId.HkdfSha256 && Aead is AeadId.Aes128Gcm or AeadId.Aes256Gcm or AeadId.ChaCha20Poly1305;
}

internal static class Aeads
{
    /// <summary>Nk.</summary>
    public static int KeySize(this AeadId aead) => aead switch
    {
        AeadId.Aes128Gcm => Aes128Gcm.KeySize,
        AeadId.Aes256Gcm => Aes256Gcm.KeySize,
        AeadId.ChaCha20Poly1305 => ChaCha20Poly1305.KeySize,
        AeadId.ExportOnly => 0,
        _ => throw new ArgumentOutOfRangeException(nameof(aead), aead, "No such AEAD."),
    };

    public static IAead Create(this AeadId aead, ReadOnlySpan<byte> key) => aead switch
    {
        AeadId.Aes128Gcm => new Aes128Gcm(key),
        AeadId.Aes256Gcm => new Aes256Gcm(key),
        AeadId.ChaCha20Poly1305 => new ChaCha20Poly1305(key),
        _ => throw new ArgumentOutOfRangeException(nameof(aead), aead, "No such AEAD."),
    };
}
