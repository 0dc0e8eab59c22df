// spec/gateway.md section 10.
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>A price's row: what a reservation or a stack names, whatever is set later.</summary>
internal readonly record struct PriceId(long Value)
{
    public override string ToString() => Value.ToString();
}

/// <summary>What units of one model cost on one node.</summary>
internal sealed record Price(PriceId Id, UnitPrices Units);
