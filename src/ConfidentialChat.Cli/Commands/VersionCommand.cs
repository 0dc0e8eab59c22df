using System.CommandLine;
using System.Reflection;
using System.Text.Json;
using ConfidentialChat.Gateway;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat version</c>: which version this is, and beside it a gateway's database.</summary>
internal static class VersionCommand
{
    private const int MaxName = 200; // UTF-16 units: it stands in a file that another version wrote

    private static readonly Option<DirectoryInfo?> Data = new("--data")
    {
        Description = "A gateway's data directory: its database is read and not changed.",
        HelpName = "DIR",
    };
    private static readonly Option<string?> Postgres = new("--postgres")
    {
        Description = $"PostgreSQL server whose database is read and not changed; without a value that of {CommonOptions.PostgresVariable}.",
        HelpName = "CONNECTION",
        Arity = ArgumentArity.ZeroOrOne,
    };
    private static readonly Option<bool> Json = new("--json") { Description = "Print JSON." };

    public static Command Create()
    {
        var command = new Command(
            "version", "Print the version of cchat and of the tables that it makes; with --data or --postgres also of a gateway's database.")
        {
            Data, Postgres, Json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var server = parsed.GetResult(Postgres) is { Implicit: false } ? CommonOptions.ReadPostgres(parsed, Postgres) : null;
            var database = server is not null ? await GatewayOperator.ReadServerTablesAsync(server, cancellation)
                : parsed.GetValue(Data) is { } directory ? GatewayOperator.ReadTables(Path.Combine(GatewayData.Find(directory.FullName), "gateway.db"))
                : null;
            var version = new Versions(
                typeof(VersionCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion,
                GatewayOperator.NewestTables(inServer: server is not null),
                database?.Name,
                database?.Age);
            if (parsed.GetValue(Json))
                Console.Out.WriteLine(JsonSerializer.Serialize(version, CliJson.Readable.Versions));
            else
                Print(version);
            return ExitCode.Success;
        });
        return command;
    }

    private static void Print(Versions version)
    {
        Console.Out.WriteLine($"cchat     {version.Cchat}");
        Console.Out.WriteLine($"tables    {version.Tables}");
        if (version.Age is { } age)
            Console.Out.WriteLine($"database  {ForeignText.Line(version.Database ?? "none", MaxName)} ({Explain(age)})");
    }

    private static string Explain(TablesAge age) => age switch
    {
        TablesAge.Same => "this version's",
        TablesAge.Older => "older: the next start of the gateway brings it up to date, and there is no way back but a copy",
        TablesAge.Later => "of a later version: this one refuses it",
        _ => throw new ArgumentOutOfRangeException(nameof(age)),
    };
}

/// <summary>The line of <c>cchat version --json</c>.</summary>
/// <param name="Cchat">The program's.</param>
/// <param name="Tables">The newest change of tables that it knows.</param>
/// <param name="Database">The newest that was made to the database; null where none is named, or it has no tables yet.</param>
/// <param name="Age">How the database stands to the program; null where none is named.</param>
internal sealed record Versions(string Cchat, string Tables, string? Database, TablesAge? Age);
