using System.Text.Json;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Protocol.Tests.Vouchers;

/// <summary><c>spec/vectors/vouchers.json</c>, made by the second implementation in <c>spec/tools</c>.</summary>
public sealed class OwnVectorTests
{
    private static readonly JsonElement Vector = SpecTools.Vectors("vouchers.json").GetProperty("vectors")[0];

    private static readonly Ed25519PublicKey Key = new(Vector.Hex("signing_key"));

    public static TheoryData<string> Refused => [.. Vector.GetProperty("refused").EnumerateArray().Select(one => one.GetProperty("name").GetString()!)];

    [Fact]
    public void Vouchers_are_signed_byte_for_byte_and_read_as_they_were_meant()
    {
        using var key = Ed25519PrivateKey.Import(Vector.Hex("signing_seed"));
        var keySet = new KeySetDigest(Vector.Hex("key_set"));
        var audience = SignedVoucher.AudienceOf(new Ed25519PublicKey(Vector.Hex("gateway_key")));
        var time = DateTimeOffset.FromUnixTimeSeconds(Vector.GetProperty("time").GetInt64());
        foreach (var vector in Vector.GetProperty("batches").EnumerateArray())
        {
            Voucher[] vouchers = [.. vector.GetProperty("vouchers").EnumerateArray().Select(Read)];
            var batch = VoucherBatch.Sign(vouchers, keySet, audience, time, key);
            VoucherBatch.TryRead(batch.Write(), out var kept).ShouldBeTrue();
            kept!.Requests.ShouldBe(vouchers.Select(voucher => voucher.Request));
            (kept.KeySet, kept.Audience, kept.Time).ShouldBe((keySet, audience, time));
            SignedVoucher? verified = null;
            foreach (var signed in vector.GetProperty("signed").EnumerateObject())
            {
                var index = int.Parse(signed.Name);
                var bytes = Convert.FromHexString(signed.Value.GetString()!);
                batch.Signed(index).ShouldBe(bytes);
                kept.Signed(index).ShouldBe(bytes);
                SignedVoucher.TryParse(bytes, out var parsed).ShouldBe(CoseError.None);
                parsed!.Voucher.ShouldBe(vouchers[index]);
                (parsed.KeySet, parsed.Audience, parsed.Time).ShouldBe((keySet, audience, time));
                parsed.IsSignedBy(Key).ShouldBeTrue();
                parsed.IsSignedBy(new Ed25519PublicKey(Vector.Hex("gateway_key"))).ShouldBeFalse();
                (verified is null || parsed.IsSignedLike(verified)).ShouldBeTrue();
                verified = parsed;
            }
        }
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void What_is_refused_is_refused_by_its_name(string name)
    {
        var vector = Vector.GetProperty("refused").EnumerateArray().Single(one => one.GetProperty("name").GetString() == name);
        var error = SignedVoucher.TryParse(vector.Hex("signed"), out var parsed);
        var outcome = error == CoseError.None && !parsed!.IsSignedBy(Key) ? "WrongSignature" : error.ToString();
        outcome.ShouldBe(vector.GetProperty("outcome").GetString());
        (parsed is null).ShouldBe(error != CoseError.None);
    }

    private static Voucher Read(JsonElement voucher)
    {
        var usage = voucher.GetProperty("usage");
        return new Voucher
        {
            Request = new RequestId(voucher.GetProperty("request").GetGuid()),
            Model = voucher.GetProperty("model").GetString()!,
            Usage = new Usage(usage[0].GetInt64(), usage[1].GetInt64()) { Pixels = usage[2].GetInt64() },
            Multiple = voucher.GetProperty("multiple").GetInt32(),
        };
    }
}
