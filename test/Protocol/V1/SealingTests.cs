using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Shape;
using ConfidentialChat.Protocol.V1;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md sections 3, 7 and 8: what is sealed opens, and looks as it should from outside.</summary>
public sealed class SealingTests : IDisposable
{
    private static readonly Gen<byte[]> Sizes = Gen.Int[0, 100 * 1024].Select(size => new byte[size])
        .Select(bytes => { Random.Shared.NextBytes(bytes); return bytes; });

    private readonly EventOrder order = new();

    private readonly Fixture ours = new();

    [Fact]
    public void Whatever_is_sealed_opens_to_itself_in_both_directions() => Sizes.Sample(
        bytes =>
        {
            using var request = ours.Seal(bytes);
            using var opened = ours.Open(Fixture.Parse(Fixture.Write(request.Envelope)));
            return opened.Plaintext.Span[..bytes.Length].SequenceEqual(bytes)
                && request.Answer.TryOpen(Fixture.Event(opened, Event(bytes)), out var first) && IsNext(first, Event(bytes), new EventOrder())
                && request.Answer.TryOpen(Fixture.Whole(opened, bytes), out var whole) && IsPadded(whole, bytes);
        },
        iter: 60);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(100 * 1024)]
    public void The_borders_of_size_open_as_well(int size)
    {
        var bytes = new byte[size];
        using var request = ours.Seal(bytes);
        using var opened = ours.Open(request.Envelope);
        opened.Plaintext.Length.ShouldBe(size + SealedRequest.BlindingSize);
        request.Answer.TryOpen(Fixture.Event(opened, Event(bytes)), out var answer).ShouldBeTrue();
        IsNext(answer!, Event(bytes), order).ShouldBeTrue();
    }

    [Theory]
    [InlineData(1, 256)]
    [InlineData(255, 256)]
    [InlineData(256, 256)]
    [InlineData(257, 512)]
    [InlineData(512, 512)]
    [InlineData(513, 768)]
    public void An_event_that_fills_its_blocks_exactly_costs_no_other(int size, int padded)
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        var json = size < 16 ? "{}" : $$"""{"a":"{{new string('x', size - 16)}}"}"""; // in front of it stands {"seq":0,
        request.Answer.TryOpen(Fixture.Event(opened, Encoding.UTF8.GetBytes(json)), out var answer).ShouldBeTrue();
        answer!.Length.ShouldBe(padded);
        answer.AsSpan().TrimEnd((byte)' ').Length.ShouldBe(Math.Max(size, 9));
    }

    [Fact]
    public void An_event_is_a_multiple_of_256_bytes_and_a_whole_answer_has_its_padmé_length() => Gen.Int[0, 5000].Sample(
        size =>
        {
            using var request = ours.Seal(Fixture.Request);
            using var opened = ours.Open(request.Envelope);
            var bytes = new byte[size];
            var json = Event(bytes);
            return request.Answer.TryOpen(Fixture.Event(opened, json), out var part)
                && part.Length % OpenedRequest.EventBlockSize == 0 && part.Length - (json.Length + 8) is >= 0 and < OpenedRequest.EventBlockSize
                && request.Answer.TryOpen(Fixture.Whole(opened, bytes), out var whole) && whole.Length == Padme.Length(size);
        },
        iter: 200);

    [Fact]
    public void Events_open_into_a_buffer_that_serves_for_all_of_them_and_none_opens_twice()
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        var buffer = new byte[16_384];
        foreach (var size in new[] { 0, 1, 256, 5_000, 17 })
        {
            var bytes = new byte[size];
            var part = Fixture.Event(opened, Event(bytes));
            request.Answer.TryOpen(part, buffer, out var length).ShouldBeTrue();
            IsNext(buffer[..length], Event(bytes), order).ShouldBeTrue();
            request.Answer.TryOpen(part, buffer, out length).ShouldBeFalse();
            length.ShouldBe(0);
            Should.Throw<ArgumentException>(() => request.Answer.TryOpen(part, new byte[part.Length - 1], out _));
        }

        var altered = Fixture.Event(opened, """{"the":"answer"}"""u8);
        altered[20] = altered[20] == 'A' ? (byte)'B' : (byte)'A';
        request.Answer.TryOpen(altered, buffer, out _).ShouldBeFalse();
        buffer.AsSpan(0, 256).ContainsAnyExcept((byte)0).ShouldBeFalse(); // nothing of what did not authenticate is left
    }

    [Fact]
    public void Ten_thousand_events_never_share_a_nonce_with_each_other_or_with_the_request()
    {
        using var request = ours.Seal(Fixture.Request);
        using var opened = ours.Open(request.Envelope);
        var nonces = new HashSet<string>(StringComparer.Ordinal) { Convert.ToHexString(request.Envelope.Nonce.Span) };
        for (var i = 0; i < 10_000; i++)
        {
            SealedAnswer.TryParse(Fixture.Event(opened, "{}"u8), out var answer).ShouldBeTrue();
            nonces.Add(Convert.ToHexString(answer!.Nonce.Span)).ShouldBeTrue();
        }
    }

    [Fact]
    public void The_last_128_bytes_are_blanks_of_both_kinds_so_that_equal_prompts_have_different_hashes()
    {
        using SealedRequest first = ours.Seal(Fixture.Request), second = ours.Seal(Fixture.Request);
        using var opened = ours.Open(first.Envelope);
        opened.Plaintext.Span[..^SealedRequest.BlindingSize].SequenceEqual(Fixture.Request).ShouldBeTrue();
        var blanks = opened.Plaintext.Span[^SealedRequest.BlindingSize..].ToArray();
        blanks.ShouldAllBe(blank => blank == ' ' || blank == '\t');
        blanks.Distinct().Count().ShouldBe(2);
        first.Envelope.PlaintextBodyHash.ToArray().ShouldNotBe(second.Envelope.PlaintextBodyHash.ToArray());
    }

    [Fact]
    public void Every_seal_has_a_client_key_a_salt_and_a_nonce_of_its_own()
    {
        using SealedRequest first = ours.Seal(Fixture.Request), second = ours.Seal(Fixture.Request);
        first.Envelope.ClientKey.ShouldNotBe(second.Envelope.ClientKey);
        first.Envelope.Salt.ToArray().ShouldNotBe(second.Envelope.Salt.ToArray());
        first.Envelope.Nonce.ToArray().ShouldNotBe(second.Envelope.Nonce.ToArray());
    }

    [Theory]
    [MemberData(nameof(LowOrderKeys))]
    public void A_gateway_that_hands_out_a_low_order_node_key_gets_nothing_sealed_to_it(string key)
    {
        var outer = ours.Outer with { NodeKey = new X25519PublicKey(Convert.FromHexString(key)) };
        SealedRequest.TrySeal(Fixture.Request, outer, out var request).ShouldBeFalse();
        request.ShouldBeNull();
    }

    [Theory]
    [MemberData(nameof(LowOrderKeys))]
    public void A_client_with_a_low_order_key_is_told_so_and_gets_no_answer_that_everyone_could_read(string key)
    {
        using var request = ours.Seal(Fixture.Request);
        ours.Refusal(request.Envelope with { ClientKey = new X25519PublicKey(Convert.FromHexString(key)) })
            .ShouldBe(new Rejection(RequestError.InvalidKey));
    }

    // RFC 7748 section 6.1 and the points that Curve25519's author lists: orders 1, 2, 4 and 8, and their other spellings.
    public static TheoryData<string> LowOrderKeys =>
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ];

    public void Dispose() => ours.Dispose();

    private static byte[] Event(byte[] bytes) => Encoding.UTF8.GetBytes($$"""{"text":"{{Convert.ToBase64String(bytes)}}"}""");

    private static bool IsNext(byte[] opened, byte[] json, EventOrder order) =>
        order.Take(opened, out var start) == EventTurn.Next && IsPadded(opened[start..], json);

    private static bool IsPadded(byte[] opened, byte[] bytes) =>
        opened.AsSpan(0, bytes.Length).SequenceEqual(bytes) && opened.AsSpan(bytes.Length).IndexOfAnyExcept((byte)' ') < 0;
}
