using System.Net;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/gateway.md section 2, "Clocks": clocks that are apart, and clocks that somebody sets while everything runs.</summary>
public sealed class ClockTests
{
    [Theory]
    [InlineData(-600)]
    [InlineData(-61)]
    [InlineData(61)]
    [InlineData(600)]
    public async Task A_node_whose_clock_is_too_far_away_is_told_of_clocks_and_its_token_stays_good(int seconds)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        var now = gateway.Clock.GetUtcNow();
        var refused = await node.EnrolAsync(token, timeMs: now.AddSeconds(seconds).ToUnixTimeMilliseconds());
        await refused.ShouldBeErrorAsync(401, "AUTH_ERROR");
        Clock(refused).ShouldBe(now.ToUnixTimeMilliseconds());
        gateway.Log.Text.ShouldContain($"The clock of a node that enrols is {Math.Abs(seconds)} s {(seconds > 0 ? "ahead of" : "behind")} this gateway's");

        (await node.EnrolAsync(token)).StatusCode.ShouldBe(HttpStatusCode.OK);
        foreach (var time in (long[])[now.AddSeconds(seconds).ToUnixTimeMilliseconds(), long.MaxValue, 0])
        {
            refused = await node.BeatAsync(timeMs: time);
            await refused.ShouldBeErrorAsync(401, "AUTH_ERROR");
            Clock(refused).ShouldBe(now.ToUnixTimeMilliseconds());
        }

        gateway.Log.Text.ShouldContain("The clock of node 1 is");
    }

    [Theory]
    [InlineData(-60)]
    [InlineData(-10)]
    [InlineData(60)]
    public async Task A_node_within_the_tolerance_enrols_beats_and_gets_tokens_that_it_takes(int seconds)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        var time = gateway.Clock.GetUtcNow().AddSeconds(seconds).ToUnixTimeMilliseconds();
        (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text, timeMs: time)).StatusCode
            .ShouldBe(HttpStatusCode.OK);
        using var user = await gateway.UserAsync();
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user)).Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);

        // As the node's own check judges it, whose clock is this far away.
        var left = (await node.SeenAsync()).Token().Expires - gateway.Clock.GetUtcNow().AddSeconds(seconds);
        (left > -ClockTolerance.Most && left <= RelayToken.MaxLifetime + ClockTolerance.Most).ShouldBeTrue($"{left}");
    }

    [Fact]
    public async Task A_stranger_is_told_nothing_of_clocks()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await using var other = await ScriptedNode.StartAsync(gateway);
        var json = System.Text.Json.JsonSerializer.Serialize(node.Status(), NodeMessageJson.Default.NodeStatus);
        var far = gateway.Clock.GetUtcNow().AddHours(1).ToUnixTimeMilliseconds();
        foreach (var time in (long[])[far, node.NextTime()])
        {
            (await node.PostAsync(NodePaths.Heartbeat, json, signedBody: "{}", timeMs: time)).ShouldTellNoClock(); // another body's signature
            // Of the same length: the body is read.
            (await node.PostAsync(NodePaths.Heartbeat, json, signedBody: new string(' ', json.Length), timeMs: node.NextTime())).ShouldTellNoClock();
            (await node.PostAsync(NodePaths.Heartbeat, json, asNode: other.Id, timeMs: time)).ShouldTellNoClock(); // another node's
            (await node.PostAsync(NodePaths.Heartbeat, json, asNode: 999, timeMs: time)).ShouldTellNoClock(); // nobody's
            (await node.EnrolAsync("cce_none", timeMs: time)).ShouldTellNoClock();
        }

        var relayKey = node.RelayKey;
        node.RelayKey = new RelayKey(new byte[RelayKey.Size]);
        (await node.BeatAsync(timeMs: far)).ShouldTellNoClock(); // it has lost its enrolment, and is to enrol anew
        node.RelayKey = relayKey;
        Clock(await node.BeatAsync()).ShouldBe(gateway.Clock.GetUtcNow().ToUnixTimeMilliseconds());
    }

    [Fact]
    public async Task A_node_whose_clock_was_set_back_a_little_is_told_where_to_go_on()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var ahead = gateway.Clock.GetUtcNow().AddSeconds(50).ToUnixTimeMilliseconds();
        (await node.BeatAsync(timeMs: ahead)).IsSuccessStatusCode.ShouldBeTrue();
        var refused = await node.BeatAsync();
        await refused.ShouldBeErrorAsync(401, "AUTH_ERROR");
        refused.Headers.GetValues(NodeSignature.TimeHeaderName).ShouldBe([$"{ahead}"]);
        (await node.BeatAsync(timeMs: ahead + 1)).IsSuccessStatusCode.ShouldBeTrue();

        // At an enrolment as well; a token that is spent tells nothing.
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        refused = await node.EnrolAsync(token);
        refused.Headers.GetValues(NodeSignature.TimeHeaderName).ShouldBe([$"{ahead + 1}"]);
        (await node.EnrolAsync(token, timeMs: ahead + 2)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await node.EnrolAsync(token)).ShouldTellNoClock(); // or it would be told to wait for its clock, again and again

        // And where its operator has removed it meanwhile.
        await gateway.Operator.RemoveNodeAsync(node.Id);
        token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        refused = await node.EnrolAsync(token);
        refused.Headers.GetValues(NodeSignature.TimeHeaderName).ShouldBe([$"{ahead + 2}"]);
        (await node.EnrolAsync(token, timeMs: ahead + 3)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_time_that_was_stored_while_the_clocks_were_wrong_keeps_no_node_out()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        gateway.Clock.SetBy = TimeSpan.FromDays(365);
        (await node.BeatAsync(timeMs: Now(gateway))).IsSuccessStatusCode.ShouldBeTrue();

        gateway.Clock.SetBy = default;
        using var user = await gateway.UserAsync();
        // Not heard in this time.
        await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}""")))
            .ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        (await node.BeatAsync(timeMs: Now(gateway))).IsSuccessStatusCode.ShouldBeTrue();
        await LockedNode.LockAsync(user);

        // And an enrolment alike.
        gateway.Clock.SetBy = TimeSpan.FromDays(365);
        (await node.BeatAsync(timeMs: Now(gateway))).IsSuccessStatusCode.ShouldBeTrue();
        gateway.Clock.SetBy = default;
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        (await node.EnrolAsync(token, timeMs: Now(gateway) + 1)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_silent_node_is_not_well_because_the_clock_was_set_back()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        gateway.Clock.SetBy = TimeSpan.FromHours(-1);
        await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}""")))
            .ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        (await node.BeatAsync(timeMs: Now(gateway))).IsSuccessStatusCode.ShouldBeTrue();
        await LockedNode.LockAsync(user);
    }

    [Fact]
    public async Task What_was_locked_and_reserved_by_a_clock_that_was_ahead_is_free_when_the_longest_time_has_passed_from_now()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        gateway.Clock.SetBy = TimeSpan.FromDays(1);
        node.KeySets = [ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1))];
        (await node.BeatAsync(timeMs: Now(gateway))).IsSuccessStatusCode.ShouldBeTrue();
        // Never reported.
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user)).Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
        await LockedNode.LockAsync(user);
        var held = (await gateway.StackAsync()).Reserved;
        held.ShouldBeGreaterThan(8192);

        gateway.Clock.SetBy = default;
        await gateway.SweepAsync();
        (await gateway.StackAsync()).Reserved.ShouldBe(held); // neither is due
        gateway.Clock.Advance(TimeSpan.FromSeconds(60));
        await gateway.SweepAsync();
        (await gateway.StackAsync()).Reserved.ShouldBe(held - 8192);
        gateway.Clock.Advance(TimeSpan.FromMinutes(9));
        await gateway.SweepAsync();
        (await gateway.StackAsync()).Reserved.ShouldBe(0);
        (await gateway.ReadAsync(state => state.Nodes.SingleAsync())).Unreported.ShouldBe(1);
    }

    [Fact]
    public async Task A_clock_that_is_set_forward_ends_locks_early_and_no_request_that_runs()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var going = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.Script = async context =>
        {
            going.SetResult();
            await go.Task;
            await ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        };
        var first = await LockedNode.LockAsync(user);
        var second = await LockedNode.LockAsync(user);
        var running = user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(first.Envelope()));
        await going.Task;
        var request = (await node.SeenAsync()).Request;

        gateway.Clock.SetBy = TimeSpan.FromHours(2);
        await gateway.SweepAsync();
        go.SetResult();
        (await running).StatusCode.ShouldBe(HttpStatusCode.OK);
        node.KeySets = [ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1)), node.KeySets[0]];
        (await node.BeatAsync(timeMs: Now(gateway))).IsSuccessStatusCode.ShouldBeTrue();
        // Which says: lock anew.
        await (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(second.Envelope()))).ShouldBeErrorAsync(400, "UNKNOWN_NODE_KEY");

        // Charged as if nothing had happened: at once, or late where the sweep was first.
        await node.ReportAsync(new UsageReport(request, GatewayUnderTest.Model, 3, 4, 0));
        (await gateway.StackAsync()).Used.ShouldBe(7);
    }

    private static long Now(GatewayUnderTest gateway) => gateway.Clock.GetUtcNow().ToUnixTimeMilliseconds();

    private static long Clock(HttpResponseMessage answer) =>
        long.Parse(answer.Headers.GetValues(NodeSignature.GatewayClockHeaderName).Single(), System.Globalization.CultureInfo.InvariantCulture);
}

internal static class Clocks
{
    public static void ShouldTellNoClock(this HttpResponseMessage answer)
    {
        answer.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        answer.Headers.Select(header => header.Key).ShouldNotContain(name => name.StartsWith("Confidential-", StringComparison.OrdinalIgnoreCase));
    }
}
