// spec/envelope-v2.md section 6; spec/binary-http.md section 8.2.
using System.Net;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>An opened answer as the content of a response: read once, without the padding comments of a stream. Owns the answer and its clock.</summary>
internal sealed class OpenedContent : HttpContent
{
    private readonly Stream stream;
    private readonly InnerAnswer answer;

    public OpenedContent(InnerAnswer answer, CallClock clock)
    {
        this.answer = answer;
        var content = new ContentStream(answer, clock);
        stream = answer.IsStream ? new UnpaddedStream(content) : content;
        if (answer.ContentTypeField is { } type)
            Headers.TryAddWithoutValidation("Content-Type", type);
    }

    /// <summary>Once all of it was read, where one is demanded.</summary>
    public VerifiedReceipt? Receipt => answer.Receipt;

    protected override Task<Stream> CreateContentReadStreamAsync() => Task.FromResult(stream);

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

    // Each read has an event's time.
    private sealed class ContentStream(InnerAnswer answer, CallClock clock) : ForwardStream
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            clock.Restart(clock.EventLimit);
            using var both = cancellationToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, clock.Token) : null;
            try
            {
                return await answer.ReadAsync(buffer, both?.Token ?? clock.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (CallClock.IsTransport(e) && !cancellationToken.IsCancellationRequested)
            {
                throw clock.Explain(e, broken => new StreamTruncatedException(broken));
            }
            finally
            {
                clock.Pause();
            }
        }

        // Programs read the answers of other clients so, and wait.
        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                answer.Dispose();
                clock.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
