using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>spec/binary-http.md sections 1 to 5: what an attacker writes, and the word that it earns.</summary>
public sealed class RejectionTests
{
    [Fact]
    public void The_message_that_these_tests_break_is_valid()
    {
        RequestError(Get()).ShouldBe(BinaryHttpError.None);
        RequestError(GetWith(Bytes(Text("a"), Text("b")))).ShouldBe(BinaryHttpError.None);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(63)]
    public void A_fifth_framing(int indicator) => RequestError([(byte)indicator]).ShouldBe(BinaryHttpError.UnknownFraming);

    [Fact]
    public void A_giant_framing() => RequestError(Integer(Varint.MaxValue)).ShouldBe(BinaryHttpError.UnknownFraming);

    [Fact]
    public void An_answer_sent_back_as_a_question()
    {
        RequestError(Write(Answer.Write)).ShouldBe(BinaryHttpError.UnexpectedFraming);
        ResponseError(Write(Chat.Write)).ShouldBe(BinaryHttpError.UnexpectedFraming);
        RequestError([3]).ShouldBe(BinaryHttpError.UnexpectedFraming);
        ResponseError([2]).ShouldBe(BinaryHttpError.UnexpectedFraming);
    }

    [Theory]
    [InlineData("", "https", "", "/", BinaryHttpError.InvalidMethod)]
    [InlineData("GET ", "https", "", "/", BinaryHttpError.InvalidMethod)]
    [InlineData("GET / HTTP/1.1\r\nx:", "https", "", "/", BinaryHttpError.InvalidMethod)]
    [InlineData("G\0T", "https", "", "/", BinaryHttpError.InvalidMethod)]
    [InlineData("CONNECT", "https", "example.com:443", "/", BinaryHttpError.InvalidMethod)]
    [InlineData("GET", "", "", "/", BinaryHttpError.InvalidScheme)]
    [InlineData("GET", "HTTPS", "", "/", BinaryHttpError.InvalidScheme)]
    [InlineData("GET", "9p", "", "/", BinaryHttpError.InvalidScheme)]
    [InlineData("GET", "http:", "", "/", BinaryHttpError.InvalidScheme)]
    [InlineData("GET", "https", "good@evil.example", "/", BinaryHttpError.InvalidAuthority)]
    [InlineData("GET", "https", "a b", "/", BinaryHttpError.InvalidAuthority)]
    [InlineData("GET", "https", "a/b", "/", BinaryHttpError.InvalidAuthority)]
    [InlineData("GET", "https", "a\r\nhost: b", "/", BinaryHttpError.InvalidAuthority)]
    [InlineData("GET", "https", "", "", BinaryHttpError.InvalidPath)]
    [InlineData("GET", "https", "", "v1/models", BinaryHttpError.InvalidPath)]
    [InlineData("GET", "https", "", "*", BinaryHttpError.InvalidPath)]
    [InlineData("GET", "https", "", "/ HTTP/1.1\r\n\r\n", BinaryHttpError.InvalidPath)]
    [InlineData("GET", "https", "", "/a#b", BinaryHttpError.InvalidPath)]
    [InlineData("GET", "https", "", "/\u00e9", BinaryHttpError.InvalidPath)]
    [InlineData("OPTIONS", "https", "", "*", BinaryHttpError.None)]
    public void A_request_line_split_in_the_control_data(string method, string scheme, string authority, string path, BinaryHttpError error)
    {
        RequestError(Bytes(0, Text(method), Text(scheme), Text(authority), Text(path))).ShouldBe(error);
        if (error == BinaryHttpError.None)
            new RequestHead(method, scheme, authority, path, []).Path.ShouldBe(path);
        else
            Should.Throw<ArgumentException>(() => new RequestHead(method, scheme, authority, path, []))
                .Message.ShouldContain(error.ToString());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(20)]
    [InlineData(99)]
    [InlineData(600)]
    [InlineData(999)]
    [InlineData(65736)] // 200 in its low 16 bits
    [InlineData(4294967496)] // 200 in its low 32 bits
    public void A_status_that_is_none(long status) =>
        ResponseError(Bytes(1, Integer(status), 0, 0, 0)).ShouldBe(BinaryHttpError.InvalidStatus);

    [Theory]
    [InlineData("", "", BinaryHttpError.InvalidFieldName)]
    [InlineData("Host", "a", BinaryHttpError.InvalidFieldName)]
    [InlineData("a b", "", BinaryHttpError.InvalidFieldName)]
    [InlineData("a:b", "", BinaryHttpError.InvalidFieldName)]
    [InlineData("a\r\nb", "", BinaryHttpError.InvalidFieldName)]
    [InlineData("\u00e9", "", BinaryHttpError.InvalidFieldName)]
    [InlineData(":method", "DELETE", BinaryHttpError.PseudoField)]
    [InlineData(":path", "/admin", BinaryHttpError.PseudoField)]
    [InlineData(":authority", "evil.example", BinaryHttpError.PseudoField)]
    [InlineData(":scheme", "http", BinaryHttpError.PseudoField)]
    [InlineData(":status", "200", BinaryHttpError.PseudoField)]
    [InlineData(":protocol", "websocket", BinaryHttpError.PseudoField)]
    [InlineData(":", "", BinaryHttpError.PseudoField)]
    [InlineData("connection", "close", BinaryHttpError.ConnectionField)]
    [InlineData("keep-alive", "1", BinaryHttpError.ConnectionField)]
    [InlineData("proxy-connection", "close", BinaryHttpError.ConnectionField)]
    [InlineData("te", "trailers", BinaryHttpError.ConnectionField)]
    [InlineData("transfer-encoding", "chunked", BinaryHttpError.ConnectionField)]
    [InlineData("upgrade", "h2c", BinaryHttpError.ConnectionField)]
    [InlineData("a", "b\r\nauthorization: c", BinaryHttpError.InvalidFieldValue)]
    [InlineData("a", "b\nc", BinaryHttpError.InvalidFieldValue)]
    [InlineData("a", "b\rc", BinaryHttpError.InvalidFieldValue)]
    [InlineData("a", "b\0c", BinaryHttpError.InvalidFieldValue)]
    [InlineData("a", " b", BinaryHttpError.InvalidFieldValue)]
    [InlineData("a", "b\t", BinaryHttpError.InvalidFieldValue)]
    [InlineData("a", " ", BinaryHttpError.InvalidFieldValue)]
    public void A_field_that_becomes_another_one_in_headers_or_trailers(string name, string value, BinaryHttpError error)
    {
        var line = Bytes(Text(name), Text(value));
        var section = Bytes(Integer(line.Length), line);
        RequestError(Bytes(Get(), section)).ShouldBe(error);
        RequestError(Bytes(Get(), 0, 0, section)).ShouldBe(error);
        ResponseError(Bytes(1, 0x40, 0xC8, section)).ShouldBe(error);
        ResponseError(Bytes(1, 0x40, 0xC8, 0, 0, section)).ShouldBe(error);
        ResponseError(Bytes(1, 0x40, 0x67, section, 0x40, 0xC8)).ShouldBe(error);
        Should.Throw<ArgumentException>(() => new Field(name, value)).Message.ShouldContain(error.ToString());
        if (name.Length == 0)
            return; // the terminator there
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), line, 0, 0, 0)).ShouldBe(error);
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), 0, 0, line, 0)).ShouldBe(error);
    }

    [Fact]
    public void A_field_that_runs_into_the_content()
    {
        RequestError(Bytes(Get(), 3, Text("a"), Text("bc"), 0, 0)).ShouldBe(BinaryHttpError.FieldSectionOverrun);
        RequestError(Bytes(Get(), 2, Text("aaaa"), Text("b"), 0, 0)).ShouldBe(BinaryHttpError.FieldSectionOverrun);
        RequestError(Bytes(Get(), 2, Text("a"), Text("b"), 0, 0)).ShouldBe(BinaryHttpError.FieldSectionOverrun);
        RequestError(Bytes(Get(), 1, Integer(1, 4), "a", 0, 0)).ShouldBe(BinaryHttpError.FieldSectionOverrun);
        RequestError(Bytes(Get(), 3, Text("a"), Integer(1, 8), 0, 0)).ShouldBe(BinaryHttpError.FieldSectionOverrun);
    }

    [Fact]
    public void A_second_host_or_another_than_the_authority()
    {
        var mine = Bytes(Text("host"), Text("example.com"));
        RequestError(GetWith(mine)).ShouldBe(BinaryHttpError.None);
        RequestError(GetWith(mine, mine)).ShouldBe(BinaryHttpError.HostMismatch);
        RequestError(GetWith(Bytes(Text("host"), Text("evil.example")))).ShouldBe(BinaryHttpError.HostMismatch);
        Should.Throw<ArgumentException>(() => new RequestHead("GET", "https", "", "/", [new("host", "a"), new("host", "a")]));
    }

    [Theory]
    [InlineData("3")]
    [InlineData("1")]
    [InlineData("-2")]
    [InlineData("+2")]
    [InlineData("2, 2")]
    [InlineData("0x2")]
    [InlineData("")]
    [InlineData("18446744073709551618")] // 2 in its low 64 bits
    public void A_content_length_that_smuggles_a_second_request(string length)
    {
        var section = Bytes(Text("content-length"), Text(length));
        RequestError(Bytes(GetWith(section), 2, "hi")).ShouldBe(BinaryHttpError.InvalidContentLength);
        RequestError(Bytes(Get(Framing.IndeterminateLengthRequest), section, 0, 1, "h", 1, "i", 0))
            .ShouldBe(BinaryHttpError.InvalidContentLength);
        ResponseError(Bytes(1, 0x40, 0xC8, Integer(section.Length), section, 2, "hi")).ShouldBe(BinaryHttpError.InvalidContentLength);
        ResponseError(Bytes(3, 0x40, 0xC8, section, 0, 1, "h", 1, "i", 0)).ShouldBe(BinaryHttpError.InvalidContentLength);
    }

    [Fact]
    public void A_content_length_that_stands_twice_or_too_late()
    {
        var line = Bytes(Text("content-length"), Text("2"));
        RequestError(Bytes(GetWith(line), 2, "hi")).ShouldBe(BinaryHttpError.None);
        RequestError(Bytes(GetWith(line, line), 2, "hi")).ShouldBe(BinaryHttpError.InvalidContentLength);
        RequestError(Bytes(Get(), 0, 2, "hi", Integer(line.Length), line)).ShouldBe(BinaryHttpError.InvalidContentLength);
        ResponseError(Bytes(3, 0x40, 0x67, line, 0, 0x40, 0xC8, 0)).ShouldBe(BinaryHttpError.InvalidContentLength);
        RequestError(GetWith(line)).ShouldBe(BinaryHttpError.InvalidContentLength);
        ResponseError(Bytes(1, 0x41, 0x30, Integer(line.Length), line)).ShouldBe(BinaryHttpError.None, "304 declares what it leaves out");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1_000)]
    public void A_message_hidden_in_the_padding(int zeros)
    {
        byte[] padding = [.. new byte[zeros], 1, 0, 0];
        RequestError(Bytes(Write(Chat.Write), padding)).ShouldBe(BinaryHttpError.NonZeroPadding);
        ResponseError(Bytes(Write(Answer.Write), padding)).ShouldBe(BinaryHttpError.NonZeroPadding);
        ResponseError(Bytes(Write(Answer.Write), Write(Answer.Write))).ShouldBe(BinaryHttpError.NonZeroPadding);
    }

    [Fact]
    public void An_error_is_the_last_word_and_so_is_the_end()
    {
        var broken = new RequestReader(Limits);
        ReadOnlySpan<byte> input = [9];
        broken.Read(ref input, isFinal: false, out _).ShouldBe(MessagePart.Invalid);
        input = Write(Chat.Write);
        broken.Read(ref input, isFinal: true, out _).ShouldBe(MessagePart.Invalid);
        broken.Error.ShouldBe(BinaryHttpError.UnknownFraming);

        var ended = new RequestReader(Limits);
        Read(ended, Get()).Order.ShouldBe("HTE");
        input = [1];
        ended.Read(ref input, isFinal: true, out _).ShouldBe(MessagePart.End);
    }
}
