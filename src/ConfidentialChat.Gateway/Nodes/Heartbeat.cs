// spec/gateway.md sections 2 and 3.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A node says how it is.</summary>
internal sealed class Heartbeat(KnownNodes nodes, IStateWriter state, GatewayOptions options, BodyShare room, TimeProvider time)
{
    public async Task<IResult> HandleAsync(HttpContext context)
    {
        if (NodeMessage.Sender(context, nodes) is not { IdentityKey: { } key, RelayKey: { } relayKey } node)
            return new ErrorAnswer(RequestError.AuthError);
        var (message, fault) = await NodeMessage.ReadAsync(context, key, relayKey, NodeMessageJson.Default.NodeStatus, new BodyLimits(NodeMessage.MaxBytes, options.UploadTimeout), room, time);
        if (message is null)
            return fault!;
        using var received = message;
        if (!Announcement.TryParse(message.Content, message.SignedAt, out var announcement, out var rejection))
            return new ErrorAnswer(rejection);

        // The largest time wins by one conditional UPDATE: a recorded heartbeat changes nothing, however many come at once.
        if (!await state.RunAsync(rows => rows.Nodes.TryBeatAsync(node.Id, announcement, time.GetUtcNow())))
            return new ErrorAnswer(RequestError.AuthError);
        await nodes.ReloadAsync();
        return TypedResults.NoContent();
    }
}
