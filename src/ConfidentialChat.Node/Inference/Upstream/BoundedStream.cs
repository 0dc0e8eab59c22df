// spec/inference.md section 6.
namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>An answer's bytes, and no more of them than were allowed: in all, and since the last event.</summary>
internal sealed class BoundedStream(Stream inner, long totalMax, long eventMax) : Stream
{
    private long total;
    private long sinceEvent;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>An event is complete; what was read beyond it counts to the next.</summary>
    public void EndEvent() => sinceEvent = 0;

    /// <exception cref="AnswerTooLargeException">It is too much.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = await inner.ReadAsync(buffer, cancellationToken);
        total += read;
        sinceEvent += read;
        return total <= totalMax && sinceEvent <= eventMax ? read : throw new AnswerTooLargeException();
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

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            inner.Dispose();
        base.Dispose(disposing);
    }
}

/// <summary>An engine's answer or one of its events is larger than allowed.</summary>
internal sealed class AnswerTooLargeException() : Exception("The answer is larger than allowed.");
