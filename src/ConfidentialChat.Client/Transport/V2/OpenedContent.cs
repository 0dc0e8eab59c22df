// spec/envelope-v2.md section 6; spec/binary-http.md section 8.2.
using System.Buffers;
using System.Net;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>An opened answer as the content of a response: read once, without the padding comments of a stream. Owns the answer and its clock.</summary>
internal sealed class OpenedContent : HttpContent
{
    private readonly ContentStream stream;
    private readonly InnerAnswer answer;

    public OpenedContent(InnerAnswer answer, CallClock clock)
    {
        this.answer = answer;
        stream = new ContentStream(answer, clock);
        if (answer.ContentTypeField is { } type)
            Headers.TryAddWithoutValidation("Content-Type", type);
    }

    /// <summary>Once all of it was read, where one is demanded.</summary>
    public VerifiedReceipt? Receipt => answer.Receipt;

    protected override Task<Stream> CreateContentReadStreamAsync() => Task.FromResult<Stream>(stream);

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
        this.stream.CopyToAsync(stream, cancellationToken);

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            stream.Dispose();
        base.Dispose(disposing);
    }

    private sealed class ContentStream(InnerAnswer answer, CallClock clock) : Stream
    {
        private readonly EventUnpadder unpadder = new();
        private readonly ArrayBufferWriter<byte> unpadded = new();
        private readonly byte[] padded = answer.IsStream ? new byte[4 << 10] : [];
        private int given;
        private bool isEnded;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (!answer.IsStream)
                return await ReadSomeAsync(buffer, cancellationToken).ConfigureAwait(false);
            while (given == unpadded.WrittenCount)
            {
                if (isEnded || buffer.IsEmpty)
                    return 0;
                unpadded.Clear(); // with zeros
                given = 0;
                var read = await ReadSomeAsync(padded, cancellationToken).ConfigureAwait(false);
                isEnded = read == 0;
                if (isEnded)
                    unpadder.Complete(unpadded);
                else
                    unpadder.Unpad(padded.AsSpan(0, read), unpadded);
            }

            var taken = Math.Min(buffer.Length, unpadded.WrittenCount - given);
            unpadded.WrittenMemory.Slice(given, taken).CopyTo(buffer);
            given += taken;
            return taken;
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        // Programs read the events of other clients line by line, and wait.
        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                answer.Dispose();
                clock.Dispose();
                unpadded.Clear();
                Array.Clear(padded);
            }

            base.Dispose(disposing);
        }

        private async ValueTask<int> ReadSomeAsync(Memory<byte> buffer, CancellationToken caller)
        {
            clock.Restart(clock.EventLimit);
            using var both = caller.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(caller, clock.Token) : null;
            try
            {
                return await answer.ReadAsync(buffer, both?.Token ?? clock.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (CallClock.IsTransport(e) && !caller.IsCancellationRequested)
            {
                throw clock.Explain(e, broken => new StreamTruncatedException(broken));
            }
            finally
            {
                clock.Pause();
            }
        }
    }
}
