// spec/gateway.md section 9.
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>The database at a PostgreSQL server, with its schema up to date. Any number of processes may have it open.</summary>
internal sealed class PostgresDatabase : Database
{
    /// <summary>The oldest major version that is supported; what the tests run on is in docs/operating.md.</summary>
    public const int OldestServer = 15;

    private const string SchemaResource = "ConfidentialChat.Gateway.Schema.Postgres.sql";

    /// <summary>Advisory lock: whoever serves shares it, who changes tables has it alone, and the server lets go of it with its holder's connection.</summary>
    public const long Occupation = 0x6363_6861_7400_0001; // "cchat", and 1

    /// <summary>How long one waits for somebody else who changes the tables.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    /// <summary>Before a word is said about it.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(2);

    private const string HasHistory = """SELECT to_regclass('"__EFMigrationsHistory"') IS NOT NULL""";

    // What an extension brought is nobody's.
    private const string HasOnlyOthers = """
        SELECT EXISTS (
            SELECT FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
        """;

    private const string HasAll = """
        SELECT COUNT(to_regclass(name)) = COUNT(*) FROM unnest(ARRAY['users', 'api_keys', 'enrolment_tokens', 'nodes', 'node_models', 'node_key_sets',
            'node_signing_keys', 'stacks', 'locks', 'reservations', 'settlements', 'vouchers', 'prices', 'ledger', 'audit', 'state_changes']) AS name
        """;

    // A gateway that was killed a moment ago: its connection may end a little after it.
    private const int MostLooks = 5;

    private readonly NpgsqlDataSource pool;
    private readonly Lazy<DbContextOptions<PostgresGatewayDbContext>> options;

    private PostgresDatabase(PostgresServer server)
    {
        Server = server;
        pool = server.Pool();
        options = new(() => new DbContextOptionsBuilder<PostgresGatewayDbContext>().UseNpgsql(pool).Options);
    }

    public PostgresServer Server { get; }

    private static IReadOnlyList<string> Known => MigrationIds(Script(SchemaResource));

    /// <inheritdoc cref="Database.OpenAsync"/>
    public static async Task<PostgresDatabase> OpenAsync(PostgresServer server, Action<string>? progress, CancellationToken cancellation)
    {
        var database = new PostgresDatabase(server);
        try
        {
            await database.BringUpToDateAsync(progress, cancellation);
            return database;
        }
        catch
        {
            database.Dispose();
            throw;
        }
    }

    /// <summary>The newest migration that this program knows.</summary>
    public static string NewestTables() => Known.Max(StringComparer.Ordinal)!;

    /// <summary>The version of a database's tables. Changes nothing in it.</summary>
    /// <exception cref="GatewayStateException">It cannot be read.</exception>
    public static async Task<TablesVersion> ReadTablesAsync(PostgresServer server, CancellationToken cancellation)
    {
        using var database = new PostgresDatabase(server);
        return await database.TranslatedAsync(async () =>
        {
            await using var connection = await database.ConnectAsync(cancellation);
            return Tables(connection, server);
        });
    }

    public override void EndProgress()
    {
    }

    public override IStateWriter CreateWriter(WriteHealth health) => new PostgresWriter(this, health);

    public override ICredentialStatements CreateCredentials() => new PostgresCredentialStatements(this);

    public override GatewayDbContext CreateContext() => new PostgresGatewayDbContext(options.Value);

    // Where another gateway serves, what is claimed may be its own. A lock that stays claimed can be taken by nobody, which is all that it has to be.
    public override void SpendAbandoned() => Use(connection =>
    {
        for (var looks = 1; !TryOccupy(connection); looks++)
        {
            if (looks == MostLooks)
                return 0;
            Thread.Sleep(Look);
        }

        Run(connection, "UPDATE locks SET state = 'spent' WHERE state = 'claimed'; DELETE FROM state_changes WHERE writer <> ''");
        return Vacate(connection);
    });

    public override async Task LookAsync()
    {
        try
        {
            await OnceAsync();
        }
        catch (Exception e) when (Fault(e) is { Fault: StateFault.Unreachable })
        {
            pool.Clear(); // what is kept may be of a server that has started anew since
            await TranslatedAsync(OnceAsync);
        }
        catch (Exception e) when (Fault(e) is not null)
        {
            throw Fault(e)!;
        }

        async Task<object?> OnceAsync()
        {
            await using var connection = await pool.OpenConnectionAsync();
            await using var command = new NpgsqlCommand("SELECT 1 FROM nodes LIMIT 1", connection);
            return await command.ExecuteScalarAsync();
        }
    }

    public override void Dispose() => pool.Dispose();

    public override GatewayStateException? Fault(Exception exception) => PostgresFault.Of(exception, Server);

    /// <summary>Reads by hand over a connection: once more where the server has started anew since it was last used.</summary>
    /// <exception cref="GatewayStateException">The database cannot be used.</exception>
    public T Find<T>(Func<NpgsqlConnection, T> statements)
    {
        try
        {
            return Use(statements);
        }
        catch (GatewayStateException e) when (e.Fault is StateFault.Unreachable)
        {
            pool.Clear();
            return Use(statements);
        }
    }

    /// <summary>Runs statements by hand over a connection.</summary>
    /// <exception cref="GatewayStateException">The database cannot be used.</exception>
    public T Use<T>(Func<NpgsqlConnection, T> statements)
    {
        try
        {
            using var connection = pool.OpenConnection();
            return statements(connection);
        }
        catch (Exception e) when (Fault(e) is not null)
        {
            throw Fault(e)!;
        }
    }

    /// <summary>
    /// Makes a connection that of a gateway that serves: its changes are this writer's, and the tables stay as they are for as long as it lives.
    /// </summary>
    /// <exception cref="GatewayStateException">Meanwhile a later version has changed the tables.</exception>
    public void Join(NpgsqlConnection connection, string writer)
    {
        Require(connection);
        Run(connection, $"""
            SET synchronous_commit = off;
            SET default_transaction_isolation = 'read committed';
            SET lock_timeout = '{(int)Patience.TotalSeconds}s';
            SELECT set_config('confidentialchat.writer', '{writer}', FALSE);
            SELECT pg_advisory_lock_shared({Occupation});
            """);
        if (Tables(connection, Server).Age is not TablesAge.Same)
            throw LaterVersion();
    }

    private async Task BringUpToDateAsync(Action<string>? progress, CancellationToken cancellation)
    {
        var started = Environment.TickCount64;
        var isTold = false;
        while (!await TranslatedAsync(() => TryBringUpToDateAsync(progress, cancellation)))
        {
            var waited = Environment.TickCount64 - started;
            if (waited > Patience.TotalMilliseconds)
                throw new GatewayStateException(
                    StateFault.OtherVersion,
                    ($"The tables of {Server.Name} are older than this program, and a running gateway, or another process, holds them.",
                     "use the cchat of that gateway, or stop all gateways of the database: the next start brings it up to date"),
                    null);
            if (!isTold && waited > Silence.TotalMilliseconds)
                progress?.Invoke($"waiting for the processes that hold {Server.Name}, whose tables are older: {Patience.TotalSeconds} s at most");
            isTold |= waited > Silence.TotalMilliseconds;
            await Task.Delay(Look, cancellation);
        }
    }

    // A fresh database gets its tables from the script that the migrations make (SchemaTests): EF Core takes long to compare them.
    private async Task<bool> TryBringUpToDateAsync(Action<string>? progress, CancellationToken cancellation)
    {
        await using var connection = await ConnectAsync(cancellation);
        if (IsUpToDate(connection))
            return true;
        if (!TryOccupy(connection))
            return false;
        try
        {
            if (IsUpToDate(connection)) // by whoever had it before
                return true;
            if (!Is(connection, HasHistory))
            {
                await using var transaction = await connection.BeginTransactionAsync(cancellation);
                Run(connection, Script(SchemaResource));
                await transaction.CommitAsync(cancellation);
                return true;
            }

            progress?.Invoke($"bringing the tables of {Server.Name} up to date");
            await using var context = CreateContext();
            context.Database.SetCommandTimeout(TimeSpan.FromHours(1));
            await context.Database.MigrateAsync(cancellation);
            return true;
        }
        finally
        {
            Vacate(connection);
        }
    }

    private async Task<NpgsqlConnection> ConnectAsync(CancellationToken cancellation)
    {
        var connection = await pool.OpenConnectionAsync(cancellation);
        try
        {
            Require(connection);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    private void Require(NpgsqlConnection connection)
    {
        if (connection.PostgreSqlVersion.Major < OldestServer)
            throw new GatewayStateException(
                StateFault.OldServer,
                ($"The PostgreSQL server at {Server.Place} is of version {connection.PostgreSqlVersion}.", $"{OldestServer} is the oldest that is supported"),
                null);
    }

    private bool IsUpToDate(NpgsqlConnection connection)
    {
        var age = Tables(connection, Server).Age;
        if (age is TablesAge.Later)
            throw LaterVersion();
        if (age is TablesAge.Same && !Is(connection, HasAll))
            throw new GatewayStateException(
                StateFault.Damaged,
                ($"{Server.Name} has not all tables of a gateway.", "restore a copy, or look whether search_path names the schema that they are in"),
                null);
        return age is TablesAge.Same;
    }

    private static TablesVersion Tables(NpgsqlConnection connection, PostgresServer server)
    {
        if (!Is(connection, HasHistory))
            return Is(connection, HasOnlyOthers) ? throw Foreign(server) : new TablesVersion(null, TablesAge.Older);
        using var command = new NpgsqlCommand("""SELECT COALESCE(STRING_AGG("MigrationId", ','), '') FROM "__EFMigrationsHistory" """, connection);
        var applied = ((string)command.ExecuteScalar()!).Split(',', StringSplitOptions.RemoveEmptyEntries);
        return Compare(applied, Known) ?? throw Foreign(server);
    }

    private static GatewayStateException Foreign(PostgresServer server) => new(
        StateFault.Foreign, ($"{server.Name} is another program's.", "give the gateway a database of its own: CREATE DATABASE cchat OWNER cchat"), null);

    private GatewayStateException LaterVersion() => new(
        StateFault.LaterVersion,
        ($"{Server.Name} was written by a later version than this one.",
         "start that version, or restore the copy that was made before the upgrade; \"cchat version --postgres\" names both versions"),
        null);

    private static bool TryOccupy(NpgsqlConnection connection) => Is(connection, $"SELECT pg_try_advisory_lock({Occupation})");

    private static int Vacate(NpgsqlConnection connection) => connection.FullState is System.Data.ConnectionState.Open
        ? Run(connection, $"SELECT pg_advisory_unlock({Occupation})")
        : 0; // the server has let go of it

    private static bool Is(NpgsqlConnection connection, string sql)
    {
        using var command = new NpgsqlCommand(sql, connection);
        return command.ExecuteScalar() is true;
    }

    private static int Run(NpgsqlConnection connection, string sql)
    {
        using var command = new NpgsqlCommand(sql, connection);
        return command.ExecuteNonQuery();
    }

    private async Task<T> TranslatedAsync<T>(Func<Task<T>> use)
    {
        try
        {
            return await use();
        }
        catch (Exception e) when (Fault(e) is not null)
        {
            throw Fault(e)!;
        }
    }
}
