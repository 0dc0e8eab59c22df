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

/// <summary>Reads what nodes send. Strangers are turned away by their headers, before a byte of a body is read; why is for operators alone.</summary>
internal sealed class NodeMessages(KnownNodes nodes, RefusedNodes refused, NodeClock clock, GatewayOptions options, BodyShare room, TimeProvider time)
{
    /// <summary>64 model names and 128 key sets.</summary>
    public const int MaxBytes = 64 * 1024;

    /// <summary>The message of an enrolled node, and that node, with both its keys.</summary>
    /// <param name="context">The message.</param>
    /// <param name="type">What it is.</param>
    /// <param name="maxBytes">Of its body.</param>
    public async Task<(KnownNode? Node, NodeMessage<T>? Message, ErrorAnswer? Fault)> ReadAsync<T>(
        HttpContext context, JsonTypeInfo<T> type, int maxBytes = MaxBytes)
        where T : class
    {
        if (!long.TryParse(context.Request.Headers[NodeSignature.NodeHeaderName], NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return (null, null, refused.Refuse(context, NodeRefusal.MalformedHeaders));
        if (nodes.Find(new NodeId(number)) is not { } node)
            return (null, null, refused.Refuse(context, NodeRefusal.UnknownNode));
        if (node is not { IdentityKey: { } key, RelayKey: { } relayKey })
            return (null, null, refused.Refuse(context, NodeRefusal.OutdatedEnrolment, node.Id)); // it enrolled before there were relay keys
        var (message, fault) = await ReadAsync(context, node.Id, key, relayKey, type, maxBytes);
        return (node, message, fault);
    }

    /// <summary>The message of a node that enrols.</summary>
    public Task<(NodeMessage<T>? Message, ErrorAnswer? Fault)> ReadAsync<T>(HttpContext context, Ed25519PublicKey identityKey, JsonTypeInfo<T> type)
        where T : class => ReadAsync(context, node: null, identityKey, relayKey: null, type, MaxBytes);

    /// <summary>Notes why a message is refused, and gives the one answer to it.</summary>
    public ErrorAnswer Refuse(HttpContext context, NodeRefusal reason, NodeId? node = null) => refused.Refuse(context, reason, node);

    /// <summary>The answer to a message that is no newer than one before it: whoever sent it is told the time of that.</summary>
    public ErrorAnswer RefuseStale(HttpContext context, DateTimeOffset? last, NodeRefusal reason, NodeId? node = null)
    {
        NodeClock.TellLast(context, last);
        return refused.Refuse(context, reason, node);
    }

    // Judges the headers, reads the body and judges that; a bad signature or code, a wrong body
    // and a stale time are one answer, but for what it says of clocks.
    private async Task<(NodeMessage<T>? Message, ErrorAnswer? Fault)> ReadAsync<T>(
        HttpContext context, NodeId? node, Ed25519PublicKey identityKey, RelayKey? relayKey, JsonTypeInfo<T> type, int maxBytes)
        where T : class
    {
        var request = context.Request;
        var signature = NodeSignature.FromHeaders(
            request.Path.Value!, request.Headers[NodeSignature.TimeHeaderName], request.ContentLength, request.Headers[NodeSignature.DigestHeaderName]);
        if (signature is null)
            return (null, refused.Refuse(context, NodeRefusal.MalformedHeaders, node));
        if (!signature.IsSignedBy(identityKey, request.Headers[NodeSignature.HeaderName]))
            return (null, refused.Refuse(context, NodeRefusal.WrongSignature, node));
        if (relayKey is not null && !signature.IsAuthenticatedBy(relayKey, request.Headers[NodeSignature.CodeHeaderName]))
            return (null, refused.Refuse(context, NodeRefusal.WrongRelayKey, node));
        if (clock.Judge(context, signature, node) is not { } signedAt)
            return (null, refused.Refuse(context, NodeRefusal.ClockTooFarAway, node));
        context.Recognise(maxBytes);
        var (body, fault) = await RequestBody.ReadAsync(context, new BodyLimits(maxBytes, options.UploadTimeout), room, time);
        if (body is null)
            return (null, fault);
        if (!signature.IsOf(body.Span))
            return Refuse(RefuseStale(context, last: null, NodeRefusal.AlteredBody, node)); // a 401 with a clock would be one of clocks
        return Parse(body.Span, type) is { } content ? (new NodeMessage<T>(signedAt, body, content), null) : Refuse(new ErrorAnswer(RequestError.InvalidJson));

        (NodeMessage<T>?, ErrorAnswer?) Refuse(ErrorAnswer answer)
        {
            body.Dispose();
            return (null, answer);
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
