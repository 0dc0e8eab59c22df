// spec/binary-http.md section 8.2.
using System.Buffers;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;

namespace ConfidentialChat.Protocol.Shape;

// One plaintext, a multiple of the block:
// offset  name        size
// 0       head        framing, status, header section: in the first only
// …       length      4
// …       lines       the event's
// …       filler      0 or 3 to 514
// …       blank line  1 or 2
//
// The last one:
// 0       head        where there was no event at all
// …       length      4  } where an event is unfinished
// …       lines          }
// …       terminator  1, zero
// …       trailers    field lines, zero
// …       padding     zeros
/// <summary>
/// Makes an event stream into an answer of indeterminate length whose plaintext chunks are multiples of a block, one for
/// each event, in constant memory. Not safe for two threads at once. Order of calls: <see cref="TryPad"/> until all events
/// have come and it has been told so, <see cref="EndContent"/>, <see cref="Finish"/>.
/// </summary>
public sealed class EventPadder : IDisposable
{
    /// <summary>In bytes; every chunk is a multiple.</summary>
    public const int BlockSize = 512;

    /// <summary>In bytes; larger events are cut.</summary>
    public const int MaxChunkSize = 16_384;

    /// <summary>Framing, status and header section, in bytes.</summary>
    public const int MaxHeadSize = 4_096;

    /// <summary>In bytes.</summary>
    public const int MaxTrailersSize = 4_096;

    private const int LengthSize = 4; // the 4-byte form of an integer
    private const int FramingSize = 1;
    private const int MaxLastContent = 8_192; // what is left of the content in the last chunk, so that the trailers fit

    private readonly byte[] pending = new byte[MaxChunkSize + 3]; // the event so far
    private readonly byte[] chunk = new byte[MaxChunkSize];
    private byte[] head; // empty after the first chunk
    private EventScanner scanner;
    private int size; // of what is pending
    private int blankLine = -1; // its offset in what is pending; -1 before it has come
    private bool eventEnded;
    private int finalSize = -1; // of the last chunk so far; -1 before the content has ended
    private bool finished;

    /// <param name="head">The answer's status and fields; without a content-length.</param>
    /// <param name="isContinued">Whether informational responses went before it, and with them the framing.</param>
    /// <exception cref="ArgumentException">It has one, or is larger than <see cref="MaxHeadSize"/>.</exception>
    public EventPadder(ResponseHead head, bool isContinued = false)
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

    private int Prefix => head.Length + LengthSize;

    /// <summary>The content of a chunk without filler.</summary>
    private int Full => MaxChunkSize - Prefix;

    /// <summary>Gives the next chunk. To be called again with the rest until it gives none.</summary>
    /// <param name="events">What has arrived of the event stream; comes back shorter by what was taken.</param>
    /// <param name="isFinal">Whether nothing follows.</param>
    /// <param name="plaintext">One chunk to seal; valid until the next call.</param>
    /// <returns>False when all input is taken and no chunk is due.</returns>
    /// <exception cref="InvalidOperationException">The content has ended.</exception>
    public bool TryPad(ref ReadOnlySpan<byte> events, bool isFinal, out ReadOnlySpan<byte> plaintext)
    {
        if (finalSize >= 0)
            throw new InvalidOperationException("The content has ended.");
        while (!eventEnded && !events.IsEmpty && (size < Full + 2 || scanner.IsWaiting))
            Take(ref events);
        if (isFinal && events.IsEmpty && scanner.IsWaiting)
        {
            scanner.End();
            eventEnded = true;
        }

        plaintext = eventEnded ? PadEvent()
            : size >= Full + 2 && !scanner.IsWaiting ? Cut(Full)
            : isFinal && Prefix + size > MaxLastContent ? Cut(Blocks(Prefix + size) - Prefix)
            : default;
        return !plaintext.IsEmpty;
    }

    /// <summary>
    /// Ends the content after the last <see cref="TryPad"/>. What comes back is the start of the last chunk, up to the end
    /// of the content: it belongs to what the receipt hashes, and is sealed only as part of <see cref="Finish"/>'s chunk.
    /// </summary>
    /// <exception cref="InvalidOperationException">An event is still waiting, or the content has ended before.</exception>
    public ReadOnlySpan<byte> EndContent()
    {
        if (finalSize >= 0 || eventEnded || scanner.IsWaiting || Prefix + size > MaxLastContent)
            throw new InvalidOperationException("Not all chunks were taken, or the content has ended before.");
        finalSize = head.Length;
        head.CopyTo(chunk.AsSpan());
        if (size > 0)
            finalSize = WriteContent(pending.AsSpan(0, size), size);
        chunk[finalSize++] = 0;
        return chunk.AsSpan(0, finalSize);
    }

    /// <summary>Gives the last chunk.</summary>
    /// <exception cref="ArgumentException">Larger than <see cref="MaxTrailersSize"/>, or with a content-length.</exception>
    /// <exception cref="InvalidOperationException">The content has not ended, or this was called before.</exception>
    public ReadOnlySpan<byte> Finish(FieldSection trailers)
    {
        ArgumentNullException.ThrowIfNull(trailers);
        if (finalSize < 0 || finished)
            throw new InvalidOperationException("The content has not ended, or the last chunk was taken.");
        if (trailers.WireSize >= MaxTrailersSize)
            throw new ArgumentException($"The trailers are larger than {MaxTrailersSize} bytes.", nameof(trailers));
        if (trailers.Contains(FieldSection.ContentLength))
            throw new ArgumentException("A content-length is no trailer.", nameof(trailers));
        var written = new ArrayBufferWriter<byte>();
        trailers.WriteIndeterminateLength(written);
        written.WrittenSpan.CopyTo(chunk.AsSpan(finalSize));
        finalSize += written.WrittenCount;
        var padded = Blocks(finalSize + BlockSize - 1);
        chunk.AsSpan(finalSize, padded - finalSize).Clear();
        finished = true;
        return chunk.AsSpan(0, padded);
    }

    /// <summary>Clears what it held of the stream.</summary>
    public void Dispose()
    {
        CryptographicOperations.ZeroMemory(pending);
        CryptographicOperations.ZeroMemory(chunk);
    }

    private static int Blocks(int size) => size / BlockSize * BlockSize;

    private void Take(ref ReadOnlySpan<byte> events)
    {
        var room = scanner.IsWaiting ? 1 : Full + 2 - size;
        var taken = scanner.Scan(events[..Math.Min(events.Length, room)], out var isBlankLine, out eventEnded);
        if (isBlankLine)
            blankLine = size;
        events[..taken].CopyTo(pending.AsSpan(size));
        events = events[taken..];
        size += taken;
    }

    private ReadOnlySpan<byte> PadEvent()
    {
        var filler = Filler.Gap(Prefix + size);
        if (Prefix + size + filler > MaxChunkSize)
        {
            // The blank line stays whole, behind the filler that comes next.
            var cut = Full <= blankLine ? Full : Full - BlockSize;
            return Cut(cut);
        }

        var written = WriteContent(pending.AsSpan(0, blankLine), size + filler);
        Filler.Write(chunk.AsSpan(written, filler));
        pending.AsSpan(blankLine, size - blankLine).CopyTo(chunk.AsSpan(written + filler));
        written += filler + size - blankLine;
        (head, size, blankLine, eventEnded) = ([], 0, -1, false);
        return chunk.AsSpan(0, written);
    }

    private ReadOnlySpan<byte> Cut(int cut)
    {
        var written = WriteContent(pending.AsSpan(0, cut), cut);
        pending.AsSpan(cut, size - cut).CopyTo(pending);
        size -= cut;
        blankLine = Math.Max(-1, blankLine - cut);
        head = [];
        return chunk.AsSpan(0, written);
    }

    // Head, length and the first bytes of the content.
    private int WriteContent(ReadOnlySpan<byte> content, int length)
    {
        head.CopyTo(chunk.AsSpan());
        Varint.Write(chunk.AsSpan(head.Length, LengthSize), length);
        content.CopyTo(chunk.AsSpan(Prefix));
        return Prefix + content.Length;
    }
}
