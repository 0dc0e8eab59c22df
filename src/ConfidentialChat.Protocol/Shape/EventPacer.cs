// spec/envelope-v2.md section 12.
using System.Buffers;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;

namespace ConfidentialChat.Protocol.Shape;

// One plaintext of 4,096 bytes:
// offset  name      size
// 0       head      framing, status, header section: in the first only
// …       length    4 or 8
// …       content   what waits
// …       filler    lines of 3 to 514
//
// The last one:
// 0       terminator  1, zero
// …       trailers    field lines, zero
// …       padding     zeros
/// <summary>
/// Makes an event stream into an answer of indeterminate length whose plaintext chunks are all of one size, whatever came since the last. Not
/// safe for two threads at once. Order of calls: <see cref="Add"/> and <see cref="Next"/>, until nothing waits; <see cref="EndContent"/>,
/// <see cref="Finish"/>.
/// </summary>
public sealed class EventPacer : IDisposable
{
    /// <summary>In bytes; each chunk has it.</summary>
    public const int ChunkSize = 4_096;

    /// <summary>Framing, status and header section, in bytes.</summary>
    public const int MaxHeadSize = 2_048;

    private const int LengthSize = 4; // the 4-byte form of an integer
    private const int LongLengthSize = 8; // and the 8-byte form
    private const int FramingSize = 1;
    private const int MaxFiller = EventPadder.BlockSize + 2; // of one line; binary-http section 8.2

    private readonly byte[] chunk = new byte[ChunkSize];
    private readonly ArrayBufferWriter<byte> last = new(); // the last chunk so far
    private byte[] head; // empty after the first chunk
    private byte[] waiting = new byte[ChunkSize];
    private int from; // of what waits
    private int to;
    private bool isFinished;

    /// <param name="head">The answer's status and fields; without a content-length.</param>
    /// <param name="isContinued">Whether informational responses went before it, and with them the framing.</param>
    /// <exception cref="ArgumentException">It has one, or is larger than <see cref="MaxHeadSize"/>.</exception>
    public EventPacer(ResponseHead head, bool isContinued = false)
    {
        ArgumentNullException.ThrowIfNull(head);
        if (head.Fields.Contains(FieldSection.ContentLength))
            throw new ArgumentException("A stream has no content-length.", nameof(head));
        var written = new ArrayBufferWriter<byte>();
        new IndeterminateWriter(written).WriteHead(head);
        if (written.WrittenCount > MaxHeadSize)
            throw new ArgumentException($"The head is larger than {MaxHeadSize} bytes.", nameof(head));
        this.head = isContinued ? written.WrittenSpan[FramingSize..].ToArray() : written.WrittenSpan.ToArray();
    }

    /// <summary>Bytes of the stream that are in no chunk yet.</summary>
    public int Waiting => to - from;

    /// <summary>Puts events behind what waits. Before <see cref="Next"/> the last one is to be whole.</summary>
    /// <exception cref="InvalidOperationException">The content has ended.</exception>
    public void Add(ReadOnlySpan<byte> events)
    {
        if (isFinished)
            throw new InvalidOperationException("The content has ended.");
        MakeRoom(events.Length);
        events.CopyTo(waiting.AsSpan(to));
        to += events.Length;
    }

    /// <summary>The next chunk, valid until the next call.</summary>
    /// <exception cref="InvalidOperationException">The content has ended.</exception>
    public ReadOnlySpan<byte> Next()
    {
        if (isFinished)
            throw new InvalidOperationException("The content has ended.");
        head.CopyTo(chunk.AsSpan());
        var room = ChunkSize - head.Length - LengthSize;
        var size = LengthSize;
        if (room - Waiting is > 0 and < Filler.MinSize)
        {
            size = LongLengthSize;
            room -= LongLengthSize - LengthSize;
        }

        var at = head.Length;
        head = [];
        Varint.Write(chunk.AsSpan(at, size), room);
        at += size;
        var taken = Math.Min(Waiting, room);
        waiting.AsSpan(from, taken).CopyTo(chunk.AsSpan(at));
        CryptographicOperations.ZeroMemory(waiting.AsSpan(from, taken));
        from += taken;
        if (from == to)
            from = to = 0;
        WriteFiller(chunk.AsSpan(at + taken));
        return chunk;
    }

    /// <summary>
    /// Ends the content. What comes back is the start of the last chunk, up to the end of the content: it belongs to what a receipt hashes, and
    /// is sealed only as part of <see cref="Finish"/>'s chunk.
    /// </summary>
    /// <exception cref="InvalidOperationException">Something waits still, or the content has ended before.</exception>
    public ReadOnlySpan<byte> EndContent()
    {
        if (isFinished || Waiting > 0)
            throw new InvalidOperationException("Something waits still, or the content has ended before.");
        isFinished = true;
        last.Write(head); // of a stream without an event
        head = [];
        last.Write([(byte)0]);
        return last.WrittenSpan;
    }

    /// <summary>The last chunk: as large as the others, or a multiple where the trailers need it.</summary>
    /// <exception cref="ArgumentException">The trailers are larger than <see cref="EventPadder.MaxTrailersSize"/>, or with a content-length.</exception>
    /// <exception cref="InvalidOperationException">The content has not ended, or this was called before.</exception>
    public ReadOnlySpan<byte> Finish(FieldSection trailers)
    {
        ArgumentNullException.ThrowIfNull(trailers);
        if (!isFinished || last.WrittenCount >= ChunkSize)
            throw new InvalidOperationException("The content has not ended, or the last chunk was taken.");
        if (trailers.WireSize >= EventPadder.MaxTrailersSize)
            throw new ArgumentException($"The trailers are larger than {EventPadder.MaxTrailersSize} bytes.", nameof(trailers));
        if (trailers.Contains(FieldSection.ContentLength))
            throw new ArgumentException("A content-length is no trailer.", nameof(trailers));
        trailers.WriteIndeterminateLength(last);
        var padding = (ChunkSize - (last.WrittenCount % ChunkSize)) % ChunkSize;
        last.GetSpan(padding)[..padding].Clear();
        last.Advance(padding);
        return last.WrittenSpan;
    }

    /// <summary>Clears what it held of the stream.</summary>
    public void Dispose()
    {
        CryptographicOperations.ZeroMemory(waiting);
        CryptographicOperations.ZeroMemory(chunk);
    }

    // Whole lines up to the end; the last two share what is too much for one.
    private static void WriteFiller(Span<byte> gap)
    {
        while (gap.Length > 0)
        {
            var size = gap.Length <= MaxFiller ? gap.Length : Math.Min(MaxFiller, gap.Length - Filler.MinSize);
            Filler.Write(gap[..size]);
            gap = gap[size..];
        }
    }

    private void MakeRoom(int more)
    {
        if (waiting.Length - to >= more)
            return;
        var size = Waiting;
        var larger = size + more <= waiting.Length ? waiting : new byte[Math.Max(waiting.Length * 2, checked(size + more))];
        waiting.AsSpan(from, size).CopyTo(larger);
        if (larger == waiting)
            CryptographicOperations.ZeroMemory(waiting.AsSpan(size, to - size));
        else
            CryptographicOperations.ZeroMemory(waiting);
        (waiting, from, to) = (larger, 0, size);
    }
}
