// spec/gateway.md section 3.
using System.Collections.Concurrent;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>
/// Key sets that nodes announced once and then no more. A node never takes one up again, so whoever announces one is another process under
/// the same identity: a copy of its data directory, or a machine that was set back. Safe from any thread.
/// </summary>
internal sealed class DroppedKeys
{
    /// <summary>Of each node: twice as many as it can hold.</summary>
    private const int Most = 2 * KeySet.MaxHeld;

    private readonly ConcurrentDictionary<NodeId, Queue<KeySetDigest>> byNode = new();

    /// <summary>Whether somebody else announces these.</summary>
    public bool Holds(NodeId node, IReadOnlyList<PublishedKeySet> announced)
    {
        if (!byNode.TryGetValue(node, out var dropped))
            return false;
        lock (dropped)
            return announced.Any(keys => dropped.Contains(keys.Digest));
    }

    /// <summary>What the node, as it was known, announces no more.</summary>
    public void Note(KnownNode node, IReadOnlyList<PublishedKeySet> announced)
    {
        var gone = node.KeySets.Select(keys => keys.Digest).Except(announced.Select(keys => keys.Digest)).ToList();
        if (gone.Count == 0)
            return;
        var dropped = byNode.GetOrAdd(node.Id, _ => new Queue<KeySetDigest>());
        lock (dropped)
        {
            foreach (var digest in gone.Where(digest => !dropped.Contains(digest)))
                dropped.Enqueue(digest);
            while (dropped.Count > Most)
                dropped.Dequeue();
        }
    }

    /// <summary>A node that enrols is the one that its operator means.</summary>
    public void Forget(NodeId node) => byNode.TryRemove(node, out _);
}
