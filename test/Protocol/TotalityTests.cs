using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>Whatever bytes a stranger sends, every parser answers yes or no, and none throws.</summary>
public sealed class TotalityTests : IDisposable
{
    private const int Rounds = 20_000;

    private static readonly string[] Signs =
    [
        "{", "}", "[", "]", ":", ",", "\"", "\\u", "d800", "\"model\"", "\"stream\"", "\"nonce\"", "\"error\"", "\"code\"",
        "null", "true", "1e9", " ", "A", "=",
    ];

    private static readonly Ed25519PrivateKey GatewayKey = Ed25519PrivateKey.Generate(out _);

    private readonly Fixture ours = new();

    [Fact]
    public void Arbitrary_bytes_break_no_parser() => Gen.Byte.Array[0, 200].Sample(Survives, iter: Rounds);

    [Fact]
    public void Arbitrary_text_of_JSON_signs_breaks_no_parser() =>
        Gen.Int[0, Signs.Length - 1].Array[0, 40].Select(picks => Encoding.UTF8.GetBytes(string.Concat(picks.Select(pick => Signs[pick]))))
            .Sample(Survives, iter: Rounds);

    [Fact]
    public void A_mutated_envelope_breaks_no_parser()
    {
        using var request = ours.Seal(Fixture.Request);
        Mutants.Json(Fixture.Write(request.Envelope)).Sample(Survives, iter: Rounds);
    }

    [Fact]
    public void A_mutated_inner_request_breaks_no_parser() => Mutants.Json(Fixture.Request).Sample(Survives, iter: Rounds);

    [Fact]
    public void A_mutated_answer_breaks_no_parser()
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        Mutants.Json(Fixture.Whole(opened, "{}"u8, new ClearUsage(1, 2))).Sample(
            bytes =>
            {
                Survives(bytes);
                request.Answer.TryOpen(bytes, out _);
                request.Answer.TryOpen(bytes, new byte[bytes.Length], out _);
            },
            iter: Rounds,
            threads: 1);
    }

    [Fact]
    public void A_mutated_error_body_breaks_no_parser() =>
        Mutants.Json(new Rejection(RequestError.InvalidField, "messages").ToJson()).Sample(Survives, iter: Rounds);

    [Fact]
    public void A_mutated_relay_token_breaks_no_parser_and_is_never_read()
    {
        var token = Relay.RelayTokenTests.Token().Write(Relay.RelayTokenTests.Key);
        Mutants.Json(Encoding.UTF8.GetBytes(token)).Sample(
            bytes =>
            {
                var text = Encoding.Latin1.GetString(bytes);
                return text == token || !RelayToken.TryRead(text, Relay.RelayTokenTests.Key, out _);
            },
            iter: Rounds);
    }

    [Fact]
    public void Whatever_a_gateway_authenticates_is_read_or_refused()
    {
        var payload = """{"request":"7f2c1e6a-0000-4000-8000-000000000000","node":1,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/v1/confidential/completions","model":"tiny","units":3,"expires":4}"""u8.ToArray();
        Mutants.Json(payload).Sample(
            bytes => { RelayToken.TryRead(Relay.RelayTokenTests.Write(bytes), Relay.RelayTokenTests.Key, out _); },
            iter: Rounds);
    }

    public void Dispose() => ours.Dispose();

    private static void Survives(byte[] bytes)
    {
        var text = Encoding.Latin1.GetString(bytes);
        if (EnvelopeRequest.TryParse(bytes, out var envelope, out var rejection) != (rejection is null) || (envelope is null) == (rejection is null))
            throw new InvalidOperationException("an envelope is either parsed or rejected");
        envelope ??= Fixture.Blank(stream: null);
        if (InnerRequest.TryCheck(bytes, envelope, true, out _, out rejection) != (rejection is null))
            throw new InvalidOperationException("a request is either checked or rejected");
        InnerRequest.TryCheck(bytes, envelope, false, out _, out _);
        _ = Rejection.TryParse(bytes, out _);
        _ = SealedAnswer.TryParse(bytes, out _);
        RelayToken.TryRead(text, Relay.RelayTokenTests.Key, out _);
        if (NodeSignature.FromHeaders(text, text, bytes.Length, text)?.IsSignedBy(GatewayKey.PublicKey, text) == true)
            throw new InvalidOperationException("a signature of junk holds");
        NodeSignature.Over(text, 0, bytes).IsSignedBy(GatewayKey.PublicKey, text);
        EnrolmentSignature.Verify(GatewayKey.PublicKey, bytes, bytes, text);
        _ = KeySetDigest.TryParse(text, out _);
        _ = new AnnouncedKeySet(text, text, text, bytes.Length).TryRead(out _);
        _ = X25519PublicKey.TryParse(text, out _);
        _ = Ed25519PublicKey.TryParse(text, out _);
        _ = RequestId.TryParse(text, out _);
        // Either spelling of the decoder answers alike, and what it takes has one spelling.
        if (StrictBase64.TryDecode(bytes, out var decoded) && Convert.ToBase64String(decoded) != text)
            throw new InvalidOperationException("two spellings of one value");
    }
}
