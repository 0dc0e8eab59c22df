// spec/receipts.md section 2, the node's side.
using System.Collections.Frozen;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Node.Serving;

/// <summary>Begins and closes the receipts of this process. Safe for concurrent use.</summary>
internal sealed class ReceiptDesk(KeyRing ring, IInferenceBackend engine, TimeProvider time)
{
    // As the bundle states them: of the files that were loaded when the process began.
    private readonly FrozenDictionary<string, byte[]> weights = engine.Description.Weights.ToFrozenDictionary(
        model => model.Key, model => Convert.FromHexString(model.Value), StringComparer.Ordinal);

    /// <summary>A receipt for a request that fits its token.</summary>
    /// <param name="token">What the gateway said of it.</param>
    /// <param name="inner">As it was read.</param>
    /// <param name="encapsulation">With which it began.</param>
    public ReceiptDraft Begin(RelayToken token, InnerCall inner, ReadOnlySpan<byte> encapsulation)
    {
        var draft = new ReceiptDraft
        {
            KeySet = token.KeySet,
            Request = token.Request,
            Model = inner.Model,
            Weights = weights.TryGetValue(inner.Model, out var digest) ? (ReadOnlyMemory<byte>?)digest : null,
            MaxUnits = token.Units,
            Encapsulation = Sha256.Hash(encapsulation),
        };
        draft.HashRequest(inner.Message.Span);
        return draft;
    }

    /// <summary>What the end of an answer adds: a ring of sealed requests has a key that signs.</summary>
    public ReceiptClosing Close(Usage usage) => new(usage, time.GetUtcNow(), ring.Signing!);
}
