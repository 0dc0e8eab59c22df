using System.Text;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Protocol.Tests.Relay;

/// <summary>spec/gateway.md section 3: what node and gateway agree upon at enrolment, and the signature under it.</summary>
public sealed class RelayKeyTests : IDisposable
{
    private readonly Ed25519PrivateKey identity = Ed25519PrivateKey.Import(Seed(1));
    private readonly Ed25519PrivateKey gateway = Ed25519PrivateKey.Import(Seed(2));
    private readonly RelayKeyAgreement nodes = new(X25519PrivateKey.Import(Seed(3)));
    private readonly RelayKeyAgreement gateways = new(X25519PrivateKey.Import(Seed(4)));

    public void Dispose()
    {
        identity.Dispose();
        gateway.Dispose();
        nodes.Dispose();
        gateways.Dispose();
    }

    [Fact]
    public void Both_sides_derive_this_key_to_the_letter()
    {
        nodes.TryAgreeAsNode(gateways.PublicKey, identity.PublicKey, gateway.PublicKey, out var own).ShouldBeTrue();
        gateways.TryAgreeAsGateway(nodes.PublicKey, identity.PublicKey, gateway.PublicKey, out var peers).ShouldBeTrue();
        Convert.ToHexStringLower(own!.Export()).ShouldBe("c09d0aae60bc78df8872bf77afb66bb08a939d4b84bc9bc2ac82a9a6b927bbf8");
        peers!.Export().ShouldBe(own.Export());
    }

    [Fact]
    public void Whoever_stands_between_them_or_takes_anothers_name_derives_another_key()
    {
        using var strangers = new RelayKeyAgreement();
        using var other = Ed25519PrivateKey.Generate(out _);
        nodes.TryAgreeAsNode(gateways.PublicKey, identity.PublicKey, gateway.PublicKey, out var own).ShouldBeTrue();
        byte[][] others =
        [
            AsGateway(strangers, nodes.PublicKey, identity.PublicKey, gateway.PublicKey),
            AsGateway(gateways, strangers.PublicKey, identity.PublicKey, gateway.PublicKey),
            AsGateway(gateways, nodes.PublicKey, other.PublicKey, gateway.PublicKey),
            AsGateway(gateways, nodes.PublicKey, identity.PublicKey, other.PublicKey),
            AsGateway(gateways, nodes.PublicKey, gateway.PublicKey, identity.PublicKey),
        ];
        foreach (var key in others)
            key.ShouldNotBe(own!.Export());
        // Neither side can take the other's part: the halves stand in their order.
        gateways.TryAgreeAsNode(nodes.PublicKey, identity.PublicKey, gateway.PublicKey, out var reversed).ShouldBeTrue();
        reversed!.Export().ShouldNotBe(own!.Export());
    }

    [Fact]
    public void Two_agreements_of_the_same_two_have_two_keys()
    {
        using var again = new RelayKeyAgreement();
        again.PublicKey.ShouldNotBe(nodes.PublicKey);
        again.TryAgreeAsNode(gateways.PublicKey, identity.PublicKey, gateway.PublicKey, out var second).ShouldBeTrue();
        nodes.TryAgreeAsNode(gateways.PublicKey, identity.PublicKey, gateway.PublicKey, out var first).ShouldBeTrue();
        second!.Export().ShouldNotBe(first!.Export());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_low_order_point_is_agreed_with_by_neither_side(byte first)
    {
        var point = new X25519PublicKey([first, .. new byte[31]]);
        nodes.TryAgreeAsNode(point, identity.PublicKey, gateway.PublicKey, out var key).ShouldBeFalse();
        key.ShouldBeNull();
        gateways.TryAgreeAsGateway(point, identity.PublicKey, gateway.PublicKey, out key).ShouldBeFalse();
        key.ShouldBeNull();
    }

    [Fact]
    public void A_key_has_its_size_and_does_not_print_itself()
    {
        Should.Throw<ArgumentException>(() => new RelayKey(new byte[31]));
        Should.Throw<ArgumentException>(() => new RelayKey(new byte[33]));
        using var key = new RelayKey(Seed(7));
        key.ToString().ShouldBe("RelayKey");
    }

    [Fact]
    public void The_signature_under_an_answer_is_this_to_the_letter()
    {
        const string signature = "SDO57vd1dAbFobGKkBKd6b3EV72gfSqB8ymSrWDQqnblpraxRUSF4SelZ+Vv/erMd/aTZ7J/uJu+fb/SiXFdCw==";
        EnrolmentSignature.Sign(gateway, """{"request":1}"""u8, """{"answer":1}"""u8).ShouldBe(signature);
        Verify("""{"request":1}""", """{"answer":1}""", signature).ShouldBeTrue();
    }

    [Fact]
    public void It_holds_for_one_request_one_answer_and_one_key()
    {
        var signature = EnrolmentSignature.Sign(gateway, "r"u8, "a"u8);
        Verify("r", "a", signature).ShouldBeTrue();
        Verify("r ", "a", signature).ShouldBeFalse();
        Verify("r", "a ", signature).ShouldBeFalse();
        Verify("a", "r", signature).ShouldBeFalse();
        Verify("ra", "", signature).ShouldBeFalse();
        EnrolmentSignature.Verify(identity.PublicKey, "r"u8, "a"u8, signature).ShouldBeFalse();
        foreach (var junk in (string?[])[null, "", "junk", signature + "\n", signature[..^4], signature + "AAAA", "é"])
            Verify("r", "a", junk).ShouldBeFalse(junk);
    }

    private static byte[] AsGateway(RelayKeyAgreement agreement, X25519PublicKey peer, Ed25519PublicKey identityKey, Ed25519PublicKey gatewayKey)
    {
        agreement.TryAgreeAsGateway(peer, identityKey, gatewayKey, out var key).ShouldBeTrue();
        return key!.Export();
    }

    private bool Verify(string request, string answer, string? signature) =>
        EnrolmentSignature.Verify(gateway.PublicKey, Encoding.UTF8.GetBytes(request), Encoding.UTF8.GetBytes(answer), signature);

    private static byte[] Seed(byte value) => [.. Enumerable.Repeat(value, 32)];
}
