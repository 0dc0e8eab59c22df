using System.Net;
using System.Text.Json;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/gateway.md section 10, over HTTP.</summary>
public class MoneyTests : IAsyncLifetime
{
    private readonly SimulatedPlatform platform = new();
    private GatewayUnderTest gateway = null!;
    private ScriptedNode node = null!;
    private KeySetDigest keys;
    private HttpClient user = null!;

    public async ValueTask InitializeAsync()
    {
        gateway = await GatewayUnderTest.StartAsync();
        node = await ScriptedNode.StartAsync(gateway);
        keys = (await node.AttestAsync(platform)).Digest;
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", ChunkedAnswerSealer.MediaType);
        user = await gateway.UserAsync();
    }

    public async ValueTask DisposeAsync()
    {
        user.Dispose();
        await node.DisposeAsync();
        await gateway.DisposeAsync();
        platform.Dispose();
    }

    [Fact]
    public async Task A_model_without_a_price_needs_no_balance_and_moves_no_money()
    {
        var call = await AnsweredAsync();
        await node.VouchAsync(Usage(call, 100, 20));
        (await gateway.FundsAsync()).ShouldBe((0, 0));
        (await gateway.LedgerAsync()).ShouldBeEmpty();
        (await gateway.UnitsAsync()).ShouldBe((120, 0));
        (await ListAsync()).GetProperty("price").ValueKind.ShouldBe(JsonValueKind.Null);
        (await gateway.ReadAsync(state => state.Stacks.CountAsync())).ShouldBe(0);
    }

    [Fact]
    public async Task A_sealed_request_holds_the_dearest_part_and_pays_each_for_itself()
    {
        await gateway.SetPriceAsync(node, 150_000, 600_000);
        await gateway.DepositAsync(10_000);
        var price = (await ListAsync()).GetProperty("price");
        (price.GetProperty("prompt").GetInt64(), price.GetProperty("completion").GetInt64(), price.GetProperty("image").GetInt64())
            .ShouldBe((150_000, 600_000, 0));

        var call = await AnsweredAsync();
        (await gateway.FundsAsync()).ShouldBe((10_000, 2_458)); // 4096 × 0.6, rounded up
        await node.VouchAsync(Usage(call, 1001, 303)); // 150.15 + 181.8
        (await gateway.FundsAsync()).ShouldBe((10_000 - 331, 0));
        var entry = (await gateway.LedgerAsync())[^1];
        (entry.Kind, entry.Amount, entry.Carry, entry.RequestId).ShouldBe(("settlement", -331, 950_000, call.Id.ToString()));

        call = await AnsweredAsync();
        await node.VouchAsync(Usage(call, 1, 0)); // 0.15: with what was carried it is one
        (await gateway.FundsAsync()).ShouldBe((10_000 - 332, 0));
    }

    [Fact]
    public async Task Too_little_balance_is_402_with_figures_and_reaches_no_node()
    {
        await gateway.SetPriceAsync(node, 150_000, 600_000);
        await gateway.DepositAsync(2_457);
        using var refused = await user.SendAsync(Call().Request());
        await refused.ShouldBeProblemAsync(RequestError.BalanceError, forwarded: false);
        var problem = JsonElement.Parse(await refused.Content.ReadAsStringAsync());
        (problem.GetProperty("needed").GetInt64(), problem.GetProperty("available").GetInt64()).ShouldBe((2_458, 2_457));
        node.RequestsSeen.ShouldBe(0);
        (await gateway.ReservationsAsync()).ShouldBeEmpty();

        await gateway.DepositAsync(1);
        (await user.SendAsync(Call().Request())).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await user.SendAsync(Call().Request())).ShouldBeProblemAsync(RequestError.BalanceError, forwarded: false); // all of it is held
    }

    [Fact]
    public async Task However_many_ask_at_once_no_more_is_held_than_there_is()
    {
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync((5 * 4096) + 4095);
        var statuses = await Task.WhenAll(Enumerable.Range(0, 20).Select(async _ => (int)(await user.SendAsync(Call().Request())).StatusCode));
        statuses.Count(status => status == 200).ShouldBe(5);
        statuses.Count(status => status == 402).ShouldBe(15);
        (await gateway.FundsAsync()).Held.ShouldBe(5 * 4096);
    }

    [Theory]
    [InlineData("150000, 600000, 0", true)]
    [InlineData("150000,600000,0", true)]
    [InlineData("900000, 600000, 7", true)]
    [InlineData("149999, 600000, 0", false)]
    [InlineData("900000, 599999, 900000", false)]
    [InlineData("0, 0, 0", false)]
    public async Task A_price_above_the_one_that_its_client_saw_is_refused_before_anything_is_held(string seen, bool isTaken)
    {
        await gateway.SetPriceAsync(node, 150_000, 600_000);
        await gateway.DepositAsync(10_000);
        var response = await user.SendAsync(Call((RelayHeaders.MaxPrice, seen)).Request());
        if (isTaken)
        {
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            return;
        }

        await response.ShouldBeProblemAsync(RequestError.PriceChanged, forwarded: false);
        node.RequestsSeen.ShouldBe(0);
        (await gateway.FundsAsync()).Held.ShouldBe(0);
    }

    [Fact]
    public async Task A_price_that_changes_while_a_request_runs_is_not_its_own()
    {
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(10_000);
        var call = await AnsweredAsync();
        await gateway.SetPriceAsync(node, 9_000_000, 9_000_000);
        await node.VouchAsync(Usage(call, 100, 0));
        (await gateway.FundsAsync()).ShouldBe((9_900, 0));
        (await gateway.ReadAsync(state => state.Prices.CountAsync())).ShouldBe(2);
        (await gateway.ReadAsync(state => state.Prices.CountAsync(row => row.EndedAt == null))).ShouldBe(1);
    }

    [Fact]
    public async Task What_a_node_refuses_costs_nothing()
    {
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(10_000);
        node.Script = context => ScriptedNode.AnswerAsync(
            context, 429, """{"type":"about:blank","code":"TOO_MANY_REQUESTS"}""", ProblemDocument.MediaType);
        (await user.SendAsync(Call().Request())).StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        (await gateway.FundsAsync()).ShouldBe((10_000, 0));
        (await gateway.LedgerAsync()).Count.ShouldBe(1);
    }

    [Fact]
    public async Task Reports_that_are_replayed_conflicting_foreign_or_above_the_reservation_charge_once_and_no_more_than_was_held()
    {
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(10_000);
        var call = await AnsweredAsync();
        await using var thief = await ScriptedNode.StartAsync(gateway);
        await thief.AttestAsync(platform);
        await thief.VouchAsync(Usage(call, 5, 0));
        await node.ReportAsync(Usage(call, 5, 0)); // without a voucher
        await node.VouchAsync(Usage(call, 5, 0) with { Request = Guid.NewGuid() });
        await node.VouchAsync(Usage(call, 5, 0) with { Model = "other" });
        (await gateway.FundsAsync()).ShouldBe((10_000, 4096));
        await node.VouchAsync(Usage(call, 4000, 4000));
        await node.VouchAsync(Usage(call, 4000, 4000), Usage(call, 1, 0));
        (await gateway.FundsAsync()).ShouldBe((10_000 - 4096, 0));
        (await gateway.LedgerAsync()).Select(row => row.Kind).ShouldBe(["deposit", "settlement"]);
    }

    [Theory]
    [InlineData(-1, 4096, "settlement")]
    [InlineData(0, 0, "correction")]
    [InlineData(1, 0, "correction")]
    public async Task A_report_that_is_late_corrects_the_provisional_settlement(int milliseconds, long held, string kind)
    {
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(5_000);
        var call = await AnsweredAsync();
        await gateway.SweepAsync();
        gateway.Clock.Advance(TimeSpan.FromMinutes(10) + TimeSpan.FromMilliseconds(milliseconds));
        await gateway.SweepAsync();
        (await gateway.FundsAsync()).ShouldBe((5_000, held));
        if (held == 0)
            (await gateway.ReadAsync(state => state.Settlements.AsNoTracking().SingleAsync())).Kind.ShouldBe("unreported");
        await node.BeatAsync();
        await node.VouchAsync(Usage(call, 100, 20));
        await node.VouchAsync(Usage(call, 100, 20));
        (await gateway.FundsAsync()).ShouldBe((4_880, 0));
        (await gateway.LedgerAsync()).Select(row => (row.Kind, row.Amount)).ShouldBe([("deposit", 5_000), (kind, -120)]);
        (await gateway.ReadAsync(state => state.Settlements.AsNoTracking().SingleAsync())).Kind.ShouldBe(held == 0 ? "late" : "reported");
    }

    [Theory]
    [InlineData("the node breaks off", 0, 0)]
    [InlineData("the node breaks off", 64, 32)]
    [InlineData("the client hangs up", 64, 32)]
    public async Task What_was_computed_of_an_answer_that_came_to_no_end_is_paid_and_no_more(string who, long prompt, long completion)
    {
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(10_000);
        var goOn = new TaskCompletionSource();
        node.Script = async context =>
        {
            context.Response.ContentType = ChunkedAnswerSealer.MediaType;
            await context.Response.WriteAsync("begun");
            await context.Response.Body.FlushAsync();
            await goOn.Task;
            context.Abort();
        };
        var call = Call();
        using var impatient = gateway.Client(user.DefaultRequestHeaders.Authorization!.Parameter, hangsUpAtOnce: true);
        var response = await impatient.SendAsync(call.Request(), HttpCompletionOption.ResponseHeadersRead);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        if (who == "the client hangs up")
            response.Dispose();
        goOn.SetResult();
        if (who != "the client hangs up")
            await Should.ThrowAsync<HttpRequestException>(() => response.Content.ReadAsStringAsync());
        (await gateway.FundsAsync()).ShouldBe((10_000, 4096)); // until somebody says what it was
        await node.VouchAsync(Usage(call, prompt, completion));
        (await gateway.FundsAsync()).ShouldBe((10_000 - prompt - completion, 0));
    }

    [Fact]
    public async Task A_lock_buys_what_its_stack_lacks_and_says_the_price()
    {
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        await gateway.SetPriceAsync(node, 500_000, 1_500_000);
        await gateway.DepositAsync(20_000);
        using var answer = await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""));
        var price = (await answer.JsonAsync()).GetProperty("price");
        (price.GetProperty("prompt").GetInt64(), price.GetProperty("completion").GetInt64()).ShouldBe((500_000, 1_500_000));
        (await gateway.FundsAsync()).ShouldBe((20_000 - 12_288, 0)); // 8192 × 1.5

        using var poor = await user.PostAsync("/v1/nodes/lock", Http.Json($$"""{"model":"{{GatewayUnderTest.Model}}"}"""));
        await poor.ShouldBeErrorAsync(402, "BALANCE_ERROR");
        var error = JsonElement.Parse(await poor.Content.ReadAsStringAsync()).GetProperty("error");
        (error.GetProperty("needed").GetInt64(), error.GetProperty("available").GetInt64()).ShouldBe((12_288, 7_712));
        (await gateway.LedgerAsync()).Select(row => (row.Kind, row.Amount, row.Units)).ShouldBe([("deposit", 20_000, null), ("purchase", -12_288, 8192L)]);
    }

    [Fact]
    public async Task What_is_left_of_a_removed_nodes_stack_is_refunded()
    {
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        await gateway.SetPriceAsync(node, 1_000_000, 1_000_000);
        await gateway.DepositAsync(20_000);
        var locked = await LockedNode.LockAsync(user);
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(locked.Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
        await node.VouchAsync(new UsageReport((await node.SeenAsync()).Request, GatewayUnderTest.Model, 200, 56, 0));
        (await gateway.FundsAsync()).Balance.ShouldBe(20_000 - 8192 - 64);

        (await gateway.Operator.RemoveNodeAsync(node.Id)).ShouldBeTrue();
        gateway.Clock.Advance(TimeSpan.FromSeconds(10));
        await gateway.SweepAsync();
        await gateway.SweepAsync();
        (await gateway.FundsAsync()).ShouldBe((20_000 - 256, 0));
        (await gateway.LedgerAsync())[^1].Kind.ShouldBe("refund");
        var stack = await gateway.StackAsync();
        (stack.Total, stack.Used, stack.Reserved).ShouldBe((256, 256, 0));
    }

    [Fact]
    public async Task The_cheapest_node_is_listed_and_locked_first_and_a_free_one_before_it()
    {
        await using var other = await ScriptedNode.StartAsync(gateway);
        await other.AttestAsync(platform);
        await gateway.DepositAsync(1_000_000);
        await gateway.SetPriceAsync(node, 300_000, 600_000);
        await gateway.SetPriceAsync(other, 500_000, 500_000);
        (await FirstAsync()).ShouldBe((node.Id, node.Id));
        await gateway.SetPriceAsync(other, 500_000, 300_000);
        (await FirstAsync()).ShouldBe((other.Id, other.Id));
        (await gateway.Accounts.SetPriceAsync(new NodeId(node.Id), GatewayUnderTest.Model, null, "operator")).ShouldBeTrue();
        await gateway.NoticeAsync();
        await gateway.App.Services.GetService(typeof(Nodes.KnownNodes)).ShouldBeOfType<Nodes.KnownNodes>().ReloadAsync();
        (await FirstAsync()).ShouldBe((node.Id, node.Id));

        async Task<(long Listed, long Locked)> FirstAsync() => ((await ListAsync()).GetProperty("id").GetInt64(), (await LockedNode.LockAsync(user)).Node);
    }

    [Fact]
    public async Task Of_equal_prices_the_node_that_answers_sooner_goes_first_and_then_the_less_loaded()
    {
        await using var other = await ScriptedNode.StartAsync(gateway);
        await other.AttestAsync(platform);
        await gateway.SetPriceAsync(node, 3, 4);
        await gateway.SetPriceAsync(other, 4, 3);
        var latency = gateway.App.Services.GetRequiredService<Nodes.NodeLatency>();
        latency.Note(new NodeId(node.Id), TimeSpan.FromMilliseconds(40));
        latency.Note(new NodeId(other.Id), TimeSpan.FromMilliseconds(5));
        (await FirstAsync()).ShouldBe(other.Id);
        for (var i = 0; i < 200; i++)
            latency.Note(new NodeId(other.Id), TimeSpan.FromMilliseconds(45)); // in the same power of two
        other.Running = 1;
        await other.BeatAsync();
        (await FirstAsync()).ShouldBe(node.Id);
        node.Running = 2;
        await node.BeatAsync();
        (await FirstAsync()).ShouldBe(other.Id);

        async Task<long> FirstAsync()
        {
            await gateway.App.Services.GetRequiredService<Nodes.KnownNodes>().ReloadAsync();
            return (await ListAsync()).GetProperty("id").GetInt64();
        }
    }

    [Fact]
    public async Task What_an_operator_does_is_in_the_audit_log_with_who_did_it()
    {
        await gateway.SetPriceAsync(node, 1, 2);
        await gateway.DepositAsync(500);
        await gateway.Accounts.CorrectAsync(new UserId(1), new MicroDollars(100), isAdded: false, "abcdefgh", "counted twice");
        (await gateway.Accounts.CorrectAsync(new UserId(1), new MicroDollars(401), isAdded: false, "abcdefgh")).Outcome.ShouldBe(MovementOutcome.OutOfBounds);
        (await gateway.ReadAsync(state => state.Audit.AsNoTracking().OrderBy(row => row.Id).ToListAsync()))
            .Where(row => !row.Act.EndsWith(".create", StringComparison.Ordinal)) // the user, the key and the node's token
            .Select(row => (row.Actor, row.Act, row.Subject, row.Detail)).ShouldBe(
            [
                ("operator", "price.set", $"node {node.Id} {GatewayUnderTest.Model}", "1, 2, 0"),
                ("operator", "deposit", "user 1", "500"),
                ("abcdefgh", "correction", "user 1", "-100 counted twice"),
            ]);
        (await gateway.FundsAsync()).Balance.ShouldBe(400);
    }

    [Fact]
    public async Task A_key_opens_what_it_is_for_until_it_ends_and_its_last_use_is_known()
    {
        var ends = gateway.Clock.GetUtcNow() + TimeSpan.FromHours(1);
        var key = await gateway.Operator.CreateApiKeyAsync("alice", ApiKeyScopes.Inference | ApiKeyScopes.Admin, ends);
        var admin = await gateway.Operator.CreateApiKeyAsync("alice", ApiKeyScopes.Admin, expiresAt: null);
        await gateway.NoticeAsync();
        using var both = gateway.Client(key.Text);
        using var clerk = gateway.Client(admin.Text);
        (await both.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await clerk.GetAsync("/v1/models")).ShouldBeErrorAsync(403, "FORBIDDEN");
        await (await clerk.SendAsync(Call().Request())).ShouldBeProblemAsync(RequestError.Forbidden, forwarded: false);
        await gateway.SweepAsync();
        await gateway.ReadAsync(_ => Task.FromResult(true));
        var entry = (await gateway.Operator.ListApiKeysAsync()).Single(known => known.Prefix == key.Prefix);
        (entry.Scopes, entry.ExpiresAt!.Value.ToUnixTimeMilliseconds()).ShouldBe((ApiKeyScopes.Inference | ApiKeyScopes.Admin, ends.ToUnixTimeMilliseconds()));
        (gateway.Clock.GetUtcNow() - entry.LastUsedAt!.Value).Duration().ShouldBeLessThan(TimeSpan.FromMinutes(1));

        gateway.Clock.Advance(TimeSpan.FromHours(1) - TimeSpan.FromMilliseconds(5));
        (await both.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.OK);
        gateway.Clock.Advance(TimeSpan.FromMilliseconds(5));
        await (await both.GetAsync("/v1/models")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        (await gateway.Operator.KnowsApiKeyAsync(key.Text)).ShouldBeFalse();
        (await clerk.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
    }

    private SealedCall Call(params (string Name, string? Value)[] changes) => new(node.Id, keys) { Changes = changes };

    private static UsageReport Usage(SealedCall call, long prompt, long completion) => new(call.Id, GatewayUnderTest.Model, prompt, completion, 0);

    private async Task<SealedCall> AnsweredAsync()
    {
        var call = Call();
        using var response = await user.SendAsync(call.Request());
        response.StatusCode.ShouldBe(HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        await node.SeenAsync();
        return call;
    }

    private async Task<JsonElement> ListAsync() =>
        (await (await user.GetAsync($"/v2/nodes?model={GatewayUnderTest.Model}")).JsonAsync()).GetProperty("nodes")[0];
}
