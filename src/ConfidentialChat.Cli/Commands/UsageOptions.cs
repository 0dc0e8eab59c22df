using System.CommandLine;
using System.Globalization;
using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary>A range of days, and what was used in it: for operators and for users.</summary>
internal static class UsageOptions
{
    public static readonly Option<string?> From = new("--from") { Description = "First day, 2026-07-04 for example.", HelpName = "DAY" };
    public static readonly Option<string?> To = new("--to")
    {
        Description = $"Last day, at most {UsageQuery.MaxDays} days with the first one.",
        HelpName = "DAY",
    };

    public static DateOnly? Day(ParseResult parsed, Option<string?> option) => parsed.GetValue(option) switch
    {
        null => null,
        var text when DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day) => day,
        var text => throw new CommandException($"{option.Name} is no day: {ForeignText.Line(text)}", "write it like 2026-07-04", ExitCode.Usage),
    };

    public static UsageQuery QueryOf(ParseResult parsed) =>
        UsageQuery.Of(Day(parsed, From), Day(parsed, To), DateOnly.FromDateTime(TimeProvider.System.GetUtcNow().UtcDateTime))
        ?? throw new CommandException(
            "these days are no range that is summed.", $"--from is not after --to, and no more than {UsageQuery.MaxDays} days are between them",
            ExitCode.Usage);

    public static void Write(ParseResult parsed, UsageList usage, UsageBy by)
    {
        IEnumerable<Column<UsageEntry>> columns =
        [
            .. by.HasFlag(UsageBy.Day) ? [new Column<UsageEntry>("DAY", "day", line => line.Day)] : Array.Empty<Column<UsageEntry>>(),
            .. by.HasFlag(UsageBy.Model) ? [new Column<UsageEntry>("MODEL", "model", line => line.Model)] : Array.Empty<Column<UsageEntry>>(),
            .. by.HasFlag(UsageBy.User) ? [new Column<UsageEntry>("USER", "name", line => line.Name)] : Array.Empty<Column<UsageEntry>>(),
            new("REQUESTS", "requests", line => line.Requests),
            new("PROMPT", "prompt", line => line.Prompt),
            new("COMPLETION", "completion", line => line.Completion),
            new("PIXELS", "pixels", line => line.Pixels),
            new("CHARGE", "charge_microdollars", line => line.Charge, line => Listing.Dollars(line.Charge)),
        ];
        Listing.Write(parsed, usage.Data, CliJson.Readable.IReadOnlyListUsageEntry, [.. columns]);
        if (usage.Truncated)
            Console.Error.WriteLine("there are more lines: sum fewer days, or by less");
    }
}
