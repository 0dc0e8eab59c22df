using System.Security.Cryptography;
using BenchmarkDotNet.Attributes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// What a receipt costs a node: the hashes of a request of 2 KB and of an answer of so many events of 512 bytes, and the signature; and what
/// verifying one costs a client. Against the bare signature of as many bytes, which nobody saves.
/// </summary>
[MemoryDiagnoser]
public class ReceiptBenchmarks
{
    private const int BlockSize = 512;

    private readonly byte[] request = RandomNumberGenerator.GetBytes(2048);
    private readonly byte[] encapsulation = RandomNumberGenerator.GetBytes(7 + 1120);
    private readonly byte[] block = RandomNumberGenerator.GetBytes(BlockSize);
    private readonly byte[] weights = RandomNumberGenerator.GetBytes(32);
    private readonly Ed25519PrivateKey signing = Ed25519PrivateKey.Generate(out _);
    private readonly KeySetDigest keySet = new(RandomNumberGenerator.GetBytes(32));
    private readonly RequestId id = new(Guid.NewGuid());
    private byte[] receipt = null!;

    [Params(1, 256)]
    public int Events { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        ReceiptTrailers.TryRead(Make(), out var made, out _);
        receipt = made!;
    }

    [Benchmark]
    public FieldSection Make()
    {
        using var draft = new ReceiptDraft
        {
            KeySet = keySet,
            Request = id,
            Model = "meta-llama/Llama-3.1-8B-Instruct",
            Weights = weights,
            MaxUnits = new ComputeUnits(16_384),
            Encapsulation = Sha256.Hash(encapsulation),
        };
        draft.HashRequest(request);
        for (var i = 0; i < Events; i++)
            draft.Add(block);
        return draft.Finish(200, AnswerEnd.Complete, new ReceiptClosing(new Usage(100, Events), DateTimeOffset.UnixEpoch, signing));
    }

    [Benchmark]
    public bool Verify()
    {
        SignedReceipt.TryParse(receipt, out var signed);
        return signed!.IsSignedBy(signing.PublicKey);
    }

    [Benchmark(Baseline = true)]
    public byte[] BareSignature() => signing.Sign(block);
}
