using System.Net;
using System.Net.Sockets;
using System.Text;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/envelope-v1.md section 8: what a reader sees of a stream while it runs.</summary>
public sealed class StreamTests
{
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
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("2")]);
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
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("1")]);
    }

    [Fact]
    public async Task A_busy_stream_carries_no_comments()
    {
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts([.. Enumerable.Range(0, 500).Select(i => ScriptedBackend.Chunk($"{i}"))]))),
            options => options with { KeepAlive = TimeSpan.FromSeconds(5) });
        var call = node.Seal(stream: true);
        using var events = await EventStream.OpenAsync(call, await node.PostAsync(call));
        (await events.RestAsync()).ShouldBe([.. Enumerable.Range(0, 500).Select(i => ScriptedBackend.Chunk($"{i}"))]);
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
        (await events.RestAsync()).ShouldBe([ScriptedBackend.Chunk("1")]);
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

    private static async IAsyncEnumerable<string> Gated(Gate[] gates)
    {
        yield return ScriptedBackend.Chunk("0");
        for (var i = 0; i < gates.Length; i++)
        {
            await gates[i].PassAsync();
            yield return ScriptedBackend.Chunk($"{i + 1}");
        }
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
