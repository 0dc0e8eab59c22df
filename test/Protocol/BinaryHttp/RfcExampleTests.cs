using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>The examples of RFC 9292 section 5, byte for byte.</summary>
public sealed class RfcExampleTests
{
    private const string KnownLengthRequest = """
        00034745 54056874 74707300 0a2f6865 6c6c6f2e 74787440 6c0a7573 65722d61
        67656e74 34637572 6c2f372e 31362e33 206c6962 6375726c 2f372e31 362e3320
        4f70656e 53534c2f 302e392e 376c207a 6c69622f 312e322e 3304686f 73740f77
        77772e65 78616d70 6c652e63 6f6d0f61 63636570 742d6c61 6e677561 67650665
        6e2c206d 690000
        """;

    private const string IndeterminateLengthRequest = """
        02034745 54056874 74707300 0a2f6865 6c6c6f2e 7478740a 75736572 2d616765
        6e743463 75726c2f 372e3136 2e33206c 69626375 726c2f37 2e31362e 33204f70
        656e5353 4c2f302e 392e376c 207a6c69 622f312e 322e3304 686f7374 0f777777
        2e657861 6d706c65 2e636f6d 0f616363 6570742d 6c616e67 75616765 06656e2c
        206d6900 00000000 00000000 00000000
        """;

    private const string IndeterminateLengthResponse = """
        03406607 72756e6e 696e670a 22736c65 65702031 35220040 67046c69 6e6b233c
        2f737479 6c652e63 73733e3b 2072656c 3d707265 6c6f6164 3b206173 3d737479
        6c65046c 696e6b24 3c2f7363 72697074 2e6a733e 3b207265 6c3d7072 656c6f61
        643b2061 733d7363 72697074 0040c804 64617465 1d4d6f6e 2c203237 204a756c
        20323030 39203132 3a32383a 35332047 4d540673 65727665 72064170 61636865
        0d6c6173 742d6d6f 64696669 65641d57 65642c20 3232204a 756c2032 30303920
        31393a31 353a3536 20474d54 04657461 67142233 34616133 38372d64 2d313536
        38656230 30220d61 63636570 742d7261 6e676573 05627974 65730e63 6f6e7465
        6e742d6c 656e6774 68023531 04766172 790f4163 63657074 2d456e63 6f64696e
        670c636f 6e74656e 742d7479 70650a74 6578742f 706c6169 6e003348 656c6c6f
        20576f72 6c642120 4d792063 6f6e7465 6e742069 6e636c75 64657320 61207472
        61696c69 6e672043 524c462e 0d0a0000
        """;

    private const string KnownLengthResponse = """
        0140c800 1d546869 7320636f 6e74656e 7420636f 6e746169 6e732043 524c462e
        0d0a0d07 74726169 6c657204 74657874
        """;

    private static readonly RequestHead Hello = new(
        "GET",
        "https",
        "",
        "/hello.txt",
        [
            new("user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"),
            new("host", "www.example.com"),
            new("accept-language", "en, mi"),
        ]);

    private static readonly BinaryResponse World = new(
        new ResponseHead(
            200,
            [
                new("date", "Mon, 27 Jul 2009 12:28:53 GMT"),
                new("server", "Apache"),
                new("last-modified", "Wed, 22 Jul 2009 19:15:56 GMT"),
                new("etag", "\"34aa387-d-1568eb00\""),
                new("accept-ranges", "bytes"),
                new("content-length", "51"),
                new("vary", "Accept-Encoding"),
                new("content-type", "text/plain"),
            ],
            new InformationalResponse(102, [new("running", "\"sleep 15\"")]),
            new InformationalResponse(
                103, [new("link", "</style.css>; rel=preload; as=style"), new("link", "</script.js>; rel=preload; as=script")])),
        Encoding.ASCII.GetBytes("Hello World! My content includes a trailing CRLF.\r\n"));

    [Fact]
    public void The_request_of_known_length_reads_and_writes()
    {
        var expected = new BinaryRequest(Hello, default);
        Request(Hex(KnownLengthRequest)).ShouldBe(expected);
        Write(expected.Write).ShouldBe(Hex(KnownLengthRequest));
    }

    [Fact]
    public void The_request_of_indeterminate_length_reads_and_writes_but_for_its_padding()
    {
        var message = Hex(IndeterminateLengthRequest);
        Request(message).ShouldBe(new BinaryRequest(Hello, default));
        Write(output =>
        {
            var writer = new IndeterminateWriter(output);
            writer.WriteHead(Hello);
            writer.Complete([]);
        }).ShouldBe(message[..^10]);
        Read(new RequestReader(Limits), message).EndOfMessage.ShouldBe(message.Length - 10);
    }

    [Fact]
    public void Up_to_12_bytes_can_be_left_out_and_no_more()
    {
        var message = Hex(IndeterminateLengthRequest);
        for (var left = 0; left <= 12; left++)
            Request(message[..^left]).ShouldBe(new BinaryRequest(Hello, default));
        RequestError(message[..^13]).ShouldBe(BinaryHttpError.Truncated);
        var known = Hex(KnownLengthRequest);
        for (var left = 0; left <= 2; left++)
            Request(known[..^left]).ShouldBe(new BinaryRequest(Hello, default));
        RequestError(known[..^3]).ShouldBe(BinaryHttpError.Truncated);
    }

    [Fact]
    public void The_response_with_informational_responses_reads_and_writes()
    {
        var message = Hex(IndeterminateLengthResponse);
        Response(message).ShouldBe(World);
        Write(output =>
        {
            var writer = new IndeterminateWriter(output);
            writer.WriteHead(World.Head);
            writer.WriteContent(World.Content.Span);
            writer.Complete([]);
        }).ShouldBe(message);
    }

    [Fact]
    public void The_response_of_known_length_with_a_trailer_reads_and_writes()
    {
        var content = "This content contains CRLF.\r\n"u8.ToArray();
        var expected = new BinaryResponse(new ResponseHead(200, []), content, [new("trailer", "text")]);
        Response(Hex(KnownLengthResponse)).ShouldBe(expected);
        Write(expected.Write).ShouldBe(Hex(KnownLengthResponse));
    }
}
