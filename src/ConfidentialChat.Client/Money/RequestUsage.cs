// spec/gateway.md section 11 rule 3.
using System.Text.Json;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Client.Money;

/// <summary>What became of a request's reservation.</summary>
public enum SettlementState
{
    /// <summary>It runs, or its node has not reported yet.</summary>
    Held,

    /// <summary>It was refused: nothing is charged.</summary>
    Released,

    Reported,

    /// <summary>The report was above the reservation, and is charged only up to it.</summary>
    Capped,

    /// <summary>No report came in time: nothing is charged, unless one comes yet.</summary>
    Unreported,

    /// <summary>The report came after that.</summary>
    Late,
}

/// <summary>One request, by the gateway's word; but for <see cref="Voucher"/>, which its node signed. Immutable.</summary>
public sealed record RequestUsage
{
    public required RequestId Request { get; init; }

    public required string Model { get; init; }

    public required NodeId Node { get; init; }

    public required SettlementState State { get; init; }

    /// <summary>What it may use.</summary>
    public required ComputeUnits Reserved { get; init; }

    /// <summary>What it holds of the balance now.</summary>
    public required MicroDollars Held { get; init; }

    /// <summary>Fixed when it was reserved; null where it was free.</summary>
    public required UnitPrices? Price { get; init; }

    /// <summary>What the node said; null where it has said nothing.</summary>
    public required Usage? Reported { get; init; }

    /// <summary>What is paid; null where nothing is settled.</summary>
    public required Usage? Charged { get; init; }

    /// <summary>What that costs, exactly.</summary>
    public required Cost? Charge { get; init; }

    public required DateTimeOffset? SettledAt { get; init; }

    /// <summary>What the node signed, <see cref="SignedVoucher"/>'s bytes; null where there is nothing, or it is kept no more.</summary>
    public required ReadOnlyMemory<byte>? Voucher { get; init; }

    internal static RequestUsage? Read(ReadOnlyMemory<byte> json) => MoneyReader.Read(json, root =>
    {
        if (!RequestId.TryParse(root.GetProperty("request").GetString(), out var request)
            || !MoneyReader.TryText(root, "model", out var model)
            || StateOf(root.GetProperty("state").GetString()) is not { } state
            || root.GetProperty("reserved").GetInt64() is not (>= 0 and var reserved)
            || !MoneyReader.TryAmount(root, "held", out var held)
            || !MoneyReader.TryOptional(root, "price", PriceOf, out var price)
            || !MoneyReader.TryOptional(root, "reported", UsageOf, out var reported)
            || !MoneyReader.TryOptional(root, "charged", UsageOf, out var charged)
            || !MoneyReader.TryOptional<Cost>(root, "charge", _ => MoneyReader.TryCost(root, out var cost) ? cost : null, out var charge)
            || !MoneyReader.TryOptional<DateTimeOffset>(root, "settled_at", time => time.GetDateTimeOffset(), out var settledAt)
            || !MoneyReader.TryOptional<ReadOnlyMemory<byte>>(root, "voucher", voucher => voucher.GetBytesFromBase64(), out var voucher)
            || voucher?.Length > SignedVoucher.MaxSize)
            return null;
        return new RequestUsage
        {
            Request = request,
            Model = model,
            Node = new NodeId(root.GetProperty("node").GetInt64()),
            State = state,
            Reserved = new ComputeUnits(reserved),
            Held = held,
            Price = price,
            Reported = reported,
            Charged = charged,
            Charge = charge,
            SettledAt = settledAt,
            Voucher = voucher,
        };
    });

    private static Usage? UsageOf(JsonElement value) => MoneyReader.TryUsage(value, out var usage) ? usage : null;

    private static UnitPrices? PriceOf(JsonElement value) => UnitPrices.TryCreate(
        value.GetProperty("prompt").GetInt64(), value.GetProperty("completion").GetInt64(), value.GetProperty("image").GetInt64(), out var prices)
        ? prices
        : null;

    private static SettlementState? StateOf(string? word) => word switch
    {
        "held" => SettlementState.Held,
        "released" => SettlementState.Released,
        "reported" => SettlementState.Reported,
        "capped" => SettlementState.Capped,
        "unreported" => SettlementState.Unreported,
        "late" => SettlementState.Late,
        _ => null,
    };
}
