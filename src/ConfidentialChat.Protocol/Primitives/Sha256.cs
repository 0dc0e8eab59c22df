// FIPS 180-4; FIPS 198-1 for the code.
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Primitives;

public static class Sha256
{
    /// <summary>Bytes of a digest.</summary>
    public const int Size = SHA256.HashSizeInBytes;

    /// <summary>32 bytes.</summary>
    public static byte[] Hash(ReadOnlySpan<byte> data) => SHA256.HashData(data);

    public static void Hash(ReadOnlySpan<byte> data, Span<byte> digest) => SHA256.HashData(data, digest);

    /// <summary>Whether <paramref name="digest"/> is the hash of <paramref name="data"/>, in constant time.</summary>
    public static bool Matches(ReadOnlySpan<byte> data, ReadOnlySpan<byte> digest)
    {
        Span<byte> actual = stackalloc byte[Size];
        Hash(data, actual);
        return CryptographicOperations.FixedTimeEquals(actual, digest);
    }

    /// <summary>HMAC-SHA256: writes 32 bytes that only a holder of the key can make.</summary>
    public static void Authenticate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> message, Span<byte> code) => HMACSHA256.HashData(key, message, code);
}
