// spec/oblivious-v2.md section 8; RFC 9458 section 4.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>A request sealed in one piece, and what opens its answer. Disposal clears its keys.</summary>
public sealed class WholeRequest : IDisposable
{
    public const string MediaType = "message/ohttp-req";

    private readonly AnswerSecret secret;

    private WholeRequest(byte[] encapsulated, AnswerSecret secret)
    {
        Encapsulated = encapsulated;
        this.secret = secret;
    }

    /// <summary>What is sent: <c>hdr ‖ enc ‖ sealed</c>.</summary>
    public ReadOnlyMemory<byte> Encapsulated { get; }

    /// <exception cref="ArgumentException">The key is not offered with <paramref name="suite"/>.</exception>
    public static WholeRequest Seal(KeyConfiguration key, SymmetricSuite suite, ReadOnlySpan<byte> plaintext) =>
        Seal(key, suite, plaintext, []);

    /// <summary>With given randomness, for vectors.</summary>
    internal static WholeRequest Seal(
        KeyConfiguration key, SymmetricSuite suite, ReadOnlySpan<byte> plaintext, ReadOnlySpan<byte> randomness)
    {
        // enc, ctx = SetupBaseS(public_key, "message/bhttp request" ‖ 0x00 ‖ hdr)
        var header = RequestHeader.Of(key, suite);
        using var context = SenderContext.SetupBase(key.PublicKey, suite, MessageForm.Whole.Info(header), randomness);
        // hdr ‖ enc ‖ ctx.Seal("", plaintext)
        var encapsulated = new byte[RequestHeader.Size + context.Enc.Length + plaintext.Length + IAead.TagSize];
        header.Write(encapsulated);
        context.Enc.CopyTo(encapsulated.AsSpan(RequestHeader.Size));
        context.Seal([], plaintext, encapsulated.AsSpan(RequestHeader.Size + context.Enc.Length));
        return new WholeRequest(encapsulated, new AnswerSecret(context, context.Enc, MessageForm.Whole));
    }

    /// <returns>Final, Truncated or CannotBeOpened.</returns>
    public OpenOutcome TryOpenAnswer(ReadOnlySpan<byte> encapsulated, out byte[]? plaintext)
    {
        plaintext = null;
        if (encapsulated.Length < secret.NonceSize + IAead.TagSize)
            return OpenOutcome.Truncated;
        // response_nonce ‖ sealed
        using var key = secret.DeriveKey(encapsulated[..secret.NonceSize]);
        return Sealed.TryOpen(key, encapsulated[secret.NonceSize..], out plaintext);
    }

    public void Dispose() => secret.Dispose();
}

/// <summary>A request that was opened in one piece, and what seals its answer. Disposal clears key and plaintext.</summary>
public sealed class OpenedWholeRequest : IDisposable
{
    public const string AnswerMediaType = "message/ohttp-res";

    private readonly AnswerSecret secret;
    private readonly byte[] plaintext;
    private bool isAnswered;

    private OpenedWholeRequest(AnswerSecret secret, byte[] plaintext)
    {
        this.secret = secret;
        this.plaintext = plaintext;
    }

    /// <summary>Valid until disposal.</summary>
    public ReadOnlyMemory<byte> Plaintext => plaintext;

    /// <returns>Final with a request that the caller disposes of, or KeyUnknown, Truncated or CannotBeOpened without one.</returns>
    public static OpenOutcome TryOpen(ObliviousKeyRing keys, ReadOnlySpan<byte> encapsulated, out OpenedWholeRequest? request)
    {
        request = null;
        if (encapsulated.Length < RequestHeader.Size)
            return OpenOutcome.Truncated;
        // 1 hdr names a key of ours and a suite that it offers: else KeyUnknown
        var header = RequestHeader.Read(encapsulated);
        if (!keys.TryFind(header, out var key))
            return OpenOutcome.KeyUnknown;
        var sealedAt = RequestHeader.Size + key.PrivateKey.PublicKey.Mechanism.Nenc;
        if (encapsulated.Length < sealedAt + IAead.TagSize)
            return OpenOutcome.Truncated;
        // 2 ctx = SetupBaseR(enc, private key, "message/bhttp request" ‖ 0x00 ‖ hdr)
        var enc = encapsulated[RequestHeader.Size..sealedAt];
        if (!RecipientContext.TrySetupBase(key.PrivateKey, header.Suite, enc, MessageForm.Whole.Info(header), out var context))
            return OpenOutcome.CannotBeOpened;
        // 3 plaintext = ctx.Open("", sealed)
        using (context)
        {
            var outcome = Sealed.TryOpen(context.Messages, encapsulated[sealedAt..], out var plaintext);
            if (plaintext is not null)
                request = new OpenedWholeRequest(new AnswerSecret(context, enc, MessageForm.Whole), plaintext);
            return outcome;
        }
    }

    /// <summary>Seals the one answer.</summary>
    /// <exception cref="InvalidOperationException">It was sealed already.</exception>
    public byte[] SealAnswer(ReadOnlySpan<byte> answer) => SealAnswer(answer, RandomNumberGenerator.GetBytes(secret.NonceSize));

    /// <summary>With a given nonce, for vectors.</summary>
    internal byte[] SealAnswer(ReadOnlySpan<byte> answer, ReadOnlySpan<byte> response_nonce)
    {
        if (isAnswered)
            throw new InvalidOperationException("A request has one answer.");
        isAnswered = true;
        using var key = secret.DeriveKey(response_nonce);
        var encapsulated = new byte[response_nonce.Length + answer.Length + IAead.TagSize];
        response_nonce.CopyTo(encapsulated);
        key.Seal([], answer, encapsulated.AsSpan(response_nonce.Length));
        return encapsulated;
    }

    public void Dispose()
    {
        secret.Dispose();
        CryptographicOperations.ZeroMemory(plaintext);
    }
}

/// <summary>The sealed part of a whole message.</summary>
file static class Sealed
{
    public static OpenOutcome TryOpen(SequencedAead key, ReadOnlySpan<byte> sealedBytes, [NotNullWhen(true)] out byte[]? plaintext)
    {
        plaintext = new byte[sealedBytes.Length - IAead.TagSize];
        if (key.TryOpen([], sealedBytes, plaintext))
            return OpenOutcome.Final;
        plaintext = null;
        return OpenOutcome.CannotBeOpened;
    }
}
