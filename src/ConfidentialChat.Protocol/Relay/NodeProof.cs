// spec/gateway.md section 3, "The address".
using System.Buffers.Binary;
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>
/// How a gateway sees who answers at an address: it sends a challenge that none but it can have made, and who answers shows that it holds the
/// same relay key. Nobody learns anything from either, and nobody else is answered.
/// </summary>
public sealed record NodeProof
{
    /// <summary>Carries the challenge, standard base64 of 32 random bytes.</summary>
    public const string ChallengeHeaderName = "Confidential-Challenge";

    /// <summary>Carries the code: of the challenge in the gateway's request, of the proof in the node's answer; standard base64.</summary>
    public const string CodeHeaderName = "Confidential-Challenge-Code";

    public const int ChallengeSize = 32;

    private static ReadOnlySpan<byte> ChallengeDomain => "ConfidentialChat node challenge v1\0"u8;

    private static ReadOnlySpan<byte> ProofDomain => "ConfidentialChat node proof v1\0"u8;

    public required NodeId Node { get; init; }

    /// <summary>32 bytes.</summary>
    public required ReadOnlyMemory<byte> Challenge { get; init; }

    /// <summary>A new challenge to a node.</summary>
    public static NodeProof Ask(NodeId node) => new() { Node = node, Challenge = RandomNumberGenerator.GetBytes(ChallengeSize) };

    /// <summary>Reads a challenge, whatever stands there; null where it is none that the gateway made for this node.</summary>
    public static NodeProof? FromHeaders(NodeId node, RelayKey relayKey, string? challenge, string? code) =>
        StrictBase64.TryDecode(challenge, out var bytes) && bytes.Length == ChallengeSize && new NodeProof { Node = node, Challenge = bytes } is var asked
        && Matches(code, asked.Code(relayKey, ChallengeDomain))
            ? asked
            : null;

    /// <summary>As it stands in the header.</summary>
    public string ChallengeText => Convert.ToBase64String(Challenge.Span);

    /// <summary>The gateway's code, which goes with the challenge.</summary>
    public string WriteChallenge(RelayKey relayKey) => Convert.ToBase64String(Code(relayKey, ChallengeDomain));

    /// <summary>The node's answer.</summary>
    public string Write(RelayKey relayKey) => Convert.ToBase64String(Code(relayKey, ProofDomain));

    /// <summary>Whether an answer is the node's to this challenge.</summary>
    public bool IsProvenBy(RelayKey relayKey, string? proof) => Matches(proof, Code(relayKey, ProofDomain));

    private static bool Matches(string? text, ReadOnlySpan<byte> expected) =>
        StrictBase64.TryDecode(text, out var given) && CryptographicOperations.FixedTimeEquals(given, expected);

    // HMAC-SHA256(relay key, domain ‖ u64 node ‖ challenge)
    private byte[] Code(RelayKey relayKey, ReadOnlySpan<byte> domain)
    {
        ArgumentNullException.ThrowIfNull(relayKey);
        Span<byte> number = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(number, Node.Value);
        var code = new byte[RelayKey.CodeSize];
        relayKey.Authenticate([.. domain, .. number, .. Challenge.Span], code);
        return code;
    }
}
