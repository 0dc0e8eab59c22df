using System.Security.Cryptography;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Tests.Primitives;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Hpke;

public sealed class HpkeContextTests
{
    private static readonly AeadId[] Sealing = [AeadId.Aes128Gcm, AeadId.Aes256Gcm, AeadId.ChaCha20Poly1305];

    public static TheoryData<KemId, AeadId> Suites =>
        new(from kem in Enum.GetValues<KemId>() from aead in Sealing select (kem, aead));

    [Theory]
    [MemberData(nameof(Suites))]
    public void Open_of_seal_is_the_identity(KemId kem, AeadId aead)
    {
        using var pair = new Pair(kem, aead);
        Gen.Select(Gen.Byte.Array[0, 300], Gen.Byte.Array[0, 40]).Sample(
            (plaintext, aad) =>
            {
                var ciphertext = pair.Seal(aad, plaintext);
                return pair.Open(aad, ciphertext) is { } opened && opened.AsSpan().SequenceEqual(plaintext);
            },
            iter: 200,
            threads: 1);
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void Both_sides_export_the_same_and_another_purpose_gives_another_secret(KemId kem, AeadId aead)
    {
        using var pair = new Pair(kem, aead);
        byte[] sent = new byte[64], received = new byte[64], other = new byte[64];
        pair.Sender.Export("one"u8, sent);
        pair.Recipient.Export("one"u8, received);
        pair.Recipient.Export("two"u8, other);
        received.ShouldBe(sent);
        other.ShouldNotBe(sent);
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void A_message_that_is_skipped_doubled_or_damaged_does_not_open_and_the_next_one_still_does(KemId kem, AeadId aead)
    {
        using var pair = new Pair(kem, aead);
        byte[] first = pair.Seal([], "one"u8), second = pair.Seal([], "two"u8);
        pair.Open([], second).ShouldBeNull();
        for (var bit = 0; bit < first.Length * 8; bit++)
            pair.Open([], Fixture.Flip(first, bit)).ShouldBeNull($"bit {bit}");
        pair.Open("x"u8, first).ShouldBeNull();
        pair.Open([], first).ShouldBe("one"u8.ToArray());
        pair.Open([], first).ShouldBeNull();
        pair.Open([], second).ShouldBe("two"u8.ToArray());
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void Any_flipped_bit_of_enc_opens_nothing(KemId kem, AeadId aead)
    {
        using var pair = new Pair(kem, aead);
        var message = pair.Seal([], "text"u8);
        var enc = pair.Sender.Enc.ToArray();
        var step = enc.Length > 100 ? 41 : 1; // a prime: every bit position comes up
        for (var bit = 0; bit < enc.Length * 8; bit += step)
        {
            // X25519 masks the top bit of a key: the secret is the same, but enc itself is in kem_context, so the key is not.
            if (!RecipientContext.TrySetupBase(pair.Key, pair.Suite, Fixture.Flip(enc, bit), "info"u8, out var recipient))
                continue;
            using (recipient)
                recipient.TryOpen([], message, new byte[4]).ShouldBeFalse($"bit {bit}");
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void Another_key_another_info_or_another_suite_opens_nothing(KemId kem, AeadId aead)
    {
        using var pair = new Pair(kem, aead);
        using var stranger = HpkePrivateKey.Generate(kem);
        var message = pair.Seal([], "text"u8);
        Opens(stranger, pair.Suite, "info"u8).ShouldBeFalse();
        Opens(pair.Key, pair.Suite, "inf0"u8).ShouldBeFalse();
        Opens(pair.Key, pair.Suite, []).ShouldBeFalse();
        foreach (var other in Sealing.Where(other => other != aead))
            Opens(pair.Key, pair.Suite with { Aead = other }, "info"u8).ShouldBeFalse();
        Opens(pair.Key, pair.Suite, "info"u8).ShouldBeTrue();

        bool Opens(HpkePrivateKey key, SymmetricSuite suite, ReadOnlySpan<byte> info)
        {
            RecipientContext.TrySetupBase(key, suite, pair.Sender.Enc, info, out var recipient).ShouldBeTrue();
            using (recipient)
                return recipient!.TryOpen([], message, new byte[4]);
        }
    }

    [Fact]
    public void The_last_number_is_never_used_so_that_no_nonce_comes_back()
    {
        using var pair = new Pair(KemId.DhkemX25519, AeadId.Aes256Gcm);
        pair.Sender.Messages.Sequence = pair.Recipient.Messages.Sequence = ulong.MaxValue - 1;
        var last = pair.Seal([], "last"u8);
        pair.Open([], last).ShouldBe("last"u8.ToArray());
        Should.Throw<InvalidOperationException>(() => pair.Seal([], "more"u8));
        Should.Throw<InvalidOperationException>(() => pair.Open([], last));
    }

    [Fact]
    public void A_public_key_of_another_size_of_low_order_or_not_reduced_is_none()
    {
        foreach (var point in LowOrder.Points)
            HpkePublicKey.TryImport(KemId.DhkemX25519, point, out _).ShouldBeFalse();
        foreach (var size in new[] { 0, 31, 33, 1216 })
            HpkePublicKey.TryImport(KemId.DhkemX25519, RandomNumberGenerator.GetBytes(size), out _).ShouldBeFalse();
        foreach (var size in new[] { 0, 32, 1215, 1217 })
            HpkePublicKey.TryImport(KemId.MlKem768X25519, new byte[size], out _).ShouldBeFalse();
        HpkePublicKey.TryImport(KemId.MlKem768X25519, [.. Enumerable.Repeat((byte)0xFF, 1216)], out _).ShouldBeFalse();
        HpkePublicKey.TryImport((KemId)0x0010, new byte[65], out _).ShouldBeFalse();
    }

    [Fact]
    public void An_enc_of_another_size_or_of_low_order_sets_up_nothing()
    {
        foreach (var kem in Enum.GetValues<KemId>())
        {
            using var key = HpkePrivateKey.Generate(kem);
            foreach (var size in new[] { 0, 1, 31, 33, 1119, 1121 })
                RecipientContext.TrySetupBase(key, SymmetricSuite.Default, new byte[size], [], out _).ShouldBeFalse();
            foreach (var point in LowOrder.Points)
            {
                byte[] enc = kem == KemId.DhkemX25519 ? point : [.. new byte[1088], .. point];
                RecipientContext.TrySetupBase(key, SymmetricSuite.Default, enc, [], out _).ShouldBeFalse();
            }
        }
    }

    [Fact]
    public void An_export_only_context_seals_nothing_and_an_unknown_algorithm_is_the_callers_mistake()
    {
        using var key = HpkePrivateKey.Generate(KemId.DhkemX25519);
        using var context = SenderContext.SetupBase(key.PublicKey, new(KdfId.HkdfSha256, AeadId.ExportOnly), []);
        Should.Throw<InvalidOperationException>(() => context.Seal([], [], new byte[16]));
        Should.Throw<ArgumentOutOfRangeException>(() => SenderContext.SetupBase(key.PublicKey, new(KdfId.HkdfSha256, (AeadId)4), []));
        Should.Throw<ArgumentOutOfRangeException>(() => SenderContext.SetupBase(key.PublicKey, new((KdfId)2, AeadId.Aes256Gcm), []));
        Should.Throw<ArgumentOutOfRangeException>(() => HpkePrivateKey.Generate((KemId)0x41));
        Should.Throw<ArgumentException>(() => HpkePrivateKey.Import(KemId.DhkemX25519, new byte[31]));
        Should.Throw<ArgumentException>(() => context.Export([], new byte[8161]));
    }

    private sealed class Pair : IDisposable
    {
        public Pair(KemId kem, AeadId aead)
        {
            Suite = new(KdfId.HkdfSha256, aead);
            Key = HpkePrivateKey.Generate(kem);
            Sender = SenderContext.SetupBase(Key.PublicKey, Suite, "info"u8);
            RecipientContext.TrySetupBase(Key, Suite, Sender.Enc, "info"u8, out var recipient).ShouldBeTrue();
            Recipient = recipient!;
        }

        public SymmetricSuite Suite { get; }

        public HpkePrivateKey Key { get; }

        public SenderContext Sender { get; }

        public RecipientContext Recipient { get; }

        public byte[] Seal(ReadOnlySpan<byte> aad, ReadOnlySpan<byte> plaintext)
        {
            var ciphertext = new byte[plaintext.Length + 16];
            Sender.Seal(aad, plaintext, ciphertext);
            return ciphertext;
        }

        public byte[]? Open(ReadOnlySpan<byte> aad, byte[] ciphertext)
        {
            var plaintext = new byte[ciphertext.Length - 16];
            return Recipient.TryOpen(aad, ciphertext, plaintext) ? plaintext : null;
        }

        public void Dispose()
        {
            Sender.Dispose();
            Recipient.Dispose();
            Key.Dispose();
        }
    }
}
