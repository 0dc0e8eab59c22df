using System.Diagnostics;
using ConfidentialChat.Cli.Agents;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests.Agents;

/// <summary>spec/connect.md section 4: a command that is killed between any two steps, and a file that another program writes in that moment.</summary>
public sealed class ConnectCrashTests(RunningStack stack)
{
    /// <summary>The step at which a process with this variable does what <see cref="DoVariable"/> says; read by <c>StartupHook</c>.</summary>
    internal const string StepVariable = "CONFIDENTIALCHAT_TEST_STEP", DoVariable = "CONFIDENTIALCHAT_TEST_DO";

    private const string Before = "# mine\nmodel = \"gpt-5\"\n\n[projects.\"/x\"]\ntrust_level = \"trusted\"\n";

    public static TheoryData<string, bool> Steps => new()
    {
        { "copied", true }, { "noted", true }, { "written", true }, { "renamed", true }, { "completed", true },
        { "copied", false }, { "noted", false }, { "written", false }, { "renamed", false }, { "completed", false },
    };

    private AgentHome Home() => new(stack.Sidecar!.ToString());

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task Connect_killed_at_any_step_is_repaired_by_the_next_call(string step, bool hasFile)
    {
        using var home = Home();
        if (hasFile)
            home.Write(home.Codex, Before);
        var picture = home.Picture();
        (await KillAsync(home, step, "connect", "codex", "--yes")).ShouldBe(137);
        var isChanged = step is "renamed" or "completed";
        if (hasFile)
            File.ReadAllText(home.Codex).Contains("cchat", StringComparison.Ordinal).ShouldBe(isChanged); // whole, or not at all

        var (exitCode, output, errors) = await home.RunAsync("disconnect", "codex");
        exitCode.ShouldBe(0, errors);
        output.ShouldContain(isChanged ? hasFile ? "byte for byte" : "it is removed" : "there is nothing to take back");
        home.Picture().ShouldBe(picture);
        Directory.GetFiles(home.Journal).Select(Path.GetFileName).ShouldBeSubsetOf(["in-use", "journal.json"]);
    }

    [Theory]
    [InlineData("noted")]
    [InlineData("written")]
    [InlineData("renamed")]
    [InlineData("forgotten")]
    public async Task Disconnect_killed_at_any_step_is_repaired_by_the_next_call(string step)
    {
        using var home = Home();
        home.Write(home.Codex, Before);
        var picture = home.Picture();
        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        (await KillAsync(home, step, "disconnect", "codex")).ShouldBe(137);
        (await home.RunAsync("disconnect", "codex")).ExitCode.ShouldBe(0);
        home.Picture().ShouldBe(picture);
        Directory.GetFiles(home.Journal).Select(Path.GetFileName).ShouldBeSubsetOf(["in-use", "journal.json"]);
    }

    [Theory]
    [InlineData("noted")]
    [InlineData("written")]
    [InlineData("renamed")]
    public async Task A_second_connect_killed_at_any_step_loses_the_first_file_at_none(string step)
    {
        using var home = Home();
        home.Write(home.Codex, Before);
        var picture = home.Picture();
        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        File.AppendAllText(home.Codex, "\n[tui]\nx = 1\n"); // and the tool has written meanwhile
        await using var other = await Sidecar.SidecarUnderTest.StartAsync(stack.Options());
        home.Sidecar = other.Url.ToString();
        (await KillAsync(home, step, "connect", "codex", "--yes")).ShouldBe(137);
        (await home.RunAsync("disconnect", "codex")).ExitCode.ShouldBe(0);
        File.ReadAllText(home.Codex).ShouldBe(Before + "\n[tui]\nx = 1\n");
        picture.ShouldNotBeEmpty();
    }

    [Fact]
    public async Task A_file_that_another_program_writes_at_the_same_time_is_as_that_left_it()
    {
        using var home = Home();
        home.Write(home.Codex, Before);
        var (exitCode, output, errors) = await DoAsync(home, "written", $"append:{home.Codex}", "connect", "codex", "--yes");
        exitCode.ShouldBe(2, output + errors);
        errors.ShouldContain("another program has written it in this moment");
        File.ReadAllText(home.Codex).ShouldBe(Before + "# theirs\n");
        Directory.GetFiles(Path.GetDirectoryName(home.Codex)!).ShouldBe([home.Codex]);
        (await home.RunAsync("disconnect", "codex")).Output.ShouldContain("there is nothing to take back");

        (await home.RunAsync("connect", "codex", "--yes")).ExitCode.ShouldBe(0);
        (await DoAsync(home, "written", $"append:{home.Codex}", "disconnect", "codex")).ExitCode.ShouldBe(2);
        File.ReadAllText(home.Codex).ShouldEndWith("# theirs\n");
        (await home.RunAsync("disconnect", "codex")).ExitCode.ShouldBe(0);
        File.ReadAllText(home.Codex).ShouldStartWith(Before + "# theirs\n");
        File.ReadAllText(home.Codex).ShouldNotContain("cchat");
    }

    [Fact]
    public async Task Two_commands_at_once_do_not_mix()
    {
        using var home = Home();
        home.Write(home.Codex, Before);
        var runs = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => home.RunAsync("connect", "codex", "--yes")));
        runs.ShouldAllBe(run => run.ExitCode == 0 || run.Errors.Contains("another connect or disconnect is at work", StringComparison.Ordinal));
        runs.ShouldContain(run => run.ExitCode == 0);
        (await home.RunAsync("disconnect", "codex")).ExitCode.ShouldBe(0);
        File.ReadAllText(home.Codex).ShouldBe(Before);
    }

    private static async Task<int> KillAsync(AgentHome home, string step, params string[] arguments) => (await DoAsync(home, step, "kill", arguments)).ExitCode;

    private static async Task<(int ExitCode, string Output, string Errors)> DoAsync(AgentHome home, string step, string what, params string[] arguments)
    {
        (string, string)[] more = [(StepVariable, step), (DoVariable, what), ("DOTNET_STARTUP_HOOKS", typeof(ConnectCrashTests).Assembly.Location)];
        foreach (var (name, value) in more)
            home.Variables[name] = value;
        try
        {
            return await home.RunAsync(arguments);
        }
        finally
        {
            foreach (var (name, _) in more)
                home.Variables.Remove(name);
        }
    }

    /// <summary>What a process does when it has come to its step: it is killed, as <c>kill -9</c> does, or another program writes a file.</summary>
    internal static void Listen()
    {
        var (step, what) = (Environment.GetEnvironmentVariable(StepVariable), Environment.GetEnvironmentVariable(DoVariable)!);
        ConnectSteps.Reached = reached =>
        {
            if (reached != step)
                return;
            if (what == "kill")
                Process.GetCurrentProcess().Kill();
            else
                File.AppendAllText(what.Split(':')[1], "# theirs\n");
        };
    }
}
