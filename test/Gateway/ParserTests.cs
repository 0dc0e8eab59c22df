using System.Text;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.V1;
using CsCheck;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Whatever arrives is answered: no parser of the gateway throws.</summary>
public sealed class ParserTests
{
    [Fact]
    public void Any_header_is_a_secret_or_none() => Gen.String.Sample(text =>
    {
        BearerSecret.FromHeader(SecretKind.ApiKey, text).ShouldBeNull();
        BearerSecret.FromHeader(SecretKind.ApiKey, "Bearer cc_" + text).ShouldBeNull();
    });

    [Fact]
    public void A_secret_reads_back_and_matches_its_own_hash_only()
    {
        var secret = BearerSecret.Create(SecretKind.ApiKey, out var text);
        var read = BearerSecret.FromHeader(SecretKind.ApiKey, "bearer " + text)!;
        (read.Prefix, read.Matches(secret.Hash), read.Matches(null)).ShouldBe((secret.Prefix, true, false));
        BearerSecret.FromHeader(SecretKind.EnrolmentToken, "Bearer " + text).ShouldBeNull();
        read.Matches(BearerSecret.Create(SecretKind.ApiKey, out _).Hash).ShouldBeFalse();
    }

    [Fact]
    public void Any_bytes_are_a_lock_request_or_a_rejection() => Gen.Byte.Array.Sample(bytes =>
        LockRequest.TryParse(bytes, out var request, out var rejection).ShouldBe(request is not null && rejection is null));

    [Fact]
    public void A_lock_request_broken_anywhere_is_read_or_rejected()
    {
        var whole = Encoding.UTF8.GetBytes("""{"model":"m\u00e9","max_num_tokens":12,"timeout":3,"x":[{"y":null}]}""");
        Gen.Select(Gen.Int[0, whole.Length - 1], Gen.Byte).Sample((index, value) =>
        {
            var broken = whole.ToArray();
            broken[index] = value;
            LockRequest.TryParse(broken, out var request, out _).ShouldBe(request is not null);
            LockRequest.TryParse(whole.AsMemory(0, index), out _, out var cut).ShouldBeFalse();
            cut.ShouldNotBeNull();
        });
    }
}
