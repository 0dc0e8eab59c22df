// spec/inference.md section 7: who refuses a request before it has read all of it.
namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>
/// A connection whose peer may stop reading and answer all the same: what cannot be sent any more is thrown away, so that its answer is
/// read. Where there is none, reading fails as it would.
/// </summary>
/// <remarks>HttpClient reads no answer to a request that it could not send, and a refusal would look like a connection that broke.</remarks>
internal sealed class EarlyAnswerStream(Stream inner) : Stream
{
    private static readonly AsyncLocal<UnsentRequest?> Sent = new();

    private volatile bool isBroken;

    /// <summary>The request that is sent from here on, in this flow alone: it is told when it was not sent whole.</summary>
    public static UnsentRequest? Sending
    {
        set => Sent.Value = value;
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => inner.ReadAsync(buffer, cancellationToken);

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        inner.ReadAsync(buffer, offset, count, cancellationToken);

    public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (isBroken)
        {
            Sent.Value?.Lose();
            return ValueTask.CompletedTask;
        }

        var writing = inner.WriteAsync(buffer, cancellationToken);
        return writing.IsCompletedSuccessfully ? writing : WaitAsync(writing);
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Write(byte[] buffer, int offset, int count) => inner.Write(buffer, offset, count);

    public override Task FlushAsync(CancellationToken cancellationToken) => isBroken ? Task.CompletedTask : inner.FlushAsync(cancellationToken);

    public override void Flush() => inner.Flush();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            inner.Dispose();
        base.Dispose(disposing);
    }

    private async ValueTask WaitAsync(ValueTask writing)
    {
        try
        {
            await writing;
        }
        catch (IOException)
        {
            isBroken = true;
            Sent.Value?.Lose();
        }
    }
}

/// <summary>Whether some of a request was thrown away. An engine that did not get all of it computes nothing.</summary>
internal sealed class UnsentRequest
{
    private volatile bool isLost;

    public bool IsLost => isLost;

    public void Lose() => isLost = true;
}
