// spec/gateway.md sections 2, 3 and 5: what a node tells its gateway, and what it hears back.
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ConfidentialChat.Protocol.Relay;

/// <summary>The paths of the gateway's interface for nodes.</summary>
public static class NodePaths
{
    public const string Enrolment = "/v1/nodes/enrolment";
    public const string Heartbeat = "/v1/nodes/heartbeat";
    public const string UsageReports = "/v2/usage-reports";
}

/// <summary>A node asks to be enrolled; <c>Authorization: Bearer</c> carries the operator's enrolment token.</summary>
public sealed record EnrolmentRequest
{
    /// <summary>Ed25519, standard base64.</summary>
    public required string IdentityKey { get; init; }

    /// <summary>Where the gateway reaches the node: scheme, host and port.</summary>
    public required Uri Address { get; init; }

    /// <summary>SHA-256 of the node's TLS public key (SubjectPublicKeyInfo), standard base64; null where <see cref="Address"/> is plain HTTP.</summary>
    public string? TlsPin { get; init; }

    public required NodeStatus Status { get; init; }
}

/// <summary>The gateway's answer to an enrolment.</summary>
public sealed record EnrolmentAnswer
{
    public required long NodeId { get; init; }

    /// <summary>Ed25519, standard base64: signs every relay token.</summary>
    public required string GatewayKey { get; init; }

    public required int HeartbeatSeconds { get; init; }
}

/// <summary>How a node is; the body of a heartbeat.</summary>
public sealed record NodeStatus
{
    /// <summary>Milliseconds since 1970 on the node's clock; grows with every message, or the message is refused as a replay.</summary>
    public required long TimeMs { get; init; }

    public required NodeState State { get; init; }

    public required IReadOnlyList<string> Models { get; init; }

    /// <summary>X25519 keys that the node opens, newest first.</summary>
    public required IReadOnlyList<NodeKey> Keys { get; init; }

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

/// <summary>A public key that a node opens, until when.</summary>
/// <param name="X25519">Standard base64.</param>
/// <param name="Expires">Seconds since 1970.</param>
public sealed record NodeKey(string X25519, long Expires);

/// <summary>What requests really used. Delivered at least once: the node repeats a report until it is acknowledged.</summary>
public sealed record UsageReports
{
    public required long TimeMs { get; init; }

    public required IReadOnlyList<UsageReport> Reports { get; init; }
}

/// <summary>What one request used.</summary>
/// <param name="Request">The request id of the relay token.</param>
/// <param name="Stack">The stack of the relay token.</param>
/// <param name="Model">The model of the relay token.</param>
/// <param name="Units">Compute units, prompt and completion together.</param>
public sealed record UsageReport(Guid Request, long Stack, string Model, long Units);

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
[JsonSerializable(typeof(UsageReports))]
[JsonSerializable(typeof(UsageAcknowledgement))]
public sealed partial class NodeMessageJson : JsonSerializerContext;
