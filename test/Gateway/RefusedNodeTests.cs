using System.Text.Json;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/gateway.md section 2: what a node that is refused is not told, and its operator is.</summary>
public class RefusedNodeTests
{
    [Theory]
    [InlineData("[null]")]
    [InlineData("""[{"Node":-1,"Reason":"NotNewer","At":"2026-01-01T00:00:00Z"},{"Node":null,"Reason":"NotNewer","At":"2026-01-01T00:00:00Z"}]""")]
    [InlineData("[{")]
    public async Task A_list_that_somebody_damaged_keeps_no_gateway_from_starting(string list)
    {
        var directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;
        await File.WriteAllTextAsync(Path.Combine(directory, "refused-nodes.json"), list, TestContext.Current.CancellationToken);
        await using (var app = await GatewayHost.CreateAsync(new GatewayOptions { DataDirectory = directory, Port = 0 }))
        {
            await app.StartAsync(TestContext.Current.CancellationToken);
            await app.StopAsync(TestContext.Current.CancellationToken);
        }

        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Every_refusal_is_the_same_401_on_the_wire_and_the_log_and_the_list_know_why()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await using var other = await ScriptedNode.StartAsync(gateway);
        var status = JsonSerializer.Serialize(node.Status(), NodeMessageJson.Default.NodeStatus);
        var now = gateway.Clock.GetUtcNow();
        var spent = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        (await node.EnrolAsync(spent)).EnsureSuccessStatusCode();
        List<string> bodies = [];

        await RefusedAsync(() => node.BeatAsync(timeMs: now.AddMinutes(-30).ToUnixTimeMilliseconds()), NodeRefusal.ClockTooFarAway);
        await RefusedAsync(() => node.PostReportsAsync([], now.AddMinutes(-30).ToUnixTimeMilliseconds()), NodeRefusal.ClockTooFarAway);
        await RefusedAsync(() => node.PostAsync(NodePaths.Heartbeat, status, asNode: other.Id), NodeRefusal.WrongSignature, other);
        await RefusedAsync(() => node.PostAsync(NodePaths.Heartbeat, status, signedBody: string.Concat(status[..^1], " ")), NodeRefusal.AlteredBody);
        await RefusedAsync(() => node.PostAsync(NodePaths.Heartbeat, status, signedBody: status + " "), NodeRefusal.WrongSignature); // the length is signed
        var kept = node.RelayKey;
        node.RelayKey = other.RelayKey;
        await RefusedAsync(() => node.BeatAsync(), NodeRefusal.WrongRelayKey);
        node.RelayKey = kept;
        var time = node.NextTime();
        (await node.BeatAsync(timeMs: time)).EnsureSuccessStatusCode();
        await RefusedAsync(() => node.BeatAsync(timeMs: time), NodeRefusal.NotNewer);
        await RefusedAsync(() => node.PostAsync(NodePaths.Heartbeat, status, asNode: 999), NodeRefusal.UnknownNode, stranger: true);
        await RefusedAsync(() => node.PostAsync(NodePaths.Heartbeat, status, asNode: -1), NodeRefusal.MalformedHeaders, stranger: true);
        await RefusedAsync(() => node.EnrolAsync(spent), NodeRefusal.SpentToken, stranger: true);
        await RefusedAsync(() => node.EnrolAsync(spent[..^1] + (spent[^1] == 'A' ? 'B' : 'A')), NodeRefusal.UnknownToken, stranger: true);
        bodies.Distinct(StringComparer.Ordinal).Count().ShouldBe(1);
        gateway.Log.Text.ShouldNotContain(spent);

        // The node is heard again, and its operator still sees what was.
        (await node.BeatAsync()).EnsureSuccessStatusCode();
        (await gateway.Operator.ListNodesAsync()).Single(entry => entry.Id == node.Id).LastRefusal!.Reason.ShouldBe(NodeRefusal.NotNewer);

        async Task RefusedAsync(Func<Task<HttpResponseMessage>> send, NodeRefusal reason, ScriptedNode? of = null, bool stranger = false)
        {
            var response = await send();
            await response.ShouldBeErrorAsync(401, "AUTH_ERROR");
            bodies.Add(await response.Content.ReadAsStringAsync());
            var named = stranger ? "of a node that is not enrolled" : $"of node {(of ?? node).Id}";
            gateway.Log.Text.ShouldContain(
                reason is NodeRefusal.ClockTooFarAway ? $"The clock of node {node.Id} is 1800 s behind" : $"{named} is refused: {reason.InWords()}.");
            for (var tries = 0; await LastAsync() != reason && tries < 200; tries++)
            {
                gateway.Clock.Advance(TimeSpan.FromMilliseconds(20)); // the list is written once in two seconds
                await Task.Delay(10, TestContext.Current.CancellationToken);
            }

            (await LastAsync()).ShouldBe(reason);

            async Task<NodeRefusal?> LastAsync() => (stranger
                ? gateway.Operator.LastRefusedStranger()
                : (await gateway.Operator.ListNodesAsync()).Single(entry => entry.Id == (of ?? node).Id).LastRefusal)?.Reason;
        }
    }

    [Fact]
    public async Task Refusals_without_end_are_ten_lines_and_a_number()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var words = NodeRefusal.UnknownNode.InWords();
        for (var i = 0; i < 30; i++)
            await (await node.PostAsync(NodePaths.Heartbeat, "{}", asNode: 1_000 + i)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        gateway.Log.Text.Split(words).Length.ShouldBe(11);
    }
}
