// spec/binary-http.md section 8.2, rules 1 and 4; WHATWG HTML section 9.2.5 (event streams).
namespace ConfidentialChat.Protocol.Shape;

/// <summary>Finds where events end in bytes that arrive in pieces: at the blank line after at least one other.</summary>
internal struct EventScanner
{
    private bool inLine;
    private bool hasLine;
    private bool afterReturn; // the line ended in CR: a LF now is its second half
    private bool waitsForFeed; // the blank line is a CR: a LF now is its second half

    /// <summary>Whether an event has ended unless a LF comes next.</summary>
    public readonly bool IsWaiting => waitsForFeed;

    /// <summary>Takes the next few bytes of <paramref name="input"/>.</summary>
    /// <param name="input">Not empty.</param>
    /// <param name="blankLine">Whether the first of these bytes starts the event's blank line.</param>
    /// <param name="ended">Whether the event has ended with these bytes. They may be none then.</param>
    /// <returns>How many bytes were taken.</returns>
    public int Scan(ReadOnlySpan<byte> input, out bool blankLine, out bool ended)
    {
        blankLine = ended = false;
        if (waitsForFeed)
        {
            End();
            ended = true;
            return input[0] == '\n' ? 1 : 0;
        }

        var run = input.IndexOfAny((byte)'\r', (byte)'\n');
        if (run != 0)
        {
            inLine = true;
            afterReturn = false;
            return run < 0 ? input.Length : run;
        }

        var isReturn = input[0] == '\r';
        if (afterReturn && !isReturn)
        {
            afterReturn = false;
            return 1;
        }

        blankLine = !inLine && hasLine;
        hasLine |= inLine;
        inLine = false;
        afterReturn = isReturn;
        if (blankLine && isReturn)
            waitsForFeed = true;
        else if (blankLine)
            ended = true;
        if (ended)
            End();
        return 1;
    }

    /// <summary>Says that nothing follows: an event that waits has ended.</summary>
    public void End() => this = default;
}
