using System.Net.ServerSentEvents;

namespace ConfidentialChat.Client.Transport;

/// <summary>Takes the data of events where the reader has it, so that it is not copied.</summary>
internal interface IEventTarget
{
    /// <summary>Takes one event's data, which is valid within this call.</summary>
    void Take(ReadOnlySpan<byte> data);
}

/// <summary>The data of server-sent events, one after the other; comments are passed over. spec/envelope-v1.md section 8.</summary>
internal sealed class EventReader : IAsyncDisposable
{
    /// <summary>No event, with the comments before it, is larger than this, in bytes.</summary>
    public const int MaxEventSize = 16 << 20;

    private readonly Stream body;
    private readonly BoundedStream bounded;
    private readonly IAsyncEnumerator<SseItem<bool>> items;

    public EventReader(Stream body, IEventTarget target, CancellationToken cancellation)
    {
        this.body = body;
        bounded = new BoundedStream(body);
        items = SseParser.Create(bounded, (_, data) => TryTake(data, target)).EnumerateAsync(cancellation).GetAsyncEnumerator(cancellation);
    }

    /// <summary>Gives the next event's data to the target; false at a clean end: the body's, or the <c>[DONE]</c> of other gateways.</summary>
    /// <remarks>Completes at once where the event is here already.</remarks>
    /// <exception cref="InvalidAnswerException">The event is too large.</exception>
    public ValueTask<bool> ReadAsync()
    {
        bounded.Restart();
        var move = items.MoveNextAsync();
        return move.IsCompletedSuccessfully ? new(move.Result && items.Current.Data) : WaitAsync(move);
    }

    public async ValueTask DisposeAsync()
    {
        await items.DisposeAsync().ConfigureAwait(false);
        await body.DisposeAsync().ConfigureAwait(false);
    }

    private async ValueTask<bool> WaitAsync(ValueTask<bool> move) => await move.ConfigureAwait(false) && items.Current.Data;

    private static bool TryTake(ReadOnlySpan<byte> data, IEventTarget target)
    {
        if (data.SequenceEqual("[DONE]"u8))
            return false;
        target.Take(data);
        return true;
    }

    // The parser keeps an event in memory until its end: whoever never ends one is cut off here.
    private sealed class BoundedStream(Stream body) : Stream
    {
        private int taken;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public void Restart() => taken = 0;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await body.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            taken += read;
            return taken <= MaxEventSize ? read : throw new InvalidAnswerException($"An event is larger than {MaxEventSize} bytes.");
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
