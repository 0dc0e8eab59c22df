using System.Globalization;
using System.Text;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>spec/gateway.md section 8 rule 3: what others write cannot forge a line, steer a terminal or look like something else.</summary>
public sealed class ForeignTextTests
{
    // What attacks are made of, and some that nobody may lose.
    private static readonly string[] Pieces =
    [
        "\u001b[2J", "\u001b]0;owned\u0007", "\u009b31m", "\r", "\n", "\r\n", "\t", "\u202e", "\u2066", "\u200b", "\u200d", "\ud83d", "\ude00", "llama",
        "Grüße 你好 😀",
    ];

    private static readonly Gen<string> Any = Gen.OneOf(
        Gen.Int[0, 0xFFFF].Select(unit => ((char)unit).ToString()),
        Gen.Int[0x10000, 0x10FFFF].Select(char.ConvertFromUtf32),
        Gen.Int[0, Pieces.Length - 1].Select(piece => Pieces[piece])).Array[0, 30].Select(string.Concat);

    [Theory]
    [InlineData("\u001b]52;c;cm0gLXJmIH4=\u0007")] // OSC 52 writes the clipboard
    [InlineData("\u001b[2J\u001b[1;1H")]           // clears the screen
    [InlineData("\u001b]8;;https://evil.example/\u001b\\docs")] // a link that says another place
    [InlineData("\u009b31m")]                      // the 8-bit form of the same
    [InlineData("\u009d0;owned\u009c")]
    [InlineData("ok\r2026-01-01 info: all is well")] // over what stands before
    [InlineData("ok\n2026-01-01 info: all is well")]
    [InlineData("ok\u00852026-01-01")]
    [InlineData("ok\u20282026-01-01")]
    [InlineData("ok\u20292026-01-01")]
    [InlineData("user\u202e\u2066 admin\u2069")]    // Trojan Source
    [InlineData("\u202egnp.elif")]
    [InlineData("\u200fabc\u061c")]
    [InlineData("lla\u200bma")]                    // another name that looks like this one
    [InlineData("lla\u00adma")]
    [InlineData("lla\u200dma")]
    [InlineData("lla\ufe0fma")]
    [InlineData("lla\u3164ma")]
    [InlineData("lla\u034fma")]
    [InlineData("\ufeffllama")]
    [InlineData("llama\U000e0049\U000e0067")]      // words in tags
    [InlineData("llama\U000e0120")]
    [InlineData("\0")]
    [InlineData("\u007f")]
    public void A_line_shows_that_something_odd_was_there_and_no_name_has_it(string text)
    {
        ForeignText.IsPlain(text).ShouldBeFalse();
        ModelNames.CanBeServed(text).ShouldBeFalse();
        var line = ForeignText.Line(text);
        line.ShouldContain('\uFFFD');
        ForeignText.IsPlain(line).ShouldBeTrue();
    }

    [Theory]
    [InlineData("")]
    [InlineData("meta-llama/Llama-3.3-70B-Instruct")]
    [InlineData("https://[::1]:8081")]
    [InlineData("Qwen 2.5 (中文) – größer, naïve")]
    [InlineData("мodель नमस्ते עברית العربية 日本語 😀🏳")]
    public void What_is_plain_stays_the_same_object(string text)
    {
        ForeignText.IsPlain(text).ShouldBeTrue();
        ForeignText.Line(text).ShouldBeSameAs(text);
        ForeignText.Lines(text).ShouldBeSameAs(text);
    }

    [Theory]
    [InlineData("می‌شود")]                          // Persian is written with the non-joiner
    [InlineData("ශ්‍රී")]                            // Sinhala with the joiner
    [InlineData("👩‍👩‍👧‍👦 ❤️")]
    [InlineData("ٱلْعَٰلَمِينَ \u06dd")]              // the end of an ayah is a format sign that is seen
    [InlineData("葛\U000e0100")]
    [InlineData("ᠮᠣᠩ᠋")]
    [InlineData("def f():\n\treturn 1\n")]
    public void An_answer_keeps_its_lines_and_what_its_script_is_written_with(string text) => ForeignText.Lines(text).ShouldBeSameAs(text);

    [Fact]
    public void An_answer_loses_a_carriage_return_before_a_line_feed_and_shows_any_other() =>
        ForeignText.Lines("a\r\nb\rc\r").ShouldBe("a\nb\uFFFDc\uFFFD");

    [Fact]
    public void No_scalar_of_a_dangerous_category_passes_whatever_Unicode_calls_it()
    {
        for (var value = 0; value <= 0x10FFFF; value++)
        {
            if (!Rune.IsValid(value))
                continue;
            var rune = new Rune(value);
            var text = rune.ToString();
            var isPlain = ForeignText.IsPlain(text);
            switch (Rune.GetUnicodeCategory(rune))
            {
                case UnicodeCategory.Control or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator:
                    (isPlain, ForeignText.Lines(text) == text).ShouldBe((false, value is '\n' or '\t'), $"{value:X}");
                    break;
                case UnicodeCategory.Format or UnicodeCategory.OtherNotAssigned:
                    isPlain.ShouldBeFalse($"{value:X}");
                    break;
                case UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.DecimalDigitNumber
                    or UnicodeCategory.DashPunctuation or UnicodeCategory.CurrencySymbol or UnicodeCategory.MathSymbol:
                    isPlain.ShouldBeTrue($"{value:X}");
                    break;
            }
        }

        for (var half = 0xD800; half <= 0xDFFF; half++)
            (ForeignText.Line($"a{(char)half}b"), ForeignText.Lines($"a{(char)half}b")).ShouldBe(("a\uFFFDb", "a\uFFFDb"));
    }

    [Fact]
    public void Each_mark_of_direction_is_shown_in_answers_too()
    {
        foreach (var mark in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
            ForeignText.Lines($"a{mark}b").ShouldBe("a\uFFFDb", $"{(int)mark:X}");
    }

    [Fact]
    public void Whatever_comes_the_line_is_plain_bounded_and_filtered_once_for_all() => Gen.Select(Any, Gen.Int[1, 60]).Sample((text, max) =>
    {
        var line = ForeignText.Line(text, max);
        return ForeignText.IsPlain(line) && line.Length <= max && ForeignText.Line(line, max) == line
            && (!ForeignText.IsPlain(text) || text.Length > max || line == text);
    });

    [Fact]
    public void Whatever_comes_the_lines_hold_no_control_but_line_feeds_and_tabs() => Any.Sample(text =>
    {
        var lines = ForeignText.Lines(text);
        return lines.All(sign => !char.IsControl(sign) || sign is '\n' or '\t') && ForeignText.Lines(lines) == lines
            && lines.Count(sign => sign == '\n') == text.Count(sign => sign == '\n');
    });

    [Theory]
    [InlineData("abcdef", 6, "abcdef")]
    [InlineData("abcdef", 5, "abcd…")]
    [InlineData("abc😀e", 5, "abc…")] // not through a pair
    [InlineData("abc😀efgh", 6, "abc😀…")]
    [InlineData("ab", 1, "…")]
    [InlineData("😀", 1, "…")]
    [InlineData(null, 5, "")]
    public void What_is_longer_than_of_use_ends_in_an_ellipsis(string? text, int max, string line) => ForeignText.Line(text, max).ShouldBe(line);
}
