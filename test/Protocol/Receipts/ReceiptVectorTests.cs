using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Protocol.Tests.Receipts;

/// <summary><c>spec/vectors/receipts.json</c>, which <c>spec/tools</c> makes: whole exchanges of envelope v2, reproduced here byte for byte.</summary>
public sealed class ReceiptVectorTests
{
    [Fact]
    public void Every_request_comes_out_and_is_read_to_its_padding()
    {
        foreach (var vector in Vectors())
        {
            using var key = NodeKey(vector);
            var message = new ArrayBufferWriter<byte>();
            var size = Call(vector).Write(message);
            message.WrittenSpan[..size].ToArray().ShouldBe(vector.Hex("request_message"), vector.String("name"));
            using var sealer = Seal(key, vector, message.WrittenSpan, out var request);
            request.ShouldBe(vector.Hex("request"), vector.String("name"));

            var (opener, opened) = Open(key, vector);
            using (opener)
            {
                InnerCall.TryRead(opened, out var call, out _).ShouldBeTrue();
                call!.Message.ToArray().ShouldBe(vector.Hex("request_message"));
                opener.Encapsulation.ToArray().ShouldBe(request[..(7 + 1120)]);
            }
        }
    }

    [Fact]
    public void Every_answer_comes_out_with_its_receipt()
    {
        foreach (var vector in Vectors())
        {
            using var key = NodeKey(vector);
            using var signing = Ed25519PrivateKey.Import(vector.Hex("signing_seed"));
            var (opener, _) = Open(key, vector);
            using (opener)
            {
                var output = new ArrayBufferWriter<byte>();
                using (var writer = new SealedAnswerWriter(opener.SealAnswer(output, vector.Hex("response_nonce"))))
                    Write(writer, vector, opener, signing);
                output.WrittenSpan.ToArray().ShouldBe(vector.Hex("sealed_answer"), vector.String("name"));
            }
        }
    }

    [Fact]
    public async Task Every_answer_is_opened_to_the_exact_bytes_and_the_trailers()
    {
        foreach (var vector in Vectors())
        {
            using var key = NodeKey(vector);
            using var call = SealedCallOf(key, vector);
            using var reader = new SealedAnswerReader(
                call.OpenAnswer(PipeReader.Create(new ReadOnlySequence<byte>(vector.Hex("sealed_answer"))), ChunkLimits.Answer), keptSize: 1 << 20);
            var isCutOff = vector.GetProperty("answer").GetProperty("end").GetInt32() == 1;
            var reading = async () =>
            {
                while (await reader.ReadContentAsync(TestContext.Current.CancellationToken) is { Length: > 0 })
                {
                }
            };
            if (isCutOff)
                (await Should.ThrowAsync<MessageNotOpenedException>(reading)).Outcome.ShouldBe(OpenOutcome.Truncated);
            else
                await reading();
            reader.CopyMessage().ShouldBe(vector.Hex("answer_message"), vector.String("name"));
            ReceiptTrailers.TryRead(reader.Trailers, out var receipt, out var salts).ShouldBeTrue();
            receipt.ShouldBe(vector.Hex("receipt"));
            salts.Span.ToArray().ShouldBe(vector.Hex("salts"));

            SignedReceipt.TryParse(receipt, out var signed).ShouldBe(CoseError.None);
            signed!.IsSignedBy(new Ed25519PublicKey(vector.Hex("signing"))).ShouldBeTrue();
            SaltedHash.OfRequest(salts, vector.Hex("request_message")).ShouldBe(signed.Receipt.RequestHash.ToArray());
            SaltedHash.OfAnswer(salts, vector.Hex("answer_message")).ShouldBe(signed.Receipt.AnswerHash.ToArray());
            signed.Receipt.End.ShouldBe(isCutOff ? AnswerEnd.CutOff : AnswerEnd.Complete);
        }
    }

    [Fact]
    public void Every_key_set_has_the_digest_that_its_receipt_names()
    {
        foreach (var vector in Vectors())
        {
            using var x25519 = X25519PrivateKey.Import(vector.Hex("x25519_secret_key"));
            new KeySet
            {
                X25519 = x25519.PublicKey,
                Ohttp = vector.Hex("key_configurations"),
                Signing = new Ed25519PublicKey(vector.Hex("signing")),
                Expires = default,
            }.Digest.ShouldBe(new KeySetDigest(vector.Hex("key_set")), vector.String("name"));
        }
    }

    [Fact]
    public void Every_container_is_taken_or_refused_by_the_name_it_says()
    {
        var containers = SpecTools.Vectors("receipts.json").GetProperty("containers");
        var signing = new Ed25519PublicKey(containers.Hex("signing"));
        var ran = 0;
        foreach (var item in containers.GetProperty("cases").EnumerateArray())
        {
            var error = SignedReceipt.TryParse(item.Hex("container"), out var receipt);
            var outcome = error != CoseError.None ? $"{error}" : receipt!.IsSignedBy(signing) ? "Accepted" : "BadSignature";
            outcome.ShouldBe(item.String("outcome"), item.String("id"));
            ran++;
        }

        ran.ShouldBeGreaterThan(40);
    }

    [Fact]
    public void No_mutant_of_a_receipt_breaks_its_parser_or_passes()
    {
        var vector = Vectors()[0];
        var (right, signing) = (vector.Hex("receipt"), new Ed25519PublicKey(vector.Hex("signing")));
        for (var bit = 0; bit < right.Length * 8; bit++)
        {
            var flipped = right.ToArray();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            (SignedReceipt.TryParse(flipped, out var receipt) == CoseError.None && receipt!.IsSignedBy(signing)).ShouldBeFalse($"bit {bit}");
        }

        CsCheck.Check.Sample(Mutants.Framed(right), bytes => SignedReceipt.TryParse(bytes, out _));
    }

    [Fact]
    public async Task A_foreign_COSE_verifies_every_receipt_and_no_other()
    {
        foreach (var vector in Vectors())
        {
            var right = vector.Hex("receipt");
            var flipped = right.ToArray();
            flipped[^1] ^= 1;
            var task = new { key = vector.String("signing"), containers = (string[])[Convert.ToHexStringLower(right), Convert.ToHexStringLower(flipped)] };
            var seen = JsonElement.Parse(await SpecTools.RunAsync("foreign-cose.mjs", JsonSerializer.Serialize(task)));
            var (name, first) = (vector.String("name"), seen[0]);
            first.String("contentType").ShouldBe(Receipt.ContentType, name);
            first.Hex("kid").ShouldBe(vector.Hex("key_set"), name);
            CoseSign1.TryParse(right, Receipt.ContentType, out var container).ShouldBe(CoseError.None);
            first.Hex("payload").ShouldBe(container!.Payload.ToArray(), name);
            seen[1].ValueKind.ShouldBe(JsonValueKind.Null, name);
        }
    }

    private static void Write(SealedAnswerWriter writer, JsonElement vector, ChunkedRequestOpener opener, Ed25519PrivateKey signing)
    {
        var draft = new ReceiptDraft(new ReceiptSalts(vector.Hex("salts")))
        {
            KeySet = new KeySetDigest(vector.Hex("key_set")),
            Request = Call(vector).Request,
            Model = Call(vector).Model,
            Weights = vector.TryGetProperty("weights", out _) ? (ReadOnlyMemory<byte>?)vector.Hex("weights") : null,
            MaxUnits = Call(vector).MaxUnits,
            Encapsulation = Sha256.Hash(opener.Encapsulation.Span),
        };
        draft.HashRequest(vector.Hex("request_message"));
        writer.Record(draft);
        var answer = vector.GetProperty("answer");
        var usage = answer.GetProperty("usage");
        var closing = new ReceiptClosing(
            new Usage(usage[0].GetInt64(), usage[1].GetInt64()) { Pixels = usage[2].GetInt64() },
            DateTimeOffset.FromUnixTimeSeconds(vector.GetProperty("time").GetInt64()), signing);
        if (answer.TryGetProperty("signOfLife", out _))
            writer.KeepAlive();
        var fields = FieldSection.Create(
            [.. answer.GetProperty("fields").EnumerateArray().Select(field => new Field(field[0].GetString()!, field[1].GetString()!))]);
        if (answer.TryGetProperty("content", out var content))
        {
            writer.WriteWhole(answer.GetProperty("status").GetInt32(), fields, Encoding.UTF8.GetBytes(content.GetString()!), closing);
            return;
        }

        writer.BeginStream(fields);
        foreach (var text in answer.GetProperty("events").EnumerateArray())
            writer.WriteEvents(Encoding.UTF8.GetBytes(text.GetString()!));
        if (answer.GetProperty("end").GetInt32() == 0)
            writer.EndStream(closing);
        else
            writer.TryCutOff(closing).ShouldBeTrue();
    }

    private static List<JsonElement> Vectors() => [.. SpecTools.Vectors("receipts.json").GetProperty("vectors").EnumerateArray()];

    private static InnerCall Call(JsonElement vector)
    {
        var call = vector.GetProperty("call");
        RequestId.TryParse(call.String("request_id"), out var id).ShouldBeTrue();
        return new InnerCall
        {
            Method = call.String("method"),
            Path = call.String("path"),
            Model = call.String("model"),
            Request = id,
            MaxUnits = new ComputeUnits(call.GetProperty("max_units").GetInt64()),
            Date = DateTimeOffset.FromUnixTimeSeconds(call.GetProperty("date").GetInt64()),
            Body = Encoding.UTF8.GetBytes(call.String("body")),
        };
    }

    private static ObliviousKey NodeKey(JsonElement vector)
    {
        KeyConfigurationList.TryParse(vector.Hex("key_configurations"), out var list).ShouldBeTrue();
        var configuration = list!.Configurations.Single();
        return new ObliviousKey(
            configuration.KeyId, HpkePrivateKey.Import(configuration.PublicKey.Kem, vector.Hex("node_secret_key")), configuration.Suites);
    }

    private static ChunkedRequestSealer SealedCallOf(ObliviousKey key, JsonElement vector) =>
        ChunkedRequestSealer.Start(key.Configuration, SymmetricSuite.Default, new ArrayBufferWriter<byte>(), vector.Hex("randomness"));

    private static ChunkedRequestSealer Seal(ObliviousKey key, JsonElement vector, ReadOnlySpan<byte> message, out byte[] request)
    {
        var output = new ArrayBufferWriter<byte>();
        var sealer = ChunkedRequestSealer.Start(key.Configuration, SymmetricSuite.Default, output, vector.Hex("randomness"));
        sealer.SealFinal(message);
        request = output.WrittenSpan.ToArray();
        return sealer;
    }

    private static (ChunkedRequestOpener Opener, byte[] Message) Open(ObliviousKey key, JsonElement vector)
    {
        var opener = new ChunkedRequestOpener(new(key), PipeReader.Create(new ReadOnlySequence<byte>(vector.Hex("request"))), ChunkLimits.Request);
        var message = new List<byte>();
        OpenedChunk chunk;
        do
        {
            chunk = opener.ReadAsync().AsTask().GetAwaiter().GetResult();
            chunk.IsOpened.ShouldBeTrue();
            message.AddRange(chunk.Plaintext.ToArray());
        }
        while (chunk.Outcome == OpenOutcome.Opened);
        return (opener, [.. message]);
    }
}
