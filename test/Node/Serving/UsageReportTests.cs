using System.Diagnostics;
using ConfidentialChat.Node.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/gateway.md section 5 rule 6: what was used is told until it is acknowledged.</summary>
public sealed class UsageReportTests
{
    [Fact]
    public async Task A_hundred_thousand_reports_wait_for_a_gateway_that_is_gone_and_beyond_them_the_oldest_is_given_up()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await node.Gateway.LeaveAsync();
        var reporter = node.App.Services.GetRequiredService<UsageReporter>();
        var oldest = node.Gateway.Token();
        reporter.Report(oldest, new Usage(1, 1));
        for (var i = 1; i < 100_000; i++)
            reporter.Report(node.Gateway.Token(), new Usage(1, 1));
        node.Log.Text.ShouldNotContain("was given up");
        reporter.Report(node.Gateway.Token(), new Usage(1, 1));
        node.Log.Text.ShouldContain($"The usage report of request {oldest.Request.Value} was given up");
    }

    [Fact]
    public async Task A_report_outlives_a_gateway_that_fails_and_one_that_is_gone()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var gateway = node.Gateway;
        gateway.Fault = http =>
        {
            http.Response.StatusCode = 500;
            return Task.FromResult(http.Request.Path == NodePaths.UsageReports);
        };
        var first = gateway.Token();
        await ServeAsync(node, first);
        (await gateway.DeliveryAsync()).Reports.Single().Request.ShouldBe(first.Request.Value);

        await gateway.LeaveAsync();
        var second = gateway.Token();
        await ServeAsync(node, second);
        gateway.Fault = null;
        await gateway.ReturnAsync();
        (await gateway.ReportAsync(first.Request)).Usage.Units.Value.ShouldBe(7);
        (await gateway.ReportAsync(second.Request)).Usage.Units.Value.ShouldBe(7);
    }

    [Fact]
    public async Task A_report_whose_acknowledgement_was_lost_is_sent_again_with_the_same_content()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var lost = false;
        node.Gateway.Fault = http =>
        {
            if (lost || http.Request.Path != NodePaths.UsageReports)
                return Task.FromResult(false);
            lost = true;
            http.Abort();
            return Task.FromResult(true);
        };
        var token = node.Gateway.Token();
        await ServeAsync(node, token);
        var first = (await node.Gateway.DeliveryAsync()).Reports.Single();
        (await node.Gateway.DeliveryAsync()).Reports.Single().ShouldBe(first);
        (await node.Gateway.ReportAsync(token.Request)).ShouldBe(first);
        await ShouldBeSilentAsync(node);
    }

    [Fact]
    public async Task A_gateway_that_acknowledges_nothing_is_not_asked_without_pause()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var silent = true;
        node.Gateway.Fault = async http =>
        {
            if (!silent || http.Request.Path != NodePaths.UsageReports)
                return false;
            await http.Response.WriteAsync("""{"acknowledged":[]}""");
            return true;
        };
        var token = node.Gateway.Token();
        await ServeAsync(node, token);
        await node.Gateway.DeliveryAsync();
        var since = Stopwatch.GetTimestamp();
        await node.Gateway.DeliveryAsync();
        Stopwatch.GetElapsedTime(since).ShouldBeGreaterThan(TimeSpan.FromMilliseconds(500));
        silent = false;
        await node.Gateway.ReportAsync(token.Request);
    }

    [Fact]
    public async Task A_hundred_requests_are_reported_once_each()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        RelayToken[] tokens = [.. Enumerable.Range(0, 100).Select(_ => node.Gateway.Token())];
        await Task.WhenAll(tokens.Take(60).Select(token => ServeAsync(node, token)));
        await Task.WhenAll(tokens.Skip(60).Select(token => ServeAsync(node, token)));
        foreach (var token in tokens)
            await node.Gateway.ReportAsync(token.Request);
        node.Gateway.Reports.Count.ShouldBe(100);
        await ShouldBeSilentAsync(node);
    }

    [Fact]
    public async Task Reports_of_a_tenth_of_a_second_go_in_one_message_and_in_their_parts()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        RelayToken[] tokens = [.. Enumerable.Range(0, 50).Select(_ => node.Gateway.Token())];
        await Task.WhenAll(tokens.Select(token => ServeAsync(node, token)));
        foreach (var token in tokens)
            (await node.Gateway.ReportAsync(token.Request)).ShouldBe(new UsageReport(token.Request.Value, token.Model, Prompt: 3, Completion: 4, Pixels: 0));
        node.Gateway.Deliveries.ShouldBeLessThan(20); // a message for each would be 50
    }

    [Fact]
    public async Task A_node_that_stops_does_not_wait_for_more_to_report()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var token = node.Gateway.Token();
        await ServeAsync(node, token);
        await node.App.StopAsync().Soon();
        node.Gateway.Reports.ShouldHaveSingleItem().Request.ShouldBe(token.Request.Value);
    }

    private static async Task ServeAsync(NodeUnderTest node, RelayToken token)
    {
        var call = node.Seal();
        (await call.OpenAsync(await node.PostAsync(call, token))).ShouldBe(ScriptedBackend.Whole);
    }

    // All that the node still has to say it says when it stops.
    private static async Task ShouldBeSilentAsync(NodeUnderTest node)
    {
        await node.App.StopAsync().Soon();
        node.Log.Text.ShouldNotContain("were not delivered");
    }
}
