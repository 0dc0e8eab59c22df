// spec/oblivious-v2.md sections 3.4 and 7; RFC 9180 section 5.2.
using System.Buffers.Binary;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Hpke;

/// <summary>An AEAD that numbers its messages: what is moved, doubled or left out does not open.</summary>
internal sealed class SequencedAead : IDisposable
{
    private readonly IAead aead;
    private readonly byte[] baseNonce = new byte[IAead.NonceSize];

    /// <summary>Copies both; the caller clears its own.</summary>
    public SequencedAead(AeadId aead, ReadOnlySpan<byte> key, ReadOnlySpan<byte> baseNonce)
    {
        this.aead = aead.Create(key);
        baseNonce.CopyTo(this.baseNonce);
    }

    /// <summary>The number of the next message.</summary>
    public ulong Sequence { get; internal set; }

    public void Seal(ReadOnlySpan<byte> aad, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext)
    {
        Span<byte> nonce = stackalloc byte[IAead.NonceSize];
        NextNonce(nonce);
        aead.Seal(nonce, aad, plaintext, ciphertext);
        Sequence++;
    }

    /// <summary>The number stays where nothing opens.</summary>
    public bool TryOpen(ReadOnlySpan<byte> aad, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext)
    {
        Span<byte> nonce = stackalloc byte[IAead.NonceSize];
        NextNonce(nonce);
        if (!aead.TryOpen(nonce, aad, ciphertext, plaintext))
            return false;
        Sequence++;
        return true;
    }

    public void Dispose()
    {
        aead.Dispose();
        CryptographicOperations.ZeroMemory(baseNonce);
    }

    // nonce = base_nonce XOR u96(seq)
    internal void NextNonce(Span<byte> nonce)
    {
        // A number that came back to 0 would repeat a nonce, and a repeated nonce gives away two plaintexts and the tag key.
        if (Sequence == ulong.MaxValue)
            throw new InvalidOperationException("This key has sealed or opened all the messages it may.");
        baseNonce.CopyTo(nonce);
        var low = nonce[^sizeof(ulong)..];
        BinaryPrimitives.WriteUInt64BigEndian(low, BinaryPrimitives.ReadUInt64BigEndian(low) ^ Sequence);
    }
}
