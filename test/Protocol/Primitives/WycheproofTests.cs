using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Tests.Primitives;

/// <summary>The vectors of the Wycheproof project against the primitives. Each test collects every vector that fails, by its number.</summary>
public sealed class WycheproofTests
{
    [Fact]
    public void X25519_agrees_with_every_key_and_refuses_exactly_the_all_zero_secrets()
    {
        var (failed, refused) = (new List<int>(), 0);
        foreach (var (_, test) in Tests("x25519_test.json"))
        {
            var expected = test.Hex("shared");
            using var key = X25519PrivateKey.Import(test.Hex("private"));
            var secret = new byte[X25519PrivateKey.SharedSecretSize];
            var agreed = key.TryAgree(new X25519PublicKey(test.Hex("public")), secret);
            var allZeros = expected.AsSpan().IndexOfAnyExcept((byte)0) < 0;
            refused += agreed ? 0 : 1;
            if (agreed == allZeros || !secret.AsSpan().SequenceEqual(expected))
                failed.Add(Number(test));
        }

        failed.ShouldBeEmpty();
        refused.ShouldBeGreaterThan(0);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Aes256Gcm_seals_and_opens_the_valid_and_refuses_the_invalid(bool libsodium)
    {
        if (libsodium && !Aes256Gcm.LibsodiumHasAes)
            Assert.Skip("this processor has no AES-NI: libsodium has no AES-GCM here");
        var (failed, ran) = (new List<int>(), 0);
        foreach (var (group, test) in Tests("aes_gcm_test.json"))
        {
            // Out of scope: other key and nonce sizes, which the primitive does not take.
            if (group.GetProperty("keySize").GetInt32() != 256 || group.GetProperty("ivSize").GetInt32() != 96)
                continue;
            ran++;
            using var aead = new Aes256Gcm(test.Hex("key"), libsodium);
            byte[] message = test.Hex("msg"), sealedMessage = [.. test.Hex("ct"), .. test.Hex("tag")];
            var opened = new byte[message.Length];
            var authentic = aead.TryOpen(test.Hex("iv"), test.Hex("aad"), sealedMessage, opened);
            var right = test.String("result") == "valid"
                ? authentic && opened.AsSpan().SequenceEqual(message) && Seal(aead, test).AsSpan().SequenceEqual(sealedMessage)
                : !authentic && opened.AsSpan().IndexOfAnyExcept((byte)0) < 0;
            if (!right)
                failed.Add(Number(test));
        }

        failed.ShouldBeEmpty();
        ran.ShouldBeGreaterThan(0);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Aes256Gcm_opens_nothing_under_a_nonce_of_another_size(bool libsodium)
    {
        if (libsodium && !Aes256Gcm.LibsodiumHasAes)
            Assert.Skip("this processor has no AES-NI: libsodium has no AES-GCM here");
        foreach (var (group, test) in Tests("aes_gcm_test.json"))
        {
            if (group.GetProperty("keySize").GetInt32() != 256 || group.GetProperty("ivSize").GetInt32() == 96)
                continue;
            using var aead = new Aes256Gcm(test.Hex("key"), libsodium);
            var opened = new byte[test.Hex("ct").Length];
            aead.TryOpen(test.Hex("iv"), test.Hex("aad"), [.. test.Hex("ct"), .. test.Hex("tag")], opened).ShouldBeFalse();
        }
    }

    [Fact]
    public void HkdfSha256_derives_the_valid_and_refuses_more_than_255_blocks()
    {
        var failed = new List<int>();
        foreach (var (_, test) in Tests("hkdf_sha256_test.json"))
        {
            var output = new byte[test.GetProperty("size").GetInt32()];
            if (test.String("result") == "invalid")
            {
                Should.Throw<ArgumentException>(() => HkdfSha256.Derive(test.Hex("ikm"), test.Hex("salt"), test.Hex("info"), output));
                continue;
            }

            HkdfSha256.Derive(test.Hex("ikm"), test.Hex("salt"), test.Hex("info"), output);
            if (!output.AsSpan().SequenceEqual(test.Hex("okm")))
                failed.Add(Number(test));
        }

        failed.ShouldBeEmpty();
    }

    [Fact]
    public void Ed25519_takes_the_valid_signatures_and_no_others()
    {
        var failed = new List<int>();
        foreach (var (group, test) in Tests("ed25519_test.json"))
        {
            var key = new Ed25519PublicKey(group.GetProperty("publicKey").Hex("pk"));
            if (key.Verify(test.Hex("msg"), test.Hex("sig")) != (test.String("result") == "valid"))
                failed.Add(Number(test));
        }

        failed.ShouldBeEmpty();
    }

    private static byte[] Seal(Aes256Gcm aead, JsonElement test)
    {
        var message = test.Hex("msg");
        var ciphertext = new byte[message.Length + Aes256Gcm.TagSize];
        aead.Seal(test.Hex("iv"), test.Hex("aad"), message, ciphertext);
        return ciphertext;
    }

    private static IEnumerable<(JsonElement Group, JsonElement Test)> Tests(string file) =>
        from theGroup in Vectors.Json($"wycheproof/{file}").GetProperty("testGroups").EnumerateArray()
        from test in theGroup.GetProperty("tests").EnumerateArray()
        select (theGroup, test);

    private static int Number(JsonElement test) => test.GetProperty("tcId").GetInt32();
}
