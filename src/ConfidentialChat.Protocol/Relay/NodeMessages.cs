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
/// <param name="Reached">To an address: whether the node answered there. To a heartbeat:
/// whether the gateway's last attempt to reach the node did not fail.</param>
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

/// <summary>A <see cref="KeySet"/> as it is announced: what an attested one holds beside envelope v1's key is in its bundle.</summary>
/// <param name="Digest">Base64url of <see cref="KeySet.Digest"/>.</param>
/// <param name="X25519">Standard base64.</param>
/// <param name="Bundle">SHA-256 of the bundle, standard base64; null where the set has none.</param>
/// <param name="Expires">Seconds since 1970.</param>
public sealed record AnnouncedKeySet(string Digest, string X25519, string? Bundle, long Expires)
{
    /// <summary>9999-12-31: the last second that a <see cref="DateTimeOffset"/> holds.</summary>
    private const long MaxUnixSeconds = 253_402_300_799;

    public static AnnouncedKeySet Of(KeySet keys)
    {
        ArgumentNullException.ThrowIfNull(keys);
        return new(
            keys.Digest.ToString(), keys.X25519.ToString(), keys.Bundle is { } bundle ? Convert.ToBase64String(bundle.Span) : null,
            keys.Expires.ToUnixTimeSeconds());
    }

    /// <summary>
    /// Reads what a node announced, whatever that is. Without a bundle the digest is that of
    /// envelope v1's key alone; with one it is compared when that is read.
    /// </summary>
    public bool TryRead([NotNullWhen(true)] out PublishedKeySet? keys)
    {
        keys = null;
        if (!KeySetDigest.TryParse(Digest, out var digest) || !X25519PublicKey.TryParse(X25519, out var x25519) || Expires is < 0 or > MaxUnixSeconds)
            return false;
        byte[]? bundle = null;
        if (Bundle is null
            ? new KeySet { X25519 = x25519, Expires = default }.Digest != digest
            : !StrictBase64.TryDecode(Bundle, out bundle) || bundle.Length != Sha256.Size)
            return false;
        keys = new PublishedKeySet(digest, x25519, bundle, DateTimeOffset.FromUnixTimeSeconds(Expires));
        return true;
    }
}

/// <summary>What a gateway knows of a node's key set.</summary>
/// <param name="Digest">Names it.</param>
/// <param name="X25519">The node key of envelope v1.</param>
/// <param name="Bundle">SHA-256 of the bundle that binds it, 32 bytes; null where it has none.</param>
/// <param name="Expires">When the node erases it, to the second.</param>
public sealed record PublishedKeySet(KeySetDigest Digest, X25519PublicKey X25519, byte[]? Bundle, DateTimeOffset Expires);

/// <summary>What requests really used. Delivered at least once: the node repeats a report until it is acknowledged.</summary>
public sealed record UsageReports
{
    public required IReadOnlyList<UsageReport> Reports { get; init; }

    /// <summary>Of nodes with evidence; null where there are none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<DeliveredVoucher>? Vouchers { get; init; }
}

/// <summary>A voucher on its way to the gateway; spec/vouchers.md section 5.</summary>
/// <param name="Request">By which it is acknowledged.</param>
/// <param name="Voucher">What <see cref="Vouchers.SignedVoucher"/> reads, standard base64.</param>
public sealed record DeliveredVoucher(Guid Request, string Voucher);

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
