using System.Text.RegularExpressions;

namespace ConfidentialChat.Architecture.Tests;

/// <summary>CONTRIBUTING.md: logs hold ids, sizes, durations and codes.</summary>
public sealed class LogTests
{
    private const string Declaration =
        @"\[LoggerMessage\((?<attribute>[\s\S]*?)\)\]\s*[\w\s<>]*?void\s+\w+\s*\((?<parameters>[^)]*)\)";

    /// <summary>Before there is a log.</summary>
    private static readonly string[] Exceptions =
        ["src/ConfidentialChat.Gateway/Program.cs", "src/ConfidentialChat.Node/Program.cs", "src/ConfidentialChat.Hosting/StandardText.cs"];

    [Fact]
    public void Servers_log_by_declared_messages_only()
    {
        var findings =
            from source in Servers()
            from Match match in Regex.Matches(source.Code, @"\.(?:Log(?:Trace|Debug|Information|Warning|Error|Critical)|BeginScope)\s*\(|\b(?:log|logger)\s*\.\s*Log\s*\(|\bConsole\.(?:Out|Error|Write|WriteLine)\b")
            where !Exceptions.Contains(source.Path)
            select $"{source.Path}: {match.Value}";
        findings.ShouldBeNone("A log line is a [LoggerMessage], so that this test can read what is in it.");
    }

    [Fact]
    public void No_log_message_has_a_place_for_a_secret()
    {
        const string secret = "key|token|body|prompt|content|hash|ciphertext|plaintext|nonce|secret|salt|password|bearer";
        var messages = Messages().ToList();
        messages.Count.ShouldBeGreaterThan(8);
        var findings =
            from message in messages
            from name in message.Names
            where Regex.IsMatch(name, secret, RegexOptions.IgnoreCase) && !Regex.IsMatch(name, @"^[Kk]eys$|\w(?:Bytes|Tokens)$") // numbers of them, and sizes
            select $"{message.Path}: {name}";
        findings.ShouldBeNone("Logs hold ids, sizes, durations and codes.");
    }

    /// <summary>An operator finds a line by its number, and a number that stands twice finds two.</summary>
    [Theory]
    [InlineData("src/ConfidentialChat.Gateway", 1)]
    [InlineData("src/ConfidentialChat.Node", 1)]
    [InlineData("src/ConfidentialChat.Sidecar", 1)]
    [InlineData("src/ConfidentialChat.Hosting", 101)]
    public void The_messages_of_a_project_are_in_its_log_and_numbered_without_a_gap(string project, int first)
    {
        var sources = Servers().Where(source => source.IsIn(project)).ToList();
        sources.Where(source => source.Code.Contains("[LoggerMessage", StringComparison.Ordinal)).Select(source => source.Path)
            .ShouldBe([$"{project}/Log.cs"]);
        var log = sources.Single(source => source.Path == $"{project}/Log.cs").Code;
        var numbers = Regex.Matches(log, @"\[LoggerMessage\((?:EventId = )?(\d+),").Select(match => int.Parse(match.Groups[1].Value)).ToList();
        numbers.Count.ShouldBe(Regex.Count(log, Declaration));
        numbers.ShouldBe(Enumerable.Range(first, numbers.Count));
    }

    // The places in the templates, and the parameters of the methods under them.
    private static IEnumerable<(string Path, string[] Names)> Messages() => Declared().Concat(
        from source in Servers()
        from Match match in Regex.Matches(source.Code, @"\.Log(?:Trace|Debug|Information|Warning|Error|Critical)\((?:\w+, )?""([^""]*)""")
        select (source.Path, (string[])[.. Regex.Matches(match.Groups[1].Value, @"\{(\w+)[^}]*\}").Select(place => place.Groups[1].Value)]));

    private static IEnumerable<(string Path, string[] Names)> Declared() =>
        from source in Servers()
        from Match match in Regex.Matches(source.Code, Declaration)
        let places = Regex.Matches(match.Groups["attribute"].Value, @"\{(\w+)[^}]*\}").Select(place => place.Groups[1].Value)
        let parameters = Regex.Matches(match.Groups["parameters"].Value, @"(\w+)\s*(?:,|$)").Select(parameter => parameter.Groups[1].Value)
        select (source.Path, (string[])[.. places, .. parameters]);

    private static IEnumerable<SourceFile> Servers() =>
        Repository.Sources.Where(source => ((string[])["Gateway", "Node", "Sidecar", "Hosting"]).Any(server => source.IsIn($"src/ConfidentialChat.{server}")));
}
