// spec/receipts.md sections 3 and 5, the client's side.
using ConfidentialChat.Attestation;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Receipts;

/// <summary>Says that an answer has to bring a receipt, and who is told of it.</summary>
/// <param name="OnReceipt">Null where nobody is.</param>
internal sealed record ReceiptDemand(Action<VerifiedReceipt>? OnReceipt)
{
    /// <summary>What a call demands; null where it demands none.</summary>
    public static ReceiptDemand? Of(ConfidentialChatOptions options, CallOptions? call) =>
        call?.RequireReceipt ?? (options.RequireReceipts || call?.OnReceipt is not null) ? new ReceiptDemand(call?.OnReceipt) : null;
}

/// <summary>The receipt that one attempt waits for, with the exact bytes of its request.</summary>
/// <param name="node">To which it was sealed.</param>
/// <param name="encapsulation">With which the sealed request begins.</param>
/// <param name="request">Without its padding.</param>
/// <param name="price">That was listed; null where none was seen.</param>
internal sealed class AwaitedReceipt(VerifiedNode node, byte[] encapsulation, byte[] request, UnitPrices? price)
{
    /// <summary>Verifies it.</summary>
    /// <param name="reader">At the end of the answer, or of what came of it.</param>
    /// <param name="isFinal">Whether the final chunk has come: then the answer is to be complete, else cut off.</param>
    /// <exception cref="ReceiptException">It is absent, or refused.</exception>
    public VerifiedReceipt Take(SealedAnswerReader reader, bool isFinal)
    {
        var findings = node.Policy.Begin(node.Verdict.At);
        VerifiedReceipt? receipt = null;
        if (!ReceiptTrailers.TryRead(reader.Trailers, out var bytes, out var salts))
            findings.Fail(ReceiptFactors.Format, RejectionCode.Missing, "a receipt behind the answer", "none");
        else if (reader.CopyMessage() is not { } answer)
            findings.Fail(ReceiptFactors.Answer, RejectionCode.TooLarge, $"an answer of at most {ReceiptFile.MaxPartSize} bytes", "a larger one");
        else
            receipt = Verify(new ReceiptParts(bytes, salts, encapsulation, request, answer), isFinal, findings);
        if (receipt is null)
            throw new ReceiptException([.. findings.ToVerdict().Failures]); // an exception of its own: the answer itself is authentic
        return receipt;
    }

    private VerifiedReceipt? Verify(ReceiptParts parts, bool isFinal, Findings findings)
    {
        if (ReceiptCheck.Read(parts.Receipt.Span, findings) is not { } signed)
            return null;
        ReceiptCheck.Check(signed, parts, node.Statement, node.Policy.ClockSkew, findings);
        if (isFinal != (signed.Receipt.End == AnswerEnd.Complete))
            findings.Fail(ReceiptFactors.FinalChunk, RejectionCode.Mismatch, isFinal ? "a complete answer" : "one that was cut off", "the other");
        var own = findings.ToVerdict();
        if (!own.IsAccepted)
            return null;
        var all = node.Policy.Begin(node.Verdict.At);
        ReceiptCheck.Add(node.Verdict, all);
        ReceiptCheck.Add(own, all);
        var file = new ReceiptFile(parts, node.Evidence, [.. node.Documents.Documents]);
        return new VerifiedReceipt(signed.Receipt, node.Statement, node.Tee, all.ToVerdict(), file) { Price = price };
    }
}
