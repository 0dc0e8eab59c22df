// spec/envelope-v2.md section 3; spec/gateway.md section 8 rule 2.
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.V2;

/// <summary>A body that passes as it comes: nothing of it is kept, and what is too large or too slow ends it.</summary>
internal sealed class StreamedBody(HttpContext context, BodyLimits limits, TimeProvider time) : RelayBody
{
    private readonly Stream body = context.Request.Body;
    private readonly BodyPace pace = new(limits, time);
    private CancellationTokenSource? late; // set only where a read has to wait
    private RequestError? fault;

    public override long? KnownLength { get; } = context.Request.ContentLength;

    public override RequestError? Fault => fault;

    public override int Read(Span<byte> buffer) => throw new NotSupportedException("The relay reads asynchronously.");

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        WasRead = true;
        late ??= new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        var read = body.ReadAsync(buffer, late.Token);
        return read.IsCompletedSuccessfully ? new(Take(read.Result)) : WaitAsync(read, cancellationToken);
    }

    protected override void Dispose(bool disposing)
    {
        late?.Dispose();
        base.Dispose(disposing);
    }

    private async ValueTask<int> WaitAsync(ValueTask<int> read, CancellationToken cancellation)
    {
        late!.CancelAfter(pace.Left(Sent));
        await using var leaving = cancellation.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), late);
        int taken;
        try
        {
            taken = await read;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
        {
            throw End(RequestError.BodyTooSlow);
        }
        catch (BadHttpRequestException e)
        {
            throw End(RequestErrors.FromStatus(e.StatusCode)); // the server's own bounds, or framing that is none
        }

        late.CancelAfter(Timeout.InfiniteTimeSpan);
        return Take(taken);
    }

    private int Take(int read)
    {
        Sent += read;
        return Sent > limits.MaxBytes ? throw End(RequestError.BodyTooLarge) : read;
    }

    private IOException End(RequestError why)
    {
        fault = why;
        return new IOException("The body is over a limit.");
    }
}
