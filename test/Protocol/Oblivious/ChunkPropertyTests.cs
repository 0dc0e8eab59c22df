using System.Buffers;
using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using CsCheck;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>Whatever the chunking and however the bytes arrive: open of seal is the identity.</summary>
public sealed class ChunkPropertyTests : IDisposable
{
    private static readonly Gen<byte[]> Chunk = Gen.OneOf(
        Gen.Byte.Array[1, 40], Gen.Byte.Array[1, 2_000], Gen.Int[16_300, 16_384].Select(size => new byte[size]));

    private readonly Parties hybrid = new();
    private readonly Parties classic = new(KemId.DhkemX25519, AeadId.Aes128Gcm);

    [Fact]
    public void Open_of_seal_is_the_identity_at_any_chunking_in_any_pieces() =>
        Gen.Select(Chunk.Array[0, 6], Gen.OneOf(Gen.Byte.Array[0, 0], Chunk), Gen.Int[1, 4_000].Array[1, 5], Gen.Bool).Sample(
            (chunks, last, pieces, isAnswer) =>
            {
                byte[][] all = [.. chunks, last];
                var reading = isAnswer
                    ? classic.OpenAnswer(Wire.Pieces(classic.SealAnswer(all), pieces))
                    : hybrid.OpenRequest(Wire.Pieces(hybrid.SealRequest(all), pieces));
                return reading.Outcome == OpenOutcome.Final
                    && reading.Chunks.Count == all.Length
                    && reading.Chunks.Zip(all).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second));
            },
            iter: 300,
            threads: 1);

    [Fact]
    public void Byte_by_byte_from_a_stream_it_opens_alike()
    {
        byte[][] chunks = ["one"u8.ToArray(), new byte[100], []];
        var request = PipeReader.Create(new TricklingStream(hybrid.SealRequest(chunks), () => 1));
        hybrid.OpenRequest(request).Chunks.ShouldBe(chunks);
        var answer = PipeReader.Create(new TricklingStream(hybrid.SealAnswer(chunks), () => 1));
        hybrid.OpenAnswer(answer).Chunks.ShouldBe(chunks);
    }

    [Fact]
    public async Task Through_streams_any_writes_come_out_as_the_same_bytes_in_full_chunks()
    {
        foreach (var size in new[] { 0, 1, 16_383, 16_384, 16_385, 40_000 })
        {
            var text = new byte[size];
            Random.Shared.NextBytes(text);
            using var memory = new MemoryStream();
            var output = PipeWriter.Create(memory, new StreamPipeWriterOptions(leaveOpen: true));
            using (var sealer = ChunkedRequestSealer.Start(hybrid.Key.Configuration, hybrid.Suite, output))
            {
                await using var stream = sealer.AsStream();
                for (var at = 0; at < size;)
                {
                    var taken = Math.Min(Random.Shared.Next(1, 20_000), size - at);
                    await stream.WriteAsync(text.AsMemory(at, taken));
                    at += taken;
                }

                await stream.CompleteAsync();
                stream.CanWrite.ShouldBeFalse();
            }

            var request = memory.ToArray();
            Wire.Split(request, hybrid.RequestBeginning).SkipLast(1).ShouldAllBe(chunk => chunk.Length == 16_400);
            using var opener = new ChunkedRequestOpener(hybrid.Ring, Wire.Input(request), ChunkLimits.Request);
            using var copy = new MemoryStream();
            await opener.AsStream().CopyToAsync(copy);
            copy.ToArray().ShouldBe(text);
        }
    }

    [Fact]
    public async Task A_stream_that_is_torn_down_or_cut_ends_with_an_exception_and_never_with_an_end()
    {
        var output = new ArrayBufferWriter<byte>();
        using var sealer = ChunkedRequestSealer.Start(hybrid.Key.Configuration, hybrid.Suite, output);
        var stream = sealer.AsStream();
        await stream.WriteAsync("text"u8.ToArray());
        await stream.FlushAsync();
        await stream.DisposeAsync();
        sealer.IsFinished.ShouldBeFalse();

        using var opener = new ChunkedRequestOpener(hybrid.Ring, Wire.Input(output.WrittenMemory), ChunkLimits.Request);
        var opened = opener.AsStream();
        var buffer = new byte[3];
        (await opened.ReadAsync(buffer)).ShouldBe(3);
        (await opened.ReadAsync(buffer)).ShouldBe(1);
        for (var again = 0; again < 2; again++)
        {
            var failure = await Should.ThrowAsync<MessageNotOpenedException>(async () => await opened.ReadExactlyAsync(buffer));
            failure.Outcome.ShouldBe(OpenOutcome.Truncated);
        }
    }

    [Fact]
    public void After_the_final_chunk_nothing_is_sealed_and_a_wrong_size_is_the_callers_mistake()
    {
        using var sealer = ChunkedRequestSealer.Start(hybrid.Key.Configuration, hybrid.Suite, new ArrayBufferWriter<byte>());
        Should.Throw<ArgumentException>(() => sealer.Seal([]));
        Should.Throw<ArgumentException>(() => sealer.Seal(new byte[16_385]));
        Should.Throw<ArgumentException>(() => sealer.SealFinal(new byte[16_385]));
        sealer.IsFinished.ShouldBeFalse();
        sealer.SealFinal([]);
        sealer.IsFinished.ShouldBeTrue();
        Should.Throw<InvalidOperationException>(() => sealer.Seal("text"u8));
        Should.Throw<InvalidOperationException>(() => sealer.SealFinal([]));
        Should.Throw<ArgumentOutOfRangeException>(() => ChunkLimits.Request with { MaxChunkSize = 16_383 });
    }

    [Fact]
    public void One_key_opens_many_requests_at_once()
    {
        byte[][] chunks = ["one"u8.ToArray(), new byte[5_000]];
        foreach (var parties in new[] { hybrid, classic })
        {
            var request = parties.SealRequest(chunks);
            Parallel.For(0, 200, _ => parties.OpenRequest(request).Chunks.Count.ShouldBe(2));
        }
    }

    [Fact]
    public async Task A_cancelled_read_leaves_the_opener_where_it_was()
    {
        var pipe = new Pipe();
        var request = hybrid.SealRequest("one"u8.ToArray(), "two"u8.ToArray());
        using var opener = new ChunkedRequestOpener(hybrid.Ring, pipe.Reader, ChunkLimits.Request);
        await pipe.Writer.WriteAsync(request.AsMemory(0, 600));
        using var cancellation = new CancellationTokenSource();
        var read = opener.ReadAsync(cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(async () => await read);
        await pipe.Writer.WriteAsync(request.AsMemory(600));
        await pipe.Writer.CompleteAsync();
        Wire.Read(opener).Chunks.ShouldBe(["one"u8.ToArray(), "two"u8.ToArray()]);
    }

    [Fact]
    public async Task A_fault_of_the_transport_passes_through_and_is_no_end()
    {
        var pipe = new Pipe();
        var request = hybrid.SealRequest("one"u8.ToArray(), "two"u8.ToArray());
        using var opener = new ChunkedRequestOpener(hybrid.Ring, pipe.Reader, ChunkLimits.Request);
        await pipe.Writer.WriteAsync(request.AsMemory(0, request.Length - 3));
        (await opener.ReadAsync()).Outcome.ShouldBe(OpenOutcome.Opened);
        await pipe.Writer.CompleteAsync(new IOException("the line is gone"));
        (await Should.ThrowAsync<IOException>(async () => await opener.ReadAsync())).Message.ShouldBe("the line is gone");
    }

    public void Dispose()
    {
        hybrid.Dispose();
        classic.Dispose();
    }
}
