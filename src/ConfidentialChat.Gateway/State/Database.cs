using System.Data.Common;
using System.Reflection;
using ConfidentialChat.Gateway.State.Sqlite;
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

    /// <summary>As long as busy_timeout says: with its own 30 s ADO.NET would wait a second and a third time.</summary>
    private const int BusySeconds = 10;

    /// <summary>How long a command waits for somebody else who changes the tables.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(BusySeconds);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private const string HasHistory = "SELECT 1 FROM sqlite_master WHERE name = '__EFMigrationsHistory'";
    private const string SchemaResource = "ConfidentialChat.Gateway.Schema.sql";

    private readonly string connectionString;
    private readonly Lazy<DbContextOptions<SqliteGatewayDbContext>> options;

    private Database(DataDirectory directory)
    {
        connectionString = new SqliteConnectionStringBuilder { DataSource = directory.DatabasePath, ForeignKeys = true, DefaultTimeout = BusySeconds }.ToString();
        options = new(() => new DbContextOptionsBuilder<SqliteGatewayDbContext>()
            .UseSqlite(connectionString)
            .AddInterceptors(new PragmasOnOpen())
            .Options);
    }

    /// <summary>
    /// Makes or updates the tables. EF Core takes long to compare migrations, so it is asked only where one is missing: a fresh
    /// file gets the tables from the script that the migrations make (SchemaTests).
    /// </summary>
    /// <param name="directory">Where the file is.</param>
    /// <param name="isOccupied">
    /// Whether the caller occupies the directory. Else it is occupied here for as long as tables are changed; beside a gateway that serves
    /// none are.
    /// </param>
    /// <param name="cancel">Gives up.</param>
    /// <exception cref="GatewayStateException">The file cannot be used, or a gateway serves it whose tables are older.</exception>
    public static async Task<Database> OpenAsync(DataDirectory directory, bool isOccupied, CancellationToken cancel)
    {
        var database = new Database(directory);
        var started = Environment.TickCount64;
        while (!Translated(database.IsUpToDate))
        {
            using var occupation = isOccupied ? null : directory.TryOccupy();
            if (isOccupied || occupation is not null)
            {
                await database.MigrateAsync(cancel);
                return database;
            }

            if (Environment.TickCount64 - started > Patience.TotalMilliseconds)
                throw new GatewayStateException(StateFault.OtherVersion);
            await Task.Delay(Look, cancel); // whoever has it may be bringing the tables up to date
        }

        return database;
    }

    public GatewayDbContext CreateContext() => new SqliteGatewayDbContext(options.Value);

    /// <summary>Runs statements by hand over a connection.</summary>
    /// <exception cref="GatewayStateException">The file cannot be used.</exception>
    public T Use<T>(Func<SqliteConnection, T> statements) => Translated(() =>
    {
        using var connection = Connect();
        return statements(connection);
    });

    /// <summary>Reads rows.</summary>
    /// <exception cref="GatewayStateException">The file cannot be used.</exception>
    public async Task<T> QueryAsync<T>(Func<GatewayDbContext, Task<T>> query)
    {
        try
        {
            await using var context = CreateContext();
            return await query(context);
        }
        catch (SqliteException e) when (SqliteFault.Of(e) is not null)
        {
            throw SqliteFault.Of(e)!;
        }
    }

    /// <summary>An open connection for statements by hand; the caller's to dispose of.</summary>
    public SqliteConnection Connect()
    {
        var connection = new SqliteConnection(connectionString);
        connection.Open();
        Prepare(connection);
        return connection;
    }

    // EF Core's own lock is a row, which a process that is killed leaves behind, and which the next one waits for without end. Who is here
    // has the directory's lock, so the row is nobody's.
    private async Task MigrateAsync(CancellationToken cancel)
    {
        await QueryAsync(async context =>
        {
            using (var connection = Connect())
            {
                if (Run(connection, "SELECT 1 FROM sqlite_master WHERE name = '__EFMigrationsLock'") is not null)
                    Run(connection, "DELETE FROM __EFMigrationsLock");
            }

            await context.Database.MigrateAsync(cancel);
            return true;
        });
    }

    private static T Translated<T>(Func<T> use)
    {
        try
        {
            return use();
        }
        catch (SqliteException e) when (SqliteFault.Of(e) is not null)
        {
            throw SqliteFault.Of(e)!;
        }
    }

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
