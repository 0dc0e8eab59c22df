// spec/gateway.md sections 2 and 3.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A node says how it is.</summary>
internal sealed class Heartbeat(KnownNodes nodes, IStateWriter state, NodeClock clock, GatewayOptions options, BodyShare room, TimeProvider time)
{
    public async Task<IResult> HandleAsync(HttpContext context)
    {
        if (NodeMessage.Sender(context, nodes) is not { IdentityKey: { } key, RelayKey: { } relayKey } node)
            return new ErrorAnswer(RequestError.AuthError);
        var (message, fault) = await NodeMessage.ReadAsync(
            context, node.Id, key, relayKey, NodeMessageJson.Default.NodeStatus, new BodyLimits(NodeMessage.MaxBytes, options.UploadTimeout), room, clock, time);
        if (message is null)
            return fault!;
        using var received = message;
        if (!Announcement.TryParse(message.Content, message.SignedAt, out var announcement, out var rejection))
            return new ErrorAnswer(rejection);

        // The largest time wins by one conditional UPDATE: a recorded heartbeat changes nothing, however many come at once.
        var (isNew, last) = await state.RunAsync(
            async rows => (await rows.Nodes.TryBeatAsync(node.Id, announcement, time.GetUtcNow()), await rows.Nodes.LastSignedAsync(key.ToString())));
        if (!isNew)
        {
            NodeClock.TellLast(context, last);
            return new ErrorAnswer(RequestError.AuthError);
        }

        await nodes.ReloadAsync();
        var known = nodes.Find(node.Id) ?? node;
        return new JsonAnswer<NodeReach>(new NodeReach(!known.IsUnreachable, known.Address.Base), NodeMessageJson.Default.NodeReach);
    }
}
