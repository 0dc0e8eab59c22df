// spec/gateway.md section 2, "Clocks".
using System.Globalization;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>
/// Judges the clock of a node by the time that it signed. What is said of clocks is
/// said to whoever's signature is good; strangers learn nothing.
/// </summary>
internal sealed class NodeClock(TimeProvider time, Seldom seldom, ILogger<NodeClock> log)
{
    /// <summary>When a message was signed, on the node's clock; null where that is too far from this one's.</summary>
    /// <param name="context">Its answer tells this clock.</param>
    /// <param name="signature">Was good.</param>
    /// <param name="node">Whose; null while it enrols.</param>
    public DateTimeOffset? Judge(HttpContext context, NodeSignature signature, NodeId? node)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        context.Response.Headers[NodeSignature.GatewayClockHeaderName] = now.ToString(CultureInfo.InvariantCulture);
        var ahead = signature.TimeMs - now; // neither is negative
        if (Math.Abs(ahead) <= ClockTolerance.Most.TotalMilliseconds)
            return DateTimeOffset.FromUnixTimeMilliseconds(signature.TimeMs);
        if (seldom.Says("Messages of a clock that is too far away, of node", node?.Value))
            log.ClockIsOff(node is { } number ? $"node {number}" : "a node that enrols", Math.Abs(ahead) / 1000, ahead > 0 ? "ahead of" : "behind");
        return null;
    }

    /// <summary>
    /// Tells a node, whose signature and clock are good, what it signed last: this message is no newer, and the next one is to be. Where it
    /// signed nothing before, it is refused for something else, and its clock has no part in it: it would wait for the clock in vain.
    /// </summary>
    public static void TellLast(HttpContext context, DateTimeOffset? signedAt)
    {
        if (signedAt is { } last)
            context.Response.Headers[NodeSignature.TimeHeaderName] = last.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture);
        else
            context.Response.Headers.Remove(NodeSignature.GatewayClockHeaderName);
    }
}
