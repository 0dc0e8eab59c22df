using System.Buffers.Binary;
using System.Security.Cryptography;

namespace ConfidentialChat.Attestation;

/// <summary>A SHA-256 that is compared and hashed without allocating.</summary>
internal readonly record struct Digest32(UInt128 High, UInt128 Low)
{
    public static Digest32 Of(ReadOnlySpan<byte> bytes)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, digest);
        return new Digest32(
            BinaryPrimitives.ReadUInt128BigEndian(digest), BinaryPrimitives.ReadUInt128BigEndian(digest[16..]));
    }
}
