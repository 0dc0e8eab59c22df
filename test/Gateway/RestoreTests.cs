using System.Diagnostics;
using System.Net;
using ConfidentialChat.Gateway.Tests.Postgres;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>State that is older than the world around it: a gateway restored from a copy, a node restored or cloned.</summary>
public sealed class RestoreTests : IDisposable
{
    private const string Lock = $$"""{"model":"{{GatewayUnderTest.Model}}","timeout":60}""";

    private readonly string copies = Directory.CreateTempSubdirectory("gateway-copies-").FullName;

    public void Dispose() => Directory.Delete(copies, recursive: true);

    [Fact]
    [OfSqliteFile]
    public async Task A_gateway_restored_from_yesterday_takes_no_node_for_another_and_charges_nobody_twice()
    {
        await using var today = await GatewayUnderTest.StartAsync();
        await using var stays = await ScriptedNode.StartAsync(today);
        await using var renewed = await ScriptedNode.StartAsync(today);
        renewed.Models = ["elsewhere"];
        (await renewed.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        var alice = await today.KeyAsync("alice");
        using var before = today.Client(alice);
        var held = await AskAsync(before, stays); // its report will come after the restore
        var image = await CopyAsync(today);

        // What the copy knows nothing of: a node, another relay key, a user, and requests of both.
        await using var since = await ScriptedNode.StartAsync(today);
        since.Models = ["newer"];
        (await since.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        await EnrolAsync(renewed, today);
        var bob = await today.KeyAsync("bob");
        using var gone = today.Client(bob);
        var lost = await AskAsync(gone, stays);
        await stays.ReportAsync(Report(held, 40), Report(lost, 50));

        await using var restored = await GatewayUnderTest.StartAsync(options => options with { DataDirectory = image });
        foreach (var node in (ScriptedNode[])[stays, since, renewed])
            node.Gateway = restored;
        (await stays.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await renewed.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await since.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");

        // The number of the one that is unknown goes to another, and does not become its own by that.
        await using var next = await ScriptedNode.StartAsync(restored);
        next.Id.ShouldBe(since.Id);
        await (await since.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await since.PostReportsAsync(Report(held, 1))).ShouldBeErrorAsync(401, "AUTH_ERROR");

        // The report is repeated as a node does whose gateway went away before it answered.
        await stays.ReportAsync(Report(held, 40), Report(lost, 50), Report(held, 40));
        var stack = await restored.StackAsync();
        (stack.Used, stack.Reserved).ShouldBe((40, 0));
        await (await restored.Client(bob).GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        using var user = restored.Client(alice);
        next.State = NodeState.Draining;
        (await next.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        await AskAsync(user, stays);

        await EnrolAsync(since, restored);
        since.Id.ShouldNotBe(next.Id);
        await EnrolAsync(renewed, restored);
        (await since.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await renewed.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    [OfSqliteFile]
    public async Task A_database_without_its_key_file_says_how_many_nodes_have_to_enrol_anew()
    {
        await using var today = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(today);
        today.Log.Text.ShouldNotContain("relay key");
        var image = await CopyAsync(today);
        File.Delete(Path.Combine(image, "gateway.key"));

        await using var restored = await GatewayUnderTest.StartAsync(options => options with { DataDirectory = image });
        restored.Log.Text.ShouldMatch("warn: .*Of 1 nodes 1 have no relay key .*hint: .*cchat nodes token");
        node.Gateway = restored;
        await (await node.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await EnrolAsync(node, restored);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Of_two_nodes_with_one_identity_the_later_is_heard_and_the_other_refused()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var (ofOne, ofOther) = (node.KeySets, (IReadOnlyList<ConfidentialChat.Protocol.KeySet>)[ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1))]);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);

        // The clone starts. A node that started anew looks the same, and is heard.
        node.KeySets = ofOther;
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        gateway.Log.Text.ShouldNotContain("Two processes");

        for (var i = 0; i < 3; i++)
        {
            node.KeySets = ofOne;
            await (await node.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
            node.KeySets = ofOther;
            (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
            (await LockedNode.LockAsync(user)).PublicKey.ShouldBe(ofOther[0].X25519.ToString());
        }

        gateway.Log.Text.ShouldContain($"Two processes run as node {node.Id}");

        // Its operator's word is stronger: who enrols is the node.
        node.KeySets = ofOne;
        await EnrolAsync(node, gateway);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await LockedNode.LockAsync(user)).PublicKey.ShouldBe(ofOne[0].X25519.ToString());
    }

    [Fact]
    public async Task A_recorded_heartbeat_makes_no_double_of_a_node()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var first = node.KeySets;
        var recorded = node.NextTime();
        node.KeySets = [ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1)), .. first];
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);

        var rotated = node.KeySets;
        node.KeySets = first;
        await (await node.BeatAsync(timeMs: recorded)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        node.KeySets = rotated;
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        gateway.Log.Text.ShouldNotContain("Two processes");
    }

    private static UsageReport Report(Guid request, int tokens) => new(request, GatewayUnderTest.Model, tokens, 0, 0);

    private static async Task EnrolAsync(ScriptedNode node, GatewayUnderTest gateway) =>
        (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);

    private static async Task<Guid> AskAsync(HttpClient user, ScriptedNode node)
    {
        var body = (await LockedNode.LockAsync(user, Lock)).Envelope();
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.OK);
        return (await node.SeenAsync()).Request;
    }

    // As a backup takes it, with a key file beside it.
    private async Task<string> CopyAsync(GatewayUnderTest gateway)
    {
        await gateway.ReadAsync(state => state.Locks.CountAsync()); // what is written lazily
        var image = Path.Combine(copies, "gateway");
        using var copy = Process.Start("cp", ["-r", gateway.DataDirectory, image]);
        await copy.WaitForExitAsync(TestContext.Current.CancellationToken);
        return image;
    }
}
