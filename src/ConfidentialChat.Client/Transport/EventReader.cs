using System.Net.ServerSentEvents;

namespace ConfidentialChat.Client.Transport;

/// <summary>Takes the data of events where the reader has it, so that it is not copied.</summary>
internal interface IEventTarget
{
    /// <summary>Takes one event's data, which is valid within this call.</summary>
    /// <param name="name">Null where it has none.</param>
    /// <param name="data">As it came.</param>
    void Take(string? name, ReadOnlySpan<byte> data);
}

/// <summary>
/// The data of server-sent events, one after the other; comments, events without data and, but in an API that has such, events with a name are
/// passed over: none is a message. spec/envelope-v1.md section 8; spec/inference.md section 8.
/// </summary>
internal sealed class EventReader : IAsyncDisposable
{
    /// <summary>No event, with the comments before it, is larger than this, in bytes.</summary>
    public const int MaxEventSize = 16 << 20;

    private readonly Stream body;
    private readonly CancellationToken cancellation;
    private readonly BoundedStream bounded;
    private readonly IAsyncEnumerator<SseItem<Said>> items;

    /// <param name="body">Owned from here on.</param>
    /// <param name="target">Takes the events.</param>
    /// <param name="isNamed">Whether it is of an API whose events have names.</param>
    /// <param name="cancellation">Ends reading.</param>
    public EventReader(Stream body, IEventTarget target, bool isNamed, CancellationToken cancellation)
    {
        this.body = body;
        this.cancellation = cancellation;
        bounded = new BoundedStream(body);
        items = SseParser.Create(bounded, (type, data) => Take(type, data, target, isNamed)).EnumerateAsync(cancellation).GetAsyncEnumerator(cancellation);
    }

    /// <summary>Gives the next event's data to the target; false at a clean end: the body's, or the <c>[DONE]</c> of other gateways.</summary>
    /// <remarks>Completes at once where the event is here already.</remarks>
    /// <exception cref="InvalidAnswerException">The event is too large.</exception>
    public ValueTask<bool> ReadAsync()
    {
        bounded.Restart();
        while (true)
        {
            var move = items.MoveNextAsync();
            if (!move.IsCompletedSuccessfully)
                return WaitAsync(move);
            if (!move.Result)
                return new(false);
            if (items.Current.Data is not Said.Nothing)
                return new(items.Current.Data is Said.Message);
        }
    }

    /// <summary>Reads on after the last event, into a buffer that is the caller's to throw away; false at the body's end.</summary>
    public async ValueTask<bool> ReadRestAsync(Memory<byte> buffer) => await body.ReadAsync(buffer, cancellation).ConfigureAwait(false) > 0;

    public async ValueTask DisposeAsync()
    {
        await items.DisposeAsync().ConfigureAwait(false);
        await body.DisposeAsync().ConfigureAwait(false);
    }

    private async ValueTask<bool> WaitAsync(ValueTask<bool> move)
    {
        while (await move.ConfigureAwait(false))
        {
            if (items.Current.Data is not Said.Nothing)
                return items.Current.Data is Said.Message;
            move = items.MoveNextAsync();
        }

        return false;
    }

    private static Said Take(string type, ReadOnlySpan<byte> data, IEventTarget target, bool isNamed)
    {
        var text = data.Trim(" \t\r\n"u8);
        var hasName = type != SseParser.EventTypeDefault;
        if (text.IsEmpty || (hasName && !isNamed) || type is "ping" or "keepalive")
            return Said.Nothing;
        if (text.SequenceEqual("[DONE]"u8))
            return Said.End;
        target.Take(hasName ? type : null, data);
        return Said.Message;
    }

    private enum Said
    {
        Nothing,
        Message,
        End,
    }

    // The parser keeps an event in memory until its end: whoever never ends one is cut off here.
    private sealed class BoundedStream(Stream body) : ForwardStream
    {
        private int taken;

        public void Restart() => taken = 0;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await body.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            taken += read;
            return taken <= MaxEventSize ? read : throw new InvalidAnswerException($"An event is larger than {MaxEventSize} bytes.");
        }
    }
}
