// spec/gateway.md section 11: what is listed, as the API and the command line both write it. Amounts are micro-dollars.
using System.Text.Json.Serialization;
using ConfidentialChat.Gateway.Metering;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>A piece of a list.</summary>
/// <param name="After">Behind which of its numbers; null: from its beginning.</param>
/// <param name="Limit">1 to <see cref="MaxLimit"/>.</param>
public sealed record Page(long? After = null, int Limit = Page.UsualLimit)
{
    public const int UsualLimit = 100;
    public const int MaxLimit = 1000;
}

/// <summary>What a page has.</summary>
/// <param name="Data">In the list's order.</param>
/// <param name="Next">Behind this number the next page begins; null where this is the last.</param>
public sealed record Listed<T>(IReadOnlyList<T> Data, long? Next);

/// <summary>A user with his money.</summary>
/// <param name="Id">The user's number.</param>
/// <param name="Name">Unique.</param>
/// <param name="CreatedAt">When the user was made.</param>
/// <param name="Balance">The sum of the ledger.</param>
/// <param name="Held">Of the balance, by requests that run.</param>
public sealed record UserEntry(long Id, string Name, DateTimeOffset CreatedAt, long Balance, long Held)
{
    public long Available => Balance - Held;
}

/// <summary>What a user has.</summary>
/// <param name="Balance">The sum of the ledger.</param>
/// <param name="Held">Of the balance, by requests that run.</param>
public sealed record FundsEntry(long Balance, long Held)
{
    public long Available => Balance - Held;
}

/// <summary>A user's money after a deposit or a correction.</summary>
/// <param name="Balance">The sum of the ledger.</param>
/// <param name="Held">Of the balance, by requests that run.</param>
/// <param name="Available">The rest.</param>
/// <param name="Repeated">It was made before, and nothing was changed.</param>
public sealed record MovementEntry(long Balance, long Held, long Available, bool Repeated);

/// <summary>One movement of a user's money.</summary>
/// <param name="Id">Numbers of one ledger rise with time.</param>
/// <param name="CreatedAt">When.</param>
/// <param name="Kind"><c>deposit</c>, <c>purchase</c>, <c>settlement</c>, <c>correction</c> or <c>refund</c>.</param>
/// <param name="Amount">By which the balance moved: below zero what was paid.</param>
/// <param name="Request">Of a settlement and its correction.</param>
/// <param name="Stack">Of a purchase and a refund, with its units.</param>
/// <param name="Units">Bought or given back.</param>
/// <param name="MadeBy">Who; null where the gateway did.</param>
/// <param name="Reference">The payer's.</param>
public sealed record MoneyEntry(
    long Id, DateTimeOffset CreatedAt, string Kind, long Amount, string? Request, long? Stack, long? Units, string? MadeBy, string? Reference);

/// <summary>What a million units of a model cost on a node now.</summary>
public sealed record PriceEntry(long Node, string Model, long Prompt, long Completion, long Image, DateTimeOffset ValidFrom, string SetBy);

/// <summary>An administrative act.</summary>
/// <param name="Id">Numbers rise with time.</param>
/// <param name="CreatedAt">When.</param>
/// <param name="Actor">The public part of an API key, <c>cc_…</c>, or <c>operator</c>.</param>
/// <param name="Act">Such as <c>deposit</c>.</param>
/// <param name="Subject">To what.</param>
/// <param name="Detail">The figures; null where there are none.</param>
public sealed record AuditLine(long Id, DateTimeOffset CreatedAt, string Actor, string Act, string Subject, string? Detail);

/// <summary>Units of each kind.</summary>
public sealed record UnitsEntry(long Prompt, long Completion, long Pixels);

/// <summary>What was charged, by what a <see cref="UsageQuery"/> names; the rest is null.</summary>
/// <param name="Day">In UTC.</param>
/// <param name="Model">Its name.</param>
/// <param name="User">The user's number.</param>
/// <param name="Name">The user's name.</param>
/// <param name="Requests">How many were settled.</param>
/// <param name="Prompt">Tokens.</param>
/// <param name="Completion">Tokens.</param>
/// <param name="Pixels">Of pictures.</param>
/// <param name="Charge">Whole micro-dollars.</param>
/// <param name="Millionths">Of one, beside them.</param>
public sealed record UsageEntry(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] DateOnly? Day,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Model,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? User,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Name,
    long Requests,
    long Prompt,
    long Completion,
    long Pixels,
    long Charge,
    int Millionths);

/// <summary>What was charged in a range of days.</summary>
/// <param name="Data">The lines, in the order of what they are by.</param>
/// <param name="From">The first day.</param>
/// <param name="To">The last one.</param>
/// <param name="Truncated">Whether there would be more lines.</param>
public sealed record UsageList(IReadOnlyList<UsageEntry> Data, DateOnly From, DateOnly To, bool Truncated);

/// <summary>By what usage is summed.</summary>
[Flags]
public enum UsageBy
{
    None = 0,
    Day = 1,
    Model = 2,
    User = 4,
}

/// <summary>Which usage is asked for.</summary>
/// <param name="From">The first day, in UTC.</param>
/// <param name="To">The last one: not before <paramref name="From"/>, and at most <see cref="MaxDays"/> days with it.</param>
public sealed record UsageQuery(DateOnly From, DateOnly To)
{
    /// <summary>Days of one query.</summary>
    public const int MaxDays = 366;

    /// <summary>Days, where none is named.</summary>
    public const int UsualDays = 30;

    /// <summary>Lines of one answer.</summary>
    public const int MaxLines = 10_000;

    public UsageBy By { get; init; } = UsageBy.Day | UsageBy.Model | UsageBy.User;

    /// <summary>The one whose usage it is; null for all.</summary>
    public long? User { get; init; }

    /// <summary>The one model; null for all.</summary>
    public string? Model { get; init; }

    /// <summary>Where one end is missing it is <see cref="UsualDays"/> days from the other; where both are, the range ends today.</summary>
    /// <returns>Null where the days are no range of at most <see cref="MaxDays"/>.</returns>
    public static UsageQuery? Of(DateOnly? from, DateOnly? to, DateOnly today)
    {
        var last = to ?? (from is { } first ? Moved(first, UsualDays - 1) : today);
        var begin = from ?? Moved(last, 1 - UsualDays);
        return begin <= last && last.DayNumber - begin.DayNumber < MaxDays ? new UsageQuery(begin, last) : null;
    }

    private static DateOnly Moved(DateOnly day, int days) =>
        DateOnly.FromDayNumber(Math.Clamp(day.DayNumber + days, DateOnly.MinValue.DayNumber, DateOnly.MaxValue.DayNumber));
}

/// <summary>One request and what became of it; spec/gateway.md section 11 rule 3.</summary>
internal sealed record RequestEntry(
    string Request,
    string Model,
    long Node,
    string State,
    long Reserved,
    long Held,
    ListedPrice? Price,
    UnitsEntry? Reported,
    UnitsEntry? Charged,
    long? Charge,
    int? Millionths,
    DateTimeOffset? SettledAt,
    string? Voucher);

/// <summary>What became of an administrative act.</summary>
public enum ActOutcome
{
    Done,

    /// <summary>It was done before, and nothing was changed.</summary>
    Repeated,

    /// <summary>What it is about is not there.</summary>
    NotFound,

    /// <summary>The balance would be above the largest amount.</summary>
    TooMuch,

    /// <summary>It would take more than is not held.</summary>
    TooLittle,

    /// <summary>Its reference is another movement's.</summary>
    ReferenceTaken,
}

/// <summary>What became of a deposit or a correction.</summary>
/// <param name="Outcome">What.</param>
/// <param name="Funds">What the user has; null where there is no such user.</param>
public sealed record MovementResult(ActOutcome Outcome, FundsEntry? Funds);
