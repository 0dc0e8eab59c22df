using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Protocol.Tests.Vouchers;

/// <summary>spec/vouchers.md section 3 as a published implementation of COSE reads it.</summary>
public sealed class ForeignCoseTests
{
    [Fact]
    public async Task A_COSE_library_of_others_verifies_them_and_refuses_what_is_bent()
    {
        using var key = Ed25519PrivateKey.Generate(out _);
        var audience = SignedVoucher.AudienceOf(key.PublicKey);
        var time = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000);
        var containers = new List<byte[]>();
        var expected = new List<string?>();
        foreach (var count in (int[])[1, 2, 7, 256])
        {
            Voucher[] vouchers =
            [
                .. Enumerable.Range(0, count).Select(i => new Voucher
                {
                    Request = RequestId.New(), Model = "m", Usage = new Usage(16 * i, long.MaxValue / 2) { Pixels = 3 }, Multiple = 16,
                }),
            ];
            var batch = VoucherBatch.Sign(vouchers, new KeySetDigest(new byte[32]), audience, time, key);
            var (signed, payload) = (batch.Signed(count / 2), vouchers[count / 2].Write());
            containers.Add(signed);
            expected.Add(Convert.ToHexStringLower(payload));
            var bent = signed.ToArray();
            bent[bent.AsSpan().IndexOf(payload) + 4] ^= 1; // within the request's id
            containers.Add(bent);
            expected.Add(null);
        }

        var input = JsonSerializer.Serialize(
            new { key = Convert.ToHexStringLower(key.PublicKey.Span), containers = containers.Select(Convert.ToHexStringLower) });
        var seen = JsonElement.Parse(await SpecTools.RunAsync("foreign-cose.mjs", input)).EnumerateArray().ToList();
        seen.Select(one => one.ValueKind == JsonValueKind.Null ? null : one.GetProperty("payload").GetString()).ShouldBe(expected);
        foreach (var one in seen.Where(one => one.ValueKind != JsonValueKind.Null))
        {
            one.GetProperty("contentType").GetString().ShouldBe(Voucher.ContentType);
            one.GetProperty("kid").GetString().ShouldBe(new string('0', 64));
        }
    }
}
