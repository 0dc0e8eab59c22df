using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary><c>spec/vectors/envelope-v1.json</c>, made by the second implementation in <c>spec/tools</c>, opened by ours.</summary>
public sealed class OwnVectorTests
{
    [Fact]
    public void The_published_exchange_opens_in_the_node()
    {
        var exchange = SpecTools.Vectors("envelope-v1.json").GetProperty("vectors")[0];
        using var tagger = new Blake2bTagger();
        using var nodeKey = X25519PrivateKey.Import(exchange.Hex("node_secret_key"));
        EnvelopeRequest.TryParse(Json(exchange.GetProperty("envelope")), out var envelope, out _).ShouldBeTrue();
        envelope!.NodeKey.ShouldBe(nodeKey.PublicKey);
        OpenedRequest.TryOpen(envelope, nodeKey, tagger, out var opened, out _).ShouldBeTrue();
        using (opened)
        {
            var blanks = exchange.GetProperty("blanks").GetString()!;
            var plaintext = Encoding.UTF8.GetString(opened!.Plaintext.Span);
            plaintext.ShouldEndWith(blanks);
            JsonElement.DeepEquals(JsonElement.Parse(plaintext), exchange.GetProperty("request")).ShouldBeTrue();
            InnerRequest.TryCheck(opened.Plaintext.Span, envelope, streamRequired: true, out var inner, out _).ShouldBeTrue();
            inner.ShouldBe(new InnerRequest("demo", false));
        }
    }

    [Fact]
    public void Its_answer_and_its_events_open_in_the_client()
    {
        var exchange = SpecTools.Vectors("envelope-v1.json").GetProperty("vectors")[0];
        EnvelopeRequest.TryParse(Json(exchange.GetProperty("envelope")), out var envelope, out _).ShouldBeTrue();
        using var clientKey = X25519PrivateKey.Import(exchange.Hex("client_secret_key"));
        clientKey.PublicKey.ShouldBe(envelope!.ClientKey);
        ContentKey.TryDerive(clientKey, envelope.NodeKey, envelope.Salt.Span, out var key).ShouldBeTrue();
        using var opener = new AnswerOpener(key!, envelope.Nonce.Span);
        Open("answer", exchange.GetProperty("sealed_answer"), exchange.GetProperty("answer"), 32, order: null);
        var order = new EventOrder();
        foreach (var (sealedEvent, chunk) in exchange.GetProperty("sealed_events").EnumerateArray().Zip(exchange.GetProperty("events").EnumerateArray()))
            Open("event", sealedEvent, chunk, 256, order);
        order.IsEnded.ShouldBeTrue();

        void Open(string what, JsonElement sealedJson, JsonElement expected, int unit, EventOrder? order)
        {
            opener.TryOpen(Json(sealedJson), out var padded).ShouldBeTrue(what);
            (padded!.Length % unit).ShouldBe(0, what);
            var start = 0;
            order?.Take(padded, out start).ShouldBe(EventTurn.Next);
            JsonElement.DeepEquals(JsonElement.Parse(padded.AsSpan(start)), expected).ShouldBeTrue(what);
        }
    }

    [Fact]
    public void Without_its_last_three_members_it_is_the_older_form_and_completes_to_itself()
    {
        var envelope = SpecTools.Vectors("envelope-v1.json").GetProperty("vectors")[0].GetProperty("envelope");
        var older = envelope.EnumerateObject()
            .Where(member => member.Name is not ("node_dh_public_key" or "model_name" or "stack_small_id"))
            .ToDictionary(member => member.Name, member => member.Value);
        FiveFieldRequest.TryParse(JsonSerializer.SerializeToUtf8Bytes(older), out var request, out _).ShouldBeTrue();
        EnvelopeRequest.TryParse(Json(envelope), out var whole, out _).ShouldBeTrue();
        var output = new System.Buffers.ArrayBufferWriter<byte>();
        request!.To(whole!.NodeKey, whole.ModelName, whole.Stack).Write(output);
        JsonElement.DeepEquals(JsonElement.Parse(Encoding.UTF8.GetString(output.WrittenSpan)), envelope).ShouldBeTrue();
        FiveFieldRequest.TryParse(Json(envelope), out _, out var rejection).ShouldBeFalse();
        rejection!.Field.ShouldBe("node_dh_public_key");
    }

    private static byte[] Json(JsonElement value) => Encoding.UTF8.GetBytes(value.GetRawText());
}
