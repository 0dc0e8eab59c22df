using System.Net;
using System.Runtime.CompilerServices;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>A node that is told to stop: who is inside is served, who comes is sent on, and nothing that was used goes unreported.</summary>
public sealed class DrainTests
{
    [Fact]
    public async Task A_stopping_node_ends_its_streams_sends_newcomers_on_and_reports_before_it_leaves()
    {
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(stopped => OneThenAnother(gate, stopped))));
        var call = node.Seal(stream: true);
        var token = node.Gateway.Token();
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call, token));
        (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("a"));

        var stopped = node.App.StopAsync();
        (await node.Gateway.HeartbeatAsync(beat => beat.State == NodeState.Draining)).Running.ShouldBe(1);
        await (await node.PostAsync(node.Seal())).ShouldBeAsync(RequestError.ServiceUnavailable);
        await (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).ShouldBeAsync(RequestError.ServiceUnavailable);
        (await node.Client.GetAsync(new Uri(node.Url, "/health/live"))).StatusCode.ShouldBe(HttpStatusCode.OK);
        stopped.IsCompleted.ShouldBeFalse();

        gate.Open();
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("b"), ScriptedBackend.Finish]);
        await stopped.Soon();
        node.Gateway.Reports.ShouldContain(report => report.Request == token.Request.Value && report.Usage.Units.Value == 7);
    }

    [Fact]
    public async Task An_idle_node_says_that_it_leaves_before_it_does()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await node.App.StopAsync().Soon();
        (await node.Gateway.HeartbeatAsync(beat => beat.State == NodeState.Draining)).Running.ShouldBe(0);
    }

    [Fact]
    public async Task A_stream_that_outlasts_the_drain_is_cut_and_its_usage_reported_all_the_same()
    {
        var answer = new ScriptedAnswer(stopped => OneThenAnother(new Gate(), stopped)) { Used = new Usage(10, 1) };
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => answer), options => options with { DrainTimeout = TimeSpan.FromMilliseconds(300) });
        var call = node.Seal(stream: true);
        var token = node.Gateway.Token();
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call, token));
        await events.NextAsync();
        var stopped = node.App.StopAsync();
        await events.ShouldBreakOffAsync();
        await stopped.Soon();
        node.Gateway.Reports.ShouldContain(report => report.Request == token.Request.Value && report.Usage.Units.Value == 11);
    }

    [Fact]
    public async Task The_last_report_is_repeated_while_a_stopping_node_has_time()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var refuse = true;
        node.Gateway.Fault = http => Task.FromResult(Refused(http, NodePaths.UsageReports, () => refuse));
        var call = node.Seal();
        var token = node.Gateway.Token();
        await call.OpenAsync(await node.PostAsync(call, token));
        await node.Gateway.DeliveryAsync();

        var stopped = node.App.StopAsync();
        await node.Gateway.DeliveryAsync(); // the last try
        refuse = false;
        await stopped.Soon();
        node.Gateway.Reports.ShouldContain(report => report.Request == token.Request.Value);
    }

    [Fact]
    public async Task A_gateway_that_stalls_does_not_keep_a_node_from_stopping()
    {
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatServes(), options => options with { DrainTimeout = TimeSpan.FromMilliseconds(300) });
        var stalled = new Gate();
        node.Gateway.Fault = async http =>
        {
            await stalled.PassAsync(http.RequestAborted);
            return true;
        };
        await node.App.StopAsync().Soon();
        stalled.Open();
    }

    private static bool Refused(HttpContext http, string path, Func<bool> refuse)
    {
        if (http.Request.Path != path || !refuse())
            return false;
        http.Response.StatusCode = 500;
        return true;
    }

    private static async IAsyncEnumerable<string> OneThenAnother(Gate gate, [EnumeratorCancellation] CancellationToken stopped)
    {
        yield return ScriptedBackend.Chunk("a");
        await gate.PassAsync(stopped);
        yield return ScriptedBackend.Chunk("b");
    }
}
