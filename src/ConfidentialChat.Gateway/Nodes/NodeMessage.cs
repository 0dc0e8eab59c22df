// spec/gateway.md section 2.
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A message that an enrolled node signed. Whoever holds one knows that the signature was good.</summary>
internal sealed record NodeMessage<T>(NodeId Node, T Content)
    where T : class;

/// <summary>Reads what nodes send.</summary>
internal static class NodeMessage
{
    /// <summary>64 model names, or 1000 usage reports, with room.</summary>
    public const int MaxBytes = 1024 * 1024;

    /// <summary>How far a node's clock may be away.</summary>
    private static readonly TimeSpan ClockTolerance = TimeSpan.FromMinutes(5);

    /// <summary>Reads a message and checks its signature; a bad one, an unknown node and no node at all are one answer.</summary>
    public static async Task<(NodeMessage<T>? Message, ErrorAnswer? Fault)> ReadAsync<T>(
        HttpContext context, GatewayDbContext state, JsonTypeInfo<T> type)
        where T : class
    {
        // A body is read for nodes that exist, so that strangers cannot fill memory.
        if (!long.TryParse(context.Request.Headers[NodeSignature.NodeHeaderName], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            || !StrictBase64.TryDecode(context.Request.Headers[NodeSignature.HeaderName], out var signature) || signature.Length != Ed25519PublicKey.SignatureSize
            || await state.Nodes.Where(row => row.Id == number && row.RemovedAt == null).Select(row => row.IdentityKey).SingleOrDefaultAsync(context.RequestAborted) is not { } key)
            return (null, new ErrorAnswer(RequestError.AuthError));
        var (body, fault) = await RequestBody.ReadAsync(context, MaxBytes);
        if (fault is not null)
            return (null, fault);
        if (!IsSigned(context, key, body))
            return (null, new ErrorAnswer(RequestError.AuthError));
        return Parse(body, type) is { } content
            ? (new NodeMessage<T>(new NodeId(number), content), null)
            : (null, new ErrorAnswer(RequestError.InvalidJson));
    }

    public static bool IsSigned(HttpContext context, string? identityKey, ReadOnlySpan<byte> body) =>
        Ed25519PublicKey.TryParse(identityKey, out var key)
        && NodeSignature.Verify(key, context.Request.Path.Value!, body, context.Request.Headers[NodeSignature.HeaderName]);

    public static T? Parse<T>(ReadOnlySpan<byte> body, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(body, type);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>The time that a node signed, where its clock is near the gateway's.</summary>
    public static DateTimeOffset? SignedAt(long timeMs, DateTimeOffset now) =>
        timeMs >= (now - ClockTolerance).ToUnixTimeMilliseconds() && timeMs <= (now + ClockTolerance).ToUnixTimeMilliseconds()
            ? DateTimeOffset.FromUnixTimeMilliseconds(timeMs)
            : null;
}
