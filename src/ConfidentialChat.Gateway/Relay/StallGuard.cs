// spec/gateway.md section 5 rule 9.
using Microsoft.AspNetCore.Http.Features;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>
/// Cuts off a client that takes none of its answer: it would keep a node at work, and its units held, for as long as it pleases.
/// Kestrel's own minimum is an average over the whole answer, and a client that read quickly at first may then rest on it for hours.
/// </summary>
internal sealed class StallGuard : Stream
{
    private readonly Stream body;
    private readonly TimeSpan limit;
    private readonly ITimer timer;

    private StallGuard(Stream body, TimeSpan limit, ITimer timer)
    {
        this.body = body;
        this.limit = limit;
        this.timer = timer;
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
    /// <param name="clock">Measures.</param>
    public static StallGuard Watch(HttpContext context, TimeSpan limit, TimeProvider clock)
    {
        var timer = clock.CreateTimer(_ => context.Abort(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        var guard = new StallGuard(context.Response.Body, limit, timer);
        var feature = context.Features.GetRequiredFeature<IHttpResponseBodyFeature>();
        context.Features.Set<IHttpResponseBodyFeature>(new StreamResponseBodyFeature(guard, feature));
        return guard;
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        using var _ = Begin();
        await body.WriteAsync(buffer, cancellationToken);
    }

    public override async Task FlushAsync(CancellationToken cancellationToken)
    {
        using var _ = Begin();
        await body.FlushAsync(cancellationToken);
    }

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("The relay writes asynchronously.");

    public override void Flush() => throw new NotSupportedException("The relay writes asynchronously.");

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            timer.Dispose();
        base.Dispose(disposing);
    }

    private Running Begin()
    {
        timer.Change(limit, Timeout.InfiniteTimeSpan);
        return new Running(timer);
    }

    /// <summary>One write under way; its end, good or bad, stops the clock.</summary>
    private readonly struct Running(ITimer timer) : IDisposable
    {
        public void Dispose() => timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }
}
