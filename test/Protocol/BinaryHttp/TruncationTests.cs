using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>spec/binary-http.md section 5: whoever cuts a message short gets no other message.</summary>
public sealed class TruncationTests
{
    [Fact]
    public void A_message_of_known_length_cut_at_every_byte_is_truncated_but_before_empty_sections()
    {
        var head = new RequestHead("POST", "https", "a", "/", [new("b", "c")]);
        AllTruncated(new BinaryRequest(head, "hi"u8.ToArray(), [new("d", "e")]), 0);
        AllTruncated(new BinaryRequest(head, "hi"u8.ToArray()), 1);
        AllTruncated(new BinaryRequest(head, default), 2);
        AllTruncated(new BinaryRequest(new RequestHead("POST", "https", "a", "/", []), default), 3);

        static void AllTruncated(BinaryRequest request, int omissible) => CutAtEveryByte(Write(request.Write), omissible, request);
    }

    [Fact]
    public void A_message_of_indeterminate_length_cut_at_every_byte_is_truncated_but_before_empty_sections()
    {
        var head = new RequestHead("POST", "https", "a", "/", [new("b", "c")]);
        AllTruncated(new BinaryRequest(head, "hi"u8.ToArray(), [new("d", "e")]), 0);
        AllTruncated(new BinaryRequest(head, "hi"u8.ToArray()), 1);
        AllTruncated(new BinaryRequest(head, default), 2);
        AllTruncated(new BinaryRequest(new RequestHead("POST", "https", "a", "/", []), default), 3);

        static void AllTruncated(BinaryRequest request, int omissible) =>
            CutAtEveryByte(RoundTripTests.Indeterminate(request, 1, four: true), omissible, request);
    }

    [Fact]
    public void A_response_cut_at_every_byte_is_truncated()
    {
        foreach (var message in new[] { Write(Answer.Write), RoundTripTests.Indeterminate(Answer, 3, four: false) })
        {
            // The one place to stop: with trailers there is none, but Answer cut before them is a shorter known answer.
            for (var size = 0; size < message.Length; size++)
            {
                var error = ResponseError(message[..size]);
                if (error != BinaryHttpError.None)
                    error.ShouldBe(BinaryHttpError.Truncated, $"at {size}");
                else
                    Response(message[..size]).Trailers.ShouldBeEmpty();
            }
        }
    }

    [Fact]
    public void A_stream_that_breaks_off_between_two_chunks_is_no_short_answer()
    {
        ResponseError(Bytes(3, 0x40, 0xC8, 0, 2, "hi")).ShouldBe(BinaryHttpError.Truncated);
        ResponseError(Bytes(3, 0x40, 0xC8, 0, 2, "hi", 0)).ShouldBe(BinaryHttpError.None);
        ResponseError(Bytes(3, 0x40, 0xC8, 1, "a", 1, "b")).ShouldBe(BinaryHttpError.Truncated);
        ResponseError(Bytes(3, 0x40, 0xC8, 0, 0, 1, "a", 1, "b")).ShouldBe(BinaryHttpError.Truncated);
    }

    [Fact]
    public void An_informational_response_is_no_answer()
    {
        ResponseError(Bytes(1, 0x40, 0x67)).ShouldBe(BinaryHttpError.Truncated);
        ResponseError(Bytes(1, 0x40, 0x67, 0)).ShouldBe(BinaryHttpError.Truncated);
        ResponseError(Bytes(3, 0x40, 0x67, 0)).ShouldBe(BinaryHttpError.Truncated);
    }

    [Fact]
    public void An_integer_cut_in_two_is_no_empty_section()
    {
        RequestError(Bytes(Get(), 0x40)).ShouldBe(BinaryHttpError.Truncated);
        RequestError(Bytes(Get(), 0, 0x80, 0, 0)).ShouldBe(BinaryHttpError.Truncated);
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), 0xC0)).ShouldBe(BinaryHttpError.Truncated);
    }

    // A message cut before an unwritten trailer section with fields is a valid one without them: the encapsulation's
    // final chunk says where a message ends, not its sections.
    private static void CutAtEveryByte(byte[] message, int omissible, BinaryRequest request)
    {
        for (var size = 0; size < message.Length; size++)
        {
            var error = RequestError(message[..size]);
            if (size >= message.Length - omissible)
                Request(message[..size]).ShouldBe(request, $"at {size}");
            else if (error != BinaryHttpError.None)
                error.ShouldBe(BinaryHttpError.Truncated, $"at {size}");
            else
                Request(message[..size]).ShouldSatisfyAllConditions(
                    cut => cut.Trailers.ShouldBeEmpty(),
                    cut => (cut.Content.IsEmpty || cut.Content.Span.SequenceEqual(request.Content.Span)).ShouldBeTrue(),
                    cut => (cut.Head.Fields.Count == 0 || cut.Head.Equals(request.Head)).ShouldBeTrue());
        }
    }
}
