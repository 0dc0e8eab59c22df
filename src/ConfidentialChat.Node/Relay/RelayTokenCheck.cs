// spec/gateway.md section 4.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Relay;

/// <summary>Lets through what the enrolled gateway sends, once, and refuses all else.</summary>
internal sealed class RelayTokenCheck(GatewayEnrolment enrolment, TimeProvider time, Seldom seldom, ILogger<RelayTokenCheck> log)
{
    /// <summary>The longest time between the first and the last moment at which tokens for one request may be good here.</summary>
    public static readonly TimeSpan Memory = RelayToken.MaxLifetime + (2 * ClockTolerance.Most);

    private readonly HashSet<RequestId> seen = [];
    private readonly Queue<(RequestId Id, long Since)> order = new();
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
            || !string.Equals(read.Endpoint, endpoint, StringComparison.Ordinal)
            || !IsInTime(read.Expires) || !TryTake(read.Request))
            return false;
        token = read;
        return true;
    }

    private bool IsInTime(DateTimeOffset expires)
    {
        var left = expires - time.GetUtcNow();
        if (left > -ClockTolerance.Most && left <= RelayToken.MaxLifetime + ClockTolerance.Most)
            return true;
        if (seldom.Says("Relay tokens of a clock that is too far away"))
            log.RelayTimeIsOff((long)left.TotalSeconds, ClockTolerance.Most.TotalSeconds, (RelayToken.MaxLifetime + ClockTolerance.Most).TotalSeconds);
        return false;
    }

    // A request id counts as seen for as long as any token that names it could still hold, by a clock that nobody sets.
    private bool TryTake(RequestId id)
    {
        lock (gate)
        {
            while (order.TryPeek(out var oldest) && time.GetElapsedTime(oldest.Since) > Memory)
                seen.Remove(order.Dequeue().Id);
            if (!seen.Add(id))
                return false;
            order.Enqueue((id, time.GetTimestamp()));
            return true;
        }
    }
}
