// spec/oblivious-v2.md section 3.1; RFC 9180 section 4: the interface of a KEM.
namespace ConfidentialChat.Protocol.Hpke;

/// <summary>One key encapsulation mechanism. Sizes are bytes and bear the RFC's names.</summary>
internal abstract class Kem
{
    public const int Nsecret = 32; // of both

    public abstract KemId Id { get; }

    public abstract int Npk { get; }

    public abstract int Nenc { get; }

    /// <summary>The KEM of a number from the wire, or null for one that is not implemented.</summary>
    public static Kem? Find(KemId id) => id switch
    {
        KemId.DhkemX25519 => DhkemX25519.Instance,
        KemId.MlKem768X25519 => MlKem768X25519.Instance,
        _ => null,
    };

    public static Kem Get(KemId id) => Find(id) ?? throw new ArgumentOutOfRangeException(nameof(id), id, "No such KEM.");

    public abstract bool IsValid(ReadOnlySpan<byte> publicKey);

    /// <summary>Encap, to a valid key.</summary>
    public abstract void Encap(ReadOnlySpan<byte> pkR, Span<byte> enc, Span<byte> sharedSecret);

    /// <summary>Encap with given randomness, for vectors.</summary>
    public abstract void Encap(ReadOnlySpan<byte> pkR, ReadOnlySpan<byte> randomness, Span<byte> enc, Span<byte> sharedSecret);

    public abstract HpkePrivateKey Generate();

    public abstract HpkePrivateKey Import(ReadOnlySpan<byte> secret);

    public abstract HpkePrivateKey Derive(ReadOnlySpan<byte> ikm);

    protected static void Require(bool valid)
    {
        if (!valid)
            throw new InvalidOperationException("A key that was checked did not encapsulate.");
    }
}
