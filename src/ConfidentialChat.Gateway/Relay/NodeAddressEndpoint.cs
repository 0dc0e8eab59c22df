// spec/gateway.md section 3, "The address".
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>A node says where it is. The gateway goes there, and believes what it meets.</summary>
internal sealed class NodeAddressEndpoint(
    NodeMessages messages,
    KnownNodes nodes,
    NodeProbe probe,
    IStateWriter state,
    GatewayOptions options,
    TimeProvider time,
    Seldom seldom,
    ILogger<NodeAddressEndpoint> log)
{
    public async Task<IResult> HandleAsync(HttpContext context)
    {
        var (sender, message, fault) = await messages.ReadAsync(context, NodeMessageJson.Default.AnnouncedAddress);
        if (message is null || sender is not { IdentityKey: { } key, RelayKey: { } relayKey } node)
            return fault!;
        using var received = message;
        var announced = message.Content;
        if (NodeAddress.FaultIn(announced.Address, announced.TlsPin, options.DangerousPlainHttp, out var url) is { } field)
            return new ErrorAnswer(RequestError.InvalidField, field);

        // A new reading, now that nobody else has the turn: an attempt that ended while this message was on its way may have moved the node.
        using var turn = probe.TryBegin(node.Id);
        if (turn is null)
            return new ErrorAnswer(RequestError.TooManyRequests);
        if (nodes.Find(node.Id) is not { Address: var known })
            return messages.Refuse(context, NodeRefusal.UnknownNode);

        // Who enrolled with TLS does not leave it without its operator: the gateway's own machine is the last place that it may send the gateway to.
        if (known.TlsPin is not null && announced.TlsPin is null)
            return new ErrorAnswer(RequestError.InvalidField, "address");

        // A recorded one goes nowhere: the largest time wins, as with heartbeats.
        var (isNew, last) = await state.RunAsync(
            async rows => (await rows.Nodes.TrySignAsync(node.Id, message.SignedAt, time.GetUtcNow()), await rows.Nodes.LastSignedAsync(key.ToString())));
        if (!isNew)
            return messages.RefuseStale(context, last, NodeRefusal.NotNewer, node.Id);
        turn.Count(); // not before: whoever has a recording would use the node's turns

        var wanted = new NodeAddress(node.Id, url, announced.TlsPin);
        var isReached = await NodeProbe.ReachesAsync(wanted, relayKey, context.RequestAborted);
        var used = isReached ? wanted : known;

        // Until the new one is proven the node is served where it was; whether it is there is seen now, not by the next caller.
        var isWell = isReached || (wanted != known && await NodeProbe.ReachesAsync(known, relayKey, context.RequestAborted));
        await nodes.SetReachedAsync(node, used, isWell);
        if (isReached && wanted != known)
            log.Moved(node.Id, known.Prefix, wanted.Prefix);
        if (!isReached && seldom.Says("Addresses at which a node was not found, of node", node.Id.Value))
            log.NotFound(node.Id, wanted.Prefix, known.Prefix, isWell ? "where it answers" : "where it does not answer either");
        return new JsonAnswer<NodeReach>(new NodeReach(isReached, used.Base), NodeMessageJson.Default.NodeReach);
    }
}
