using System.Diagnostics;
using ConfidentialChat.Cli;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>The command line, as transcripts.</summary>
public sealed class CommandTests(RunningStack stack)
{
    [Theory]
    [InlineData("", "Commands:")]
    [InlineData("up", "--gateway-port")]
    [InlineData("demo", "--model")]
    [InlineData("ask", "--gateway")]
    [InlineData("gateway", "--cors-origin")]
    [InlineData("chat", "/help")]
    [InlineData("models", "--json")]
    [InlineData("keys", "revoke")]
    [InlineData("nodes", "remove")]
    [InlineData("node", "rotate")]
    public async Task Help_helps(string command, string mentions)
    {
        var (exitCode, output, _) = await InProcess.RunAsync([.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]);

        exitCode.ShouldBe(0);
        output.ShouldContain(mentions);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("up --gateway-port 70000")]
    [InlineData("up --gateway-port x")]
    [InlineData("up --node-address ftp://x")]
    [InlineData("up --lock-seconds 0")]
    [InlineData("node --gateway http://127.0.0.1:1")]
    [InlineData("node --model x.gguf")]
    [InlineData("ask hello --data /does/not/exist")]
    [InlineData("models --data /does/not/exist")]
    [InlineData("ask hello --max-tokens 0")]
    [InlineData("ask hello --temperature 3")]
    [InlineData("chat --data /does/not/exist")]
    [InlineData("keys create --data /does/not/exist")]
    [InlineData("keys list --data /does/not/exist")]
    [InlineData("keys revoke abcdefgh --data /does/not/exist")]
    [InlineData("keys revoke short --data /does/not/exist")]
    [InlineData("nodes list --data /does/not/exist")]
    [InlineData("nodes token --data /does/not/exist")]
    [InlineData("nodes remove x --data /does/not/exist")]
    public async Task A_mistake_gets_an_error_and_a_hint(string arguments) => ShouldExplain(ExitCode.Usage, await InProcess.RunAsync(arguments.Split(' ')));

    // Servers, and the shortest ways through a process of its own.
    [Theory]
    [InlineData(2, "nonsense")]
    [InlineData(2, "up --gateway-port 0 --node-port 0 --data DIRECTORY/no-model --model /does/not/exist.gguf")]
    [InlineData(2, "up --gateway-port 0 --node-port 0 --data /proc/cchat")]
    [InlineData(2, "gateway --listen 0.0.0.0 --data DIRECTORY/open --port 0")]
    [InlineData(2, "gateway --data DIRECTORY/cors --port 0 --cors-origin app.example")]
    [InlineData(2, "gateway --data DIRECTORY/proxies --port 0 --trusted-proxies 10.0.0.1/8")]
    [InlineData(2, "gateway --data DIRECTORY/connections --port 0 --max-connections 15")]
    [InlineData(5, "node rotate --data /does/not/exist")]
    public async Task A_process_that_cannot_go_on_says_why_and_has_an_exit_code(int expected, string arguments)
    {
        var directory = Directory.CreateTempSubdirectory("cchat-mistake-");
        try
        {
            ShouldExplain(expected, await RunningStack.RunAsync(arguments.Replace("DIRECTORY", directory.FullName, StringComparison.Ordinal).Split(' ')));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_process_helps()
    {
        var (exitCode, output, errors) = await RunningStack.RunAsync(["--help"]);
        exitCode.ShouldBe(0, errors);
        output.ShouldContain("Commands:");
    }

    [Fact]
    public async Task Ask_streams_the_answer_to_standard_output()
    {
        var (exitCode, output, errors) = await AskAsync(stack.ApiKey, "Hello?", "--temperature", "0");

        exitCode.ShouldBe(0, errors);
        output.ShouldBe(FixtureModel.Answer + "\n");
        errors.ShouldContain("no attestation yet");
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
            new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey },
            "Hello?\n");

        exitCode.ShouldBe(0, errors);
        output.ShouldBe(FixtureModel.Answer + "\n");
    }

    [Fact]
    public async Task Ask_says_that_the_gateway_refused()
    {
        var (exitCode, _, errors) = await AskAsync("cc_wrong", "Hello?");

        exitCode.ShouldBe(4);
        errors.ShouldContain("AUTH_ERROR");
        errors.ShouldNotContain("cc_wrong");
    }

    [Fact]
    public async Task Ask_says_that_nobody_is_there()
    {
        var (exitCode, _, errors) = await RunningStack.RunAsync(
            ["ask", "Hello?", "--gateway", "http://127.0.0.1:1"], new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey });

        exitCode.ShouldBe(5);
        errors.ShouldContain("The gateway at http://127.0.0.1:1 could not be reached");
        errors.ShouldContain("hint: ");
    }

    [Fact]
    public async Task Models_lists_what_can_be_asked_and_a_wrong_one_is_told_what_there_is()
    {
        string[] from = ["--gateway", stack.Gateway.ToString(), "--data", stack.DataDirectory];
        (await InProcess.RunAsync(["models", .. from])).ShouldBe((0, stack.Model + "\n", ""));
        var (_, output, _) = await InProcess.RunAsync(["models", "--json", .. from]);
        System.Text.Json.JsonElement.Parse(output).GetProperty("data")[0].GetProperty("id").GetString().ShouldBe(stack.Model);

        var (exitCode, _, errors) = await InProcess.RunAsync(["ask", "Hello?", "--model", "nobody", .. from]);
        exitCode.ShouldBe(4, errors);
        errors.ShouldContain("MODEL_NOT_FOUND");
        errors.ShouldContain($"hint: --model takes one of: {stack.Model}\n");
    }

    [Fact]
    public async Task The_key_that_up_keeps_is_found_is_its_owners_alone_and_goes_to_no_other_machine()
    {
        var file = Path.Combine(stack.DataDirectory, "api-key");
        (await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken)).ShouldBe(stack.ApiKey + "\n");
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);

        var asked = await InProcess.RunAsync("ask", "Hello?", "--temperature", "0", "--gateway", stack.Gateway.ToString(), "--data", stack.DataDirectory);
        asked.ExitCode.ShouldBe(0, asked.Errors);
        asked.Output.ShouldBe(FixtureModel.Answer + "\n");

        // RFC 5737: nobody is there, and nobody is asked.
        var elsewhere = await InProcess.RunAsync("ask", "Hello?", "--gateway", "https://192.0.2.1", "--data", stack.DataDirectory);
        ShouldExplain(ExitCode.Usage, elsewhere);
        elsewhere.Errors.ShouldContain("there is no API key");
    }

    [Fact]
    public async Task A_hint_names_the_option_and_no_property_of_the_SDK()
    {
        var (exitCode, _, errors) = await InProcess.RunAsync("models", "--gateway", "http://user@127.0.0.1:1", "--data", stack.DataDirectory);
        exitCode.ShouldBe(2);
        errors.ShouldContain("--gateway is to be http or https");
        errors.ShouldNotContain("ServerUrl");
    }

    [Fact]
    public async Task A_port_that_is_taken_is_named_with_the_option_of_who_started_it()
    {
        var data = Directory.CreateTempSubdirectory("cchat-test-");
        try
        {
            var run = await RunningStack.RunAsync(["up", "--fixture", "--data", data.FullName, "--gateway-port", $"{stack.Gateway.Port}", "--node-port", "0"]);
            ShouldExplain(ExitCode.Usage, run with { Output = "" });
            run.Errors.ShouldContain("hint: choose another with --gateway-port");
        }
        finally
        {
            data.Delete(recursive: true);
        }
    }

    // A gateway that lies about its node: nothing may be sealed to that key, and the exit code says not to trust it.
    [Fact]
    public async Task A_gateway_that_gives_a_key_that_everyone_can_open_is_told_nothing_and_is_exit_code_6()
    {
        await using var gateway = await LyingGateway.StartAsync("""{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","node_small_id":1,"stack_small_id":1,"stack_entry_digest":null}""");
        var (exitCode, output, errors) = await InProcess.RunAsync("ask", "Hello?", "--model", "m", "--gateway", gateway.Url.ToString(), "--data", stack.DataDirectory);
        (exitCode, output).ShouldBe((6, ""), errors);
        gateway.Paths.ShouldBe(["/v1/nodes/lock"]);
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

    [Theory]
    [InlineData("verify tdx")]
    [InlineData("verify snp")]
    [InlineData("verify")]
    public async Task The_help_of_verify_takes_no_bundle_for_a_part_of_its_commands(string command)
    {
        var (_, output, _) = await InProcess.RunAsync([.. command.Split(' '), "--help"]);
        output.ShouldNotContain("<bundle>");
        if (command == "verify")
            output.ShouldContain("cchat verify BUNDLE");
    }

    [Fact]
    public async Task A_key_made_by_the_operator_opens_the_gateway_at_once()
    {
        var (exitCode, output, _) = await RunningStack.RunAsync(["keys", "create", "--data", stack.DataDirectory, "--user", "alice"]);
        exitCode.ShouldBe(0);

        (await AskAsync(output.Trim(), "Hello?", "--temperature", "0")).Output.ShouldBe(FixtureModel.Answer + "\n");
    }

    [Fact]
    public async Task The_demo_shows_the_bytes_beside_the_prompt_and_says_what_is_not_protected()
    {
        var (exitCode, output, errors) = await RunningStack.RunAsync(["demo", "--fixture"]);

        exitCode.ShouldBe(0, errors);
        output.Split(FixtureModel.Answer).Length.ShouldBe(3);
        output.ShouldContain("{\"ciphertext\":\"");
        output.ShouldContain("in plain or in base64: none");
        output.ShouldContain("no attestation yet");
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
        using var run = Process.Start(start)!;
        var errors = run.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await run.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await run.WaitForExitAsync(TestContext.Current.CancellationToken);

        run.ExitCode.ShouldBe(0, output + await errors);
        output.ShouldContain(FixtureModel.Canary);
    }

    private static void ShouldExplain(int expected, (int ExitCode, string Output, string Errors) run)
    {
        run.Errors.ShouldContain("error: ");
        run.Errors.ShouldContain("hint: ");
        run.Errors.ShouldNotContain("   at ConfidentialChat");
        run.Output.ShouldBeEmpty();
        run.ExitCode.ShouldBe(expected, run.Errors);
    }

    private Task<(int ExitCode, string Output, string Errors)> AskAsync(string key, string prompt, params string[] more) =>
        RunningStack.RunAsync(
            ["ask", prompt, "--gateway", stack.Gateway.ToString(), .. more],
            new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = key });
}
