using System.Buffers;
using System.IO.Pipelines;
using BenchmarkDotNet.Attributes;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Bench.Micro;

/// <summary>A request of one prompt: seal and open it, key encapsulation included, against raw AES-256-GCM of the same bytes.</summary>
[MemoryDiagnoser]
public class RequestBenchmarks
{
    private readonly ArrayBufferWriter<byte> output = new();
    private ObliviousKey key = null!;
    private ObliviousKeyRing ring = null!;
    private byte[] text = null!;
    private byte[] request = null!;
    private byte[] ciphertext = null!;
    private Aes256Gcm aes = null!;

    [Params(KemId.MlKem768X25519, KemId.DhkemX25519)]
    public KemId Kem { get; set; }

    [Params(2_048, 1 << 20)]
    public int Size { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        key = ObliviousKey.Generate(1, Kem, [SymmetricSuite.Default]);
        ring = new ObliviousKeyRing(key);
        text = new byte[Size];
        aes = new Aes256Gcm(new byte[Aes256Gcm.KeySize]);
        ciphertext = new byte[Size + Aes256Gcm.TagSize];
        Seal();
        request = output.WrittenMemory.ToArray();
    }

    [Benchmark]
    public int Seal()
    {
        output.ResetWrittenCount();
        using var sealer = ChunkedRequestSealer.Start(key.Configuration, SymmetricSuite.Default, output);
        var rest = text.AsSpan();
        for (; rest.Length > ChunkLimits.ChunkSize; rest = rest[ChunkLimits.ChunkSize..])
            sealer.Seal(rest[..ChunkLimits.ChunkSize]);
        sealer.SealFinal(rest);
        return output.WrittenCount;
    }

    [Benchmark]
    public async ValueTask<OpenOutcome> Open()
    {
        using var opener = new ChunkedRequestOpener(ring, PipeReader.Create(new ReadOnlySequence<byte>(request)), ChunkLimits.Request);
        OpenOutcome outcome;
        do
            outcome = (await opener.ReadAsync()).Outcome;
        while (outcome == OpenOutcome.Opened);
        return outcome;
    }

    [Benchmark(Baseline = true)]
    public int RawAes256Gcm()
    {
        aes.Seal(stackalloc byte[Aes256Gcm.NonceSize], [], text, ciphertext);
        return ciphertext.Length;
    }
}
