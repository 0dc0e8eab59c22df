// spec/gateway.md sections 2, 3 and 5: what a node tells its gateway, and what it hears back.
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>The paths of the gateway's interface for nodes, and the node's for its gateway's challenge.</summary>
public static class NodePaths
{
    public const string Enrolment = "/v1/nodes/enrolment";
    public const string Heartbeat = "/v1/nodes/heartbeat";
    public const string Address = "/v1/nodes/address";
    public const string UsageReports = "/v2/usage-reports";

    /// <summary>At the node; the others are the gateway's.</summary>
    public const string Proof = "/v1/node/proof";
}

/// <summary>A node asks to be enrolled; <c>Authorization: Bearer</c> carries the operator's enrolment token, a header the identity key.</summary>
public sealed record EnrolmentRequest
{
    /// <summary>Where the gateway reaches the node: scheme, host and port.</summary>
    public required Uri Address { get; init; }

    /// <summary>SHA-256 of the node's TLS public key (SubjectPublicKeyInfo), standard base64; null where <see cref="Address"/> is plain HTTP.</summary>
    public string? TlsPin { get; init; }

    /// <summary>The node's half of the agreement on a relay key: X25519, standard base64.</summary>
    public required string AgreementKey { get; init; }

    public required NodeStatus Status { get; init; }
}

/// <summary>The gateway's answer to an enrolment, which <see cref="EnrolmentSignature"/> signs.</summary>
public sealed record EnrolmentAnswer
{
    public required long NodeId { get; init; }

    /// <summary>Ed25519, standard base64.</summary>
    public required string GatewayKey { get; init; }

    /// <summary>The gateway's half of the agreement on a relay key: X25519, standard base64.</summary>
    public required string AgreementKey { get; init; }

    public required int HeartbeatSeconds { get; init; }
}

/// <summary>A node that is enrolled says where it is now.</summary>
public sealed record AnnouncedAddress
{
    /// <summary>As in <see cref="EnrolmentRequest"/>.</summary>
    public required Uri Address { get; init; }

    /// <summary>As in <see cref="EnrolmentRequest"/>.</summary>
    public string? TlsPin { get; init; }
}

/// <summary>What the gateway answers to a heartbeat and to an announced address.</summary>
/// <param name="Reached">To an address: whether the node answered there. To a heartbeat: whether the gateway's last attempt to reach the node did not fail.</param>
/// <param name="Address">Where the gateway sends the node's requests.</param>
public sealed record NodeReach(bool Reached, Uri Address);

/// <summary>How a node is; the body of a heartbeat.</summary>
public sealed record NodeStatus
{
    public required NodeState State { get; init; }

    public required IReadOnlyList<string> Models { get; init; }

    /// <summary>The key sets that the node opens, newest first.</summary>
    public required IReadOnlyList<AnnouncedKeySet> KeySets { get; init; }

    /// <summary>Requests being served, and waiting.</summary>
    public required int Running { get; init; }

    public required int Queued { get; init; }
}

[JsonConverter(typeof(NodeStateConverter))]
public enum NodeState
{
    Ready,
    Draining,
}

/// <summary>Exactly <c>"ready"</c> or <c>"draining"</c>: the library's own converter takes numbers and any case as well.</summary>
internal sealed class NodeStateConverter : JsonConverter<NodeState>
{
    public override NodeState Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType != JsonTokenType.String ? throw new JsonException()
        : reader.ValueTextEquals("ready"u8) ? NodeState.Ready
        : reader.ValueTextEquals("draining"u8) ? NodeState.Draining
        : throw new JsonException();

    public override void Write(Utf8JsonWriter writer, NodeState value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value == NodeState.Ready ? "ready"u8 : "draining"u8);
}

/// <summary>A <see cref="KeySet"/> as it is announced.</summary>
/// <param name="Digest">Base64url of <see cref="KeySet.Digest"/>.</param>
/// <param name="Ohttp">Standard base64, or null.</param>
/// <param name="X25519">Standard base64.</param>
/// <param name="Signing">Standard base64, or null.</param>
/// <param name="Bundle">Standard base64, or null.</param>
/// <param name="Expires">Seconds since 1970.</param>
public sealed record AnnouncedKeySet(string Digest, string? Ohttp, string X25519, string? Signing, string? Bundle, long Expires)
{
    /// <summary>9999-12-31: the last second that a <see cref="DateTimeOffset"/> holds.</summary>
    private const long MaxUnixSeconds = 253_402_300_799;

    public static AnnouncedKeySet Of(KeySet keys)
    {
        ArgumentNullException.ThrowIfNull(keys);
        return new(
            keys.Digest.ToString(), Spell(keys.Ohttp), keys.X25519.ToString(), keys.Signing?.ToString(), Spell(keys.Bundle), keys.Expires.ToUnixTimeSeconds());
    }

    /// <summary>Reads what a node announced, whatever that is. A part that nodes do not have yet is refused, and so is a digest of other keys.</summary>
    public bool TryRead([NotNullWhen(true)] out KeySet? keys)
    {
        keys = null;
        if (Ohttp is not null || Signing is not null || Bundle is not null
            || !X25519PublicKey.TryParse(X25519, out var x25519) || Expires is < 0 or > MaxUnixSeconds)
            return false;
        var read = new KeySet { X25519 = x25519, Expires = DateTimeOffset.FromUnixTimeSeconds(Expires) };
        if (!string.Equals(read.Digest.ToString(), Digest, StringComparison.Ordinal))
            return false;
        keys = read;
        return true;
    }

    private static string? Spell(ReadOnlyMemory<byte>? bytes) => bytes is { } some ? Convert.ToBase64String(some.Span) : null;
}

/// <summary>What requests really used. Delivered at least once: the node repeats a report until it is acknowledged.</summary>
public sealed record UsageReports
{
    public required IReadOnlyList<UsageReport> Reports { get; init; }
}

/// <summary>What one request used.</summary>
/// <param name="Request">The request id of the relay token.</param>
/// <param name="Model">The model of the relay token.</param>
/// <param name="Prompt">Tokens.</param>
/// <param name="Completion">Tokens.</param>
/// <param name="Pixels">Of images.</param>
public sealed record UsageReport(Guid Request, string Model, long Prompt, long Completion, long Pixels)
{
    public static UsageReport Of(RelayToken token, Usage usage)
    {
        ArgumentNullException.ThrowIfNull(token);
        return new(token.Request.Value, token.Model, usage.PromptTokens, usage.CompletionTokens, usage.Pixels);
    }

    [JsonIgnore]
    public Usage Usage => new(Prompt, Completion) { Pixels = Pixels };

    /// <summary>Names the first part that is negative, or null.</summary>
    public string? FaultIn() => Prompt < 0 ? "prompt" : Completion < 0 ? "completion" : Pixels < 0 ? "pixels" : null;
}

/// <summary>The request ids that the gateway has settled or refused for good.</summary>
public sealed record UsageAcknowledgement(IReadOnlyList<Guid> Acknowledged);

/// <summary>The JSON of these messages: snake_case members, nothing unknown accepted.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = false)]
[JsonSerializable(typeof(EnrolmentRequest))]
[JsonSerializable(typeof(EnrolmentAnswer))]
[JsonSerializable(typeof(NodeStatus))]
[JsonSerializable(typeof(AnnouncedAddress))]
[JsonSerializable(typeof(NodeReach))]
[JsonSerializable(typeof(UsageReports))]
[JsonSerializable(typeof(UsageAcknowledgement))]
public sealed partial class NodeMessageJson : JsonSerializerContext;
