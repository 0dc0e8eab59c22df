// spec/gateway.md section 2, "Clocks".
namespace ConfidentialChat.Protocol.Relay;

/// <summary>
/// How far the clocks of a node and its gateway may be apart: one number for messages, relay tokens and stored times. With two of them a
/// node would be let in by one and refused by the other.
/// </summary>
public static class ClockTolerance
{
    public static readonly TimeSpan Most = TimeSpan.FromMinutes(1);

    /// <summary>Whether two clocks are near enough to work together.</summary>
    /// <param name="difference">In either direction.</param>
    public static bool Allows(TimeSpan difference) => difference <= Most && difference >= -Most;
}
