// spec/envelope-v1.md sections 7, 8 and 13; spec/envelope-v2.md sections 6 and 10.
namespace ConfidentialChat.Client.Transport;

/// <summary>A call whose answer has begun. From here on nothing is tried again. Disposal closes the connection, which stops the node.</summary>
internal sealed class Exchange : IAsyncDisposable
{
    private readonly HttpResponseMessage? response;
    private readonly Stream? opened;
    private readonly CallClock clock;
    private readonly bool isNamed;
    private EventReader? events;

    /// <summary>Takes the answer and disposes of it.</summary>
    public Exchange(HttpResponseMessage response, CallClock clock, Attempts attempts)
    {
        this.response = response;
        this.clock = clock;
        Attempts = attempts;
    }

    /// <summary>Takes an answer that is opened as it is read, and disposes of it.</summary>
    /// <param name="opened">The answer's content.</param>
    /// <param name="isNamed">Whether it is of an API whose events have names.</param>
    /// <param name="clock">The call's.</param>
    /// <param name="attempts">The call's.</param>
    public Exchange(Stream opened, bool isNamed, CallClock clock, Attempts attempts)
    {
        this.opened = opened;
        this.isNamed = isNamed;
        this.clock = clock;
        Attempts = attempts;
    }

    public Attempts Attempts { get; }

    /// <summary>Reads a whole answer.</summary>
    public async Task<ReadOnlyMemory<byte>> ReadWholeAsync()
    {
        try
        {
            return await GatewayConnection.ReadBodyAsync(response!, clock, clock.EventLimit).ConfigureAwait(false);
        }
        catch (ConfidentialChatException e)
        {
            Attempts.Counted(e);
            throw;
        }
    }

    /// <summary>Reads some of a whole answer; 0 at its end.</summary>
    public ValueTask<int> ReadPieceAsync(Memory<byte> buffer) => WaitAsync(opened!.ReadAsync(buffer, clock.Token), clock.EventLimit);

    /// <summary>Reads the next event of a stream into <paramref name="target"/>; false at its clean end.</summary>
    /// <remarks>The clock runs only while there is a wait: an event that is here already costs no timer.</remarks>
    public ValueTask<bool> ReadEventAsync(IEventTarget target)
    {
        if (events is null)
            return BeginAsync(target);
        var read = events.ReadAsync();
        return read.IsCompletedSuccessfully ? read : WaitAsync(read, clock.EventLimit);
    }

    /// <summary>Reads what follows a stream's last event, to the body's end; nothing of it is kept.</summary>
    public async ValueTask ReadEndAsync()
    {
        var rest = new byte[512];
        while (await WaitAsync(events!.ReadRestAsync(rest), clock.EventLimit).ConfigureAwait(false))
        {
        }
    }

    /// <summary>What a stream is that ended cleanly and too early.</summary>
    public StreamTruncatedException Truncated() => new() { Attempts = Attempts.Count };

    public async ValueTask DisposeAsync()
    {
        if (events is not null)
            await events.DisposeAsync().ConfigureAwait(false);
        else if (opened is not null)
            await opened.DisposeAsync().ConfigureAwait(false);
        response?.Dispose();
    }

    private async ValueTask<bool> BeginAsync(IEventTarget target)
    {
        var body = opened ?? await response!.Content.ReadAsStreamAsync(CancellationToken.None).ConfigureAwait(false); // the head is here: no wait
        events = new EventReader(body, target, isNamed, clock.Token);

        // A node that computes for long sends the head and comments first: until the first event it is the call's own time, as without them.
        var limit = clock.EventLimit == Timeout.InfiniteTimeSpan || clock.EventLimit > clock.Left ? clock.EventLimit
            : clock.Left == TimeSpan.MaxValue ? Timeout.InfiniteTimeSpan : clock.Left;
        return await WaitAsync(events.ReadAsync(), limit).ConfigureAwait(false);
    }

    private async ValueTask<T> WaitAsync<T>(ValueTask<T> read, TimeSpan limit)
    {
        clock.Restart(limit);
        try
        {
            return await read.ConfigureAwait(false);
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            var failure = clock.Explain(e, broken => new StreamTruncatedException(broken));
            if (failure is ConfidentialChatException typed)
                Attempts.Counted(typed);
            throw failure;
        }
        catch (ConfidentialChatException e)
        {
            Attempts.Counted(e);
            throw;
        }
        finally
        {
            clock.Pause();
        }
    }
}
