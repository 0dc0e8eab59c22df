using System.Buffers.Text;
using System.Text;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Tests.Relay;

/// <summary>spec/gateway.md section 4.</summary>
public sealed class RelayTokenTests
{
    private static readonly Ed25519PrivateKey GatewayKey = Ed25519PrivateKey.Import(new byte[32]);

    [Fact]
    public void A_token_is_read_back_as_it_was_signed()
    {
        RelayToken.TryVerify(Token().Sign(GatewayKey), GatewayKey.PublicKey, out var read).ShouldBeTrue();
        read.ShouldBe(Token());
    }

    [Fact]
    public void The_signed_payload_looks_like_this()
    {
        var parts = Token().Sign(GatewayKey).Split('.');
        parts.Length.ShouldBe(2);
        var payload = Base64Url.DecodeFromChars(parts[0]);
        Encoding.UTF8.GetString(payload).ShouldBe(
            """{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"stack":7,"model":"tiny","units":9000,"expires":1800000000}""");
        GatewayKey.PublicKey.Verify([.. "ConfidentialChat relay token v1\0"u8, .. payload], Base64Url.DecodeFromChars(parts[1])).ShouldBeTrue();
    }

    [Fact]
    public void Another_gateways_key_verifies_nothing()
    {
        using var other = Ed25519PrivateKey.Generate(out _);
        RelayToken.TryVerify(Token().Sign(GatewayKey), other.PublicKey, out _).ShouldBeFalse();
    }

    [Fact]
    public void A_signature_over_the_payload_without_its_domain_is_refused()
    {
        var payload = Base64Url.DecodeFromChars(Token().Sign(GatewayKey).Split('.')[0]);
        var token = Base64Url.EncodeToString(payload) + "." + Base64Url.EncodeToString(GatewayKey.Sign(payload));
        RelayToken.TryVerify(token, GatewayKey.PublicKey, out _).ShouldBeFalse();
    }

    [Fact]
    public void Any_altered_bit_of_payload_or_signature_is_refused()
    {
        var parts = Token().Sign(GatewayKey).Split('.');
        for (var part = 0; part < 2; part++)
        {
            var bytes = Base64Url.DecodeFromChars(parts[part]);
            for (var bit = 0; bit < bytes.Length * 8; bit++)
            {
                var altered = parts.ToArray();
                altered[part] = Base64Url.EncodeToString(Fixture.Flip(bytes, bit));
                RelayToken.TryVerify(string.Join('.', altered), GatewayKey.PublicKey, out _).ShouldBeFalse();
            }
        }
    }

    [Fact]
    public void The_payload_of_one_token_under_the_signature_of_another_is_refused()
    {
        var (mine, theirs) = (Token().Sign(GatewayKey), (Token() with { Units = new ComputeUnits(1) }).Sign(GatewayKey));
        RelayToken.TryVerify(mine.Split('.')[0] + "." + theirs.Split('.')[1], GatewayKey.PublicKey, out _).ShouldBeFalse();
    }

    [Fact]
    public void Another_spelling_of_a_good_token_is_refused()
    {
        var token = Token().Sign(GatewayKey);
        var dot = token.IndexOf('.', StringComparison.Ordinal);
        // 64 bytes leave four unused bits in the signature's last sign: its neighbour decodes alike.
        var stray = token[..^1] + (char)(token[^1] + 1);
        string[] others = [token + "==", token + "=", " " + token, token + " ", token + "\n", token.Insert(dot, "="), token.Insert(5, " "), stray];
        foreach (var other in others)
            RelayToken.TryVerify(other, GatewayKey.PublicKey, out _).ShouldBeFalse(other);
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
    public void Junk_is_refused(string? text) => RelayToken.TryVerify(text, GatewayKey.PublicKey, out _).ShouldBeFalse();

    [Fact]
    public void A_token_of_endless_length_is_refused_unread() =>
        RelayToken.TryVerify(new string('A', 100_000_000) + ".", GatewayKey.PublicKey, out _).ShouldBeFalse();

    [Fact]
    public void Whether_it_has_expired_is_left_to_the_caller_who_knows_the_time()
    {
        var expired = Token() with { Expires = DateTimeOffset.UnixEpoch };
        RelayToken.TryVerify(expired.Sign(GatewayKey), GatewayKey.PublicKey, out var read).ShouldBeTrue();
        read!.Expires.ShouldBe(DateTimeOffset.UnixEpoch);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("not json")]
    [InlineData("""{"request":"x","node":3,"stack":7,"model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3.5,"stack":7,"model":"tiny","units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"stack":7,"model":null,"units":9000,"expires":1800000000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"stack":7,"model":"tiny","units":9000,"expires":9223372036854775807}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"stack":7,"model":"tiny","units":9000}""")]
    [InlineData("""{"request":"7f2c1e6a-3f0b-4c55-9d7e-0123456789ab","node":3,"node":4,"stack":7,"model":"tiny","units":9000,"expires":1800000000}""")]
    public void A_signed_payload_that_is_no_token_is_refused(string payload) =>
        RelayToken.TryVerify(Sign(GatewayKey, Encoding.UTF8.GetBytes(payload)), GatewayKey.PublicKey, out _).ShouldBeFalse();

    internal static RelayToken Token() => new()
    {
        Request = new RequestId(Guid.ParseExact("7f2c1e6a-3f0b-4c55-9d7e-0123456789ab", "D")),
        Node = new NodeId(3),
        Stack = new StackId(7),
        Model = "tiny",
        Units = new ComputeUnits(9000),
        Expires = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000),
    };

    internal static string Sign(Ed25519PrivateKey key, byte[] payload) =>
        Base64Url.EncodeToString(payload) + "." + Base64Url.EncodeToString(key.Sign([.. "ConfidentialChat relay token v1\0"u8, .. payload]));
}
