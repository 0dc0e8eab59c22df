// spec/gateway.md section 3: relay keys lie in the database under a key of the gateway key's file.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>Seals relay keys for their rows: nonce (12) ‖ AES-256-GCM of the key, bound to the node's identity key. Safe from any thread.</summary>
internal sealed class RelayKeySeal : IDisposable
{
    private static readonly int SealedSize = Aes256Gcm.NonceSize + RelayKey.Size + Aes256Gcm.TagSize;

    private readonly byte[] key = new byte[Aes256Gcm.KeySize];

    /// <param name="gatewaySeed">The seed of the gateway key; the caller clears it.</param>
    public RelayKeySeal(ReadOnlySpan<byte> gatewaySeed) => HkdfSha256.Derive(gatewaySeed, [], "ConfidentialChat relay key seal v1"u8, key);

    public byte[] Seal(RelayKey relayKey, string identityKey)
    {
        var output = new byte[SealedSize];
        RandomNumberGenerator.Fill(output.AsSpan(0, Aes256Gcm.NonceSize));
        var secret = relayKey.Export();
        using var aead = new Aes256Gcm(key);
        aead.Seal(output.AsSpan(0, Aes256Gcm.NonceSize), Encoding.UTF8.GetBytes(identityKey), secret, output.AsSpan(Aes256Gcm.NonceSize));
        CryptographicOperations.ZeroMemory(secret);
        return output;
    }

    /// <summary>False for what was sealed under another gateway key, or for another node.</summary>
    public bool TryOpen(ReadOnlySpan<byte> sealedKey, string identityKey, [NotNullWhen(true)] out RelayKey? relayKey)
    {
        relayKey = null;
        if (sealedKey.Length != SealedSize)
            return false;
        Span<byte> secret = stackalloc byte[RelayKey.Size];
        using var aead = new Aes256Gcm(key);
        if (!aead.TryOpen(sealedKey[..Aes256Gcm.NonceSize], Encoding.UTF8.GetBytes(identityKey), sealedKey[Aes256Gcm.NonceSize..], secret))
            return false;
        relayKey = new RelayKey(secret);
        CryptographicOperations.ZeroMemory(secret);
        return true;
    }

    public void Dispose() => CryptographicOperations.ZeroMemory(key);
}
