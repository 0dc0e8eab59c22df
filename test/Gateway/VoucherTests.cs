using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/vouchers.md sections 5 and 6.</summary>
public class VoucherTests : IAsyncLifetime
{
    private const int Held = 4096;

    private readonly SimulatedPlatform platform = new();
    private GatewayUnderTest gateway = null!;
    private ScriptedNode node = null!;

    public async ValueTask InitializeAsync()
    {
        gateway = await GatewayUnderTest.StartAsync();
        node = await ScriptedNode.StartAsync(gateway);
        await node.AttestAsync(platform);
    }

    public async ValueTask DisposeAsync()
    {
        await node.DisposeAsync();
        await gateway.DisposeAsync();
        platform.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public async Task Vouchers_settle_their_requests_and_are_kept_as_they_were_signed(int count)
    {
        var requests = await RequestsAsync(count);
        UsageReport[] reports = [.. requests.Select((request, i) => Report(request, 16, 32 * (i + 1)))];
        var signed = node.Sign(reports);
        await node.DeliverAsync([.. reports.Zip(signed, Delivered)]);

        var stack = await gateway.UnitsAsync();
        (stack.Reserved, stack.Used).ShouldBe((0, reports.Sum(report => report.Usage.Units.Value)));
        var kept = await gateway.ReadAsync(state => state.Vouchers.AsNoTracking().ToDictionaryAsync(row => row.RequestId, row => row.Signed));
        foreach (var (report, bytes) in reports.Zip(signed))
            kept[report.Request.ToString()].ShouldBe(bytes);
        (await gateway.ReadAsync(state => state.Settlements.ToListAsync())).ShouldAllBe(row => row.Kind == "reported");
    }

    [Fact]
    public async Task A_voucher_above_the_reservation_is_settled_at_the_reservation_and_said_in_the_log()
    {
        var request = await RequestAsync();
        await node.VouchAsync(Report(request, 16, Held));
        (await UsedAsync()).ShouldBe((Held, 0));
        (await gateway.ReadAsync(state => state.Settlements.SingleAsync())).Kind.ShouldBe("capped");
        gateway.Log.Text.ShouldContain($"for request {request}: Capped");
    }

    [Fact]
    public async Task A_voucher_that_is_delivered_again_changes_nothing_and_is_acknowledged()
    {
        var report = Report(await RequestAsync(), 16, 32);
        var delivered = Delivered(report, node.Sign([report])[0]);
        await node.DeliverAsync(delivered, delivered);
        await node.DeliverAsync(delivered);
        (await UsedAsync()).ShouldBe((48, 0));
        (await gateway.ReadAsync(state => state.Vouchers.CountAsync())).ShouldBe(1);
    }

    [Fact]
    public async Task A_second_voucher_that_says_something_else_changes_nothing_and_is_acknowledged()
    {
        var report = Report(await RequestAsync(), 16, 32);
        var first = node.Sign([report])[0];
        await node.DeliverAsync(Delivered(report, first));
        await node.VouchAsync(report with { Completion = 64 });
        (await UsedAsync()).ShouldBe((48, 0));
        (await gateway.ReadAsync(state => state.Vouchers.SingleAsync())).Signed.ShouldBe(first);
    }

    [Fact]
    public async Task A_voucher_for_another_gateway_is_refused_and_acknowledged()
    {
        using var other = Ed25519PrivateKey.Generate(out _);
        var report = Report(await RequestAsync(), 16, 32);
        await ShouldBeRefusedAsync(report, node.Sign([report], gateway: other.PublicKey)[0], VoucherOutcome.OtherGateway);
    }

    [Theory]
    [InlineData("another entry's path")]
    [InlineData("a hash more")]
    [InlineData("a hash less")]
    [InlineData("another index")]
    [InlineData("a flipped bit")]
    public async Task A_voucher_with_a_false_path_is_refused_and_acknowledged(string how)
    {
        var requests = await RequestsAsync(4);
        UsageReport[] reports = [.. requests.Select(request => Report(request, 16, 32))];
        var signed = node.Sign(reports);
        var (entry, header, size, index, path, signature) = Proven.Take(signed[1]);
        var (_, _, _, _, otherPath, _) = Proven.Take(signed[2]);
        var bent = how switch
        {
            "another entry's path" => Proven.Make(entry, header, size, index, otherPath, signature),
            "a hash more" => Proven.Make(entry, header, size, index, [.. path, new byte[32]], signature),
            "a hash less" => Proven.Make(entry, header, size, index, path[1..], signature),
            "another index" => Proven.Make(entry, header, size, 0, path, signature),
            _ => Proven.Make(entry, header, size, index, [[(byte)(path[0][0] ^ 1), .. path[0][1..]], path[1]], signature),
        };
        var outcome = how.StartsWith("a hash", StringComparison.Ordinal) ? VoucherOutcome.Malformed : VoucherOutcome.WrongSignature;
        Proven.Make(entry, header, size, index, path, signature).ShouldBe(signed[1]); // unbent it is the very same
        await ShouldBeRefusedAsync(reports[1], bent, outcome, held: 4 * Held);
    }

    [Fact]
    public async Task A_voucher_whose_content_was_changed_within_a_good_batch_is_refused_and_its_neighbours_are_settled()
    {
        var requests = await RequestsAsync(3);
        UsageReport[] reports = [.. requests.Select(request => Report(request, 16, 32))];
        var signed = node.Sign(reports);
        var (entry, header, size, index, path, signature) = Proven.Take(signed[1]);
        var (dearer, _, _, _, _, _) = Proven.Take(node.Sign([reports[0], reports[1] with { Completion = 1024 }])[1]);
        await node.DeliverAsync(
            Delivered(reports[0], signed[0]), Delivered(reports[1], Proven.Make(dearer, header, size, index, path, signature)),
            Delivered(reports[2], signed[2]));
        (await UsedAsync()).ShouldBe((96, Held));
        gateway.Log.Text.ShouldContain($"for request {reports[1].Request} is refused: WrongSignature");
        await node.DeliverAsync(Delivered(reports[1], Proven.Make(entry, header, size, index, path, signature)));
        (await UsedAsync()).ShouldBe((144, 0));
    }

    [Fact]
    public async Task A_voucher_under_a_foreign_key_is_refused_and_acknowledged()
    {
        using var foreign = Ed25519PrivateKey.Generate(out _);
        var report = Report(await RequestAsync(), 16, 32);
        await ShouldBeRefusedAsync(report, node.Sign([report], foreign)[0], VoucherOutcome.WrongSignature);
        await ShouldBeRefusedAsync(report, node.Sign([report], foreign, new KeySetDigest(RandomNumberGenerator.GetBytes(32)))[0], VoucherOutcome.UnknownKey);
    }

    [Fact]
    public async Task A_voucher_of_another_nodes_key_set_is_refused_and_acknowledged()
    {
        await using var other = await ScriptedNode.StartAsync(gateway);
        var theirs = await other.AttestAsync(platform);
        var report = Report(await RequestAsync(), 16, 32);
        var signed = other.Sign([report]);
        await ShouldBeRefusedAsync(report, signed[0], VoucherOutcome.UnknownKey); // good, and not its to bring
        await other.DeliverAsync(Delivered(report, signed[0])); // its own keys, and not its request
        (await UsedAsync()).ShouldBe((0, Held));
        theirs.Digest.ShouldNotBe(node.KeySets[0].Digest);
    }

    [Fact]
    public async Task A_voucher_of_an_unknown_request_is_acknowledged_and_changes_nothing()
    {
        await RequestAsync();
        var report = Report(Guid.NewGuid(), 16, 32);
        await node.DeliverAsync(Delivered(report, node.Sign([report])[0]));
        (await UsedAsync()).ShouldBe((0, Held));
        gateway.Log.Text.ShouldContain($"for request {report.Request}: Unknown");
    }

    [Fact]
    public async Task A_voucher_of_another_model_is_acknowledged_and_changes_nothing()
    {
        var report = Report(await RequestAsync(), 16, 32) with { Model = "dearer" };
        await node.VouchAsync(report);
        (await UsedAsync()).ShouldBe((0, Held));
    }

    [Fact]
    public async Task A_good_voucher_that_is_delivered_under_another_requests_id_is_refused()
    {
        var (mine, other) = (Report(await RequestAsync(), 16, 32), Report(await RequestAsync(), 16, 32));
        await node.DeliverAsync(Delivered(other, node.Sign([mine])[0]));
        (await UsedAsync()).ShouldBe((0, 2 * Held));
        gateway.Log.Text.ShouldContain("is refused: Malformed");
    }

    [Fact]
    public async Task A_voucher_of_the_future_is_refused_and_one_within_the_tolerance_is_not()
    {
        var report = Report(await RequestAsync(), 16, 32);
        await ShouldBeRefusedAsync(report, node.Sign([report], time: gateway.Clock.GetUtcNow().AddSeconds(62))[0], VoucherOutcome.FromTheFuture);
        await node.DeliverAsync(Delivered(report, node.Sign([report], time: gateway.Clock.GetUtcNow().AddSeconds(59))[0]));
        (await UsedAsync()).ShouldBe((48, 0));
    }

    [Fact]
    public async Task A_voucher_of_keys_that_ended_is_good_for_thirty_days_and_then_refused()
    {
        var (first, second) = (Report(await RequestAsync(), 16, 32), Report(await RequestAsync(), 16, 32));
        node.KeySets = []; // the process that had them is gone
        await node.BeatAsync();
        gateway.Clock.SetBy += TimeSpan.FromHours(1) + TimeSpan.FromDays(30) - TimeSpan.FromSeconds(5);
        await node.DeliverAsync(Delivered(first, node.Sign([first], keySet: Keys)[0]));
        (await UsedAsync()).Used.ShouldBe(48);
        gateway.Clock.SetBy += TimeSpan.FromSeconds(10);
        var late = node.Sign([second], keySet: Keys)[0];
        await node.DeliverAsync(Delivered(second, late));
        (await UsedAsync()).Used.ShouldBe(48);
        gateway.Log.Text.ShouldContain("is refused: RetiredKey");
    }

    [Fact]
    public async Task Keys_that_ended_long_ago_go_when_new_ones_come()
    {
        gateway.Clock.SetBy += TimeSpan.FromHours(1) + TimeSpan.FromDays(30) + TimeSpan.FromSeconds(5);
        await node.AttestAsync(platform);
        (await gateway.ReadAsync(state => state.NodeSigningKeys.SingleAsync())).Digest.ShouldBe(node.KeySets[0].Digest.ToString());
    }

    [Fact]
    public async Task What_was_signed_before_the_node_and_the_gateway_started_anew_is_settled_by_the_key_that_is_kept()
    {
        var report = Report(await RequestAsync(), 16, 32);
        var signed = node.Sign([report])[0];
        node.KeySets = [];
        await node.AttestAsync(platform); // another process of the node, with other keys; the bundle of the first is not to be had
        await node.DeliverAsync(Delivered(report, signed));
        (await UsedAsync()).ShouldBe((48, 0));
    }

    [Fact]
    public async Task A_voucher_whose_key_set_is_announced_and_whose_bundle_is_late_is_not_acknowledged_until_it_is_here()
    {
        node.WithholdsBundle = true;
        await node.AttestAsync(platform, isLearned: false);
        var report = Report(await RequestAsync(), 16, 32);
        var delivered = Delivered(report, node.Sign([report])[0]);
        (await AcknowledgedAsync(delivered)).ShouldBeEmpty();
        (await UsedAsync()).ShouldBe((0, Held));
        node.WithholdsBundle = false;
        (await AcknowledgedAsync(delivered)).ShouldBe([report.Request]);
        (await UsedAsync()).ShouldBe((48, 0));
    }

    [Fact]
    public async Task A_report_that_nobody_measured_signed_does_not_settle_what_was_sealed_to_attested_keys()
    {
        var report = Report(await RequestAsync(), 16, Held - 16);
        await node.ReportAsync(report);
        (await UsedAsync()).ShouldBe((0, Held));
        gateway.Log.Text.ShouldContain($"for request {report.Request}: Unsigned");

        node.KeySets = [ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1))]; // started anew without evidence: the reservation remembers
        await node.BeatAsync();
        await node.ReportAsync(report);
        (await UsedAsync()).ShouldBe((0, Held));
    }

    [Fact]
    public async Task A_late_voucher_settles_what_was_released_unreported()
    {
        var report = Report(await RequestAsync(), 16, 32);
        gateway.Clock.Advance(TimeSpan.FromMinutes(10));
        await gateway.SweepAsync();
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("unreported");
        await node.VouchAsync(report);
        (await UsedAsync()).ShouldBe((48, 0));
        (await gateway.ReadAsync(state => state.Settlements.SingleAsync())).Kind.ShouldBe("late");
        (await gateway.ReadAsync(state => state.Vouchers.CountAsync())).ShouldBe(1);
    }

    [Fact]
    public async Task Absurd_batches_are_refused_whole_and_absurd_vouchers_alone()
    {
        var report = Report(await RequestAsync(), 16, 32);
        var good = Delivered(report, node.Sign([report])[0]);
        await (await node.PostVouchersAsync([.. Enumerable.Repeat(good, 1001)])).ShouldBeErrorAsync(400, "INVALID_FIELD", "vouchers");
        await (await node.PostAsync(NodePaths.UsageReports, """{"reports":[],"vouchers":[null]}""")).ShouldBeErrorAsync(400, "INVALID_FIELD", "vouchers");
        await (await node.PostAsync(NodePaths.UsageReports, """{"reports":[],"vouchers":7}""")).ShouldBeErrorAsync(400, "INVALID_JSON");
        await (await node.PostAsync(NodePaths.UsageReports, """{"reports":[],"vouchers":[],"more":1}""")).ShouldBeErrorAsync(400, "INVALID_JSON");
        await (await node.PostVouchersAsync(good with { Voucher = new string('A', 1 << 20) })).ShouldBeErrorAsync(413, "BODY_TOO_LARGE");
        var (entry, header, size, index, _, signature) = Proven.Take(node.Sign([report, report])[0]);
        foreach (var absurd in (byte[][])
                 [
                     [], [0x82], [0xD2], new byte[4097], [.. Enumerable.Repeat((byte)0x82, 4000)], [.. Enumerable.Repeat((byte)0x9F, 4000)],
                     Proven.Make(entry, header, size, index, [.. Enumerable.Range(0, 17).Select(_ => new byte[32])], signature),
                     Proven.Make(entry, header, int.MaxValue, index, [.. Enumerable.Range(0, 16).Select(_ => new byte[32])], signature),
                 ])
            await ShouldBeRefusedAsync(report, absurd, VoucherOutcome.Malformed);
        await node.DeliverAsync(good with { Voucher = good.Voucher + "\n" }, good with { Voucher = "====" });
        (await UsedAsync()).ShouldBe((0, Held));
        await node.DeliverAsync(good);
        (await UsedAsync()).ShouldBe((48, 0));
    }

    [Fact]
    public async Task Kept_vouchers_go_when_their_time_is_over_and_their_settlements_stay()
    {
        await node.VouchAsync(Report(await RequestAsync(), 16, 32));
        gateway.Clock.SetBy += TimeSpan.FromDays(30) - TimeSpan.FromSeconds(5);
        await gateway.SweepAsync();
        (await gateway.ReadAsync(state => state.Vouchers.CountAsync())).ShouldBe(1);
        gateway.Clock.SetBy += TimeSpan.FromSeconds(10);
        await gateway.SweepAsync();
        (await gateway.ReadAsync(state => state.Vouchers.CountAsync())).ShouldBe(0);
        (await gateway.ReadAsync(state => state.Settlements.CountAsync())).ShouldBe(1);
    }

    [Fact]
    public async Task An_operator_who_wants_no_vouchers_kept_has_none()
    {
        await using var frugal = await GatewayUnderTest.StartAsync(options => options with { VoucherRetention = TimeSpan.Zero });
        await using var its = await ScriptedNode.StartAsync(frugal);
        var keys = await its.AttestAsync(platform);
        await its.VouchAsync(Report(await RequestAsync(frugal, its, keys.Digest), 16, 32));
        (await frugal.UnitsAsync()).Used.ShouldBe(48);
        (await frugal.ReadAsync(state => state.Vouchers.CountAsync())).ShouldBe(0);
    }

    private KeySetDigest Keys { get; set; }

    private static UsageReport Report(Guid request, long prompt, long completion) => new(request, GatewayUnderTest.Model, prompt, completion, 0);

    private static DeliveredVoucher Delivered(UsageReport report, byte[] signed) => new(report.Request, Convert.ToBase64String(signed));

    private async Task ShouldBeRefusedAsync(UsageReport report, byte[] signed, VoucherOutcome outcome, long held = Held)
    {
        await node.DeliverAsync(Delivered(report, signed));
        (await UsedAsync()).ShouldBe((0, held));
        gateway.Log.Text.ShouldContain($"A voucher of node {node.Id} for request {report.Request} is refused: {outcome}.");
    }

    private async Task<IReadOnlyList<Guid>> AcknowledgedAsync(params DeliveredVoucher[] vouchers)
    {
        var response = await node.PostVouchersAsync(vouchers);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        return JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), NodeMessageJson.Default.UsageAcknowledgement)!.Acknowledged;
    }

    private async Task<(long Used, long Reserved)> UsedAsync()
    {
        var stack = await gateway.UnitsAsync();
        return (stack.Used, stack.Reserved);
    }

    private async Task<Guid[]> RequestsAsync(int count)
    {
        var requests = new Guid[count];
        for (var i = 0; i < count; i++)
            requests[i] = await RequestAsync();
        return requests;
    }

    private Task<Guid> RequestAsync()
    {
        Keys = node.KeySets[0].Digest;
        return RequestAsync(gateway, node, Keys);
    }

    private string? key;

    private async Task<Guid> RequestAsync(GatewayUnderTest gateway, ScriptedNode node, KeySetDigest keys)
    {
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, "sealed", ChunkedAnswerSealer.MediaType);
        using var user = gateway == this.gateway ? gateway.Client(key ??= await gateway.KeyAsync()) : await gateway.UserAsync();
        var call = new SealedCall(node.Id, keys);
        (await user.SendAsync(call.Request())).StatusCode.ShouldBe(HttpStatusCode.OK);
        return call.Id;
    }
}
