using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using CsCheck;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>What is written is read again, however it arrives.</summary>
public sealed class RoundTripTests
{
    private static readonly int Rounds = Tree.Slow ? 30_000 : 600;

    [Fact]
    public void A_request_that_was_written_reads_as_itself_and_writes_the_same_bytes() => Requests.Sample(
        request =>
        {
            var message = Write(request.Write);
            var read = Request(message);
            return read.Equals(request) && Write(read.Write).AsSpan().SequenceEqual(message);
        },
        iter: Rounds);

    [Fact]
    public void A_response_that_was_written_reads_as_itself_and_writes_the_same_bytes() => Responses.Sample(
        response =>
        {
            var message = Write(response.Write);
            var read = Response(message);
            return read.Equals(response) && Write(read.Write).AsSpan().SequenceEqual(message);
        },
        iter: Rounds);

    [Fact]
    public void A_request_of_indeterminate_length_reads_as_the_one_of_known_length() =>
        Gen.Select(Requests, Gen.Int[1, 9_000], Gen.Bool).Sample(
            (request, chunk, four) => Request(Indeterminate(request, chunk, four)).Equals(request), iter: Rounds);

    [Fact]
    public void A_response_of_indeterminate_length_reads_as_the_one_of_known_length() =>
        Gen.Select(Responses, Gen.Int[1, 9_000], Gen.Bool).Sample(
            (response, chunk, four) => Response(Indeterminate(response, chunk, four)).Equals(response), iter: Rounds);

    [Fact]
    public void Padding_changes_nothing() => Gen.Select(Requests, Gen.Int[0, 3_000]).Sample(
        (request, padding) =>
        {
            var message = Write(request.Write);
            var reading = Read(new RequestReader(Limits), [.. message, .. new byte[padding]]);
            return reading.EndOfMessage == message.Length && Request([.. message, .. new byte[padding]]).Equals(request);
        },
        iter: Rounds);

    [Fact]
    public void Cutting_a_message_anywhere_changes_nothing() => Gen.Select(Responses, Gen.Bool, Gen.Int[0, int.MaxValue].Array[0, 6])
        .Sample((response, known, places) =>
        {
            var message = known ? Write(response.Write) : Indeterminate(response, 50, false);
            var cuts = places.Select(place => place % (message.Length + 1)).Order().ToArray();
            return Read(new ResponseReader(Limits), message, cuts) == Read(new ResponseReader(Limits), message);
        },
        iter: Rounds);

    [Fact]
    public void One_byte_at_a_time_changes_nothing()
    {
        foreach (var message in new[] { Write(Chat.Write), Indeterminate(Chat, 7, true), Indeterminate(Chat, 1, false) })
            Read(new RequestReader(Limits), message, Everywhere(message)).ShouldBe(Read(new RequestReader(Limits), message));
        foreach (var message in new[] { Write(Answer.Write), Indeterminate(Answer, 7, true), Indeterminate(Answer, 1, false) })
            Read(new ResponseReader(Limits), message, Everywhere(message)).ShouldBe(Read(new ResponseReader(Limits), message));

        static int[] Everywhere(byte[] message) => [.. Enumerable.Range(0, message.Length)];
    }

    [Fact]
    public void Integers_in_their_longest_form_read_alike()
    {
        var message = Bytes(
            Integer(2, 8), Integer(3, 8), "GET", Integer(5, 4), "https", Integer(0, 2), Integer(1, 8), "/",
            Integer(1, 8), "a", Integer(1, 4), "b", Integer(0, 8), Integer(2, 8), "hi", Integer(0, 4), Integer(0, 2));
        Request(message).ShouldBe(new BinaryRequest(new RequestHead("GET", "https", "", "/", [new("a", "b")]), "hi"u8.ToArray()));
        Response(Bytes(Integer(1, 2), Integer(200, 8), Integer(0, 8), Integer(2, 8), "hi", Integer(0, 8)))
            .ShouldBe(new BinaryResponse(new ResponseHead(200, []), "hi"u8.ToArray()));
    }

    [Fact]
    public void The_offsets_for_receipts_are_those_of_the_sections()
    {
        var message = Write(Chat.Write);
        var reading = Read(new RequestReader(Limits), [.. message, 0, 0]);
        var trailers = Write(Chat.Trailers.WriteKnownLength).Length;
        reading.EndOfContent.ShouldBe(message.Length - trailers);
        reading.EndOfMessage.ShouldBe(message.Length);
        // Left out and padded, or written: the zeros are the sections as long as there are some.
        Read(new RequestReader(Limits), Get()).EndOfMessage.ShouldBe(Get().Length);
        Read(new RequestReader(Limits), [.. Get(), 0, 0, 0, 0, 0]).EndOfMessage.ShouldBe(Get().Length + 3);
    }

    [Fact]
    public void A_declared_length_may_come_in_many_chunks_and_is_refused_as_soon_as_there_are_more()
    {
        var line = Bytes(Text("content-length"), Text("3"));
        var head = Bytes(Get(Framing.IndeterminateLengthRequest), line, 0);
        Request(Bytes(head, 1, "a", 1, "b", 1, "c", 0)).Content.ToArray().ShouldBe("abc"u8.ToArray());
        RequestError(Bytes(head, 2, "ab", 0)).ShouldBe(BinaryHttpError.InvalidContentLength);
        foreach (var chunks in new[] { Bytes(4), Bytes(3, "abc", 1), Bytes(1, "a", 3) })
        {
            var reading = Read(new RequestReader(Limits), Bytes(head, chunks), head.Length + chunks.Length); // of the chunk only its length has come
            (reading.Order, reading.Error).ShouldBe(("HI", BinaryHttpError.InvalidContentLength));
        }
    }

    [Fact]
    public void The_end_of_a_whole_message_is_where_its_padding_begins()
    {
        var message = Write(Chat.Write);
        BinaryRequest.TryParse((byte[])[.. message, 0, 0], Limits, out _, out _, out var end).ShouldBeTrue();
        end.ShouldBe(message.Length);
        BinaryRequest.TryParse((byte[])[9, 9], Limits, out _, out _, out end).ShouldBeFalse();
        end.ShouldBe(2);
    }

    [Fact]
    public void A_chunk_with_a_length_of_four_bytes_has_one_of_four_bytes()
    {
        var message = Write(output =>
        {
            var writer = new IndeterminateWriter(output, ChunkLengthForm.FourBytes);
            writer.WriteHead(new ResponseHead(200, []));
            writer.WriteContent("hi"u8);
            writer.WriteContent([]);
            writer.Complete([]);
        });
        message.ShouldBe(Bytes(3, 0x40, 0xC8, 0, 0x80, 0, 0, 2, "hi", 0, 0));
    }

    [Fact]
    public void A_writer_out_of_order_is_the_callers_mistake()
    {
        var writer = new IndeterminateWriter(new System.Buffers.ArrayBufferWriter<byte>());
        Should.Throw<InvalidOperationException>(() => writer.WriteContent("early"u8));
        writer.WriteHead(new ResponseHead(200, [new("content-length", "3")]));
        Should.Throw<InvalidOperationException>(() => writer.WriteHead(Chat.Head));
        Should.Throw<ArgumentException>(() => writer.Complete([new("content-length", "3")]));
        writer.WriteContent("four"u8);
        Should.Throw<InvalidOperationException>(() => writer.Complete([]));
        var three = new RequestHead("GET", "https", "", "/", [new("content-length", "3")]);
        Should.Throw<ArgumentException>(() => new BinaryRequest(three, default));
        Should.Throw<ArgumentException>(() => new BinaryRequest(Chat.Head, default, [new("content-length", "0")]));
        Should.Throw<ArgumentException>(() => new ResponseHead(199, []));
        Should.Throw<ArgumentException>(() => new ResponseHead(600, []));
        Should.Throw<ArgumentException>(() => new InformationalResponse(200, []));
        Should.Throw<ArgumentException>(() => new InformationalResponse(100, [new("content-length", "0")]));
        Should.Throw<ArgumentException>(() => new Field("a", "\u0100"));
        Should.Throw<ArgumentException>(() => new Field("A", "b"));
    }

    internal static byte[] Indeterminate(BinaryRequest request, int chunk, bool four) => Write(output =>
    {
        var writer = new IndeterminateWriter(output, four ? ChunkLengthForm.FourBytes : ChunkLengthForm.Shortest);
        writer.WriteHead(request.Head);
        foreach (var piece in request.Content.ToArray().Chunk(chunk))
            writer.WriteContent(piece);
        writer.Complete(request.Trailers);
    });

    internal static byte[] Indeterminate(BinaryResponse response, int chunk, bool four) => Write(output =>
    {
        var writer = new IndeterminateWriter(output, four ? ChunkLengthForm.FourBytes : ChunkLengthForm.Shortest);
        writer.WriteHead(response.Head);
        foreach (var piece in response.Content.ToArray().Chunk(chunk))
            writer.WriteContent(piece);
        writer.Complete(response.Trailers);
    });
}
