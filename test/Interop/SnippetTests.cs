using System.Diagnostics;
using System.Text.RegularExpressions;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Interop.Tests;

/// <summary>docs/sidecar.md: what people copy from it runs, with nothing changed but the port and the model.</summary>
public sealed partial class SnippetTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private const string Untested = "Not run by the tests.";

    [Theory]
    [InlineData("OpenAI, JavaScript", "sidecar", "chat")]
    [InlineData("Anthropic, JavaScript", "sidecar", "messages")]
    public Task A_snippet_of_JavaScript_is_answered(string section, string folder, string api) => ShouldBeAnsweredAsync(section, folder, api);

    [Theory(Explicit = true)]
    [InlineData("Vercel AI SDK", "frameworks", "chat")]
    [InlineData("LangChain", "frameworks", "chat")]
    public Task So_is_one_of_the_frameworks(string section, string folder, string api) => ShouldBeAnsweredAsync(section, folder, api);

    [Fact]
    public async Task What_is_typed_with_curl_is_answered()
    {
        stack.Engine.Script = stack.Engine.Script with { Exchanges = [] };
        var said = await RunAsync("curl", "sh", ["-e", "-s"], Sections()["curl"], "");
        said.ShouldContain($"\"id\":\"{ScriptedStack.Model}\"");
        said.ShouldContain("data: [DONE]");
        said.ShouldContain("\"bundle.report_data\"");
    }

    [Fact]
    public void Each_snippet_is_run_here_or_says_that_it_is_not()
    {
        var tests = File.ReadAllText(Path.Combine(Tree.Root, "test", "Interop", "SnippetTests.cs"));
        foreach (var (section, text) in Sections().Where(section => section.Value.Contains("\n```", StringComparison.Ordinal)))
            (text.Contains(Untested, StringComparison.Ordinal) ^ tests.Contains($"\"{section}\"", StringComparison.Ordinal)).ShouldBeTrue(section);
        Sections().Count(section => section.Value.Contains(Untested, StringComparison.Ordinal)).ShouldBe(1); // Python's
    }

    [Fact]
    public void The_versions_that_are_named_are_those_that_are_tested()
    {
        var locks = string.Concat(((string[])["sidecar", "frameworks"])
            .Select(folder => File.ReadAllText(Path.Combine(Tree.Root, "test", "Interop", folder, "package.json"))));
        var named = Sections().Values.SelectMany(text => Version().Matches(text)).ToList();
        named.Count.ShouldBe(7);
        foreach (Match version in named)
            locks.ShouldContain($"\"{version.Groups["name"].Value}\": \"{version.Groups["version"].Value}\"");
    }

    private async Task ShouldBeAnsweredAsync(string section, string folder, string api)
    {
        stack.Next(section == "LangChain" || api == "messages" ? ApiAnswers.Text(api, "It rains.") : ApiAnswers.TextInPieces(api, "It ", "rains."));
        var said = await RunAsync(section, "node", ["--input-type=module", "-"], Sections()[section], folder);
        said.Trim().ShouldBe("It rains.");
    }

    private static Dictionary<string, string> Sections() =>
        Regex.Split(File.ReadAllText(Path.Combine(Tree.Root, "docs", "sidecar.md")).ReplaceLineEndings("\n"), "^## ", RegexOptions.Multiline)[1..]
            .ToDictionary(section => section[..section.IndexOf('\n', StringComparison.Ordinal)], section => section, StringComparer.Ordinal);

    // The snippet of a section, as it stands, by a program in a folder that has its packages.
    private async Task<string> RunAsync(string section, string program, string[] arguments, string text, string folder)
    {
        var snippet = Block().Match(text).Groups["code"].Value
            .Replace("http://127.0.0.1:8787", stack.Stack.Sidecar!.GetLeftPart(UriPartial.Authority), StringComparison.Ordinal)
            .Replace("\"demo\"", $"\"{ScriptedStack.Model}\"", StringComparison.Ordinal);
        snippet.ShouldNotBeEmpty(section);
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = Path.Combine(Tree.Root, "test", "Interop", folder),
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.StandardInput.WriteAsync(snippet);
        process.StandardInput.Close();
        var said = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        process.ExitCode.ShouldBe(0, await errors);
        return said;
    }

    [GeneratedRegex(@"^```(?:js|sh)\n(?<code>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex(@"(?<name>@?[a-z][\w/-]*) (?<version>\d+\.\d+\.\d+)")]
    private static partial Regex Version();
}
