using System.CommandLine;
using ConfidentialChat.Gateway;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary>The data directory of a gateway that is there already: what <c>keys</c> and <c>nodes</c> work on, whether it runs or not.</summary>
internal static class GatewayData
{
    public static readonly Option<DirectoryInfo> Option = CommonOptions.Data("the gateway's database; one that \"up\" made is found too");

    public static readonly Option<string?> Postgres = CommonOptions.Postgres();

    public static readonly Option<bool> Json = new("--json") { Description = "Print JSON." };

    /// <summary>A key made for a gateway that is not there would open nothing.</summary>
    public static Task<GatewayOperator> OpenAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var directory = parsed.GetRequiredValue(Option).FullName;
        return CommonOptions.ReadPostgres(parsed, Postgres) is { } server
            ? GatewayOperator.OpenAsync(directory, progress: Console.Error.WriteLine, postgres: server, cancellation: cancellation)
            : GatewayOperator.OpenAsync(Find(directory), progress: Console.Error.WriteLine, cancellation: cancellation);
    }

    /// <summary>The directory with the database: <c>up</c> keeps the gateway's data one level down.</summary>
    public static string Find(string directory)
    {
        string[] places = [directory, Path.Combine(directory, "gateway")];
        return Array.Find(places, candidate => File.Exists(Path.Combine(candidate, "gateway.db")))
            ?? throw new CommandException($"there is no gateway in {directory}.", "start it once, or name its directory with --data", ExitCode.Usage);
    }

    /// <summary>UTF-16 units: sixty models.</summary>
    private const int MaxCell = 2000;

    /// <summary>Rows under headings, each column as wide as its widest cell. What is in a cell is its line's.</summary>
    public static void PrintTable(IReadOnlyList<string> headings, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        rows = [.. rows.Select(row => (IReadOnlyList<string>)[.. row.Select(cell => ForeignText.Line(cell, MaxCell))])];
        var widths = headings.Select((heading, column) => rows.Select(row => row[column].Length).Append(heading.Length).Max()).ToList();
        foreach (var row in rows.Prepend(headings))
            Console.Out.WriteLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
    }

    /// <summary>A time as people and programs read it.</summary>
    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);
}
