// spec/oblivious-v2.md sections 6 and 7: a plain stream on top of the chunks.
using System.IO.Pipelines;
using System.Security.Cryptography;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>
/// Gathers what is written into full chunks of 16,384 bytes and seals them. A flush seals what is there, which shows
/// where it happened. Only <see cref="CompleteAsync"/> seals the final chunk: disposal does not, since a stream that is
/// torn down has no authentic end. Writing asynchronously heeds the output's pressure.
/// </summary>
public sealed class SealingStream : Stream
{
    private readonly ChunkSealer sealer;
    private readonly byte[] chunk = GC.AllocateUninitializedArray<byte>(ChunkLimits.ChunkSize);
    private int filled;

    internal SealingStream(ChunkSealer sealer) => this.sealer = sealer;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => !sealer.IsFinished;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            var taken = Math.Min(buffer.Length, chunk.Length - filled);
            buffer[..taken].CopyTo(chunk.AsSpan(filled));
            buffer = buffer[taken..];
            filled += taken;
            if (filled == chunk.Length)
                SealChunk();
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (!buffer.IsEmpty)
        {
            var taken = Math.Min(buffer.Length, chunk.Length - filled);
            Write(buffer.Span[..taken]);
            buffer = buffer[taken..];
            if (filled == 0)
                await FlushOutputAsync(cancellationToken);
        }
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Flush()
    {
        if (filled > 0)
            SealChunk();
    }

    public override async Task FlushAsync(CancellationToken cancellationToken)
    {
        Flush();
        await FlushOutputAsync(cancellationToken);
    }

    /// <summary>Seals the final chunk.</summary>
    public async ValueTask CompleteAsync(CancellationToken cancellation = default)
    {
        sealer.SealFinal(chunk.AsSpan(0, filled));
        filled = 0;
        await FlushOutputAsync(cancellation);
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        CryptographicOperations.ZeroMemory(chunk);
        base.Dispose(disposing);
    }

    private void SealChunk()
    {
        sealer.Seal(chunk.AsSpan(0, filled));
        filled = 0;
    }

    private async ValueTask FlushOutputAsync(CancellationToken cancellation)
    {
        if (sealer.Output is PipeWriter pipe)
            await pipe.FlushAsync(cancellation);
    }
}
