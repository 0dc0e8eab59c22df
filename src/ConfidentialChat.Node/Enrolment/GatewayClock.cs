// spec/gateway.md section 2, "Clocks".
using System.Globalization;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>How far the gateway's clock is from this node's, as its answers tell it.</summary>
internal sealed class GatewayClock(NodeOptions options, TimeProvider time, Seldom seldom, ILogger<GatewayClock> log)
{
    private long aheadTicks;

    /// <summary>Whether the gateway takes what this clock signs. True until it says otherwise.</summary>
    public bool IsNear => ClockTolerance.Allows(TimeSpan.FromTicks(Volatile.Read(ref aheadTicks)));

    /// <summary>Reads the clock of an answer.</summary>
    /// <param name="answer">To a message of ours.</param>
    /// <param name="sent">When the message was sent, on this clock: the gateway looked at its own between then and now.</param>
    /// <returns>False where it tells none: whoever answered did not find the signature good, or is older than this header.</returns>
    public bool Hear(HttpResponseMessage answer, DateTimeOffset sent)
    {
        if (!TryRead(answer, NodeSignature.GatewayClockHeaderName, out var gateway))
            return false;
        var now = time.GetUtcNow();
        var ahead = gateway > now ? gateway - now : gateway < sent ? gateway - sent : TimeSpan.Zero;
        Volatile.Write(ref aheadTicks, ahead.Ticks);
        if (!ClockTolerance.Allows(ahead) && seldom.Says("Answers of a clock that is too far away"))
            log.ClockIsOff(
                options.GatewayUrl, (long)Math.Round(ahead.Duration().TotalSeconds), ahead < TimeSpan.Zero ? "ahead of" : "behind", now, gateway,
                ClockTolerance.Most.TotalSeconds);
        return true;
    }

    /// <summary>Whether an answer tells the gateway's clock: then the signature that it answers was good.</summary>
    public static bool IsTold(HttpResponseMessage answer) => TryRead(answer, NodeSignature.GatewayClockHeaderName, out _);

    /// <summary>The last time that the gateway has of this node, where it says so and that is a time which it would still take.</summary>
    public DateTimeOffset? LastSigned(HttpResponseMessage answer) =>
        TryRead(answer, NodeSignature.TimeHeaderName, out var last) && last - time.GetUtcNow() <= ClockTolerance.Most ? last : null;

    private static bool TryRead(HttpResponseMessage answer, string header, out DateTimeOffset told)
    {
        told = default;
        if (!answer.Headers.TryGetValues(header, out var values)
            || !long.TryParse(string.Concat(values), NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds)
            || milliseconds > DateTimeOffset.MaxValue.ToUnixTimeMilliseconds())
            return false;
        told = DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
        return true;
    }
}
