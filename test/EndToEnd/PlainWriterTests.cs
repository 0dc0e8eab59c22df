using ConfidentialChat.Cli;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>spec/gateway.md section 8 rule 3, where a person reads: whatever pieces an answer comes in.</summary>
public sealed class PlainWriterTests
{
    // No attributes: half a pair does not come through one.
    private static readonly (string Answer, string Printed)[] Answers =
    [
        ("Hello,\n\tworld 😀\n", "Hello,\n\tworld 😀\n"),
        ("\u001b]52;c;cm0gLXJmIH4=\u0007", "\uFFFD]52;c;cm0gLXJmIH4=\uFFFD"),
        ("one\r\ntwo\rthree\r\r\nfour", "one\ntwo\uFFFDthree\uFFFD\nfour"),
        ("😀\ud83dx\ude00\ud83d\ud83d\ude00", "😀\uFFFDx\uFFFD\uFFFD😀"),
        ("rm \u202eelif\u2069 می‌شود", "rm \uFFFDelif\uFFFD می‌شود"),
    ];

    [Fact]
    public void What_is_printed_does_not_depend_on_where_it_was_cut()
    {
        foreach (var (answer, printed) in Answers)
        {
            for (var size = 1; size <= answer.Length; size++)
            {
                using var terminal = new StringWriter();
                using var writer = new PlainWriter(terminal);
                foreach (var piece in answer.Chunk(size))
                    writer.Write(new string(piece));
                terminal.ToString().ShouldBe(printed, $"in pieces of {size}");
            }
        }
    }

    [Fact]
    public void A_half_at_the_end_is_shown_with_what_comes_next_and_lines_end_as_they_did()
    {
        using var terminal = new StringWriter();
        using var writer = new PlainWriter(terminal);
        writer.Write("cut \ud83d");
        writer.WriteLine();
        writer.WriteLine("next\r");
        writer.Write('x');
        writer.Write(['\u001b', 'y'], 0, 2);
        terminal.ToString().ShouldBe("cut \uFFFD\nnext\nx\uFFFDy");
    }
}
