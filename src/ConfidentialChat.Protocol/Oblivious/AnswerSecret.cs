// spec/oblivious-v2.md section 7; RFC 9458 section 4.4.
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>What both sides keep of a request for its answer. It outlives the HPKE context; disposal clears it.</summary>
internal sealed class AnswerSecret : IDisposable
{
    private readonly byte[] secret;
    private readonly byte[] enc;
    private readonly AeadId aead;
    private bool isDisposed;

    // secret = ctx.Export(label, entropy_len)
    public AnswerSecret(HpkeContext context, ReadOnlySpan<byte> enc, MessageForm form)
    {
        aead = context.Suite.Aead;
        this.enc = enc.ToArray();
        secret = new byte[NonceSize];
        context.Export(form.AnswerLabel, secret);
    }

    // entropy_len = max(Nn, Nk)
    public int NonceSize => Math.Max(IAead.NonceSize, aead.KeySize());

    /// <summary>The key of the answer that begins with <paramref name="response_nonce"/>.</summary>
    public SequencedAead DeriveKey(ReadOnlySpan<byte> response_nonce)
    {
        // A cleared secret would give a key that everyone can derive.
        ObjectDisposedException.ThrowIf(isDisposed, this);
        Span<byte> prk = stackalloc byte[HkdfSha256.PrkSize];
        Span<byte> aead_key = stackalloc byte[aead.KeySize()];
        Span<byte> aead_nonce = stackalloc byte[IAead.NonceSize];
        // prk = Extract(salt = enc ‖ response_nonce, ikm = secret)
        HkdfSha256.Extract([.. enc, .. response_nonce], secret, prk);
        // aead_key = Expand(prk, "key", Nk)
        HkdfSha256.Expand(prk, "key"u8, aead_key);
        // aead_nonce = Expand(prk, "nonce", Nn)
        HkdfSha256.Expand(prk, "nonce"u8, aead_nonce);
        var key = new SequencedAead(aead, aead_key, aead_nonce);
        CryptographicOperations.ZeroMemory(prk);
        CryptographicOperations.ZeroMemory(aead_key);
        CryptographicOperations.ZeroMemory(aead_nonce);
        return key;
    }

    public void Dispose()
    {
        isDisposed = true;
        CryptographicOperations.ZeroMemory(secret);
    }
}
