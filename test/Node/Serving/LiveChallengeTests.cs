using System.Security.Cryptography;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Evidence;
using ConfidentialChat.Protocol.Errors;
using Microsoft.Extensions.DependencyInjection;

using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/attestation.md section 17: many who ask, a processor that is slow or fails, and clocks that are set.</summary>
public sealed class LiveChallengeTests : IDisposable
{
    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Fact]
    public async Task All_who_wait_share_one_quote_and_beyond_the_bound_one_is_told_to_come_later_and_who_left_keeps_nobody_out()
    {
        var source = new SlowSource(platform);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), evidence: source);
        var live = node.App.Services.GetRequiredService<LiveChallenges>();
        source.Gate = new Gate();
        var first = live.AnswerAsync(Random(), default);
        await source.Gate.Reached;
        var before = source.Asked;

        using var patience = new CancellationTokenSource();
        var leaving = Enumerable.Range(0, 100).Select(_ => live.AnswerAsync(Random(), patience.Token)).ToList();
        var challenges = Enumerable.Range(0, LiveChallenges.MaxWaiting - 100).Select(_ => Random()).ToList();
        var waiting = challenges.Select(challenge => live.AnswerAsync(challenge, default)).ToList();
        await ShouldBeProblemAsync(await ChallengeAsync(node, Random()), RequestError.TooManyRequests);
        await patience.CancelAsync();
        foreach (var left in leaving)
            await Should.ThrowAsync<OperationCanceledException>(left);
        live.Waiters.ShouldBe(challenges.Count);
        var late = Random();
        var answer = live.AnswerAsync(late, default);

        source.Gate.Open();
        await first.Soon();
        var answers = await Task.WhenAll(waiting).Soon();
        source.Asked.ShouldBe(before + 1);
        for (var i = 0; i < answers.Length; i += 100)
            ShouldCarry(answers[i]!, challenges[i]);
        ShouldCarry((await answer)!, late);
        answers.ShouldAllBe(one => one!.Beginning.Equals(answers[0]!.Beginning)); // one copy of the bundle, however many wait
        answers.Max(one => one!.End.Length).ShouldBeLessThan(2048);
    }

    [Fact]
    public async Task A_processor_that_fails_is_asked_once_for_all_who_wait_and_again_only_for_who_comes_later_and_says_so_seldom()
    {
        var source = new SlowSource(platform);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), evidence: source);
        source.Gate = new Gate();
        var before = source.Asked;
        var first = ChallengeAsync(node, Random());
        await source.Gate.Reached;
        var waiting = Enumerable.Range(0, 100).Select(_ => ChallengeAsync(node, Random())).ToList();
        await Waiting.UntilAsync(() => node.App.Services.GetRequiredService<LiveChallenges>().Waiters == 100);
        source.Fault = new InvalidOperationException("The device is gone.");
        source.Gate.Open();
        foreach (var refused in await Task.WhenAll([first, .. waiting]).Soon())
            await ShouldBeProblemAsync(refused, RequestError.ServiceUnavailable);
        await Task.Delay(100);
        source.Asked.ShouldBe(before + 2);
        node.Log.Text.Split("A challenge got no evidence.").Length.ShouldBeLessThanOrEqualTo(1 + 10);

        source.Fault = null;
        var challenge = Random();
        LiveEvidence.TryParse(await (await ChallengeAsync(node, challenge)).Content.ReadAsByteArrayAsync(), out var live).ShouldBeNull();
        Verify(live!.Bundle, live.NonceOf(challenge)!);
    }

    [Theory]
    [InlineData("too long", RequestError.BodyTooLarge)]
    [InlineData("too long, of unknown length", RequestError.BodyTooLarge)]
    [InlineData("none", RequestError.InvalidField)]
    [InlineData("twice", RequestError.InvalidField)]
    [InlineData("short", RequestError.InvalidField)]
    public async Task A_body_that_is_no_challenge_is_refused(string wrong, RequestError error)
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), evidence: platform);
        var challenge = Convert.ToBase64String(Random());
        using var request = ChallengeRequest(node, wrong switch
        {
            "none" => "",
            "twice" => $$"""{"challenge":"{{challenge}}","challenge":"{{challenge}}"}""",
            "short" => """{"challenge":"AAAA"}""",
            _ => $$"""{"challenge":"{{challenge}}"}""" + new string(' ', 2000),
        });
        request.Headers.TransferEncodingChunked = wrong.EndsWith("length", StringComparison.Ordinal);
        await ShouldBeProblemAsync(await node.Client.SendAsync(request).Soon(), error);
        await ShouldBeEmptyAsync(node);
    }

    [Fact]
    public async Task Who_hangs_up_in_a_challenge_leaves_nothing_behind_and_no_line_in_the_log()
    {
        var source = new SlowSource(platform);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), evidence: source);
        var live = node.App.Services.GetRequiredService<LiveChallenges>();
        source.Gate = new Gate();
        var first = live.AnswerAsync(Random(), default);
        await source.Gate.Reached;
        using (var client = NodeUnderTest.NewClient())
        {
            using var request = ChallengeRequest(node, $$"""{"challenge":"{{Convert.ToBase64String(Random())}}"}""");
            using var patience = new CancellationTokenSource();
            var asking = client.SendAsync(request, patience.Token);
            await Waiting.UntilAsync(() => live.Waiters == 1);
            await patience.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(asking);
        }

        await Waiting.UntilAsync(() => live.Waiters == 0);
        source.Gate.Open();
        await first.Soon();
        node.Log.Text.ShouldNotContain(" fail: ");
    }

    [Fact]
    public async Task Bundles_are_issued_in_the_order_of_their_key_sets_also_where_the_clock_is_set_back()
    {
        var clock = new SettableClock(DateTimeOffset.UtcNow);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), time: clock, evidence: platform);
        var issued = new List<(DateTimeOffset At, byte[] Keys)>();
        for (var i = 0; i < 6; i++)
        {
            issued.Add(await LiveAsync());
            clock.SetBy -= TimeSpan.FromSeconds(3); // as a time service does that mends a clock
            issued.Add(await LiveAsync());
            var before = node.Ring.Current.Digest;
            node.Ring.TryRotate().ShouldBeTrue();
            await Waiting.UntilAsync(() => node.Ring.Current.Digest != before);
            var bundle = Verify(await node.Client.GetByteArrayAsync(new Uri(node.Url, $"/v2/evidence/{node.Ring.Current.Digest}")));
            issued.Add((bundle.Statement.IssuedAt, bundle.Keys.Digest()));
        }

        issued.Select(one => one.At).ShouldBeInOrder(SortDirection.Ascending);

        // One that was issued far ahead nobody has: a clock that is put right is believed at once.
        clock.SetBy += TimeSpan.FromHours(1);
        await LiveAsync(at: clock.GetUtcNow());
        clock.SetBy -= TimeSpan.FromHours(1);
        (await LiveAsync()).At.ShouldBeLessThan(DateTimeOffset.UtcNow.AddMinutes(1));

        async Task<(DateTimeOffset At, byte[] Keys)> LiveAsync(DateTimeOffset? at = null)
        {
            var challenge = Random();
            var answer = await node.App.Services.GetRequiredService<LiveChallenges>().AnswerAsync(challenge, default);
            var statement = ShouldCarry(answer!, challenge, at).Statement;
            return (statement.IssuedAt, statement.Keys.Digest());
        }
    }

    [Fact]
    public async Task A_processor_that_hangs_is_not_asked_again_before_it_has_answered()
    {
        var source = new SlowSource(platform);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), evidence: source);
        source.Hangs = true;
        var before = source.Asked;
        var evidence = node.App.Services.GetRequiredService<NodeEvidence>();
        using var patience = new CancellationTokenSource();
        var gateway = node.App.Services.GetRequiredService<GatewayEnrolment>().Current!;
        var keys = node.Ring.Current;
        using (var turn = await evidence.TakeTurnAsync(default))
        {
            var asking = turn.MakeAsync(gateway, keys, DateTimeOffset.UtcNow.AddHours(1), new byte[32], patience.Token);
            await patience.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(asking);
            var again = () => turn.MakeAsync(gateway, keys, DateTimeOffset.UtcNow.AddHours(1), new byte[32], default);
            (await Should.ThrowAsync<EvidenceUnavailableException>(again)).Message.ShouldContain("still not given");
        }

        source.Asked.ShouldBe(before + 1);
    }

    private static byte[] Random() => RandomNumberGenerator.GetBytes(32);

    private static VerifiedBundle ShouldCarry(LiveAnswer answer, byte[] challenge, DateTimeOffset? at = null)
    {
        LiveEvidence.TryParse(new byte[][] { [.. answer.Beginning.Span, .. answer.End.Span] }[0], out var live).ShouldBeNull();
        return Verify(live!.Bundle, live.NonceOf(challenge)!, at);
    }

    /// <summary>A processor that waits, fails or hangs where the test says.</summary>
    private sealed class SlowSource(IEvidenceSource inner) : IEvidenceSource
    {
        private int asked;

        public Gate? Gate { get; set; }

        public Exception? Fault { get; set; }

        public bool Hangs { get; set; }

        public int Asked => Volatile.Read(ref asked);

        public string Type => inner.Type;

        public async ValueTask<CpuEvidence> CollectAsync(ReadOnlyMemory<byte> reportData, CancellationToken cancellation)
        {
            Interlocked.Increment(ref asked);
            if (Hangs)
                await Task.Delay(Timeout.Infinite, CancellationToken.None);
            if (Gate is { } gate)
                await gate.PassAsync(cancellation);
            return Fault is { } fault ? throw fault : await inner.CollectAsync(reportData, cancellation);
        }
    }
}
