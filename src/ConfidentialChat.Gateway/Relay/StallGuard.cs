// spec/gateway.md section 5 rule 9.
using Microsoft.AspNetCore.Http.Features;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>
/// Cuts off a client that takes none of its answer: it would keep a node at work, and its units held, for as long as it pleases.
/// Kestrel's own minimum is an average over the whole answer, and a client that read quickly at first may then rest on it for hours.
/// </summary>
internal sealed class StallGuard : Stream
{
    private readonly HttpContext context;
    private readonly Stream body;
    private readonly TimeSpan limit;
    private readonly TimeProvider time;
    private ITimer? timer;

    private StallGuard(HttpContext context, TimeSpan limit, TimeProvider time)
    {
        this.context = context;
        body = context.Response.Body;
        this.limit = limit;
        this.time = time;
    }

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Stands before the response's body until it is disposed of.</summary>
    /// <param name="context">Aborted when one write takes longer than <paramref name="limit"/>.</param>
    /// <param name="limit">For one write of at most 64 KiB.</param>
    /// <param name="time">Measures.</param>
    public static StallGuard Watch(HttpContext context, TimeSpan limit, TimeProvider time)
    {
        var guard = new StallGuard(context, limit, time);
        var feature = context.Features.GetRequiredFeature<IHttpResponseBodyFeature>();
        context.Features.Set<IHttpResponseBodyFeature>(new StreamResponseBodyFeature(guard, feature));
        return guard;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var writing = body.WriteAsync(buffer, cancellationToken);
        return writing.IsCompletedSuccessfully ? writing : new ValueTask(WaitAsync(writing.AsTask()));
    }

    public override Task FlushAsync(CancellationToken cancellationToken)
    {
        var flushing = body.FlushAsync(cancellationToken);
        return flushing.IsCompletedSuccessfully ? flushing : WaitAsync(flushing);
    }

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("The relay writes asynchronously.");

    public override void Flush() => throw new NotSupportedException("The relay writes asynchronously.");

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            timer?.Dispose();
        base.Dispose(disposing);
    }

    // The client leaves something unread. Its end, good or bad, stops the clock.
    private async Task WaitAsync(Task pending)
    {
        timer ??= time.CreateTimer(static context => ((HttpContext)context!).Abort(), context, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        timer.Change(limit, Timeout.InfiniteTimeSpan);
        try
        {
            await pending;
        }
        finally
        {
            timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }
}
