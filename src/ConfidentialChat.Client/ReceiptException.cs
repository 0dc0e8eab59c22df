// spec/receipts.md section 5.
using System.Globalization;
using System.Text;
using ConfidentialChat.Attestation;

namespace ConfidentialChat.Client;

/// <summary>
/// An answer is whole and authentic, but without the receipt that was demanded of it, or with one that is refused. Its text names checks, and
/// never content.
/// </summary>
public sealed class ReceiptException : ConfidentialChatException
{
    internal ReceiptException(IReadOnlyList<Factor> refused)
        : base(Describe(refused)) => Refused = refused;

    /// <summary>The checks that refuse it, at least one; short printable ASCII, without content.</summary>
    public IReadOnlyList<Factor> Refused { get; }

    private static string Describe(IReadOnlyList<Factor> refused)
    {
        var text = new StringBuilder("The answer is authentic, but its receipt is not accepted.");
        foreach (var factor in refused)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n{factor.Name} {factor.Code?.Spell()}: ")
                .Append(CultureInfo.InvariantCulture, $"expected {factor.Expected}; found {factor.Found}");
        }

        return text.Append("\nhint: nodes without receipts are older than this SDK; a receipt that is refused is the node's own fault.").ToString();
    }
}
