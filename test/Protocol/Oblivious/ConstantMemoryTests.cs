using System.IO.Pipelines;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;

namespace ConfidentialChat.Protocol.Tests.Oblivious;

/// <summary>Memory does not grow with the message: a chunk costs none, whichever side it is on.</summary>
public sealed class ConstantMemoryTests
{
    [Theory]
    [InlineData(AeadId.Aes256Gcm)]
    [InlineData(AeadId.ChaCha20Poly1305)]
    [InlineData(AeadId.Aes128Gcm)]
    public async Task A_request_of_1_MiB_is_sealed_and_opened_in_constant_memory(AeadId aead)
    {
        using var parties = new Parties(KemId.MlKem768X25519, aead);
        var chunk = new byte[ChunkLimits.ChunkSize];
        await MeasureAsync(16); // what the first use costs, once
        var allocated = await MeasureAsync(1 << 20);
        TestContext.Current.TestOutputHelper?.WriteLine($"{aead}: {allocated} bytes for a request of 1 MiB, sealed and opened");
        allocated.ShouldBeLessThan(150_000);

        // Sealer and opener take turns on one thread, so that its counter counts all of both.
        async Task<long> MeasureAsync(int size)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            var pipe = NewPipe();
            using var sealer = ChunkedRequestSealer.Start(parties.Key.Configuration, parties.Suite, pipe.Writer);
            using var opener = new ChunkedRequestOpener(parties.Ring, pipe.Reader, ChunkLimits.Request);
            var opened = 0;
            for (; size > chunk.Length; size -= chunk.Length)
            {
                sealer.Seal(chunk);
                opened += await PassAsync(pipe.Writer, opener, OpenOutcome.Opened);
            }

            sealer.SealFinal(chunk.AsSpan(0, size));
            await pipe.Writer.FlushAsync();
            await pipe.Writer.CompleteAsync();
            (await opener.ReadAsync()).Outcome.ShouldBe(OpenOutcome.Final);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Theory]
    [InlineData(AeadId.Aes256Gcm)]
    [InlineData(AeadId.ChaCha20Poly1305)]
    [InlineData(AeadId.Aes128Gcm)]
    public async Task An_answer_of_10_000_chunks_is_sealed_and_opened_in_constant_memory(AeadId aead)
    {
        using var parties = new Parties(KemId.MlKem768X25519, aead);
        var chunk = new byte[512];
        await MeasureAsync(10);
        long few = await MeasureAsync(100), many = await MeasureAsync(10_000);
        TestContext.Current.TestOutputHelper?.WriteLine($"{aead}: {few} bytes for 100 chunks, {many} for 10,000, sealed and opened");
        many.ShouldBeLessThan(150_000);
        (many - few).ShouldBeLessThan(20_000);

        async Task<long> MeasureAsync(int chunks)
        {
            var request = NewPipe();
            using var sealer = ChunkedRequestSealer.Start(parties.Key.Configuration, parties.Suite, request.Writer);
            sealer.SealFinal([]);
            await request.Writer.CompleteAsync();
            using var opener = new ChunkedRequestOpener(parties.Ring, request.Reader, ChunkLimits.Request);
            (await opener.ReadAsync()).Outcome.ShouldBe(OpenOutcome.Final);

            var before = GC.GetAllocatedBytesForCurrentThread();
            var pipe = NewPipe();
            using var answer = opener.SealAnswer(pipe.Writer);
            using var answerOpener = sealer.OpenAnswer(pipe.Reader, ChunkLimits.Answer);
            for (var i = 1; i < chunks; i++)
            {
                answer.Seal(chunk);
                await PassAsync(pipe.Writer, answerOpener, OpenOutcome.Opened);
            }

            answer.SealFinal(chunk);
            await pipe.Writer.CompleteAsync();
            (await answerOpener.ReadAsync()).Outcome.ShouldBe(OpenOutcome.Final);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    private static async ValueTask<int> PassAsync(PipeWriter output, ChunkOpener opener, OpenOutcome expected)
    {
        await output.FlushAsync();
        var chunk = await opener.ReadAsync();
        if (chunk.Outcome != expected)
            Assert.Fail($"{chunk.Outcome}");
        return chunk.Plaintext.Length;
    }

    private static Pipe NewPipe() => new(new PipeOptions(readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline));
}
