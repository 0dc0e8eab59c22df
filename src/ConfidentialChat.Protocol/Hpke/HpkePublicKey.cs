// spec/oblivious-v2.md section 3.2.
using System.Diagnostics.CodeAnalysis;

namespace ConfidentialChat.Protocol.Hpke;

/// <summary>A public key that was checked when it was read: encapsulating to it cannot fail. Equality is of KEM and bytes.</summary>
public sealed class HpkePublicKey : IEquatable<HpkePublicKey>
{
    private readonly byte[] bytes;

    internal HpkePublicKey(Kem kem, ReadOnlySpan<byte> bytes)
    {
        Mechanism = kem;
        this.bytes = bytes.ToArray();
    }

    public KemId Kem => Mechanism.Id;

    public ReadOnlySpan<byte> Span => bytes;

    internal Kem Mechanism { get; }

    /// <summary>Reads the KEM's serialized public key: 32 bytes for X25519, 1216 for MLKEM768-X25519.</summary>
    /// <returns>False for an unknown KEM, another size, a low-order X25519 key, or an ML-KEM key that is not reduced.</returns>
    public static bool TryImport(KemId kem, ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out HpkePublicKey? key)
    {
        key = Hpke.Kem.Find(kem) is { } known && known.IsValid(bytes) ? new HpkePublicKey(known, bytes) : null;
        return key is not null;
    }

    public bool Equals(HpkePublicKey? other) => other is not null && Kem == other.Kem && Span.SequenceEqual(other.Span);

    public override bool Equals(object? obj) => Equals(obj as HpkePublicKey);

    public override int GetHashCode() => BitConverter.ToInt32(bytes);
}

/// <summary>A private key in libsodium's guarded memory, erased on disposal. Safe for concurrent use.</summary>
public abstract class HpkePrivateKey : IDisposable
{
    private protected HpkePrivateKey(Kem kem, ReadOnlySpan<byte> publicKey) => PublicKey = new HpkePublicKey(kem, publicKey);

    public HpkePublicKey PublicKey { get; }

    public static HpkePrivateKey Generate(KemId kem) => Kem.Get(kem).Generate();

    /// <summary>Takes the 32 secret bytes of either KEM; the caller clears its own copy.</summary>
    public static HpkePrivateKey Import(KemId kem, ReadOnlySpan<byte> secret) => Kem.Get(kem).Import(secret);

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>DeriveKeyPair, for vectors.</summary>
    internal static HpkePrivateKey Derive(KemId kem, ReadOnlySpan<byte> ikm) => Kem.Get(kem).Derive(ikm);

    /// <summary>Decap: false for an <paramref name="enc"/> of another size or of low order.</summary>
    internal abstract bool TryDecap(ReadOnlySpan<byte> enc, Span<byte> sharedSecret);

    protected abstract void Dispose(bool disposing);
}
