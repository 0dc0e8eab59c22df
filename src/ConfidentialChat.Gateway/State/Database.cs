using System.Data.Common;
using System.Reflection;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace ConfidentialChat.Gateway.State;

/// <summary>The database file, with its schema up to date. Any number of processes may have it open.</summary>
internal sealed class Database
{
    // WAL lets readers go on while one writes. With NORMAL a power loss may cost the last locks and reservations, never their
    // consistency; settlements ask for more (Commit.Durably).
    // The log grows while somebody reads for long, which no checkpoint may pass; after that it would keep its size for ever.
    private const string Pragmas =
        "PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;"; // 16 MiB, four times what a checkpoint waits for

    private const string HasHistory = "SELECT 1 FROM sqlite_master WHERE name = '__EFMigrationsHistory'";
    private const string SchemaResource = "ConfidentialChat.Gateway.Schema.sql";

    private readonly string connectionString;
    private readonly Lazy<DbContextOptions<SqliteGatewayDbContext>> options;

    private Database(DataDirectory directory)
    {
        connectionString = new SqliteConnectionStringBuilder { DataSource = directory.DatabasePath, ForeignKeys = true }.ToString();
        options = new(() => new DbContextOptionsBuilder<SqliteGatewayDbContext>()
            .UseSqlite(connectionString)
            .AddInterceptors(new PragmasOnOpen())
            .Options);
    }

    /// <summary>
    /// Makes or updates the tables. EF Core takes long to compare migrations, so it is asked only where one is missing: a fresh
    /// file gets the tables from the script that the migrations make (SchemaTests).
    /// </summary>
    public static async Task<Database> OpenAsync(DataDirectory directory, CancellationToken cancel)
    {
        var database = new Database(directory);
        if (database.IsUpToDate())
            return database;
        await using var context = database.CreateContext();
        await context.Database.MigrateAsync(cancel);
        return database;
    }

    public GatewayDbContext CreateContext() => new SqliteGatewayDbContext(options.Value);

    /// <summary>An open connection for statements by hand; the caller's to dispose of.</summary>
    public SqliteConnection Connect()
    {
        var connection = new SqliteConnection(connectionString);
        connection.Open();
        Prepare(connection);
        return connection;
    }

    // Migrating takes a lock that a killed process would leave behind: that alone is a reason to ask first.
    private bool IsUpToDate()
    {
        using var connection = Connect();
        Run(connection, "PRAGMA journal_mode = WAL");
        if (Run(connection, HasHistory) is null)
        {
            // Another process may be here too: whoever writes first makes all the tables.
            using var transaction = connection.BeginTransaction();
            if (Run(connection, HasHistory, transaction) is null)
                Run(connection, Schema(), transaction);
            transaction.Commit();
        }

        var applied = ((string)Run(connection, "SELECT COALESCE(GROUP_CONCAT(MigrationId), '') FROM __EFMigrationsHistory")!).Split(',');
        return MigrationIds().All(applied.Contains);
    }

    private static object? Run(DbConnection connection, string sql, DbTransaction? transaction = null)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = transaction;
        return command.ExecuteScalar();
    }

    private static IEnumerable<string> MigrationIds() => typeof(Database).Assembly.GetTypes()
        .Where(type => type.IsSubclassOf(typeof(Migration)) && type.GetCustomAttribute<DbContextAttribute>()?.ContextType == typeof(SqliteGatewayDbContext))
        .Select(type => type.GetCustomAttribute<MigrationAttribute>()!.Id);

    private static string Schema()
    {
        using var script = new StreamReader(typeof(Database).Assembly.GetManifestResourceStream(SchemaResource)!);
        return script.ReadToEnd();
    }

    private static void Prepare(DbConnection connection)
    {
        using var command = connection.CreateCommand();
        command.CommandText = Pragmas;
        command.ExecuteNonQuery();
    }

    private sealed class PragmasOnOpen : DbConnectionInterceptor
    {
        public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData) => Prepare(connection);

        public override Task ConnectionOpenedAsync(DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
        {
            Prepare(connection);
            return Task.CompletedTask;
        }
    }
}
