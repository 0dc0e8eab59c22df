using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Vouchers;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Vouchers;

/// <summary>spec/vouchers.md sections 1 to 3: whatever bytes a node or a disk has, they are read in one way or not at all.</summary>
public sealed class VoucherTests : IDisposable
{
    private const int Rounds = 20_000;

    private readonly Ed25519PrivateKey key = Ed25519PrivateKey.Generate(out _);

    public void Dispose() => key.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void No_flipped_bit_passes(int count)
    {
        var batch = Batch(count);
        for (var index = 0; index < count; index++)
        {
            var signed = batch.Signed(index);
            for (var bit = 0; bit < signed.Length * 8; bit++)
            {
                var flipped = signed.ToArray();
                flipped[bit / 8] ^= (byte)(1 << (bit % 8));
                (SignedVoucher.TryParse(flipped, out var parsed) == CoseError.None && parsed!.IsSignedBy(key.PublicKey)).ShouldBeFalse($"bit {bit} of {index}");
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public void Every_beginning_is_refused(int count)
    {
        var signed = Batch(count).Signed(0);
        for (var length = 0; length < signed.Length; length++)
            SignedVoucher.TryParse(signed.AsSpan(0, length), out _).ShouldBe(CoseError.Truncated, $"{length} bytes");
    }

    [Fact]
    public void Arbitrary_bytes_break_no_parser() => Gen.Byte.Array[0, 300].Sample(Survives, iter: Rounds);

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void A_mutated_voucher_breaks_no_parser(int count) => Mutants.Framed(Batch(count).Signed(0)).Sample(Survives, iter: Rounds);

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void A_mutated_batch_breaks_no_parser(int count) => Mutants.Framed(Batch(count).Write()).Sample(Survives, iter: Rounds);

    [Fact]
    public void The_largest_voucher_and_the_largest_batch_are_within_their_bounds()
    {
        var name = new string('漢', ModelNames.MaxLength); // three bytes each
        var batch = VoucherBatch.Sign(
            [.. Enumerable.Range(0, VoucherBatch.MaxSize).Select(_ => Voucher(name, new Usage(long.MaxValue, 0)))],
            new KeySetDigest(new byte[32]), Audience, DateTimeOffset.MaxValue.AddDays(-1), key);
        VoucherBatch.TryRead(batch.Write(), out _).ShouldBeTrue();
        SignedVoucher.TryParse(batch.Signed(7), out _).ShouldBe(CoseError.None);
        Should.Throw<ArgumentException>(() => Batch(VoucherBatch.MaxSize + 1));
        Should.Throw<ArgumentException>(() => Batch(0));
    }

    [Fact]
    public void A_signature_of_one_batch_is_none_of_another()
    {
        var vouchers = Enumerable.Range(0, 4).Select(i => Voucher("m", new Usage(i, i))).ToArray();
        SignedVoucher.TryParse(Sign(vouchers[..2]).Signed(0), out var first).ShouldBe(CoseError.None);
        SignedVoucher.TryParse(Sign(vouchers[2..]).Signed(0), out var second).ShouldBe(CoseError.None);
        SignedVoucher.TryParse(Sign(vouchers[..1]).Signed(0), out var alone).ShouldBe(CoseError.None);
        SignedVoucher.TryParse(Sign(vouchers[..2]).Signed(1), out var neighbour).ShouldBe(CoseError.None);
        first!.IsSignedLike(neighbour!).ShouldBeTrue();
        first.IsSignedLike(second!).ShouldBeFalse();
        first.IsSignedLike(alone!).ShouldBeFalse();
        alone!.IsSignedLike(alone).ShouldBeFalse(); // one that stands alone is verified by itself
    }

    private static string Audience => "urn:confidentialchat:gateway:" + new string('0', 64);

    private static bool Survives(byte[] bytes)
    {
        SignedVoucher.TryParse(bytes, out var parsed);
        parsed?.IsSignedBy(new Ed25519PublicKey(new byte[32]));
        VoucherBatch.TryRead(bytes, out var batch);
        for (var i = 0; i < batch?.Requests.Count; i++)
            batch.Signed(i);
        return true;
    }

    private static Voucher Voucher(string model, Usage usage) => new() { Request = RequestId.New(), Model = model, Usage = usage, Multiple = 1 };

    private VoucherBatch Batch(int count) => Sign([.. Enumerable.Range(0, count).Select(i => Voucher("m", new Usage(16 * i, 32)))]);

    private VoucherBatch Sign(Voucher[] vouchers) =>
        VoucherBatch.Sign(vouchers, new KeySetDigest(new byte[32]), Audience, DateTimeOffset.FromUnixTimeSeconds(1_800_000_000), key);
}
