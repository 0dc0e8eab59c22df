using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/vouchers.md sections 1 to 5, at the node.</summary>
public sealed class VoucherTests : IDisposable
{
    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Fact]
    public async Task What_a_sealed_request_used_is_vouched_for_under_the_attested_key_and_rounded_up()
    {
        await using var node = await StartAsync(new Usage(3, 17));
        var keys = await VerifiedAsync(node);
        var token = Token(node);
        await ServeAsync(node, token);

        SignedVoucher.TryParse(await node.Gateway.VoucherAsync(token.Request), out var signed).ShouldBe(CoseError.None);
        signed!.IsSignedBy(new Ed25519PublicKey(keys.Keys.Signing.Span)).ShouldBeTrue();
        signed.KeySet.ShouldBe(node.Ring.Current.Digest);
        signed.Audience.ShouldBe(SignedVoucher.AudienceOf(node.Gateway.Key.PublicKey));
        (DateTimeOffset.UtcNow - signed.Time).Duration().ShouldBeLessThan(TimeSpan.FromMinutes(1));
        signed.Voucher.ShouldBe(new Voucher { Request = token.Request, Model = token.Model, Usage = new Usage(16, 32), Multiple = 16 });
        node.Gateway.Fault.ShouldBeNull();
    }

    [Fact]
    public async Task What_a_request_of_envelope_v1_used_is_vouched_for_exactly()
    {
        await using var node = await StartAsync(new Usage(3, 17));
        var token = node.Gateway.Token();
        var call = node.Seal();
        await call.OpenAsync(await node.PostAsync(call, token));
        SignedVoucher.TryParse(await node.Gateway.VoucherAsync(token.Request), out var signed).ShouldBe(CoseError.None);
        signed!.Voucher.Usage.ShouldBe(new Usage(3, 17));
        signed.Voucher.Multiple.ShouldBe(1);
    }

    [Fact]
    public async Task Rounding_takes_no_more_than_the_request_may_use()
    {
        await using var node = await StartAsync(new Usage(17, 5));
        var token = Token(node) with { Units = new ComputeUnits(34) };
        await ServeAsync(node, token);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(32, 2));
    }

    [Theory]
    [InlineData(0, 0, 0, 0)]
    [InlineData(1, 16, 17, 100)]
    [InlineData(16, 16, 0, 100)]
    [InlineData(90, 0, 10, 100)]
    [InlineData(200, 0, 0, 100)]
    [InlineData(long.MaxValue, 0, 0, long.MaxValue)]
    public void Rounded_parts_are_multiples_or_cut_to_the_units(long prompt, long completion, long pixels, long units)
    {
        var used = new Usage(prompt, completion) { Pixels = pixels };
        var rounded = Voucher.Round(used, 16, new ComputeUnits(units));
        Voucher.Round(used, 1, new ComputeUnits(units)).ShouldBe(used);
        if (used.Units.Value > units)
            rounded.Units.Value.ShouldBeGreaterThan(units); // it is not hidden
        else
            rounded.Units.Value.ShouldBeLessThanOrEqualTo(units);
        if (rounded.Units.Value < units)
            ((rounded.PromptTokens % 16) + (rounded.CompletionTokens % 16) + (rounded.Pixels % 16)).ShouldBe(0);
        (rounded.PromptTokens >= prompt && (prompt == 0) == (rounded.PromptTokens == 0)).ShouldBeTrue();
    }

    [Fact]
    public async Task What_ends_together_is_signed_together()
    {
        await using var node = await StartAsync(new Usage(3, 4));
        var desk = node.App.Services.GetRequiredService<UsageReporter>();
        RelayToken[] tokens = [.. Enumerable.Range(0, 300).Select(_ => Token(node))];
        Array.ForEach(tokens, token => desk.Report(token, new Usage(3, 4), 16));
        var signatures = new HashSet<long>();
        foreach (var token in tokens)
        {
            SignedVoucher.TryParse(await node.Gateway.VoucherAsync(token.Request), out var signed).ShouldBe(CoseError.None);
            signed!.IsSignedBy(node.Ring.Signing!.PublicKey).ShouldBeTrue();
            signatures.Add(signed.SignatureName);
        }

        signatures.Count.ShouldBeLessThan(20);
    }

    [Fact]
    public async Task A_voucher_that_was_held_up_is_delivered_by_the_process_after_and_under_the_keys_of_the_one_before()
    {
        await using var node = await StartAsync(new Usage(3, 4));
        var (keySet, key) = (node.Ring.Current.Digest, node.Ring.Signing!.PublicKey);
        await node.Gateway.LeaveAsync();
        var token = Token(node);
        await ServeAsync(node, token);
        await node.RestartAsync();
        node.Log.Text.ShouldContain("1 vouchers wait in the file vouchers");
        node.Log.Text.ShouldNotContain("were not delivered");
        await node.Gateway.ReturnAsync();
        await node.App.StartAsync();
        SignedVoucher.TryParse(await node.Gateway.VoucherAsync(token.Request), out var signed).ShouldBe(CoseError.None);
        (signed!.KeySet, signed.IsSignedBy(key)).ShouldBe((keySet, true));
        await Waiting.UntilAsync(() => node.Ring.KeySets.Count > 0);
        node.Ring.Current.Digest.ShouldNotBe(keySet);
        await Waiting.UntilAsync(() => new FileInfo(Path.Combine(node.DataDirectory, "vouchers")).Length == 0);
    }

    [Fact]
    public async Task A_voucher_whose_acknowledgement_was_lost_is_delivered_again_as_it_was()
    {
        await using var node = await StartAsync(new Usage(3, 4));
        var lost = false;
        node.Gateway.Fault = http =>
        {
            if (lost || http.Request.Path != NodePaths.UsageReports)
                return Task.FromResult(false);
            lost = true;
            http.Abort();
            return Task.FromResult(true);
        };
        var token = Token(node);
        await ServeAsync(node, token);
        var first = (await node.Gateway.DeliveryAsync()).Vouchers!.Single();
        (await node.Gateway.DeliveryAsync()).Vouchers!.Single().ShouldBe(first);
        Convert.ToBase64String(await node.Gateway.VoucherAsync(token.Request)).ShouldBe(first.Voucher);
    }

    [Fact]
    public async Task A_voucher_that_the_gateway_cannot_judge_yet_is_delivered_again_and_holds_up_no_other()
    {
        await using var node = await StartAsync(new Usage(3, 4));
        var (early, later) = (Token(node), Token(node));
        var isAwaited = true;
        node.Gateway.IsAwaited = request => isAwaited && request == early.Request.Value;
        await ServeAsync(node, early);
        await node.Gateway.DeliveryAsync();
        await ServeAsync(node, later);
        await node.Gateway.ReportAsync(later.Request);
        node.Gateway.Reports.Select(report => report.Request).ShouldNotContain(early.Request.Value);
        isAwaited = false;
        await node.Gateway.ReportAsync(early.Request);
    }

    [Fact]
    public async Task A_refused_request_is_vouched_for_with_nothing_also_where_it_named_keys_that_nobody_has()
    {
        await using var node = await StartAsync(new Usage(3, 4));
        var token = Token(node) with { KeySet = new KeySetDigest(new byte[32]) };
        using var call = Seal(await VerifiedAsync(node), token);
        using var response = await PostAsync(node, call, token);
        ((int)response.StatusCode).ShouldBe(StatusCodes.Status400BadRequest);
        SignedVoucher.TryParse(await node.Gateway.VoucherAsync(token.Request), out var signed).ShouldBe(CoseError.None);
        (signed!.Voucher.Usage, signed.KeySet).ShouldBe((default, node.Ring.Current.Digest));
    }

    [Fact]
    public async Task An_answer_that_outlives_its_key_set_is_vouched_for_under_it()
    {
        var gate = new TaskCompletionSource();
        await using var node = await StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => HeldAsync()) { Used = new Usage(3, 4) }));
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token);
        var serving = PostAsync(node, call, token);
        using var response = await serving;
        for (var rotation = 0; rotation < KeySet.MaxHeld + 2; rotation++)
        {
            var before = node.Ring.Current.Digest;
            node.Ring.TryRotate(eraseNow: true).ShouldBeTrue();
            await Waiting.UntilAsync(() => node.Ring.Current.Digest != before);
        }

        node.Ring.TryFind(token.KeySet, out _).ShouldBeFalse(); // erased
        gate.SetResult();
        SignedVoucher.TryParse(await node.Gateway.VoucherAsync(token.Request), out var signed).ShouldBe(CoseError.None);
        signed!.KeySet.ShouldBe(token.KeySet);

        async IAsyncEnumerable<string> HeldAsync()
        {
            await gate.Task;
            yield return ScriptedBackend.Whole;
        }
    }

    [Fact]
    public async Task An_engine_that_breaks_off_has_what_it_computed_vouched_for()
    {
        await using var node = await StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => BrokenAsync()) { Used = new Usage(3, 40) }));
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), token, body: Streamed);
        using var response = await PostAsync(node, call, token);
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(16, 48));

        static async IAsyncEnumerable<string> BrokenAsync()
        {
            yield return ScriptedBackend.Chunk("a");
            await Task.Yield();
            throw new Inference.InferenceException(Inference.InferenceFailure.Failed, "gone");
        }
    }

    [Fact]
    public async Task A_second_process_does_not_start_on_the_same_directory()
    {
        await using var node = await StartAsync(new Usage(3, 4));
        var options = node.App.Services.GetRequiredService<NodeOptions>();
        var thrown = Should.Throw<NodeOptionsException>(() => NodeHost.Create(options, ScriptedBackend.ThatServes(), evidence: platform));
        thrown.Message.ShouldStartWith("Another node runs with the data directory");
        await ServeAsync(node, Token(node)); // the first goes on
    }

    [Fact]
    public async Task A_node_without_evidence_reports_as_before_and_has_no_file()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var token = node.Gateway.Token();
        var call = node.Seal();
        await call.OpenAsync(await node.PostAsync(call, token));
        var delivery = await node.Gateway.DeliveryAsync();
        (delivery.Reports.Count, delivery.Vouchers).ShouldBe((1, null));
        File.Exists(Path.Combine(node.DataDirectory, "vouchers")).ShouldBeFalse();
    }

    private Task<NodeUnderTest> StartAsync(Usage used) =>
        StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Whole)) { Used = used }));

    private Task<NodeUnderTest> StartAsync(ScriptedBackend engine) =>
        NodeUnderTest.StartAsync(engine, options => options with { UsageMultiple = 16 }, evidence: platform);

    private static async Task ServeAsync(NodeUnderTest node, RelayToken token)
    {
        using var call = Seal(await VerifiedAsync(node), token);
        (await OpenAsync(call, await PostAsync(node, call, token))).Status.ShouldBe(200);
    }
}
