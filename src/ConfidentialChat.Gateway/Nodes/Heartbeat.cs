// spec/gateway.md sections 2 and 3.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>A node says how it is.</summary>
internal sealed class Heartbeat(
    NodeMessages messages, KnownNodes nodes, DroppedKeys dropped, SigningKeys signing, IStateWriter state, TimeProvider time, Seldom seldom,
    ILogger<Heartbeat> log)
{
    public async Task<IResult> HandleAsync(HttpContext context)
    {
        var (node, message, fault) = await messages.ReadAsync(context, NodeMessageJson.Default.NodeStatus);
        if (message is null || node is null)
            return fault!;
        using var received = message;
        if (!Announcement.TryParse(message.Content, message.SignedAt, out var announcement, out var rejection))
            return new ErrorAnswer(rejection);

        // The largest time wins by one conditional UPDATE: a recorded heartbeat changes nothing, however many come at once.
        try
        {
            var (isNew, last) = await state.RunAsync(async rows => await rows.Nodes.TryBeatAsync(node.Id, announcement, time.GetUtcNow())
                ? dropped.Holds(node.Id, announcement.KeySets) ? throw new DoubleException() : (true, (DateTimeOffset?)null)
                : (false, await rows.Nodes.LastSignedAsync(node.IdentityKey!.ToString())));
            if (!isNew)
                return messages.RefuseStale(context, last, NodeRefusal.NotNewer, node.Id);
        }
        catch (DoubleException)
        {
            if (seldom.Says("Second processes under the identity of node", node.Id.Value))
                log.Doubled(node.Id);
            return messages.RefuseStale(context, last: null, NodeRefusal.SecondProcess, node.Id);
        }

        dropped.Note(node, announcement.KeySets);
        await nodes.ReloadAsync();
        signing.Look(node.Id);
        var known = nodes.Find(node.Id) ?? node;
        return new JsonAnswer<NodeReach>(new NodeReach(!known.IsUnreachable, known.Address.Base), NodeMessageJson.Default.NodeReach);
    }

    /// <summary>It is newer than what was heard, and of another process than that: nothing is written.</summary>
    private sealed class DoubleException : Exception;
}
