// spec/envelope-v2.md sections 6 and 12; spec/receipts.md section 3.
using System.Buffers;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Protocol.V2;

/// <summary>
/// Writes one answer, sealed, in the shape of section 8: signs of life, then a whole answer or a stream. Nothing is held back: what is written
/// is whole chunks. Not for concurrent use.
/// </summary>
public sealed class SealedAnswerWriter : IDisposable
{
    private const int Processing = 102; // RFC 2518 section 10.1
    private const int StreamStatus = 200;
    private const string PaddingField = "padding";

    private readonly ChunkedAnswerSealer sealer;
    private EventPadder? stream;
    private EventPacer? paced;
    private bool hasFraming;
    private ReceiptDraft? receipt;
    private Memory<byte> whole; // what is left of it

    /// <param name="sealer">Owned from here on.</param>
    public SealedAnswerWriter(ChunkedAnswerSealer sealer)
    {
        ArgumentNullException.ThrowIfNull(sealer);
        this.sealer = sealer;
    }

    // A chunk of length 0.
    private static ReadOnlySpan<byte> ContentEnd => [0];

    /// <summary>Whether the inner head is out: no other answer can be given.</summary>
    public bool HasHead { get; private set; }

    /// <summary>Has a receipt made of all that is written from here on, which has to be everything.</summary>
    /// <param name="draft">Owned from here on.</param>
    /// <exception cref="InvalidOperationException">Something is written already.</exception>
    public void Record(ReceiptDraft draft)
    {
        ArgumentNullException.ThrowIfNull(draft);
        if (hasFraming || HasHead || receipt is not null)
            throw new InvalidOperationException("The answer has begun: its hash would not be that of all of it.");
        receipt = draft;
    }

    /// <summary>
    /// Says that the answer goes on: before the head as an informational response, in a
    /// stream as a comment. Nothing once a whole answer is out, nor in a paced stream, which is never silent.
    /// </summary>
    public void KeepAlive()
    {
        if (stream is not null)
            WriteEvents(": keep-alive\n\n"u8);
        else if (!HasHead)
            WriteProcessing();
    }

    /// <summary>Bytes of a paced stream that wait for a tick.</summary>
    public int Waiting => paced?.Waiting ?? 0;

    /// <summary>The whole answer, and the end, at once.</summary>
    /// <inheritdoc cref="BeginWhole"/>
    public void WriteWhole(int status, FieldSection fields, ReadOnlySpan<byte> content, ReceiptClosing? closing = null)
    {
        BeginWhole(status, fields, content, closing);
        TryWriteOn(int.MaxValue);
    }

    /// <summary>Begins a whole answer, which <see cref="TryWriteOn"/> writes.</summary>
    /// <param name="status">From 200 to 599.</param>
    /// <param name="fields">Without a content-length.</param>
    /// <param name="content">All of it; not used any more afterwards.</param>
    /// <param name="closing">Of the receipt; none is written where it is null, or none is recorded.</param>
    /// <exception cref="InvalidOperationException">The head is out.</exception>
    public void BeginWhole(int status, FieldSection fields, ReadOnlySpan<byte> content, ReceiptClosing? closing = null)
    {
        BeginHead();
        var around = EventPadder.BlockSize + (receipt is null ? 0 : EventPadder.MaxTrailersSize);
        var message = new ArrayBufferWriter<byte>(MessagePadding.PaddedSize(content.Length + around)); // grown, it would leave a copy behind
        var writer = new IndeterminateWriter(message, ChunkLengthForm.FourBytes);
        writer.WriteHead(new ResponseHead(status, fields));
        writer.WriteContent(content);
        var skipped = hasFraming ? 1 : 0; // the framing went out with the signs of life
        receipt?.Add(message.WrittenSpan[skipped..]);
        receipt?.Add(ContentEnd);
        writer.Complete(Trailers(status, AnswerEnd.Complete, closing));
        MessagePadding.Write(message, message.WrittenCount - skipped);
        whole = MemoryMarshal.AsMemory(message.WrittenMemory)[skipped..];
    }

    /// <summary>Writes the next chunks of a whole answer, which are cleared.</summary>
    /// <param name="most">Bytes of it, from <see cref="ChunkLimits.ChunkSize"/> on.</param>
    /// <returns>False once its end is out.</returns>
    public bool TryWriteOn(int most)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(most, ChunkLimits.ChunkSize);
        if (sealer.IsFinished)
            return false;
        for (var left = most; whole.Length > ChunkLimits.ChunkSize; left -= ChunkLimits.ChunkSize)
        {
            if (left < ChunkLimits.ChunkSize)
                return true;
            var chunk = whole.Span[..ChunkLimits.ChunkSize];
            sealer.Seal(chunk);
            CryptographicOperations.ZeroMemory(chunk);
            whole = whole[ChunkLimits.ChunkSize..];
        }

        sealer.SealFinal(whole.Span);
        CryptographicOperations.ZeroMemory(whole.Span);
        return false;
    }

    /// <summary>Begins a stream of events; its head goes out with the first of them.</summary>
    /// <param name="fields">Of the head.</param>
    /// <param name="isPaced">Whether it is sealed by <see cref="WriteTick"/> alone; section 12.</param>
    /// <exception cref="InvalidOperationException">The head is out.</exception>
    public void BeginStream(FieldSection fields, bool isPaced = false)
    {
        BeginHead();
        if (isPaced)
            paced = new EventPacer(new ResponseHead(StreamStatus, fields), isContinued: hasFraming);
        else
            stream = new EventPadder(new ResponseHead(StreamStatus, fields), isContinued: hasFraming);
    }

    /// <summary>Whole events of the stream, each with its blank line. Of a paced one they wait.</summary>
    public void WriteEvents(ReadOnlySpan<byte> events)
    {
        if (paced is not null)
        {
            paced.Add(events);
            return;
        }

        while (stream!.TryPad(ref events, isFinal: false, out var plaintext))
            SealContent(plaintext);
    }

    /// <summary>The next chunk of a paced stream: what waits, or filler.</summary>
    public void WriteTick() => SealContent(paced!.Next());

    /// <summary>The end of the stream; of a paced one its last tick, when nothing waits.</summary>
    /// <param name="closing">Of the receipt; none is written where it is null, or none is recorded.</param>
    public void EndStream(ReceiptClosing? closing = null) => sealer.SealFinal(EndContent(AnswerEnd.Complete, closing));

    /// <summary>
    /// The end of a stream whose engine broke off: its receipt, and no final chunk, so that nobody takes it for whole. False, with nothing
    /// written, where there is no stream that could end, or no receipt.
    /// </summary>
    public bool TryCutOff(ReceiptClosing closing)
    {
        if ((stream is null && paced is null) || Waiting > 0 || receipt is null || sealer.IsFinished)
            return false;
        sealer.Seal(EndContent(AnswerEnd.CutOff, closing));
        return true;
    }

    public void Dispose()
    {
        sealer.Dispose();
        stream?.Dispose();
        receipt?.Dispose();
        paced?.Dispose();
        CryptographicOperations.ZeroMemory(whole.Span);
    }

    // An unfinished event is content as well.
    private ReadOnlySpan<byte> EndContent(AnswerEnd how, ReceiptClosing? closing)
    {
        if (paced is not null)
        {
            var end = paced.EndContent();
            receipt?.Add(end);
            return paced.Finish(Trailers(StreamStatus, how, closing));
        }

        ReadOnlySpan<byte> nothing = [];
        while (stream!.TryPad(ref nothing, isFinal: true, out var plaintext))
            SealContent(plaintext);
        var last = stream.EndContent();
        receipt?.Add(last);
        return stream.Finish(Trailers(StreamStatus, how, closing));
    }

    private void SealContent(ReadOnlySpan<byte> plaintext)
    {
        receipt?.Add(plaintext);
        sealer.Seal(plaintext);
    }

    private FieldSection Trailers(int status, AnswerEnd end, ReceiptClosing? closing) =>
        receipt is null || closing is null ? FieldSection.Empty : receipt.Finish(status, end, closing);

    private void BeginHead()
    {
        if (HasHead)
            throw new InvalidOperationException("The answer's head is out already.");
        HasHead = true;
    }

    // framing (i) = 3, before the first; then 102 and a header section that fills the block
    private void WriteProcessing()
    {
        var writer = new ArrayBufferWriter<byte>(EventPadder.BlockSize);
        var framing = hasFraming ? 0 : 1;
        if (!hasFraming)
            writer.Write([(byte)Framing.IndeterminateLengthResponse]);
        Varint.Write(writer, Processing);
        const int Around = 1 + 7 + 2 + 1; // lengths of name and value, the name, the terminator
        var size = EventPadder.BlockSize - framing - Varint.Size((long)Processing) - Around;
        FieldSection.Create([new Field(PaddingField, new string('~', size))]).WriteIndeterminateLength(writer);
        SealContent(writer.WrittenSpan);
        hasFraming = true;
    }
}
