// spec/envelope-v1.md section 3, the client's side.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>A request sealed to one node, and what opens its answer. Disposal erases the key.</summary>
public sealed class SealedRequest : IDisposable
{
    /// <summary>Random blanks at the end of the plaintext; they blind its hash.</summary>
    public const int BlindingSize = 128;

    private SealedRequest(EnvelopeRequest envelope, AnswerOpener answer)
    {
        Envelope = envelope;
        Answer = answer;
    }

    public EnvelopeRequest Envelope { get; }

    /// <summary>Opens the answer to this request, and no other. Disposed of with this.</summary>
    public AnswerOpener Answer { get; }

    /// <summary>Seals a JSON request under a fresh client key, salt and nonce.</summary>
    /// <param name="json">UTF-8 JSON of the OpenAI request, with <c>model</c> and <c>stream</c>.</param>
    /// <param name="outer">Whom to seal to, and what the gateway may know.</param>
    /// <param name="request">The sealed request; the caller disposes of it when the answer is read.</param>
    /// <returns>False where the node's key is a low-order point: nothing may be sealed to it.</returns>
    public static bool TrySeal(ReadOnlySpan<byte> json, OuterFields outer, [NotNullWhen(true)] out SealedRequest? request)
    {
        var blinded = new byte[json.Length + BlindingSize];
        json.CopyTo(blinded);
        Blind(blinded.AsSpan(json.Length));
        using var clientKey = X25519PrivateKey.GenerateBrief();
        Span<byte> salt = stackalloc byte[EnvelopeRequest.SaltSize];
        Span<byte> nonce = stackalloc byte[Aes256Gcm.NonceSize];
        RandomNumberGenerator.Fill(salt);
        RandomNumberGenerator.Fill(nonce);
        var done = TrySeal(blinded, outer, clientKey, salt, nonce, out request);
        CryptographicOperations.ZeroMemory(blinded);
        return done;
    }

    /// <summary>The deterministic part, for test vectors: no blinding, every random value given.</summary>
    internal static bool TrySeal(
        ReadOnlySpan<byte> plaintext,
        OuterFields outer,
        X25519PrivateKey clientKey,
        ReadOnlySpan<byte> salt,
        ReadOnlySpan<byte> nonce,
        [NotNullWhen(true)] out SealedRequest? request)
    {
        request = null;
        if (!ContentKey.TryDerive(clientKey, outer.NodeKey, salt, out var key))
            return false;
        var hash = new byte[Blake2b256.Size];
        Blake2b256.Hash(plaintext, hash);
        var ciphertext = new byte[plaintext.Length + Aes256Gcm.TagSize];
        key.Aead.Seal(nonce, [], plaintext, ciphertext);
        var envelope = new EnvelopeRequest
        {
            Ciphertext = ciphertext,
            Nonce = nonce.ToArray(),
            Salt = salt.ToArray(),
            ClientKey = clientKey.PublicKey,
            NodeKey = outer.NodeKey,
            PlaintextBodyHash = hash,
            ModelName = outer.Model,
            Stack = outer.Stack,
            Stream = outer.Stream,
            Units = outer.Units,
        };
        request = new SealedRequest(envelope, new AnswerOpener(key, nonce));
        return true;
    }

    public void Dispose() => Answer.Dispose();

    // One random bit a blank: space or tab.
    private static void Blind(Span<byte> blanks)
    {
        Span<byte> bits = stackalloc byte[BlindingSize / 8];
        RandomNumberGenerator.Fill(bits);
        for (var i = 0; i < blanks.Length; i++)
            blanks[i] = (bits[i / 8] >> (i % 8) & 1) == 0 ? (byte)' ' : (byte)'\t';
    }
}

/// <summary>What stands outside the ciphertext, as the caller chooses it.</summary>
public sealed record OuterFields
{
    public required X25519PublicKey NodeKey { get; init; }

    public required string Model { get; init; }

    public required StackId Stack { get; init; }

    public required bool Stream { get; init; }

    /// <summary>Null stands for <see cref="ComputeUnits.Default"/>.</summary>
    public ComputeUnits? Units { get; init; }
}
