// spec/envelope-v1.md section 2.
using System.Text.Json;
using System.Text.Json.Serialization;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Client.Transport.V1;

/// <summary>Locks a node for every call. Of a lock only a key is taken that a verified node has; spec/envelope-v2.md section 2 rule 1.</summary>
internal sealed class LockDesk(GatewayConnection connection, NodeDirectory directory)
{
    private const string Path = "v1/nodes/lock";

    /// <summary>Locks a node of the model for one request.</summary>
    /// <param name="model">The model.</param>
    /// <param name="units">What the lock is to hold; null for the gateway's default.</param>
    /// <param name="clock">The call's clock.</param>
    /// <exception cref="AttestationException">The lock's key is no verified node's.</exception>
    public async Task<LockedNode> LockAsync(string model, ComputeUnits? units, CallClock clock)
    {
        // Nothing is held of whom nobody may seal to; where a node is known this waits for nothing. A gateway may know no wish, and lock another.
        var wanted = await directory.ChooseAsync(model, clock).ConfigureAwait(false);
        var request = new LockRequest(model, units?.Value, wanted.Id.Value);
        var body = JsonSerializer.SerializeToUtf8Bytes(request, LockJson.Default.LockRequest);
        var answer = await connection.ReadJsonAsync(HttpMethod.Post, Path, body, clock).ConfigureAwait(false);
        var (key, stack) = Read(answer.Span) ?? throw new InvalidAnswerException("The gateway's lock is malformed.");
        return new LockedNode(await directory.FindAsync(model, key, clock).ConfigureAwait(false), stack);
    }

    private static (X25519PublicKey Key, StackId Stack)? Read(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, LockJson.Default.LockAnswer) is { StackSmallId: >= 0 } answer
                && X25519PublicKey.TryParse(answer.PublicKey, out var key)
                ? (key, new StackId(answer.StackSmallId))
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>A verified node that the gateway has locked for one request.</summary>
internal sealed record LockedNode(VerifiedNode Node, StackId Stack);

internal sealed record LockRequest(string Model, long? MaxNumTokens, long NodeSmallId);

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
