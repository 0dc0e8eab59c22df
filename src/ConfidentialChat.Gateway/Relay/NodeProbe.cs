// spec/gateway.md section 3, "The address".
using System.Net;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>
/// Goes to an address and sees whether a node answers there. Whoever makes the gateway go somewhere is an enrolled node; what it may cause is
/// bounded all the same: one at a time and once a second for each, few at once for all, seconds, and no byte of a body.
/// </summary>
internal sealed class NodeProbe(TimeProvider time)
{
    /// <summary>Addresses that are tried at once, all nodes together.</summary>
    public const int MaxAtOnce = 16;

    /// <summary>For the way there and back; two of them are within a node's patience for an answer.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(4);

    public static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(1);

    private readonly Dictionary<NodeId, long> begun = [];
    private readonly HashSet<NodeId> running = [];
    private readonly Lock gate = new();

    /// <summary>The right to try addresses for a node, until it is disposed of; null where it is not its turn.</summary>
    public Turn? TryBegin(NodeId node)
    {
        lock (gate)
        {
            if (running.Count >= MaxAtOnce || running.Contains(node)
                || (begun.TryGetValue(node, out var last) && time.GetElapsedTime(last) < LeastInterval))
                return null;
            running.Add(node);
            return new Turn(this, node);
        }
    }

    /// <summary>Whether this node, and nobody in its place, answers at the address.</summary>
    /// <param name="address">Judged before by <see cref="NodeAddress.FaultIn"/>.</param>
    /// <param name="relayKey">What the node holds.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<bool> ReachesAsync(NodeAddress address, RelayKey relayKey, CancellationToken cancellation)
    {
        // A connection of its own: one that stands already shows nothing of whoever comes next.
        using var invoker = NodeConnections.Open(address);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Timeout);
        var asked = NodeProof.Ask(address.Node);
        using var request = new HttpRequestMessage(HttpMethod.Post, address.Prefix + NodePaths.Proof)
        {
            Version = HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent([]),
        };
        request.Headers.Add(NodeProof.ChallengeHeaderName, asked.ChallengeText);
        request.Headers.Add(NodeProof.CodeHeaderName, asked.WriteChallenge(relayKey));
        try
        {
            using var answer = await invoker.SendAsync(request, patience.Token);
            return answer.StatusCode is HttpStatusCode.NoContent
                && answer.Headers.TryGetValues(NodeProof.CodeHeaderName, out var proof) && asked.IsProvenBy(relayKey, string.Concat(proof));
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return false;
        }
    }

    private void End(NodeId node)
    {
        lock (gate)
            running.Remove(node);
    }

    private void Count(NodeId node)
    {
        lock (gate)
            begun[node] = time.GetTimestamp(); // a number for each node there ever was: no more than there are rows
    }

    public sealed class Turn(NodeProbe probe, NodeId node) : IDisposable
    {
        /// <summary>The node itself asked: its next turn comes no sooner than <see cref="LeastInterval"/> from now.</summary>
        public void Count() => probe.Count(node);

        public void Dispose() => probe.End(node);
    }
}
