using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat keys</c> and <c>cchat nodes</c> beside a running gateway.</summary>
public sealed class OperatorCommandTests(RunningStack stack)
{
    [Fact]
    public async Task A_key_is_made_and_opens_at_once_is_listed_by_its_public_part_and_is_revoked_within_a_second()
    {
        var user = Guid.NewGuid().ToString();
        var created = JsonElement.Parse((await RunAsync("keys", "create", "--user", user, "--json")).Output);
        var (key, prefix) = (created.GetProperty("api_key").GetString()!, created.GetProperty("prefix").GetString()!);
        created.GetProperty("user").GetString().ShouldBe(user);
        (await AskAsync(key)).ExitCode.ShouldBe(0);

        var table = (await RunAsync("keys", "list")).Output;
        table.ShouldContain($"cc_{prefix}_…");
        table.ShouldContain(user);
        table.ShouldNotContain(key);
        var (exitCode, output, errors) = await RunAsync("keys", "revoke", $"cc_{prefix}_…");
        (exitCode, output).ShouldBe((0, ""), errors);

        await Task.Delay(TimeSpan.FromSeconds(1), TestContext.Current.CancellationToken); // spec/gateway.md section 7
        (await AskAsync(key)).ExitCode.ShouldBe(4);
        (await RunAsync("keys", "revoke", prefix)).ExitCode.ShouldBe(2);
        JsonElement.Parse((await RunAsync("keys", "list", "--json")).Output).EnumerateArray()
            .Single(entry => entry.GetProperty("prefix").GetString() == prefix).GetProperty("revoked_at").ValueKind.ShouldBe(JsonValueKind.String);
    }

    [Fact]
    public async Task The_whole_key_pasted_to_revoke_is_not_shown_again()
    {
        var key = (await RunAsync("keys", "create", "--user", Guid.NewGuid().ToString())).Output.Trim();
        var (exitCode, output, errors) = await RunAsync("keys", "revoke", key);
        exitCode.ShouldBe(0, errors);
        (output + errors).ShouldNotContain(key[12..]);
    }

    [Fact]
    public async Task Nodes_are_listed_with_what_they_serve()
    {
        var table = (await RunAsync("nodes", "list")).Output;
        table.ShouldContain("ready");
        table.ShouldContain(stack.Model);
        var node = JsonElement.Parse((await RunAsync("nodes", "list", "--json")).Output)[0];
        node.GetProperty("state").GetString().ShouldBe("ready");
        node.GetProperty("models").EnumerateArray().Select(model => model.GetString()).ShouldContain(stack.Model);
    }

    [Fact]
    public async Task A_removed_node_is_listed_no_more_and_stops_because_nobody_hears_it()
    {
        await using var own = new RunningStack();
        await own.InitializeAsync();
        var (exitCode, _, errors) = await InProcess.RunAsync(["nodes", "remove", "1", "--data", own.DataDirectory]);
        exitCode.ShouldBe(0, errors);
        (await InProcess.RunAsync(["nodes", "remove", "1", "--data", own.DataDirectory])).ExitCode.ShouldBe(2);
        JsonElement.Parse((await InProcess.RunAsync(["nodes", "list", "--json", "--data", own.DataDirectory])).Output).GetArrayLength().ShouldBe(0);
        (await own.EndAsync()).Errors.ShouldContain("node");
    }

    private Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments) => InProcess.RunAsync([.. arguments, "--data", stack.DataDirectory]);

    private Task<(int ExitCode, string Output, string Errors)> AskAsync(string key) => RunningStack.RunAsync(
        ["ask", "Hello?", "--gateway", stack.Gateway.ToString(), "--temperature", "0"], new Dictionary<string, string> { ["CONFIDENTIALCHAT_API_KEY"] = key });
}
