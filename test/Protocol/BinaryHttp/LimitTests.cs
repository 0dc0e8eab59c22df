using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>spec/binary-http.md section 6: bombs, and giants that only announce themselves.</summary>
public sealed class LimitTests
{
    [Fact]
    public void A_giant_announced_at_any_place_takes_no_memory()
    {
        foreach (var giant in new[] { Integer(Varint.MaxValue), Integer(int.MaxValue), Integer(1L << 32), Integer((1L << 32) + 1) })
        {
            Takes(Bytes(0, giant, "GET"), BinaryHttpError.ControlDataTooLarge);
            Takes(Bytes(0, Text("GET"), giant), BinaryHttpError.ControlDataTooLarge);
            Takes(Bytes(0, Text("GET"), Text("https"), Text("a"), giant, "/"), BinaryHttpError.ControlDataTooLarge);
            Takes(Bytes(Get(), giant), BinaryHttpError.FieldSectionTooLarge);
            Takes(Bytes(Get(), 9, giant), BinaryHttpError.FieldSectionOverrun);
            Takes(Bytes(Get(), Integer(11), Text("a"), giant), BinaryHttpError.FieldSectionOverrun);
            Takes(Bytes(Get(), 0, giant), BinaryHttpError.ContentTooLarge);
            Takes(Bytes(Get(), 0, 0, giant), BinaryHttpError.FieldSectionTooLarge);
            Takes(Bytes(Get(Framing.IndeterminateLengthRequest), giant), BinaryHttpError.FieldSectionTooLarge);
            Takes(Bytes(Get(Framing.IndeterminateLengthRequest), Text("a"), giant), BinaryHttpError.FieldSectionTooLarge);
            Takes(Bytes(Get(Framing.IndeterminateLengthRequest), 0, giant), BinaryHttpError.ContentTooLarge);
            Takes(Bytes(Get(Framing.IndeterminateLengthRequest), 0, 1, "a", giant), BinaryHttpError.ContentTooLarge);
        }

        static void Takes(byte[] message, BinaryHttpError error)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            _ = BinaryRequest.TryParse(message, Limits, out _, out var told);
            (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(8_192);
            told.ShouldBe(error);
        }
    }

    [Fact]
    public void The_most_that_is_allowed_and_announced_takes_no_memory_before_it_comes()
    {
        var message = Bytes(Get(Framing.IndeterminateLengthRequest), Integer(Limits.MaxFieldSectionSize), "a");
        RequestError(message); // warm
        var before = GC.GetAllocatedBytesForCurrentThread();
        _ = BinaryRequest.TryParse(message, Limits, out _, out var error);
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(2_048);
        error.ShouldBe(BinaryHttpError.Truncated);
    }

    [Theory]
    [InlineData(128, BinaryHttpError.None)]
    [InlineData(129, BinaryHttpError.TooManyFields)]
    [InlineData(100_000, BinaryHttpError.TooManyFields)]
    public void A_bomb_of_many_fields(int count, BinaryHttpError error)
    {
        var lines = Bytes([.. Enumerable.Repeat<object>(new byte[] { 1, (byte)'a', 0 }, count)]);
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), lines, 0, 0, 0)).ShouldBe(error);
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), 0, 0, lines, 0)).ShouldBe(error);
        RequestError(Bytes(Get(), Integer(lines.Length), lines), Limits with { MaxFieldSectionSize = 1 << 20 }).ShouldBe(error);
    }

    [Fact]
    public void A_bomb_of_large_fields()
    {
        var line = Bytes(Text("a"), Text(new string('b', 8_191)));
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), line, line, 0)).ShouldBe(BinaryHttpError.None);
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), line, line, Text("c"))).ShouldBe(BinaryHttpError.FieldSectionTooLarge);
        RequestError(GetWith(line, line)).ShouldBe(BinaryHttpError.FieldSectionTooLarge, "the lengths count where they are declared");
    }

    [Theory]
    [InlineData(8, BinaryHttpError.None)]
    [InlineData(9, BinaryHttpError.TooManyInformationalResponses)]
    [InlineData(100_000, BinaryHttpError.TooManyInformationalResponses)]
    public void An_answer_that_never_comes_to_the_point(int count, BinaryHttpError error)
    {
        var before = Bytes([.. Enumerable.Repeat<object>(new byte[] { 0x40, 0x66, 0 }, count)]);
        ResponseError(Bytes(1, before, 0x40, 0xC8)).ShouldBe(error);
        ResponseError(Bytes(3, before, 0x40, 0xC8)).ShouldBe(error);
    }

    [Fact]
    public void Control_data_share_one_limit()
    {
        var half = "/" + new string('p', 4_090);
        WithAuthority(4_093).ShouldBe(BinaryHttpError.None);
        WithAuthority(4_094).ShouldBe(BinaryHttpError.ControlDataTooLarge);

        BinaryHttpError WithAuthority(int size) =>
            RequestError(Bytes(0, Text("GET"), Text("https"), Text(new string('a', size)), Text(half)));
    }

    [Fact]
    public void Content_in_many_chunks_shares_one_limit()
    {
        var limits = Limits with { MaxContentSize = 3 };
        RequestError(Bytes(Get(), 0, 3, "abc"), limits).ShouldBe(BinaryHttpError.None);
        RequestError(Bytes(Get(), 0, 4, "abcd"), limits).ShouldBe(BinaryHttpError.ContentTooLarge);
        var get = Get(Framing.IndeterminateLengthRequest);
        RequestError(Bytes(get, 0, 2, "ab", 1, "c", 0), limits).ShouldBe(BinaryHttpError.None);
        RequestError(Bytes(get, 0, 2, "ab", 2, "cd", 0), limits).ShouldBe(BinaryHttpError.ContentTooLarge);
    }

    [Fact]
    public void A_field_section_that_declares_exactly_the_limit_is_read()
    {
        var limits = Limits with { MaxFieldSectionSize = 4 };
        var line = Bytes(Text("a"), Text("b"));
        RequestError(GetWith(line), limits).ShouldBe(BinaryHttpError.None);
        RequestError(GetWith(Bytes(Text("a"), Text("bc"))), limits).ShouldBe(BinaryHttpError.FieldSectionTooLarge);
        (Limits.MaxContentSize, Limits.MaxFieldSectionSize, Limits.MaxControlDataSize).ShouldBe((67_108_864, 16_384, 8_192));
        (Limits.MaxFields, Limits.MaxInformationalResponses).ShouldBe((128, 8));
    }
}
