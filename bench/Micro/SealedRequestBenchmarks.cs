using System.Buffers;
using BenchmarkDotNet.Attributes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Bench.Micro;

/// <summary>What one request of envelope v1 costs at each end: sealed and written, read and opened, and the bare agreement in both.</summary>
[MemoryDiagnoser]
[MinColumn]
public class SealedRequestBenchmarks
{
    private readonly ArrayBufferWriter<byte> output = new();
    private readonly X25519PrivateKey nodeKey = X25519PrivateKey.Generate();
    private readonly Blake2bTagger tagger = new();
    private readonly byte[] sharedSecret = new byte[X25519PrivateKey.SharedSecretSize];
    private byte[] json = null!;
    private byte[] envelope = null!;

    [Params(512, 65_536)]
    public int Size { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        json = new byte[Size];
        Seal();
        envelope = output.WrittenMemory.ToArray();
    }

    [Benchmark]
    public int Seal()
    {
        output.ResetWrittenCount();
        var outer = new OuterFields { NodeKey = nodeKey.PublicKey, Model = "tiny", Stack = new StackId(7), Stream = false };
        if (!SealedRequest.TrySeal(json, outer, out var request))
            throw new InvalidOperationException("The node's key is of low order.");
        using (request)
            request.Envelope.Write(output);
        return output.WrittenCount;
    }

    [Benchmark]
    public int Open()
    {
        if (!EnvelopeRequest.TryParse(envelope, out var request, out _) || !OpenedRequest.TryOpen(request, nodeKey, tagger, out var opened, out _))
            throw new InvalidOperationException("The request does not open.");
        using (opened)
            return opened.Plaintext.Length;
    }

    [Benchmark(Baseline = true)]
    public bool Agree() => nodeKey.TryAgree(nodeKey.PublicKey, sharedSecret);
}
