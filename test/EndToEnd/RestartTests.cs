using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>docs/operating.md, "After a restart": how long a gateway's nodes serve nobody, and what becomes of who was just being answered.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class RestartTests : IAsyncLifetime
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("cchat-restart-");
    private readonly List<Process> servers = [];
    private readonly List<ScriptedEngine> engines = [];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        foreach (var server in servers)
        {
            server.StandardInput.Close();
            await server.WaitForExitAsync();
            server.Dispose();
        }

        foreach (var engine in engines)
            await engine.DisposeAsync();
        directory.Delete(recursive: true);
    }

    // The longer pause outlives the last heartbeats: each node has to be heard anew.
    [Fact]
    public async Task Three_nodes_serve_within_a_heartbeat_when_their_gateway_was_killed_and_comes_back()
    {
        var data = Path.Combine(directory.FullName, "gateway");
        string[] arguments = ["gateway", "--data", data, "--port", $"{FixedPort.Find()}"];
        var gateway = new Uri((await StartAsync([], arguments)).GetProperty("gateway").GetString()!);
        var key = (await InProcess.RunAsync("keys", "create", "--data", data)).Output.Trim();
        string[] models = ["one", "two", "three"];
        foreach (var model in models)
        {
            var engine = await ScriptedEngine.StartAsync(new EngineScript { Model = model });
            engines.Add(engine);
            var token = (await InProcess.RunAsync("nodes", "token", "--data", data)).Output.Trim();
            await StartAsync(
                new() { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token },
                [
                    "node", "--data", Path.Combine(directory.FullName, model), "--gateway", $"{gateway}", "--port", "0", "--evidence", "simulated",
                    "--upstream", $"{engine.Url}", "--upstream-model", model,
                ]);
        }

        using var client = new ConfidentialChatClient(
            Asking.Options(gateway, key, [.. engines.Select(engine => engine.Url)]) with { Retries = RetryConfig.None });
        foreach (var model in models)
            await AskAsync(client, model);

        foreach (var pause in (TimeSpan[])[TimeSpan.Zero, .. Tree.Slow ? [TimeSpan.FromSeconds(20)] : Array.Empty<TimeSpan>()])
        {
            var killed = servers[0];
            killed.Kill();
            await killed.WaitForExitAsync(TestContext.Current.CancellationToken);
            killed.Dispose();
            servers.RemoveAt(0);
            await Task.Delay(pause, TestContext.Current.CancellationToken);
            var watch = Stopwatch.StartNew();
            await StartAsync([], arguments);
            servers.Insert(0, servers[^1]);
            servers.RemoveAt(servers.Count - 1);
            var listens = watch.Elapsed;
            var serves = await Task.WhenAll(models.Select(async model =>
            {
                while (!await TryAskAsync(client, model))
                    await Task.Delay(20, TestContext.Current.CancellationToken);
                return watch.Elapsed;
            }));
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"away for {pause.TotalSeconds:0} s: listens after {listens.TotalMilliseconds:0} ms; "
                + $"nodes serve after {string.Join(", ", serves.Select(time => $"{time.TotalMilliseconds:0}"))} ms");
            serves.Max().ShouldBeLessThan(listens + TimeSpan.FromSeconds(5)); // a heartbeat
        }
    }

    // Each caller has one client all the while; the keys of a node that comes back are others.
    [Fact]
    public async Task Fifty_callers_of_streams_find_back_by_themselves_when_gateway_and_node_come_back_under_them()
    {
        const int callers = 50, tokens = 20;
        var engine = await ScriptedEngine.StartAsync(new EngineScript { Events = tokens, DelayMs = 40 });
        engines.Add(engine);
        var data = Path.Combine(directory.FullName, "gateway");
        string[] ofGateway = ["gateway", "--data", data, "--port", $"{FixedPort.Find()}"];
        var gateway = new Uri((await StartAsync([], ofGateway)).GetProperty("gateway").GetString()!);
        var key = (await InProcess.RunAsync("keys", "create", "--data", data)).Output.Trim();
        string[] ofNode =
        [
            "node", "--data", Path.Combine(directory.FullName, "node"), "--gateway", $"{gateway}", "--port", $"{FixedPort.Find()}", "--evidence", "simulated",
            "--upstream", $"{engine.Url}", "--upstream-model", engine.Script.Model, "--upstream-concurrency", $"{callers + 14}",
        ];
        var token = (await InProcess.RunAsync("nodes", "token", "--data", data)).Output.Trim();
        await StartAsync(new() { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token }, ofNode);
        using var client = new ConfidentialChatClient(Asking.Options(gateway, key, engine.Url) with { Retries = RetryConfig.None });
        var (answered, failures, ends) = (new int[callers], new ConcurrentBag<Exception>(), false);
        var working = Enumerable.Range(0, callers).Select(caller => Task.Run(() => CallOnAsync(caller))).ToList();
        await EachIsAnsweredAsync();

        await RestartAsync(1, "KILL", ofNode);
        if (Tree.Slow)
        {
            await RestartAsync(0, "TERM", ofGateway);
            await RestartAsync(1, "TERM", ofNode);
            await RestartAsync(0, "KILL", ofGateway);
        }

        ends = true;
        await Task.WhenAll(working);
        TestContext.Current.TestOutputHelper!.WriteLine($"{answered.Sum()} answers, and {failures.Count} errors: "
            + string.Join(", ", failures.GroupBy(failure => failure.GetType().Name).Select(kind => $"{kind.Count()} x {kind.Key}")));

        async Task RestartAsync(int server, string signal, string[] arguments)
        {
            var ended = servers[server];
            await RunningStack.SignalAsync(ended.Id, signal);
            await ended.WaitForExitAsync(TestContext.Current.CancellationToken);
            ended.Dispose();
            var watch = Stopwatch.StartNew();
            await StartAsync([], arguments);
            (servers[server], _) = (servers[^1], servers.Remove(servers[^1]));
            var listens = watch.Elapsed;
            await EachIsAnsweredAsync();
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"{arguments[0]} after SIG{signal}: listens after {listens.TotalMilliseconds:0} ms, all answered after {watch.ElapsedMilliseconds}");
        }

        // Twice: the first may have begun before.
        async Task EachIsAnsweredAsync()
        {
            var before = answered.ToArray();
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            while (answered.Zip(before).Any(now => now.First < now.Second + 2))
            {
                foreach (var caller in working.Where(caller => caller.IsFaulted))
                    await caller;
                await Task.Delay(20, patience.Token);
            }
        }

        async Task CallOnAsync(int caller)
        {
            while (!Volatile.Read(ref ends))
            {
                try
                {
                    var text = new StringBuilder();
                    var request = new ChatCompletionRequest { Model = engine.Script.Model, Messages = [ChatMessage.User($"caller {caller}")] };
                    await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, TestContext.Current.CancellationToken))
                        text.Append(chunk.Choices is [{ Delta.Content: { } content }, ..] ? content : "");
                    text.ToString().Split(' ', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(tokens); // never a short one
                    answered[caller]++;
                }
                catch (ConfidentialChatException e)
                {
                    failures.Add(e);
                    await Task.Delay(50, TestContext.Current.CancellationToken);
                }
            }
        }
    }

    private static async Task<bool> TryAskAsync(ConfidentialChatClient client, string model)
    {
        try
        {
            await AskAsync(client, model);
            return true;
        }
        catch (ConfidentialChatException)
        {
            return false;
        }
    }

    private static async Task AskAsync(ConfidentialChatClient client, string model) => await client.ConfidentialChat.CreateAsync(
        new ChatCompletionRequest { Model = model, Messages = [ChatMessage.User("Hello?")] }, TestContext.Current.CancellationToken);

    private async Task<JsonElement> StartAsync(Dictionary<string, string> environment, string[] arguments)
    {
        var server = RunningStack.Start([.. arguments, "--json", "--exit-with-stdin"], environment);
        servers.Add(server);
        var errors = server.StandardError.ReadToEndAsync();
        var line = await server.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        return JsonDocument.Parse(line ?? throw new InvalidOperationException(await errors)).RootElement;
    }
}
