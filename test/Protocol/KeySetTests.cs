using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>spec/gateway.md section 3: what names a node's keys, and what is taken of a node's word.</summary>
public sealed class KeySetTests
{
    private const string OfOneKey = "Z64G2vNsZoDuDMOqmecCopI0LrKKhVJnLPW7eb6Kqi8";

    private static readonly X25519PublicKey Key = new([.. Enumerable.Range(0, 32).Select(i => (byte)i)]);
    private static readonly KeySet Alone = new() { X25519 = Key, Expires = DateTimeOffset.FromUnixTimeSeconds(1_800_003_600) };

    [Fact]
    public void The_digests_of_a_key_alone_and_of_three_are_these_to_the_letter()
    {
        using var signing = Ed25519PrivateKey.Import([.. Enumerable.Repeat((byte)1, 32)]);
        Alone.Digest.ToString().ShouldBe(OfOneKey);
        (Alone with { Ohttp = "abc"u8.ToArray(), Signing = signing.PublicKey }).Digest.ToString().ShouldBe("lBPIdJXzunJ4ds4OVHAYEoMvd0bb9RdIZ5p7cl6KtPo");
    }

    [Fact]
    public void Every_key_is_in_the_digest_and_nothing_else_is()
    {
        using var signing = Ed25519PrivateKey.Generate(out _);
        KeySet[] others =
        [
            Alone with { X25519 = new X25519PublicKey(Fixture.Flip(Key.Span.ToArray(), 0)) },
            Alone with { Ohttp = "a"u8.ToArray() },
            Alone with { Signing = signing.PublicKey },
            Alone with { Signing = new Ed25519PublicKey(Key.Span) },
            Alone with { Ohttp = Key.Span.ToArray() },
        ];
        others.Select(set => set.Digest).Append(Alone.Digest).Distinct().Count().ShouldBe(others.Length + 1);
        (Alone with { Expires = DateTimeOffset.UnixEpoch, Bundle = new byte[32], Ohttp = ReadOnlyMemory<byte>.Empty }).Digest.ShouldBe(Alone.Digest);
    }

    [Fact]
    public void A_digest_is_read_in_its_one_spelling()
    {
        KeySetDigest.TryParse(OfOneKey, out var digest).ShouldBeTrue();
        digest.ShouldBe(Alone.Digest);
        foreach (var text in (string?[])
        [
            null, "", "junk", OfOneKey + "=", " " + OfOneKey, OfOneKey[..^1], OfOneKey[..^1] + "9", OfOneKey[..^1] + "\n", OfOneKey[..^2] + "+8",
            new string('é', 43),
        ])
            KeySetDigest.TryParse(text, out _).ShouldBeFalse(text);
        Should.Throw<ArgumentException>(() => new KeySetDigest(new byte[31]));
        var bytes = new byte[KeySetDigest.Size];
        digest.CopyTo(bytes);
        new KeySetDigest(bytes).ShouldBe(digest);
    }

    [Fact]
    public void An_announced_set_is_read_back_as_it_was()
    {
        var announced = AnnouncedKeySet.Of(Alone);
        announced.ShouldBe(new AnnouncedKeySet(OfOneKey, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", null, 1_800_003_600));
        announced.TryRead(out var read).ShouldBeTrue();
        read.ShouldBe(new PublishedKeySet(Alone.Digest, Alone.X25519, null, Alone.Expires));
    }

    [Fact]
    public void An_attested_set_is_announced_by_its_digest_and_its_bundle()
    {
        var attested = Alone with { Ohttp = new byte[1220], Bundle = Enumerable.Repeat((byte)7, 32).ToArray() };
        var announced = AnnouncedKeySet.Of(attested);
        announced.TryRead(out var read).ShouldBeTrue();
        read!.Digest.ShouldBe(attested.Digest);
        read.Bundle.ShouldBe(attested.Bundle!.Value.ToArray());
        (announced with { Bundle = null }).TryRead(out _).ShouldBeFalse("without a bundle the digest is that of the one key");
    }

    [Fact]
    public void A_set_with_another_digest_or_malformed_members_is_refused()
    {
        var good = AnnouncedKeySet.Of(Alone);
        AnnouncedKeySet[] bad =
        [
            good with { Digest = "" },
            good with { Digest = OfOneKey + "=" },
            good with { Digest = AnnouncedKeySet.Of(Alone with { Ohttp = new byte[1] }).Digest },
            good with { X25519 = "" },
            good with { X25519 = "AAAA" },
            good with { X25519 = good.X25519.TrimEnd('=') },
            good with { Bundle = "" },
            good with { Bundle = "AAAA" },
            good with { Bundle = good.X25519.TrimEnd('=') },
            good with { Expires = -1 },
            good with { Expires = long.MaxValue },
        ];
        foreach (var announced in bad)
            announced.TryRead(out _).ShouldBeFalse(announced.ToString());
        (good with { Expires = 253_402_300_799 }).TryRead(out _).ShouldBeTrue();
        (good with { Expires = 253_402_300_800 }).TryRead(out _).ShouldBeFalse();
    }
}
