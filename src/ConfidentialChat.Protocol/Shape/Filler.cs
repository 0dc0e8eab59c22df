// spec/binary-http.md section 8.2, rules 2 and 3.
namespace ConfidentialChat.Protocol.Shape;

// offset  name    size
// 0       colon   1
// 1       tildes  1 to 512
// …       LF      1
/// <summary>The comment line that fills an event up to its block. Engines write comments, but none of bare tildes.</summary>
internal static class Filler
{
    public const byte Colon = (byte)':';
    public const byte Tilde = (byte)'~';

    /// <summary>A smaller gap holds no filler.</summary>
    public const int MinSize = 3;

    /// <summary>The largest gap: two bytes more than a block.</summary>
    public const int MaxSize = EventPadder.BlockSize + MinSize - 1;

    /// <summary>The size of the filler that brings <paramref name="size"/> bytes to a multiple of the block.</summary>
    public static int Gap(int size)
    {
        var gap = (EventPadder.BlockSize - (size % EventPadder.BlockSize)) % EventPadder.BlockSize;
        return gap is > 0 and < MinSize ? gap + EventPadder.BlockSize : gap;
    }

    public static void Write(Span<byte> destination)
    {
        if (destination.IsEmpty)
            return;
        destination.Fill(Tilde);
        destination[0] = Colon;
        destination[^1] = (byte)'\n';
    }
}
