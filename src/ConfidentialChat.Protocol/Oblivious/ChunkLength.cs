// The variable-length integers of RFC 9000 section 16, as spec/oblivious-v2.md section 6 uses them.
using System.Buffers;
using System.Buffers.Binary;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>The length before a sealed chunk; 0 announces the final one.</summary>
internal static class ChunkLength
{
    public const int MaxSize = 8;

    /// <summary>Bytes of the shortest form.</summary>
    public static int Size(int length) => length switch { < 1 << 6 => 1, < 1 << 14 => 2, _ => 4 };

    /// <summary>Writes the shortest form.</summary>
    public static void Write(Span<byte> output, int length)
    {
        switch (Size(length))
        {
            case 1:
                output[0] = (byte)length;
                break;
            case 2:
                BinaryPrimitives.WriteUInt16BigEndian(output, (ushort)(length | (1 << 14)));
                break;
            default:
                BinaryPrimitives.WriteUInt32BigEndian(output, (uint)length | (2u << 30));
                break;
        }
    }

    /// <summary>Reads any form and takes it off; false, with nothing taken, where it is not all there.</summary>
    public static bool TryRead(ref ReadOnlySequence<byte> input, out ulong length)
    {
        length = 0;
        if (input.IsEmpty)
            return false;
        // The two top bits of the first byte are the logarithm of the size; the others begin the number.
        var first = input.FirstSpan[0];
        var size = 1 << (first >> 6);
        if (input.Length < size)
            return false;
        Span<byte> bytes = stackalloc byte[MaxSize];
        input.Slice(0, size).CopyTo(bytes);
        bytes[0] &= 0x3F;
        for (var i = 0; i < size; i++)
            length = (length << 8) | bytes[i];
        input = input.Slice(size);
        return true;
    }
}
