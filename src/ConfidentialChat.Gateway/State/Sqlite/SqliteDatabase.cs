using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

/// <summary>The database file, with its schema up to date. Any number of processes may have it open.</summary>
internal sealed class SqliteDatabase : Database
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

    /// <summary>Before a word is said about it.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(2);

    private const string HasHistory = "SELECT 1 FROM sqlite_master WHERE name = '__EFMigrationsHistory'";
    private const string HasOnlyOthers = "SELECT SUM(name = '__EFMigrationsHistory') = 0 AND SUM(SUBSTR(name, 1, 4) <> '__EF') > 0 FROM sqlite_master";
    private const string KeepLog = "PRAGMA journal_mode = WAL";
    private const string HasAll = """
        SELECT COUNT(*) = 15 FROM sqlite_master WHERE type = 'table' AND name IN
        ('users', 'api_keys', 'enrolment_tokens', 'nodes', 'node_models', 'node_key_sets', 'node_signing_keys', 'stacks', 'locks', 'reservations',
         'settlements', 'vouchers', 'prices', 'ledger', 'audit')
        """;
    private const string SchemaResource = "ConfidentialChat.Gateway.Schema.sql";

    private static IReadOnlyList<string> Known => MigrationIds(Script(SchemaResource));

    private readonly string path;
    private readonly string connectionString;
    private volatile Action<string>? progress;
    private readonly Lazy<DbContextOptions<SqliteGatewayDbContext>> options;

    private SqliteDatabase(DataDirectory directory, Action<string>? progress)
    {
        this.progress = progress;
        path = directory.DatabasePath;
        connectionString = new SqliteConnectionStringBuilder { DataSource = path, ForeignKeys = true, DefaultTimeout = BusySeconds }.ToString();
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
    /// <param name="progress">Hears a line for people where something takes longer than a moment.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="GatewayStateException">The file cannot be used, is of a later version, or a gateway serves it whose tables are older.</exception>
    public static new async Task<SqliteDatabase> OpenAsync(DataDirectory directory, bool isOccupied, Action<string>? progress, CancellationToken cancellation)
    {
        var database = new SqliteDatabase(directory, progress);
        var started = Environment.TickCount64;
        var isTold = false;
        while (!database.Translated(database.IsUpToDate))
        {
            using var occupation = isOccupied ? null : directory.TryOccupy(serves: false);
            if (isOccupied || occupation is not null)
            {
                await database.MigrateAsync(cancellation);
                return database;
            }

            var waited = Environment.TickCount64 - started;
            if (waited > Patience.TotalMilliseconds)
                throw new GatewayStateException(StateFault.OtherVersion, path: database.path);
            if (!isTold && waited > Silence.TotalMilliseconds)
                progress?.Invoke($"waiting for the process that holds {database.path}, whose tables are older: {BusySeconds} s at most");
            isTold |= waited > Silence.TotalMilliseconds;
            await Task.Delay(Look, cancellation); // whoever has it may be bringing the tables up to date
        }

        return database;
    }

    public override void EndProgress() => progress = null;

    public override IStateWriter CreateWriter(WriteHealth health) => new SqliteWriter(this, health);

    public override ICredentialStatements CreateCredentials() => new SqliteCredentialStatements(this);

    public override void SpendAbandoned() => Use(SqliteLedgerRows.SpendAbandoned);

    public override Task LookAsync()
    {
        Use(connection => Run(connection, "SELECT 1 FROM nodes LIMIT 1"));
        return Task.CompletedTask;
    }

    public override void Dispose()
    {
        // Each connection is its user's.
    }

    public override GatewayStateException? Fault(Exception exception) => SqliteFault.Of(exception, path);

    public override GatewayDbContext CreateContext() => new SqliteGatewayDbContext(options.Value);

    /// <summary>Runs statements by hand over a connection.</summary>
    /// <exception cref="GatewayStateException">The file cannot be used.</exception>
    public T Use<T>(Func<SqliteConnection, T> statements) => Translated(() =>
    {
        using var connection = Connect();
        return statements(connection);
    });

    public override async Task<T> QueryAsync<T>(Func<GatewayDbContext, Task<T>> query)
    {
        using var word = BusyWord();
        return await base.QueryAsync(query);
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
    private async Task MigrateAsync(CancellationToken cancellation)
    {
        progress?.Invoke($"bringing the tables of {path} up to date"); // and no word of waiting: it may take its time
        try
        {
            using (var connection = Connect())
            {
                if (Run(connection, "SELECT 1 FROM sqlite_master WHERE name = '__EFMigrationsLock'") is not null)
                    Run(connection, "DELETE FROM __EFMigrationsLock");
            }

            await using var context = CreateContext();
            await context.Database.MigrateAsync(cancellation);
        }
        catch (SqliteException e) when (SqliteFault.Of(e, path) is not null)
        {
            throw SqliteFault.Of(e, path)!;
        }
    }

    private T Translated<T>(Func<T> use)
    {
        using var word = BusyWord();
        try
        {
            return use();
        }
        catch (SqliteException e) when (SqliteFault.Of(e, path) is not null)
        {
            throw SqliteFault.Of(e, path)!;
        }
    }

    // On a slow machine a command takes as long by itself: that is no news.
    private Timer? BusyWord()
    {
        if (progress is not { } say)
            return null;
        var isTold = false;
        return new Timer(
            _ =>
            {
                if (isTold || !IsWritten())
                    return;
                isTold = true;
                say($"waiting for another process that writes to {path}: {BusySeconds} s at most");
            },
            null,
            Silence,
            Look);
    }

    // Asked with no patience at all.
    private bool IsWritten()
    {
        try
        {
            using var connection = new SqliteConnection(connectionString);
            connection.Open();
            raw.sqlite3_busy_timeout(connection.Handle, 0);
            return raw.sqlite3_exec(connection.Handle, "BEGIN IMMEDIATE; ROLLBACK") == raw.SQLITE_BUSY;
        }
        catch (SqliteException)
        {
            return false; // its own caller says what is wrong
        }
    }

    private bool IsUpToDate()
    {
        using var connection = Connect();
        if (Run(connection, HasOnlyOthers) is 1L)
            throw new GatewayStateException(StateFault.Foreign, path: path);
        if (Run(connection, HasHistory) is null)
        {
            Run(connection, KeepLog);

            // Another process may be here too: whoever writes first makes all the tables.
            using var transaction = connection.BeginTransaction();
            if (Run(connection, HasHistory, transaction) is null)
                Run(connection, Script(SchemaResource), transaction);
            transaction.Commit();
        }

        var age = Tables(connection, path).Age;
        if (age is TablesAge.Later)
            throw new GatewayStateException(StateFault.LaterVersion, path: path);
        if (age is TablesAge.Same && Run(connection, HasAll) is not 1L)
            throw new GatewayStateException(StateFault.Damaged, path: path);
        Run(connection, KeepLog); // not before: it writes to the file, and what is refused is left as it is
        return age is TablesAge.Same;
    }

    /// <summary>
    /// The version of a file's tables. Changes nothing in it, and makes nothing where there is no file. Only beside a write-ahead log (-wal) that
    /// stands there without its index (-shm) SQLite makes that, as whoever reads the two needs it.
    /// </summary>
    /// <exception cref="GatewayStateException">The file cannot be read.</exception>
    public static TablesVersion ReadTables(string path)
    {
        // A copy has no log, and nobody writes to it: read so, SQLite makes no companions, which would have to go before a restore.
        var source = File.Exists(path) && !File.Exists(path + "-wal") ? Immutable(path) : path;
        var connectionString = new SqliteConnectionStringBuilder
        {
            DataSource = source,
            Mode = SqliteOpenMode.ReadOnly,
            Pooling = false,
            DefaultTimeout = BusySeconds,
        }.ToString();
        try
        {
            using var connection = new SqliteConnection(connectionString);
            connection.Open();
            return Run(connection, HasHistory) is not null ? Tables(connection, path)
                : Run(connection, HasOnlyOthers) is not 1L ? new TablesVersion(null, TablesAge.Older)
                : throw new GatewayStateException(StateFault.Foreign, path: path);
        }
        catch (SqliteException e) when (SqliteFault.Of(e, path) is not null)
        {
            throw SqliteFault.Of(e, path)!;
        }
    }

    /// <summary>The newest migration that this program knows.</summary>
    public static string NewestTables() => Known.Max(StringComparer.Ordinal)!;

    private static TablesVersion Tables(SqliteConnection connection, string path)
    {
        var applied = ((string)Run(connection, "SELECT COALESCE(GROUP_CONCAT(MigrationId), '') FROM __EFMigrationsHistory")!).Split(
            ',', StringSplitOptions.RemoveEmptyEntries);
        return Compare(applied, Known) ?? throw new GatewayStateException(StateFault.Foreign, path: path);
    }

    private static string Immutable(string path)
    {
        var full = Path.GetFullPath(path).Replace(Path.DirectorySeparatorChar, '/');
        return $"file:///{string.Join('/', full.TrimStart('/').Split('/').Select(Uri.EscapeDataString))}?immutable=1";
    }

    private static object? Run(DbConnection connection, string sql, DbTransaction? transaction = null)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = transaction;
        return command.ExecuteScalar();
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
