using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Protocol.Tests.Relay;

/// <summary>spec/gateway.md section 2: what stands in the headers of a node's message, and what a gateway makes of whatever stands there.</summary>
public sealed class NodeSignatureTests : IDisposable
{
    private const long TimeMs = 1_800_000_000_000;

    private static readonly byte[] Body = """{"state":"ready"}"""u8.ToArray();

    private readonly Ed25519PrivateKey key = Ed25519PrivateKey.Import([.. Enumerable.Repeat((byte)1, 32)]);

    public void Dispose() => key.Dispose();

    [Fact]
    public void A_code_holds_under_one_relay_key_for_one_message()
    {
        using var relayKey = new RelayKey(new byte[RelayKey.Size]);
        using var other = new RelayKey([.. new byte[RelayKey.Size - 1], 1]);
        var sent = NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body);
        var code = sent.Authenticate(relayKey);
        sent.IsAuthenticatedBy(relayKey, code).ShouldBeTrue();
        sent.IsAuthenticatedBy(other, code).ShouldBeFalse();
        sent.IsAuthenticatedBy(relayKey, code + "=").ShouldBeFalse();
        sent.IsAuthenticatedBy(relayKey, null).ShouldBeFalse();
        sent.IsAuthenticatedBy(relayKey, "").ShouldBeFalse();
        (sent with { TimeMs = TimeMs + 1 }).IsAuthenticatedBy(relayKey, code).ShouldBeFalse();
        (sent with { Path = NodePaths.UsageReports }).IsAuthenticatedBy(relayKey, code).ShouldBeFalse();
    }

    [Fact]
    public void The_headers_are_these_to_the_letter()
    {
        var signed = NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body);
        signed.DigestText.ShouldBe("sha-256=:y6RsHXTfywXlhOD/sqwb051dDeDHo/0q5zVLRAH0i6Y=:");
        signed.Sign(key).ShouldBe("wRx4apXvFTbJDmMzmLIBEn+BsW4Voyb/isUfEAwPjT2PjPLRoNirtcNCMCe6c+1BS9q8rDMZbY6DPvBHFbuwDQ==");
        signed.Length.ShouldBe(Body.Length);
    }

    [Fact]
    public void What_was_signed_is_read_back_from_the_headers_and_holds()
    {
        var sent = NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body);
        var read = NodeSignature.FromHeaders(NodePaths.Heartbeat, "1800000000000", Body.Length, sent.DigestText)!;
        read.IsSignedBy(key.PublicKey, sent.Sign(key)).ShouldBeTrue();
        read.IsOf(Body).ShouldBeTrue();
    }

    [Fact]
    public void A_signature_holds_for_one_key_path_time_length_and_body()
    {
        using var other = Ed25519PrivateKey.Generate(out _);
        var sent = NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body);
        var signature = sent.Sign(key);
        sent.IsSignedBy(key.PublicKey, signature).ShouldBeTrue();
        sent.IsSignedBy(other.PublicKey, signature).ShouldBeFalse();
        NodeSignature[] others =
        [
            sent with { Path = NodePaths.UsageReports },
            sent with { Path = NodePaths.Heartbeat + "\0" },
            sent with { Path = "" },
            sent with { TimeMs = TimeMs + 1 },
            sent with { TimeMs = Body.Length, Length = TimeMs },
            sent with { Length = Body.Length + 1 },
            sent with { Digest = Fixture.Flip(sent.Digest.ToArray(), 0) },
            NodeSignature.Over(NodePaths.Heartbeat, TimeMs, [.. Body, (byte)' ']),
        ];
        foreach (var changed in others)
            changed.IsSignedBy(key.PublicKey, signature).ShouldBeFalse(changed.ToString());
        sent.IsOf([.. Body, (byte)' ']).ShouldBeFalse();
        sent.IsOf(Fixture.Flip(Body, 0)).ShouldBeFalse();
        (sent with { Length = 1 }).IsOf(Body).ShouldBeFalse();
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("junk")]
    [InlineData("AAAA")]
    [InlineData("\ud800")]
    public void A_signature_that_is_none_does_not_hold(string? signature) =>
        NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body).IsSignedBy(key.PublicKey, signature).ShouldBeFalse();

    [Fact]
    public void A_signature_in_another_spelling_does_not_hold()
    {
        var sent = NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body);
        var signature = sent.Sign(key);
        foreach (var other in (string[])[signature + "\n", " " + signature, signature.TrimEnd('='), signature[..^3] + (char)(signature[^3] + 1) + "=="])
            sent.IsSignedBy(key.PublicKey, other).ShouldBeFalse(other);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("+1")]
    [InlineData(" 1")]
    [InlineData("1 ")]
    [InlineData("1,000")]
    [InlineData("1e3")]
    [InlineData("0x1")]
    [InlineData("9223372036854775808")]
    [InlineData("\u0661")]
    public void A_time_that_is_no_plain_number_is_refused(string? time) =>
        NodeSignature.FromHeaders(NodePaths.Heartbeat, time, Body.Length, NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body).DigestText).ShouldBeNull();

    [Fact]
    public void A_body_without_an_announced_length_is_refused() =>
        NodeSignature.FromHeaders(NodePaths.Heartbeat, "1", null, NodeSignature.Over(NodePaths.Heartbeat, TimeMs, Body).DigestText).ShouldBeNull();

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(":")]
    [InlineData("sha-256=:")]
    [InlineData("sha-256=::")]
    [InlineData("sha-256=:AAAA:")]
    [InlineData("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:")]
    [InlineData("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=:")]
    [InlineData("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    [InlineData("sha-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    [InlineData("SHA-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")]
    [InlineData("sha-512=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")]
    [InlineData("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:, sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")]
    [InlineData(" sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")]
    public void A_digest_in_any_other_spelling_is_refused(string? digest) =>
        NodeSignature.FromHeaders(NodePaths.Heartbeat, "1", Body.Length, digest).ShouldBeNull();
}
