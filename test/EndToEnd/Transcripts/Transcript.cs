using System.Text;
using System.Text.RegularExpressions;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests.Transcripts;

/// <summary>
/// A session at a terminal as a text file, done again and compared; README.md says how it is written. What varies is a name in braces:
/// the tests know it beforehand, or it is learnt where it is printed first, and is the same from there on.
/// </summary>
internal sealed partial class Transcript
{
    private const string AnyLines = "…";

    private readonly string name;
    private readonly List<Step> steps = [];
    private readonly Dictionary<string, string> known;

    private Transcript(string name, IReadOnlyDictionary<string, string> known)
    {
        this.name = name;
        this.known = new(known, StringComparer.Ordinal);
    }

    public static Transcript Read(string file, IReadOnlyDictionary<string, string> known)
    {
        var transcript = new Transcript(Path.GetFileName(file), known);
        var number = 0;
        foreach (var line in File.ReadLines(file))
        {
            number++;
            if (line.StartsWith("$ ", StringComparison.Ordinal))
                transcript.steps.Add(new Step(number, line[2..]));
            else if (transcript.steps.Count == 0 || line.StartsWith('#'))
                (line.Length == 0 || line.StartsWith('#')).ShouldBeTrue($"{transcript.name}:{number} is before the first command");
            else if (line.StartsWith("! ", StringComparison.Ordinal) || line == "!")
                transcript.steps[^1].Errors.Add(line.Length == 1 ? "" : line[2..]);
            else if (line.StartsWith("= ", StringComparison.Ordinal))
                transcript.steps[^1].ExitCode = int.Parse(line[2..]);
            else
                transcript.steps[^1].Output.Add(line);
        }

        transcript.steps.ShouldNotBeEmpty($"{transcript.name} has no command");
        return transcript;
    }

    public async Task RunAsync()
    {
        foreach (var step in steps)
        {
            // The blank lines before the next command are the reader's.
            while (step.Output is [.., ""])
                step.Output.RemoveAt(step.Output.Count - 1);
            var words = Words().Matches(step.Command).Select(word => Known(word.Groups["quoted"].Success ? word.Groups["quoted"].Value : word.Value)).ToArray();
            var (exitCode, output, errors) = await DoAsync(step, words);
            var said = new StringBuilder();
            var isSame = Compare(step.Output, Lines(output), "", said);
            isSame &= Compare(step.Errors, Lines(errors), "! ", said);
            isSame &= exitCode == step.ExitCode;
            if (exitCode != step.ExitCode)
                said.Append($"  - = {step.ExitCode}\n  + = {exitCode}\n");
            if (!isSame)
                Assert.Fail($"{name}:{step.Number}: $ {string.Join(' ', words)}\n{said}");
        }
    }

    private async Task<(int ExitCode, string Output, string Errors)> DoAsync(Step step, string[] words)
    {
        var variables = words.TakeWhile(word => Variable().IsMatch(word)).Select(word => word.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
        switch (words[variables.Count..])
        {
            case ["cchat", .. var arguments] when variables.Count == 0:
                return await InProcess.RunAsync(arguments);
            case ["./cchat", .. var arguments]:
                return await RunningStack.RunAsync(arguments, variables);
            case ["cat", ">", var file]:
                await File.WriteAllLinesAsync(file, step.Output.Select(Known), TestContext.Current.CancellationToken);
                step.Output.Clear();
                return (0, "", "");
            case ["cat", var file]:
                return (0, await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken), "");
            case ["ls", var folder]:
                var entries = Directory.GetFileSystemEntries(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal);
                return (0, string.Concat(entries.Select(entry => entry + "\n")), "");
            case ["sleep", var seconds]:
                await Task.Delay(TimeSpan.FromSeconds(int.Parse(seconds)), TestContext.Current.CancellationToken);
                return (0, "", "");
            default:
                throw new InvalidOperationException($"No transcript can do this: {step.Command}");
        }
    }

    private static string[] Lines(string text) => text.Length == 0 ? [] : [.. text.TrimEnd('\n').Split('\n').Select(line => line.TrimEnd())];

    /// <summary>Says what differs, beside what does not; learns what was printed where nothing does.</summary>
    private bool Compare(List<string> expected, string[] actual, string sign, StringBuilder said)
    {
        var patterns = expected.Select(Pattern).ToArray();
        // What remains to be explained from each place on: the least number of lines that only one side has.
        var rest = new int[expected.Count + 1, actual.Length + 1];
        for (var e = expected.Count; e >= 0; e--)
        {
            for (var a = actual.Length; a >= 0; a--)
            {
                if (e == expected.Count)
                    rest[e, a] = actual.Length - a;
                else if (expected[e] == AnyLines)
                    rest[e, a] = Math.Min(rest[e + 1, a], a < actual.Length ? rest[e, a + 1] : int.MaxValue);
                else
                    rest[e, a] = Math.Min(
                        1 + Math.Min(rest[e + 1, a], a < actual.Length ? rest[e, a + 1] : int.MaxValue - 1),
                        a < actual.Length && patterns[e].IsMatch(actual[a]) ? rest[e + 1, a + 1] : int.MaxValue);
            }
        }

        var isSame = rest[0, 0] == 0;
        for (int e = 0, a = 0; e < expected.Count || a < actual.Length;)
        {
            if (e < expected.Count && expected[e] == AnyLines)
            {
                if (rest[e, a] == rest[e + 1, a])
                    e++;
                else
                    said.Append($"    {sign}{actual[a++]}\n");
            }
            else if (e < expected.Count && a < actual.Length && rest[e, a] == rest[e + 1, a + 1]
                && Pattern(expected[e]).Match(actual[a]) is { Success: true } match)
            {
                foreach (var group in match.Groups.Values.Where(group => !char.IsAsciiDigit(group.Name[0])))
                    known[group.Name.Replace('_', '-')] = group.Value;
                said.Append($"    {sign}{actual[a++]}\n");
                e++;
            }
            else if (a < actual.Length && (e == expected.Count || rest[e, a] == 1 + rest[e, a + 1]))
            {
                said.Append($"  + {sign}{actual[a++]}\n");
                isSame = false;
            }
            else
            {
                said.Append($"  - {sign}{Known(expected[e++])}\n");
                isSame = false;
            }
        }

        return isSame;
    }

    private string Known(string text) => Placeholder().Replace(text, name => known.GetValueOrDefault(name.Groups[1].Value, name.Value));

    private Regex Pattern(string line)
    {
        var pattern = new StringBuilder("^");
        var at = 0;
        var learnt = new HashSet<string>(StringComparer.Ordinal);
        foreach (Match match in Placeholder().Matches(line))
        {
            pattern.Append(Regex.Escape(line[at..match.Index]));
            var what = match.Groups[1].Value;
            var group = what.Replace('-', '_');
            pattern.Append(
                what == AnyLines
                    ? ".*?"
                    : known.TryGetValue(what, out var value) ? Regex.Escape(value)
                    : learnt.Add(group) ? $"(?<{group}>\\S+?)"
                    : $"\\k<{group}>");
            at = match.Index + match.Length;
        }

        return new Regex(pattern.Append(Regex.Escape(line[at..].TrimEnd())).Append('$').ToString(), RegexOptions.CultureInvariant);
    }

    [GeneratedRegex(@"\{(…|[a-z][a-z-]*)\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex("""'(?<quoted>[^']*)'|\S+""")]
    private static partial Regex Words();

    [GeneratedRegex("^[A-Z_]+=")]
    private static partial Regex Variable();

    private sealed class Step(int number, string command)
    {
        public int Number { get; } = number;

        public string Command { get; } = command;

        public List<string> Output { get; } = [];

        public List<string> Errors { get; } = [];

        public int ExitCode { get; set; }
    }
}
