// spec/gateway.md section 8 rule 3.
using System.Buffers;
using System.Globalization;
using System.Text;

namespace ConfidentialChat.Protocol;

/// <summary>
/// Text that somebody else chose, on its way to a log or a terminal. A terminal obeys controls, and a log takes a line feed for the end of an
/// entry; marks of direction show another order than the text has, and signs without a shape make two names look like one.
/// </summary>
public static class ForeignText
{
    private const char Replacement = '\uFFFD';

    /// <summary>What stands in a log or a message: names and words, not documents. UTF-16 units.</summary>
    private const int UsualLine = 200;

    /// <summary>Whether <see cref="Line"/> would leave it as it is, however long.</summary>
    public static bool IsPlain(ReadOnlySpan<char> text) => IndexOfOdd(text, allowsLines: false) < 0;

    /// <summary>
    /// On one line: every control, mark of direction, format sign, line separator and sign without a shape, what Unicode has not assigned,
    /// and each half of a surrogate pair is replaced by U+FFFD.
    /// </summary>
    /// <param name="text">Null is shown as nothing.</param>
    /// <param name="maxLength">In UTF-16 units, at least 1; what is longer ends in an ellipsis there.</param>
    public static string Line(string? text, int maxLength = UsualLine)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength, 1);
        if (text is null)
            return "";
        if (text.Length > maxLength)
            text = string.Concat(text.AsSpan(0, maxLength > 1 && char.IsHighSurrogate(text[maxLength - 2]) ? maxLength - 2 : maxLength - 1), "…");
        return Filter(text, allowsLines: false);
    }

    /// <summary>
    /// As an answer has it: line feeds and tabs stay, a carriage return before a line feed goes, and so stay the format signs that scripts
    /// are written with (joiners, Arabic marks of numbers). Controls, marks of direction and other format signs are replaced by U+FFFD.
    /// </summary>
    public static string Lines(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Filter(text.Replace("\r\n", "\n", StringComparison.Ordinal), allowsLines: true);
    }

    private static string Filter(string text, bool allowsLines)
    {
        var odd = IndexOfOdd(text, allowsLines);
        if (odd < 0)
            return text;
        var shown = new StringBuilder(text.Length).Append(text, 0, odd);
        for (var rest = text.AsSpan(odd); !rest.IsEmpty;)
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

    private static bool IsOdd(Rune rune, bool allowsLines) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.Control => !allowsLines || rune.Value is not ('\n' or '\t'),
        UnicodeCategory.Format => !allowsLines || !IsWritten(rune),
        UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => true,
        UnicodeCategory.OtherNotAssigned => !allowsLines, // a later Unicode may make a control of it, or an emoji
        _ => !allowsLines && HasNoShape(rune),
    };

    // Zero width non-joiner and joiner, which Persian, Indic scripts and emoji need; the prepended marks of Unicode's PropList.txt, which are seen.
    private static bool IsWritten(Rune rune) => rune.Value
        is 0x200C or 0x200D
        or (>= 0x0600 and <= 0x0605) or 0x06DD or 0x070F or 0x0890 or 0x0891 or 0x08E2 or 0x110BD or 0x110CD;

    // Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt, as far as the category does not say it.
    private static bool HasNoShape(Rune rune) => rune.Value
        is 0x034F or 0x115F or 0x1160 or 0x17B4 or 0x17B5 or (>= 0x180B and <= 0x180F) or 0x3164 or (>= 0xFE00 and <= 0xFE0F) or 0xFFA0
        or (>= 0xE0000 and <= 0xE0FFF);
}
