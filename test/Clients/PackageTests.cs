using System.IO.Compression;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Clients.Tests;

/// <summary>What users get: the packages, the samples and the programs of docs/clients.md, each run against gateway, node and a scripted engine.</summary>
[TimeLimit(600)]
public sealed class PackageTests(LocalFeed feed, ScriptedStack scripted) : IClassFixture<LocalFeed>, IClassFixture<ScriptedStack>
{
    private const string Call =
        """
        {"id":"a1","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant",
        "content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]}}]}
        """;

    private static readonly string[] Packages =
        ["ConfidentialChat.Attestation", "ConfidentialChat.Client", "ConfidentialChat.Extensions.AI", "ConfidentialChat.Protocol"];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void Each_package_has_its_licence_its_readme_its_documentation_its_symbols_and_its_source()
    {
        Directory.GetFiles(feed.Packages, "*.nupkg").Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)
            .ShouldBe(Packages.Select(name => $"{name}.{LocalFeed.Version}.nupkg"));
        foreach (var name in Packages)
        {
            using var package = ZipFile.OpenRead(Path.Combine(feed.Packages, $"{name}.{LocalFeed.Version}.nupkg"));
            var files = package.Entries.Select(entry => entry.FullName).ToList();
            files.ShouldContain($"lib/net10.0/{name}.dll");
            files.ShouldContain($"lib/net10.0/{name}.xml");
            files.ShouldContain("README.md");
            using var specification = package.GetEntry($"{name}.nuspec")!.Open();
            var metadata = XDocument.Load(specification).Descendants().ToLookup(element => element.Name.LocalName);
            metadata["license"].Single().Value.ShouldBe("Apache-2.0");
            metadata["readme"].Single().Value.ShouldBe("README.md");
            metadata["description"].Single().Value.ShouldNotBeEmpty();
            if (Path.Exists(Path.Combine(Tree.Root, ".git")))
                metadata["repository"].Single().Attribute("commit")!.Value.ShouldMatch("^[0-9a-f]{40}$");
            using var symbols = ZipFile.OpenRead(Path.Combine(feed.Packages, $"{name}.{LocalFeed.Version}.snupkg"));
            symbols.Entries.Select(entry => entry.FullName).ShouldContain($"lib/net10.0/{name}.pdb");

            // No path of this machine: whoever builds it elsewhere gets the same bytes.
            using var assembly = package.GetEntry($"lib/net10.0/{name}.dll")!.Open();
            using var bytes = new MemoryStream();
            assembly.CopyTo(bytes);
            Encoding.Latin1.GetString(bytes.ToArray()).ShouldNotContain(Tree.Root);
        }
    }

    [Fact]
    public void The_client_brings_neither_a_server_nor_a_framework_along()
    {
        using var package = ZipFile.OpenRead(Path.Combine(feed.Packages, $"ConfidentialChat.Client.{LocalFeed.Version}.nupkg"));
        using var specification = package.GetEntry("ConfidentialChat.Client.nuspec")!.Open();
        var dependencies = XDocument.Load(specification).Descendants().Where(element => element.Name.LocalName == "dependency")
            .Select(element => element.Attribute("id")!.Value).Order(StringComparer.Ordinal);
        dependencies.ShouldBe(["ConfidentialChat.Attestation", "ConfidentialChat.Protocol", "NSec.Cryptography", "System.Formats.Cbor", "Tomlyn", "libsodium"]);
    }

    [Fact]
    public async Task What_the_docs_say_to_type_has_the_packages_found()
    {
        var page = await File.ReadAllTextAsync(Path.Combine(Tree.Root, "docs", "clients.md"), Cancellation);
        var command = Regex.Match(page, "`(?<command>dotnet nuget add source [^`]+)`").Groups["command"].Value;
        var home = Directory.CreateTempSubdirectory("cchat-home-").FullName;
        try
        {
            var variables = new Dictionary<string, string> { ["HOME"] = home, ["DOTNET_CLI_HOME"] = home, ["DOTNET_NOLOGO"] = "1" };
            var folder = Directory.CreateDirectory(Path.Combine(home, "clone")).FullName;
            Directory.CreateDirectory(Path.Combine(folder, "feed"));
            (await LocalFeed.RunAsync(folder, "sh", variables, "-c", command)).ExitCode.ShouldBe(0, command);
            var (_, said) = await LocalFeed.RunAsync(home, "dotnet", variables, "nuget", "list", "source");
            said.ShouldContain(Path.Combine(folder, "feed") + "\n"); // also from elsewhere
        }
        finally
        {
            Directory.Delete(home, recursive: true);
        }
    }

    [Fact]
    public async Task The_first_program_of_the_docs_is_answered() => await RunAsync("first", Programs()[0]);

    [Fact(Explicit = true)]
    public async Task Every_program_of_the_docs_is_answered()
    {
        var programs = Programs();
        programs.Count.ShouldBe(5);
        for (var i = 1; i < programs.Count; i++)
            await RunAsync($"docs{i}", programs[i]);
    }

    [Theory(Explicit = true)]
    [InlineData("chat.cs", "......0")]
    [InlineData("openai-package.cs", "......0")]
    [InlineData("agent.cs", "......0")]
    [InlineData("tools.cs", "......0")]
    [InlineData("embeddings.cs", "1.00 a letter to my doctor")]
    [InlineData("verify.cs", "scripted: node 1 (simulated)")]
    public async Task Each_sample_runs(string sample, string expected)
    {
        Serve();
        if (sample == "agent.cs")
            scripted.Next(EngineStep.Answer(200, Call));
        (await RunAsync(Path.GetFileNameWithoutExtension(sample), await SampleAsync(sample))).ShouldContain(expected);
    }

    [Fact]
    public async Task No_sample_is_left_out()
    {
        var tests = await File.ReadAllTextAsync(Path.Combine(Tree.Root, "test", "Clients", "PackageTests.cs"), Cancellation);
        foreach (var sample in Directory.GetFiles(Path.Combine(Tree.Root, "samples"), "*.cs"))
            tests.ShouldContain($"\"{Path.GetFileName(sample)}\"");
    }

    [Fact(Explicit = true)]
    public async Task The_web_service_answers_and_says_how_it_is()
    {
        Serve();
        var file = await feed.PlaceAsync("web", await SampleAsync("web.cs"));
        var (exitCode, said) = await feed.DotnetAsync(
            Path.GetDirectoryName(file)!, new Dictionary<string, string>(), "publish", file, "--output", "out", "-p:PublishAot=false");
        exitCode.ShouldBe(0, said);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var url = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}";
        listener.Stop();
        var variables = new Dictionary<string, string>
        {
            ["ASPNETCORE_URLS"] = url,
            ["ConfidentialChat__ServerUrl"] = scripted.Stack.Gateway.ToString(),
            ["ConfidentialChat__BearerKey"] = scripted.Stack.ApiKey,
            ["ConfidentialChat__PolicyFile"] = scripted.Stack.PolicyFile,
            ["ConfidentialChat__Model"] = ScriptedStack.Model,
        };
        using var service = feed.Start(Path.Combine(Path.GetDirectoryName(file)!, "out", "web"), variables);
        try
        {
            using var http = new HttpClient { BaseAddress = new Uri(url) };
            await Waiting.UntilAsync(async () =>
            {
                try
                {
                    return await http.GetStringAsync("/health", Cancellation) == "Healthy";
                }
                catch (HttpRequestException)
                {
                    return false; // it does not listen yet
                }
            });
            (await http.GetStringAsync("/ask?question=who", Cancellation)).ShouldStartWith("......0 ");
        }
        finally
        {
            service.Kill(entireProcessTree: true);
        }
    }

    [Theory(Explicit = true)]
    [InlineData("chat.cs")]
    [InlineData("tools.cs")]
    [InlineData("openai-package.cs")]
    public async Task A_program_that_is_compiled_ahead_is_answered_and_nothing_was_warned_of(string sample)
    {
        Serve();
        var name = Path.GetFileNameWithoutExtension(sample) + "-native";
        var file = await feed.PlaceAsync(name, await SampleAsync(sample));
        var (exitCode, said) = await feed.DotnetAsync(Path.GetDirectoryName(file)!, new Dictionary<string, string>(), "publish", file, "--output", "out");
        exitCode.ShouldBe(0, said);
        said.ShouldNotContain("warning");
        var native = Path.Combine(Path.GetDirectoryName(file)!, "out", name);
        File.Exists(native + ".dll").ShouldBeFalse();
        TestContext.Current.SendDiagnosticMessage($"{name}: {new FileInfo(native).Length / 1e6:0.0} MB");
        if (sample == "tools.cs")
            scripted.Next(CallInStream());
        var (exit, answer) = await LocalFeed.RunAsync(Path.GetDirectoryName(file)!, native, LocalFeed.Variables(scripted.Stack));
        exit.ShouldBe(0, answer);
        answer.ShouldContain("......0 ");
        if (sample == "tools.cs")
            LastRequest().ShouldContain("In Oslo it rains.");
    }

    [Fact(Explicit = true)]
    public async Task Made_again_they_are_the_same_bytes_and_break_nobody()
    {
        var again = Directory.CreateTempSubdirectory("cchat-again-").FullName;
        try
        {
            var (exitCode, said) = await PackAsync(Tree.Root, again);
            exitCode.ShouldBe(0, said);
            foreach (var file in Directory.GetFiles(feed.Packages))
                (await File.ReadAllBytesAsync(Path.Combine(again, Path.GetFileName(file)), Cancellation))
                    .ShouldBe(await File.ReadAllBytesAsync(file, Cancellation), Path.GetFileName(file));
        }
        finally
        {
            Directory.Delete(again, recursive: true);
        }
    }

    [Fact(Explicit = true)]
    public async Task What_a_program_would_miss_of_the_packages_before_stops_the_new_ones()
    {
        Assert.SkipUnless(Path.Exists(Path.Combine(Tree.Root, ".git")), "not a clone: there is nothing to change a copy of");
        var root = Directory.CreateTempSubdirectory("cchat-broken-").FullName;
        try
        {
            var clone = Path.Combine(root, "clone");
            (await LocalFeed.RunAsync(root, "git", new Dictionary<string, string>(), "clone", "--quiet", "--shared", Tree.Root, clone)).ExitCode.ShouldBe(0);
            foreach (var file in Directory.GetFiles(Path.Combine(clone, "src", "ConfidentialChat.Extensions.AI"), "*.cs"))
            {
                var text = await File.ReadAllTextAsync(file, Cancellation);
                text = text.Replace("SectionName", "Section", StringComparison.Ordinal).Replace("failureStatus", "worst", StringComparison.Ordinal);
                await File.WriteAllTextAsync(file, text, Cancellation);
            }

            var (exitCode, said) = await PackAsync(clone, Path.Combine(root, "out"));
            exitCode.ShouldNotBe(0);
            said.ShouldContain("CP0002"); // a member that is gone
            said.ShouldContain("ConfidentialChatServices.SectionName");
            said.ShouldContain("CP0017"); // a parameter that has another name
            said.ShouldContain("failureStatus");
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    [Fact(Explicit = true)]
    public async Task The_symbols_lead_to_the_sources_and_two_folders_make_the_same_assembly()
    {
        Assert.SkipUnless(Path.Exists(Path.Combine(Tree.Root, ".git")), "not a clone: there is no commit to lead to");
        var assemblies = new List<byte[]>();
        var root = Directory.CreateTempSubdirectory("cchat-source-").FullName;
        try
        {
            foreach (var folder in (string[])["one", "another"])
            {
                var clone = Path.Combine(root, folder);
                await SucceedAsync(root, "git", "clone", "--quiet", "--shared", Tree.Root, clone);
                await SucceedAsync(clone, "git", "remote", "set-url", "origin", "https://github.com/example/confidentialchat.git");
                await SucceedAsync(
                    clone, "dotnet", "pack", "src/ConfidentialChat.Attestation", "--configuration", "Release", "--output", "out",
                    "-p:ContinuousIntegrationBuild=true", $"-p:Version={LocalFeed.Version}");
                var package = Path.Combine(clone, "out", $"ConfidentialChat.Attestation.{LocalFeed.Version}");
                assemblies.Add(Read(package + ".nupkg", "lib/net10.0/ConfidentialChat.Attestation.dll"));
                var symbols = Read(package + ".snupkg", "lib/net10.0/ConfidentialChat.Attestation.pdb");
                Encoding.UTF8.GetString(symbols).ShouldContain("https://raw.githubusercontent.com/example/confidentialchat/");
            }
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }

        assemblies[0].ShouldBe(assemblies[1]);

        static async Task SucceedAsync(string folder, string program, params string[] arguments)
        {
            var (exitCode, said) = await LocalFeed.RunAsync(folder, program, new Dictionary<string, string> { ["MSBUILDDISABLENODEREUSE"] = "1" }, arguments);
            exitCode.ShouldBe(0, said);
        }

        static byte[] Read(string package, string name)
        {
            using var zip = ZipFile.OpenRead(package);
            using var file = zip.GetEntry(name)!.Open();
            using var bytes = new MemoryStream();
            file.CopyTo(bytes);
            return bytes.ToArray();
        }
    }

    private Task<(int ExitCode, string Said)> PackAsync(string tree, string output) => LocalFeed.RunAsync(
        tree, "./pack.sh", new Dictionary<string, string> { ["MSBUILDDISABLENODEREUSE"] = "1" }, "--output", output, "--version", LocalFeed.Version,
        "--baseline", feed.Packages);

    private static List<string> Programs() =>
    [
        .. Regex.Matches(File.ReadAllText(Path.Combine(Tree.Root, "docs", "clients.md")), "(?ms)^```csharp\n(?<program>.*?)^```")
            .Select(match => match.Groups["program"].Value),
    ];

    private static Task<string> SampleAsync(string name) => File.ReadAllTextAsync(Path.Combine(Tree.Root, "samples", name), Cancellation);

    private static EngineStep[] CallInStream()
    {
        const string chunk =
            """{"id":"s","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},"finish_reason":"tool_calls"}]}""";
        return [EngineStep.Head(), EngineStep.Event(chunk), EngineStep.Of("done")];
    }

    private string LastRequest() => scripted.Engine.Requests[^1].Body;

    private void Serve() => scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [] };

    private async Task<string> RunAsync(string name, string program)
    {
        var file = await feed.PlaceAsync(name, program);
        var variables = LocalFeed.Variables(scripted.Stack);
        variables["ConfidentialChat__Model"] = ScriptedStack.Model; // of programs with a host
        variables["ASPNETCORE_URLS"] = "http://127.0.0.1:0";
        var before = scripted.Engine.Counters.Requests;
        var (exitCode, said) = await feed.DotnetAsync(Path.GetDirectoryName(file)!, variables, "run", file);
        exitCode.ShouldBe(0, said);
        said.ShouldNotContain("warning");
        if (!program.Contains("Nothing is asked.", StringComparison.Ordinal))
            scripted.Engine.Counters.Requests.ShouldBeGreaterThan(before);
        return said;
    }
}
