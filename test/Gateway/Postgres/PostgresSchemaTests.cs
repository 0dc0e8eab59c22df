using System.Collections.Concurrent;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>spec/gateway.md section 9: who makes, changes and refuses tables at a server.</summary>
public sealed class PostgresSchemaTests : IAsyncLifetime
{
    private const string History = """SELECT STRING_AGG("MigrationId", ',' ORDER BY "MigrationId") FROM "__EFMigrationsHistory" """;

    private readonly string directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;
    private PostgresUnderTest server = null!;
    private string connection = null!;

    private GatewayOptions Options => new() { DataDirectory = Path.Combine(directory, Guid.NewGuid().ToString("N")), Postgres = connection, Port = 0 };

    public async ValueTask InitializeAsync()
    {
        server = await PostgresUnderTest.SharedAsync();
        connection = server.CreateDatabase(isEmpty: true);
    }

    public ValueTask DisposeAsync()
    {
        server.Drop(connection);
        Directory.Delete(directory, recursive: true);
        return default;
    }

    [Fact]
    public async Task Two_gateways_that_start_at_once_on_an_empty_database_both_serve()
    {
        var gateways = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => GatewayHost.CreateAsync(Options))));
        foreach (var gateway in gateways)
            await gateway.StartAsync(TestContext.Current.CancellationToken);
        foreach (var gateway in gateways)
        {
            using var client = new HttpClient { BaseAddress = new Uri(gateway.Urls.First()) };
            (await client.GetStringAsync("/health/ready")).ShouldContain("ok");
        }

        Run(History).ShouldBe(string.Join(',', Known()));
        Run("""
            SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()
            """).ShouldBe(4L); // each that it serves, and none that it alone may
        foreach (var gateway in gateways)
            await gateway.DisposeAsync();
    }

    [Fact]
    public async Task An_older_database_is_migrated_keeps_its_rows_and_ends_like_a_fresh_one()
    {
        await MigrateToFirstAsync();
        Run("INSERT INTO users (name, created_at) VALUES ('alice', 1)");
        var said = new ConcurrentQueue<string>();
        await using (await GatewayHost.CreateAsync(Options, null, said.Enqueue))
        {
        }

        said.ShouldHaveSingleItem().ShouldContain("up to date");
        Run("SELECT name FROM users").ShouldBe("alice");
        const string Tables = """
            SELECT STRING_AGG(table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || COALESCE(collation_name, ''), ';' ORDER BY table_name, column_name)
            FROM information_schema.columns WHERE table_schema = 'public'
            """;
        var fresh = server.CreateDatabase();
        Run(Tables).ShouldBe(PostgresUnderTest.ExecuteAt(fresh, Tables));
        server.Drop(fresh);
    }

    [Fact]
    public async Task Beside_a_gateway_that_serves_nobody_changes_older_tables()
    {
        await MigrateToFirstAsync();
        await using (var older = new NpgsqlConnection(connection + ";Pooling=false"))
        {
            await older.OpenAsync(TestContext.Current.CancellationToken);
            await using var serves = new NpgsqlCommand($"SELECT pg_advisory_lock_shared({PostgresDatabase.Occupation})", older);
            await serves.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
            var said = new ConcurrentQueue<string>();
            var refusal = await Should.ThrowAsync<GatewayStateException>(
                () => GatewayOperator.OpenAsync(directory, progress: said.Enqueue, postgres: connection));
            refusal.Fault.ShouldBe(StateFault.OtherVersion);
            said.ShouldHaveSingleItem().ShouldMatch("waiting .* 10 s");
            Run(History).ShouldBe(Known()[0]);
        }

        await GatewayOperator.OpenAsync(directory, postgres: connection);
        Run(History).ShouldBe(string.Join(',', Known()));
    }

    [Fact]
    public async Task A_database_of_a_later_version_is_refused_and_one_that_becomes_so_while_a_gateway_serves_ends_its_writing()
    {
        await using (await GatewayHost.CreateAsync(Options))
        {
        }

        (await GatewayOperator.ReadServerTablesAsync(connection)).ShouldBe(new TablesVersion(GatewayOperator.NewestTables(inServer: true), TablesAge.Same));
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { Postgres = connection });
        Run("""INSERT INTO "__EFMigrationsHistory" VALUES ('20990101000000_Marvels', '30.0.0')""");
        Run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
        (await Should.ThrowAsync<GatewayStateException>(() => gateway.NoticeAsync())).Fault.ShouldBe(StateFault.LaterVersion);

        var refusal = await Should.ThrowAsync<GatewayStateException>(() => GatewayHost.CreateAsync(Options));
        (refusal.Fault, refusal.Hint.Contains("cchat version", StringComparison.Ordinal)).ShouldBe((StateFault.LaterVersion, true));
        (await Should.ThrowAsync<GatewayStateException>(() => GatewayOperator.OpenAsync(directory, postgres: connection))).Fault
            .ShouldBe(StateFault.LaterVersion);
        (await GatewayOperator.ReadServerTablesAsync(connection)).ShouldBe(new TablesVersion("20990101000000_Marvels", TablesAge.Later));
    }

    [Theory]
    [InlineData("CREATE TABLE recipes (name text)", StateFault.Foreign)]
    [InlineData("""CREATE TABLE "__EFMigrationsHistory" ("MigrationId" text, "ProductVersion" text); INSERT INTO "__EFMigrationsHistory" VALUES ('20300101000000_Recipes', '10.0.0')""", StateFault.Foreign)]
    [InlineData("DROP TABLE vouchers", StateFault.Damaged)]
    public async Task A_database_that_is_not_a_whole_one_of_a_gateway_is_named_and_left_as_it_is(string sql, StateFault fault)
    {
        if (sql.StartsWith("DROP", StringComparison.Ordinal))
            await GatewayOperator.OpenAsync(directory, postgres: connection);
        Run(sql);
        const string All = "SELECT STRING_AGG(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        var before = Run(All);
        foreach (var open in (Func<Task>[])[() => GatewayHost.CreateAsync(Options), () => GatewayOperator.OpenAsync(directory, postgres: connection)])
        {
            var refusal = await Should.ThrowAsync<GatewayStateException>(open);
            refusal.Fault.ShouldBe(fault, refusal.Message);
            refusal.Message.ShouldContain(new NpgsqlConnectionStringBuilder(connection).Database!);
        }

        Run(All).ShouldBe(before);
    }

    [Fact]
    public async Task What_an_extension_brought_is_no_other_programs()
    {
        Run("CREATE TABLE spatial_ref_sys (a int); INSERT INTO pg_depend SELECT 'pg_class'::regclass, 'spatial_ref_sys'::regclass, 0, 'pg_extension'::regclass, oid, 0, 'e' FROM pg_extension LIMIT 1");
        await GatewayOperator.OpenAsync(directory, postgres: connection);
    }

    [Fact]
    public async Task What_killed_gateways_had_claimed_is_spent_where_no_other_serves_and_else_left()
    {
        await using (await GatewayHost.CreateAsync(Options))
        {
        }

        Run("""
            INSERT INTO users (id, name, created_at) VALUES (1, 'alice', 1);
            INSERT INTO nodes (id, identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported) VALUES (1, 'A', '', TRUE, 0, 0, 0, 0, FALSE, 0);
            INSERT INTO stacks (id, user_id, node_id, model, total, used, reserved, open_locks) VALUES (1, 1, 1, 'm', 100, 0, 0, 0);
            INSERT INTO locks (stack_id, key_set, units, state, expires_at) VALUES (1, 'K', 5, 'claimed', 9)
            """);
        await using (await GatewayHost.CreateAsync(Options))
        {
            Run("SELECT state FROM locks").ShouldBe("spent");
            Run("UPDATE locks SET state = 'claimed'"); // by the one that serves
            await using (await GatewayHost.CreateAsync(Options))
                Run("SELECT state FROM locks").ShouldBe("claimed");
        }
    }

    private async Task MigrateToFirstAsync()
    {
        await using var context = Design();
        await context.GetService<IMigrator>().MigrateAsync(Known()[0]);
    }

    private PostgresGatewayDbContext Design() => new(new DbContextOptionsBuilder<PostgresGatewayDbContext>().UseNpgsql(connection).Options);

    private string[] Known()
    {
        using var context = Design();
        return [.. context.Database.GetMigrations()];
    }

    private object? Run(string sql) => PostgresUnderTest.ExecuteAt(connection, sql);
}
