// spec/binary-http.md section 8.2, last paragraphs.
using System.Buffers;

namespace ConfidentialChat.Protocol.Shape;

/// <summary>
/// Takes fillers out of an event stream that arrives in pieces cut anywhere, in constant memory, and leaves every other byte
/// as it is. What the events say never changes, whoever wrote them. Not safe for two threads at once.
/// </summary>
public sealed class EventUnpadder
{
    private Place place;
    private int held; // of a line that may be a filler: its colon and tildes
    private bool afterReturn; // the last byte given out was a CR
    private bool tookOut; // and fillers were taken out after it

    private enum Place
    {
        FirstLine,
        LineStart,
        MaybeFiller,
        InLine,
    }

    /// <summary>Gives out what is known to stay. At most the first bytes of a line that may be a filler are held back.</summary>
    public void Unpad(ReadOnlySpan<byte> events, IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        while (!events.IsEmpty)
        {
            switch (place)
            {
                // No filler of ours is the first line, and without it a byte order mark in the second would be the stream's.
                case Place.FirstLine:
                    GiveLine(ref events, output);
                    break;
                case Place.LineStart when events[0] == Filler.Colon:
                    held = 1;
                    place = Place.MaybeFiller;
                    events = events[1..];
                    break;
                case Place.LineStart:
                    KeepLinesApart(events[0], output);
                    GiveLine(ref events, output);
                    break;
                case Place.MaybeFiller:
                    HoldOrGive(ref events, output);
                    break;
                default:
                    GiveLine(ref events, output);
                    break;
            }
        }
    }

    /// <summary>Gives out what was held back of a line without an end. Nothing may follow.</summary>
    public void Complete(IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        GiveHeld(output);
    }

    // Up to the line's end and with it, or all there is.
    private void GiveLine(ref ReadOnlySpan<byte> events, IBufferWriter<byte> output)
    {
        var end = events.IndexOfAny((byte)'\r', (byte)'\n');
        var line = end < 0 ? events : events[..(end + 1)];
        place = end < 0 ? Place.InLine : Place.LineStart;
        afterReturn = line[^1] == '\r';
        tookOut = false;
        output.Write(line);
        events = events[line.Length..];
    }

    private void HoldOrGive(ref ReadOnlySpan<byte> events, IBufferWriter<byte> output)
    {
        var next = events[0];
        if (next == Filler.Tilde && held < Filler.MaxSize - 1)
        {
            held++;
            events = events[1..];
        }
        else if (next == '\n' && held >= Filler.MinSize - 1)
        {
            held = 0;
            tookOut = afterReturn;
            place = Place.LineStart;
            events = events[1..];
        }
        else
        {
            GiveHeld(output);
            place = Place.InLine;
        }
    }

    private void GiveHeld(IBufferWriter<byte> output)
    {
        if (held == 0)
            return;
        var span = output.GetSpan(held)[..held];
        span.Fill(Filler.Tilde);
        span[0] = Filler.Colon;
        output.Advance(held);
        (held, afterReturn, tookOut) = (0, false, false);
    }

    // CR, filler, LF: without the filler, a line's end and a blank line would become one line's end.
    private void KeepLinesApart(byte next, IBufferWriter<byte> output)
    {
        if (tookOut && next == '\n')
            output.Write(":\n"u8);
    }
}
