using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Cli.Agents;
using ConfidentialChat.Gateway;
using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Gateway.Nodes;

namespace ConfidentialChat.Cli;

/// <summary>The JSON that commands print.</summary>
[JsonSerializable(typeof(IReadOnlyDictionary<string, string>))]
[JsonSerializable(typeof(UpReady))]
[JsonSerializable(typeof(Commands.CreatedKey))]
[JsonSerializable(typeof(Commands.Versions))]
[JsonSerializable(typeof(IReadOnlyList<ApiKeyEntry>))]
[JsonSerializable(typeof(IReadOnlyList<NodeEntry>))]
[JsonSerializable(typeof(ConnectJournalFile))]
[JsonSerializable(typeof(Commands.SidecarStatus))]
[JsonSerializable(typeof(string))]
[JsonSerializable(typeof(IReadOnlyList<UserEntry>))]
[JsonSerializable(typeof(IReadOnlyList<PriceEntry>))]
[JsonSerializable(typeof(IReadOnlyList<UsageEntry>))]
[JsonSerializable(typeof(IReadOnlyList<MoneyEntry>))]
[JsonSerializable(typeof(IReadOnlyList<AuditLine>))]
[JsonSerializable(typeof(MovementEntry))]
[JsonSerializable(typeof(Commands.BalanceLine))]
[JsonSerializable(typeof(Commands.RequestLine))]
internal sealed partial class CliJson : JsonSerializerContext
{
    /// <summary>Without escapes of what needs none: keys and URLs stay readable.</summary>
    public static CliJson Readable { get; } = new(new JsonSerializerOptions
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters =
        {
            new JsonStringEnumConverter<NodeCondition>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<NodeRefusal>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<TablesAge>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<ConnectionState>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<ConfigurationFormat>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<Commands.ConnectionCondition>(JsonNamingPolicy.SnakeCaseLower),
        },
    });
}

/// <summary>The one line of <c>cchat up --json</c>. Policy and sidecar are null where the node has no evidence.</summary>
internal sealed record UpReady(
    [property: JsonPropertyName("gateway")] string Gateway,
    [property: JsonPropertyName("node")] string Node,
    [property: JsonPropertyName("api_key")] string ApiKey,
    [property: JsonPropertyName("model")] string Model,
    [property: JsonPropertyName("policy")] string? Policy,
    [property: JsonPropertyName("sidecar")] string? Sidecar);
