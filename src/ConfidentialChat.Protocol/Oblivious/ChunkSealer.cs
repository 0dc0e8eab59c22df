// spec/oblivious-v2.md sections 6 and 7: the framing, the sender's side.
using System.Buffers;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Oblivious;

/// <summary>
/// Seals a message chunk by chunk into an output, which the caller flushes and completes. Disposed of before its final
/// chunk, it leaves a message that every opener finds truncated. Not for concurrent use.
/// </summary>
public abstract class ChunkSealer : IDisposable
{
    private readonly SequencedAead messages;

    private protected ChunkSealer(SequencedAead messages, IBufferWriter<byte> output)
    {
        this.messages = messages;
        Output = output;
    }

    /// <summary>Whether the final chunk was sealed.</summary>
    public bool IsFinished { get; private set; }

    internal IBufferWriter<byte> Output { get; }

    /// <summary>Seals one chunk that is not the last.</summary>
    /// <exception cref="ArgumentException">It is empty or above <see cref="ChunkLimits.ChunkSize"/>.</exception>
    /// <exception cref="InvalidOperationException">The message is finished.</exception>
    public void Seal(ReadOnlySpan<byte> chunk)
    {
        if (chunk.IsEmpty)
            throw new ArgumentException("Only the final chunk may be empty.", nameof(chunk));
        // chunk = varint(len(sealed)) ‖ sealed, aad = ""
        Write([], chunk, chunk.Length + IAead.TagSize);
    }

    /// <summary>Seals the last chunk, which may be empty.</summary>
    /// <exception cref="ArgumentException">It is above <see cref="ChunkLimits.ChunkSize"/>.</exception>
    /// <exception cref="InvalidOperationException">The message is finished.</exception>
    public void SealFinal(ReadOnlySpan<byte> chunk)
    {
        // final = varint(0) ‖ sealed, aad = "final"
        Write("final"u8, chunk, 0);
        IsFinished = true;
    }

    /// <summary>A stream that cuts what is written to it into full chunks.</summary>
    public SealingStream AsStream() => new(this);

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing) => messages.Dispose();

    private void Write(ReadOnlySpan<byte> aad, ReadOnlySpan<byte> chunk, int length)
    {
        if (IsFinished)
            throw new InvalidOperationException("The final chunk was sealed: nothing comes after it.");
        if (chunk.Length > ChunkLimits.ChunkSize)
            throw new ArgumentException($"A chunk has {ChunkLimits.ChunkSize} bytes at the most.", nameof(chunk));
        var prefix = Varint.Size((long)length);
        var size = prefix + chunk.Length + IAead.TagSize;
        var output = Output.GetSpan(size)[..size];
        Varint.Write(output[..prefix], length);
        messages.Seal(aad, chunk, output[prefix..]);
        Output.Advance(size);
    }
}
