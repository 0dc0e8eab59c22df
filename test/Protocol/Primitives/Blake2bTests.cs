using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;
using Org.BouncyCastle.Crypto.Digests;

namespace ConfidentialChat.Protocol.Tests.Primitives;

/// <summary>
/// BLAKE2b. Our primitives expose a bare digest of 32 bytes and a tag of 16 bytes under a random key of their own.
/// Out of scope, because nothing of ours computes them: digests of 20, 48 and 64 bytes, keyed digests with a given key,
/// and so the whole BLAKE2b-512 answer file, which only checks the second implementation here.
/// </summary>
public sealed class Blake2bTests
{
    [Fact]
    public void The_published_digests_of_32_bytes_come_out()
    {
        foreach (var vector in Vectors.Json("blake2/blake2b-256.json").GetProperty("vectors").EnumerateArray())
        {
            Hash(vector.Hex("in")).ShouldBe(vector.Hex("out"));
            Blake2b256.Matches(vector.Hex("in"), vector.Hex("out")).ShouldBeTrue();
        }
    }

    [Fact]
    public void The_self_test_of_RFC_7693_comes_out_for_bare_digests_of_32_bytes_and_for_its_grand_hash()
    {
        var selfTest = Vectors.Json("blake2/rfc7693-selftest.json");
        var outputs = new List<byte>();
        var ran = 0;
        foreach (var entry in selfTest.GetProperty("entries").EnumerateArray())
        {
            outputs.AddRange(entry.Hex("out"));
            if (entry.GetProperty("outlen").GetInt32() != Blake2b256.Size || entry.Hex("key").Length != 0)
                continue;
            ran++;
            Hash(entry.Hex("in")).ShouldBe(entry.Hex("out"));
        }

        ran.ShouldBe(6);
        Hash([.. outputs]).ShouldBe(selfTest.Hex("grand_hash_blake2b_256"));
    }

    [Fact]
    public void The_second_implementation_that_other_tests_lean_on_knows_the_official_answers()
    {
        foreach (var vector in Vectors.Json("blake2/blake2b-512-kat.json").EnumerateArray())
        {
            var digest = new Blake2bDigest(vector.Hex("key"), 64, null, null);
            var output = new byte[64];
            digest.BlockUpdate(vector.Hex("in"));
            digest.DoFinal(output);
            output.ShouldBe(vector.Hex("out"));
        }
    }

    [Fact]
    public void A_digest_that_is_cut_short_or_changed_in_one_bit_does_not_match()
    {
        var digest = Hash("text"u8);
        Blake2b256.Matches("text"u8, digest.AsSpan(0, 31)).ShouldBeFalse();
        Blake2b256.Matches("text"u8, []).ShouldBeFalse();
        for (var bit = 0; bit < digest.Length * 8; bit++)
            Blake2b256.Matches("text"u8, Fixture.Flip(digest, bit)).ShouldBeFalse();
    }

    [Fact]
    public void Two_taggers_name_one_secret_differently_and_each_names_it_always_alike()
    {
        using Blake2bTagger first = new(), second = new();
        first.Tag("secret"u8).ShouldBe(first.Tag("secret"u8));
        first.Tag("secret"u8).ShouldNotBe(first.Tag("secreT"u8));
        first.Tag("secret"u8).ShouldNotBe(second.Tag("secret"u8));
    }

    private static byte[] Hash(ReadOnlySpan<byte> data)
    {
        var digest = new byte[Blake2b256.Size];
        Blake2b256.Hash(data, digest);
        return digest;
    }
}
