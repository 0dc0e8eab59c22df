using System.Diagnostics;
using System.Text;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat chat</c> and the inputs of <c>cchat ask</c>, as transcripts.</summary>
public sealed class ChatCommandTests(RunningStack stack)
{
    private IReadOnlyDictionary<string, string> Key =>
        new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey, ["CONFIDENTIALCHAT_POLICY"] = stack.PolicyFile };

    [Fact]
    public async Task Each_line_is_answered_and_the_end_of_input_ends()
    {
        var (exitCode, output, errors) = await ChatAsync("Hello?\n\nAgain\\\non two lines\n");
        exitCode.ShouldBe(0, errors);
        output.ShouldBe($"{FixtureModel.Answer}\n{FixtureModel.Answer}\n");
        errors.ShouldContain("node 1, simulated evidence: accepted, and NOTHING IS PROTECTED");
        errors.Split("node 1, ").Length.ShouldBe(2); // said once, and not of each message
    }

    [Fact]
    public async Task Commands_do_what_they_say_and_an_unknown_one_is_no_message()
    {
        var file = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"));
        try
        {
            var (exitCode, output, errors) = await ChatAsync($"/help\n/model\n/system Be brief.\n/system\n/retry\nHello?\n/retry\n/save {file}\n/save {file}\n/clear\n/nonsense\n/quit\nnever asked\n");
            exitCode.ShouldBe(2, errors); // the last thing that failed: /nonsense
            output.ShouldBe($"{FixtureModel.Answer}\n{FixtureModel.Answer}\n");
            foreach (var said in (string[])
            [
                "/clear", $"* {stack.Model}", "the system message is set", "there is no system message now", "nothing was asked yet", "saved to",
                "cannot be written", "forgotten", "no command /nonsense",
            ])
                errors.ShouldContain(said);
            (await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken)).ShouldBe($"user: Hello?\n\nassistant: {FixtureModel.Answer}\n\n");
            if (!OperatingSystem.IsWindows())
                File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task A_refusal_ends_no_conversation()
    {
        var (exitCode, output, errors) = await ChatAsync($"/model nobody\nHello?\n/model {stack.Model}\nHello?\n");
        exitCode.ShouldBe(4, errors);
        errors.ShouldContain("MODEL_NOT_FOUND");
        errors.ShouldContain($"--model takes one of: {stack.Model}\n");
        output.ShouldBe(FixtureModel.Answer + "\n");
    }

    [Fact]
    public async Task An_interrupt_at_the_prompt_ends_nothing_and_SIGTERM_ends()
    {
        using var chat = RunningStack.Start(["chat", "--gateway", stack.Gateway.ToString(), "--temperature", "0"], Key);
        var errors = new StringBuilder();
        chat.ErrorDataReceived += (_, line) =>
        {
            lock (errors)
                errors.AppendLine(line.Data);
        };
        chat.BeginErrorReadLine();
        await chat.StandardInput.WriteLineAsync("Hello?");
        await chat.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        (await chat.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)).ShouldBe(FixtureModel.Answer.Split('\n')[0]);
        for (var lines = FixtureModel.Answer.Split('\n').Length; lines > 1; lines--)
            await chat.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);

        // The answer has ended, and the prompt is about to be back: only then is an interrupt nobody's.
        for (var isAtPrompt = false; !isAtPrompt;)
        {
            await SignalAsync(chat, "INT");
            isAtPrompt = await SaysAsync("/quit ends", tries: 60); // a second one at the prompt would leave
        }

        await chat.StandardInput.WriteLineAsync("Hello?");
        await chat.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        (await chat.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)).ShouldBe(FixtureModel.Answer.Split('\n')[0]);

        await SignalAsync(chat, "TERM");
        await chat.WaitForExitAsync(TestContext.Current.CancellationToken);
        chat.ExitCode.ShouldBe(143, errors.ToString());

        async Task<bool> SaysAsync(string what, int tries)
        {
            for (; tries > 0; tries--)
            {
                lock (errors)
                {
                    if (errors.ToString().Contains(what, StringComparison.Ordinal))
                        return true;
                }

                await Task.Delay(50, TestContext.Current.CancellationToken);
            }

            return false;
        }
    }

    // In a terminal of its own, as a person has it: util-linux's script makes one.
    [Fact]
    public async Task An_interrupt_at_the_prompt_of_a_terminal_shows_a_fresh_one_and_a_second_leaves()
    {
        var command = $"'{Path.Combine(AppContext.BaseDirectory, "cchat")}' chat --gateway {stack.Gateway}";
        var start = new ProcessStartInfo("env", ["--default-signal=INT", "script", "--quiet", "--return", "--command", command, "/dev/null"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        start.Environment["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey;
        start.Environment["CONFIDENTIALCHAT_POLICY"] = stack.PolicyFile;
        using var terminal = Process.Start(start)!;
        var seen = new StringBuilder();
        await SeeAsync("lists the commands.\r\n> ");
        await terminal.StandardInput.WriteAsync("half a mess\u0003");
        await terminal.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        await SeeAsync("Ctrl-C now)\r\n> ");
        await terminal.StandardInput.WriteAsync("\u0003");
        await terminal.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        await terminal.WaitForExitAsync(TestContext.Current.CancellationToken);
        terminal.ExitCode.ShouldBe(130, seen.ToString());

        async Task SeeAsync(string what)
        {
            var buffer = new char[1024];
            while (!seen.ToString().Contains(what, StringComparison.Ordinal))
            {
                var read = await terminal.StandardOutput.ReadAsync(buffer, TestContext.Current.CancellationToken);
                read.ShouldBePositive($"it ended after: {seen}");
                seen.Append(buffer, 0, read);
            }
        }
    }

    [Fact]
    public async Task Ask_puts_files_and_standard_input_before_the_question()
    {
        var file = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"));
        await File.WriteAllTextAsync(file, "a file", TestContext.Current.CancellationToken);
        try
        {
            var (exitCode, output, errors) = await RunningStack.RunAsync(
                ["ask", "What is it?", "--file", file, "-f", "-", "--gateway", stack.Gateway.ToString(), "--temperature", "0"], Key, "standard input\n");
            (exitCode, output).ShouldBe((0, FixtureModel.Answer + "\n"), errors);
            (await RunningStack.RunAsync(["ask", "-", "-f", "-", "--gateway", stack.Gateway.ToString()], Key, "twice")).ExitCode.ShouldBe(2);
            (await RunningStack.RunAsync(["ask", "--gateway", stack.Gateway.ToString()], Key, " \n")).ExitCode.ShouldBe(2);
            (await RunningStack.RunAsync(["ask", "x", "-f", "/does/not/exist", "--gateway", stack.Gateway.ToString()], Key)).ExitCode.ShouldBe(2);
            await File.WriteAllBytesAsync(file, [0xff, 0xfe, 0x00], TestContext.Current.CancellationToken);
            var binary = await RunningStack.RunAsync(["ask", "x", "-f", file, "--gateway", stack.Gateway.ToString()], Key);
            binary.ExitCode.ShouldBe(2);
            binary.Errors.ShouldContain("UTF-8");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Ask_prints_the_answers_JSON()
    {
        var (exitCode, output, errors) = await RunningStack.RunAsync(
            ["ask", "Hello?", "--json", "--gateway", stack.Gateway.ToString(), "--temperature", "0"], Key);
        exitCode.ShouldBe(0, errors);
        output.Count(sign => sign == '\n').ShouldBe(1);
        var answer = System.Text.Json.JsonElement.Parse(output);
        answer.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString().ShouldBe(FixtureModel.Answer);
        answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32().ShouldBeGreaterThan(0);
    }

    private Task<(int ExitCode, string Output, string Errors)> ChatAsync(string input) =>
        RunningStack.RunAsync(["chat", "--gateway", stack.Gateway.ToString(), "--temperature", "0"], Key, input);

    private static async Task SignalAsync(Process process, string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
        await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
    }
}
