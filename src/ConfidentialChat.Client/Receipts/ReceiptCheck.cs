// spec/receipts.md section 5.
using System.Globalization;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Receipts;

/// <summary>What a receipt is held against: a stranger's bytes, or those of a call that was just made.</summary>
/// <param name="Receipt">The container.</param>
/// <param name="Salts">Of its hashes.</param>
/// <param name="Encapsulation"><c>hdr ‖ enc</c> of the sealed request.</param>
/// <param name="Request">The inner request without its padding.</param>
/// <param name="Answer">The inner answer from its framing to the end of its content.</param>
internal sealed record ReceiptParts(
    ReadOnlyMemory<byte> Receipt, ReceiptSalts Salts, ReadOnlyMemory<byte> Encapsulation, ReadOnlyMemory<byte> Request, ReadOnlyMemory<byte> Answer);

/// <summary>Holds a receipt against its parts and against what the evidence of its node states. Pure.</summary>
internal static class ReceiptCheck
{
    /// <summary>From the end of the keys to the end of the last answer to what was sealed to them.</summary>
    private static readonly TimeSpan LongestAnswer = TimeSpan.FromDays(1);

    private static readonly BinaryHttpLimits AnswerLimits = new() { MaxInformationalResponses = 1024, MaxContentSize = ReceiptFile.MaxPartSize };

    /// <summary>Reads the receipt; step 1.</summary>
    public static SignedReceipt? Read(ReadOnlySpan<byte> bytes, Findings findings)
    {
        var error = SignedReceipt.TryParse(bytes, out var signed);
        findings.Report(
            ReceiptFactors.Format,
            error switch
            {
                CoseError.None => null,
                CoseError.TooLarge => Attestation.Rejection.TooLarge(CoseSign1.MaxSize, bytes.Length),
                CoseError.UnsupportedAlgorithm => new(RejectionCode.Unsupported, "a signature of Ed25519", $"{error}"),
                _ => Attestation.Rejection.Malformed("a receipt", $"{error}"),
            },
            "a receipt", $"{bytes.Length} bytes");
        return signed;
    }

    /// <summary>Steps 3 to 13. What the statement says is believed here: whether it may be, its evidence says.</summary>
    public static void Check(SignedReceipt signed, ReceiptParts parts, BundleStatement statement, TimeSpan skew, Findings findings)
    {
        var receipt = signed.Receipt;

        // 3, 4, 5.
        findings.Check(
            ReceiptFactors.KeySet, receipt.KeySet == new KeySetDigest(statement.Keys.Digest()), RejectionCode.Mismatch, "the key set of the evidence",
            receipt.KeySet == new KeySetDigest(statement.Keys.Digest()) ? "the same" : "another");
        findings.Check(
            ReceiptFactors.Signature, signed.IsSignedBy(new Ed25519PublicKey(statement.Keys.Signing.Span)), RejectionCode.BadSignature,
            "a signature of the evidence's signing key", "one that is checked");
        var (from, until) = (statement.IssuedAt - skew, Later(statement.NotAfter, LongestAnswer));
        findings.Check(
            ReceiptFactors.Time, receipt.Time >= from && receipt.Time <= until, receipt.Time < from ? RejectionCode.NotYetValid : RejectionCode.Expired,
            $"{Shown.Date(from)} to {Shown.Date(until)}", Shown.Date(receipt.Time));

        // 6, 7.
        findings.Check(
            ReceiptFactors.Encapsulation, Sha256.Matches(parts.Encapsulation.Span, receipt.Encapsulation.Span), RejectionCode.Mismatch,
            "the sealed request that was sent", "one that is checked");
        findings.Check(
            ReceiptFactors.Request, SaltedHash.OfRequest(parts.Salts, parts.Request.Span).AsSpan().SequenceEqual(receipt.RequestHash.Span),
            RejectionCode.Mismatch, "the hash of the request", $"{parts.Request.Length} bytes");
        InnerCall.TryRead(parts.Request, out var inner, out _);
        findings.Check(
            ReceiptFactors.RequestId, inner?.Request == receipt.Request, RejectionCode.Mismatch, inner is null ? "a request" : $"{inner.Request}",
            $"{receipt.Request}");

        // 8, 9.
        findings.Check(
            ReceiptFactors.Answer, SaltedHash.OfAnswer(parts.Salts, parts.Answer.Span).AsSpan().SequenceEqual(receipt.AnswerHash.Span),
            RejectionCode.Mismatch, "the hash of the answer", $"{parts.Answer.Length} bytes");
        var status = StatusOf(parts.Answer.Span);
        findings.Check(
            ReceiptFactors.Status, status == receipt.Status, RejectionCode.Mismatch, status is null ? "an answer" : Number(status.Value),
            Number(receipt.Status));

        // 10, 11.
        var stated = statement.Models.FirstOrDefault(model => string.Equals(model.Name, receipt.Model, StringComparison.Ordinal));
        findings.Check(
            ReceiptFactors.Model, stated is not null && string.Equals(inner?.Model, receipt.Model, StringComparison.Ordinal), RejectionCode.Mismatch,
            $"{Shown.Text(inner?.Model)}, one of the evidence's", Shown.Text(receipt.Model));
        var weights = receipt.Weights is { } digest ? Shown.Hex(digest.Span) : null;
        findings.Check(
            ReceiptFactors.Weights, stated is not null && string.Equals(stated.Weights, weights, StringComparison.Ordinal), RejectionCode.Mismatch,
            stated?.Weights ?? "none", weights ?? "none");

        // 12, 13.
        findings.Check(
            ReceiptFactors.Usage, inner?.MaxUnits == receipt.MaxUnits && receipt.Usage.Units.CompareTo(receipt.MaxUnits) <= 0, RejectionCode.Forbidden,
            $"at most {inner?.MaxUnits.ToString() ?? "nothing"} units, as was asked",
            $"{Number(receipt.Usage.PromptTokens)} prompt, {Number(receipt.Usage.CompletionTokens)} completion, {Number(receipt.Usage.Pixels)} pixels"
            + $" of {receipt.MaxUnits}");
        findings.Check(
            ReceiptFactors.End, receipt.End == AnswerEnd.Complete, RejectionCode.Mismatch, "a complete answer",
            receipt.End == AnswerEnd.Complete ? "a complete answer" : "one whose engine broke off");
    }

    /// <summary>The same factors once more: a verdict on more than one thing is one list, and stands for as long as all of it.</summary>
    public static void Add(Verdict verdict, Findings findings)
    {
        foreach (var factor in verdict.Factors)
        {
            if (factor.Outcome == Outcome.Pass)
                findings.Pass(factor.Name, factor.Expected, factor.Found);
            else if (factor.Outcome == Outcome.Skip)
                findings.Skip(factor.Name, factor.Found);
            else
                findings.Fail(factor.Name, factor.Code!.Value, factor.Expected, factor.Found);
        }

        var last = verdict.ValidBefore == DateTimeOffset.MaxValue ? verdict.ValidBefore : verdict.ValidBefore.AddTicks(-1);
        _ = findings.DateFault("the evidence", verdict.ValidFrom, last); // for its dates
    }

    // All of it is content or before it, and ends with the content.
    private static int? StatusOf(ReadOnlySpan<byte> answer)
    {
        var reader = new ResponseReader(AnswerLimits);
        while (true)
        {
            switch (reader.Read(ref answer, isFinal: true, out _))
            {
                case MessagePart.End:
                    return reader.Trailers!.Count == 0 ? reader.Head!.Status : null;
                case MessagePart.Invalid:
                    return null;
            }
        }
    }

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static DateTimeOffset Later(DateTimeOffset date, TimeSpan time) => DateTimeOffset.MaxValue - date > time ? date + time : DateTimeOffset.MaxValue;
}
