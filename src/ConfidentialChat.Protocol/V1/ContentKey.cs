// spec/envelope-v1.md section 3: one key for one request and its answer.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.V1;

/// <summary>The AES key that client and node derive for one request, in both directions.</summary>
internal sealed class ContentKey : IDisposable
{
    private readonly byte[] bytes;

    private ContentKey(byte[] bytes)
    {
        this.bytes = bytes;
        Aead = new Aes256Gcm(bytes);
    }

    public Aes256Gcm Aead { get; }

    // key = HKDF-SHA256(ikm = X25519(own, peer), salt = salt, info = "", L = 32)
    public static bool TryDerive(X25519PrivateKey own, X25519PublicKey peer, ReadOnlySpan<byte> salt, [NotNullWhen(true)] out ContentKey? key)
    {
        Span<byte> sharedSecret = stackalloc byte[X25519PrivateKey.SharedSecretSize];
        key = null;
        if (!own.TryAgree(peer, sharedSecret))
            return false;
        var bytes = new byte[Aes256Gcm.KeySize];
        HkdfSha256.Derive(sharedSecret, salt, [], bytes);
        CryptographicOperations.ZeroMemory(sharedSecret);
        key = new ContentKey(bytes);
        return true;
    }

    /// <summary>Names (key, nonce) for the replay memory; section 6. Not the client key: several encodings of one point derive one key.</summary>
    public UInt128 ReplayTag(Blake2bTagger tagger, ReadOnlySpan<byte> nonce)
    {
        Span<byte> name = stackalloc byte[Aes256Gcm.KeySize + Aes256Gcm.NonceSize];
        bytes.CopyTo(name);
        nonce.CopyTo(name[Aes256Gcm.KeySize..]);
        var tag = tagger.Tag(name);
        CryptographicOperations.ZeroMemory(name);
        return tag;
    }

    public void Dispose()
    {
        CryptographicOperations.ZeroMemory(bytes);
        Aead.Dispose();
    }
}
