using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Shape;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md sections 4, 6, 7 and 8: whoever relays the bytes changes them.</summary>
public sealed class TamperingTests : IDisposable
{
    private readonly Fixture ours = new();

    [Fact]
    public void Any_flipped_bit_of_ciphertext_nonce_salt_or_hash_is_one_and_the_same_refusal()
    {
        using var request = ours.Seal(Fixture.Request);
        var envelope = request.Envelope;
        Flipped(envelope.Ciphertext, bytes => envelope with { Ciphertext = bytes });
        Flipped(envelope.Nonce, bytes => envelope with { Nonce = bytes });
        Flipped(envelope.Salt, bytes => envelope with { Salt = bytes });
        Flipped(envelope.PlaintextBodyHash, bytes => envelope with { PlaintextBodyHash = bytes });

        void Flipped(ReadOnlyMemory<byte> bytes, Func<byte[], EnvelopeRequest> with)
        {
            for (var bit = 0; bit < bytes.Length * 8; bit++)
                ours.Refusal(with(Fixture.Flip(bytes.Span, bit))).ShouldBe(new Rejection(RequestError.DecryptionFailed), $"bit {bit}");
        }
    }

    [Fact]
    public void Any_flipped_bit_of_the_client_key_below_the_top_one_fails()
    {
        using var request = ours.Seal(Fixture.Request);
        for (var bit = 0; bit < 255; bit++)
        {
            var flipped = new X25519PublicKey(Fixture.Flip(request.Envelope.ClientKey.Span, bit));
            ours.Refusal(request.Envelope with { ClientKey = flipped }).ShouldNotBeNull($"bit {bit}");
        }
    }

    [Fact]
    public void A_replay_under_another_spelling_of_the_client_key_opens_and_bears_the_same_tag()
    {
        using var request = ours.Seal(Fixture.Request);
        using var first = ours.Open(request.Envelope);
        var respelled = new X25519PublicKey(Fixture.Flip(request.Envelope.ClientKey.Span, 255));
        respelled.ShouldNotBe(request.Envelope.ClientKey);
        using var again = ours.Open(request.Envelope with { ClientKey = respelled });
        again.ReplayTag.ShouldBe(first.ReplayTag);
    }

    [Fact]
    public void Two_requests_with_the_same_prompt_bear_different_tags()
    {
        using SealedRequest one = ours.Seal(Fixture.Request), two = ours.Seal(Fixture.Request);
        using OpenedRequest first = ours.Open(one.Envelope), second = ours.Open(two.Envelope);
        first.ReplayTag.ShouldNotBe(second.ReplayTag);
    }

    [Fact]
    public void A_flipped_bit_of_the_node_key_names_no_key_that_the_node_holds()
    {
        using var request = ours.Seal(Fixture.Request);
        for (var bit = 0; bit < 256; bit++)
        {
            var flipped = new X25519PublicKey(Fixture.Flip(request.Envelope.NodeKey.Span, bit));
            flipped.Equals(ours.NodeKey.PublicKey).ShouldBeFalse($"bit {bit}");
        }
    }

    [Fact]
    public void Another_nodes_private_key_opens_nothing()
    {
        using var request = ours.Seal(Fixture.Request);
        using var other = new Fixture();
        other.Refusal(request.Envelope).ShouldBe(new Rejection(RequestError.DecryptionFailed));
    }

    [Fact]
    public void A_request_cut_short_at_any_byte_does_not_open()
    {
        using var request = ours.Seal(Fixture.Request);
        var ciphertext = request.Envelope.Ciphertext;
        for (var length = Aes256Gcm.TagSize; length < ciphertext.Length; length++)
            ours.Refusal(request.Envelope with { Ciphertext = ciphertext[..length] }).ShouldBe(new Rejection(RequestError.DecryptionFailed));
    }

    [Fact]
    public void An_envelope_cut_short_at_any_byte_does_not_parse()
    {
        using var request = ours.Seal(Fixture.Request);
        var body = Fixture.Write(request.Envelope);
        for (var length = 0; length < body.Length; length++)
            EnvelopeRequest.TryParse(body.AsSpan(0, length), out _, out _).ShouldBeFalse($"{length} bytes");
    }

    [Fact]
    public void An_answer_with_any_flipped_bit_or_cut_short_at_any_byte_does_not_open()
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        var answer = JsonNode.Parse(Fixture.Event(opened, """{"id":"1"}"""u8))!.AsObject();
        foreach (var member in new[] { "ciphertext", "nonce" })
        {
            // Each to an opener that has seen no nonce: a nonce that was tried before would be refused for itself.
            var bytes = Convert.FromBase64String((string)answer[member]!);
            for (var bit = 0; bit < bytes.Length * 8; bit++)
                OpensAfresh(With(answer, member, Fixture.Flip(bytes, bit))).ShouldBeFalse($"{member}, bit {bit}");
            for (var length = 0; length < bytes.Length; length++)
                OpensAfresh(With(answer, member, bytes[..length])).ShouldBeFalse($"{member}, {length} bytes");
        }

        OpensAfresh(answer.ToJsonString()).ShouldBeTrue();

        bool OpensAfresh(string json)
        {
            ContentKey.TryDerive(ours.NodeKey, request.Envelope.ClientKey, request.Envelope.Salt.Span, out var key).ShouldBeTrue();
            using var opener = new AnswerOpener(key!, request.Envelope.Nonce.Span);
            var inPlace = opener.TryOpen(Encoding.UTF8.GetBytes(json), new byte[json.Length], out _);
            ContentKey.TryDerive(ours.NodeKey, request.Envelope.ClientKey, request.Envelope.Salt.Span, out key).ShouldBeTrue();
            using var another = new AnswerOpener(key!, request.Envelope.Nonce.Span);
            another.TryOpen(Encoding.UTF8.GetBytes(json), out _).ShouldBe(inPlace);
            return inPlace;
        }
    }

    [Fact]
    public void An_answer_that_is_played_again_does_not_open_again()
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        var answer = Fixture.Event(opened, "{}"u8);
        request.Answer.TryOpen(answer, out _).ShouldBeTrue();
        request.Answer.TryOpen(answer, out _).ShouldBeFalse();
    }

    [Fact]
    public void The_request_itself_reflected_as_its_answer_does_not_open()
    {
        using var request = ours.Seal(Fixture.Request);
        request.Answer.TryOpen(Fixture.Write(request.Envelope), out _).ShouldBeFalse();
    }

    [Fact]
    public void The_answer_to_another_request_does_not_open()
    {
        using SealedRequest mine = ours.Seal(Fixture.Request), theirs = ours.Seal(Fixture.Request);
        using var opened = ours.Open(theirs.Envelope);
        mine.Answer.TryOpen(Fixture.Whole(opened, "{}"u8), out _).ShouldBeFalse();
    }

    [Fact]
    public void An_answer_that_contradicts_its_own_hash_does_not_open()
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        var answer = JsonNode.Parse(Fixture.Event(opened, "{}"u8))!.AsObject();
        Opens(request, With(answer, "response_hash", new byte[32])).ShouldBeFalse();
    }

    // Of what was sealed, to its last blank: a hash of the text without them is a hash of something else.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_hash_of_an_answer_is_over_its_trailing_blanks_too(bool intoBuffer)
    {
        var json = Encoding.UTF8.GetBytes($$"""{"id":"{{new string('1', 985)}}"}"""); // 994 bytes, padded to 1024
        byte[] padded = [.. json, .. Enumerable.Repeat((byte)' ', Padme.Length(json.Length) - json.Length)];
        padded.Length.ShouldBeGreaterThan(json.Length + 1);
        var hash = new byte[Blake2b256.Size];
        foreach (var (hashed, opens) in new[] { (padded, true), (json, false), (padded[..^1], false), ([.. padded, (byte)' '], false) })
        {
            using var request = ours.Seal(Fixture.Request);
            using var opened = ours.Open(request.Envelope);
            Blake2b256.Hash(hashed, hash);
            var answer = Encoding.UTF8.GetBytes(With(JsonNode.Parse(Fixture.Whole(opened, json))!.AsObject(), "response_hash", hash));
            (intoBuffer ? request.Answer.TryOpen(answer, new byte[answer.Length], out _) : request.Answer.TryOpen(answer, out _)).ShouldBe(opens);
        }
    }

    [Fact]
    public void The_hash_of_a_request_is_over_its_trailing_blanks_too()
    {
        using var request = ours.Seal(Fixture.Request);
        var hash = new byte[Blake2b256.Size];
        Blake2b256.Hash(Fixture.Request, hash);
        ours.Refusal(request.Envelope with { PlaintextBodyHash = hash }).ShouldBe(new Rejection(RequestError.DecryptionFailed));
        ours.Refusal(request.Envelope).ShouldBeNull();
    }

    // The replay memory knows requests by key and nonce: two callers may draw one nonce.
    [Fact]
    public void One_nonce_under_two_keys_is_two_requests_and_under_one_key_it_is_one()
    {
        using SealedRequest first = ours.Seal(Fixture.Request), second = ours.Seal(Fixture.Request);
        var moved = Under(second.Envelope, first.Envelope.Nonce.ToArray());
        moved.Nonce.ToArray().ShouldBe(first.Envelope.Nonce.ToArray());
        Tag(moved).ShouldNotBe(Tag(first.Envelope));
        Tag(Under(first.Envelope, first.Envelope.Nonce.ToArray())).ShouldBe(Tag(first.Envelope));
        Tag(second.Envelope).ShouldNotBe(Tag(moved)); // one key, two nonces
    }

    public void Dispose() => ours.Dispose();

    private UInt128 Tag(EnvelopeRequest envelope)
    {
        using var opened = ours.Open(envelope);
        return opened.ReplayTag;
    }

    // The same key, and the nonce that is given.
    private EnvelopeRequest Under(EnvelopeRequest envelope, byte[] nonce)
    {
        ContentKey.TryDerive(ours.NodeKey, envelope.ClientKey, envelope.Salt.Span, out var key).ShouldBeTrue();
        using (key)
        {
            byte[] hash = new byte[Blake2b256.Size], ciphertext = new byte[Fixture.Request.Length + Aes256Gcm.TagSize];
            Blake2b256.Hash(Fixture.Request, hash);
            key!.Aead.Seal(nonce, [], Fixture.Request, ciphertext);
            return envelope with { Nonce = nonce, Ciphertext = ciphertext, PlaintextBodyHash = hash };
        }
    }

    private static string With(JsonObject answer, string member, byte[] bytes)
    {
        var changed = answer.DeepClone();
        changed[member] = Convert.ToBase64String(bytes);
        return changed.ToJsonString();
    }

    private static bool Opens(SealedRequest request, string answer) => request.Answer.TryOpen(Encoding.UTF8.GetBytes(answer), out _);
}
