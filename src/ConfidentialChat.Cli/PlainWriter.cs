// spec/gateway.md section 8 rule 3.
using System.Text;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli;

/// <summary>
/// What is written where a person reads it: the lines and tabs of an answer, and no sign that a terminal would obey. With those an answer, a
/// node's name or an error could write into the clipboard, rename the window or hide what stands before. Everything passes here, so that no
/// command can forget it; what has to be one line is made one (<see cref="ForeignText.Line"/>) by whoever prints it.
/// </summary>
internal sealed class PlainWriter(TextWriter inner, bool mayFail = false) : TextWriter(inner.FormatProvider)
{
    // Half of a surrogate pair, or a carriage return: what comes next says what it is. An answer may be cut anywhere.
    private char? held;

    public override Encoding Encoding => inner.Encoding;

    /// <summary>Messages are for people wherever they go. An answer that goes into a file or to another program stays as it is, byte for byte.</summary>
    public static void TakeOver()
    {
        StandardText.UseUtf8();
        Console.SetError(new PlainWriter(Console.Error, mayFail: true));
        if (!Console.IsOutputRedirected)
            Console.SetOut(new PlainWriter(Console.Out));
    }

    public override void Write(char value) => Write([value]);

    public override void Write(char[] buffer, int index, int count) => Write(buffer.AsSpan(index, count));

    public override void Write(string? value) => Write(value.AsSpan());

    public override void Write(ReadOnlySpan<char> buffer)
    {
        if (buffer.IsEmpty)
            return;
        var text = held is { } before ? string.Concat([before], buffer) : buffer.ToString();
        held = text[^1] is '\r' || char.IsHighSurrogate(text[^1]) ? text[^1] : null;
        try
        {
            inner.Write(ForeignText.Lines(held is null ? text : text[..^1]));
        }
        catch (Exception e) when (mayFail && e is (IOException or UnauthorizedAccessException))
        {
            // A full disk, a terminal or a descriptor that is closed: there is nobody to tell, and the exit code still does.
        }
    }

    public override void Flush() => inner.Flush();

    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);
}
