using System.Text.Json;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Shape;
using CsCheck;
using static ConfidentialChat.Protocol.Tests.Shape.Streams;

namespace ConfidentialChat.Protocol.Tests.Shape;

/// <summary>Streams through padder and un-padder: recorded, long, and the fuzz targets over <c>corpus/streams.json</c>.</summary>
public sealed class StreamTests(ITestOutputHelper output)
{
    private static readonly int Rounds = Tree.Slow ? 100_000 : 1_000;

    public static TheoryData<string> Corpus => [.. Streams().Select(stream => stream.Name)];

    [Fact]
    public void The_streams_of_published_clients_pass_through()
    {
        var streams = Vectors.Files("openai/recorded", "*.json")
            .Select(file => JsonElement.Parse(File.ReadAllText(file)))
            .Where(IsStream)
            .Select(exchange => exchange.GetProperty("response").GetString()!)
            .Append(Vectors.Text("openai/constructed/stream-with-usage.sse"))
            .ToList();
        streams.Count.ShouldBeGreaterThan(1);
        foreach (var stream in streams.Select(Utf8))
        {
            var chunks = Pad(stream);
            var padded = Answer(chunks).Content.ToArray();
            Events(padded).ShouldBe(Events(stream));
            Unpad(padded).ShouldBe(stream);
            output.WriteLine($"{stream.Length:N0} bytes become {chunks.Sum(chunk => chunk.Length):N0} in {chunks.Count} chunks");
        }
    }

    [Theory]
    [MemberData(nameof(Corpus))]
    public void A_mutated_stream_breaks_neither_end(string name) =>
        Gen.Select(Mutants.Framed(Utf8(Streams().Single(stream => stream.Name == name).Text)), Places, Places)
            .Sample(
                (stream, places, others) =>
                {
                    var chunks = Pad(stream, places);
                    var padded = Answer(chunks).Content.ToArray();
                    return chunks.TrueForAll(chunk => chunk.Length % EventPadder.BlockSize == 0 && chunk.Length <= EventPadder.MaxChunkSize)
                        && Events(padded) == Events(stream)
                        && Unpad(padded, others).AsSpan().SequenceEqual(Unpad(stream))
                        && Events(Unpad(stream)) == Events(stream);
                },
                iter: Rounds);

    [Fact]
    public void A_stream_of_10_000_events_passes_in_constant_memory()
    {
        var tokens = Enumerable.Range(0, 100).Select(i => Utf8(Token(new string('é', i % 7)))).ToArray();
        Run(100); // warm
        var before = GC.GetAllocatedBytesForCurrentThread();
        var (plain, padded, chunks, unpadded) = Run(10_000);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        output.WriteLine(
            $"10,000 events, {plain:N0} bytes become {padded:N0} in {chunks:N0} chunks: {allocated:N0} bytes allocated by both ends");
        unpadded.ShouldBe(plain);
        chunks.ShouldBe(10_001);
        allocated.ShouldBeLessThan(96 << 10); // the padder's two buffers are 32 KiB

        (long Plain, long Padded, int Chunks, long Unpadded) Run(int events)
        {
            var padder = new EventPadder(Head);
            var reader = new ResponseReader(BinaryHttpLimits.Default);
            var unpadder = new EventUnpadder();
            var sink = new Counter();
            var (plain, padded, chunks) = (0L, 0L, 0);
            for (var i = 0; i < events; i++)
            {
                ReadOnlySpan<byte> input = tokens[i % tokens.Length];
                plain += input.Length;
                while (padder.TryPad(ref input, isFinal: i == events - 1, out var chunk))
                    Arrives(chunk, isFinal: false);
            }

            padder.EndContent();
            Arrives(padder.Finish(Trailers), isFinal: true);
            unpadder.Complete(sink);
            return (plain, padded, chunks, sink.Count);

            void Arrives(ReadOnlySpan<byte> chunk, bool isFinal)
            {
                padded += chunk.Length;
                chunks++;
                while (true)
                {
                    var part = reader.Read(ref chunk, isFinal, out var content);
                    if (part is MessagePart.NeedMore or MessagePart.End)
                        return;
                    if (part == MessagePart.Invalid)
                        throw new InvalidOperationException(reader.Error.ToString());
                    unpadder.Unpad(content, sink);
                }
            }
        }
    }

    [Fact]
    public void An_event_without_an_end_takes_no_more_memory_than_one_chunk()
    {
        var piece = Utf8(new string('x', 10_007));
        var tildes = Utf8(new string('~', 10_007));
        var sink = new Counter();
        var before = GC.GetAllocatedBytesForCurrentThread();
        var padder = new EventPadder(Head);
        var unpadder = new EventUnpadder();
        unpadder.Unpad("a\n:"u8, sink);
        for (var i = 0; i < 2_000; i++)
        {
            ReadOnlySpan<byte> input = piece;
            while (padder.TryPad(ref input, isFinal: false, out _))
                continue;
            unpadder.Unpad(tildes, sink);
        }

        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        output.WriteLine($"20 MB without a line's end: {allocated:N0} bytes allocated, both ends together");
        allocated.ShouldBeLessThan(96 << 10);
        sink.Count.ShouldBe(3 + (2_000L * tildes.Length));
    }

    private static bool IsStream(JsonElement exchange) =>
        exchange.TryGetProperty("response_content_type", out var type)
        && type.ToString().StartsWith("text/event-stream", StringComparison.Ordinal);

    private static string Token(string text) =>
        "data: {\"id\":\"chatcmpl-u1\",\"object\":\"chat.completion.chunk\",\"created\":1770950813,\"model\":\"tiny\","
        + "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + text + "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

    private static IEnumerable<(string Name, string Text)> Streams()
    {
        var file = Path.Combine(Tree.Root, "test", "Protocol", "Shape", "corpus", "streams.json");
        return JsonElement.Parse(File.ReadAllText(file)).EnumerateObject().Select(stream => (stream.Name, stream.Value.GetString()!));
    }

    // Counts what is written and keeps none of it.
    private sealed class Counter : System.Buffers.IBufferWriter<byte>
    {
        private readonly byte[] buffer = new byte[EventPadder.MaxChunkSize];

        public long Count { get; private set; }

        public void Advance(int count) => Count += count;

        public Memory<byte> GetMemory(int sizeHint = 0) => buffer;

        public Span<byte> GetSpan(int sizeHint = 0) => buffer;
    }
}
