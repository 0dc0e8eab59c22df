// spec/envelope-v1.md section 10; spec/gateway.md section 3.
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Keys;

/// <summary>The private halves of one key set, with the replay memory that lives and dies with them. Until nodes have evidence, envelope v1's key stands alone in it.</summary>
internal sealed class NodeKeySet : IDisposable
{
    private readonly X25519PrivateKey x25519 = X25519PrivateKey.Generate();
    private readonly Blake2bTagger tagger = new();
    private readonly Lock gate = new();
    private int openings;
    private bool erased;

    public NodeKeySet(int replayCapacity)
    {
        Replay = new ReplayMemory(replayCapacity);
        Digest = Announced(default).Digest;
    }

    /// <summary>Names it to the gateway, which names it in relay tokens.</summary>
    public KeySetDigest Digest { get; }

    public X25519PublicKey X25519 => x25519.PublicKey;

    public ReplayMemory Replay { get; }

    /// <summary>The public halves. Only they have an end: it is brought forward when the set retires.</summary>
    public KeySet Announced(DateTimeOffset expires) => new() { X25519 = X25519, Expires = expires };

    /// <summary>Opens an envelope; UNKNOWN_NODE_KEY once the set is erased.</summary>
    public bool TryOpen(EnvelopeRequest envelope, out OpenedRequest? opened, out Rejection? rejection)
    {
        opened = null;
        rejection = new Rejection(RequestError.UnknownNodeKey);
        lock (gate)
        {
            if (erased)
                return false;
            openings++;
        }

        try
        {
            return OpenedRequest.TryOpenInPlace(envelope, x25519, tagger, out opened, out rejection);
        }
        finally
        {
            Release();
        }
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

    private void Release()
    {
        bool last;
        lock (gate)
            last = --openings == 0 && erased;
        if (!last)
            return;
        x25519.Dispose();
        tagger.Dispose();
    }
}
