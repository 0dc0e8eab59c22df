// spec/receipts.md sections 2 and 5.
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Receipts;

namespace ConfidentialChat.Client;

/// <summary>
/// What an attested node signed about one request and its answer, held against both. Only a verification makes one. It keeps the exact bytes of
/// request and answer, for <see cref="ToFile"/>, as long as it lives. Immutable.
/// </summary>
/// <remarks>The time is the node's word, and so is what was used: spec/receipts.md section 6 has what a receipt does not prove.</remarks>
public sealed class VerifiedReceipt
{
    private readonly Receipt receipt;
    private readonly ReceiptFile file;

    internal VerifiedReceipt(Receipt receipt, BundleStatement statement, string tee, Verdict verdict, ReceiptFile file)
    {
        this.receipt = receipt;
        this.file = file;
        Statement = statement;
        Tee = tee;
        Verdict = verdict;
    }

    /// <summary>The id under which the gateway knows the request.</summary>
    public RequestId Request => receipt.Request;

    /// <summary>The node's clock at the answer's end, to the second.</summary>
    public DateTimeOffset Time => receipt.Time;

    public string Model => receipt.Model;

    /// <summary>SHA-256 of the weights that the node loaded, lower-case hexadecimal; null of an engine elsewhere.</summary>
    public string? Weights => receipt.Weights is { } digest ? Convert.ToHexStringLower(digest.Span) : null;

    /// <summary>What was used, exactly.</summary>
    public Usage Usage => receipt.Usage;

    /// <summary>The most that could have been used.</summary>
    public ComputeUnits MaxUnits => receipt.MaxUnits;

    /// <summary>The answer's status.</summary>
    public int Status => receipt.Status;

    /// <summary>False where the engine broke off: what came is all that there was.</summary>
    public bool IsComplete => receipt.End == AnswerEnd.Complete;

    /// <summary>To whose keys the request was sealed.</summary>
    public KeySetDigest KeySet => receipt.KeySet;

    /// <summary>What the node states of itself under its evidence.</summary>
    public BundleStatement Statement { get; }

    /// <summary>What protects the node, one of <see cref="CpuType"/>. Simulated evidence protects nothing.</summary>
    public string Tee { get; }

    /// <summary>Every check, of the evidence and of the receipt.</summary>
    public Verdict Verdict { get; }

    /// <summary>
    /// What the model cost on the node by the gateway's list when the request was sealed, nothing where it was free. Null of a receipt from a file,
    /// which has no list.
    /// </summary>
    public UnitPrices? Price { get; internal init; }

    /// <summary>All that verifying it again needs, request and answer included.</summary>
    public ReceiptFile ToFile() => file;

    public override string ToString() => $"receipt of request {Request}";
}

/// <summary>A verdict on a receipt.</summary>
/// <param name="Verdict">The checks of the file, of the evidence and of the receipt.</param>
/// <param name="Receipt">The witness; null where the verdict refuses.</param>
public sealed record ReceiptVerification(Verdict Verdict, VerifiedReceipt? Receipt);
