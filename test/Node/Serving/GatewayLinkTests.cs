using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/gateway.md sections 2 and 3: how a node joins its gateway, stays with it, and what it does when it is sent away.</summary>
public sealed class GatewayLinkTests : IDisposable
{
    public void Dispose() => Environment.ExitCode = 0; // what a node that gives up has set

    [Fact]
    public async Task A_node_announces_where_it_is_what_it_serves_and_its_key()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var enrolment = await node.Gateway.EnrolmentAsync();
        enrolment.Address.ShouldBe(node.Url);
        enrolment.TlsPin.ShouldBeNull();
        enrolment.Status.State.ShouldBe(NodeState.Ready);
        enrolment.Status.Models.ShouldBe([ScriptedBackend.Model]);
        enrolment.Status.Keys.ShouldHaveSingleItem().X25519.ShouldBe(node.Ring.Current.ToString());
    }

    [Fact]
    public async Task A_rotation_is_told_at_once_with_the_new_key_first()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var before = node.Ring.Current.ToString();
        node.Ring.Rotate();
        var beat = await node.Gateway.HeartbeatAsync(); // the next one by schedule is a minute away
        beat.Keys.Select(key => key.X25519).ShouldBe([node.Ring.Current.ToString(), before]);
    }

    [Fact]
    public async Task A_key_that_was_retired_by_hand_is_erased_when_its_grace_ends_and_not_at_the_next_rotation()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), time: time);
        node.Ring.Rotate();
        (await node.Gateway.HeartbeatAsync()).Keys.Count.ShouldBe(2);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        time.Advance(TimeSpan.FromMinutes(10));
        while (node.Ring.PublicKeys.Count != 1)
        {
            await Task.Delay(5, patience.Token);
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        (await node.Gateway.HeartbeatAsync(beat => beat.Keys.Count == 1)).Keys[0].X25519.ShouldBe(node.Ring.Current.ToString());
    }

    [Fact]
    public async Task A_node_waits_for_a_gateway_that_is_not_there_yet_and_serves_nobody_until_then()
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes());
        await node.Gateway.LeaveAsync();
        await node.App.StartAsync();
        var ready = NodeHost.WhenReadyAsync(node.App, CancellationToken.None);
        await (await node.PostAsync(node.Seal())).ShouldBeAsync(RequestError.AuthError);
        await (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).ShouldBeAsync(RequestError.ServiceUnavailable);
        ready.IsCompleted.ShouldBeFalse();

        await node.Gateway.ReturnAsync();
        await ready.Soon();
        await node.Gateway.EnrolmentAsync();
    }

    [Fact]
    public async Task A_node_that_its_gateway_has_forgotten_enrols_anew_with_its_token()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var first = await node.Gateway.EnrolmentAsync();
        node.Gateway.Fault = http => Task.FromResult(Forgotten(http));
        node.Ring.Rotate();
        var second = await node.Gateway.EnrolmentAsync();
        second.IdentityKey.ShouldBe(first.IdentityKey);
        node.Gateway.Fault = null;
        node.Ring.Rotate();
        await node.Gateway.HeartbeatAsync();
        var call = node.Seal();
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task A_node_without_a_token_that_its_gateway_has_forgotten_stops_with_its_own_exit_code()
    {
        string? kept = null;
        await using (var enrolled = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes()))
            kept = await File.ReadAllTextAsync(Path.Combine(enrolled.DataDirectory, "enrolment.json"));

        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes(), options => options with { EnrolmentToken = null });
        kept = kept.Replace(kept.Split('"')[3], node.Gateway.Url.ToString(), StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(node.DataDirectory, "enrolment.json"), kept);
        node.Gateway.Fault = http => Task.FromResult(Forgotten(http));
        await ShouldGiveUpAsync(node);
    }

    [Theory]
    [InlineData("cce_wrong", "hint: make a token at the gateway")]
    [InlineData(null, "hint: at the gateway: cchat nodes token")]
    public async Task A_node_that_no_gateway_takes_stops_with_its_own_exit_code(string? token, string hint)
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes(), options => options with { EnrolmentToken = token });
        await ShouldGiveUpAsync(node, hint);
    }

    private static async Task ShouldGiveUpAsync(NodeUnderTest node, string hint = "hint: make a token at the gateway")
    {
        await node.App.StartAsync();
        await node.App.WaitForShutdownAsync(TestContext.Current.CancellationToken).Soon();
        Environment.ExitCode.ShouldBe(NodeExitCode.NotEnrolled);
        node.Log.Text.ShouldContain(hint);
    }

    private static bool Forgotten(HttpContext http)
    {
        http.Response.StatusCode = 401;
        return http.Request.Path == NodePaths.Heartbeat;
    }
}
