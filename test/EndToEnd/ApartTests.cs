using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>Gateway and node started by hand, as on two machines; the node serves TLS under a key that the gateway pins.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class ApartTests : IAsyncLifetime
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("cchat-apart-");
    private readonly List<Process> servers = [];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        foreach (var server in servers)
        {
            server.StandardInput.Close();
            await server.WaitForExitAsync();
            server.Dispose();
        }

        directory.Delete(recursive: true);
    }

    [Fact]
    public async Task A_node_apart_enrols_once_serves_over_pinned_tls_and_comes_back_without_a_token()
    {
        var gatewayData = Path.Combine(directory.FullName, "gateway");
        var gateway = (await StartAsync("gateway", "--data", gatewayData, "--port", "0")).GetProperty("gateway").GetString()!;
        var key = (await InProcess.RunAsync("keys", "create", "--data", gatewayData)).Output.Trim();
        var token = (await InProcess.RunAsync("nodes", "token", "--data", gatewayData)).Output.Trim();
        var model = Path.Combine(directory.FullName, "model.gguf");
        FixtureModel.Write(model);
        var port = FixedPort.Find();
        string[] node =
        [
            "node", "--data", Path.Combine(directory.FullName, "node"), "--gateway", gateway, "--evidence", "simulated", "--model", model,
            "--listen", "0.0.0.0", "--port", $"{port}", "--address", $"https://127.0.0.1:{port}",
        ];

        // A token that came out of a file ends in a line break; one that was pasted with a blank is none, and is not shown.
        var (refused, _, said) = await RunningStack.RunAsync(
            [.. node, "--json"], new Dictionary<string, string> { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token + " " });
        refused.ShouldBe(2, said);
        said.ShouldContain("hint: look for blanks");
        said.ShouldNotContain(token);
        await StartAsync(new() { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token + "\r\n" }, node);
        (await AskAsync(gateway, key)).ShouldBe((0, FixtureModel.Answer + "\n"));
        using var client = new ConfidentialChatClient(Asking.Options(new Uri(gateway), key) with { Retries = RetryConfig.None });
        (await AnswerAsync(client)).ShouldBe(FixtureModel.Answer);

        // Down: the model is known, and no node has it.
        await StopLastAsync();
        (await Should.ThrowAsync<ApiException>(() => AnswerAsync(gateway, key))).Status.ShouldBe(503);

        // Back, without a token and at another port: it is the same node, under the same pin, and it has said where it is.
        port = FixedPort.Find();
        node = [.. node[..^3], $"{port}", "--address", $"https://127.0.0.1:{port}"];
        await StartAsync([], node);
        (await AnswerAsync(gateway, key)).ShouldBe(FixtureModel.Answer);
        (await AnswerAsync(client)).ShouldBe(FixtureModel.Answer); // who knew its keys before verifies the new ones
        var listed = (await InProcess.RunAsync("nodes", "list", "--data", gatewayData)).Output;
        listed.ShouldContain($"https://127.0.0.1:{port}/");
        listed.ShouldContain(" ready ");
        await StopLastAsync();

        // A stranger without a token, or with one that is spent, is turned away.
        node[2] = Path.Combine(directory.FullName, "stranger");
        foreach (var environment in (Dictionary<string, string>[])[[], new() { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token }])
        {
            var (exitCode, output, errors) = await RunningStack.RunAsync([.. node, "--json"], environment);
            exitCode.ShouldBe(3, errors);
            output.ShouldBeEmpty();
            errors.ShouldContain("hint: ");
            errors.ShouldNotContain(token);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_gateway_or_a_node_that_is_told_to_stop_lets_the_answer_in_flight_end(int which)
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { Model = ScriptedStack.Model, Events = 40, DelayMs = 50 });
        var gatewayData = Path.Combine(directory.FullName, "gateway");
        var gateway = (await StartAsync("gateway", "--data", gatewayData, "--port", "0")).GetProperty("gateway").GetString()!;
        var key = (await InProcess.RunAsync("keys", "create", "--data", gatewayData)).Output.Trim();
        var token = (await InProcess.RunAsync("nodes", "token", "--data", gatewayData)).Output.Trim();
        await StartAsync(
            new() { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token },
            [
                "node", "--data", Path.Combine(directory.FullName, "node"), "--gateway", gateway, "--port", "0", "--evidence", "simulated",
                "--upstream", $"{engine.Url}", "--upstream-model", ScriptedStack.Model,
            ]);
        using var client = new ConfidentialChatClient(Asking.Options(new Uri(gateway), key, engine.Url) with { Retries = RetryConfig.None });
        var request = new ChatCompletionRequest { Model = ScriptedStack.Model, Messages = [ChatMessage.User("Hello?")] };

        var events = 0;
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, cancellation))
        {
            if (events++ == 0)
            {
                await RunningStack.SignalAsync(servers[which].Id, "TERM");
                await Task.Delay(300, cancellation);
                // Whoever stops takes nothing new.
                await Should.ThrowAsync<ConfidentialChatException>(() => client.ConfidentialChat.CreateAsync(request, cancellation));
            }
        }

        events.ShouldBeGreaterThanOrEqualTo(40);
        await servers[which].WaitForExitAsync(cancellation).WaitAsync(TimeSpan.FromSeconds(30), cancellation);
        servers[which].ExitCode.ShouldBe(0);
    }

    private Task<JsonElement> StartAsync(params string[] arguments) => StartAsync([], arguments);

    private async Task<JsonElement> StartAsync(Dictionary<string, string> environment, string[] arguments)
    {
        var server = RunningStack.Start([.. arguments, "--json", "--exit-with-stdin"], environment);
        servers.Add(server);
        var errors = server.StandardError.ReadToEndAsync();
        var line = await server.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        return JsonDocument.Parse(line ?? throw new InvalidOperationException(await errors)).RootElement;
    }

    private async Task StopLastAsync()
    {
        var server = servers[^1];
        servers.RemoveAt(servers.Count - 1);
        server.StandardInput.Close();
        await server.WaitForExitAsync(TestContext.Current.CancellationToken);
        server.ExitCode.ShouldBe(0);
        server.Dispose();
    }

    private static async Task<string?> AnswerAsync(string gateway, string key)
    {
        using var client = new ConfidentialChatClient(Asking.Options(new Uri(gateway), key) with { Retries = RetryConfig.None });
        return await AnswerAsync(client);
    }

    private static async Task<string?> AnswerAsync(ConfidentialChatClient client)
    {
        var answer = await client.ConfidentialChat.CreateAsync(
            new ChatCompletionRequest { Model = "fixture", Messages = [ChatMessage.User("Hello?")], Temperature = 0 }, TestContext.Current.CancellationToken);
        return answer.Choices[0].Message.Content!.Text;
    }

    private async Task<(int ExitCode, string Output)> AskAsync(string gateway, string key)
    {
        var policy = Path.Combine(directory.FullName, "policy.toml");
        await File.WriteAllTextAsync(policy, "version = 1\nallow_simulated = true\n", TestContext.Current.CancellationToken);
        var (exitCode, output, _) = await RunningStack.RunAsync(
            ["ask", "Hello?", "--gateway", gateway, "--policy", policy, "--model", "fixture", "--temperature", "0"],
            new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = key });
        return (exitCode, output);
    }
}
