using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary><c>cchat nodes remove</c> beside a running gateway.</summary>
public sealed class OperatorCommandTests
{
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
}
