// spec/gateway.md section 8 rule 3.
using System.Buffers;
using System.Globalization;
using System.Text;

namespace ConfidentialChat.Hosting;

/// <summary>Text that somebody else chose, on its way to a log or a terminal.</summary>
internal static class ForeignText
{
    private const char Replacement = '\uFFFD';
    private const int ZeroWidthJoiner = 0x200D; // makes one emoji of several, and moves nothing

    /// <summary>
    /// Whether it moves nothing and hides nothing: no control (a terminal would obey it, a log would take it for the next line), no mark of
    /// direction or other format sign (what is read would not be what is there), no line separator, no half of a surrogate pair.
    /// </summary>
    public static bool IsPlain(ReadOnlySpan<char> text) => IndexOfOdd(text, allowsLines: false) < 0;

    /// <summary>On one line, with every sign that is not plain replaced; no longer than <paramref name="maxLength"/>, with an ellipsis.</summary>
    public static string Line(string? text, int maxLength = 200)
    {
        if (text is null)
            return "";
        if (text.Length > maxLength)
            text = string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[maxLength - 1]) ? maxLength - 1 : maxLength), "…");
        return Filter(text, allowsLines: false);
    }

    /// <summary>With its line feeds and tabs, as an answer has them; every other sign that is not plain is replaced.</summary>
    public static string Lines(string text) => Filter(text, allowsLines: true);

    private static string Filter(string text, bool allowsLines)
    {
        var odd = IndexOfOdd(text, allowsLines);
        if (odd < 0)
            return text;
        var shown = new StringBuilder(text.Length).Append(text, 0, odd);
        for (ReadOnlySpan<char> rest = text.AsSpan(odd); !rest.IsEmpty;)
        {
            var status = Rune.DecodeFromUtf16(rest, out var rune, out var length);
            if (status is OperationStatus.Done && !IsOdd(rune, allowsLines))
                shown.Append(rest[..length]);
            else
                shown.Append(Replacement);
            rest = rest[length..];
        }

        return shown.ToString();
    }

    private static int IndexOfOdd(ReadOnlySpan<char> text, bool allowsLines)
    {
        for (var i = 0; i < text.Length;)
        {
            if (text[i] is >= ' ' and <= '~')
            {
                i++;
                continue;
            }

            if (Rune.DecodeFromUtf16(text[i..], out var rune, out var length) is not OperationStatus.Done || IsOdd(rune, allowsLines))
                return i;
            i += length;
        }

        return -1;
    }

    private static bool IsOdd(Rune rune, bool allowsLines) => rune.Value switch
    {
        '\n' or '\t' => !allowsLines,
        ZeroWidthJoiner => false,
        _ => Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator,
    };
}
