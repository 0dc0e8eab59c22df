// spec/gateway.md section 11.
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Money;

/// <summary>What a user has, by the gateway's word.</summary>
/// <param name="Balance">All of it.</param>
/// <param name="Held">Of that, by requests that run.</param>
public sealed record AccountBalance(MicroDollars Balance, MicroDollars Held)
{
    /// <summary>What further requests may cost.</summary>
    public MicroDollars Available => new(Balance.Value - Held.Value);

    internal static AccountBalance? Read(ReadOnlyMemory<byte> json) => MoneyReader.Read(json, root =>
        MoneyReader.TryAmount(root, "balance", out var balance) && MoneyReader.TryAmount(root, "held", out var held) && held <= balance
            ? new AccountBalance(balance, held)
            : null);
}

/// <summary>What was used on one day of one model.</summary>
/// <param name="Day">In UTC.</param>
/// <param name="Model">Its name.</param>
/// <param name="Requests">How many were settled.</param>
/// <param name="Units">What was charged, in its parts.</param>
/// <param name="Charge">What it cost, exactly.</param>
public sealed record UsageDay(DateOnly Day, string Model, long Requests, Usage Units, Cost Charge);

/// <summary>What was used in a range of days.</summary>
/// <param name="From">The first day, in UTC.</param>
/// <param name="To">The last one.</param>
/// <param name="Days">By day and model.</param>
/// <param name="IsTruncated">Whether there are more than the gateway says at once.</param>
public sealed record UsageRange(DateOnly From, DateOnly To, IReadOnlyList<UsageDay> Days, bool IsTruncated)
{
    internal static UsageRange? Read(ReadOnlyMemory<byte> json) => MoneyReader.Read(json, root =>
    {
        var days = new List<UsageDay>();
        foreach (var line in root.GetProperty("data").EnumerateArray())
        {
            if (days.Count == MoneyReader.MaxLines || !MoneyReader.TryText(line, "model", out var model) || !MoneyReader.TryUsage(line, out var units)
                || !MoneyReader.TryCost(line, out var charge) || line.GetProperty("requests").GetInt64() is not (>= 0 and var requests))
                return null;
            days.Add(new UsageDay(MoneyReader.Day(line.GetProperty("day")), model, requests, units, charge));
        }

        return new UsageRange(
            MoneyReader.Day(root.GetProperty("from")), MoneyReader.Day(root.GetProperty("to")), days, root.GetProperty("truncated").GetBoolean());
    });
}
