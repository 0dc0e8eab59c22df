// spec/gateway.md section 3: the secret between one node and its gateway.
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>Authenticates relay tokens, in both processes alike. Safe for concurrent use; erased on disposal.</summary>
public sealed class RelayKey : IDisposable
{
    public const int Size = 32;
    public const int CodeSize = Sha256.Size;

    private readonly byte[] bytes;

    /// <summary>Copies 32 secret bytes; the caller clears its own.</summary>
    public RelayKey(ReadOnlySpan<byte> secret)
    {
        if (secret.Length != Size)
            throw new ArgumentException($"A relay key has {Size} bytes, not {secret.Length}.", nameof(secret));
        bytes = secret.ToArray();
    }

    /// <summary>For keeping it where only its owner reads: 32 bytes, which the caller clears.</summary>
    public byte[] Export() => [.. bytes];

    /// <summary>HMAC-SHA256, 32 bytes.</summary>
    internal void Authenticate(ReadOnlySpan<byte> message, Span<byte> code) => Sha256.Authenticate(bytes, message, code);

    public void Dispose() => CryptographicOperations.ZeroMemory(bytes);

    public override string ToString() => nameof(RelayKey); // never what it is
}

/// <summary>One side of the agreement on a relay key: an X25519 key for this exchange alone.</summary>
public sealed class RelayKeyAgreement : IDisposable
{
    private readonly X25519PrivateKey own;

    public RelayKeyAgreement()
        : this(X25519PrivateKey.Generate())
    {
    }

    /// <summary>With a key of the test vectors.</summary>
    internal RelayKeyAgreement(X25519PrivateKey own) => this.own = own;

    private static ReadOnlySpan<byte> Domain => "ConfidentialChat relay key v1\0"u8;

    /// <summary>What the peer is sent.</summary>
    public X25519PublicKey PublicKey => own.PublicKey;

    /// <summary>The node's side.</summary>
    /// <returns>False for a low-order key: the secret would be known to everyone.</returns>
    public bool TryAgreeAsNode(
        X25519PublicKey gatewaysAgreementKey, Ed25519PublicKey identityKey, Ed25519PublicKey gatewayKey, [NotNullWhen(true)] out RelayKey? key) =>
        TryAgree(gatewaysAgreementKey, identityKey, gatewayKey, PublicKey, gatewaysAgreementKey, out key);

    /// <summary>The gateway's side.</summary>
    /// <returns>False for a low-order key: the secret would be known to everyone.</returns>
    public bool TryAgreeAsGateway(
        X25519PublicKey nodesAgreementKey, Ed25519PublicKey identityKey, Ed25519PublicKey gatewayKey, [NotNullWhen(true)] out RelayKey? key) =>
        TryAgree(nodesAgreementKey, identityKey, gatewayKey, nodesAgreementKey, PublicKey, out key);

    public void Dispose() => own.Dispose();

    // HKDF-SHA256(ikm = secret, salt = "", info = domain ‖ identity key ‖ gateway key ‖ node's agreement key ‖ gateway's agreement key, L = 32)
    private bool TryAgree(
        X25519PublicKey peer,
        Ed25519PublicKey identityKey,
        Ed25519PublicKey gatewayKey,
        X25519PublicKey nodes,
        X25519PublicKey gateways,
        [NotNullWhen(true)] out RelayKey? key)
    {
        key = null;
        Span<byte> secret = stackalloc byte[X25519PrivateKey.SharedSecretSize];
        if (!own.TryAgree(peer, secret))
            return false;
        Span<byte> bytes = stackalloc byte[RelayKey.Size];
        HkdfSha256.Derive(secret, [], [.. Domain, .. identityKey.Span, .. gatewayKey.Span, .. nodes.Span, .. gateways.Span], bytes);
        key = new RelayKey(bytes);
        CryptographicOperations.ZeroMemory(secret);
        CryptographicOperations.ZeroMemory(bytes);
        return true;
    }
}

/// <summary>How the gateway signs its answer to an enrolment: over the request that it answers, too.</summary>
public static class EnrolmentSignature
{
    /// <summary>Carries the signature, standard base64.</summary>
    public const string HeaderName = "Confidential-Gateway-Signature";

    private static ReadOnlySpan<byte> Domain => "ConfidentialChat enrolment answer v2\0"u8;

    public static string Sign(Ed25519PrivateKey gatewayKey, ReadOnlySpan<byte> request, ReadOnlySpan<byte> answer) =>
        Convert.ToBase64String(gatewayKey.Sign(Message(request, answer)));

    public static bool Verify(Ed25519PublicKey gatewayKey, ReadOnlySpan<byte> request, ReadOnlySpan<byte> answer, string? signature) =>
        StrictBase64.TryDecode(signature, out var bytes) && gatewayKey.Verify(Message(request, answer), bytes);

    private static byte[] Message(ReadOnlySpan<byte> request, ReadOnlySpan<byte> answer) =>
        [.. Domain, .. Sha256.Hash(request), .. Sha256.Hash(answer)];
}
