using System.Net;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>What an operator lists, revokes and removes holds within a second.</summary>
public class OperatorTests
{
    [Fact]
    public async Task Keys_are_listed_by_their_public_part_and_a_revoked_one_opens_nothing()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var first = await gateway.Operator.CreateApiKeyAsync("bob");
        var second = await gateway.Operator.CreateApiKeyAsync("bob");
        var other = await gateway.Operator.CreateApiKeyAsync("alice");
        var listed = await gateway.Operator.ListApiKeysAsync();
        listed.Select(key => (key.User, key.Prefix)).ShouldBe([("alice", other.Prefix), ("bob", first.Prefix), ("bob", second.Prefix)]);
        listed.ShouldAllBe(key => key.RevokedAt == null && first.Text.Contains('_') && key.Prefix.Length == 8);

        (await gateway.Operator.RevokeApiKeyAsync(first.Prefix)).ShouldBeTrue();
        (await gateway.Operator.RevokeApiKeyAsync(first.Prefix)).ShouldBeFalse();
        (await gateway.Operator.ListApiKeysAsync()).Single(key => key.Prefix == first.Prefix).RevokedAt!.Value
            .ShouldBe(gateway.Clock.GetUtcNow(), TimeSpan.FromMilliseconds(1));
        await gateway.NoticeAsync();
        using var revoked = gateway.Client(first.Text);
        using var good = gateway.Client(second.Text);
        await (await revoked.GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        (await good.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Nodes_are_listed_as_they_last_said_they_are()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Running = 3;
        await node.BeatAsync();
        var entry = (await gateway.Operator.ListNodesAsync()).Single();
        (entry.Id, entry.State, entry.Running, entry.Unreported).ShouldBe((node.Id, NodeCondition.Ready, 3, 0));
        entry.Models.ShouldBe([GatewayUnderTest.Model]);
        new Uri(entry.Address).ShouldBe(new Uri(node.Address));
        entry.KeyExpiresAt!.Value.ShouldBeGreaterThan(gateway.Clock.GetUtcNow());

        node.State = Protocol.Relay.NodeState.Draining;
        await node.BeatAsync();
        (await gateway.Operator.ListNodesAsync()).Single().State.ShouldBe(NodeCondition.Draining);
    }

    [Fact]
    public async Task A_removed_node_gets_nothing_is_not_heard_and_comes_back_with_a_token()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);

        (await gateway.Operator.RemoveNodeAsync(node.Id)).ShouldBeTrue();
        (await gateway.Operator.RemoveNodeAsync(node.Id)).ShouldBeFalse();
        await gateway.NoticeAsync();

        (await gateway.Operator.ListNodesAsync()).ShouldBeEmpty();
        await (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(locked.Envelope()))).ShouldBeErrorAsync(400, "UNKNOWN_NODE_KEY");
        await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""))).ShouldBeErrorAsync(404, "MODEL_NOT_FOUND");
        await (await node.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
        node.RequestsSeen.ShouldBe(0);

        (await gateway.ReadAsync(state => state.NodeKeySets.CountAsync())).ShouldBe(0);
        (await gateway.ReadAsync(state => state.NodeModels.CountAsync())).ShouldBe(0);
        (await gateway.ReadAsync(state => state.Nodes.SingleAsync())).RelayKey.ShouldBeNull();

        var (id, token) = (node.Id, await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1)));
        (await node.EnrolAsync(token.Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        node.Id.ShouldBe(id);
        locked = await LockedNode.LockAsync(user);
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(locked.Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }
}
