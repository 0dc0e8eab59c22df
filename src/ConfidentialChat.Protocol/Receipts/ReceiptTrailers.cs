// spec/receipts.md section 3.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;

namespace ConfidentialChat.Protocol.Receipts;

/// <summary>The trailer fields that bring a receipt: byte sequences of RFC 9651 section 3.3.5, in one spelling.</summary>
public static class ReceiptTrailers
{
    private const string ReceiptField = "confidential-receipt";
    private const string SaltsField = "confidential-receipt-salts";
    private const int MaxLength = (CoseSign1.MaxSize + 2) / 3 * 4;

    public static FieldSection Write(ReadOnlySpan<byte> receipt, ReceiptSalts salts)
    {
        ArgumentNullException.ThrowIfNull(salts);
        return [new Field(ReceiptField, Spell(receipt)), new Field(SaltsField, Spell(salts.Span))];
    }

    /// <summary>What is there of a receipt, unread.</summary>
    /// <param name="trailers">Null where none came.</param>
    /// <param name="receipt">The container's bytes.</param>
    /// <param name="salts">Both.</param>
    /// <returns>False where a field is absent, stands twice or is no such byte sequence.</returns>
    public static bool TryRead(FieldSection? trailers, [NotNullWhen(true)] out byte[]? receipt, [NotNullWhen(true)] out ReceiptSalts? salts)
    {
        receipt = null;
        salts = null;
        if (trailers is null || !trailers.TryGetSingle(ReceiptField, out var receiptText) || !trailers.TryGetSingle(SaltsField, out var saltsText)
            || !TryRead(receiptText, out receipt) || !TryRead(saltsText, out var both) || both.Length != ReceiptSalts.Size)
            return false;
        salts = new ReceiptSalts(both);
        return true;
    }

    private static string Spell(ReadOnlySpan<byte> bytes) => $":{Convert.ToBase64String(bytes)}:";

    private static bool TryRead(string text, [NotNullWhen(true)] out byte[]? bytes)
    {
        bytes = null;
        return text is [':', .., ':'] && text.Length - 2 <= MaxLength && StrictBase64.TryDecode(text[1..^1], out bytes);
    }
}
