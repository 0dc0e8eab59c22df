// RFC 5116 section 3.1, with the sizes that every AEAD of spec/oblivious-v2.md section 3.1 has.
namespace ConfidentialChat.Protocol.Primitives;

/// <summary>Authenticated encryption under one key. Not for concurrent use.</summary>
internal interface IAead : IDisposable
{
    const int NonceSize = 12; // Nn, bytes
    const int TagSize = 16; // Nt, bytes

    /// <summary>Writes ciphertext and tag, <c>plaintext.Length + 16</c> bytes.</summary>
    void Seal(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext);

    /// <summary>Writes the plaintext, 16 bytes less; false, with zeros written, where it does not authenticate.</summary>
    bool TryOpen(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext);
}
