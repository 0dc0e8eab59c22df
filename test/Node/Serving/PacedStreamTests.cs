using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Shape;
using Microsoft.Extensions.Time.Testing;

using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/envelope-v2.md section 12: what somebody on the way sees of a paced stream, whatever the engine does.</summary>
public sealed class PacedStreamTests : IDisposable
{
    private const int Sealed = EventPacer.ChunkSize + 16; // and its tag

    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Fact]
    public async Task Chunks_are_of_one_size_and_a_tick_apart_whether_the_engine_hurries_or_is_silent_and_the_end_is_one_of_them()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Parts())), evidence: platform);
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), Inner(token, body: Streamed) with { IsPaced = true });
        using var response = await PostAsync(node, call, token);
        var (chunks, bytes) = await ReadAsync(await response.Content.ReadAsStreamAsync());
        chunks.ShouldAllBe(chunk => chunk.Size == Sealed);
        chunks.Count.ShouldBeInRange(8, 20); // 700 ms of silence
        var lasted = chunks[^1].At - chunks[0].At;
        lasted.ShouldBeGreaterThan((chunks.Count - 1) * Tick - TimeSpan.FromMilliseconds(60)); // no faster than the pace
        var text = await OpenedAsync(call, bytes);
        text.ShouldStartWith(string.Concat(Enumerable.Range(0, 20).Select(i => $"data: {ScriptedBackend.Chunk($"w{i}")}\n\n")));
        text.ShouldEndWith("\n\ndata: [DONE]\n\n");
        (await node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 4));

        static async IAsyncEnumerable<string> Parts()
        {
            for (var i = 0; i < 10; i++)
                yield return ScriptedBackend.Chunk($"w{i}");
            await Task.Delay(TimeSpan.FromMilliseconds(700));
            for (var i = 10; i < 20; i++)
                yield return ScriptedBackend.Chunk($"w{i}");
        }
    }

    [Fact]
    public async Task An_event_too_large_for_a_chunk_is_spread_over_ticks_in_its_order()
    {
        var large = ScriptedBackend.Chunk(new string('l', 20_000));
        string[] parts = [ScriptedBackend.Chunk("a"), large, ScriptedBackend.Chunk("b")];
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(parts))), evidence: platform);
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), Inner(token, body: Streamed) with { IsPaced = true });
        using var response = await PostAsync(node, call, token);
        var (chunks, bytes) = await ReadAsync(await response.Content.ReadAsStreamAsync());
        chunks.ShouldAllBe(chunk => chunk.Size == Sealed);
        chunks.Count.ShouldBeGreaterThanOrEqualTo(6);
        (await OpenedAsync(call, bytes)).ShouldStartWith($"data: {ScriptedBackend.Chunk("a")}\n\ndata: {large}\n\ndata: {ScriptedBackend.Chunk("b")}\n\n");
    }

    [Fact]
    public async Task A_stream_that_is_not_asked_to_be_is_not_paced_and_a_whole_answer_never_is()
    {
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => ScriptedBackend.Parts(ScriptedBackend.Chunk("a")))), evidence: platform);
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), Inner(token, body: Streamed));
        using var response = await PostAsync(node, call, token);
        (await ReadAsync(await response.Content.ReadAsStreamAsync())).Chunks
            .ShouldAllBe(chunk => chunk.Size % EventPadder.BlockSize == 16 && chunk.Size <= Sealed / 2);

        await using var other = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), evidence: platform);
        var second = Token(other);
        using var whole = Seal(await VerifiedAsync(other), Inner(second) with { IsPaced = true });
        (await OpenAsync(whole, await PostAsync(other, whole, second))).Text.ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task What_an_engine_said_before_it_failed_goes_out_on_its_ticks_and_the_stream_has_no_end()
    {
        await using var node = await NodeUnderTest.StartAsync(
            ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Cut()) { Finishes = false }), evidence: platform);
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), Inner(token, body: Streamed) with { IsPaced = true });
        using var response = await PostAsync(node, call, token);
        using var reader = call.Open(PipeReader.Create(await response.Content.ReadAsStreamAsync()));
        await reader.ReadHeadAsync(default);
        var read = new StringBuilder();
        var cut = await Should.ThrowAsync<Exception>(async () =>
        {
            while (await reader.ReadContentAsync(default).AsTask().Soon() is { Length: > 0 } piece)
                read.Append(Encoding.UTF8.GetString(piece.Span));
        });
        (cut is IOException).ShouldBeTrue(cut.ToString());
        read.ToString().ShouldContain(new string('l', 6_000)); // two chunks of it
        await node.Gateway.ReportAsync(token.Request);
        node.Log.Text.ShouldContain($"{token.Request}: CUT_OFF");
        await ShouldBeEmptyAsync(node);

        static async IAsyncEnumerable<string> Cut()
        {
            yield return ScriptedBackend.Chunk("a");
            yield return ScriptedBackend.Chunk(new string('l', 6_000));
            await Task.Yield();
            throw new InferenceException(InferenceFailure.Failed, "It broke.");
        }
    }

    [Fact]
    public async Task A_caller_who_leaves_stops_the_engine_between_two_ticks()
    {
        var gate = new Gate();
        var answer = new ScriptedAnswer(Endless);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => answer), evidence: platform);
        var token = Token(node);
        using (var call = Seal(await VerifiedAsync(node), Inner(token, body: Streamed) with { IsPaced = true }))
        using (var response = await PostAsync(node, call, token))
            await (await response.Content.ReadAsStreamAsync()).ReadExactlyAsync(new byte[3 * Sealed]);
        await node.Gateway.ReportAsync(token.Request);
        node.Log.Text.ShouldContain($"{token.Request}: CLIENT_GONE");
        await ShouldBeEmptyAsync(node);

        async IAsyncEnumerable<string> Endless([EnumeratorCancellation] CancellationToken stopped)
        {
            yield return ScriptedBackend.Chunk("a");
            await gate.PassAsync(stopped);
        }
    }

    // Three seconds of an engine that makes 27 events a second. The figures go into section 12.
    [Fact]
    public async Task The_pace_costs_what_the_specification_says()
    {
        const int Events = 81;
        var made = new long[Events];
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Steady())), evidence: platform);
        var token = Token(node);
        using var call = Seal(await VerifiedAsync(node), Inner(token, body: Streamed) with { IsPaced = true });
        using var response = await PostAsync(node, call, token);
        var counted = new CountedStream(await response.Content.ReadAsStreamAsync());
        using var reader = call.Open(PipeReader.Create(counted));
        await reader.ReadHeadAsync(default);
        var (began, delays, text) = (TimeProvider.System.GetTimestamp(), new List<TimeSpan>(), new StringBuilder());
        while (await reader.ReadContentAsync(default).AsTask().Soon() is { Length: > 0 } piece)
        {
            text.Append(Encoding.UTF8.GetString(piece.Span));
            for (var seen = text.ToString(); seen.Contains($"w{delays.Count:000}", StringComparison.Ordinal);)
                delays.Add(TimeProvider.System.GetElapsedTime(made[delays.Count]));
        }

        var rate = counted.Total / TimeProvider.System.GetElapsedTime(began).TotalSeconds;
        delays.Count.ShouldBe(Events);
        var (mean, most) = (delays.Average(delay => delay.TotalMilliseconds), delays.Max(delay => delay.TotalMilliseconds));
        TestContext.Current.TestOutputHelper!.WriteLine($"{rate:0} bytes a second, {mean:0} ms in the mean, {most:0} ms at the most");
        rate.ShouldBeInRange(25_000, 43_500); // ticks are lost on a busy machine, and none is made up for
        mean.ShouldBeInRange(20, 150);

        async IAsyncEnumerable<string> Steady()
        {
            for (var i = 0; i < Events; i++)
            {
                made[i] = TimeProvider.System.GetTimestamp();
                yield return ScriptedBackend.Chunk($"w{i:000}");
                await Task.Delay(TimeSpan.FromMilliseconds(37));
            }
        }
    }

    // The clock is the test's: a reader takes nothing for minutes, and afterwards what the buffers held, and no more.
    [Fact]
    public async Task A_reader_who_was_slow_is_not_made_up_to()
    {
        const int Ticks = 4000;
        var gate = new Gate();
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var engine = ScriptedBackend.ThatAnswers(() => new ScriptedAnswer(_ => Waiting()));
        await using var node = await NodeUnderTest.StartAsync(engine, options => options with { ReaderTimeout = TimeSpan.FromHours(1) }, time, platform);
        var token = Token(node, time);
        using var call = Seal(await VerifiedAsync(node, time.GetUtcNow()), Inner(token, time.GetUtcNow(), Streamed) with { IsPaced = true });
        using var narrow = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancellation) =>
            {
                var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 8 * 1024 };
                await socket.ConnectAsync(context.DnsEndPoint, cancellation);
                return new NetworkStream(socket, ownsSocket: true);
            },
        });
        using var response = await PostAsync(node, call.Body.ToArray(), token, client: narrow);
        await using var body = await response.Content.ReadAsStreamAsync();
        await body.ReadExactlyAsync(new byte[Sealed]); // it has begun
        for (var i = 0; i < Ticks; i++)
        {
            time.Advance(Tick);
            await Task.Yield();
            Thread.SpinWait(2000);
        }

        var taken = 0L;
        var buffer = new byte[1 << 16];
        Task<int>? reading = null;
        while (await TryReadAsync() is > 0 and var read)
            taken += read;
        var chunks = taken / Sealed;
        chunks.ShouldBeInRange(1, Ticks / 2); // some buffers full, and one that followed at once
        time.Advance(Tick);
        (await TryReadAsync()).ShouldBeGreaterThan(0); // and on it goes
        gate.Open();

        async Task<int> TryReadAsync()
        {
            reading ??= body.ReadAsync(buffer).AsTask();
            if (await Task.WhenAny(reading, Task.Delay(TimeSpan.FromMilliseconds(500))) != reading)
                return 0; // it goes on: a stream has one reader at a time
            var read = await reading;
            reading = null;
            return read;
        }

        async IAsyncEnumerable<string> Waiting()
        {
            yield return ScriptedBackend.Chunk("a");
            await gate.PassAsync();
        }
    }

    private sealed class CountedStream(Stream inner) : Stream
    {
        public long Total { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            Total += read;
            return read;
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }

    // nonce ‖ chunks: length (i), bytes; the final one: 0, bytes to the end
    private static async Task<(List<(int Size, TimeSpan At)> Chunks, byte[] Bytes)> ReadAsync(Stream body)
    {
        var began = TimeProvider.System.GetTimestamp();
        var (arrived, times) = (new MemoryStream(), new List<(long Size, TimeSpan At)>());
        var buffer = new byte[1 << 16];
        while (await body.ReadAsync(buffer).AsTask().Soon() is > 0 and var read)
        {
            arrived.Write(buffer.AsSpan(0, read));
            times.Add((arrived.Length, TimeProvider.System.GetElapsedTime(began)));
        }

        var bytes = arrived.ToArray();
        var chunks = new List<(int, TimeSpan)>();
        for (var at = 32; at < bytes.Length;)
        {
            var form = 1 << (bytes[at] >> 6);
            var size = bytes[at] & 0x3F;
            for (var i = 1; i < form; i++)
                size = (size << 8) | bytes[at + i];
            at += form;
            var end = size == 0 ? bytes.Length : at + size;
            chunks.Add((end - at, times.First(time => time.Size >= end).At));
            at = end;
        }

        return (chunks, bytes);
    }

    private static async Task<string> OpenedAsync(Protocol.V2.SealedCall call, byte[] bytes)
    {
        using var reader = call.Open(PipeReader.Create(new ReadOnlySequence<byte>(bytes)));
        await reader.ReadHeadAsync(default);
        var (unpadder, text) = (new EventUnpadder(), new ArrayBufferWriter<byte>());
        while (await reader.ReadContentAsync(default) is { Length: > 0 } piece)
            unpadder.Unpad(piece.Span, text);
        unpadder.Complete(text);
        return Encoding.UTF8.GetString(text.WrittenSpan);
    }
}
