// spec/oblivious-v2.md sections 6, 7, 9 and 10: the framing, the receiver's side.
using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>
/// Opens a message chunk by chunk from an input, which stays the caller's. It holds one chunk, whatever the length of the
/// message. Faults of the transport pass through as they are. Not for concurrent use.
/// </summary>
public abstract class ChunkOpener : IDisposable
{
    private readonly PipeReader input;
    private readonly ChunkLimits limits;
    private readonly byte[] gathered; // what is being read: the message's beginning, then one sealed chunk after another
    private readonly byte[] plaintext;

    private Part part = Part.Beginning;
    private int wanted; // bytes of this part, in all
    private int filled; // bytes of it that are in gathered
    private long chunks;
    private long bytes;
    private SequencedAead? messages;
    private OpenOutcome ending;

    private protected ChunkOpener(PipeReader input, ChunkLimits limits, int beginning)
    {
        this.input = input;
        this.limits = limits;
        wanted = beginning;
        gathered = GC.AllocateUninitializedArray<byte>(limits.MaxChunkSize + IAead.TagSize);
        plaintext = GC.AllocateUninitializedArray<byte>(limits.MaxChunkSize);
    }

    private enum Part
    {
        Beginning,
        Length,
        Chunk,
        FinalChunk,
        Ended,
    }

    /// <summary>Whether a chunk has opened: whoever sent the message knew its key.</summary>
    public bool HasOpened { get; private set; }

    /// <summary>
    /// The next chunk, or why there is none. After <see cref="OpenOutcome.Final"/> and after every failure it repeats
    /// that outcome, without plaintext.
    /// </summary>
    public async ValueTask<OpenedChunk> ReadAsync(CancellationToken cancellation = default)
    {
        while (part != Part.Ended)
        {
            var read = await input.ReadAsync(cancellation);
            if (read.IsCanceled)
                throw new OperationCanceledException("The pending read was cancelled.");
            var buffer = read.Buffer;
            var opened = Take(ref buffer, read.IsCompleted);
            input.AdvanceTo(buffer.Start, opened is null ? buffer.End : buffer.Start);
            if (opened is { } chunk)
                return chunk;
        }

        return new OpenedChunk(ending, default);
    }

    /// <summary>A stream of the plaintext, which throws <see cref="MessageNotOpenedException"/> where the message fails.</summary>
    public OpeningStream AsStream() => new(this);

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>
    /// Takes the message's beginning: gives its key, or its failure, or asks for a longer beginning by raising
    /// <paramref name="size"/>.
    /// </summary>
    private protected abstract OpenOutcome Begin(ReadOnlySpan<byte> beginning, ref int size, ref SequencedAead? messages);

    protected virtual void Dispose(bool disposing)
    {
        if (part != Part.Ended)
            (part, ending) = (Part.Ended, OpenOutcome.Truncated);
        messages?.Dispose();
        CryptographicOperations.ZeroMemory(plaintext);
    }

    // Takes what is there off the buffer; gives a chunk or a failure, or null where more bytes are to come.
    private OpenedChunk? Take(ref ReadOnlySequence<byte> buffer, bool ended)
    {
        while (true)
        {
            switch (part)
            {
                case Part.Beginning:
                    if (!Gather(ref buffer))
                        return ended ? Fail(OpenOutcome.Truncated) : null;
                    if (TakeBeginning() is { } failure)
                        return Fail(failure);
                    break;
                case Part.Length:
                    if (!Varint.TryRead(ref buffer, out var length))
                        return ended ? Fail(OpenOutcome.Truncated) : null;
                    if (Announce(length) is { } refusal)
                        return Fail(refusal);
                    break;
                case Part.Chunk:
                    if (!Gather(ref buffer))
                        return ended ? Fail(OpenOutcome.Truncated) : null;
                    return Open([], OpenOutcome.Opened);
                default:
                    if (TakeFinal(ref buffer) is { } tooLarge)
                        return Fail(tooLarge);
                    if (!ended)
                        return null;
                    return filled < IAead.TagSize ? Fail(OpenOutcome.Truncated) : Open("final"u8, OpenOutcome.Final);
            }
        }
    }

    private OpenOutcome? TakeBeginning()
    {
        var outcome = Begin(gathered.AsSpan(0, wanted), ref wanted, ref messages);
        if (outcome != OpenOutcome.Opened)
            return outcome;
        if (messages is not null)
            part = Part.Length;
        return null;
    }

    // A length says what comes next, and is refused before any of it is read.
    private OpenOutcome? Announce(long length)
    {
        filled = 0;
        if (length == 0)
        {
            part = Part.FinalChunk;
            return chunks + 1 > limits.MaxChunks ? OpenOutcome.TooManyChunks : null;
        }

        if (length > gathered.Length)
            return OpenOutcome.ChunkTooLarge;
        // Free work, and an end that is none: an empty chunk before the last is as good as one that does not open.
        if (length <= IAead.TagSize)
            return OpenOutcome.CannotBeOpened;
        if (chunks + 2 > limits.MaxChunks)
            return OpenOutcome.TooManyChunks;
        if (bytes + length > limits.MaxBytes)
            return OpenOutcome.TooLarge;
        (part, wanted) = (Part.Chunk, (int)length);
        return null;
    }

    private bool Gather(ref ReadOnlySequence<byte> buffer)
    {
        var taken = buffer.Slice(0, Math.Min(wanted - filled, buffer.Length));
        taken.CopyTo(gathered.AsSpan(filled));
        filled += (int)taken.Length;
        buffer = buffer.Slice(taken.End);
        return filled == wanted;
    }

    private OpenOutcome? TakeFinal(ref ReadOnlySequence<byte> buffer)
    {
        if (buffer.Length > gathered.Length - filled)
            return OpenOutcome.ChunkTooLarge;
        if (bytes + filled + buffer.Length > limits.MaxBytes)
            return OpenOutcome.TooLarge;
        wanted = filled + (int)buffer.Length;
        Gather(ref buffer);
        return null;
    }

    private OpenedChunk Open(ReadOnlySpan<byte> aad, OpenOutcome outcome)
    {
        var chunk = plaintext.AsMemory(0, filled - IAead.TagSize);
        if (!messages!.TryOpen(aad, gathered.AsSpan(0, filled), chunk.Span))
            return Fail(OpenOutcome.CannotBeOpened);
        HasOpened = true;
        chunks++;
        bytes += filled;
        part = Part.Length;
        if (outcome == OpenOutcome.Final)
            (part, ending) = (Part.Ended, outcome);
        return new OpenedChunk(outcome, chunk);
    }

    private OpenedChunk Fail(OpenOutcome outcome)
    {
        (part, ending) = (Part.Ended, outcome);
        return new OpenedChunk(outcome, default);
    }
}
