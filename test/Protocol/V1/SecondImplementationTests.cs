using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Protocol.V1;
using Org.BouncyCastle.Crypto.Agreement;
using Org.BouncyCastle.Crypto.Digests;
using Org.BouncyCastle.Crypto.Engines;
using Org.BouncyCastle.Crypto.Generators;
using Org.BouncyCastle.Crypto.Modes;
using Org.BouncyCastle.Crypto.Parameters;

namespace ConfidentialChat.Protocol.Tests.V1;

/// <summary>spec/envelope-v1.md sections 3 and 7 written a second time, on another library, and set against ours.</summary>
public sealed class SecondImplementationTests : IDisposable
{
    private readonly Fixture ours = new();

    [Fact]
    public void Another_node_opens_what_our_client_seals_and_our_client_opens_its_answer()
    {
        var theirKey = new X25519PrivateKeyParameters(RandomNumberGenerator.GetBytes(32));
        var outer = ours.Outer with { NodeKey = new(theirKey.GeneratePublicKey().GetEncoded()) };
        SealedRequest.TrySeal(Fixture.Request, outer, out var request).ShouldBeTrue();
        using (request)
        {
            var envelope = request!.Envelope;
            var key = Derive(theirKey, envelope.ClientKey.Span, envelope.Salt.Span);
            var plaintext = Gcm(false, key, envelope.Nonce.Span, envelope.Ciphertext.Span);
            Encoding.UTF8.GetString(plaintext).TrimEnd(' ', '\t').ShouldBe(Encoding.UTF8.GetString(Fixture.Request));
            Blake2b(plaintext).ShouldBe(envelope.PlaintextBodyHash.ToArray());

            var nonce = RandomNumberGenerator.GetBytes(12);
            var answer = new JsonObject
            {
                ["ciphertext"] = Convert.ToBase64String(Gcm(true, key, nonce, """{"id":"1"}"""u8)),
                ["nonce"] = Convert.ToBase64String(nonce),
                ["response_hash"] = Convert.ToBase64String(Blake2b("""{"id":"1"}"""u8)),
            };
            request.Answer.TryOpen(Encoding.UTF8.GetBytes(answer.ToJsonString()), out var opened).ShouldBeTrue();
            Encoding.UTF8.GetString(opened!).ShouldBe("""{"id":"1"}""");
        }
    }

    [Fact]
    public void Our_node_opens_what_another_client_seals_and_that_client_opens_our_answer()
    {
        var theirKey = new X25519PrivateKeyParameters(RandomNumberGenerator.GetBytes(32));
        byte[] salt = RandomNumberGenerator.GetBytes(16), nonce = RandomNumberGenerator.GetBytes(12);
        var key = Derive(theirKey, ours.NodeKey.PublicKey.Span, salt);
        var envelope = new EnvelopeRequest
        {
            Ciphertext = Gcm(true, key, nonce, Fixture.Request),
            Nonce = nonce,
            Salt = salt,
            ClientKey = new(theirKey.GeneratePublicKey().GetEncoded()),
            NodeKey = ours.NodeKey.PublicKey,
            PlaintextBodyHash = Blake2b(Fixture.Request),
            ModelName = Fixture.Model,
            Stack = new(7),
        };
        using var opened = ours.Open(Fixture.Parse(Fixture.Write(envelope)));
        opened.Plaintext.ToArray().ShouldBe(Fixture.Request);

        SealedAnswer.TryParse(Fixture.Whole(opened, """{"id":"1"}"""u8), out var answer).ShouldBeTrue();
        Encoding.UTF8.GetString(Gcm(false, key, answer!.Nonce.Span, answer.Ciphertext.Span)).TrimEnd(' ').ShouldBe("""{"id":"1"}""");
    }

    public void Dispose() => ours.Dispose();

    private static byte[] Derive(X25519PrivateKeyParameters own, ReadOnlySpan<byte> peer, ReadOnlySpan<byte> salt)
    {
        var agreement = new X25519Agreement();
        agreement.Init(own);
        var secret = new byte[agreement.AgreementSize];
        agreement.CalculateAgreement(new X25519PublicKeyParameters(peer.ToArray()), secret, 0);
        var hkdf = new HkdfBytesGenerator(new Sha256Digest());
        hkdf.Init(new HkdfParameters(secret, salt.ToArray(), []));
        var key = new byte[32];
        hkdf.GenerateBytes(key, 0, key.Length);
        return key;
    }

    private static byte[] Gcm(bool seal, byte[] key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> input)
    {
        var cipher = new GcmBlockCipher(new AesEngine());
        cipher.Init(seal, new AeadParameters(new KeyParameter(key), 128, nonce.ToArray()));
        var output = new byte[cipher.GetOutputSize(input.Length)];
        var written = cipher.ProcessBytes(input, output);
        cipher.DoFinal(output.AsSpan(written));
        return output;
    }

    private static byte[] Blake2b(ReadOnlySpan<byte> data)
    {
        var digest = new Blake2bDigest(256);
        digest.BlockUpdate(data);
        var output = new byte[32];
        digest.DoFinal(output);
        return output;
    }
}
