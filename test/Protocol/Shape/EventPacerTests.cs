using System.Text;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Shape;
using CsCheck;
using static ConfidentialChat.Protocol.Tests.Shape.Streams;

namespace ConfidentialChat.Protocol.Tests.Shape;

/// <summary>spec/envelope-v2.md section 12: every chunk of a paced stream looks the same, and what is in them is the stream.</summary>
public sealed class EventPacerTests
{
    private static readonly int Rounds = Tree.Slow ? 50_000 : 1_000;
    private static readonly ResponseHead Head = new(200, []);

    [Fact]
    public void A_stream_looks_like_this()
    {
        using var pacer = new EventPacer(Head);
        pacer.Add("data: 1\n\ndata: 2\n\n"u8);
        var first = Latin1(pacer.Next().ToArray());
        // framing 3, status 200, no fields; length 4088 in 4 bytes; both events, and fillers of 514 bytes and what is left
        first.ShouldStartWith("\u0003\u0040\u00C8\u0000" + "\u0080\u0000\u000F\u00F8" + "data: 1\n\ndata: 2\n\n" + ":" + new string('~', 512) + "\n:~");
        first.Length.ShouldBe(EventPacer.ChunkSize);
        var silent = Latin1(pacer.Next().ToArray());
        silent.ShouldStartWith("\u0080\u0000\u000F\u00FC:~~");
        silent.Length.ShouldBe(EventPacer.ChunkSize);
        Should.Throw<InvalidOperationException>(() => pacer.Finish([]).Length);
        pacer.EndContent().ToArray().ShouldBe([(byte)0]);
        Latin1(pacer.Finish([new("a", "b")]).ToArray()).ShouldBe("\0" + "\u0001a\u0001b\0" + new string('\0', EventPacer.ChunkSize - 6));
        Should.Throw<InvalidOperationException>(() => pacer.Next().Length);
        Should.Throw<InvalidOperationException>(() => pacer.EndContent().Length);
        Should.Throw<InvalidOperationException>(() => pacer.Finish([]).Length);
        Should.Throw<InvalidOperationException>(() => pacer.Add("x"u8));
    }

    [Fact]
    public void What_waits_in_every_amount_goes_out_in_chunks_of_one_size_and_comes_back_as_it_was()
    {
        for (var size = 14; size < 9_000; size++)
        {
            if (size is > 100 and < 3_900 or > 4_200 and < 7_900 or > 8_300) // around the ends of chunks
                size += 60;
            var stream = Utf8(Event(size) + Event(20));
            var chunks = Pace(stream);
            chunks.ShouldAllBe(chunk => chunk.Length == EventPacer.ChunkSize);
            Unpad(Answer(chunks).Content.Span).AsSpan().SequenceEqual(stream).ShouldBeTrue($"size {size}");
            chunks.Count.ShouldBeInRange(((stream.Length + 4091) / 4092) + 1, ((stream.Length + 4091) / 4092) + 2, $"size {size}"); // rule 2 may take one more
        }
    }

    [Fact]
    public void A_gap_that_holds_no_filler_is_taken_by_the_length()
    {
        foreach (var gap in (int[])[1, 2])
        {
            using var pacer = new EventPacer(Head);
            pacer.Add("data: 1\n\n"u8);
            pacer.Next();
            pacer.Add(Utf8(Event(EventPacer.ChunkSize - 4 - gap)));
            var chunk = pacer.Next().ToArray();
            (chunk[0], chunk[6], chunk[7]).ShouldBe(((byte)0xC0, (byte)0x0F, (byte)0xF8)); // 4088 in 8 bytes
            pacer.Waiting.ShouldBe(4 - gap);
            pacer.Next();
            pacer.Waiting.ShouldBe(0);
        }
    }

    [Fact]
    public void Streams_cut_anywhere_with_silence_between_come_back_as_they_were() =>
        Gen.Select(Gen.Int[14, 6_000].Array[1, 12], Gen.Int[0, 3].Array[12]).Sample(
            (sizes, ticks) =>
            {
                var chunks = new List<byte[]>();
                using var pacer = new EventPacer(Head);
                var stream = "";
                for (var i = 0; i < sizes.Length; i++)
                {
                    pacer.Add(Utf8(Event(sizes[i])));
                    stream += Event(sizes[i]);
                    for (var tick = 0; tick < ticks[i]; tick++)
                        chunks.Add(pacer.Next().ToArray());
                }

                while (pacer.Waiting > 0 || chunks.Count == 0)
                    chunks.Add(pacer.Next().ToArray());
                pacer.EndContent();
                chunks.Add(pacer.Finish([]).ToArray());
                return chunks.All(chunk => chunk.Length == EventPacer.ChunkSize) && Unpad(Answer(chunks).Content.Span).AsSpan().SequenceEqual(Utf8(stream));
            },
            iter: Rounds);

    [Fact]
    public void Trailers_that_do_not_fit_take_another_chunk_and_larger_ones_are_refused()
    {
        using var pacer = new EventPacer(Head);
        pacer.Next();
        pacer.EndContent();
        pacer.Finish([new("a", new string('b', 4_080))]).Length.ShouldBe(EventPacer.ChunkSize);
        using var other = new EventPacer(Head);
        other.Next();
        other.EndContent();
        Should.Throw<ArgumentException>(() => other.Finish([new("a", new string('b', 4_200))]).Length);
        Should.Throw<ArgumentException>(() => new EventPacer(new ResponseHead(200, [new("a", new string('b', 2_100))])));
        Should.Throw<ArgumentException>(() => new EventPacer(new ResponseHead(200, [new("content-length", "1")])));
    }

    [Fact]
    public void A_stream_whose_framing_is_out_already_goes_on_behind_it()
    {
        using var pacer = new EventPacer(Head, isContinued: true);
        pacer.Add("data: 1\n\n"u8);
        var chunk = pacer.Next();
        Latin1(chunk.ToArray()).ShouldStartWith("\u0040\u00C8\u0000\u0080\u0000\u000F\u00F9data: 1");
        chunk.Length.ShouldBe(EventPacer.ChunkSize);
    }

    [Fact]
    public void Nothing_is_finished_that_waits_still()
    {
        using var pacer = new EventPacer(Head);
        pacer.Add("data: 1\n\n"u8);
        Should.Throw<InvalidOperationException>(() => pacer.EndContent().Length);
    }

    [Fact]
    public void A_stream_without_an_event_is_its_head_and_its_end()
    {
        using var pacer = new EventPacer(Head);
        pacer.EndContent().ToArray().ShouldBe([3, 0x40, 0xC8, 0, 0]);
        Should.Throw<ArgumentException>(() => pacer.Finish([new("content-length", "0")]).Length);
        Should.Throw<ArgumentNullException>(() => pacer.Finish(null!).Length).ParamName.ShouldBe("trailers");
        pacer.Finish([]).Length.ShouldBe(EventPacer.ChunkSize);
        Should.Throw<ArgumentNullException>(() => new EventPacer(null!)).ParamName.ShouldBe("head");
    }

    [Theory]
    [InlineData(0, 0x80)]
    [InlineData(1, 0xC0)]
    [InlineData(2, 0xC0)]
    [InlineData(3, 0x80)]
    public void A_length_is_longer_only_where_the_gap_is_smaller_than_any_filler(int gap, int form)
    {
        using var pacer = new EventPacer(Head);
        pacer.Add(Utf8(Event(EventPacer.ChunkSize - 8 - gap)));
        pacer.Next()[4].ShouldBe((byte)form);
    }

    [Fact]
    public void A_head_of_exactly_its_bound_is_taken()
    {
        using var pacer = new EventPacer(new ResponseHead(200, [new("h", new string('v', EventPacer.MaxHeadSize - 8))]));
        pacer.Next().Length.ShouldBe(EventPacer.ChunkSize);
        Should.Throw<ArgumentException>(() => new EventPacer(new ResponseHead(200, [new("h", new string('v', EventPacer.MaxHeadSize - 7))])));
        using var padder = new EventPadder(new ResponseHead(200, [new("h", new string('v', EventPadder.MaxHeadSize - 8))]));
        padder.EndContent().Length.ShouldBe(EventPadder.MaxHeadSize + 1);
        Should.Throw<ArgumentException>(() => new EventPadder(new ResponseHead(200, [new("h", new string('v', EventPadder.MaxHeadSize - 7))])));
        using var continued = new EventPadder(Head, isContinued: true);
        continued.EndContent().ToArray().ShouldBe([0x40, 0xC8, 0, 0]);
        Should.Throw<ArgumentNullException>(() => new EventPadder(null!)).ParamName.ShouldBe("head");
    }

    private static string Latin1(byte[] bytes) => Encoding.Latin1.GetString(bytes);

    private static List<byte[]> Pace(byte[] stream)
    {
        using var pacer = new EventPacer(Head);
        pacer.Add(stream);
        var chunks = new List<byte[]>();
        while (pacer.Waiting > 0)
            chunks.Add(pacer.Next().ToArray());
        pacer.EndContent();
        chunks.Add(pacer.Finish([]).ToArray());
        return chunks;
    }
}
