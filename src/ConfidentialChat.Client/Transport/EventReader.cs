using System.Net.ServerSentEvents;

namespace ConfidentialChat.Client.Transport;

/// <summary>The data of server-sent events, one after the other; comments are passed over. spec/envelope-v1.md section 8.</summary>
internal sealed class EventReader : IAsyncDisposable
{
    /// <summary>No event, with the comments before it, is larger than this, in bytes.</summary>
    public const int MaxEventSize = 16 << 20;

    private readonly Stream body;
    private readonly BoundedStream bounded;
    private readonly IAsyncEnumerator<SseItem<byte[]>> items;

    public EventReader(Stream body, CancellationToken cancellation)
    {
        this.body = body;
        bounded = new BoundedStream(body);
        items = SseParser.Create(bounded, (_, data) => data.ToArray()).EnumerateAsync(cancellation).GetAsyncEnumerator(cancellation);
    }

    /// <summary>The next event's data, or null at a clean end: the body's, or the <c>[DONE]</c> of other gateways.</summary>
    /// <exception cref="InvalidAnswerException">The event is too large.</exception>
    public async ValueTask<byte[]?> ReadAsync()
    {
        bounded.Restart();
        if (!await items.MoveNextAsync().ConfigureAwait(false))
            return null;
        var data = items.Current.Data;
        return data.AsSpan().SequenceEqual("[DONE]"u8) ? null : data;
    }

    public async ValueTask DisposeAsync()
    {
        await items.DisposeAsync().ConfigureAwait(false);
        await body.DisposeAsync().ConfigureAwait(false);
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
