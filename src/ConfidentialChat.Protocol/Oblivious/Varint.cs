// RFC 9000 section 16, as spec/binary-http.md section 2 and spec/oblivious-v2.md section 6 use it.
using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;

namespace ConfidentialChat.Protocol.Oblivious;

// offset  name   size
// 0       form   2 bits: 0, 1, 2, 3 for 1, 2, 4, 8 bytes in all
// 0       value  the other 6, 14, 30 or 62 bits, big-endian
/// <summary>The variable-length integer of QUIC.</summary>
internal static class Varint
{
    public const long MaxValue = (1L << 62) - 1;
    public const int MaxSize = 8;

    /// <summary>The largest value that a 4-byte form holds.</summary>
    public const int MaxFourByteValue = (1 << 30) - 1;

    /// <summary>The size of the shortest form.</summary>
    public static int Size(long value) => value switch
    {
        < 0 or > MaxValue => throw new ArgumentOutOfRangeException(nameof(value), value, "Not a 62-bit number."),
        < 1L << 6 => 1,
        < 1L << 14 => 2,
        < 1L << 30 => 4,
        _ => 8,
    };

    /// <summary>The size of the whole integer, from its first byte.</summary>
    public static int Size(byte first) => 1 << (first >> 6);

    /// <summary>Reads any form and takes it off; false, with nothing taken, where it is not all there.</summary>
    public static bool TryRead(ref ReadOnlySequence<byte> input, out long value)
    {
        value = 0;
        if (input.IsEmpty)
            return false;
        var size = Size(input.FirstSpan[0]);
        if (input.Length < size)
            return false;
        Span<byte> bytes = stackalloc byte[MaxSize];
        input.Slice(0, size).CopyTo(bytes);
        bytes[0] &= 0x3F;
        foreach (var next in bytes[..size])
            value = (value << 8) | next;
        input = input.Slice(size);
        return true;
    }

    /// <summary>Writes the shortest form.</summary>
    public static void Write(IBufferWriter<byte> output, long value)
    {
        var size = Size(value);
        Write(output.GetSpan(size)[..size], value);
        output.Advance(size);
    }

    /// <summary>Writes the form that is as long as <paramref name="destination"/>: 1, 2, 4 or 8 bytes.</summary>
    public static void Write(Span<byte> destination, long value)
    {
        if (destination.Length < Size(value))
            throw new ArgumentException("The value needs more bytes.", nameof(destination));
        switch (destination.Length)
        {
            case 1: destination[0] = (byte)value; break;
            case 2: BinaryPrimitives.WriteUInt16BigEndian(destination, (ushort)value); break;
            case 4: BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)value); break;
            case 8: BinaryPrimitives.WriteUInt64BigEndian(destination, (ulong)value); break;
            default: throw new ArgumentException("No form of an integer has this size.", nameof(destination));
        }

        destination[0] |= (byte)(BitOperations.Log2((uint)destination.Length) << 6);
    }
}
