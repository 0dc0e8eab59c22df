// spec/gateway.md section 5 rules 4 and 5: what was sent decides what became of a request.
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>A body on its way to a node, which remembers whether any of it was taken.</summary>
internal abstract class RelayBody : Stream
{
    /// <summary>Null where it is not known before its end.</summary>
    public abstract long? KnownLength { get; }

    /// <summary>Whether anybody has asked for any of it: a node may have got it then.</summary>
    public bool WasRead { get; protected set; }

    /// <summary>Bytes that were taken so far.</summary>
    public long Sent { get; protected set; }

    /// <summary>What its sender did wrong, which ended it; null where nothing.</summary>
    public virtual RequestError? Fault => null;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => KnownLength ?? throw new NotSupportedException();

    public override long Position { get => Sent; set => throw new NotSupportedException(); }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public sealed override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public abstract override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default);

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}

/// <summary>A body that is here whole, and is given back when the node has it.</summary>
internal sealed class HeldBody(ReceivedBody body) : RelayBody
{
    public override long? KnownLength => body.Length;

    public override int Read(Span<byte> buffer)
    {
        WasRead = true;
        if (Sent == body.Length)
        {
            body.Dispose(); // who asks for more has sent what there was
            return 0;
        }

        var read = Math.Min(body.Length - (int)Sent, buffer.Length); // none, where somebody asks whether there is any
        var rest = body.Memory.Slice((int)Sent, read);
        using (rest.Pin()) // the request may end while its body is still being sent
            rest.Span.CopyTo(buffer);
        Sent += read;
        return read;
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        cancellationToken.IsCancellationRequested ? ValueTask.FromCanceled<int>(cancellationToken) : new(Read(buffer.Span));
}
