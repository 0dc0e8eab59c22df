using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary><c>spec/vectors</c>, which <c>spec/tools</c> makes, reproduced here byte for byte and outcome for outcome.</summary>
public sealed class OwnVectorTests
{
    [Fact]
    public async Task The_second_implementation_makes_the_files_that_are_committed() =>
        await SpecTools.RunAsync("generate.mjs", "", "--check");

    [Fact]
    public void Every_HPKE_vector_comes_out()
    {
        foreach (var vector in SpecTools.Vectors("hpke.json").GetProperty("vectors").EnumerateArray())
        {
            var kem = (KemId)vector.GetProperty("kem_id").GetUInt16();
            var suite = Suite(vector);
            using var skR = HpkePrivateKey.Import(kem, vector.Hex("skRm"));
            skR.PublicKey.Span.SequenceEqual(vector.Hex("pkRm")).ShouldBeTrue();
            using var sender = SenderContext.SetupBase(skR.PublicKey, suite, vector.Hex("info"), vector.Hex("randomness"));
            sender.Enc.SequenceEqual(vector.Hex("enc")).ShouldBeTrue();
            RecipientContext.TrySetupBase(skR, suite, sender.Enc, vector.Hex("info"), out var recipient).ShouldBeTrue();
            using (recipient)
            {
                foreach (var encryption in vector.GetProperty("encryptions").EnumerateArray())
                {
                    sender.Messages.Sequence = recipient!.Messages.Sequence = encryption.GetProperty("seq").GetUInt64();
                    byte[] pt = encryption.Hex("pt"), ct = new byte[pt.Length + 16], opened = new byte[pt.Length];
                    sender.Seal(encryption.Hex("aad"), pt, ct);
                    ct.ShouldBe(encryption.Hex("ct"));
                    recipient.TryOpen(encryption.Hex("aad"), ct, opened).ShouldBeTrue();
                    opened.ShouldBe(pt);
                }

                foreach (var export in vector.GetProperty("exports").EnumerateArray())
                {
                    var secret = new byte[export.GetProperty("L").GetInt32()];
                    recipient!.Export(export.Hex("exporter_context"), secret);
                    secret.ShouldBe(export.Hex("exported_value"));
                }
            }
        }
    }

    [Fact]
    public void Every_list_of_key_configurations_is_read_or_refused_as_it_says()
    {
        foreach (var vector in SpecTools.Vectors("key-configurations.json").GetProperty("vectors").EnumerateArray())
        {
            var parsed = KeyConfigurationList.TryParse(vector.Hex("list"), out var list);
            (parsed ? "Parsed" : "Malformed").ShouldBe(vector.String("outcome"), vector.String("id"));
            (list?.Configurations.Select(configuration => (int)configuration.KeyId) ?? [])
                .ShouldBe(vector.GetProperty("key_ids").EnumerateArray().Select(id => id.GetInt32()), vector.String("id"));
        }
    }

    [Fact]
    public void Every_chunked_exchange_comes_out_in_both_directions()
    {
        foreach (var vector in Exchanges())
        {
            using var key = NodeKey(vector);
            var output = new ArrayBufferWriter<byte>();
            using var sealer = Client(key, vector, output);
            Wire.Seal(sealer, Chunks(vector, "request_chunks"));
            output.WrittenSpan.ToArray().ShouldBe(vector.Hex("request"), vector.String("name"));
            MessageForm.Chunked.Info(RequestHeader.Read(vector.Hex("request"))).ShouldBe(vector.Hex("info"));

            using var opener = new ChunkedRequestOpener(new(key), Wire.Input(vector.Hex("request")), ChunkLimits.Request);
            Wire.Read(opener).Chunks.ShouldBe(Chunks(vector, "request_chunks"));
            output.ResetWrittenCount();
            using var answer = opener.SealAnswer(output, vector.Hex("response_nonce"));
            Wire.Seal(answer, Chunks(vector, "answer_chunks"));
            output.WrittenSpan.ToArray().ShouldBe(vector.Hex("answer"), vector.String("name"));
        }
    }

    [Fact]
    public void Every_case_has_the_outcome_that_it_names()
    {
        var ran = 0;
        foreach (var vector in Exchanges())
        {
            using var key = NodeKey(vector);
            foreach (var item in vector.GetProperty("cases").EnumerateArray())
            {
                var direction = item.String("direction");
                var limits = Limits(item, direction == "request" ? ChunkLimits.Request : ChunkLimits.Answer);
                byte[] message = [.. vector.Hex(direction).AsSpan(0, item.GetProperty("keep").GetInt32()), .. item.Hex("then")];
                var input = Wire.Input(message);
                using var sealer = Client(key, vector, new ArrayBufferWriter<byte>());
                using ChunkOpener opener = direction == "request"
                    ? new ChunkedRequestOpener(new(key), input, limits)
                    : sealer.OpenAnswer(input, limits);
                var reading = Wire.Read(opener);
                var name = $"{vector.String("name")}, {direction}: {item.String("id")}";
                reading.Outcome.ToString().ShouldBe(item.String("outcome"), name);
                reading.Chunks.Count.ShouldBe(item.GetProperty("chunks_opened").GetInt32(), name);
                ran++;
            }
        }

        ran.ShouldBeGreaterThan(100);
    }

    private static List<JsonElement> Exchanges() => [.. SpecTools.Vectors("chunked.json").GetProperty("vectors").EnumerateArray()];

    private static ObliviousKey NodeKey(JsonElement vector)
    {
        KeyConfiguration.TryParse(vector.Hex("key_configuration"), out var configuration).ShouldBeTrue();
        return new ObliviousKey(
            configuration!.KeyId, HpkePrivateKey.Import(configuration.PublicKey.Kem, vector.Hex("node_secret_key")), configuration.Suites);
    }

    private static ChunkedRequestSealer Client(ObliviousKey key, JsonElement vector, ArrayBufferWriter<byte> output) =>
        ChunkedRequestSealer.Start(key.Configuration, Suite(vector), output, vector.Hex("randomness"));

    private static ChunkLimits Limits(JsonElement item, ChunkLimits limits)
    {
        if (!item.TryGetProperty("limits", out var named))
            return limits;
        return limits with
        {
            MaxChunks = named.TryGetProperty("chunks", out var chunks) ? chunks.GetInt64() : limits.MaxChunks,
            MaxBytes = named.TryGetProperty("bytes", out var bytes) ? bytes.GetInt64() : limits.MaxBytes,
        };
    }

    private static SymmetricSuite Suite(JsonElement vector) => new(KdfId.HkdfSha256, (AeadId)vector.GetProperty("aead_id").GetUInt16());

    private static List<byte[]> Chunks(JsonElement vector, string member) =>
        [.. vector.GetProperty(member).EnumerateArray().Select(chunk => Convert.FromHexString(chunk.GetString()!))];
}
