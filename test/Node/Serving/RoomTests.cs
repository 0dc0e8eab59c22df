using System.Net;
using System.Text.Json;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>More requests than there is room for.</summary>
public sealed class RoomTests
{
    [Fact]
    public async Task Beyond_places_and_seats_a_request_is_told_to_come_back_and_its_very_bytes_are_served_then()
    {
        var gate = new Gate();
        var engine = Waiting(gate);
        await using var node = await NodeUnderTest.StartAsync(engine, options => options with { MaxConcurrent = 1, MaxQueued = 1 });
        var served = node.PostAsync(node.Seal());
        await gate.Reached;
        var queued = node.PostAsync(node.Seal());
        await QueuedAsync(node, 1);

        var late = node.Seal();
        await (await node.PostAsync(late)).ShouldBeAsync(RequestError.TooManyRequests);

        gate.Open();
        (await served).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await queued).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await late.OpenAsync(await node.PostAsync(late))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task Who_hangs_up_while_waiting_leaves_the_seat_to_the_next_and_is_reported_with_nothing_used()
    {
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(Waiting(gate), options => options with { MaxConcurrent = 1, MaxQueued = 1 });
        var served = node.PostAsync(node.Seal());
        await gate.Reached;
        using var patience = new CancellationTokenSource();
        var token = node.Gateway.Token();
        var impatient = node.PostAsync(node.Seal(), token, patience.Token);
        await QueuedAsync(node, 1);
        await patience.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(impatient);
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(0);
        await QueuedAsync(node, 0);

        var next = node.PostAsync(node.Seal());
        await QueuedAsync(node, 1);
        gate.Open();
        (await served).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await next).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task An_engine_without_room_is_429_and_nothing_is_marked()
    {
        var engine = ScriptedBackend.ThatRefuses(InferenceRefusal.Busy);
        await using var node = await NodeUnderTest.StartAsync(engine);
        var call = node.Seal();
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.TooManyRequests);
        engine.Script = ScriptedBackend.ThatServes().Script;
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task A_full_replay_memory_refuses_until_a_rotation_and_forgets_nothing()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { ReplayCapacity = 2 });
        var first = node.Seal();
        var second = node.Seal();
        (await first.OpenAsync(await node.PostAsync(first))).ShouldBe(ScriptedBackend.Whole);
        (await second.OpenAsync(await node.PostAsync(second))).ShouldBe(ScriptedBackend.Whole);

        var third = node.Seal();
        await (await node.PostAsync(third)).ShouldBeAsync(RequestError.TooManyRequests);
        await (await node.PostAsync(first)).ShouldBeAsync(RequestError.Replay);

        node.Ring.TryRotate();
        var fourth = node.Seal();
        (await fourth.OpenAsync(await node.PostAsync(fourth))).ShouldBe(ScriptedBackend.Whole);
        await (await node.PostAsync(third)).ShouldBeAsync(RequestError.TooManyRequests);
        await (await node.PostAsync(first)).ShouldBeAsync(RequestError.Replay);
    }

    [Fact]
    public async Task Large_bodies_beyond_the_budget_are_refused_unread_a_small_one_finds_room_and_the_very_bytes_are_served_later()
    {
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(Waiting(gate), options => options with { MaxBufferedBytes = 1024 * 1024 });
        var first = Large(node);
        var served = node.PostAsync(first);
        await gate.Reached; // the engine has not read it yet

        var second = Large(node);
        var token = node.Gateway.Token();
        await (await node.PostAsync(second, token)).ShouldBeAsync(RequestError.TooManyRequests);
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(0);
        var small = node.PostAsync(node.Seal());

        gate.Open();
        (await first.OpenAsync(await served)).ShouldBe(ScriptedBackend.Whole);
        (await small).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await second.OpenAsync(await node.PostAsync(second))).ShouldBe(ScriptedBackend.Whole);
        node.App.Services.GetRequiredService<BodyBudget>().Taken.ShouldBe(0);
    }

    [Fact]
    public async Task A_request_takes_no_memory_and_is_erased_while_its_answer_is_being_made()
    {
        var gate = new Gate();
        ReadOnlyMemory<byte> seen = default;
        var engine = new ScriptedBackend
        {
            Script = (request, _) =>
            {
                seen = request.Body;
                return Task.FromResult<InferenceStart>(new InferenceStart.Started(new ScriptedAnswer(PartsAsync)));
            },
        };
        await using var node = await NodeUnderTest.StartAsync(engine);
        foreach (var (call, isSmall) in (IEnumerable<(EnvelopeCall, bool)>)[(node.Seal(), true), (Large(node), false)])
        {
            gate = new Gate();
            var answer = node.PostAsync(call);
            await gate.Reached;
            node.App.Services.GetRequiredService<BodyBudget>().Taken.ShouldBe(0);
            if (isSmall)
                seen.Span.ContainsAnyExcept((byte)0).ShouldBeFalse();
            else
                Should.Throw<ObjectDisposedException>(() => seen.Span[0]);
            gate.Open();
            (await call.OpenAsync(await answer)).ShouldBe(ScriptedBackend.Whole);
        }

        async IAsyncEnumerable<string> PartsAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
        {
            await gate.PassAsync(cancellation);
            yield return ScriptedBackend.Whole;
        }
    }

    [Fact]
    public async Task Refused_and_broken_off_bodies_leave_no_memory_taken()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var call = Large(node);
        await (await node.PostAsync(call.Body[..^1], node.Gateway.Write(node.Gateway.Token(), NodeUnderTest.ChatPath, call)))
            .ShouldBeAsync(RequestError.InvalidJson);
        var flipped = call.Body.ToArray();
        flipped[call.Body.Length / 2] ^= 1; // still base64, or not: never the request
        (await node.PostAsync(flipped, node.Gateway.Write(node.Gateway.Token(), NodeUnderTest.ChatPath, call))).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.Replay);
        node.App.Services.GetRequiredService<BodyBudget>().Taken.ShouldBe(0);
    }

    private static EnvelopeCall Large(NodeUnderTest node) => node.Seal(
        JsonSerializer.SerializeToUtf8Bytes(new { model = ScriptedBackend.Model, stream = false, messages = new[] { new string('x', 500_000) } }));

    private static ScriptedBackend Waiting(Gate gate) => new()
    {
        Script = async (_, cancellation) =>
        {
            await gate.PassAsync(cancellation);
            return new InferenceStart.Started(new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Whole)));
        },
    };

    // The queue tells nobody that somebody sat down: the heartbeat's own figure is what there is.
    private static async Task QueuedAsync(NodeUnderTest node, int wanted)
    {
        var seating = node.App.Services.GetRequiredService<Node.Serving.Seating>();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        while (seating.Queued != wanted)
            await Task.Delay(1, patience.Token);
    }
}
