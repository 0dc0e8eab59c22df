using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace ConfidentialChat.Gateway.State;

/// <summary>The database file, with its schema up to date. Any number of processes may have it open.</summary>
internal sealed class Database
{
    // WAL lets readers go on while one writes. With NORMAL a power loss may cost the last locks and reservations, never their
    // consistency; settlements ask for more (HotStatements.SettleAsync).
    private const string Pragmas = "PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;";

    private readonly string connectionString;
    private readonly DbContextOptions<SqliteGatewayDbContext> options;

    private Database(DataDirectory directory)
    {
        connectionString = new SqliteConnectionStringBuilder { DataSource = directory.DatabasePath, ForeignKeys = true }.ToString();
        options = new DbContextOptionsBuilder<SqliteGatewayDbContext>()
            .UseSqlite(connectionString)
            .AddInterceptors(new PragmasOnOpen())
            .Options;
    }

    public static async Task<Database> OpenAsync(DataDirectory directory, CancellationToken cancel)
    {
        var database = new Database(directory);
        await using var context = database.CreateContext();
        await context.Database.ExecuteSqlRawAsync("PRAGMA journal_mode = WAL;", cancel);

        // Asked first, because migrating takes a lock that a killed process would leave behind.
        if ((await context.Database.GetPendingMigrationsAsync(cancel)).Any())
            await context.Database.MigrateAsync(cancel);
        return database;
    }

    public GatewayDbContext CreateContext() => new SqliteGatewayDbContext(options);

    /// <summary>An open connection for statements by hand; the caller's to dispose of.</summary>
    public DbConnection Connect()
    {
        var connection = new SqliteConnection(connectionString);
        connection.Open();
        Prepare(connection);
        return connection;
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
