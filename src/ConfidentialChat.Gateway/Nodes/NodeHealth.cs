// spec/gateway.md section 3.
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>Which nodes may be given requests.</summary>
internal static class NodeHealth
{
    private const int MissedBeats = 3;

    public static IQueryable<NodeRow> Healthy(this IQueryable<NodeRow> nodes, DateTimeOffset now, int heartbeatSeconds)
    {
        var silentSince = now.AddSeconds(-heartbeatSeconds * MissedBeats);
        return nodes.Where(node =>
            node.RemovedAt == null && node.Ready && !node.Unreachable && node.HeardAt > silentSince && node.NodeKey != null && node.NodeKeyExpiresAt > now);
    }

    /// <summary>The gateway failed to reach a node: no locks until it is heard again.</summary>
    public static async Task MarkUnreachableAsync(this Database database, NodeId node)
    {
        await using var state = database.CreateContext();
        await state.Nodes.Where(row => row.Id == node.Value).ExecuteUpdateAsync(row => row.SetProperty(one => one.Unreachable, true));
    }
}
