// spec/envelope-v1.md sections 7 and 8: every object under a random nonce of its own.
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>Random nonces, drawn several at a time: a draw for each event of a stream would cost more than its sealing. Not for concurrent use.</summary>
internal sealed class FreshNonces
{
    private const int Most = 32;

    private byte[] drawn = [];
    private int next;
    private int count = 1; // a whole answer needs no more

    public void Next(Span<byte> nonce)
    {
        if (next == drawn.Length)
        {
            drawn = RandomNumberGenerator.GetBytes(count * Aes256Gcm.NonceSize);
            (next, count) = (0, Most);
        }

        drawn.AsSpan(next, Aes256Gcm.NonceSize).CopyTo(nonce);
        next += Aes256Gcm.NonceSize;
    }
}
