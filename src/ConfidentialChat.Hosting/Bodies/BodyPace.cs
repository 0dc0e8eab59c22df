// spec/gateway.md section 8 rule 2.
namespace ConfidentialChat.Hosting.Bodies;

/// <summary>
/// How long a body may take: longer the more of it came, so that who promises much and sends little has no more time than who promises little.
/// </summary>
internal readonly struct BodyPace(BodyLimits limits, TimeProvider time)
{
    /// <summary>Below this a sender holds memory and a place for nothing. A quarter of what a poor line does (64 KiB a second), for it may pause.</summary>
    private const int LeastBytesPerSecond = 16 * 1024;

    /// <summary>Before the rate counts: a connection that loses packets begins slowly.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private readonly long began = time.GetTimestamp();

    /// <summary>Until the next byte has to be here; zero where it is late already.</summary>
    /// <param name="received">Bytes that came so far.</param>
    public TimeSpan Left(long received)
    {
        var allowed = Grace + TimeSpan.FromSeconds((double)received / LeastBytesPerSecond);
        var left = (allowed < limits.Time ? allowed : limits.Time) - time.GetElapsedTime(began);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}
