// spec/oblivious-v2.md sections 6, 7 and 10: a plain stream on top of the chunks.
namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>
/// The plaintext of a message, chunk after chunk. It ends only where the final chunk has opened; where the message fails
/// it throws <see cref="MessageNotOpenedException"/>, as often as it is read. It is read asynchronously only.
/// </summary>
public sealed class OpeningStream : Stream
{
    private readonly ChunkOpener opener;
    private ReadOnlyMemory<byte> rest;

    internal OpeningStream(ChunkOpener opener) => this.opener = opener;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty)
            return 0;
        while (rest.IsEmpty)
        {
            var chunk = await opener.ReadAsync(cancellationToken);
            if (!chunk.IsOpened)
                throw new MessageNotOpenedException(chunk.Outcome);
            rest = chunk.Plaintext;
            if (rest.IsEmpty)
                return 0; // only a final chunk is empty
        }

        var taken = Math.Min(buffer.Length, rest.Length);
        rest[..taken].CopyTo(buffer);
        rest = rest[taken..];
        return taken;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Read asynchronously.");

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
