using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Cli.Commands;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli;

/// <summary>A column of a listing.</summary>
/// <param name="Heading">Above it in a table.</param>
/// <param name="Name">Above it in CSV, as JSON has it; of an amount with its unit.</param>
/// <param name="Value">A text, a number, a time, a day, or nothing.</param>
/// <param name="Shown">In a table; null: the value.</param>
internal sealed record Column<T>(string Heading, string Name, Func<T, object?> Value, Func<T, string>? Shown = null);

/// <summary>What a command lists: a table for people, JSON or CSV for programs.</summary>
internal static class Listing
{
    public static readonly Option<bool> Csv = new("--csv") { Description = "Print CSV (RFC 4180). Amounts are whole micro-dollars, as in JSON." };

    // Full-width ones are read as the others by some.
    private const string FormulaStarts = "=+-@\t\r\uFF1D\uFF0B\uFF0D\uFF20";

    public static void Write<T>(ParseResult parsed, IReadOnlyList<T> entries, JsonTypeInfo<IReadOnlyList<T>> json, params IReadOnlyList<Column<T>> columns)
    {
        if (Takes(parsed, GatewayData.Json) && Takes(parsed, Csv))
            throw new CommandException("one output is printed at a time.", "give --json or --csv", ExitCode.Usage);
        if (Takes(parsed, GatewayData.Json))
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(entries, json));
        }
        else if (Takes(parsed, Csv))
        {
            WriteLine(columns.Select(column => column.Name));
            foreach (var entry in entries)
                WriteLine(columns.Select(column => Cell(column.Value(entry))));
        }
        else
        {
            GatewayData.PrintTable([.. columns.Select(column => column.Heading)], [.. entries.Select(Row)]);
        }

        IReadOnlyList<string> Row(T entry) => [.. columns.Select(column => column.Shown?.Invoke(entry) ?? Word(column.Value(entry), "-"))];
    }

    /// <summary>Dollars of an amount, with its sign and all six places.</summary>
    public static string Dollars(long microDollars)
    {
        var (dollars, rest) = Int128.DivRem(Int128.Abs(microDollars), 1_000_000);
        return string.Create(CultureInfo.InvariantCulture, $"{(microDollars < 0 ? "-" : "")}{dollars}.{(int)rest:D6}");
    }

    /// <summary>
    /// A cell of CSV. A spreadsheet computes a text that looks like a formula, whoever wrote it into a name: it gets an apostrophe, which is what
    /// spreadsheets themselves write for a text. Numbers are numbers, below zero too.
    /// </summary>
    public static string Cell(object? value)
    {
        var text = value is string said ? ForeignText.Line(said, said.Length + 1) : Word(value, "");
        if (value is string && text.TrimStart() is [var first, ..] && FormulaStarts.Contains(first, StringComparison.Ordinal))
            text = "'" + text;
        return text.AsSpan().IndexOfAny(",;\"\r\n") < 0 && text.Trim().Length == text.Length ? text // a semicolon parts cells in some countries
            : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }

    private static bool Takes(ParseResult parsed, Option<bool> option) => parsed.GetResult(option) is not null && parsed.GetValue(option);

    private static void WriteLine(IEnumerable<string> cells)
    {
        Console.Out.Write(string.Join(',', cells));
        Console.Out.Write("\r\n"); // RFC 4180 section 2
    }

    private static string Word(object? value, string none) => value switch
    {
        null => none,
        DateTimeOffset time => GatewayData.Time(time),
        DateOnly day => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString()!,
    };
}
