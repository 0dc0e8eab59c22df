// spec/gateway.md section 11, the client's side.
using System.Globalization;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Client.Money;

/// <summary>What a comparison looks at.</summary>
public enum UsageFact
{
    /// <summary>Which request it is.</summary>
    Request,

    Model,

    /// <summary>What was reserved, and what the client said that it may use.</summary>
    Reserved,

    /// <summary>That what is shown for a voucher is one.</summary>
    Voucher,

    /// <summary>That the key which the node's evidence binds has signed it.</summary>
    Signature,

    /// <summary>What the voucher says was used, and what the receipt says, rounded alike.</summary>
    Units,

    /// <summary>What the gateway says was reported, and what the voucher says.</summary>
    Reported,

    /// <summary>What is charged, and what was reported and reserved.</summary>
    Charged,

    /// <summary>What it costs, and what the units cost at the price.</summary>
    Charge,

    /// <summary>The price that is charged, and that which was listed when the request was sealed.</summary>
    Price,
}

/// <summary>Where two words on one request differ.</summary>
/// <param name="Fact">In what.</param>
/// <param name="Expected">As the receipt or the list of nodes has it.</param>
/// <param name="Found">As the gateway or its voucher has it.</param>
public sealed record UsageDifference(UsageFact Fact, string Expected, string Found);

/// <summary>What a gateway charges for a request, held against what its node signed for the client. Immutable.</summary>
/// <param name="Usage">The gateway's word.</param>
/// <param name="Differences">What differs; none where all that could be compared agrees.</param>
/// <param name="NotCompared">What could not be: there is no voucher yet or any more, nothing is settled, or no price was seen.</param>
public sealed record UsageComparison(RequestUsage Usage, IReadOnlyList<UsageDifference> Differences, IReadOnlyList<UsageFact> NotCompared)
{
    /// <summary>Whether nothing differs.</summary>
    public bool Agrees => Differences.Count == 0;

    /// <summary>Compares.</summary>
    /// <param name="usage">The gateway's word.</param>
    /// <param name="receipt">The node's, for the client.</param>
    public static UsageComparison Of(RequestUsage usage, VerifiedReceipt receipt)
    {
        ArgumentNullException.ThrowIfNull(usage);
        ArgumentNullException.ThrowIfNull(receipt);
        var found = new Findings();
        found.Check(UsageFact.Request, usage.Request == receipt.Request, $"{receipt.Request}", $"{usage.Request}");
        found.Check(UsageFact.Model, usage.Model == receipt.Model, Name(receipt.Model), Name(usage.Model));
        found.Check(UsageFact.Reserved, usage.Reserved == receipt.MaxUnits, $"{receipt.MaxUnits}", $"{usage.Reserved}");
        CheckVoucher(usage, receipt, found);
        CheckCharge(usage, found);
        if (receipt.Price is not { } seen)
            found.Skip(UsageFact.Price);
        else
            found.Check(UsageFact.Price, usage.Price is not { } charged || charged.IsWithin(seen), $"at most {seen}", $"{usage.Price}");
        return new UsageComparison(usage, found.Differences, found.NotCompared);
    }

    // The node's two words, to the gateway and to the client, and the gateway's of the first.
    private static void CheckVoucher(RequestUsage usage, VerifiedReceipt receipt, Findings found)
    {
        if (usage.Voucher is not { } bytes)
        {
            found.Skip(UsageFact.Voucher, UsageFact.Signature, UsageFact.Units, UsageFact.Reported);
            return;
        }

        var error = SignedVoucher.TryParse(bytes.Span, out var signed);
        found.Check(UsageFact.Voucher, error is CoseError.None, "a voucher", $"{error}");
        if (signed is null)
        {
            found.Skip(UsageFact.Signature, UsageFact.Units, UsageFact.Reported);
            return;
        }

        // Another key set's key is another key: a node that answered holds the one that the request was sealed to.
        var isOfKeySet = signed.KeySet == receipt.KeySet;
        var isSigned = isOfKeySet && signed.IsSignedBy(new Ed25519PublicKey(receipt.Statement.Keys.Signing.Span));
        found.Check(UsageFact.Signature, isSigned, "a signature of the key set of the receipt", isOfKeySet ? "another key's" : "another key set's");
        var voucher = signed.Voucher;
        found.Check(UsageFact.Request, voucher.Request == receipt.Request, $"{receipt.Request}", $"{voucher.Request}");
        found.Check(UsageFact.Model, voucher.Model == receipt.Model, Name(receipt.Model), Name(voucher.Model));
        var rounded = Voucher.Round(receipt.Usage, voucher.Multiple, receipt.MaxUnits);
        found.Check(UsageFact.Units, voucher.Usage == rounded, Units(rounded), Units(voucher.Usage));
        if (usage.Reported is { } reported)
            found.Check(UsageFact.Reported, reported == voucher.Usage, Units(voucher.Usage), Units(reported));
        else
            found.Skip(UsageFact.Reported);
    }

    // The gateway's words among themselves. A late report is paid as far as there is money: less is no difference.
    private static void CheckCharge(RequestUsage usage, Findings found)
    {
        if (usage is not { Charged: { } charged, Charge: { } charge })
        {
            found.Skip(UsageFact.Charged, UsageFact.Charge);
            return;
        }

        var most = (usage.Reported ?? default).CappedAt(usage.Reserved);
        found.Check(UsageFact.Charged, most.Largest(charged) == most, $"at most {Units(most)}", Units(charged));
        var cost = CostOf(usage.Price, charged);
        found.Check(UsageFact.Charge, cost == charge, Money(cost), Money(charge));
    }

    private static Cost? CostOf(UnitPrices? price, Usage usage)
    {
        try
        {
            return (price ?? default).CostOf(usage);
        }
        catch (OverflowException)
        {
            return null; // no amount of money: no charge is that
        }
    }

    private static string Name(string model) => ForeignText.Line(model, ModelNames.MaxLength);

    private static string Units(Usage usage) => string.Create(
        CultureInfo.InvariantCulture, $"{usage.PromptTokens} prompt, {usage.CompletionTokens} completion, {usage.Pixels} pixels");

    private static string Money(Cost? cost) =>
        cost is { } known ? string.Create(CultureInfo.InvariantCulture, $"{known.Whole.ToDollars()}{known.Part:D6} dollars") : "no amount";

    private sealed class Findings
    {
        private readonly List<UsageDifference> differences = [];
        private readonly List<UsageFact> notCompared = [];

        public IReadOnlyList<UsageDifference> Differences => differences;

        public IReadOnlyList<UsageFact> NotCompared => notCompared;

        public void Check(UsageFact fact, bool agrees, string expected, string found)
        {
            if (!agrees)
                differences.Add(new UsageDifference(fact, expected, found));
        }

        public void Skip(params ReadOnlySpan<UsageFact> facts) => notCompared.AddRange(facts);
    }
}
