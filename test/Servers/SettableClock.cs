using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Tests;

/// <summary>A clock that goes as the test says, and that somebody may set meanwhile: for how long something lasts that is nothing.</summary>
internal sealed class SettableClock(DateTimeOffset start) : FakeTimeProvider(start)
{
    /// <summary>How far it was set forward, or back.</summary>
    public TimeSpan SetBy { get; set; }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + SetBy;

    public override long GetTimestamp() => base.GetUtcNow().Ticks;
}
