// spec/gateway.md section 2.
using System.Text;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>How a node signs what it sends to its gateway: Ed25519 of its identity key over path and body, exactly as sent.</summary>
public static class NodeSignature
{
    /// <summary>Carries the signature, standard base64.</summary>
    public const string HeaderName = "Confidential-Node-Signature";

    /// <summary>Carries the node's number; absent at enrolment.</summary>
    public const string NodeHeaderName = "Confidential-Node";

    private static ReadOnlySpan<byte> Domain => "ConfidentialChat node message v1\0"u8;

    public static string Sign(Ed25519PrivateKey identityKey, string path, ReadOnlySpan<byte> body) =>
        Convert.ToBase64String(identityKey.Sign(Message(path, body)));

    public static bool Verify(Ed25519PublicKey identityKey, string path, ReadOnlySpan<byte> body, string? signature) =>
        StrictBase64.TryDecode(signature, out var bytes) && identityKey.Verify(Message(path, body), bytes);

    // domain ‖ path ‖ 0x00 ‖ body
    private static byte[] Message(string path, ReadOnlySpan<byte> body) => [.. Domain, .. Encoding.UTF8.GetBytes(path), 0, .. body];
}
