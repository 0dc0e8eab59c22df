using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Protocol.Tests.Relay;

/// <summary>spec/gateway.md section 4.</summary>
public sealed class RelayTokenTests
{
    private static readonly byte[] Secret = [.. Enumerable.Range(0, RelayKey.Size).Select(i => (byte)i)];
    internal static readonly RelayKey Key = new(Secret);

    [Fact]
    public void A_token_is_read_back_as_it_was_written()
    {
        RelayToken.TryRead(Token().Write(Key), Key, out var read).ShouldBeTrue();
        read.ShouldBe(Token());
    }

    [Fact]
    public void The_payload_looks_like_this_and_its_code_is_a_MAC_over_domain_and_payload()
    {
        var parts = Token().Write(Key).Split('.');
        parts.Length.ShouldBe(2);
        var payload = Base64Url.DecodeFromChars(parts[0]);
        Encoding.UTF8.GetString(payload).ShouldBe(
            """{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/v1/confidential/chat/completions","model":"tiny","units":9000,"expires":1800000000}""");
        Base64Url.DecodeFromChars(parts[1]).ShouldBe(Code("ConfidentialChat relay token v2\0", payload));
    }

    [Fact]
    public void This_is_a_token_to_the_letter() => Token().Write(Key).ShouldBe(
        "eyJyZXF1ZXN0IjoiN2YyYzFlNmEtM2YwYi00YzU1LTlkN2UtMDEyMzQ1Njc4OWFiIiwibm9kZSI6Mywia2V5X3NldCI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHhBUkVoTVVGUllYR0JrYUd4d2RIaDgiLCJlbmRwb2ludCI6Ii92MS9jb25maWRlbnRpYWwvY2hhdC9jb21wbGV0aW9ucyIsIm1vZGVsIjoidGlueSIsInVuaXRzIjo5MDAwLCJleHBpcmVzIjoxODAwMDAwMDAwfQ.68jPrPYc506Wdcks0p9fU49AOOM4WX7Rx0PChzimHX8");

    [Fact]
    public void Under_another_key_nothing_is_read()
    {
        using var other = new RelayKey(Fixture.Flip(Secret, 0));
        RelayToken.TryRead(Token().Write(Key), other, out _).ShouldBeFalse();
    }

    [Fact]
    public void A_code_over_the_payload_without_its_domain_or_under_the_older_one_is_refused()
    {
        var payload = Base64Url.DecodeFromChars(Token().Write(Key).Split('.')[0]);
        foreach (var domain in (string[])["", "ConfidentialChat relay token v1\0", "ConfidentialChat relay token v2"])
        {
            var code = Code(domain, payload);
            RelayToken.TryRead(Base64Url.EncodeToString(payload) + "." + Base64Url.EncodeToString(code), Key, out _).ShouldBeFalse(domain);
        }
    }

    [Fact]
    public void Any_altered_bit_of_payload_or_code_is_refused()
    {
        var parts = Token().Write(Key).Split('.');
        for (var part = 0; part < 2; part++)
        {
            var bytes = Base64Url.DecodeFromChars(parts[part]);
            for (var bit = 0; bit < bytes.Length * 8; bit++)
            {
                var altered = parts.ToArray();
                altered[part] = Base64Url.EncodeToString(Fixture.Flip(bytes, bit));
                RelayToken.TryRead(string.Join('.', altered), Key, out _).ShouldBeFalse();
            }
        }
    }

    [Fact]
    public void The_payload_of_one_token_with_the_code_of_another_is_refused()
    {
        var (mine, theirs) = (Token().Write(Key), (Token() with { Units = new ComputeUnits(1) }).Write(Key));
        RelayToken.TryRead(mine.Split('.')[0] + "." + theirs.Split('.')[1], Key, out _).ShouldBeFalse();
    }

    [Fact]
    public void Another_spelling_of_a_good_token_is_refused()
    {
        var token = Token().Write(Key);
        var dot = token.IndexOf('.', StringComparison.Ordinal);
        // 32 bytes leave two unused bits in the code's last sign: its neighbour decodes alike.
        var stray = token[..^1] + (char)(token[^1] + 1);
        string[] others = [token + "==", token + "=", " " + token, token + " ", token + "\n", token.Insert(dot, "="), token.Insert(5, " "), stray];
        foreach (var other in others)
            RelayToken.TryRead(other, Key, out _).ShouldBeFalse(other);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a.b")]
    [InlineData("a.b.c")]
    [InlineData("junk")]
    [InlineData("é.é")]
    [InlineData("\ud800.\ud800")]
    public void Junk_is_refused(string? text) => RelayToken.TryRead(text, Key, out _).ShouldBeFalse();

    [Fact]
    public void A_token_of_endless_length_is_refused_unread() =>
        RelayToken.TryRead(new string('A', 100_000_000) + ".", Key, out _).ShouldBeFalse();

    [Fact]
    public void Whether_it_has_expired_is_left_to_the_caller_who_knows_the_time()
    {
        var expired = Token() with { Expires = DateTimeOffset.UnixEpoch };
        RelayToken.TryRead(expired.Write(Key), Key, out var read).ShouldBeTrue();
        read!.Expires.ShouldBe(DateTimeOffset.UnixEpoch);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("not json")]
    [InlineData("""{"request":"x","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/p","model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3.5,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/p","model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/p","model":null,"units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/p","model":"tiny","units":9000,"expires":9223372036854775807}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/p","model":"tiny","units":9000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"node":4,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":"/p","model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","endpoint":7,"model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"","endpoint":"/p","model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","endpoint":"/p","model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9","endpoint":"/p","model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"key_set":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH","endpoint":"/p","model":"tiny","units":9000,"expires":1800000000}""")]
    public void An_authentic_payload_that_is_no_token_is_refused(string payload) =>
        RelayToken.TryRead(Write(Encoding.UTF8.GetBytes(payload)), Key, out _).ShouldBeFalse();

    internal static RelayToken Token() => new()
    {
        Request = new RequestId(Guid.ParseExact("7f2c1e6a-3f0b-4c55-9d7e-0123456789ab", "D")),
        Node = new NodeId(3),
        KeySet = new KeySetDigest(Secret),
        Endpoint = "/v1/confidential/chat/completions",
        Model = "tiny",
        Units = new ComputeUnits(9000),
        Expires = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000),
    };

    internal static string Write(byte[] payload) =>
        Base64Url.EncodeToString(payload) + "." + Base64Url.EncodeToString(Code("ConfidentialChat relay token v2\0", payload));

    private static byte[] Code(string domain, byte[] payload)
    {
        byte[] message = [.. Encoding.ASCII.GetBytes(domain), .. payload];
        return HMACSHA256.HashData(Secret, message);
    }
}
