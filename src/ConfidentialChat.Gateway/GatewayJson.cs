using System.Text.Json.Serialization;
using ConfidentialChat.Gateway.Health;
using ConfidentialChat.Gateway.Locks;
using ConfidentialChat.Gateway.Nodes;

namespace ConfidentialChat.Gateway;

/// <summary>The JSON of the gateway's own answers: snake_case, members in the order of their declaration.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(HealthAnswer))]
[JsonSerializable(typeof(LockAnswer))]
[JsonSerializable(typeof(ModelList))]
internal sealed partial class GatewayJson : JsonSerializerContext;
