using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Gateway.Health;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.V1;
using ConfidentialChat.Gateway.V2;

namespace ConfidentialChat.Gateway;

/// <summary>The JSON of the gateway's own answers: snake_case, members in the order of their declaration.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(HealthAnswer))]
[JsonSerializable(typeof(LockAnswer))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(NodeListAnswer))]
[JsonSerializable(typeof(FundsEntry))]
[JsonSerializable(typeof(UsageList))]
[JsonSerializable(typeof(RequestEntry))]
[JsonSerializable(typeof(UserEntry))]
[JsonSerializable(typeof(MovementEntry))]
[JsonSerializable(typeof(MadeKey))]
[JsonSerializable(typeof(Listed<UserEntry>))]
[JsonSerializable(typeof(Listed<ApiKeyEntry>))]
[JsonSerializable(typeof(Listed<MoneyEntry>))]
[JsonSerializable(typeof(Listed<PriceEntry>))]
[JsonSerializable(typeof(Listed<AuditLine>))]
internal sealed partial class GatewayJson : JsonSerializerContext;

/// <summary>An answer of the gateway's own, of known length.</summary>
internal sealed class JsonAnswer<T>(T value, JsonTypeInfo<T> type) : IResult
{
    public Task ExecuteAsync(HttpContext httpContext)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(value, type);
        var response = httpContext.Response;
        response.ContentType = "application/json; charset=utf-8";
        response.ContentLength = body.Length;
        return response.Body.WriteAsync(body, 0, body.Length, httpContext.RequestAborted);
    }
}
