using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>spec/oblivious-v2.md sections 4 to 8 against the published examples and the generated exchanges, byte for byte.</summary>
public sealed class ObliviousVectorTests
{
    [Fact]
    public void The_whole_example_of_RFC_9458_comes_out() => CheckWhole(Vectors.Json("ohttp/rfc9458-appendix-a.json"));

    [Fact]
    public void The_generated_whole_exchanges_come_out()
    {
        foreach (var vector in Vectors.Json("ohttp/generated-rfc9458.json").GetProperty("vectors").EnumerateArray())
            CheckWhole(vector);
    }

    [Fact]
    public void The_chunked_example_of_the_draft_comes_out() => CheckChunked(Vectors.Json("ohttp/chunked-draft08-example.json"));

    [Fact]
    public void The_generated_chunked_exchanges_come_out()
    {
        foreach (var vector in Vectors.Json("ohttp/generated-chunked.json").GetProperty("vectors").EnumerateArray())
            CheckChunked(vector);
    }

    [Fact]
    public void The_published_negative_cases_are_refused()
    {
        var (whole, chunked) = (Vectors.Json("ohttp/rfc9458-appendix-a.json"), Vectors.Json("ohttp/chunked-draft08-example.json"));
        byte[] request = whole.Hex("encapsulated_request"), answer = chunked.Hex("chunked_encapsulated_response");
        var chunks = Wire.Split(answer, 16);
        var nonce = answer[..16];
        foreach (var item in Vectors.Json("ohttp/negative-cases.json").GetProperty("cases").EnumerateArray())
        {
            switch (item.String("id"))
            {
                case "truncate-final-chunk":
                    OpenAnswer(chunked, answer[..^(chunks[^1].Length + 1)]).Outcome.ShouldBe(OpenOutcome.Truncated);
                    break;
                case "final-aad-missing":
                    byte[] posing = [.. answer[..^(chunks[^1].Length + 1)], 17, .. chunks[^1], 0];
                    OpenAnswer(chunked, posing).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
                    break;
                case "swap-chunks":
                    OpenAnswer(chunked, Wire.Join(nonce, [chunks[1], chunks[0], chunks[2]])).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
                    break;
                case "empty-nonfinal":
                    OpenAnswer(chunked, Wire.Join(nonce, [new byte[16], .. chunks])).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
                    break;
                case "wrong-key-id":
                    OpenWhole(whole, [2, .. request[1..]]).ShouldBe(OpenOutcome.KeyUnknown);
                    break;
                case "flip-any-byte":
                    for (var at = 0; at < request.Length; at++)
                        OpenWhole(whole, Fixture.Flip(request, at * 8)).ShouldBeOneOf(OpenOutcome.KeyUnknown, OpenOutcome.CannotBeOpened);
                    break;
                default:
                    Assert.Fail($"no test for {item.String("id")}");
                    break;
            }
        }
    }

    private static void CheckWhole(JsonElement vector)
    {
        using var key = NodeKey(vector);
        var suite = Suite(vector);
        // The client's side of the request.
        var skE = vector.Hex("client_ephemeral_secret_key");
        using var sealedRequest = WholeRequest.Seal(key.Configuration, suite, vector.Hex("request_bhttp"), skE);
        sealedRequest.Encapsulated.ToArray().ShouldBe(vector.Hex("encapsulated_request"));
        MessageForm.Whole.Info(RequestHeader.Read(sealedRequest.Encapsulated.Span)).ShouldBe(vector.Hex("info"));
        // The node's side, and its answer.
        OpenedWholeRequest.TryOpen(new(key), sealedRequest.Encapsulated.Span, out var opened).ShouldBe(OpenOutcome.Final);
        using (opened)
        {
            opened!.Plaintext.ToArray().ShouldBe(vector.Hex("request_bhttp"));
            var answer = vector.Hex("encapsulated_response");
            var response_nonce = answer[..Math.Max(12, vector.Hex("response_key").Length)];
            opened.SealAnswer(vector.Hex("response_bhttp"), response_nonce).ShouldBe(answer);
            sealedRequest.TryOpenAnswer(answer, out var plaintext).ShouldBe(OpenOutcome.Final);
            plaintext.ShouldBe(vector.Hex("response_bhttp"));
        }
    }

    private static void CheckChunked(JsonElement vector)
    {
        using var key = NodeKey(vector);
        var suite = Suite(vector);
        byte[] request = vector.Hex("chunked_encapsulated_request"), answer = vector.Hex("chunked_encapsulated_response");
        List<byte[]> requestChunks = Chunks(vector, "request_chunks"), answerChunks = Chunks(vector, "response_chunks");
        MessageForm.Chunked.Info(RequestHeader.Read(request)).ShouldBe(vector.Hex("info"));
        // The client's side of the request.
        var output = new ArrayBufferWriter<byte>();
        using var sealer = ChunkedRequestSealer.Start(key.Configuration, suite, output, vector.Hex("client_ephemeral_secret_key"));
        Wire.Seal(sealer, requestChunks);
        output.WrittenSpan.ToArray().ShouldBe(request);
        // The node's side, and its answer.
        using var opener = new ChunkedRequestOpener(new(key), Wire.Input(request), ChunkLimits.Request);
        var opened = Wire.Read(opener);
        opened.Outcome.ShouldBe(OpenOutcome.Final);
        opened.Chunks.ShouldBe(requestChunks);
        var answerOutput = new ArrayBufferWriter<byte>();
        using var answerSealer = opener.SealAnswer(answerOutput, answer.AsSpan(0, vector.Hex("response_key").Length));
        Wire.Seal(answerSealer, answerChunks);
        answerOutput.WrittenSpan.ToArray().ShouldBe(answer);
        // The client's side of the answer.
        using var answerOpener = sealer.OpenAnswer(Wire.Input(answer), ChunkLimits.Answer);
        var reading = Wire.Read(answerOpener);
        reading.Outcome.ShouldBe(OpenOutcome.Final);
        reading.Chunks.ShouldBe(answerChunks);
    }

    private static Reading OpenAnswer(JsonElement vector, byte[] answer)
    {
        using var key = NodeKey(vector);
        using var sealer = ChunkedRequestSealer.Start(
            key.Configuration, Suite(vector), new ArrayBufferWriter<byte>(), vector.Hex("client_ephemeral_secret_key"));
        using var opener = sealer.OpenAnswer(Wire.Input(answer), ChunkLimits.Answer);
        return Wire.Read(opener);
    }

    private static OpenOutcome OpenWhole(JsonElement vector, byte[] request)
    {
        using var key = NodeKey(vector);
        var outcome = OpenedWholeRequest.TryOpen(new(key), request, out var opened);
        opened?.Dispose();
        return outcome;
    }

    private static ObliviousKey NodeKey(JsonElement vector)
    {
        KeyConfiguration.TryParse(vector.Hex("key_config"), out var configuration).ShouldBeTrue();
        var privateKey = HpkePrivateKey.Import(KemId.DhkemX25519, vector.Hex("gateway_secret_key"));
        privateKey.PublicKey.ShouldBe(configuration!.PublicKey);
        var key = new ObliviousKey(configuration.KeyId, privateKey, configuration.Suites);
        var written = new ArrayBufferWriter<byte>();
        key.Configuration.Write(written);
        written.WrittenSpan.ToArray().ShouldBe(vector.Hex("key_config"));
        return key;
    }

    private static SymmetricSuite Suite(JsonElement vector) =>
        new(KdfId.HkdfSha256, vector.TryGetProperty("aead_id", out var aead) ? (AeadId)aead.GetUInt16() : AeadId.Aes128Gcm);

    private static List<byte[]> Chunks(JsonElement vector, string member) =>
        [.. vector.GetProperty(member).EnumerateArray().Select(chunk => Convert.FromHexString(chunk.GetString()!))];
}
