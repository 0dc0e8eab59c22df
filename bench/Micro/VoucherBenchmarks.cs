using BenchmarkDotNet.Attributes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// What a batch of vouchers costs, all of it: signed and written for the outbox, written for its delivery, and read and verified at the gateway.
/// The bound is 80 µs for a request at the node.
/// </summary>
[MemoryDiagnoser]
public class VoucherBenchmarks
{
    private readonly Ed25519PrivateKey key = Ed25519PrivateKey.Generate(out _);
    private readonly KeySetDigest keySet = new(new byte[KeySetDigest.Size]);
    private string audience = "";
    private Voucher[] vouchers = [];
    private VoucherBatch batch = null!;
    private byte[][] signed = [];

    [Params(1, 4, 16, 256)]
    public int Size { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        audience = SignedVoucher.AudienceOf(key.PublicKey);
        vouchers =
        [
            .. Enumerable.Range(0, Size).Select(i => new Voucher { Request = RequestId.New(), Model = "tiny", Usage = new Usage(16, 16 * i), Multiple = 16 }),
        ];
        batch = Sign();
        signed = [.. Enumerable.Range(0, Size).Select(batch.Signed)];
    }

    [Benchmark]
    public int SignAndKeep() => Convert.ToBase64String(Sign().Write()).Length;

    [Benchmark]
    public int Deliver()
    {
        var characters = 0;
        for (var i = 0; i < Size; i++)
            characters += Convert.ToBase64String(batch.Signed(i)).Length;
        return characters;
    }

    [Benchmark]
    public int Verify()
    {
        SignedVoucher? verified = null;
        var good = 0;
        foreach (var bytes in signed)
        {
            if (SignedVoucher.TryParse(bytes, out var one) != CoseError.None)
                continue;
            if ((verified is not null && one!.IsSignedLike(verified)) || one!.IsSignedBy(key.PublicKey))
                good++;
            verified = one;
        }

        return good;
    }

    private VoucherBatch Sign() => VoucherBatch.Sign(vouchers, keySet, audience, DateTimeOffset.UnixEpoch, key);
}
