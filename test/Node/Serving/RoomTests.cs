using System.Net;
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
        var admission = node.App.Services.GetRequiredService<Node.Serving.Admission>();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        while (admission.Queued != wanted)
            await Task.Delay(1, patience.Token);
    }
}
