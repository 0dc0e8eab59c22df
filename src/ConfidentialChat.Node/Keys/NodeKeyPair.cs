// spec/envelope-v1.md section 10.
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Keys;

/// <summary>One node key with the replay memory that lives and dies with it.</summary>
internal sealed class NodeKeyPair(int replayCapacity) : IDisposable
{
    private readonly X25519PrivateKey privateKey = X25519PrivateKey.Generate();
    private readonly Blake2bTagger tagger = new();
    private readonly Lock gate = new();
    private int openings;
    private bool erased;

    public X25519PublicKey PublicKey => privateKey.PublicKey;

    public ReplayMemory Replay { get; } = new(replayCapacity);

    /// <summary>Opens an envelope; UNKNOWN_NODE_KEY once the key is erased.</summary>
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
            return OpenedRequest.TryOpen(envelope, privateKey, tagger, out opened, out rejection);
        }
        finally
        {
            Release();
        }
    }

    /// <summary>Erases the private key as soon as no opening uses it.</summary>
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
        privateKey.Dispose();
        tagger.Dispose();
    }
}
