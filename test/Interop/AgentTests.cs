using System.Diagnostics;
using System.Text;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Interop.Tests;

/// <summary>
/// opencode, Codex and Claude Code from npm, unmodified: each works on a task with its shell, through <c>cchat connect</c> and <c>cchat run</c>, over
/// envelope v2, at an engine that calls the shell once and then is done.
/// </summary>
public sealed class AgentTests(AgentStack stack) : IClassFixture<AgentStack>
{
    private const string Task = $"Write {ScriptedStack.PromptCanary} into done.txt";
    private const string Last = "The task is done.";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> Agents => ["opencode", "codex", "claude-code"];

    [Theory(Explicit = true)]
    [MemberData(nameof(Agents))]
    public async Task A_task_with_tool_calls_is_done_through_connect_and_the_configuration_is_afterwards_what_it_was(string agent)
    {
        using var user = new AgentUser(stack.Sidecar);
        var file = Configure(user, agent);
        var before = await File.ReadAllBytesAsync(file, Cancellation);
        var (exitCode, output, errors) = await user.CchatAsync("connect", agent, "--yes", "--data", user.Data);
        exitCode.ShouldBe(0, output + errors);

        var asked = stack.Engine.Requests.Count;
        await ShouldWorkAsync(user, await user.RunAsync(Program(agent), Arguments(agent)), asked);

        (await user.CchatAsync("disconnect", agent, "--data", user.Data)).ExitCode.ShouldBe(0);
        (await File.ReadAllTextAsync(file, Cancellation)).ShouldBe(Encoding.UTF8.GetString(before));
        stack.ShouldHaveSeenNothing(ScriptedStack.PromptCanary, Last, "done.txt");
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Agents))]
    public async Task A_task_with_tool_calls_is_done_through_run_and_no_file_is_changed(string agent)
    {
        using var user = new AgentUser(stack.Sidecar);
        var file = Configure(user, agent);
        var before = await File.ReadAllTextAsync(file, Cancellation);
        var asked = stack.Engine.Requests.Count;
        await ShouldWorkAsync(user, await user.CchatAsync(["run", agent, "--", .. Arguments(agent)]), asked);
        (await File.ReadAllTextAsync(file, Cancellation)).ShouldBe(before);
        stack.ShouldHaveSeenNothing(ScriptedStack.PromptCanary, Last, "done.txt");
    }

    [Fact(Explicit = true)]
    public async Task Claude_Codes_own_settings_do_not_win_over_run()
    {
        using var user = new AgentUser(stack.Sidecar);
        var elsewhere = 0;
        using var other = new RawServer(_ =>
        {
            Interlocked.Increment(ref elsewhere);
            return "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
        });
        user.Write(".claude/settings.json", $$$"""{"env":{"ANTHROPIC_BASE_URL":"{{{other.Url}}}"}}""");
        var asked = stack.Engine.Requests.Count;
        await ShouldWorkAsync(user, await user.CchatAsync(["run", "claude-code", "--", .. Arguments("claude-code")]), asked);
        elsewhere.ShouldBe(0);
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Agents))]
    public async Task What_the_engine_cannot_do_is_said_in_words_that_the_agent_shows(string agent)
    {
        using var user = new AgentUser(stack.Sidecar);
        Configure(user, agent);
        const string refusal = """{"error":{"message":"This model's maximum context length is 10 tokens.","type":"BadRequestError","code":400}}""";
        stack.Engine.Script = stack.Engine.Script with { Exchanges = [new EngineExchange { Times = 0, Steps = EngineStep.Answer(400, refusal) }] };
        try
        {
            var (_, output, errors) = await user.CchatAsync(["run", agent, "--", .. Arguments(agent)]);
            (output + errors).ShouldContain("context", Case.Insensitive);
            File.Exists(user.Done).ShouldBeFalse();
        }
        finally
        {
            stack.Engine.Script = stack.Engine.Script with { Exchanges = [] };
        }
    }

    private async Task ShouldWorkAsync(AgentUser user, (int ExitCode, string Output, string Errors) run, int asked)
    {
        var said = $"{run.ExitCode}: {run.Output}\n{run.Errors}";
        File.Exists(user.Done).ShouldBeTrue(said);
        (await File.ReadAllTextAsync(user.Done, Cancellation)).Trim().ShouldBe(ScriptedStack.PromptCanary);
        (run.ExitCode, run.Output.Contains(Last, StringComparison.Ordinal)).ShouldBe((0, true), said);
        var requests = stack.Engine.Requests.Skip(asked).Where(request => request.Body.Contains(Task, StringComparison.Ordinal)).ToList();
        requests.Count.ShouldBeGreaterThanOrEqualTo(2, said); // the task, and what came of the call
        requests.ShouldAllBe(request => request.Authorization == null);
    }

    private static string Program(string agent) => agent == "claude-code" ? "claude" : agent;

    private static string[] Arguments(string agent) => agent switch
    {
        "opencode" => ["run", "--auto", Task],
        "codex" => ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", Task], // another sandbox wants namespaces of the system
        _ => ["-p", Task, "--allowedTools", "Bash", "--output-format", "json"],
    };

    // What a user may have by then, comments included.
    private static string Configure(AgentUser user, string agent) => agent switch
    {
        "opencode" => user.Write(
            ".config/opencode/opencode.jsonc",
            "{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  // mine\n  \"model\": \"anthropic/claude-sonnet-4-5\", // and this\n  \"autoupdate\": false,\n}\n"),
        "codex" => user.Write(".codex/config.toml", "# mine\nmodel = \"gpt-5\" # and this\n\n[history]\npersistence = \"none\"\n"),
        _ => user.Write(".claude/settings.json", "{\n  \"env\": { \"FOO\": \"bar\" },\n  \"cleanupPeriodDays\": 30\n}\n"),
    };
}

/// <summary>The scripted stack with an engine that works on tasks, and a sidecar that asks the gateway through the recorder.</summary>
public sealed class AgentStack : IAsyncLifetime
{
    private readonly ScriptedStack scripted = new();
    private Process? proxy;

    public ScriptedEngine Engine => scripted.Engine;

    public string Sidecar { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        await scripted.InitializeAsync();
        Engine.Script = Engine.Script with { Shell = $"echo {ScriptedStack.PromptCanary} > done.txt" };
        proxy = RunningStack.Start(
            [
                "proxy", "--port", "0", "--gateway", scripted.Stack.Gateway.ToString().TrimEnd('/'), "--data", scripted.Stack.DataDirectory, "--json",
                "--exit-with-stdin",
            ]);
        _ = proxy.StandardError.ReadToEndAsync();
        Sidecar = System.Text.Json.JsonDocument.Parse((await proxy.StandardOutput.ReadLineAsync())!).RootElement.GetProperty("sidecar").GetString()!;
    }

    /// <summary>Between client and gateway, and between gateway and node, there was much, and none of these texts.</summary>
    public void ShouldHaveSeenNothing(params string[] texts)
    {
        var recorded = scripted.Stack.RecordedBytes.ToList();
        recorded.Sum(bytes => bytes.Length).ShouldBeGreaterThan(10_000);
        foreach (var text in texts)
            recorded.ShouldAllBe(bytes => !Needle.IsIn(bytes, text), text);
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null)
        {
            proxy.StandardInput.Close();
            await proxy.WaitForExitAsync();
            proxy.Dispose();
        }

        await scripted.DisposeAsync();
    }
}

/// <summary>A home and a folder to work in, for real agents, which ask nobody but the sidecar.</summary>
internal sealed class AgentUser : IDisposable
{
    private readonly DirectoryInfo root = Directory.CreateTempSubdirectory("cchat-agent-");
    private readonly string sidecar;

    public AgentUser(string sidecar)
    {
        this.sidecar = sidecar;
        Directory.CreateDirectory(Work);
        Directory.CreateDirectory(Home);
    }

    public string Data => Path.Combine(root.FullName, "data");

    public string Done => Path.Combine(Work, "done.txt");

    private string Work => Path.Combine(root.FullName, "work");

    private string Home => Path.Combine(root.FullName, "home");

    private static string Programs => Path.Combine(Tree.Root, "test", "Interop", "agents", "node_modules", ".bin");

    public string Write(string file, string content)
    {
        var path = Path.Combine(Home, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, content);
        return path;
    }

    public Task<(int ExitCode, string Output, string Errors)> CchatAsync(params string[] arguments) =>
        RunAsync(Path.Combine(AppContext.BaseDirectory, "cchat"), arguments);

    public async Task<(int ExitCode, string Output, string Errors)> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.IsPathRooted(program) ? program : Path.Combine(Programs, program), arguments)
        {
            WorkingDirectory = Work,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment.Clear(); // nothing of who runs the tests: no key, no other file
        (string, string)[] variables =
        [
            ("HOME", Home), ("PATH", $"{Programs}:{Environment.GetEnvironmentVariable("PATH")}"), ("CONFIDENTIALCHAT_SIDECAR_URL", sidecar),
            ("OPENCODE_DISABLE_MODELS_FETCH", "1"), ("OPENCODE_DISABLE_AUTOUPDATE", "1"), ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"), ("DISABLE_AUTOUPDATER", "1"),
        ];
        foreach (var (name, value) in variables)
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var late = new CancellationTokenSource(TimeSpan.FromSeconds(100));
        try
        {
            await process.WaitForExitAsync(late.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
        }

        return (process.ExitCode, await output, await errors);
    }

    public void Dispose() => root.Delete(recursive: true);
}
