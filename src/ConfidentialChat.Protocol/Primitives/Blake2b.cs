// RFC 7693.
using System.Buffers.Binary;
using System.Security.Cryptography;
using NSec.Cryptography;
using Algorithm = NSec.Cryptography.HashAlgorithm;

namespace ConfidentialChat.Protocol.Primitives;

/// <summary>BLAKE2b with a digest of 32 bytes, without a key: the hash of envelope v1.</summary>
public static class Blake2b256
{
    public const int Size = 32;

    public static void Hash(ReadOnlySpan<byte> data, Span<byte> digest) => Algorithm.Blake2b_256.Hash(data, digest);

    /// <summary>Whether <paramref name="digest"/> is the hash of <paramref name="data"/>, in constant time.</summary>
    public static bool Matches(ReadOnlySpan<byte> data, ReadOnlySpan<byte> digest)
    {
        Span<byte> actual = stackalloc byte[Size];
        Hash(data, actual);
        return CryptographicOperations.FixedTimeEquals(actual, digest);
    }
}

/// <summary>BLAKE2b keyed with 32 random bytes of its own, with a tag of 16 bytes: names a secret without giving it away.</summary>
public sealed class Blake2bTagger : IDisposable
{
    public const int TagSize = 16;

    private static readonly Blake2bMac Algorithm = new(keySize: 32, macSize: TagSize);

    private readonly Key key = new(Algorithm);

    public UInt128 Tag(ReadOnlySpan<byte> data)
    {
        Span<byte> tag = stackalloc byte[TagSize];
        Algorithm.Mac(key, data, tag);
        return BinaryPrimitives.ReadUInt128LittleEndian(tag);
    }

    public void Dispose() => key.Dispose();
}
