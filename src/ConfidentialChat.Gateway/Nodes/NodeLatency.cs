// spec/gateway.md section 10 rule 10.
using System.Collections.Concurrent;
using System.Numerics;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>How long nodes take to begin an answer, as this gateway sees it: a mean that forgets. In memory alone. Safe from any thread.</summary>
internal sealed class NodeLatency
{
    private const double Weight = 1.0 / 16; // of the newest

    private readonly ConcurrentDictionary<NodeId, double> means = new(); // milliseconds; of enrolled nodes alone

    public void Note(NodeId node, TimeSpan taken)
    {
        var newest = Math.Max(taken.TotalMilliseconds, 0);
        means.AddOrUpdate(node, newest, (_, mean) => mean + (Weight * (newest - mean)));
    }

    /// <summary>
    /// Its mean in powers of two of a millisecond, so that noise decides nothing. A node that was not asked yet is as good as the fastest: it is to
    /// be asked.
    /// </summary>
    public int Of(NodeId node) => means.TryGetValue(node, out var mean) ? BitOperations.Log2((uint)Math.Min(mean, int.MaxValue) + 1) : 0;
}
