// spec/envelope-v1.md section 8: the place of an event in its stream.
using System.Buffers.Text;
using System.Diagnostics;

namespace ConfidentialChat.Protocol.V1;

// {"seq":41,…}     an event after which another comes
// {"last":42,…}    the last one
/// <summary>Where an event stands in its stream: a number from 0, and whether it is the last.</summary>
internal readonly record struct EventPlace(long Number, bool IsLast)
{
    /// <summary>No place is written longer, in bytes; the brace that opens the object is one of them.</summary>
    public const int MaxSize = 32;

    /// <summary>Writes the start of the event's object, up to the comma that its own members follow.</summary>
    /// <param name="output">Of <see cref="MaxSize"/> at least.</param>
    /// <returns>How many bytes were written.</returns>
    public int Write(Span<byte> output)
    {
        var name = IsLast ? "{\"last\":"u8 : "{\"seq\":"u8;
        name.CopyTo(output);
        if (!Utf8Formatter.TryFormat(Number, output[name.Length..], out var digits))
            throw new UnreachableException();
        return name.Length + digits;
    }

    /// <summary>Reads the start of an event's object; false where it says no place, or says it in another spelling.</summary>
    /// <param name="json">The event's object.</param>
    /// <param name="place">Where it stands.</param>
    /// <param name="size">How many bytes of the object say so; a comma or the object's end follows.</param>
    public static bool TryRead(ReadOnlySpan<byte> json, out EventPlace place, out int size)
    {
        (place, size) = (default, 0);
        var isLast = json.StartsWith("{\"last\":"u8);
        if (!isLast && !json.StartsWith("{\"seq\":"u8))
            return false;
        size = isLast ? 8 : 7;
        if (!Utf8Parser.TryParse(json[size..], out long number, out var digits) || !char.IsAsciiDigit((char)json[size]) || (json[size] == '0' && digits > 1))
            return false;
        size += digits;
        place = new EventPlace(number, isLast);
        return size < json.Length && json[size] is (byte)',' or (byte)'}';
    }
}
