using System.Diagnostics;
using ConfidentialChat.Cli;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>What the command line does that no transcript shows.</summary>
public sealed class CommandTests(RunningStack stack)
{
    [Fact]
    public async Task Ask_streams_the_answer_to_standard_output()
    {
        var (exitCode, output, errors) = await AskAsync(stack.ApiKey, "Hello?", "--temperature", "0");

        exitCode.ShouldBe(0, errors);
        output.ShouldBe(FixtureModel.Answer + "\n");
        errors.ShouldBe("node 1, simulated evidence: accepted, and NOTHING IS PROTECTED from whoever runs it\n");
    }

    [Fact]
    public async Task Ask_takes_the_whole_answer_when_told_to()
    {
        var (_, output, _) = await AskAsync(stack.ApiKey, "Hello?", "--temperature", "0", "--whole", "--system", "Be brief.", "--model", "fixture");

        output.ShouldBe(FixtureModel.Answer + "\n");
    }

    [Theory]
    [InlineData("-")]
    [InlineData(null)]
    public async Task Ask_reads_a_question_that_no_other_user_is_to_see_from_standard_input(string? dash)
    {
        var (exitCode, output, errors) = await RunningStack.RunAsync(
            ["ask", .. dash is null ? Array.Empty<string>() : [dash], "--gateway", stack.Gateway.ToString(), "--temperature", "0"],
            new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey, ["CONFIDENTIALCHAT_POLICY"] = stack.PolicyFile },
            "Hello?\n");

        exitCode.ShouldBe(0, errors);
        output.ShouldBe(FixtureModel.Answer + "\n");
    }

    [Fact]
    public async Task The_key_that_up_keeps_is_its_owners_alone()
    {
        var file = Path.Combine(stack.DataDirectory, "api-key");
        (await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken)).ShouldBe(stack.ApiKey + "\n");
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    [Fact]
    public async Task A_port_that_is_taken_is_named_with_the_option_of_who_started_it()
    {
        var data = Directory.CreateTempSubdirectory("cchat-test-");
        try
        {
            var run = await RunningStack.RunAsync(["up", "--fixture", "--data", data.FullName, "--gateway-port", $"{stack.Gateway.Port}", "--node-port", "0"]);
            run.ExitCode.ShouldBe(ExitCode.Usage, run.Errors);
            run.Errors.ShouldContain("error: ");
            run.Errors.ShouldContain("hint: choose another with --gateway-port");
        }
        finally
        {
            data.Delete(recursive: true);
        }
    }

    // A gateway that names no node, and a lock with a key that everyone can open: it learns which model is asked for, and not even that it is to be locked.
    [Fact]
    public async Task A_gateway_that_names_no_node_but_would_lock_a_key_of_its_own_is_told_nothing()
    {
        await using var gateway = await LyingGateway.StartAsync("""{"nodes":[],"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","node_small_id":1,"stack_small_id":1,"stack_entry_digest":null}""");
        foreach (var envelope in (string[])["v1", "v2"])
        {
            var (exitCode, output, errors) = await InProcess.RunAsync(
                "ask", "Hello?", "--model", "m", "--gateway", gateway.Url.ToString(), "--data", stack.DataDirectory, "--envelope", envelope);
            (exitCode, output).ShouldBe((4, ""), errors);
            errors.ShouldContain("MODEL_NOT_FOUND");
        }

        gateway.Paths.Distinct().ShouldBeSubsetOf(["/v2/nodes", "/v1/models"]); // the second to tell which models there are
    }

    [Fact]
    public async Task A_node_whose_evidence_the_policy_refuses_is_named_with_its_factors_and_sent_nothing()
    {
        foreach (var command in (string[][])[["ask", "Hello?"], ["ask", "Hello?", "--json"], ["ask", "Hello?", "--envelope", "v1"]])
        {
            var (exitCode, output, errors) = await RunningStack.RunAsync(
                [.. command, "--gateway", stack.Gateway.ToString()], new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey });
            (exitCode, output).ShouldBe((7, ""), errors);
            errors.ShouldStartWith("error: the policy accepts no node of this model, and nothing was sent to any: node 1: bundle.tee (FORBIDDEN)\nhint: node 1 ");
            errors.ShouldContain("(--policy, or ");
        }
    }

    [Fact]
    public void The_exit_codes_are_those_that_are_documented()
    {
        var documented = File.ReadAllLines(Path.Combine(Tree.Root, "docs", "operating.md"))
            .SkipWhile(line => line != "## Exit codes").Skip(1).TakeWhile(line => !line.StartsWith("## ", StringComparison.Ordinal))
            .Select(line => line.Split('|')).Where(cells => cells.Length > 2 && int.TryParse(cells[1], out _)).Select(cells => int.Parse(cells[1]));
        documented.ShouldBe([0, 1, 2, 3, 4, 5, 6, 7, 8, 129, 130, 141, 143]);
        (ExitCode.Success, ExitCode.Failure, ExitCode.Usage, ExitCode.NotEnrolled, ExitCode.Refused, ExitCode.NotReached).ShouldBe((0, 1, 2, 3, 4, 5));
        (ExitCode.Untrustworthy, ExitCode.EvidenceRefused, ExitCode.DatabaseBusy, ExitCode.Interrupted, ExitCode.OutputClosed).ShouldBe((6, 7, 8, 130, 141));
        Invocation.Explain(new HttpIOException(HttpRequestError.ResponseEnded))!.ExitCode.ShouldBe(5); // of the network, though .NET counts it among files'
        Invocation.Explain(new IOException())!.ExitCode.ShouldBe(1);
    }

    [Fact]
    public async Task The_demo_shows_what_each_party_saw_and_says_what_is_not_protected()
    {
        var (exitCode, output, errors) = await RunningStack.RunAsync(["demo", "--fixture"]);

        exitCode.ShouldBe(0, errors);
        output.Split(FixtureModel.Answer).Length.ShouldBe(3);
        output.ShouldContain("gateway   POST /v2/nodes/1/relay HTTP/1.1\n");
        output.ShouldMatch("knows who asks \\(the API key\\), the model \\(fixture\\), that it is at most [0-9]+ units,\n +and 3,192 bytes, as many as every message of its size class has");
        output.ShouldMatch("\n  streamed +3,192 +3,192 +(?<stream>[0-9,]+) +\\k<stream>\n  whole +3,192 +3,192 +(?<whole>[0-9,]+) +\\k<whole>\n"); // the legs carry the same
        output.ShouldContain("What the node proved before a byte was sent: node 1, simulated evidence: accepted, and NOTHING IS PROTECTED");
        output.ShouldContain("in plain or in base64: none");
        output.Split("warning: simulated evidence").Length.ShouldBe(3); // before and after
    }

    // test.sh builds it with everything else; alone, this test does.
    [Fact]
    [TimeLimit(600)]
    public async Task The_sample_of_the_readme_runs_as_it_is()
    {
        var start = new ProcessStartInfo("dotnet", ["run", "--configuration", "Release", Path.Combine(Tree.Root, "samples", "chat.cs")])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["CONFIDENTIALCHAT_SERVER_URL"] = stack.Gateway.ToString();
        start.Environment["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey;
        start.Environment["CONFIDENTIALCHAT_POLICY"] = stack.PolicyFile;
        using var run = Process.Start(start)!;
        var errors = run.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await run.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await run.WaitForExitAsync(TestContext.Current.CancellationToken);

        run.ExitCode.ShouldBe(0, output + await errors);
        output.ShouldContain(FixtureModel.Canary);
    }

    private Task<(int ExitCode, string Output, string Errors)> AskAsync(string key, string prompt, params string[] more) =>
        RunningStack.RunAsync(
            ["ask", prompt, "--gateway", stack.Gateway.ToString(), .. more],
            new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = key, ["CONFIDENTIALCHAT_POLICY"] = stack.PolicyFile });
}
