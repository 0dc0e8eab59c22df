using System.Text;
using ConfidentialChat.Protocol.Shape;
using CsCheck;
using static ConfidentialChat.Protocol.Tests.Shape.Streams;

namespace ConfidentialChat.Protocol.Tests.Shape;

public sealed class EventUnpadderTests
{
    private static readonly int Rounds = Tree.Slow ? 400_000 : 5_000;

    [Theory]
    [InlineData("data: x\n:~\n\n", "data: x\n\n")]
    [InlineData("data: x\n:~~~~\n\r\n", "data: x\n\r\n")]
    [InlineData("data: x\r\n:~~\n\r\n", "data: x\r\n\r\n")]
    [InlineData("data: x\r:~~\n\r", "data: x\r\r")]
    [InlineData("\n:~\n:~~\ndata: x\n:~\ndata: y\n\n", "\ndata: x\ndata: y\n\n")]
    [InlineData(": ping\n:~\n\n", ": ping\n\n")]
    public void Fillers_go(string padded, string expected) => Text(padded).ShouldBe(expected);

    [Theory]
    [InlineData(": ping\n\n")]
    [InlineData(":\n\n")]
    [InlineData(": \n")]
    [InlineData(": ~\n")]
    [InlineData("a\n:~ \n")]
    [InlineData("a\n:~\r\n")] // ours end in LF
    [InlineData("a\n:~\r")]
    [InlineData("a\n::~\n")]
    [InlineData("data: :~\n\n")]
    [InlineData("data: x:~\n")]
    [InlineData("\uFEFF:~\n")]
    [InlineData("~\n")]
    [InlineData("a\n:~~~~")]
    [InlineData(":~\n\uFEFFdata: x\n\n")]
    [InlineData("data: ünïcödé 😀\n\n")]
    public void Everything_else_stays(string stream) => Text(stream).ShouldBe(stream);

    [Theory]
    [InlineData(512, false)]
    [InlineData(513, true)]
    [InlineData(100_000, true)]
    public void A_comment_longer_than_any_filler_stays(int tildes, bool stays)
    {
        var comment = ":" + new string('~', tildes) + "\n";
        Text("a\n" + comment + "\n").ShouldBe("a\n" + (stays ? comment : "") + "\n");
    }

    [Fact]
    public void A_filler_that_keeps_two_line_ends_apart_leaves_a_comment_between_them()
    {
        const string Stream = "data: x\r:~\n\ndata: y\n\n";
        Text(Stream).ShouldBe("data: x\r:\n\ndata: y\n\n");
        Events(Unpad(Utf8(Stream))).ShouldBe(Events(Utf8(Stream)));
    }

    [Fact]
    public void Whoever_writes_the_stream_its_events_say_the_same() => Gen.Select(Signs, Places).Sample(
        (stream, places) => Events(Unpad(stream, places)) == Events(stream), iter: Rounds);

    [Fact]
    public void Cutting_the_stream_anywhere_changes_nothing() => Gen.Select(Signs, Places).Sample(
        (stream, places) => Unpad(stream, places).AsSpan().SequenceEqual(Unpad(stream)), iter: Rounds);

    [Fact]
    public void Taking_fillers_out_twice_takes_nothing_more() => Signs.Sample(
        stream => Unpad(Unpad(stream)).AsSpan().SequenceEqual(Unpad(stream)), iter: Rounds);

    [Fact]
    public void A_letter_of_four_bytes_in_four_pieces_arrives_whole()
    {
        var stream = Utf8("data: 😀é\n\n");
        Unpad(stream, [.. Enumerable.Range(0, stream.Length)]).ShouldBe(stream);
    }

    private static string Text(string stream)
    {
        var bytes = Utf8(stream);
        var whole = Unpad(bytes);
        Unpad(bytes, [.. Enumerable.Range(0, Math.Min(bytes.Length, 2_000))]).ShouldBe(whole);
        return Encoding.UTF8.GetString(whole);
    }
}
