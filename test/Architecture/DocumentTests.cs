using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>What documents and comments point at is there.</summary>
public sealed class DocumentTests
{
    [Fact]
    public void Every_section_that_a_comment_cites_is_a_heading_of_the_specification()
    {
        var cited = 0;
        var findings = new List<string>();
        foreach (var source in Repository.Sources)
        {
            foreach (Match match in Regex.Matches(source.Text, @"(?<file>spec/[\w-]+\.md)(?<sections> sections? (?<list>\d+(?:(?:, | and | to )\d+)*))?(?:,? rules? (?<rules>\d+(?:(?:, | and )\d+)*))?"))
            {
                cited++;
                var file = match.Groups["file"].Value;
                if (!File.Exists(Path.Combine(Tree.Root, file)))
                {
                    findings.Add($"{source.Path}: {file}");
                    continue;
                }

                var spec = Repository.Read(file);
                foreach (var section in Numbers(match.Groups["list"].Value))
                {
                    var body = Regex.Match(spec, $@"^## {section}\. .*\n(?<body>[\s\S]*?)(?=^## |\z)", RegexOptions.Multiline);
                    if (!body.Success)
                        findings.Add($"{source.Path}: {file} section {section}");
                    foreach (var rule in Numbers(match.Groups["rules"].Value))
                    {
                        if (!Regex.IsMatch(body.Groups["body"].Value, $@"^{rule}\. ", RegexOptions.Multiline))
                            findings.Add($"{source.Path}: {file} section {section} rule {rule}");
                    }
                }
            }
        }

        cited.ShouldBeGreaterThan(40);
        findings.ShouldBeNone("Cited, and not in the specification.");
    }

    [Fact]
    public void Every_file_and_project_that_the_architecture_names_is_there()
    {
        var text = Repository.Read("docs/architecture.md");
        string[] paths = [.. Regex.Matches(text, "`((?:src|test|docs|spec)/[^`]*)`").Select(match => match.Groups[1].Value)];
        paths.Length.ShouldBeGreaterThan(15);
        paths.Where(path => !File.Exists(Path.Combine(Tree.Root, path)) && !Directory.Exists(Path.Combine(Tree.Root, path)))
            .ShouldBeNone("Named in docs/architecture.md, and not there.");
        Regex.Matches(text, @"`(ConfidentialChat\.\w+)`").Select(match => match.Groups[1].Value)
            .Where(project => !Repository.Projects.ContainsKey(project))
            .ShouldBeNone("Named in docs/architecture.md, and no project.");
    }

    [Fact]
    public void Decisions_are_numbered_without_a_gap_and_say_their_number()
    {
        var pages = Directory.GetFiles(Path.Combine(Tree.Root, "docs", "decisions"), "*.md").Order(StringComparer.Ordinal).ToList();
        pages.Count.ShouldBeGreaterThan(10);
        for (var i = 1; i <= pages.Count; i++)
        {
            Path.GetFileName(pages[i - 1]).ShouldStartWith($"{i:D4}-");
            File.ReadLines(pages[i - 1]).First().ShouldStartWith($"# {i}. ");
        }
    }

    [Fact]
    public void Every_relative_link_leads_somewhere()
    {
        var followed = 0;
        var findings = new List<string>();
        foreach (var file in Repository.MarkdownFiles)
        {
            var text = Regex.Replace(File.ReadAllText(file), @"```[\s\S]*?```|`[^`\n]*`", "");
            foreach (Match match in Regex.Matches(text, @"\]\((?<to>[^)\s]+)\)"))
            {
                var target = match.Groups["to"].Value;
                if (Regex.IsMatch(target, "^[a-z]+:"))
                    continue;
                followed++;
                var parts = target.Split('#');
                var path = parts[0].Length == 0 ? file : Path.Combine(Path.GetDirectoryName(file)!, parts[0]);
                if (!File.Exists(path) && !Directory.Exists(path))
                    findings.Add($"{Repository.Relative(file)}: {target}");
                else if (parts.Length > 1 && !Anchors(path).Contains(parts[1]))
                    findings.Add($"{Repository.Relative(file)}: {target} (no such heading)");
            }
        }

        followed.ShouldBeGreaterThan(5);
        findings.ShouldBeNone("A link that leads nowhere.");
    }

    // "4, 7 and 8", and "4 to 8".
    private static IEnumerable<int> Numbers(string list)
    {
        foreach (Match match in Regex.Matches(list, @"(\d+)(?: to (\d+))?"))
        {
            var from = int.Parse(match.Groups[1].Value);
            var to = match.Groups[2].Success ? int.Parse(match.Groups[2].Value) : from;
            for (var number = from; number <= to; number++)
                yield return number;
        }
    }

    // As GitHub makes them of headings.
    private static IEnumerable<string> Anchors(string file) =>
        Regex.Matches(File.ReadAllText(file), "^#+ (?<text>.*)$", RegexOptions.Multiline)
            .Select(heading => Regex.Replace(heading.Groups["text"].Value.Trim().ToLowerInvariant(), @"[^\w\- ]", "").Replace(' ', '-'));
}
