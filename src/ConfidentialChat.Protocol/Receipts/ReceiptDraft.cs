// spec/receipts.md sections 2 and 3, the node's side.
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Protocol.Receipts;

/// <summary>A receipt in the making: what is known of the request, and the hash of the answer as it goes out. Not for concurrent use.</summary>
public sealed class ReceiptDraft : IDisposable
{
    private readonly ReceiptSalts salts;
    private readonly SaltedHash answer;

    /// <summary>With fresh salts.</summary>
    public ReceiptDraft()
        : this(ReceiptSalts.New())
    {
    }

    /// <summary>With given salts, for vectors.</summary>
    internal ReceiptDraft(ReceiptSalts salts)
    {
        this.salts = salts;
        answer = SaltedHash.OfAnswer(salts);
    }

    public required KeySetDigest KeySet { get; init; }

    public required RequestId Request { get; init; }

    public required string Model { get; init; }

    /// <summary>SHA-256, or null.</summary>
    public required ReadOnlyMemory<byte>? Weights { get; init; }

    public required ComputeUnits MaxUnits { get; init; }

    /// <summary>SHA-256(hdr ‖ enc).</summary>
    public required ReadOnlyMemory<byte> Encapsulation { get; init; }

    /// <summary>The inner request's, by <see cref="HashRequest"/>.</summary>
    public ReadOnlyMemory<byte> RequestHash { get; private set; }

    /// <summary>Takes the request into account, which may be forgotten then.</summary>
    /// <param name="message">Without its padding.</param>
    public void HashRequest(ReadOnlySpan<byte> message) => RequestHash = SaltedHash.OfRequest(salts, message);

    /// <summary>Takes a plaintext of the answer into account, before it is sealed.</summary>
    public void Add(ReadOnlySpan<byte> plaintext) => answer.Add(plaintext);

    /// <summary>The trailers of the answer, whose content has ended. Once.</summary>
    public FieldSection Finish(int status, AnswerEnd end, ReceiptClosing closing)
    {
        ArgumentNullException.ThrowIfNull(closing);
        var receipt = new Receipt
        {
            KeySet = KeySet,
            Request = Request,
            Time = closing.Time,
            Encapsulation = Encapsulation,
            RequestHash = RequestHash,
            AnswerHash = answer.Finish(),
            Status = status,
            Model = Model,
            Weights = Weights,
            MaxUnits = MaxUnits,
            Usage = closing.Usage,
            End = end,
        };
        return ReceiptTrailers.Write(receipt.Sign(closing.Key), salts);
    }

    public void Dispose() => answer.Dispose();
}

/// <summary>What is known at the end of an answer alone.</summary>
/// <param name="Usage">Exactly what was used.</param>
/// <param name="Time">The node's clock.</param>
/// <param name="Key">The <c>signing</c> key; the owner's.</param>
public sealed record ReceiptClosing(Usage Usage, DateTimeOffset Time, Ed25519PrivateKey Key);
