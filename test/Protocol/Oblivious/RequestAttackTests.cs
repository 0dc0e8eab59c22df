using System.Buffers;
using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Tests.Primitives;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>What may be done to the beginning of a request: its key, its suite, its enc.</summary>
public sealed class RequestAttackTests : IDisposable
{
    private readonly ObliviousKey hybrid = ObliviousKey.Generate(1, KemId.MlKem768X25519, [SymmetricSuite.Default]);
    private readonly ObliviousKey classic = ObliviousKey.Generate(2, KemId.DhkemX25519, [new(KdfId.HkdfSha256, AeadId.ChaCha20Poly1305)]);
    private readonly ObliviousKeyRing ring;

    public RequestAttackTests() => ring = new ObliviousKeyRing(hybrid, classic);

    [Fact]
    public void A_wrong_key_id_is_an_unknown_key_and_no_other_key_is_tried()
    {
        var request = Seal(hybrid);
        for (var id = 0; id < 256; id++)
        {
            request[0] = (byte)id;
            Open(request).ShouldBe(id == 1 ? OpenOutcome.Final : OpenOutcome.KeyUnknown, $"id {id}");
        }
    }

    [Fact]
    public void An_unknown_suite_or_one_that_the_key_does_not_offer_is_an_unknown_key()
    {
        foreach (var key in new[] { hybrid, classic })
        {
            foreach (var at in new[] { 1, 2, 3, 4, 5, 6 })
            {
                var request = Seal(key);
                var right = request[at];
                for (var value = 0; value < 256; value++)
                {
                    request[at] = (byte)value;
                    if (value != right)
                        Open(request).ShouldBe(OpenOutcome.KeyUnknown, $"byte {at} is {value}");
                }
            }
        }
    }

    [Fact]
    public void A_suite_that_the_library_has_but_the_key_does_not_offer_is_no_way_to_a_weaker_one()
    {
        // The whole request is made for the weaker suite, so it would open if it were looked at.
        var weaker = new KeyConfiguration(1, hybrid.Configuration.PublicKey, [new(KdfId.HkdfSha256, AeadId.Aes128Gcm)]);
        Open(Seal(weaker, weaker.Suites[0])).ShouldBe(OpenOutcome.KeyUnknown);
        Should.Throw<ArgumentException>(() => Seal(hybrid.Configuration, weaker.Suites[0]));
    }

    [Fact]
    public void The_key_of_another_node_opens_nothing()
    {
        using var stranger = ObliviousKey.Generate(1, KemId.MlKem768X25519, [SymmetricSuite.Default]);
        Open(Seal(stranger)).ShouldBe(OpenOutcome.CannotBeOpened);
    }

    [Fact]
    public void A_key_under_another_id_opens_nothing_since_the_id_is_authenticated()
    {
        var other = new KeyConfiguration(9, hybrid.Configuration.PublicKey, [SymmetricSuite.Default]);
        var request = Seal(other, SymmetricSuite.Default);
        request[0] = 1;
        Open(request).ShouldBe(OpenOutcome.CannotBeOpened);
    }

    [Fact]
    public void A_key_that_was_rotated_away_is_an_unknown_key()
    {
        var request = Seal(hybrid);
        OpenWith(new ObliviousKeyRing(classic), request).ShouldBe(OpenOutcome.KeyUnknown);
        OpenWith(new ObliviousKeyRing(), request).ShouldBe(OpenOutcome.KeyUnknown);
    }

    [Fact]
    public void A_low_order_enc_opens_nothing()
    {
        foreach (var point in LowOrder.Points)
        {
            var request = Seal(classic);
            point.CopyTo(request.AsSpan(7));
            Open(request).ShouldBe(OpenOutcome.CannotBeOpened);
            request = Seal(hybrid);
            point.CopyTo(request.AsSpan(7 + 1088));
            Open(request).ShouldBe(OpenOutcome.CannotBeOpened);
        }
    }

    [Fact]
    public void The_top_bit_of_enc_which_X25519_ignores_still_changes_the_key()
    {
        var request = Seal(classic);
        request[7 + 31] ^= 0x80;
        Open(request).ShouldBe(OpenOutcome.CannotBeOpened);
        request = Seal(hybrid);
        request[7 + 1119] ^= 0x80;
        Open(request).ShouldBe(OpenOutcome.CannotBeOpened);
    }

    [Fact]
    public void A_replay_opens_again_and_is_known_by_its_enc()
    {
        var request = Seal(hybrid);
        using ChunkedRequestOpener first = Opener(ring, request), second = Opener(ring, request), other = Opener(ring, Seal(hybrid));
        foreach (var opener in new[] { first, second, other })
        {
            opener.Enc.Length.ShouldBe(0);
            Wire.Read(opener).Outcome.ShouldBe(OpenOutcome.Final);
            opener.Key.ShouldBe(hybrid.Configuration);
        }

        second.Enc.ToArray().ShouldBe(first.Enc.ToArray());
        other.Enc.ToArray().ShouldNotBe(first.Enc.ToArray());
    }

    [Fact]
    public void Garbage_shows_no_enc_so_that_it_marks_nothing()
    {
        var request = Seal(hybrid);
        request[^1] ^= 1;
        using var opener = Opener(ring, request);
        Wire.Read(opener).Outcome.ShouldBe(OpenOutcome.CannotBeOpened);
        opener.HasOpened.ShouldBeFalse();
        opener.Enc.Length.ShouldBe(0);
        opener.Key.ShouldBeNull();
    }

    [Fact]
    public void Nobody_is_answered_before_a_chunk_has_opened_and_nobody_twice()
    {
        using var opener = Opener(ring, Seal(hybrid));
        Should.Throw<InvalidOperationException>(() => opener.SealAnswer(new ArrayBufferWriter<byte>()));
        Wire.Read(opener);
        opener.SealAnswer(new ArrayBufferWriter<byte>()).Dispose();
        Should.Throw<InvalidOperationException>(() => opener.SealAnswer(new ArrayBufferWriter<byte>()));
    }

    [Fact]
    public void After_disposal_no_key_of_zeros_seals_or_opens_anything()
    {
        var opener = Opener(ring, Seal(hybrid));
        Wire.Read(opener);
        opener.Dispose();
        Should.Throw<ObjectDisposedException>(() => opener.SealAnswer(new ArrayBufferWriter<byte>()));

        var sealer = ChunkedRequestSealer.Start(hybrid.Configuration, SymmetricSuite.Default, new ArrayBufferWriter<byte>());
        sealer.Dispose();
        Should.Throw<ObjectDisposedException>(() => sealer.Seal("text"u8));
        Should.Throw<ObjectDisposedException>(() => sealer.OpenAnswer(PipeReader.Create(Stream.Null), ChunkLimits.Answer));

        var whole = WholeRequest.Seal(hybrid.Configuration, SymmetricSuite.Default, "text"u8);
        OpenedWholeRequest.TryOpen(ring, whole.Encapsulated.Span, out var opened).ShouldBe(OpenOutcome.Final);
        var answer = opened!.SealAnswer("text"u8);
        whole.Dispose();
        opened.Dispose();
        Should.Throw<ObjectDisposedException>(() => whole.TryOpenAnswer(answer, out _));
        opened.Plaintext.Span.IndexOfAnyExcept((byte)0).ShouldBe(-1);
    }

    [Fact]
    public void A_whole_message_cut_anywhere_or_with_any_bit_flipped_does_not_open()
    {
        using var whole = WholeRequest.Seal(classic.Configuration, classic.Configuration.Suites[0], "text"u8);
        var bytes = whole.Encapsulated.ToArray();
        OpenedWholeRequest.TryOpen(ring, bytes, out var opened).ShouldBe(OpenOutcome.Final);
        var answer = opened!.SealAnswer("answer"u8);
        Should.Throw<InvalidOperationException>(() => opened.SealAnswer("another"u8));
        for (var length = 0; length < bytes.Length; length++)
            OpenWhole(bytes[..length]).ShouldBe(length < 55 ? OpenOutcome.Truncated : OpenOutcome.CannotBeOpened);
        for (var bit = 0; bit < bytes.Length * 8; bit++)
            OpenWhole(Fixture.Flip(bytes, bit)).ShouldBe(bit < 56 ? OpenOutcome.KeyUnknown : OpenOutcome.CannotBeOpened);
        for (var length = 0; length < answer.Length; length++)
            whole.TryOpenAnswer(answer.AsSpan(0, length), out _).ShouldBe(length < 48 ? OpenOutcome.Truncated : OpenOutcome.CannotBeOpened);
        for (var bit = 0; bit < answer.Length * 8; bit++)
            whole.TryOpenAnswer(Fixture.Flip(answer, bit), out _).ShouldBe(OpenOutcome.CannotBeOpened);
        whole.TryOpenAnswer([.. answer, 0], out _).ShouldBe(OpenOutcome.CannotBeOpened);
        whole.TryOpenAnswer(answer, out var plaintext).ShouldBe(OpenOutcome.Final);
        plaintext.ShouldBe("answer"u8.ToArray());
        opened.Dispose();
    }

    public void Dispose()
    {
        hybrid.Dispose();
        classic.Dispose();
    }

    private static byte[] Seal(ObliviousKey key) => Seal(key.Configuration, key.Configuration.Suites[0]);

    private static byte[] Seal(KeyConfiguration key, SymmetricSuite suite)
    {
        var output = new ArrayBufferWriter<byte>();
        using var sealer = ChunkedRequestSealer.Start(key, suite, output);
        sealer.SealFinal("text"u8);
        return output.WrittenSpan.ToArray();
    }

    private static ChunkedRequestOpener Opener(ObliviousKeyRing ring, byte[] request) =>
        new(ring, Wire.Input(request), ChunkLimits.Request);

    private OpenOutcome Open(byte[] request) => OpenWith(ring, request);

    private OpenOutcome OpenWhole(byte[] request) => OpenedWholeRequest.TryOpen(ring, request, out _);

    private static OpenOutcome OpenWith(ObliviousKeyRing ring, byte[] request)
    {
        using var opener = Opener(ring, request);
        return Wire.Read(opener).Outcome;
    }
}
