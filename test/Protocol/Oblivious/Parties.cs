using System.Buffers;
using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>A node with one key, and a client that seals to it, again and again with the same randomness where a test wants that.</summary>
internal sealed class Parties : IDisposable
{
    private readonly byte[] randomness;

    public Parties(KemId kem = KemId.MlKem768X25519, AeadId aead = AeadId.Aes256Gcm, byte keyId = 7)
    {
        Suite = new(KdfId.HkdfSha256, aead);
        Key = ObliviousKey.Generate(keyId, kem, [Suite]);
        Ring = new ObliviousKeyRing(Key);
        randomness = System.Security.Cryptography.RandomNumberGenerator.GetBytes(kem == KemId.DhkemX25519 ? 32 : 64);
    }

    public SymmetricSuite Suite { get; }

    public ObliviousKey Key { get; }

    public ObliviousKeyRing Ring { get; }

    public int RequestBeginning => 7 + (Key.Configuration.PublicKey.Kem == KemId.DhkemX25519 ? 32 : 1120);

    public int AnswerBeginning => Suite.Aead == AeadId.Aes128Gcm ? 16 : 32;

    /// <summary>A sealed request whose last chunk is the final one. Every request of these parties has the same enc.</summary>
    public byte[] SealRequest(params IReadOnlyList<byte[]> chunks)
    {
        var output = new ArrayBufferWriter<byte>();
        using var sealer = ChunkedRequestSealer.Start(Key.Configuration, Suite, output, randomness);
        Wire.Seal(sealer, chunks);
        return output.WrittenSpan.ToArray();
    }

    public Reading OpenRequest(byte[] request, ChunkLimits? limits = null) => OpenRequest(Wire.Input(request), limits);

    public Reading OpenRequest(PipeReader request, ChunkLimits? limits = null)
    {
        using var opener = new ChunkedRequestOpener(Ring, request, limits ?? ChunkLimits.Request);
        return Wire.Read(opener);
    }

    /// <summary>A sealed answer to the request of these parties.</summary>
    public byte[] SealAnswer(params IReadOnlyList<byte[]> chunks)
    {
        using var opener = new ChunkedRequestOpener(Ring, Wire.Input(SealRequest([])), ChunkLimits.Request);
        Wire.Read(opener).Outcome.ShouldBe(OpenOutcome.Final);
        var output = new ArrayBufferWriter<byte>();
        using var sealer = opener.SealAnswer(output);
        Wire.Seal(sealer, chunks);
        return output.WrittenSpan.ToArray();
    }

    public Reading OpenAnswer(byte[] answer, ChunkLimits? limits = null) => OpenAnswer(Wire.Input(answer), limits);

    public Reading OpenAnswer(PipeReader answer, ChunkLimits? limits = null)
    {
        using var sealer = ChunkedRequestSealer.Start(Key.Configuration, Suite, new ArrayBufferWriter<byte>(), randomness);
        using var opener = sealer.OpenAnswer(answer, limits ?? ChunkLimits.Answer);
        return Wire.Read(opener);
    }

    public void Dispose() => Key.Dispose();
}

/// <summary>What an opener gave until it ended.</summary>
internal sealed record Reading(OpenOutcome Outcome, IReadOnlyList<byte[]> Chunks)
{
    public byte[] Plaintext => [.. Chunks.SelectMany(chunk => chunk)];
}

/// <summary>The small change of chunked messages.</summary>
internal static class Wire
{
    /// <summary>An input that is all there.</summary>
    public static PipeReader Input(ReadOnlyMemory<byte> bytes) => PipeReader.Create(new ReadOnlySequence<byte>(bytes));

    /// <summary>Seals all, the last one as the final chunk; none at all is an empty final chunk.</summary>
    public static void Seal(ChunkSealer sealer, IReadOnlyList<byte[]> chunks)
    {
        foreach (var chunk in chunks.SkipLast(1))
            sealer.Seal(chunk);
        sealer.SealFinal(chunks.Count == 0 ? [] : chunks[^1]);
    }

    public static Reading Read(ChunkOpener opener)
    {
        var chunks = new List<byte[]>();
        while (true)
        {
            var chunk = opener.ReadAsync().AsTask().GetAwaiter().GetResult();
            if (chunk.IsOpened)
                chunks.Add(chunk.Plaintext.ToArray());
            if (chunk.Outcome == OpenOutcome.Opened)
                continue;
            // After its end it repeats itself, without plaintext.
            var again = opener.ReadAsync().AsTask().GetAwaiter().GetResult();
            again.Outcome.ShouldBe(chunk.Outcome);
            again.Plaintext.Length.ShouldBe(0);
            return new Reading(chunk.Outcome, chunks);
        }
    }

    /// <summary>The sealed chunks of a message that our sealer has written, without their lengths.</summary>
    public static List<byte[]> Split(byte[] message, int beginning)
    {
        var (chunks, at) = (new List<byte[]>(), beginning);
        while (true)
        {
            var size = 1 << (message[at] >> 6);
            var length = message[at] & 0x3F;
            for (var i = 1; i < size; i++)
                length = (length << 8) | message[at + i];
            at += size;
            chunks.Add(length == 0 ? message[at..] : message[at..(at + length)]);
            if (length == 0)
                return chunks;
            at += length;
        }
    }

    /// <summary>Puts a message together again; the last chunk behind 0.</summary>
    public static byte[] Join(byte[] beginning, IEnumerable<byte[]> chunks)
    {
        var all = chunks.ToList();
        return [.. beginning, .. all.SkipLast(1).SelectMany(chunk => Frame(chunk)), 0, .. all[^1]];
    }

    /// <summary>A chunk behind its length, in a form of 1, 2, 4 or 8 bytes.</summary>
    public static byte[] Frame(byte[] chunk, int size = 4) => [.. Varint((ulong)chunk.Length, size), .. chunk];

    public static byte[] Varint(ulong value, int size)
    {
        var bytes = new byte[size];
        for (var i = size - 1; i >= 0; i--, value >>= 8)
            bytes[i] = (byte)value;
        bytes[0] |= (byte)(int.Log2(size) << 6);
        return bytes;
    }

    /// <summary>An input that arrives in pieces of the given sizes, over and over.</summary>
    public static PipeReader Pieces(byte[] bytes, params int[] sizes)
    {
        var (first, last, at) = ((Segment?)null, (Segment?)null, 0);
        for (var i = 0; at < bytes.Length; i++)
        {
            var size = Math.Min(sizes[i % sizes.Length], bytes.Length - at);
            var segment = new Segment(bytes.AsMemory(at, size), last);
            first ??= segment;
            last = segment;
            at += size;
        }

        return PipeReader.Create(first is null ? default : new ReadOnlySequence<byte>(first, 0, last!, last!.Memory.Length));
    }

    /// <summary>An input of which each read brings a few bytes, as a slow connection does.</summary>
    public static PipeReader Slow(byte[] bytes, int size) =>
        PipeReader.Create(new MemoryStream(bytes), new StreamPipeReaderOptions(bufferSize: size, minimumReadSize: 1));

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, Segment? before)
        {
            Memory = memory;
            if (before is null)
                return;
            RunningIndex = before.RunningIndex + before.Memory.Length;
            before.Next = this;
        }
    }
}

/// <summary>An input of which every read brings a few bytes more.</summary>
internal sealed class TricklingStream(byte[] bytes, Func<int> size) : Stream
{
    private int at;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override int Read(Span<byte> buffer)
    {
        var taken = Math.Min(Math.Min(size(), buffer.Length), bytes.Length - at);
        bytes.AsSpan(at, taken).CopyTo(buffer);
        at += taken;
        return taken;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(Read(buffer.Span));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
