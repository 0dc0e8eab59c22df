namespace ConfidentialChat.Client.Tests;

/// <summary>The machine's clocks, each set forth or back by a test; timers run as they do.</summary>
internal sealed class ShiftedTime : TimeProvider
{
    public TimeSpan Wall { get; set; }

    public TimeSpan Monotonic { get; set; }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Wall;

    public override long GetTimestamp() => base.GetTimestamp() + (long)(Monotonic.TotalSeconds * TimestampFrequency);

    public void Pass(TimeSpan time) => (Wall, Monotonic) = (Wall + time, Monotonic + time);
}
