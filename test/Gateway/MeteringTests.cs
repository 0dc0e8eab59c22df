using System.Net;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

public class MeteringTests
{
    private const string Chat = GatewayUnderTest.ChatPath;
    private const int Held = 8192 + 64;

    [Theory]
    [InlineData(0, 0, "reported")]
    [InlineData(100, 100, "reported")]
    [InlineData(Held, Held, "reported")]
    [InlineData(Held + 1, Held, "capped")]
    [InlineData(long.MaxValue, Held, "capped")]
    public async Task A_report_settles_at_the_reservation_at_the_most(long units, long used, string kind)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var request = await RequestAsync(gateway, node);
        await node.ReportAsync(new UsageReport(request, GatewayUnderTest.Model, 0, units, 0));
        var row = await gateway.StackAsync();
        (row.Used, row.Reserved).ShouldBe((used, 0));
        var settlement = await gateway.ReadAsync(state => state.Settlements.SingleAsync());
        (settlement.Kind, settlement.ReportedCompletion, settlement.ChargedCompletion).ShouldBe((kind, units, used));
        (settlement.ReportedPrompt, settlement.ReportedPixels, settlement.ChargedPrompt, settlement.ChargedPixels).ShouldBe((0, 0, 0, 0));
    }

    [Fact]
    public async Task A_second_report_changes_nothing_and_is_acknowledged()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var request = await RequestAsync(gateway, node);
        var report = new UsageReport(request, GatewayUnderTest.Model, 60, 40, 0);
        await node.ReportAsync(report, report with { Completion = 140 });
        await node.ReportAsync(report with { Completion = 240 });
        (await gateway.StackAsync()).Used.ShouldBe(100);
        (await gateway.ReadAsync(state => state.Settlements.CountAsync())).ShouldBe(1);
    }

    [Fact]
    public async Task Reports_of_what_is_not_the_nodes_change_nothing()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await using var thief = await ScriptedNode.StartAsync(gateway);
        thief.Running = 9;
        await thief.BeatAsync();
        var request = await RequestAsync(gateway, node);
        await thief.ReportAsync(new UsageReport(request, GatewayUnderTest.Model, 60, 40, 0));
        await node.ReportAsync(
            new UsageReport(Guid.NewGuid(), GatewayUnderTest.Model, 60, 40, 0),
            new UsageReport(request, "other", 60, 40, 0));
        (await gateway.StackAsync()).Reserved.ShouldBe(Held);
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("held");
    }

    [Fact]
    public async Task A_report_that_never_comes_releases_the_units_and_counts_against_the_node()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var request = await RequestAsync(gateway, node);
        gateway.Clock.Advance(TimeSpan.FromMinutes(10));
        await gateway.SweepAsync();
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("unreported");
        (await gateway.StackAsync()).Reserved.ShouldBe(0);
        (await gateway.ReadAsync(state => state.Nodes.SingleAsync())).Unreported.ShouldBe(1);

        // A late true report settles it after all.
        await node.ReportAsync(new UsageReport(request, GatewayUnderTest.Model, 60, 40, 0));
        (await gateway.StackAsync()).Used.ShouldBe(100);
        (await gateway.ReadAsync(state => state.Settlements.SingleAsync())).Kind.ShouldBe("late");
    }

    [Fact]
    public async Task A_late_report_takes_no_more_than_there_is()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { StackUnits = Held });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("bob");
        var request = await RequestAsync(gateway, node, key);
        gateway.Clock.Advance(TimeSpan.FromMinutes(10));
        await gateway.SweepAsync();
        await node.BeatAsync();
        using var user = gateway.Client(key);
        await LockedNode.LockAsync(user);
        await node.ReportAsync(new UsageReport(request, GatewayUnderTest.Model, 1000, 4000, 0));
        var row = await gateway.StackAsync();
        (row.Used, row.Reserved).ShouldBe((64, 8192));
    }

    [Fact]
    public async Task Bad_reports_are_refused_whole()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var request = await RequestAsync(gateway, node);
        var report = new UsageReport(request, GatewayUnderTest.Model, 60, 40, 0);
        await (await node.PostReportsAsync(report with { Completion = -1 })).ShouldBeErrorAsync(400, "INVALID_FIELD", "completion");
        await (await node.PostReportsAsync([.. Enumerable.Repeat(report, 1001)])).ShouldBeErrorAsync(400, "INVALID_FIELD", "reports");
        await (await node.PostAsync(NodePaths.UsageReports, """{"reports":[null]}""")).ShouldBeErrorAsync(400, "INVALID_FIELD", "reports");
        await (await node.PostAsync(NodePaths.UsageReports, """{"reports":7}""")).ShouldBeErrorAsync(400, "INVALID_JSON");
        (await gateway.StackAsync()).Used.ShouldBe(0);
    }

    [Fact]
    public async Task In_a_storm_of_answers_refusals_deaths_and_reports_a_stack_never_overflows()
    {
        const long total = 100_000;
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { StackUnits = total });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var turn = 0;
        node.Script = async context =>
        {
            switch (Interlocked.Increment(ref turn) % 4)
            {
                case 0:
                    await ScriptedNode.RefuseAsync(context, 429, "TOO_MANY_REQUESTS");
                    break;
                case 1:
                    context.Abort();
                    break;
                default:
                    await ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
                    break;
            }
        };
        using var user = await gateway.UserAsync();
        using var done = new CancellationTokenSource();
        var watch = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                foreach (var stack in await gateway.ReadAsync(state => state.Stacks.AsNoTracking().ToListAsync()))
                {
                    stack.Used.ShouldBeGreaterThanOrEqualTo(0);
                    stack.Reserved.ShouldBeGreaterThanOrEqualTo(0);
                    (stack.Used + stack.Reserved).ShouldBeLessThanOrEqualTo(total);
                }
            }
        });
        await Parallel.ForAsync(0, 120, new ParallelOptions { MaxDegreeOfParallelism = 12 }, async (i, cancel) =>
        {
            var answer = await user.PostAsync("/v1/nodes/lock", Http.Json("""{"model":"test-model","max_num_tokens":1000}"""), cancel);
            if (answer.StatusCode is not HttpStatusCode.OK)
                return;
            var json = await answer.JsonAsync();
            var locked = new LockedNode(json.GetProperty("public_key").GetString()!, node.Id, json.GetProperty("stack_small_id").GetInt64());
            await user.PostAsync(Chat, Http.Json(locked.Envelope(64, ("num_compute_units", 500 + i))), cancel);
            if (i % 3 == 0 && node.TrySeen(out var seen))
                await node.ReportAsync(new UsageReport(seen.Request, GatewayUnderTest.Model, i, i * 9, 0));
        });
        await done.CancelAsync();
        await watch;

        gateway.Clock.Advance(TimeSpan.FromMinutes(11));
        await gateway.SweepAsync();
        (await gateway.ReservationsAsync()).ShouldAllBe(row => row.State != "held");
        (await gateway.StackAsync()).Reserved.ShouldBe(0);
        (await gateway.StackAsync()).Used.ShouldBe(
            await gateway.ReadAsync(state => state.Settlements.SumAsync(row => row.ChargedPrompt + row.ChargedCompletion + row.ChargedPixels)));
    }

    private static async Task<Guid> RequestAsync(GatewayUnderTest gateway, ScriptedNode node, string? key = null)
    {
        using var user = key is null ? await gateway.UserAsync() : gateway.Client(key);
        var locked = await LockedNode.LockAsync(user);
        (await user.PostAsync(Chat, Http.Json(locked.Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
        return (await node.SeenAsync()).Request;
    }
}
