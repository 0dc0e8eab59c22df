using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>docs/operating.md, "Signals": real processes, real signals.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class SignalTests : IAsyncLifetime
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("cchat-signals-");
    private readonly List<Process> started = [];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        foreach (var process in started)
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }

        directory.Delete(recursive: true);
    }

    [Fact]
    public async Task SIGHUP_ends_no_server_not_even_one_that_drains_and_a_second_request_to_end_does_at_once()
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { Model = ScriptedStack.Model, Events = 600, DelayMs = 50 });
        var gatewayData = Path.Combine(directory.FullName, "gateway");
        var (gateway, ready) = await StartAsync([], "gateway", "--data", gatewayData, "--port", "0");
        var url = ready.GetProperty("gateway").GetString()!;
        var key = (await InProcess.RunAsync("keys", "create", "--data", gatewayData)).Output.Trim();
        var token = (await InProcess.RunAsync("nodes", "token", "--data", gatewayData)).Output.Trim();
        var (node, _) = await StartAsync(
            new() { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token },
            "node", "--data", Path.Combine(directory.FullName, "node"), "--gateway", url, "--port", "0", "--evidence", "simulated", "--upstream",
            $"{engine.Url}", "--upstream-model", ScriptedStack.Model);
        using var client = new ConfidentialChatClient(Asking.Options(new Uri(url), key, engine.Url) with { Retries = RetryConfig.None });

        var events = 0;
        var afterHangups = 0;
        var request = new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User("Hello?")] };
        await Should.ThrowAsync<ConfidentialChatException>(async () =>
        {
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, cancellation))
            {
                if (events++ != 0)
                {
                    afterHangups++;
                    if (afterHangups == 20) // a second later: all that was sent has been heard
                    {
                        await Task.Delay(600, cancellation); // what comes sooner is the same wish
                        (node.HasExited, gateway.HasExited).ShouldBe((false, false));

                        // Both in one moment: where one has ended the other has nothing left to end.
                        using (var kill = Process.Start("kill", ["-TERM", $"{node.Id}", $"{gateway.Id}"]))
                            await kill.WaitForExitAsync(cancellation);
                        await EndsAsync(node, 143);
                        await EndsAsync(gateway, 143);
                    }

                    continue;
                }

                foreach (var server in (Process[])[node, gateway])
                {
                    await RunningStack.SignalAsync(server.Id, "HUP");
                    await RunningStack.SignalAsync(server.Id, "TERM");
                    await RunningStack.SignalAsync(server.Id, "TERM"); // as timeout(1) does: one wish
                    await RunningStack.SignalAsync(server.Id, "HUP");
                }
            }
        });
        afterHangups.ShouldBeGreaterThanOrEqualTo(20);
    }

    [Fact]
    public async Task The_bare_gateway_reads_again_on_SIGHUP_and_ends_well_on_one_SIGTERM()
    {
        var (gateway, data) = (Path.Combine(AppContext.BaseDirectory, "ConfidentialChat.Gateway"), Path.Combine(directory.FullName, "bare"));
        var start = new ProcessStartInfo("env", ["--default-signal=HUP", gateway, "--DataDirectory", data, "--Port", "0"])
        {
            RedirectStandardOutput = true,
        };
        var bare = Process.Start(start)!;
        started.Add(bare);
        (await LineAsync(bare, "Gateway listens on")).ShouldNotBeEmpty();
        await RunningStack.SignalAsync(bare.Id, "HUP");
        await LineAsync(bare, "SIGHUP");
        bare.HasExited.ShouldBeFalse();
        await RunningStack.SignalAsync(bare.Id, "TERM");
        await EndsAsync(bare, 0);
    }

    [Fact]
    public async Task Up_ends_in_good_order_when_its_terminal_closes_and_takes_its_servers_along_when_it_is_told_twice()
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { Model = ScriptedStack.Model, Events = 600, DelayMs = 50 });
        await using var up = new RunningStack(["--upstream", $"{engine.Url}", "--upstream-model", ScriptedStack.Model]);
        await up.InitializeAsync();
        using var client = new ConfidentialChatClient(up.Options() with { Retries = RetryConfig.None });
        var servers = up.Children();
        servers.Count.ShouldBe(3); // gateway, node and sidecar
        var events = 0;
        var request = new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User("Hello?")] };
        await Should.ThrowAsync<ConfidentialChatException>(async () =>
        {
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, cancellation))
            {
                switch (events++)
                {
                    case 0: // Ctrl-C reaches every process of the terminal, and "up" alone decides in which order they end
                        foreach (var (_, id) in servers)
                            await RunningStack.SignalAsync(id, "INT");
                        break;
                    case 10:
                        (await client.Models.ListAsync(cancellation)).Data.ShouldNotBeEmpty();
                        await up.SignalAsync("HUP");
                        break;
                    case 30: // it drains: the answer goes on
                        await Should.ThrowAsync<ConfidentialChatException>(() => client.ConfidentialChat.CreateAsync(
                            new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User("Hello?")] }, cancellation));
                        await up.SignalAsync("TERM");
                        (await up.EndAsync()).ExitCode.ShouldBe(143);
                        break;
                }
            }
        });
        events.ShouldBeGreaterThan(30);
        foreach (var (role, id) in servers)
            await GoneAsync(role, id);
    }

    [Theory]
    [InlineData("--default-signal=HUP", "HUP", 129)]
    [InlineData("--default-signal=INT", "INT", 130)]
    [InlineData("--ignore-signal=HUP", "TERM", 143)] // as nohup starts it
    public async Task A_command_ends_with_its_terminal_unless_it_was_started_to_outlive_it(string how, string signal, int code)
    {
        var start = new ProcessStartInfo("env", [how, Path.Combine(AppContext.BaseDirectory, "cchat"), "ask", "--gateway", "http://127.0.0.1:1"])
        {
            RedirectStandardInput = true,
            RedirectStandardError = true,
        };
        start.Environment["CONFIDENTIALCHAT_API_KEY"] = "cc_k3mz2x7q_x";
        var ask = Process.Start(start)!;
        started.Add(ask);
        await Waiting.UntilAsync(() => CatchesSigterm(ask.Id)); // it waits for the question
        if (how.StartsWith("--ignore", StringComparison.Ordinal))
        {
            await RunningStack.SignalAsync(ask.Id, "HUP");
            await Task.Delay(300, TestContext.Current.CancellationToken);
            ask.HasExited.ShouldBeFalse();
        }

        await RunningStack.SignalAsync(ask.Id, signal);
        await EndsAsync(ask, code);
    }

    private static bool CatchesSigterm(int id) => File.ReadLines($"/proc/{id}/status")
        .Where(line => line.StartsWith("SigCgt:", StringComparison.Ordinal))
        .Any(line => (Convert.ToUInt64(line["SigCgt:".Length..].Trim(), 16) & 1UL << 14) != 0);

    private async Task<(Process Process, JsonElement Ready)> StartAsync(Dictionary<string, string> environment, params string[] arguments)
    {
        var server = RunningStack.Start([.. arguments, "--json"], environment);
        started.Add(server);
        var errors = server.StandardError.ReadToEndAsync();
        var line = await server.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        return (server, JsonElement.Parse(line ?? throw new InvalidOperationException(await errors)));
    }

    private static async Task<string> LineAsync(Process process, string says)
    {
        while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(TimeSpan.FromSeconds(60)) is { } line)
        {
            if (line.Contains(says, StringComparison.Ordinal))
                return line;
        }

        throw new InvalidOperationException($"It ended, and did not say '{says}'.");
    }

    // Killed a moment ago; who inherits it has yet to bury it.
    private static async Task GoneAsync(string role, int id)
    {
        for (var tries = 0; ; tries++)
        {
            try
            {
                if ((await File.ReadAllTextAsync($"/proc/{id}/stat", TestContext.Current.CancellationToken)).Contains(") Z ", StringComparison.Ordinal))
                    return;
            }
            catch (IOException)
            {
                return;
            }

            tries.ShouldBeLessThan(50, role);
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }
    }

    private static async Task EndsAsync(Process process, int code)
    {
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(20));
        process.ExitCode.ShouldBe(code);
    }
}
