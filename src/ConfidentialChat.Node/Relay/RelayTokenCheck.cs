// spec/gateway.md section 4.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Relay;

/// <summary>Lets through what the enrolled gateway sends, once, and refuses all else.</summary>
internal sealed class RelayTokenCheck(GatewayEnrolment enrolment, TimeProvider time)
{
    /// <summary>How far the gateway's clock may be ahead of ours.</summary>
    private static readonly TimeSpan ClockSkew = TimeSpan.FromSeconds(5);

    private readonly Dictionary<RequestId, DateTimeOffset> seen = [];
    private readonly Queue<(RequestId Id, DateTimeOffset Until)> order = new();
    private readonly Lock gate = new();

    /// <summary>All that can be said of a token before its request is read. Model and key set are the envelope's to compare.</summary>
    /// <param name="text">The header.</param>
    /// <param name="endpoint">The path that was asked for.</param>
    /// <param name="token">The token, which no second request gets in with.</param>
    public bool TryAccept(string? text, string endpoint, [NotNullWhen(true)] out RelayToken? token)
    {
        token = null;
        if (enrolment.Current is not { } gateway
            || !RelayToken.TryRead(text, gateway.RelayKey, out var read)
            || read.Node != gateway.Node
            || !string.Equals(read.Endpoint, endpoint, StringComparison.Ordinal))
            return false;
        var now = time.GetUtcNow();
        if (read.Expires <= now || read.Expires > now + RelayToken.MaxLifetime + ClockSkew || !TryTake(read.Request, now))
            return false;
        token = read;
        return true;
    }

    // A request id counts as seen for as long as any token that names it could still hold.
    private bool TryTake(RequestId id, DateTimeOffset now)
    {
        var until = now + RelayToken.MaxLifetime + ClockSkew;
        lock (gate)
        {
            while (order.TryPeek(out var oldest) && oldest.Until < now)
                seen.Remove(order.Dequeue().Id);
            if (!seen.TryAdd(id, until))
                return false;
            order.Enqueue((id, until));
            return true;
        }
    }
}
