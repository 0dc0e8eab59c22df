using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>docs/operating.md, "PostgreSQL", as it is typed.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class PostgresTests : IAsyncLifetime
{
    private readonly string data = Directory.CreateTempSubdirectory("cchat-postgres-").FullName;
    private PostgresUnderTest server = null!;
    private string connection = null!;

    public async ValueTask InitializeAsync()
    {
        server = await PostgresUnderTest.SharedAsync();
        connection = server.CreateDatabase(isEmpty: true);
    }

    public ValueTask DisposeAsync()
    {
        server.Drop(connection);
        Directory.Delete(data, recursive: true);
        return default;
    }

    [Fact]
    public async Task A_gateway_and_its_commands_find_the_database_by_the_option_or_the_variable_and_load_nothing_of_it_without()
    {
        Dictionary<string, string> variable = new() { ["CONFIDENTIALCHAT_POSTGRES"] = connection };
        using (var gateway = RunningStack.Start(["gateway", "--data", data, "--port", "0", "--json", "--exit-with-stdin"], variable))
        {
            _ = gateway.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            var ready = await gateway.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
            var url = JsonElement.Parse(ready!).GetProperty("gateway").GetString()!;
            Directory.GetFiles(data).Select(Path.GetFileName).Order().ShouldBe(["gateway.key", "gateway.lock", "gateway.pid"]);
            (await LoadedAsync(gateway.Id)).ShouldNotContain("EntityFrameworkCore.PostgreSQL"); // at a start whose tables are as they should be

            string[] create = ["keys", "create", "--data", Path.Combine(data, "nowhere"), "--user", "alice", "--postgres", connection];
            var (exitCode, output, errors) = await RunningStack.RunAsync(create);
            exitCode.ShouldBe(0, errors);
            using var client = new HttpClient { BaseAddress = new Uri(url) };
            client.DefaultRequestHeaders.Authorization = new("Bearer", output.Trim());
            (await client.GetAsync("/v1/models", TestContext.Current.CancellationToken)).EnsureSuccessStatusCode();
            (await RunningStack.RunAsync(["keys", "list", "--json"], variable)).Output.ShouldContain("alice");
            (await RunningStack.RunAsync(["nodes", "list"], variable)).ExitCode.ShouldBe(0);
            (await RunningStack.RunAsync(["version", "--postgres"], variable)).Output.ShouldMatch("tables +(\\S+)\ndatabase +\\1 \\(this version's\\)");
            gateway.StandardInput.Close();
            await gateway.WaitForExitAsync(TestContext.Current.CancellationToken);
            gateway.ExitCode.ShouldBe(0);
        }

        var file = Path.Combine(data, "file");
        using var beside = RunningStack.Start(["gateway", "--data", file, "--port", "0", "--json", "--exit-with-stdin"]);
        _ = beside.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        (await beside.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)).ShouldNotBeNull();
        (await LoadedAsync(beside.Id)).ShouldNotContain("Npgsql");
        beside.StandardInput.Close();
        await beside.WaitForExitAsync(TestContext.Current.CancellationToken);
    }

    private static Task<string> LoadedAsync(int process) => File.ReadAllTextAsync($"/proc/{process}/maps", TestContext.Current.CancellationToken);

    [Theory]
    [InlineData("Host=127.0.0.1;Password=hunter2", "holds a password", "CONFIDENTIALCHAT_POSTGRES")]
    [InlineData("Host=127.0.0.1;Port=1;Username=cchat", "127.0.0.1:1 is not reached", "Host and Port")]
    [InlineData("Hots=127.0.0.1", "cannot be read", "Host=")]
    public async Task What_cannot_be_used_is_one_line_and_a_hint_and_never_a_password(string written, string error, string hint)
    {
        foreach (var command in (string[][])[["gateway", "--data", data, "--port", "0"], ["keys", "list"], ["version"]])
        {
            var (exitCode, output, errors) = await RunningStack.RunAsync([.. command, "--postgres", written]);
            (exitCode is 1 or 2, output).ShouldBe((true, ""), errors);
            errors.ShouldMatch("^error: [^\n]*\nhint: [^\n]*\n$");
            errors.ShouldContain(error);
            errors.ShouldContain(hint);
            errors.ShouldNotContain("hunter2");
        }
    }
}
