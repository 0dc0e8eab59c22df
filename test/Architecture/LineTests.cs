using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>Holds the length of lines that <c>.editorconfig</c> states: the compiler and the formatter pass it over.</summary>
public sealed partial class LineTests
{
    /// <summary>A text that stands almost alone on its line is left whole: whoever searches for what they were shown finds it.</summary>
    private const int LongText = 80, BesideIt = 60;

    [Fact]
    public void No_line_is_longer_than_the_editor_is_told()
    {
        var most = int.Parse(Regex.Match(Repository.Read(".editorconfig"), @"^max_line_length = (?<most>\d+)", RegexOptions.Multiline).Groups["most"].Value);
        var findings =
            from source in Repository.AllSources
            where !source.Path.Contains("/Migrations/", StringComparison.Ordinal)
            from line in Lines(source.Text)
            where line.Text.Length > most && !Attribute().IsMatch(line.Text) && !IsText(line.Text.Trim())
            select $"{source.Path}:{line.Number} has {line.Text.Length} characters";
        findings.ShouldBeNone($"A line has at most {most} characters.");
    }

    // Without those of texts of several lines, whose ends of line are what somebody sees.
    private static IEnumerable<(int Number, string Text)> Lines(string source)
    {
        string? quotes = null;
        var number = 0;
        foreach (var line in source.Split('\n'))
        {
            number++;
            if (quotes is not null)
            {
                if (line.Contains(quotes, StringComparison.Ordinal))
                    quotes = null;
                continue;
            }

            var raw = RawQuotes().Matches(line);
            if (raw.Count % 2 == 1)
                quotes = raw[0].Value;
            else
                yield return (number, line);
        }
    }

    private static bool IsText(string line) =>
        Literals().Matches(line).Max(literal => (int?)literal.Length) is { } longest && longest >= LongText && line.Length - longest <= BesideIt;

    // A log's message, a pattern, a row of a table of cases.
    [GeneratedRegex(@"^\s*\[\w+\(.*\)\]$")]
    private static partial Regex Attribute();

    [GeneratedRegex("\"{3,}")]
    private static partial Regex RawQuotes();

    [GeneratedRegex(@"\$*(?<quotes>""{3,}).*?\k<quotes>(?!"")|\$?@?""(?:\\.|[^""\\])*""")]
    private static partial Regex Literals();
}
