using System.Net;
using System.Net.Sockets;
using System.Text;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/envelope-v1.md section 8: what a reader sees of a stream while it runs.</summary>
public sealed class StreamTests
{
    private const string UsageChunk = """{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}""";

    [Fact]
    public async Task A_stream_comes_part_by_part_as_the_engine_makes_it_and_ends_cleanly()
    {
        Gate[] gates = [new(), new()];
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Gated(gates))));
        var call = node.Seal(stream: true);
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call));
        (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("0"));
        gates[0].Open();
        (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("1"));
        gates[1].Open();
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("2"), ScriptedBackend.Finish]);
    }

    [Fact]
    public async Task A_silent_stream_is_kept_alive_by_comments_that_begin_after_the_pause()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        Gate[] gates = [new()];
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Gated(gates))), time: time);
        var call = node.Seal(stream: true);
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call));
        (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("0"));
        await gates[0].Reached;
        for (var i = 0; i < 3; i++)
        {
            var next = events.NextAsync();
            await AdvanceUntilAsync(time, next);
            (await next).ShouldBe(": keep-alive");
        }

        gates[0].Open();
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("1"), ScriptedBackend.Finish]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stream_whose_first_event_takes_long_sends_its_200_and_comments_before_anything_between_cuts_it(bool atStart)
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(
            ThatWaits(gate, atStart, () => ScriptedBackend.Parts(ScriptedBackend.Chunk("0"), ScriptedBackend.Chunk("1"))), time: time);
        var call = node.Seal(stream: true);
        var token = node.Gateway.Token();
        var post = node.PostAsync(call, token);
        await gate.Reached;
        await AdvanceUntilAsync(time, post);
        using var events = await EventStream.OpenAsync(call, await post);
        (await post).Headers.CacheControl!.NoStore.ShouldBeTrue();
        (await events.NextAsync()).ShouldBe(": keep-alive");
        var next = events.NextAsync();
        await AdvanceUntilAsync(time, next);
        (await next).ShouldBe(": keep-alive");

        gate.Open();
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("0"), ScriptedBackend.Chunk("1"), ScriptedBackend.Finish]);
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(7);
        await (await node.PostAsync(call)).ShouldBeAsync(RequestError.Replay);
    }

    [Theory]
    [InlineData("refused", 0, false)]
    [InlineData("failed", 0, false)]
    [InlineData("a bug", 0, false)]
    [InlineData("another type", 0, false)]
    [InlineData("nothing", 0, false)]
    [InlineData("timed out", 15, true)]
    public async Task What_goes_wrong_after_the_early_200_ends_the_body_abnormally_and_only_a_timeout_is_charged(string end, long units, bool isSpent)
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var gate = new Gate();
        var engine = ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Chunk("0"))));
        var serving = engine.Script;
        engine.Script = async (request, cancellation) =>
        {
            await gate.PassAsync(cancellation);
            return end switch
            {
                "refused" => new InferenceStart.Refused(InferenceRefusal.ContextTooLarge),
                "failed" => throw new InferenceException(InferenceFailure.Failed, "no words"),
                "a bug" => throw new InvalidOperationException("no words"),
                "timed out" => throw new InferenceException(InferenceFailure.TimedOut, "no words") { Usage = new Usage(10, 5) },
                "nothing" => new InferenceStart.Started(new ScriptedAnswer(_ => ScriptedBackend.Parts()).As(request)),
                _ => new InferenceStart.Started(new ScriptedAnswer(_ => ScriptedBackend.Parts("{}")) { OtherContentType = InferenceAnswer.Json }.As(request)),
            };
        };
        await using var node = await NodeUnderTest.StartAsync(engine, time: time);
        var call = node.Seal(stream: true);
        var token = node.Gateway.Token();
        var post = node.PostAsync(call, token);
        await gate.Reached;
        await AdvanceUntilAsync(time, post);
        using var events = await EventStream.OpenAsync(call, await post);
        (await events.NextAsync()).ShouldBe(": keep-alive");
        gate.Open();
        await events.ShouldBreakOffAsync();
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(units);

        engine.Script = serving; // nothing sealed left the node: under a new lock the same bytes are no replay
        ((int)(await node.PostAsync(call)).StatusCode).ShouldBe(isSpent ? 409 : 200);
    }

    [Fact]
    public async Task A_whole_answer_sends_nothing_before_it_is_whole()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(ThatWaits(gate, atStart: true, () => ScriptedBackend.Parts(ScriptedBackend.Whole)), time: time);
        var call = node.Seal();
        var post = node.PostAsync(call);
        await gate.Reached;
        time.Advance(TimeSpan.FromMinutes(5));
        await Task.Delay(200); // nothing tells that nothing was sent
        post.IsCompleted.ShouldBeFalse();
        gate.Open();
        (await call.OpenAsync(await post)).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task Who_leaves_after_the_early_200_stops_the_engine_and_pays_for_what_it_did()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(new ScriptedBackend { Script = LeftAsync }, time: time);
        var call = node.Seal(stream: true);
        var token = node.Gateway.Token();
        var post = node.PostAsync(call, token);
        await gate.Reached;
        await AdvanceUntilAsync(time, post);
        (await post).Dispose();
        (await node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(10);
        node.Log.Text.ShouldContain($"{token.Request}: CLIENT_GONE");

        async Task<InferenceStart> LeftAsync(InferenceRequest request, CancellationToken cancellation)
        {
            try
            {
                await gate.PassAsync(cancellation);
                throw new InvalidOperationException("nobody left");
            }
            catch (OperationCanceledException)
            {
                throw new InferenceAbandonedException(new Usage(10, 0), cancellation);
            }
        }
    }

    [Fact]
    public async Task A_busy_stream_carries_no_comments()
    {
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(
                () => new ScriptedAnswer(_ => ScriptedBackend.Parts([.. Enumerable.Range(0, 500).Select(i => ScriptedBackend.Chunk($"{i}"))]))),
            options => options with { KeepAlive = TimeSpan.FromSeconds(5) });
        var call = node.Seal(stream: true);
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call));
        (await events.RestAsync()).ShouldBe([.. Enumerable.Range(0, 500).Select(i => ScriptedBackend.Chunk($"{i}")), ScriptedBackend.Finish]);
    }

    // Only what may be the last waits: a reader gets every word when it is there.
    [Fact]
    public async Task From_the_finish_reason_on_an_event_waits_until_it_is_known_whether_another_follows_and_no_event_before()
    {
        Gate[] gates = [new(), new()];
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Finishing(gates)) { Finishes = false }));
        var call = node.Seal(stream: true);
        var response = await node.PostAsync(call);
        using var events = await EventStream.OpenAsync(call, response);
        (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("0"));
        await gates[0].Reached;
        gates[0].Open();
        await gates[1].Reached;
        var finish = events.NextAsync();
        finish.IsCompleted.ShouldBeFalse();
        gates[1].Open();
        (await finish).ShouldBe(ScriptedBackend.Finish);
        (await events.RestAsync()).ShouldBe([UsageChunk]);
    }

    [Theory]
    [InlineData("\"finish_reason\" : \t\"stop\"")]
    [InlineData("\"finish_reason\":null},{\"index\":1,\"finish_reason\":\"stop\"")]
    public async Task A_finish_reason_is_found_as_the_engine_writes_it(string member)
    {
        var finish = $$"""{"choices":[{"index":0,{{member}}}]}""";
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Chunk("0"), finish)) { Finishes = false }));
        var call = node.Seal(stream: true);
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call));
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("0"), finish]);
    }

    [Theory]
    [InlineData("""{"choices":[{"delta":{"content":"\"finish_reason\":\"stop\""},"finish_reason":null}]}""")]
    [InlineData("""{"choices":[{"delta":{"content":"0"}}]}""")]
    public async Task An_engine_that_ends_before_a_finish_reason_has_failed_and_its_stream_breaks_off(string chunk)
    {
        var gate = new Gate();
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => EndingAt(gate, chunk)) { Finishes = false }));
        var call = node.Seal(stream: true);
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call));
        (await events.NextAsync()).ShouldBe(chunk);
        gate.Open();
        await events.ShouldBreakOffAsync();
    }

    [Fact]
    public async Task Rotations_in_the_middle_leave_the_answer_openable()
    {
        Gate[] gates = [new()];
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Gated(gates))));
        var call = node.Seal(stream: true);
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call));
        (await events.NextAsync()).ShouldBe(ScriptedBackend.Chunk("0"));
        for (var i = 0; i < KeySet.MaxHeld; i++)
            node.Ring.TryRotate(eraseNow: true); // the request's key is erased by now
        gates[0].Open();
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("1"), ScriptedBackend.Finish]);
    }

    [Fact]
    public async Task A_reader_who_stalls_stalls_the_engine_instead_of_filling_the_nodes_memory()
    {
        var answer = new ScriptedAnswer(_ => Endless());
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => answer));
        var call = node.Seal(stream: true);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 8 * 1024 };
        await socket.ConnectAsync(IPAddress.Loopback, node.Url.Port);
        var head = $"POST {NodeUnderTest.ChatPath} HTTP/1.1\r\nHost: node\r\n{RelayToken.HeaderName}: {node.Gateway.Write(node.Gateway.Token(), NodeUnderTest.ChatPath, call)}\r\nContent-Length: {call.Body.Length}\r\n\r\n";
        await socket.SendAsync(Encoding.ASCII.GetBytes(head));
        await socket.SendAsync(call.Body);
        await socket.ReceiveAsync(new byte[1]);

        // Nothing tells that nothing happens any more: the count is watched until it stands still.
        var before = -1;
        for (var i = 0; i < 50 && before != answer.Asked; i++)
        {
            before = answer.Asked;
            await Task.Delay(100);
        }

        answer.Asked.ShouldBe(before);
        answer.Asked.ShouldBeLessThan(200); // of 64 KiB: what the kernel's buffers take, and Kestrel's
        socket.Close(timeout: 0);
        await answer.Disposed.Soon();
    }

    // The time moves on only once the node waits for it; a millisecond under the pause moves nothing.
    private static async Task AdvanceUntilAsync(FakeTimeProvider time, Task signal)
    {
        time.Advance(TimeSpan.FromMilliseconds(14_999));
        signal.IsCompleted.ShouldBeFalse();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        while (!signal.IsCompleted)
        {
            time.Advance(TimeSpan.FromSeconds(1)); // more than is left: a node that began to wait after the first step has the whole pause before it
            await Task.WhenAny(signal, Task.Delay(5, patience.Token));
        }
    }

    // An engine that takes its time: before it says that it has begun, or before its first part.
    private static ScriptedBackend ThatWaits(Gate gate, bool atStart, Func<IAsyncEnumerable<string>> parts) => new()
    {
        Script = async (request, cancellation) =>
        {
            if (atStart)
                await gate.PassAsync(cancellation);
            return new InferenceStart.Started(new ScriptedAnswer(_ => atStart ? parts() : Late(gate, parts())).As(request));
        },
    };

    private static async IAsyncEnumerable<string> Late(Gate gate, IAsyncEnumerable<string> parts)
    {
        await gate.PassAsync();
        await foreach (var part in parts)
            yield return part;
    }

    private static async IAsyncEnumerable<string> Gated(Gate[] gates)
    {
        yield return ScriptedBackend.Chunk("0");
        for (var i = 0; i < gates.Length; i++)
        {
            await gates[i].PassAsync();
            yield return ScriptedBackend.Chunk($"{i + 1}");
        }
    }

    private static async IAsyncEnumerable<string> Finishing(Gate[] gates)
    {
        yield return ScriptedBackend.Chunk("0");
        await gates[0].PassAsync();
        yield return ScriptedBackend.Finish;
        await gates[1].PassAsync();
        yield return UsageChunk;
    }

    private static async IAsyncEnumerable<string> EndingAt(Gate gate, string chunk)
    {
        yield return chunk;
        await gate.PassAsync();
    }

    private static async IAsyncEnumerable<string> Endless()
    {
        var part = ScriptedBackend.Chunk(new string('a', 64 * 1024));
        while (true)
        {
            await Task.Yield();
            yield return part;
        }
    }
}
