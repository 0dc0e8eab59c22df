// spec/envelope-v1.md section 10; spec/envelope-v2.md section 11; spec/gateway.md section 3.
using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Keys;

/// <summary>The private halves of one key set, with the replay memories that live and die with them.</summary>
internal sealed class NodeKeySet : IDisposable
{
    private static readonly SymmetricSuite[] Suites = [SymmetricSuite.Default, new(KdfId.HkdfSha256, AeadId.ChaCha20Poly1305)];

    private readonly X25519PrivateKey x25519 = X25519PrivateKey.Generate();
    private readonly Blake2bTagger tagger = new();
    private readonly ObliviousKey? ohttp;
    private readonly ObliviousKeyRing? sealedRing;
    private readonly KeySet announced;
    private readonly Lock gate = new();
    private int openings;
    private bool erased;

    /// <summary>A set for envelope v1 alone, of a node that has no evidence.</summary>
    public NodeKeySet(NodeOptions options, TimeProvider time)
        : this(options, time, null, null)
    {
    }

    /// <summary>A set for both envelopes, which is to be attested.</summary>
    /// <param name="options">How much the replay memories hold.</param>
    /// <param name="time">The clock.</param>
    /// <param name="keyId">Of no other set that is held.</param>
    /// <param name="signing">The process's key.</param>
    public NodeKeySet(NodeOptions options, TimeProvider time, byte keyId, Ed25519PublicKey signing)
        : this(options, time, ObliviousKey.Generate(keyId, KemId.MlKem768X25519, Suites), signing)
    {
    }

    private NodeKeySet(NodeOptions options, TimeProvider time, ObliviousKey? ohttp, Ed25519PublicKey? signing)
    {
        this.ohttp = ohttp;
        Replay = new ReplayMemory(options.ReplayCapacity);
        SealedReplay = new SealedReplayMemory(options.ReplayCapacity, time);
        sealedRing = ohttp is null ? null : new ObliviousKeyRing(ohttp);
        announced = new KeySet { X25519 = x25519.PublicKey, Ohttp = Published(), Signing = signing, Expires = default };
        Digest = announced.Digest;
    }

    /// <summary>Names it to the gateway, which names it in relay tokens.</summary>
    public KeySetDigest Digest { get; }

    /// <summary>Requests that are being opened, and keep its private halves.</summary>
    public int Openings
    {
        get
        {
            lock (gate)
                return openings;
        }
    }

    public X25519PublicKey X25519 => x25519.PublicKey;

    /// <summary>Of envelope v1.</summary>
    public ReplayMemory Replay { get; }

    /// <summary>Of envelope v2.</summary>
    public SealedReplayMemory SealedReplay { get; }

    /// <summary>The public halves. Only they have an end, and evidence.</summary>
    public KeySet Announced(DateTimeOffset expires, ReadOnlyMemory<byte>? bundle = null) => announced with { Expires = expires, Bundle = bundle };

    /// <summary>Opens an envelope; UNKNOWN_NODE_KEY once the set is erased.</summary>
    public bool TryOpen(EnvelopeRequest envelope, out OpenedRequest? opened, out Rejection? rejection)
    {
        opened = null;
        rejection = new Rejection(RequestError.UnknownNodeKey);
        if (!TryHold())
            return false;
        try
        {
            return OpenedRequest.TryOpenInPlace(envelope, x25519, tagger, out opened, out rejection);
        }
        finally
        {
            Release();
        }
    }

    /// <summary>Whether it takes sealed requests.</summary>
    public bool IsSealed => sealedRing is not null;

    /// <summary>The key of sealed requests, for as long as it is held; false where there is none, or no more.</summary>
    public bool TryHoldSealed([NotNullWhen(true)] out SealedHold? hold)
    {
        hold = sealedRing is not null && TryHold() ? new SealedHold(this, sealedRing) : null;
        return hold is not null;
    }

    /// <summary>Erases the private halves as soon as no opening uses them.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            if (erased)
                return;
            erased = true;
            openings++;
        }

        Release();
    }

    private ReadOnlyMemory<byte>? Published()
    {
        if (sealedRing is null)
            return null;
        var list = new ArrayBufferWriter<byte>();
        sealedRing.Published.Write(list);
        return list.WrittenMemory;
    }

    private bool TryHold()
    {
        lock (gate)
        {
            if (erased)
                return false;
            openings++;
            return true;
        }
    }

    private void Release()
    {
        bool last;
        lock (gate)
            last = --openings == 0 && erased;
        if (!last)
            return;
        x25519.Dispose();
        tagger.Dispose();
        ohttp?.Dispose();
    }

    /// <summary>Keeps the private key from being erased while a request is being opened.</summary>
    internal sealed class SealedHold(NodeKeySet set, ObliviousKeyRing keys) : IDisposable
    {
        private int released;

        public ObliviousKeyRing Keys => keys;

        public SealedReplayMemory Replay => set.SealedReplay;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref released, 1) == 0)
                set.Release();
        }
    }
}
