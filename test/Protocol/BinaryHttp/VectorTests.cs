using System.Text.Json;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using static ConfidentialChat.Protocol.Tests.BinaryHttp.Messages;

namespace ConfidentialChat.Protocol.Tests.BinaryHttp;

/// <summary>The Binary HTTP messages inside the vectors of Oblivious HTTP.</summary>
public sealed class VectorTests
{
    [Fact]
    public void The_messages_of_RFC_9458_appendix_A_read()
    {
        var vector = Vectors.Json("ohttp/rfc9458-appendix-a.json");
        Request(vector.Hex("request_bhttp")).ShouldBe(new BinaryRequest(new RequestHead("GET", "https", "example.com", "/", []), default));
        Response(vector.Hex("response_bhttp")).ShouldBe(new BinaryResponse(new ResponseHead(200, []), default));
    }

    [Fact]
    public void The_generated_messages_read_and_those_that_leave_nothing_out_are_written_alike()
    {
        var alike = 0;
        foreach (var vector in Vectors.Json("ohttp/generated-rfc9458.json").GetProperty("vectors").EnumerateArray())
        {
            var request = vector.Hex("request_bhttp");
            var response = vector.Hex("response_bhttp");
            alike += ReadsAndWrites(request, Write(Request(request).Write)) + ReadsAndWrites(response, Write(Response(response).Write));
        }

        alike.ShouldBePositive();
    }

    [Theory]
    [InlineData("ohttp/chunked-draft08-example.json")]
    [InlineData("ohttp/generated-chunked.json")]
    public void Messages_in_chunks_read_as_they_arrive(string file)
    {
        var json = Vectors.Json(file);
        foreach (var vector in json.TryGetProperty("vectors", out var vectors) ? vectors.EnumerateArray().ToArray() : [json])
        {
            Arrives(new RequestReader(Limits), new RequestReader(Limits), Chunks(vector, "request_chunks"));
            Arrives(new ResponseReader(Limits), new ResponseReader(Limits), Chunks(vector, "response_chunks"));
        }
    }

    private static byte[][] Chunks(JsonElement vector, string member) =>
        [.. vector.GetProperty(member).EnumerateArray().Select(chunk => Convert.FromHexString(chunk.GetString()!))];

    private static void Arrives(MessageReader whole, MessageReader cut, byte[][] chunks)
    {
        var message = chunks.SelectMany(chunk => chunk).ToArray();
        var sizes = chunks.Select(chunk => chunk.Length).ToArray();
        var cuts = sizes.Select((_, i) => sizes[..i].Sum()).ToArray();
        var expected = Read(whole, message);
        expected.Order.ShouldBe("HTE");
        Read(cut, message, cuts).ShouldBe(expected);
    }

    // Where the message was truncated, what is written goes on with the empty sections.
    private static int ReadsAndWrites(byte[] read, byte[] written)
    {
        written.AsSpan(0, read.Length).SequenceEqual(read).ShouldBeTrue();
        written.AsSpan(read.Length).ContainsAnyExcept((byte)0).ShouldBeFalse();
        return read.Length == written.Length ? 1 : 0;
    }
}
