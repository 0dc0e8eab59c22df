using System.Text;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Shape;
using CsCheck;
using static ConfidentialChat.Protocol.Tests.Shape.Streams;

namespace ConfidentialChat.Protocol.Tests.Shape;

/// <summary>spec/binary-http.md section 8.2: what an observer of lengths gets to see, and what an application does.</summary>
public sealed class EventPadderTests
{
    private static readonly int Rounds = Tree.Slow ? 200_000 : 3_000;

    [Fact]
    public void A_stream_looks_like_this()
    {
        var chunks = Pad(Utf8("data: {\"a\":1}\n\ndata: [DONE]\n\n"), new ResponseHead(200, []), [new("a", "b")]);
        chunks.Count.ShouldBe(3);
        // framing 3, status 200, no fields; length 504 in 4 bytes; lines, filler, blank line
        Latin1(chunks[0]).ShouldBe(
            "\u0003\u0040\u00C8\u0000" + "\u0080\u0000\u0001\u00F8" + "data: {\"a\":1}\n" + ":" + new string('~', 487) + "\n" + "\n");
        Latin1(chunks[1]).ShouldBe("\u0080\u0000\u0001\u00FC" + "data: [DONE]\n" + ":" + new string('~', 492) + "\n" + "\n");
        Latin1(chunks[2]).ShouldBe("\0" + "\u0001a\u0001b\0" + new string('\0', 506));
    }

    [Fact]
    public void Events_of_every_size_are_whole_blocks_and_one_chunk_each()
    {
        for (var size = 14; size < 2_100; size++)
        {
            var chunks = Pad(Utf8(Event(size) + Event(size)));
            chunks.Count.ShouldBe(3);
            chunks.ShouldAllBe(chunk => chunk.Length % EventPadder.BlockSize == 0);
            var gap = -(4 + size) & (EventPadder.BlockSize - 1);
            chunks[1].Length.ShouldBe(4 + size + gap + (gap is 1 or 2 ? EventPadder.BlockSize : 0), $"size {size}");
            Unpad(Answer(chunks).Content.Span).AsSpan().SequenceEqual(Utf8(Event(size) + Event(size))).ShouldBeTrue($"size {size}");
        }
    }

    [Theory]
    [InlineData("\n")]
    [InlineData("\r\n")]
    [InlineData("\r")]
    public void Events_around_the_largest_chunk_are_cut_and_stay_whole(string end)
    {
        for (var size = 15_800; size < 16_420; size++)
            IsCut(size, first: false);
        foreach (var size in new[] { 32_700, 32_760, 32_761, 32_762, 32_763, 32_764, 32_765, 32_768, 100_000 })
            IsCut(size, first: true);

        void IsCut(int size, bool first)
        {
            var stream = Utf8((first ? "" : Event(20, end)) + Event(size, end) + Event(30, end));
            var chunks = Pad(stream);
            chunks.ShouldAllBe(chunk => chunk.Length % EventPadder.BlockSize == 0 && chunk.Length <= EventPadder.MaxChunkSize);
            var content = Answer(chunks).Content;
            Unpad(content.Span).AsSpan().SequenceEqual(stream).ShouldBeTrue($"size {size}");
            Events(content.ToArray()).ShouldBe(Events(stream), $"size {size}");
        }
    }

    [Theory]
    [InlineData("data: a\ndata: b\ndata:\ndata: c\n\n")]
    [InlineData("event: delta\nid: 7\nretry: 10\ndata: x\n\n")]
    [InlineData(": ping\n\n")]
    [InlineData(": ping\ndata: x\n\n")]
    [InlineData("\n\n\n\ndata: x\n\n")]
    [InlineData("data: x\r\n\r\n")]
    [InlineData("data: x\r\r")]
    [InlineData("data: x\r\ndata: y\n\r\n")]
    [InlineData("data: x\n\r")]
    [InlineData("data: x\r\n\n")]
    [InlineData("\uFEFFdata: é😀\u2028\n\n")]
    public void One_event_is_one_chunk_and_says_the_same(string text)
    {
        var stream = Utf8(text);
        var chunks = Pad(stream);
        chunks.Count.ShouldBe(2);
        Events(Answer(chunks).Content.ToArray()).ShouldBe(Events(stream));
        Unpad(Answer(chunks).Content.Span).ShouldBe(stream);
    }

    [Theory]
    [InlineData("")]
    [InlineData("data: unfinished")]
    [InlineData("data: unfinished\n")]
    [InlineData("\n\n")]
    [InlineData(": ping\n")]
    public void A_stream_without_a_whole_event_is_one_chunk(string text)
    {
        var chunks = Pad(Utf8(text));
        chunks.Count.ShouldBe(1);
        (chunks[0].Length % EventPadder.BlockSize).ShouldBe(0);
        Answer(chunks).Content.ToArray().ShouldBe(Utf8(text));
        Answer(chunks).Trailers.ShouldBe(Trailers);
    }

    [Fact]
    public void A_remainder_of_any_size_leaves_room_for_the_largest_trailers()
    {
        FieldSection trailers = [new("t", new string('v', EventPadder.MaxTrailersSize - 5))];
        for (var size = 0; size < 40_000; size += size is > 8_000 and < 8_300 or > 16_300 and < 16_500 ? 1 : 97)
        {
            var tail = Utf8(new string('x', size));
            var chunks = Pad(tail, Head, trailers);
            chunks.ShouldAllBe(chunk => chunk.Length % EventPadder.BlockSize == 0 && chunk.Length <= EventPadder.MaxChunkSize);
            Answer(chunks).Content.Span.SequenceEqual(tail).ShouldBeTrue();
            Answer(chunks).Trailers.ShouldBe(trailers);
        }
    }

    [Fact]
    public void The_largest_head_shares_the_first_chunk_with_an_event_of_any_size()
    {
        var head = new ResponseHead(200, [new("h", new string('v', EventPadder.MaxHeadSize - 9))]);
        for (var size = 20; size < 20_000; size += size is > 12_000 and < 12_400 ? 1 : 83)
        {
            var chunks = Pad(Utf8(Event(size)), head, []);
            chunks.ShouldAllBe(chunk => chunk.Length % EventPadder.BlockSize == 0 && chunk.Length <= EventPadder.MaxChunkSize);
            Answer(chunks).Head.ShouldBe(head);
            Unpad(Answer(chunks).Content.Span).AsSpan().SequenceEqual(Utf8(Event(size))).ShouldBeTrue($"size {size}");
        }
    }

    [Fact]
    public void Unpad_of_pad_is_the_identity() => Gen.Select(SignsWithoutFillers, Places, Places).Sample(
        (stream, places, others) =>
        {
            var content = Answer(Pad(stream, places)).Content;
            return Unpad(content.Span, others).AsSpan().SequenceEqual(stream) && Events(content.ToArray()) == Events(stream);
        },
        iter: Rounds);

    [Fact]
    public void Cutting_the_stream_anywhere_changes_no_chunk() => Gen.Select(Signs, Gen.Int[14, 20_000], Places).Sample(
        (signs, size, places) =>
        {
            byte[] stream = [.. signs, .. Utf8(Event(size)), .. signs];
            return Same(Pad(stream, places), Pad(stream));
        },
        iter: Rounds);

    [Fact]
    public void One_byte_at_a_time_changes_no_chunk()
    {
        var stream = Utf8("data: é😀\r\n\r\ndata: y\r\rdata: z\n\n" + Event(17_000) + "rest");
        Same(Pad(stream, [.. Enumerable.Range(0, stream.Length)]), Pad(stream)).ShouldBeTrue();
    }

    [Fact]
    public void Every_chunk_of_every_stream_is_whole_blocks() => Gen
        .Select(Gen.OneOf<byte[]>(Signs, Gen.Byte.Array[0, 200]), Gen.Int[0, 60])
        .Sample(
        (signs, times) =>
        {
            var stream = Enumerable.Repeat(signs, times).SelectMany(bytes => bytes).ToArray();
            var chunks = Pad(stream);
            return chunks.TrueForAll(IsWholeBlocks)
                && Events(Answer(chunks).Content.ToArray()) == Events(stream);
        },
        iter: Rounds);

    [Fact]
    public void What_receipts_hash_ends_where_the_readers_content_ends()
    {
        foreach (var text in new[] { "data: x\n\n", "data: x\n\nrest", "" })
        {
            var padder = new EventPadder(Head);
            var hashed = 0;
            ReadOnlySpan<byte> input = Utf8(text);
            var message = new List<byte>();
            while (padder.TryPad(ref input, isFinal: true, out var chunk))
            {
                hashed += chunk.Length;
                message.AddRange(chunk);
            }

            hashed += padder.EndContent().Length;
            message.AddRange(padder.Finish(Trailers));
            var reader = new ResponseReader(BinaryHttpLimits.Default);
            ReadOnlySpan<byte> bytes = message.ToArray();
            while (reader.Read(ref bytes, isFinal: true, out _) is not (MessagePart.End or MessagePart.Invalid))
                continue;
            reader.EndOfContent.ShouldBe(hashed);
        }
    }

    [Fact]
    public void Calls_out_of_order_and_heads_or_trailers_too_large_are_the_callers_mistake()
    {
        Should.Throw<ArgumentException>(() => new EventPadder(new ResponseHead(200, [new("content-length", "1")])));
        Should.Throw<ArgumentException>(() => new EventPadder(new ResponseHead(200, [new("h", new string('v', 4_096))])));
        var padder = new EventPadder(Head);
        Should.Throw<InvalidOperationException>(() => padder.Finish([]).Length);
        padder.EndContent();
        Should.Throw<InvalidOperationException>(() => padder.EndContent().Length);
        Should.Throw<InvalidOperationException>(() => Next(padder));
        Should.Throw<ArgumentException>(() => padder.Finish([new("t", new string('v', 4_096))]).Length);
        Should.Throw<ArgumentException>(() => padder.Finish([new("content-length", "1")]).Length);
        padder.Finish([]);
        Should.Throw<InvalidOperationException>(() => padder.Finish([]).Length);

        static bool Next(EventPadder padder)
        {
            ReadOnlySpan<byte> none = default;
            return padder.TryPad(ref none, isFinal: true, out _);
        }
    }

    [Fact]
    public void The_last_chunk_ends_with_the_block_in_which_its_trailers_end()
    {
        foreach (var size in Enumerable.Range(EventPadder.BlockSize - 40, 80))
        {
            using var padder = new EventPadder(Head);
            var unpadded = padder.EndContent().Length + size + 5; // name and value with their lengths, and an end
            padder.Finish([new("a", new string('v', size))]).Length
                .ShouldBe((unpadded + EventPadder.BlockSize - 1) / EventPadder.BlockSize * EventPadder.BlockSize, $"{size}");
        }
    }

    [Fact]
    public void Trailers_are_there_and_smaller_than_their_bound()
    {
        using var padder = new EventPadder(Head);
        padder.EndContent();
        Should.Throw<ArgumentNullException>(() => padder.Finish(null!).Length).ParamName.ShouldBe("trailers");
        var bound = Trailers(EventPadder.MaxTrailersSize);
        bound.WireSize.ShouldBe(EventPadder.MaxTrailersSize);
        Should.Throw<ArgumentException>(() => padder.Finish(bound).Length).ParamName.ShouldBe("trailers");
        padder.Finish(Trailers(EventPadder.MaxTrailersSize - 1)).Length.ShouldBeGreaterThan(0);

        static FieldSection Trailers(int wireSize) => [new("a", new string('v', wireSize - 4))];
    }

    private static bool IsWholeBlocks(byte[] chunk) =>
        chunk.Length is > 0 and <= EventPadder.MaxChunkSize && chunk.Length % EventPadder.BlockSize == 0;

    private static bool Same(List<byte[]> some, List<byte[]> others) =>
        some.Count == others.Count && some.Zip(others).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second));

    private static string Latin1(byte[] bytes) => Encoding.Latin1.GetString(bytes);
}
