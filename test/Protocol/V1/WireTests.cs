using System.Text;
using System.Text.RegularExpressions;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>Both bodies of envelope v1, literally. Computed apart from this code, with another library, from the secrets below.</summary>
public sealed class WireTests
{
    private const string Plaintext = """{"model":"tiny","messages":[{"role":"user","content":"Hello!"}],"stream":false}""";

    private const string Request =
        """{"ciphertext":"hDR8S1d+KWwtH556T91jMIMWvIW617VU1tu39nw1rfUMf2johXvGr1r/KHZAdzn0Hx/VQbtoeSqL1ixkN/rlYwJWjq2TTLvwm/6wO/nhSRKgS8lzTtUVSoS6+00IfZg=","nonce":"wMHCw8TFxsfIycrL","salt":"oKGio6SlpqeoqaqrrK2urw==","client_dh_public_key":"WGmv9FBUlzLLqu1eXfmzCm2jHLDldCutWtShp2jxpns=","node_dh_public_key":"B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=","plaintext_body_hash":"l3sJ4acKfSAmSg4bC2qYXlwtc2m49Oht7sX+48fGV5c=","model_name":"tiny","stack_small_id":7,"stream":false,"num_compute_units":9000}""";

    private const string Answer =
        """{"ciphertext":"URh3JgV//+rBTG5fsXRbiBDWFhS4ucjMmqLCbDkscIII91O9XAfVya1ELfns0Od3","nonce":"0NHS09TV1tfY2drb","response_hash":null,"signature":null,"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}""";

    private const string AnswerHash = "ZtXA/tRBXlKrn1fpupw3DPYeo16RdIJaDmXrkgSMOZI=";

    private static readonly byte[] NodeSecret = Count(1, 32), ClientSecret = Count(33, 32), Salt = Count(0xA0, 16), Nonce = Count(0xC0, 12);

    [Fact]
    public void A_client_writes_this_request()
    {
        using var request = Seal();
        Encoding.UTF8.GetString(Fixture.Write(request.Envelope)).ShouldBe(Request);
    }

    [Fact]
    public void A_node_opens_this_request()
    {
        using var nodeKey = X25519PrivateKey.Import(NodeSecret);
        using var tagger = new Blake2bTagger();
        var envelope = Fixture.Parse(Request);
        OpenedRequest.TryOpen(envelope, nodeKey, tagger, out var opened, out _).ShouldBeTrue();
        using (opened)
            Encoding.UTF8.GetString(opened!.Plaintext.Span).ShouldBe(Plaintext);
        envelope.Units.ShouldBe(new ComputeUnits(9000));
    }

    [Fact]
    public void A_client_opens_this_answer()
    {
        using var request = Seal();
        request.Answer.TryOpen(Encoding.UTF8.GetBytes(Answer), out var plaintext).ShouldBeTrue();
        Encoding.UTF8.GetString(plaintext!).ShouldBe("""{"id":"chatcmpl-1","choices":[]}""");
    }

    [Fact]
    public void A_client_opens_this_answer_with_the_hash_that_an_origin_node_adds()
    {
        using var request = Seal();
        var hashed = Answer.Replace("\"response_hash\":null", $"\"response_hash\":\"{AnswerHash}\"", StringComparison.Ordinal);
        request.Answer.TryOpen(Encoding.UTF8.GetBytes(hashed), out _).ShouldBeTrue();
    }

    [Fact]
    public void A_node_writes_this_answer_but_for_its_random_nonce()
    {
        using var fixture = new Fixture();
        using var request = fixture.Seal(Fixture.Request);
        using var opened = fixture.Open(request.Envelope);
        var answer = Fixture.Whole(opened, """{"id":"chatcmpl-1","choices":[]}"""u8, new ClearUsage(3, 2));
        Blank(Encoding.UTF8.GetString(answer)).ShouldBe(Blank(Answer));
        var silent = Fixture.Event(opened, "{}"u8);
        request.Answer.TryOpen(silent, out var first).ShouldBeTrue();
        Encoding.UTF8.GetString(first!).ShouldBe("""{"seq":0}""".PadRight(256));
        request.Answer.TryOpen(Fixture.Event(opened, """ { "id":"chatcmpl-1"} """u8, isLast: true), out var last).ShouldBeTrue();
        Encoding.UTF8.GetString(last!).ShouldBe("""{"last":1, "id":"chatcmpl-1"}""".PadRight(256));
        Blank(Encoding.UTF8.GetString(silent)).ShouldBe("""{"ciphertext":"…","nonce":"…","response_hash":null,"signature":null}""");
    }

    private static string Blank(string answer) =>
        Regex.Replace(answer, "\"(?<name>ciphertext|nonce)\":\"[^\"]+\"", "\"${name}\":\"…\"", RegexOptions.ExplicitCapture, TimeSpan.FromSeconds(1));

    private static SealedRequest Seal()
    {
        using X25519PrivateKey nodeKey = X25519PrivateKey.Import(NodeSecret), clientKey = X25519PrivateKey.Import(ClientSecret);
        var outer = new OuterFields
        {
            NodeKey = nodeKey.PublicKey,
            Model = "tiny",
            Stack = new StackId(7),
            Stream = false,
            Units = new ComputeUnits(9000),
        };
        SealedRequest.TrySeal(Encoding.UTF8.GetBytes(Plaintext), outer, clientKey, Salt, Nonce, out var request).ShouldBeTrue();
        return request!;
    }

    private static byte[] Count(int first, int length) => [.. Enumerable.Range(first, length).Select(value => (byte)value)];
}
