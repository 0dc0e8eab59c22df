using ConfidentialChat.Node.Keys;

namespace ConfidentialChat.Node.Tests.Keys;

/// <summary>spec/envelope-v2.md section 9.</summary>
public sealed class SealedReplayMemoryTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly HostClock host = new();

    [Fact]
    public void The_window_is_five_minutes_to_either_side_to_the_tick()
    {
        var memory = new SealedReplayMemory(10, host);
        memory.Judge(Start.AddMinutes(-5), host.Elapsed).ShouldBe(DateFit.Inside);
        memory.Judge(Start.AddMinutes(-5).AddTicks(-1), host.Elapsed).ShouldBe(DateFit.Outside);
        memory.Judge(Start.AddMinutes(5), host.Elapsed).ShouldBe(DateFit.Inside);
        memory.Judge(Start.AddMinutes(5).AddTicks(1), host.Elapsed).ShouldBe(DateFit.Outside);
    }

    [Fact]
    public void A_host_that_sets_its_clock_back_or_forwards_changes_nothing()
    {
        var memory = new SealedReplayMemory(10, host);
        memory.TryMark([1], out _).ShouldBeTrue();
        host.Elapsed += TimeSpan.FromMinutes(11);
        host.Wall = Start;
        memory.Judge(Start, host.Elapsed).ShouldBe(DateFit.Outside);
        memory.Now.ShouldBe(Start.AddMinutes(11));
        host.Wall = Start.AddYears(1);
        memory.Judge(Start.AddYears(1), host.Elapsed).ShouldBe(DateFit.Outside);
        memory.TryMark([1], out _).ShouldBeFalse();
    }

    [Fact]
    public void Where_it_is_full_what_is_forgotten_cannot_be_served_again()
    {
        var memory = new SealedReplayMemory(2, host);
        memory.TryMark([1], out _).ShouldBeTrue();
        host.Elapsed += TimeSpan.FromMinutes(8);
        memory.TryMark([2], out _).ShouldBeTrue();
        memory.Judge(Start.AddMinutes(4), host.Elapsed).ShouldBe(DateFit.Inside);

        memory.TryMark([3], out _).ShouldBeTrue(); // the first goes, which was taken at the start, of a date up to five minutes later
        memory.TryMark([1], out _).ShouldBeTrue();
        memory.Judge(Start.AddMinutes(5), host.Elapsed).ShouldBe(DateFit.Forgotten);
        memory.Judge(Start.AddMinutes(13), host.Elapsed).ShouldBe(DateFit.Forgotten); // the second went too, a moment ago
        host.Elapsed += TimeSpan.FromMinutes(1);
        memory.Judge(Start.AddMinutes(13).AddTicks(1), host.Elapsed).ShouldBe(DateFit.Inside);
    }

    [Fact]
    public void Of_many_at_once_one_is_let_through()
    {
        var memory = new SealedReplayMemory(1000, host);
        var through = 0;
        Parallel.For(0, 1000, index =>
        {
            if (memory.TryMark([7], out _))
                Interlocked.Increment(ref through);
        });
        through.ShouldBe(1);
    }

    /// <summary>The host owns the wall clock, and not the processor's counter.</summary>
    private sealed class HostClock : TimeProvider
    {
        public DateTimeOffset Wall { get; set; } = Start;

        public TimeSpan Elapsed { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override DateTimeOffset GetUtcNow() => Wall;

        public override long GetTimestamp() => Elapsed.Ticks;
    }
}
