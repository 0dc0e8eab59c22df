// spec/envelope-v1.md section 2.
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>Finds whom to seal to: asks the gateway for a lock, one for every call.</summary>
/// <remarks>
/// The gateway's word is all there is behind the key; spec/gaps.md. A verified node is to take <see cref="LockedNode"/>'s place.
/// </remarks>
internal sealed class NodeDirectory(GatewayConnection connection)
{
    private const string Path = "v1/nodes/lock";

    /// <summary>Locks a node of the model for one request.</summary>
    /// <param name="model">The model.</param>
    /// <param name="units">What the lock is to hold; null for the gateway's default.</param>
    /// <param name="clock">The call's clock.</param>
    public async Task<LockedNode> LockAsync(string model, ComputeUnits? units, CallClock clock)
    {
        var request = new LockRequest(model, units?.Value);
        var body = JsonSerializer.SerializeToUtf8Bytes(request, LockJson.Default.LockRequest);
        var answer = await connection.ReadJsonAsync(HttpMethod.Post, Path, body, clock).ConfigureAwait(false);
        return Read(answer.Span) ?? throw new InvalidAnswerException("The gateway's lock is malformed.");
    }

    private static LockedNode? Read(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, LockJson.Default.LockAnswer) is { StackSmallId: >= 0 } answer
                && X25519PublicKey.TryParse(answer.PublicKey, out var key)
                ? new LockedNode(key, new StackId(answer.StackSmallId))
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>A node that the gateway has locked for one request, and its key, taken on trust.</summary>
internal sealed record LockedNode(X25519PublicKey Key, StackId Stack);

internal sealed record LockRequest(string Model, long? MaxNumTokens);

internal sealed record LockAnswer(string PublicKey, long StackSmallId);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = false)]
[JsonSerializable(typeof(LockRequest))]
[JsonSerializable(typeof(LockAnswer))]
internal sealed partial class LockJson : JsonSerializerContext;
