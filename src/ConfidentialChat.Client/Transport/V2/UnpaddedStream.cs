// spec/binary-http.md section 8.2, last paragraphs; spec/envelope-v2.md section 12.
using System.Buffers;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Client.Transport.V2;

/// <summary>The content of an event stream without its fillers. Owns what it reads. Not for concurrent use.</summary>
internal sealed class UnpaddedStream(Stream padded) : ForwardStream
{
    private readonly EventUnpadder unpadder = new();
    private readonly ArrayBufferWriter<byte> unpadded = new();
    private readonly byte[] piece = new byte[4 << 10];
    private int given;
    private bool isEnded;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (given == unpadded.WrittenCount)
        {
            if (isEnded || buffer.IsEmpty)
                return 0;
            unpadded.Clear(); // with zeros
            given = 0;
            var read = await padded.ReadAsync(piece, cancellationToken).ConfigureAwait(false);
            isEnded = read == 0;
            if (isEnded)
                unpadder.Complete(unpadded);
            else
                unpadder.Unpad(piece.AsSpan(0, read), unpadded);
        }

        var taken = Math.Min(buffer.Length, unpadded.WrittenCount - given);
        unpadded.WrittenMemory.Slice(given, taken).CopyTo(buffer);
        given += taken;
        return taken;
    }

    // Programs read the events of other clients line by line, and wait.
    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            padded.Dispose();
            unpadded.Clear();
            Array.Clear(piece);
        }

        base.Dispose(disposing);
    }
}
