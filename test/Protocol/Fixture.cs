using System.Buffers;
using System.Text;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Protocol.Tests;

/// <summary>A client and a node that talk to each other, and the small change of these tests.</summary>
internal sealed class Fixture : IDisposable
{
    public const string Model = "tiny";

    public static readonly byte[] Request = """{"model":"tiny","messages":[{"role":"user","content":"Hello!"}],"stream":false}"""u8.ToArray();

    public X25519PrivateKey NodeKey { get; } = X25519PrivateKey.Generate();

    public Blake2bTagger Tagger { get; } = new();

    public OuterFields Outer => new() { NodeKey = NodeKey.PublicKey, Model = Model, Stack = new StackId(7), Stream = false };

    public SealedRequest Seal(ReadOnlySpan<byte> json)
    {
        SealedRequest.TrySeal(json, Outer, out var request).ShouldBeTrue();
        return request!;
    }

    public OpenedRequest Open(EnvelopeRequest envelope)
    {
        OpenedRequest.TryOpen(envelope, NodeKey, Tagger, out var opened, out var rejection).ShouldBeTrue(rejection?.Message);
        return opened!;
    }

    public Rejection? Refusal(EnvelopeRequest envelope)
    {
        if (!OpenedRequest.TryOpen(envelope, NodeKey, Tagger, out var opened, out var rejection))
            return rejection;
        opened.Dispose();
        return null;
    }

    public static byte[] Event(OpenedRequest opened, ReadOnlySpan<byte> json, bool isLast = false)
    {
        var output = new ArrayBufferWriter<byte>();
        opened.SealEvent(json, isLast, output);
        return output.WrittenSpan.ToArray();
    }

    public static byte[] Whole(OpenedRequest opened, ReadOnlySpan<byte> json, ClearUsage? usage = null)
    {
        var output = new ArrayBufferWriter<byte>();
        opened.SealWhole(json, usage, output);
        return output.WrittenSpan.ToArray();
    }

    public static byte[] Write(EnvelopeRequest envelope)
    {
        var output = new ArrayBufferWriter<byte>();
        envelope.Write(output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>An envelope for what looks at its plain members alone.</summary>
    public static EnvelopeRequest Blank(bool? stream) => new()
    {
        Ciphertext = new byte[16],
        Nonce = new byte[12],
        Salt = new byte[16],
        ClientKey = new(new byte[32]),
        NodeKey = new(new byte[32]),
        PlaintextBodyHash = new byte[32],
        ModelName = Model,
        Stack = new(7),
        Stream = stream,
    };

    public static EnvelopeRequest Parse(ReadOnlySpan<byte> body)
    {
        EnvelopeRequest.TryParse(body, out var envelope, out var rejection).ShouldBeTrue(rejection?.Message);
        return envelope!;
    }

    public static EnvelopeRequest Parse(string body) => Parse(Encoding.UTF8.GetBytes(body));

    public static Rejection Refusal(ReadOnlySpan<byte> body)
    {
        EnvelopeRequest.TryParse(body, out var envelope, out var rejection).ShouldBeFalse();
        envelope.ShouldBeNull();
        return rejection!;
    }

    public static byte[] Flip(ReadOnlySpan<byte> bytes, int bit)
    {
        var flipped = bytes.ToArray();
        flipped[bit / 8] ^= (byte)(1 << (bit % 8));
        return flipped;
    }

    public void Dispose()
    {
        NodeKey.Dispose();
        Tagger.Dispose();
    }
}
