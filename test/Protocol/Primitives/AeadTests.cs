using System.Text.Json;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Tests.Primitives;

/// <summary>The two AEADs that envelope v1 does not know, against Wycheproof.</summary>
public sealed class AeadTests
{
    [Fact]
    public void ChaCha20Poly1305_seals_and_opens_the_valid_and_refuses_the_invalid() =>
        Check("chacha20_poly1305_test.json", 256, key => new ChaCha20Poly1305(key));

    [Fact]
    public void Aes128Gcm_seals_and_opens_the_valid_and_refuses_the_invalid() => Check("aes_gcm_test.json", 128, key => new Aes128Gcm(key));

    [Fact]
    public void A_key_or_a_buffer_of_another_size_is_the_callers_mistake()
    {
        foreach (var size in new[] { 0, 15, 17, 31, 33 })
        {
            Should.Throw<ArgumentException>(() => new ChaCha20Poly1305(new byte[size]));
            Should.Throw<ArgumentException>(() => new Aes128Gcm(new byte[size]));
        }

        foreach (var aead in new IAead[] { new ChaCha20Poly1305(new byte[32]), new Aes128Gcm(new byte[16]) })
        {
            using (aead)
            {
                Should.Throw<ArgumentException>(() => aead.Seal(new byte[12], [], new byte[4], new byte[19]));
                Should.Throw<ArgumentException>(() => aead.TryOpen(new byte[12], [], new byte[20], new byte[5]));
                aead.TryOpen(new byte[12], [], new byte[15], []).ShouldBeFalse();
                aead.TryOpen(new byte[11], [], new byte[20], new byte[4]).ShouldBeFalse();
            }
        }
    }

    [Fact]
    public void One_buffer_serves_in_place_and_half_of_it_does_not()
    {
        var aeads = new List<IAead> { new ChaCha20Poly1305(new byte[32]) };
        if (Aes256Gcm.LibsodiumHasAes)
            aeads.Add(new Aes256Gcm(new byte[32], libsodium: true));
        foreach (var aead in aeads)
        {
            using (aead)
            {
                byte[] buffer = [.. Enumerable.Repeat((byte)7, 40), .. new byte[16]], nonce = new byte[12];
                Should.Throw<ArgumentException>(() => aead.Seal(nonce, [], buffer.AsSpan(1, 39), buffer.AsSpan(0, 55)));
                aead.Seal(nonce, [], buffer.AsSpan(0, 40), buffer);
                Should.Throw<ArgumentException>(() => aead.TryOpen(nonce, [], buffer, buffer.AsSpan(3, 40)));
                aead.TryOpen(nonce, [], buffer, buffer.AsSpan(0, 40)).ShouldBeTrue();
                buffer.AsSpan(0, 40).IndexOfAnyExcept((byte)7).ShouldBe(-1);
            }

            Should.Throw<ObjectDisposedException>(() => aead.Seal(new byte[12], [], [], new byte[16]));
            Should.Throw<ObjectDisposedException>(() => aead.TryOpen(new byte[12], [], new byte[16], []));
        }
    }

    // Out of scope: other key and nonce sizes, which the primitives do not take; they open nothing.
    private static void Check(string file, int keySize, Func<byte[], IAead> create)
    {
        var (failed, ran) = (new List<int>(), 0);
        foreach (var group in Vectors.Json($"wycheproof/{file}").GetProperty("testGroups").EnumerateArray())
        {
            if (group.GetProperty("keySize").GetInt32() != keySize)
                continue;
            foreach (var test in group.GetProperty("tests").EnumerateArray())
            {
                using var aead = create(test.Hex("key"));
                byte[] message = test.Hex("msg"), sealedMessage = [.. test.Hex("ct"), .. test.Hex("tag")];
                var opened = new byte[message.Length];
                var authentic = aead.TryOpen(test.Hex("iv"), test.Hex("aad"), sealedMessage, opened);
                var right = test.String("result") == "valid" && group.GetProperty("ivSize").GetInt32() == 96
                    ? authentic && opened.AsSpan().SequenceEqual(message) && Seal(aead, test).AsSpan().SequenceEqual(sealedMessage)
                    : !authentic && opened.AsSpan().IndexOfAnyExcept((byte)0) < 0;
                ran++;
                if (!right)
                    failed.Add(test.GetProperty("tcId").GetInt32());
            }
        }

        failed.ShouldBeEmpty();
        ran.ShouldBeGreaterThan(0);
    }

    private static byte[] Seal(IAead aead, JsonElement test)
    {
        var message = test.Hex("msg");
        var ciphertext = new byte[message.Length + IAead.TagSize];
        aead.Seal(test.Hex("iv"), test.Hex("aad"), message, ciphertext);
        return ciphertext;
    }
}
