// spec/attestation.md section 5: every size is filled exactly.
using System.Buffers.Binary;

namespace ConfidentialChat.Attestation;

/// <summary>
/// Reads little-endian fields. Once something is missing everything after it reads as empty and <see cref="HasFailed"/> stays.
/// </summary>
internal ref struct ByteReader(ReadOnlyMemory<byte> bytes)
{
    private ReadOnlyMemory<byte> rest = bytes;

    public bool HasFailed { get; private set; }

    public readonly int Remaining => rest.Length;

    public ReadOnlyMemory<byte> Take(long count)
    {
        if (HasFailed || count < 0 || count > rest.Length)
        {
            HasFailed = true;
            return default;
        }

        var taken = rest[..(int)count];
        rest = rest[(int)count..];
        return taken;
    }

    public byte UInt8() => Take(1) is { Length: 1 } taken ? taken.Span[0] : (byte)0;

    public ushort UInt16() => Take(2) is { Length: 2 } taken ? BinaryPrimitives.ReadUInt16LittleEndian(taken.Span) : (ushort)0;

    public uint UInt32() => Take(4) is { Length: 4 } taken ? BinaryPrimitives.ReadUInt32LittleEndian(taken.Span) : 0;
}
