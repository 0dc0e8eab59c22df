using System.Buffers;
using System.IO.Pipelines;
using BenchmarkDotNet.Attributes;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// An answer of 1, or of 256, chunks of 512 bytes: what a whole short answer and a stream of events cost, key derivation
/// included, against raw AES-256-GCM of the same chunks. Divide by the chunks for one chunk.
/// </summary>
[MemoryDiagnoser]
public class AnswerBenchmarks
{
    private const int ChunkSize = 512; // one event, padded

    private readonly ArrayBufferWriter<byte> output = new();
    private readonly byte[] chunk = new byte[ChunkSize];
    private readonly byte[] ciphertext = new byte[ChunkSize + Aes256Gcm.TagSize];
    private readonly Aes256Gcm aes = new(new byte[Aes256Gcm.KeySize]);
    private readonly byte[] response_nonce = new byte[32];
    private byte[] answer = null!;
    private SenderContext context = null!;

    [Params(KemId.MlKem768X25519, KemId.DhkemX25519)]
    public KemId Kem { get; set; }

    [Params(1, 256)]
    public int Chunks { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        using var key = HpkePrivateKey.Generate(Kem);
        context = SenderContext.SetupBase(key.PublicKey, SymmetricSuite.Default, []);
        Seal();
        answer = output.WrittenMemory.ToArray();
    }

    [Benchmark]
    public int Seal()
    {
        output.ResetWrittenCount();
        using var secret = new AnswerSecret(context, context.Enc, MessageForm.Chunked);
        using var sealer = new ChunkedAnswerSealer(secret, response_nonce, output);
        for (var i = 1; i < Chunks; i++)
            sealer.Seal(chunk);
        sealer.SealFinal(chunk);
        return output.WrittenCount;
    }

    [Benchmark]
    public async ValueTask<OpenOutcome> Open()
    {
        using var secret = new AnswerSecret(context, context.Enc, MessageForm.Chunked);
        using var opener = new ChunkedAnswerOpener(secret, PipeReader.Create(new ReadOnlySequence<byte>(answer)), ChunkLimits.Answer);
        OpenOutcome outcome;
        do
            outcome = (await opener.ReadAsync()).Outcome;
        while (outcome == OpenOutcome.Opened);
        return outcome;
    }

    [Benchmark(Baseline = true)]
    public int RawAes256Gcm()
    {
        for (var i = 0; i < Chunks; i++)
            aes.Seal(response_nonce.AsSpan(0, Aes256Gcm.NonceSize), [], chunk, ciphertext);
        return ciphertext.Length;
    }
}
