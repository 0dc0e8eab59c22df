// spec/envelope-v2.md sections 4 and 6, the client's side.
using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Shape;

namespace ConfidentialChat.Protocol.V2;

/// <summary>A call sealed to one key of a node, and what opens its answer. Disposal clears the keys of the request.</summary>
public sealed class SealedCall : IDisposable
{
    private readonly ChunkedRequestSealer sealer;

    private SealedCall(ChunkedRequestSealer sealer, ReadOnlyMemory<byte> body)
    {
        this.sealer = sealer;
        Body = body;
    }

    /// <summary>What is posted, <c>message/ohttp-chunked-req</c>.</summary>
    public ReadOnlyMemory<byte> Body { get; }

    /// <summary><c>hdr ‖ enc</c>, with which <see cref="Body"/> begins: a receipt has its SHA-256.</summary>
    public ReadOnlyMemory<byte> Encapsulation => Body[..sealer.EncapsulationSize];

    /// <summary>Seals a call, padded, in full chunks.</summary>
    /// <exception cref="ArgumentException">The call has something that no message carries, or the key is not offered with the suite.</exception>
    public static SealedCall Seal(InnerCall call, KeyConfiguration key, SymmetricSuite suite)
    {
        ArgumentNullException.ThrowIfNull(call);
        var message = new ArrayBufferWriter<byte>(MessagePadding.PaddedSize(call.Body.Length + 8192)); // grown, it would leave a copy behind
        call.Write(message);
        var made = Seal(message.WrittenSpan, key, suite);
        CryptographicOperations.ZeroMemory(MemoryMarshal.AsMemory(message.WrittenMemory).Span);
        return made;
    }

    /// <summary>Seals a binary message that is written and padded already.</summary>
    /// <inheritdoc cref="Seal(InnerCall, KeyConfiguration, SymmetricSuite)"/>
    public static SealedCall Seal(ReadOnlySpan<byte> message, KeyConfiguration key, SymmetricSuite suite)
    {
        ArgumentNullException.ThrowIfNull(key);
        var rest = message;
        const int LengthAndTag = 4 + 16;
        var output = new ArrayBufferWriter<byte>(rest.Length + 2048 + (((rest.Length / ChunkLimits.ChunkSize) + 1) * LengthAndTag));
        var sealer = ChunkedRequestSealer.Start(key, suite, output);
        for (; rest.Length > ChunkLimits.ChunkSize; rest = rest[ChunkLimits.ChunkSize..])
            sealer.Seal(rest[..ChunkLimits.ChunkSize]);
        sealer.SealFinal(rest);
        return new SealedCall(sealer, output.WrittenMemory);
    }

    /// <summary>Reads the one answer, from an input that stays the caller's.</summary>
    /// <param name="input">The body.</param>
    /// <param name="keptSize">How many bytes of the message are kept for its receipt, at the most; 0 keeps none.</param>
    /// <exception cref="InvalidOperationException">An answer was opened already.</exception>
    public SealedAnswerReader Open(PipeReader input, int keptSize = 0) => new(sealer.OpenAnswer(input, ChunkLimits.Answer), keptSize);

    public void Dispose() => sealer.Dispose();
}

/// <summary>Opens an answer as it comes. What it hands out of an answer that has not ended is unfinished. Not for concurrent use.</summary>
public sealed class SealedAnswerReader : IDisposable
{
    // Fifteen seconds each, and no answer takes hours.
    private static readonly BinaryHttpLimits Limits = new() { MaxInformationalResponses = 1024, MaxContentSize = 1L << 30 };

    private readonly ChunkedAnswerOpener opener;
    private readonly ResponseReader reader = new(Limits);
    private readonly KeptMessage? kept;
    private ReadOnlyMemory<byte> rest;
    private bool isFinal;

    internal SealedAnswerReader(ChunkedAnswerOpener opener, int keptSize)
    {
        this.opener = opener;
        kept = keptSize > 0 ? new KeptMessage(keptSize) : null;
    }

    /// <summary>The trailers, once they are there; null before. Authentic also where the final chunk is missing.</summary>
    public FieldSection? Trailers => reader.Trailers;

    /// <summary>
    /// The exact bytes of the message from its framing to the end of its content, once that is there; copied. Null before, where none are kept,
    /// and where it is larger than what is kept.
    /// </summary>
    public byte[]? CopyMessage() => reader.EndOfContent is { } end ? kept?.Copy(end) : null;

    /// <summary>Status and fields, once they are there.</summary>
    /// <exception cref="MessageNotOpenedException">The answer failed.</exception>
    public async ValueTask<ResponseHead> ReadHeadAsync(CancellationToken cancellation)
    {
        while (reader.Head is null)
            await NextAsync(cancellation);
        return reader.Head;
    }

    /// <summary>Some of the content; empty at its end, when the answer is whole.</summary>
    /// <returns>Valid until the next call.</returns>
    /// <exception cref="MessageNotOpenedException">The answer failed: what was handed out is unfinished.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> ReadContentAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var (part, piece) = await NextAsync(cancellation);
            if (part == MessagePart.Content)
                return piece;
            if (part == MessagePart.End)
                return default;
        }
    }

    public void Dispose()
    {
        opener.Dispose();
        kept?.Dispose();
    }

    private async ValueTask<(MessagePart Part, ReadOnlyMemory<byte> Piece)> NextAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var (part, piece) = Take();
            if (part == MessagePart.Invalid)
                throw new MessageNotOpenedException(OpenOutcome.CannotBeOpened); // the node's own fault, and as good as one that does not open
            if (part != MessagePart.NeedMore)
                return (part, piece);
            var chunk = await opener.ReadAsync(cancellation);
            if (!chunk.IsOpened)
                throw new MessageNotOpenedException(chunk.Outcome);
            (rest, isFinal) = (chunk.Plaintext, chunk.Outcome == OpenOutcome.Final);
            if (reader.EndOfContent is null)
                kept?.Add(rest.Span);
        }
    }

    private (MessagePart Part, ReadOnlyMemory<byte> Piece) Take()
    {
        var input = rest.Span;
        var part = reader.Read(ref input, isFinal, out var piece);
        var taken = rest.Length - input.Length;
        var found = part == MessagePart.Content ? rest.Slice(taken - piece.Length, piece.Length) : default;
        rest = rest[taken..];
        return (part, found);
    }
}

/// <summary>Opened bytes in one piece, up to a size. What grows leaves no copy behind.</summary>
internal sealed class KeptMessage(int maxSize) : IDisposable
{
    private byte[] bytes = new byte[4 << 10];
    private int size;
    private bool isTooLarge;

    public void Add(ReadOnlySpan<byte> more)
    {
        isTooLarge |= more.Length > maxSize - size;
        if (isTooLarge)
            return;
        if (more.Length > bytes.Length - size)
        {
            var larger = new byte[Math.Max(bytes.Length * 2, size + more.Length)];
            bytes.AsSpan(0, size).CopyTo(larger);
            CryptographicOperations.ZeroMemory(bytes);
            bytes = larger;
        }

        more.CopyTo(bytes.AsSpan(size));
        size += more.Length;
    }

    /// <summary>The first bytes, or null where not all were kept.</summary>
    public byte[]? Copy(long length) => isTooLarge ? null : bytes[..(int)length];

    public void Dispose() => CryptographicOperations.ZeroMemory(bytes);
}
