// spec/gateway.md section 2.
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>What a node signs of a message to its gateway: all in headers, so that it is judged before a byte of the body is read.</summary>
public sealed record NodeSignature
{
    /// <summary>Carries the signature, standard base64.</summary>
    public const string HeaderName = "Confidential-Node-Signature";

    /// <summary>Carries the node's number; absent at enrolment.</summary>
    public const string NodeHeaderName = "Confidential-Node";

    /// <summary>Carries the identity key at enrolment, standard base64.</summary>
    public const string KeyHeaderName = "Confidential-Node-Key";

    /// <summary>
    /// Carries the node's clock, milliseconds since 1970. In an answer: the largest that
    /// the gateway has of this node, which the message did not exceed.
    /// </summary>
    public const string TimeHeaderName = "Confidential-Node-Time";

    /// <summary>Carries the gateway's clock, milliseconds since 1970, in the answer to a message whose signature is good.</summary>
    public const string GatewayClockHeaderName = "Confidential-Gateway-Clock";

    /// <summary>Carries what shows that both sides hold one relay key, standard base64; absent at enrolment, which agrees on it.</summary>
    public const string CodeHeaderName = "Confidential-Node-Code";

    /// <summary>Carries <see cref="Digest"/> as RFC 9530 spells it.</summary>
    public const string DigestHeaderName = "Content-Digest";

    private const string DigestHead = "sha-256=:";
    private const string DigestTail = ":";

    private static ReadOnlySpan<byte> Domain => "ConfidentialChat node message v2\0"u8;

    public required string Path { get; init; }

    /// <summary>Milliseconds since 1970 on the node's clock.</summary>
    public required long TimeMs { get; init; }

    /// <summary>Bytes of the body.</summary>
    public required long Length { get; init; }

    /// <summary>SHA-256 of the body, 32 bytes.</summary>
    public required ReadOnlyMemory<byte> Digest { get; init; }

    public static NodeSignature Over(string path, long timeMs, ReadOnlySpan<byte> body) =>
        new() { Path = path, TimeMs = timeMs, Length = body.Length, Digest = Sha256.Hash(body) };

    /// <summary>Reads what stands in the headers, whatever that is; null where something is missing or not in its one spelling.</summary>
    public static NodeSignature? FromHeaders(string path, string? time, long? length, string? digest) =>
        long.TryParse(time, NumberStyles.None, CultureInfo.InvariantCulture, out var timeMs) && length is { } size && TryReadDigest(digest, out var hash)
            ? new NodeSignature { Path = path, TimeMs = timeMs, Length = size, Digest = hash }
            : null;

    /// <summary>As it stands in the header.</summary>
    public string DigestText => DigestHead + Convert.ToBase64String(Digest.Span) + DigestTail;

    /// <summary>Standard base64.</summary>
    public string Sign(Ed25519PrivateKey identityKey) => Convert.ToBase64String(identityKey.Sign(Message()));

    public bool IsSignedBy(Ed25519PublicKey identityKey, string? signature) =>
        StrictBase64.TryDecode(signature, out var bytes) && identityKey.Verify(Message(), bytes);

    /// <summary>HMAC-SHA256 under the relay key of what is signed; standard base64.</summary>
    public string Authenticate(RelayKey relayKey)
    {
        ArgumentNullException.ThrowIfNull(relayKey);
        Span<byte> code = stackalloc byte[RelayKey.CodeSize];
        relayKey.Authenticate(Message(), code);
        return Convert.ToBase64String(code);
    }

    public bool IsAuthenticatedBy(RelayKey relayKey, string? code)
    {
        ArgumentNullException.ThrowIfNull(relayKey);
        Span<byte> expected = stackalloc byte[RelayKey.CodeSize];
        relayKey.Authenticate(Message(), expected);
        return StrictBase64.TryDecode(code, out var bytes) && CryptographicOperations.FixedTimeEquals(expected, bytes);
    }

    /// <summary>Whether a body is the one that was signed.</summary>
    public bool IsOf(ReadOnlySpan<byte> body) => body.Length == Length && Sha256.Matches(body, Digest.Span);

    // domain ‖ path ‖ 0x00 ‖ u64 time ‖ u64 length ‖ digest
    private byte[] Message()
    {
        var path = Encoding.UTF8.GetBytes(Path);
        Span<byte> numbers = stackalloc byte[2 * sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(numbers, TimeMs);
        BinaryPrimitives.WriteInt64BigEndian(numbers[sizeof(long)..], Length);
        return [.. Domain, .. path, 0, .. numbers, .. Digest.Span];
    }

    private static bool TryReadDigest(string? text, [NotNullWhen(true)] out byte[]? digest)
    {
        digest = null;
        return text is not null && text.StartsWith(DigestHead, StringComparison.Ordinal) && text.EndsWith(DigestTail, StringComparison.Ordinal)
            && text.Length > DigestHead.Length + DigestTail.Length
            && StrictBase64.TryDecode(text[DigestHead.Length..^DigestTail.Length], out digest) && digest.Length == Sha256.Size;
    }
}
