using System.Diagnostics;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Node.Inference.Upstream;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>The evidence of a node that <c>cchat</c> starts, and the policy that <c>up</c> keeps for it.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class EvidenceTests(RunningStack stack) : IDisposable
{
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cchat-evidence-");

    public void Dispose() => folder.Delete(recursive: true);

    [Fact]
    public void The_policy_of_up_accepts_what_its_node_says_of_itself_and_no_processor()
    {
        var policy = StackPolicy.For(new UpstreamOptions { Model = "m", Urls = [new Uri("http://127.0.0.1:8000/v1?x")], DangerousSharedPrefixCache = true });
        var read = Read(StackPolicy.Keep(folder.FullName, policy, _ => { }));
        (read.AllowSimulated, read.Tees.Count, read.MeasurementsAny).ShouldBe((true, 0, false));
        read.Upstreams.ShouldBe(["http://127.0.0.1:8000/v1"]);
        read.DangerousOptions.ShouldBe(["shared-prefix-cache"]);
        read.MaxLifetime.ShouldBe(TimeSpan.FromMinutes(70));
    }

    [Fact]
    public void A_policy_that_up_wrote_follows_the_node_and_one_that_somebody_changed_stays()
    {
        var said = new List<string>();
        var (plain, remote) = (StackPolicy.For(null), StackPolicy.For(new UpstreamOptions { Model = "m", Urls = [], DangerousRemoteEngine = true }));
        var file = StackPolicy.Keep(folder.FullName, plain, said.Add);
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        StackPolicy.Keep(folder.FullName, remote, said.Add);
        Read(file).DangerousOptions.ShouldBe(["remote-engine"]);
        said.ShouldBeEmpty();

        var written = File.ReadAllText(file);
        foreach (var changed in (string[])
        [
            $"# mine\n{written}", written.Replace("\"60s\"", "\"61s\"", StringComparison.Ordinal), $"{written}\n", "version = 1\n", "",
        ])
        {
            File.WriteAllText(file, changed);
            said.Clear();
            StackPolicy.Keep(folder.FullName, plain, said.Add).ShouldBe(file);
            File.ReadAllText(file).ShouldBe(changed);
            said.ShouldHaveSingleItem().ShouldContain("stays");
        }

        File.Delete(file);
        StackPolicy.Keep(folder.FullName, plain, said.Add);
        Read(file).DangerousOptions.ShouldBeEmpty();
    }

    [Fact]
    public void Up_says_where_the_policy_is_and_it_is_its_owners_alone()
    {
        stack.PolicyFile.ShouldBe(Path.Combine(stack.DataDirectory, "policy.toml"));
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(stack.PolicyFile).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.ReadAllLines(stack.PolicyFile)[0].ShouldContain("SIMULATED EVIDENCE, WHICH PROTECTS NOTHING");
        Read(stack.PolicyFile).AllowSimulated.ShouldBeTrue();
    }

    [Fact]
    public async Task The_three_lines_that_up_prints_are_all_that_a_program_needs_wherever_its_data_is()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the lines are a POSIX shell's");
        var cchat = Path.Combine(AppContext.BaseDirectory, "cchat");
        using var up = RunningStack.Start(
            ["up", "--fixture", "--gateway-port", "0", "--node-port", "0", "--data", Path.Combine(folder.FullName, "it's $HOME `here`")]);
        var errors = up.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var exports = new List<string>();
        while (await up.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line
            && !line.StartsWith("Stop it", StringComparison.Ordinal))
        {
            if (line.StartsWith("export ", StringComparison.Ordinal))
                exports.Add(line);
        }

        exports.Select(line => line.Split(' ', '=')[1]).ShouldBe(["CONFIDENTIALCHAT_API_KEY", "CONFIDENTIALCHAT_SERVER_URL", "CONFIDENTIALCHAT_POLICY"]);
        using var shell = Process.Start(new ProcessStartInfo("sh", ["-c", $"{string.Join('\n', exports)}\nexec \"$0\" ask Hello? --temperature 0", cchat])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var said = shell.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        (await shell.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken)).ShouldBe(FixtureModel.Answer + "\n", await said);
        await RunningStack.SignalAsync(up.Id, "TERM");
        await up.WaitForExitAsync(TestContext.Current.CancellationToken);
        up.ExitCode.ShouldBe(ExitCode.Success, await errors);
    }

    // What the node shows to everybody is what its gateway hands on, and what the policy of "up" was written for.
    [Fact]
    public async Task The_policy_of_up_accepts_the_bundle_that_its_node_shows_and_the_default_does_not()
    {
        using var http = new HttpClient();
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", stack.ApiKey);
        var listed = JsonElement.Parse(
            await http.GetStringAsync(new Uri(stack.Gateway, $"/v2/nodes?model={stack.Model}"), TestContext.Current.CancellationToken))
            .GetProperty("nodes")[0];
        var bundle = await http.GetByteArrayAsync(new Uri(stack.Node, $"/v2/evidence/{listed.GetProperty("key_set")}"), TestContext.Current.CancellationToken);
        Convert.ToHexStringLower(SHA256.HashData(bundle)).ShouldBe(listed.GetProperty("bundle").GetString());
        var file = Path.Combine(folder.FullName, "bundle.json");
        await File.WriteAllBytesAsync(file, bundle, TestContext.Current.CancellationToken);

        var (exitCode, output, errors) = await InProcess.RunAsync("verify", file, "--policy", stack.PolicyFile);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("accepted");
        errors.ShouldContain("NOTHING IS PROTECTED");
        (await InProcess.RunAsync("verify", file)).ExitCode.ShouldBe(7);
    }

    [Fact]
    public async Task The_policy_of_up_names_the_engine_that_its_node_uses_and_no_other()
    {
        await using var scripted = new ScriptedStack();
        await scripted.InitializeAsync();
        string[] verify = ["verify", "--node", "1", "--gateway", scripted.Stack.Gateway.ToString(), "--data", scripted.Stack.DataDirectory];
        var (exitCode, output, errors) = await InProcess.RunAsync(verify);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain($"PASS  bundle.upstream             expected {scripted.Engine.Url}; found {scripted.Engine.Url}\n");

        (exitCode, _, errors) = await InProcess.RunAsync([.. verify, "--policy", stack.PolicyFile]);
        exitCode.ShouldBe(7, errors);
        errors.ShouldContain("bundle.upstream (FORBIDDEN)");
    }

    // Its node serves envelope v1, says so twice, and keeps no policy for it: there is nothing to accept.
    [Fact]
    public async Task Without_evidence_up_keeps_no_policy_and_says_what_that_means()
    {
        await using var bare = new RunningStack(["--evidence", "none"]);
        await bare.InitializeAsync();
        JsonElement.Parse(bare.ReadyLine).GetProperty("policy").ValueKind.ShouldBe(JsonValueKind.Null);
        File.Exists(Path.Combine(bare.DataDirectory, StackPolicy.FileName)).ShouldBeFalse();
        using var http = new HttpClient();
        using var answer = await http.GetAsync(new Uri(bare.Node, $"/v2/evidence/{new string('A', 43)}"), TestContext.Current.CancellationToken);
        ((int)answer.StatusCode).ShouldBe(404);
        (await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).ShouldNotContain("ohttp-key");
        var end = await bare.TerminateAsync();
        end.Errors.ShouldContain("no evidence: the node serves envelope v1 alone");
        end.Errors.ShouldNotContain("simulated");
    }

    [Fact]
    public async Task A_node_says_what_evidence_it_has_as_it_starts_and_when_it_is_ready()
    {
        // A gateway of its own: another's callers would be sent to these nodes.
        var data = Path.Combine(folder.FullName, "gateway");
        using var gateway = RunningStack.Start(["gateway", "--data", data, "--port", "0", "--json", "--exit-with-stdin"]);
        _ = gateway.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var url = JsonElement.Parse((await gateway.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken))!).GetProperty("gateway").GetString()!;
        var model = Path.Combine(folder.FullName, "model.gguf");
        FixtureModel.Write(model);
        await StartsAsync("simulated", "v1, v2", "NOTHING IS PROTECTED", "--evidence", "simulated");
        await StartsAsync("none", "v1", "envelope v1 alone");
        gateway.StandardInput.Close();
        await gateway.WaitForExitAsync(TestContext.Current.CancellationToken);

        async Task StartsAsync(string evidence, string envelope, string warning, params string[] arguments)
        {
            var token = (await InProcess.RunAsync("nodes", "token", "--data", data)).Output.Trim();
            using var node = RunningStack.Start(
                ["node", "--data", Path.Combine(folder.FullName, evidence), "--port", "0", "--gateway", url, "--model", model, "--json", .. arguments],
                new Dictionary<string, string> { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token });
            var errors = node.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            var line = await node.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
            await RunningStack.SignalAsync(node.Id, "TERM");
            await node.WaitForExitAsync(TestContext.Current.CancellationToken);
            line.ShouldNotBeNull(await errors);
            var ready = JsonElement.Parse(line);
            (ready.GetProperty("evidence").GetString(), ready.GetProperty("envelope").GetString()).ShouldBe((evidence, envelope));
            (await errors).ShouldContain(warning);
            node.ExitCode.ShouldBe(ExitCode.Success);
        }
    }

    private static Policy Read(string file) => Policy.Parse(File.ReadAllText(file));
}
