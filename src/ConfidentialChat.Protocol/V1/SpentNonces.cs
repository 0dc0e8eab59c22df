// spec/envelope-v1.md sections 7 and 8: no nonce serves twice under one content key.
using System.Buffers.Binary;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>The nonces that were used under one content key.</summary>
internal sealed class SpentNonces
{
    private readonly HashSet<UInt128> spent = [];

    /// <summary>False where the nonce was spent before.</summary>
    public bool TrySpend(ReadOnlySpan<byte> nonce)
    {
        Span<byte> padded = stackalloc byte[16];
        padded[Aes256Gcm.NonceSize..].Clear();
        nonce.CopyTo(padded);
        return spent.Add(BinaryPrimitives.ReadUInt128LittleEndian(padded));
    }
}
