// spec/connect.md section 3 rule 4.
using System.Text;
using System.Text.RegularExpressions;

namespace ConfidentialChat.Cli.Agents;

/// <summary>What differs between two texts, as a unified diff: three lines around each place, secrets of others not shown.</summary>
internal static partial class LineDifference
{
    private const int Around = 3;
    private const int MostCompared = 4_000_000; // cells of the table: more, and everything between the first and the last difference differs

    /// <summary>Empty where nothing differs.</summary>
    /// <param name="file">The name that is shown; both sides have it.</param>
    /// <param name="before">As it is; null where there is no file.</param>
    /// <param name="after">As it would be; null where there would be none.</param>
    public static string Show(string file, string? before, string? after)
    {
        var (old, @new) = (Lines(before), Lines(after));
        var changes = Compare(old, @new);
        if (changes.All(change => change.Sign == ' '))
            return "";
        var shown = new StringBuilder();
        shown.Append($"--- {(before is null ? "/dev/null" : file)}\n+++ {(after is null ? "/dev/null" : file)}\n");
        for (var i = 0; i < changes.Count;)
        {
            var first = changes.FindIndex(i, change => change.Sign != ' ');
            if (first < 0)
                break;
            var last = first;
            for (var k = first; k < changes.Count && k - last <= 2 * Around; k++)
                last = changes[k].Sign == ' ' ? last : k;
            var (from, to) = (Math.Max(i, first - Around), Math.Min(changes.Count, last + 1 + Around));
            var hunk = changes[from..to];
            shown.Append($"@@ -{Range(changes, from, hunk, '+')} +{Range(changes, from, hunk, '-')} @@\n");
            foreach (var (sign, line) in hunk)
            {
                var text = line.TrimEnd('\r', '\n');
                shown.Append(sign).Append(Secret().Replace(text, Hide)).Append('\n');
                if (!line.EndsWith('\n'))
                    shown.Append("\\ No newline at end of file\n");
            }

            i = to;
        }

        return shown.ToString();
    }

    private static string Hide(Match secret) => secret.Groups["value"].Value.Contains(Agent.AnyKey, StringComparison.Ordinal)
        || secret.Groups["value"].Value.Contains(SidecarEndpoint.KeyVariable, StringComparison.Ordinal) ? secret.Value : $"{secret.Groups["name"].Value}…";

    private static string Range(List<(char Sign, string Line)> changes, int from, List<(char Sign, string Line)> hunk, char other)
    {
        var count = hunk.Count(change => change.Sign != other);
        var start = changes.Take(from).Count(change => change.Sign != other) + (count > 0 ? 1 : 0);
        return count == 1 ? $"{start}" : $"{start},{count}";
    }

    // Each with its break; the last may have none.
    private static string[] Lines(string? text)
    {
        var pieces = (text ?? "").Split('\n');
        var whole = pieces.SkipLast(1).Select(line => line + "\n");
        return pieces[^1].Length == 0 ? [.. whole] : [.. whole, pieces[^1]];
    }

    private static List<(char Sign, string Line)> Compare(string[] old, string[] @new)
    {
        var head = 0;
        while (head < old.Length && head < @new.Length && old[head] == @new[head])
            head++;
        var tail = 0;
        while (tail < old.Length - head && tail < @new.Length - head && old[^(tail + 1)] == @new[^(tail + 1)])
            tail++;
        var (a, b) = (old[head..^tail], @new[head..^tail]);
        var changes = old.Take(head).Select(line => (' ', line)).ToList();
        if ((long)a.Length * b.Length > MostCompared)
        {
            changes.AddRange(a.Select(line => ('-', line)));
            changes.AddRange(b.Select(line => ('+', line)));
        }
        else
        {
            var same = new int[a.Length + 1, b.Length + 1];
            for (var i = a.Length - 1; i >= 0; i--)
            {
                for (var j = b.Length - 1; j >= 0; j--)
                    same[i, j] = a[i] == b[j] ? same[i + 1, j + 1] + 1 : Math.Max(same[i + 1, j], same[i, j + 1]);
            }

            for (int i = 0, j = 0; i < a.Length || j < b.Length;)
            {
                if (i < a.Length && j < b.Length && a[i] == b[j])
                    (changes, i, j) = (Added(changes, ' ', a[i]), i + 1, j + 1);
                else if (i < a.Length && (j == b.Length || same[i + 1, j] >= same[i, j + 1]))
                    changes.Add(('-', a[i++]));
                else
                    changes.Add(('+', b[j++]));
            }
        }

        changes.AddRange(old.TakeLast(tail).Select(line => (' ', line)));
        return changes;
    }

    private static List<(char Sign, string Line)> Added(List<(char Sign, string Line)> changes, char sign, string line)
    {
        changes.Add((sign, line));
        return changes;
    }

    // "apiKey": "…", api_key = "…", openai-api-key: …
    [GeneratedRegex(
        """(?<name>[\w.-]*(?:key|token|secret|password|authorization)"?\s*[:=]\s*)(?<value>"[^"]+"|'[^']+'|[^\s"',{}\[\]]+)""",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5000)]
    private static partial Regex Secret();
}
