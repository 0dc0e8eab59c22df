using System.Net;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>What is just at a limit, on either side of it: a test that steps a second over an edge does not see the edge.</summary>
public sealed class EdgeTests
{
    [Theory]
    [InlineData("\"max_num_tokens\":1")]
    [InlineData("\"timeout\":1")]
    [InlineData("\"timeout\":60")]
    public async Task The_smallest_and_the_longest_lock_are_given(string member)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await LockedNode.LockAsync(user, $$"""{"model":"{{GatewayUnderTest.Model}}",{{member}}}""");
    }

    [Theory]
    [InlineData(256, 404, "MODEL_NOT_FOUND", null)]
    [InlineData(257, 400, "INVALID_FIELD", "model")]
    public async Task A_model_of_256_characters_is_looked_for(int size, int status, string code, string? param)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var user = await gateway.UserAsync();
        await (await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{new string('m', size)}}"}"""))).ShouldBeErrorAsync(status, code, param);
    }

    // Three heartbeats of five seconds: at the third that is missed it is silent.
    [Theory]
    [InlineData(14_999, 200)]
    [InlineData(15_000, 503)]
    public async Task A_node_is_silent_when_its_third_heartbeat_is_missed(int milliseconds, int status)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        ToWholeSecond(gateway);
        (await node.BeatAsync()).EnsureSuccessStatusCode();
        gateway.Clock.Advance(TimeSpan.FromMilliseconds(milliseconds));
        var answer = await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""));
        ((int)answer.StatusCode).ShouldBe(status);
    }

    // A key set that expires now has expired: no lock, and no request under a lock from before.
    [Theory]
    [InlineData(1, 200, 200)]
    [InlineData(0, 503, 400)]
    public async Task A_key_set_serves_until_the_second_in_which_it_expires(int secondsLeft, int locked, int relayed)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        ToWholeSecond(gateway);
        node.KeySets = [ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddSeconds(4))];
        (await node.BeatAsync()).EnsureSuccessStatusCode();
        var before = await LockedNode.LockAsync(user, $$"""{"model":"{{GatewayUnderTest.Model}}","timeout":60}""");
        gateway.Clock.Advance(TimeSpan.FromSeconds(4 - secondsLeft));

        ((int)(await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""))).StatusCode).ShouldBe(locked);
        ((int)(await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(before.Envelope()))).StatusCode).ShouldBe(relayed);
    }

    [Theory]
    [InlineData(64, KeySet.MaxHeld, null)]
    [InlineData(65, 1, "models")]
    [InlineData(1, KeySet.MaxHeld + 1, "key_sets")]
    public async Task A_node_announces_64_models_and_128_key_sets_at_the_most(int models, int keySets, string? param)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Models = [.. Enumerable.Range(0, models).Select(i => $"m{i}")];
        node.KeySets = [.. Enumerable.Range(0, keySets).Select(_ => ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1)))];
        var answer = await node.BeatAsync();
        if (param is null)
            answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        else
            await answer.ShouldBeErrorAsync(400, "INVALID_FIELD", param);
    }

    [Theory]
    [InlineData(UsageReportEndpoint.MaxReports, 200)]
    [InlineData(UsageReportEndpoint.MaxReports + 1, 400)]
    public async Task A_message_has_a_thousand_reports_at_the_most(int reports, int status)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var answer = await node.PostReportsAsync(
            [.. Enumerable.Range(0, reports).Select(_ => new UsageReport(Guid.CreateVersion7(), GatewayUnderTest.Model, 1, 1, 0))]);
        ((int)answer.StatusCode).ShouldBe(status);
    }

    [Fact]
    public async Task A_body_of_the_very_limit_is_relayed()
    {
        const int limit = 20_000;
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBodyBytes = limit });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        foreach (var isAnnounced in new[] { true, false })
        {
            foreach (var more in new[] { 0, 1 })
            {
                var body = (await LockedNode.LockAsync(user)).Envelope();
                body = [.. body, .. Enumerable.Repeat((byte)' ', limit + more - body.Length)];
                using var request = new HttpRequestMessage(HttpMethod.Post, GatewayUnderTest.ChatPath) { Content = Http.Json(body) };
                if (!isAnnounced)
                    request.Headers.TransferEncodingChunked = true;
                ((int)(await user.SendAsync(request, TestContext.Current.CancellationToken)).StatusCode)
                    .ShouldBe(more == 0 ? 200 : 413, $"announced: {isAnnounced}");
            }
        }
    }

    // Of 1600 bytes large bodies leave a sixteenth to small ones; a payer's share ends before that.
    [Fact]
    public void A_share_and_the_budget_are_taken_to_their_last_byte()
    {
        var budget = new BodyBudget(1_600);
        var share = new BodyShare(budget, 1_000);
        share.HasRoom(1_001, isSmall: true).ShouldBeFalse();
        share.TryTake(1_001, isSmall: true).ShouldBeFalse();
        share.HasRoom(1_000, isSmall: true).ShouldBeTrue();
        share.TryTake(1_000, isSmall: true).ShouldBeTrue();
        share.TryTake(1, isSmall: true).ShouldBeFalse();

        var another = new BodyShare(budget, 1_000);
        another.TryTake(501, isSmall: false).ShouldBeFalse();
        another.TryTake(500, isSmall: false).ShouldBeTrue();
        another.TryTake(101, isSmall: true).ShouldBeFalse();
        another.TryTake(100, isSmall: true).ShouldBeTrue();
        budget.Taken.ShouldBe(1_600);
        share.Return(1_000);
        another.Return(600);
        budget.Taken.ShouldBe(0);
        share.TryTake(1_000, isSmall: false).ShouldBeTrue();
    }

    [Fact]
    public void Refused_bytes_up_to_64_MiB_cost_no_wait_and_a_byte_more_does()
    {
        var time = new FakeTimeProvider();
        var refused = new RefusedBytes(time);
        var user = new UserId(1);
        refused.Count(user, 64 << 20);
        refused.Wait(user).ShouldBeNull();
        refused.Count(user, 1);
        refused.Wait(user)!.Value.ShouldBeGreaterThan(TimeSpan.Zero);
        time.Advance(TimeSpan.FromSeconds(1)); // in which a mebibyte is forgotten
        refused.Wait(user).ShouldBeNull();
    }

    // Times are kept in milliseconds, and expiry is told in seconds: only from a whole one is an edge met.
    private static void ToWholeSecond(GatewayUnderTest gateway) =>
        gateway.Clock.Advance(TimeSpan.FromTicks(TimeSpan.TicksPerSecond - (gateway.Clock.GetUtcNow().Ticks % TimeSpan.TicksPerSecond)));
}
