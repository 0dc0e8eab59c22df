// spec/gateway.md section 2.
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A message that a node signed. Whoever holds one knows that the signature was good; disposal gives its body back.</summary>
/// <param name="SignedAt">On the node's clock, which is near the gateway's.</param>
/// <param name="Body">Exactly as it came.</param>
/// <param name="Content">What it says.</param>
internal sealed record NodeMessage<T>(DateTimeOffset SignedAt, ReceivedBody Body, T Content) : IDisposable
    where T : class
{
    public void Dispose() => Body.Dispose();
}

/// <summary>Reads what nodes send. Strangers are turned away by their headers, before a byte of a body is read.</summary>
internal static class NodeMessage
{
    /// <summary>64 model names and 128 key sets.</summary>
    public const int MaxBytes = 64 * 1024;

    /// <summary>The enrolled node that a message says it is of; null where there is none.</summary>
    public static KnownNode? Sender(HttpContext context, KnownNodes nodes) =>
        long.TryParse(context.Request.Headers[NodeSignature.NodeHeaderName], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
        && nodes.Find(new NodeId(number)) is { RelayKey: not null } node // one without enrolled before there were relay keys, and has to do it anew
            ? node
            : null;

    /// <summary>Judges the headers, reads the body and judges that; a bad signature or code, a wrong body and a stale time are one answer, but for what it says of clocks.</summary>
    /// <param name="context">The message.</param>
    /// <param name="node">Whose it is; null while it enrols.</param>
    /// <param name="identityKey">Whose signature it has to have.</param>
    /// <param name="relayKey">What both sides have to hold; null while they agree on it.</param>
    /// <param name="type">What it is.</param>
    /// <param name="limits">Of the body.</param>
    /// <param name="room">Pays for it.</param>
    /// <param name="clock">Judges the node's.</param>
    /// <param name="time">The gateway's clock.</param>
    public static async Task<(NodeMessage<T>? Message, ErrorAnswer? Fault)> ReadAsync<T>(
        HttpContext context, NodeId? node, Ed25519PublicKey identityKey, RelayKey? relayKey, JsonTypeInfo<T> type, BodyLimits limits, BodyShare room, NodeClock clock, TimeProvider time)
        where T : class
    {
        var request = context.Request;
        var signature = NodeSignature.FromHeaders(
            request.Path.Value!, request.Headers[NodeSignature.TimeHeaderName], request.ContentLength, request.Headers[NodeSignature.DigestHeaderName]);
        if (signature is null
            || !signature.IsSignedBy(identityKey, request.Headers[NodeSignature.HeaderName])
            || (relayKey is not null && !signature.IsAuthenticatedBy(relayKey, request.Headers[NodeSignature.CodeHeaderName]))
            || clock.Judge(context, signature, node) is not { } signedAt)
            return (null, new ErrorAnswer(RequestError.AuthError));
        context.Recognise(limits.MaxBytes);
        var (body, fault) = await RequestBody.ReadAsync(context, limits, room, time);
        if (body is null)
            return (null, fault);
        if (!signature.IsOf(body.Span))
        {
            NodeClock.TellLast(context, signedAt: null); // a 401 with a clock would be one of clocks
            return Refuse(RequestError.AuthError);
        }

        return Parse(body.Span, type) is { } content ? (new NodeMessage<T>(signedAt, body, content), null) : Refuse(RequestError.InvalidJson);

        (NodeMessage<T>?, ErrorAnswer?) Refuse(RequestError error)
        {
            body.Dispose();
            return (null, new ErrorAnswer(error));
        }
    }

    private static T? Parse<T>(ReadOnlySpan<byte> body, JsonTypeInfo<T> type)
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
}
