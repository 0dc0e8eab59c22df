// Padmé: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PETS 2019, section 4.
using System.Numerics;

namespace ConfidentialChat.Protocol.Shape;

/// <summary>Lengths that tell little: at most 12 % longer, with O(log log n) bits of the length left.</summary>
public static class Padme
{
    /// <summary>The padded length of <paramref name="length"/> bytes.</summary>
    public static int Length(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (length < 2)
            return length;
        var e = BitOperations.Log2((uint)length);
        var s = BitOperations.Log2((uint)e) + 1;
        var mask = (1L << (e - s)) - 1;
        return checked((int)((length + mask) & ~mask));
    }
}
