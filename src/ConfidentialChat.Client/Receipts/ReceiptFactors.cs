// spec/receipts.md section 5.
using ConfidentialChat.Attestation;

namespace ConfidentialChat.Client.Receipts;

/// <summary>The checks of a receipt, in the form of the verifier's and in their order; the evidence's come behind the first.</summary>
internal static class ReceiptFactors
{
    public static readonly FactorName File = new("receipt.file", FactorKind.Authenticity);
    public static readonly FactorName Format = new("receipt.format", FactorKind.Authenticity);
    public static readonly FactorName KeySet = new("receipt.key_set", FactorKind.Authenticity);
    public static readonly FactorName Signature = new("receipt.signature", FactorKind.Authenticity);
    public static readonly FactorName Time = new("receipt.time", FactorKind.Authenticity);
    public static readonly FactorName Encapsulation = new("receipt.encapsulation", FactorKind.Authenticity);
    public static readonly FactorName Request = new("receipt.request", FactorKind.Authenticity);
    public static readonly FactorName RequestId = new("receipt.request_id", FactorKind.Authenticity);
    public static readonly FactorName Answer = new("receipt.answer", FactorKind.Authenticity);
    public static readonly FactorName Status = new("receipt.status", FactorKind.Authenticity);
    public static readonly FactorName Model = new("receipt.model", FactorKind.Authenticity);
    public static readonly FactorName Weights = new("receipt.weights", FactorKind.Authenticity);
    public static readonly FactorName Usage = new("receipt.usage", FactorKind.Authenticity);
    public static readonly FactorName FinalChunk = new("receipt.final_chunk", FactorKind.Authenticity);
    public static readonly FactorName End = new("receipt.end", FactorKind.Notice);
}
