using System.Threading.Channels;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Client.Tests;

/// <summary>A clock that stands still until a test moves it, and tells the test when somebody waits for it.</summary>
internal sealed class WatchedTime : FakeTimeProvider
{
    private readonly Channel<TimeSpan> waits = Channel.CreateUnbounded<TimeSpan>();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        if (dueTime != Timeout.InfiniteTimeSpan) // a timeout that is not running yet
            waits.Writer.TryWrite(dueTime);
        return timer;
    }

    /// <summary>Waits until the client waits, says for how long, and lets that time pass.</summary>
    public async Task<TimeSpan> PassAsync()
    {
        var wait = await WaitAsync();
        Advance(wait);
        return wait;
    }

    /// <summary>Waits until the client waits, and says for how long.</summary>
    public Task<TimeSpan> WaitAsync() => waits.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));
}
