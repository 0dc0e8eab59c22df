using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>spec/vouchers.md: what a node signed outlives every process, and is settled once.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class VoucherTests : IAsyncLifetime
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("cchat-vouchers-");
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
    public async Task A_held_up_voucher_survives_that_node_and_gateway_are_killed_and_is_settled_once()
    {
        await using var engine = await ScriptedEngine.StartAsync(new EngineScript { Model = "m", Events = 1000, DelayMs = 20 });
        var (data, nodeData) = (Path.Combine(directory.FullName, "gateway"), Path.Combine(directory.FullName, "node"));
        string[] gatewayArguments = ["gateway", "--data", data, "--port", $"{FixedPort.Find()}"];
        var (gateway, ready) = await StartAsync([], gatewayArguments);
        var url = new Uri(ready.GetProperty("gateway").GetString()!);
        var key = (await InProcess.RunAsync("keys", "create", "--data", data)).Output.Trim();
        var token = (await InProcess.RunAsync("nodes", "token", "--data", data)).Output.Trim();
        string[] nodeArguments =
        [
            "node", "--data", nodeData, "--gateway", $"{url}", "--port", "0", "--evidence", "simulated", "--upstream", $"{engine.Url}",
            "--upstream-model", "m",
        ];
        var (node, _) = await StartAsync(new() { ["CONFIDENTIALCHAT_ENROLMENT_TOKEN"] = token }, nodeArguments);
        var vouchers = new FileInfo(Path.Combine(nodeData, "vouchers"));

        // A stream is cut off by the death of its gateway: the node vouches for what it computed, and nobody is there to hear it.
        using var client = new ConfidentialChatClient(Asking.Options(url, key, engine.Url) with { Retries = RetryConfig.None });
        var request = new ChatCompletionRequest { Model = "m", Messages = [ChatMessage.User("Hello?")] };
        var events = 0;
        await Should.ThrowAsync<ConfidentialChatException>(async () =>
        {
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request, TestContext.Current.CancellationToken))
            {
                if (++events == 5)
                    await KillAsync(gateway);
            }
        });
        await WaitAsync(() =>
        {
            vouchers.Refresh();
            return vouchers.Length > 0;
        });
        if (!OperatingSystem.IsWindows())
            vouchers.UnixFileMode.ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await KillAsync(node);
        Query(data, "SELECT COUNT(*) FROM settlements").ShouldBe(0);
        var signedUnder = Text(data, "SELECT GROUP_CONCAT(digest) FROM node_signing_keys");

        await StartAsync([], gatewayArguments);
        var (second, _) = await StartAsync([], nodeArguments);
        await WaitAsync(() => Query(data, "SELECT COUNT(*) FROM settlements") == 1);
        await WaitAsync(() => Query(data, "SELECT COUNT(*) FROM node_signing_keys") == 2);
        Text(data, "SELECT GROUP_CONCAT(digest) FROM node_key_sets").ShouldNotContain(signedUnder); // the keys are of the process that is gone
        Text(data, "SELECT kind FROM settlements").ShouldBe("reported");
        Query(data, "SELECT COUNT(*) FROM vouchers").ShouldBe(1);
        Query(data, "SELECT COUNT(*) FROM reservations WHERE state <> 'settled'").ShouldBe(0);
        var used = Query(data, "SELECT charged_prompt + charged_completion + charged_pixels FROM settlements");
        used.ShouldBeInRange(16 + 16, 16 + 1008); // not all of its thousand tokens
        used.ShouldBeLessThan(500);
        (used % 16).ShouldBe(0);
        await WaitAsync(() =>
        {
            vouchers.Refresh();
            return vouchers.Length == 0;
        });

        // And once more, with nothing left to tell.
        await KillAsync(second);
        await StartAsync([], nodeArguments);
        await WaitAsync(() => Query(data, "SELECT COUNT(*) FROM node_signing_keys") == 3);
        Query(data, "SELECT COUNT(*) FROM settlements").ShouldBe(1);
        Query(data, "SELECT charged_prompt + charged_completion + charged_pixels FROM settlements").ShouldBe(used);
        Query(data, "SELECT COUNT(*) FROM reservations WHERE state = 'held'").ShouldBe(0);
    }

    private static async Task WaitAsync(Func<bool> condition)
    {
        while (!condition())
            await Task.Delay(25, TestContext.Current.CancellationToken);
    }

    private static long Query(string data, string sql) => Read(data, sql) is long value ? value : 0;

    private static string Text(string data, string sql) => Read(data, sql) as string ?? "";

    private static object? Read(string data, string sql)
    {
        using var connection = new SqliteConnection($"Data Source={Path.Combine(data, "gateway.db")};Mode=ReadOnly;Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }

    private async Task KillAsync(Process server)
    {
        server.Kill(); // as kill -9
        await server.WaitForExitAsync(TestContext.Current.CancellationToken);
        servers.Remove(server);
        server.Dispose();
    }

    private async Task<(Process Server, JsonElement Ready)> StartAsync(Dictionary<string, string> environment, string[] arguments)
    {
        var server = RunningStack.Start([.. arguments, "--json", "--exit-with-stdin"], environment);
        servers.Add(server);
        var errors = server.StandardError.ReadToEndAsync();
        var line = await server.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        return (server, JsonDocument.Parse(line ?? throw new InvalidOperationException(await errors)).RootElement);
    }
}
