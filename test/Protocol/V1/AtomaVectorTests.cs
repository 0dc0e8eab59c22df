using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>Exchanges of the origin API as its own clients and nodes make them; spec/envelope-v1.md.</summary>
public sealed class AtomaVectorTests
{
    [Fact]
    public void Our_node_opens_what_an_origin_client_sealed()
    {
        foreach (var vector in All())
        {
            var envelope = Envelope(vector);
            using var nodeKey = X25519PrivateKey.Import(vector.Hex("node_dh_private_key"));
            using var tagger = new Blake2bTagger();
            OpenedRequest.TryOpen(envelope, nodeKey, tagger, out var opened, out _).ShouldBeTrue();
            using (opened)
                Encoding.UTF8.GetString(opened!.Plaintext.Span).ShouldBe(vector.String("request_plaintext"));
        }
    }

    [Fact]
    public void Our_client_seals_the_same_ciphertext_and_hash_from_the_same_secrets()
    {
        foreach (var vector in All())
        {
            var published = Envelope(vector);
            using var request = Seal(vector);
            request.Envelope.Ciphertext.ToArray().ShouldBe(published.Ciphertext.ToArray());
            request.Envelope.PlaintextBodyHash.ToArray().ShouldBe(published.PlaintextBodyHash.ToArray());
            request.Envelope.ClientKey.ShouldBe(published.ClientKey);
            request.Envelope.NodeKey.ShouldBe(published.NodeKey);
        }
    }

    [Fact]
    public void Our_client_opens_the_whole_answer_of_an_origin_node()
    {
        var ran = 0;
        foreach (var vector in All())
        {
            if (!vector.TryGetProperty("confidential_compute_response", out var answer))
                continue;
            ran++;
            using var request = Seal(vector);
            Open(request, answer).ShouldBe(vector.String("response_plaintext"));
        }

        ran.ShouldBeGreaterThan(0);
    }

    [Fact]
    public void An_origin_nodes_stream_repeats_one_nonce_so_our_client_takes_its_first_event_and_refuses_the_next()
    {
        foreach (var vector in Streams())
        {
            using var request = Seal(vector);
            var events = vector.GetProperty("stream_events");
            Open(request, events[0]).ShouldBe(vector.GetProperty("stream_plaintext_chunks")[0].GetString());
            for (var i = 1; i < events.GetArrayLength(); i++)
                request.Answer.TryOpen(Bytes(events[i]), out _).ShouldBeFalse();
        }
    }

    [Fact]
    public void Each_event_of_an_origin_nodes_stream_opens_by_itself()
    {
        foreach (var vector in Streams())
        {
            var (events, chunks) = (vector.GetProperty("stream_events"), vector.GetProperty("stream_plaintext_chunks"));
            events.GetArrayLength().ShouldBe(chunks.GetArrayLength());
            for (var i = 0; i < events.GetArrayLength(); i++)
            {
                using var request = Seal(vector);
                Open(request, events[i]).ShouldBe(chunks[i].GetString());
            }
        }
    }

    private static List<JsonElement> All() => [.. Vectors.Json("atoma/confidential-compute.json").GetProperty("vectors").EnumerateArray()];

    private static List<JsonElement> Streams()
    {
        var streams = All().Where(vector => vector.TryGetProperty("stream_events", out _)).ToList();
        streams.ShouldNotBeEmpty();
        return streams;
    }

    // The published vectors leave the stack open.
    private static EnvelopeRequest Envelope(JsonElement vector)
    {
        var envelope = JsonNode.Parse(vector.GetProperty("confidential_compute_request").GetRawText())!;
        envelope["stack_small_id"] ??= 7;
        return Fixture.Parse(envelope.ToJsonString());
    }

    private static SealedRequest Seal(JsonElement vector)
    {
        var published = Envelope(vector);
        var outer = new OuterFields
        {
            NodeKey = published.NodeKey,
            Model = published.ModelName,
            Stack = published.Stack,
            Stream = published.Stream ?? false,
            Units = published.Units,
        };
        using var clientKey = X25519PrivateKey.Import(vector.Hex("client_dh_private_key"));
        SealedRequest.TrySeal(
            Encoding.UTF8.GetBytes(vector.String("request_plaintext")),
            outer,
            clientKey,
            published.Salt.Span,
            published.Nonce.Span,
            out var request).ShouldBeTrue();
        return request!;
    }

    private static string Open(SealedRequest request, JsonElement answer)
    {
        request.Answer.TryOpen(Bytes(answer), out var plaintext).ShouldBeTrue();
        return Encoding.UTF8.GetString(plaintext!);
    }

    private static byte[] Bytes(JsonElement json) => Encoding.UTF8.GetBytes(json.GetRawText());
}
