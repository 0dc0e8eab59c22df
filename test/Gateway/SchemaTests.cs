using System.Collections.Concurrent;
using System.Security.Cryptography;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.Tests.Postgres;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>A fresh database gets its tables from a script; an older one from the migrations. Both end with the same tables.</summary>
[OfSqliteFile]
public sealed class SchemaTests : IDisposable
{
    private const string Accept = "CONFIDENTIALCHAT_ACCEPT_SCHEMA";

    private readonly string directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("Sqlite")]
    [InlineData("Postgres")]
    public void The_script_is_what_the_migrations_make(string engine)
    {
        using GatewayDbContext context = engine is "Sqlite"
            ? Design()
            : new PostgresGatewayDbContext(new DbContextOptionsBuilder<PostgresGatewayDbContext>().UseNpgsql("Host=localhost").Options);
        var actual = context.GetService<IMigrator>().GenerateScript(options: MigrationsSqlGenerationOptions.NoTransactions).ReplaceLineEndings("\n").TrimEnd()
            + "\n";
        var path = Path.Combine(Tree.Root, "src", "ConfidentialChat.Gateway", "State", "Migrations", engine, "Schema.sql");
        if (Environment.GetEnvironmentVariable(Accept) == "1")
            File.WriteAllText(path, actual);
        File.ReadAllText(path).ShouldBe(actual, $"{Accept}=1 writes it anew");
        context.Database.HasPendingModelChanges().ShouldBeFalse();
        GatewayOperator.NewestTables(inServer: engine is "Postgres").ShouldBe(context.Database.GetMigrations().Max());
        context.Database.GetMigrations().ShouldAllBe(migration => actual.Contains($"VALUES ('{migration}', '10.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_fresh_file_needs_no_migration()
    {
        var opened = await Database.OpenAsync(DataDirectory.Open(directory), isOccupied: false, null, default);

        await using var context = opened.CreateContext();
        (await context.Database.GetPendingMigrationsAsync()).ShouldBeEmpty();
        context.Database.HasPendingModelChanges().ShouldBeFalse();
    }

    [Fact]
    public async Task A_file_of_an_older_version_is_migrated_and_keeps_its_rows()
    {
        var place = await OlderAsync();
        Run(place, "INSERT INTO users (name, created_at) VALUES ('alice', 1)").ShouldBeNull();

        await Database.OpenAsync(place, isOccupied: false, null, default);

        var fresh = DataDirectory.Open(Path.Combine(directory, "fresh"));
        await Database.OpenAsync(fresh, isOccupied: false, null, default);
        const string Tables = "SELECT GROUP_CONCAT(name || ' ' || sql, ';') FROM (SELECT name, sql FROM sqlite_master WHERE SUBSTR(name, 1, 4) <> '__EF' AND sql IS NOT NULL ORDER BY name)";
        Run(place, Tables).ShouldBe(Run(fresh, Tables));
        Run(place, "SELECT name FROM users").ShouldBe("alice");
    }

    [Theory]
    [InlineData("the port is taken")]
    [InlineData("the key file is none")]
    public async Task A_start_that_is_refused_leaves_the_tables_to_the_version_that_they_are_of(string why)
    {
        var place = await OlderAsync();
        var before = Run(place, "SELECT GROUP_CONCAT(MigrationId) FROM __EFMigrationsHistory");
        using var taken = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        taken.Start();
        var options = new GatewayOptions { DataDirectory = directory, Port = why[4] == 'p' ? ((System.Net.IPEndPoint)taken.LocalEndpoint).Port : 0 };
        if (options.Port == 0)
            await File.WriteAllBytesAsync(place.KeyPath, new byte[31], TestContext.Current.CancellationToken);
        await Should.ThrowAsync<GatewayOptionsException>(() => GatewayHost.CreateAsync(options));
        Run(place, "SELECT GROUP_CONCAT(MigrationId) FROM __EFMigrationsHistory").ShouldBe(before);
    }

    [Fact]
    public async Task What_was_reserved_and_settled_outlives_the_tables_that_are_made_anew()
    {
        var place = await OlderAsync("20261128061538_KeySetsAndUsageParts");
        Run(place, """
            INSERT INTO users (id, name, created_at) VALUES (1, 'alice', 1);
            INSERT INTO nodes (id, identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported) VALUES (2, 'A', '', 1, 0, 0, 0, 0, 0, 0);
            INSERT INTO stacks (id, user_id, node_id, model, total, used, reserved, open_locks) VALUES (3, 1, 2, 'm', 100, 6, 7, 0);
            INSERT INTO locks (id, stack_id, key_set, units, state, expires_at) VALUES (4, 3, 'K', 5, 'spent', 9);
            INSERT INTO reservations (request_id, lock_id, user_id, node_id, stack_id, held, state, deadline_at) VALUES ('r1', 4, 1, 2, 3, 7, 'held', 10), ('r2', NULL, 1, 2, 3, 8, 'settled', 11);
            INSERT INTO settlements (request_id, kind, reported_prompt, reported_completion, reported_pixels, charged_prompt, charged_completion, charged_pixels, created_at)
            VALUES ('r2', 'capped', 1, 2, 3, 4, 5, 6, 12)
            """);

        await Database.OpenAsync(place, isOccupied: false, null, default);

        Run(place, "SELECT GROUP_CONCAT(request_id || ' ' || stack_id || ' ' || held || ' ' || state || ' ' || deadline_at) FROM (SELECT * FROM reservations ORDER BY request_id)")
            .ShouldBe("r1 3 7 held 10,r2 3 8 settled 11");
        Run(place, """
            SELECT request_id || ' ' || kind || ' ' || reported_prompt || reported_completion || reported_pixels || charged_prompt || charged_completion || charged_pixels || ' ' || created_at
            FROM settlements
            """).ShouldBe("r2 capped 123456 12");
        Run(place, "SELECT COUNT(*) FROM pragma_foreign_key_check").ShouldBe(0L);
    }

    [Fact]
    public async Task Several_may_make_it_at_once()
    {
        await Task.WhenAll(
            Enumerable.Range(0, 8).Select(_ => Task.Run(() => Database.OpenAsync(DataDirectory.Open(directory), isOccupied: false, null, default))));

        await using var context = Design();
        Run(DataDirectory.Open(directory), "SELECT COUNT(*) FROM __EFMigrationsHistory").ShouldBe((long)context.Database.GetMigrations().Count());
    }

    [Fact]
    public async Task A_migration_lock_that_outlived_its_process_holds_up_neither_a_command_nor_a_gateway()
    {
        var place = await OlderAsync();
        Run(place, """
            CREATE TABLE IF NOT EXISTS "__EFMigrationsLock" ("Id" INTEGER NOT NULL CONSTRAINT "PK___EFMigrationsLock" PRIMARY KEY, "Timestamp" TEXT NOT NULL);
            INSERT OR REPLACE INTO "__EFMigrationsLock" VALUES (1, '2026-01-01 00:00:00')
            """);
        var image = Path.Combine(directory, "command");
        Directory.CreateDirectory(image);
        SqliteConnection.ClearAllPools();
        File.Copy(place.DatabasePath, Path.Combine(image, "gateway.db"));

        var said = new ConcurrentQueue<string>();
        var options = new GatewayOptions { DataDirectory = directory, Port = 0 };
        var created = GatewayHost.CreateAsync(options, null, said.Enqueue, TestContext.Current.CancellationToken);
        await using (await created.WaitAsync(TimeSpan.FromSeconds(60)))
            Run(place, "SELECT COUNT(*) FROM __EFMigrationsHistory").ShouldBe(Migrations());
        said.ShouldHaveSingleItem().ShouldContain("up to date");

        await GatewayOperator.OpenAsync(image, cancellation: TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60));
        Run(DataDirectory.Open(image), "SELECT COUNT(*) FROM __EFMigrationsHistory").ShouldBe(Migrations());
    }

    [Fact]
    public async Task A_command_leaves_the_tables_of_a_running_gateway_alone_and_waits_for_a_while()
    {
        var place = await OlderAsync();
        using (place.TryOccupy(serves: true).ShouldNotBeNull())
        {
            var said = new ConcurrentQueue<string>();
            var waits = Database.OpenAsync(place, isOccupied: false, said.Enqueue, TestContext.Current.CancellationToken);
            (await Should.ThrowAsync<GatewayStateException>(() => waits.WaitAsync(TimeSpan.FromSeconds(60)))).Fault.ShouldBe(StateFault.OtherVersion);
            said.ShouldHaveSingleItem().ShouldMatch("waiting .*gateway.db.* 10 s");
            Run(place, "SELECT COUNT(*) FROM __EFMigrationsHistory").ShouldBe(1L);
        }

        using (var ends = place.TryOccupy(serves: true).ShouldNotBeNull())
        {
            var waits = Database.OpenAsync(place, isOccupied: false, null, TestContext.Current.CancellationToken);
            waits.IsCompleted.ShouldBeFalse();
            ends.Dispose();
            await waits.WaitAsync(TimeSpan.FromSeconds(60));
        }

        Run(place, "SELECT COUNT(*) FROM __EFMigrationsHistory").ShouldBe(Migrations());
    }

    [Fact]
    public async Task A_gateway_waits_for_a_command_that_changes_the_tables_and_says_so()
    {
        var place = DataDirectory.Open(directory);
        var said = new ConcurrentQueue<string>();
        using var command = place.TryOccupy(serves: false).ShouldNotBeNull();
        var waits = GatewayHost.CreateAsync(
            new GatewayOptions { DataDirectory = directory, Port = 0 }, null, said.Enqueue, TestContext.Current.CancellationToken);
        waits.IsCompleted.ShouldBeFalse();
        said.ShouldHaveSingleItem().ShouldContain(directory);
        command.Dispose();
        await using var gateway = await waits.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_process_that_was_killed_is_not_named_as_the_one_that_holds_the_directory()
    {
        var place = DataDirectory.Open(directory);
        var said = new ConcurrentQueue<string>();
        using var command = place.TryOccupy(serves: false).ShouldNotBeNull();
        var left = Path.Combine(directory, "gateway.pid");
        await File.WriteAllTextAsync(left, "4711\n", TestContext.Current.CancellationToken);
        var waits = GatewayHost.CreateAsync(
            new GatewayOptions { DataDirectory = directory, Port = 0 }, null, said.Enqueue, TestContext.Current.CancellationToken);
        File.Delete(left); // as whoever has the lock does next
        while (said.IsEmpty && !waits.IsCompleted)
            await Task.Delay(10, TestContext.Current.CancellationToken);
        said.ShouldHaveSingleItem().ShouldContain(directory);
        command.Dispose();
        await using var gateway = await waits.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task The_version_of_a_copy_is_read_without_a_file_being_made_beside_it()
    {
        var place = DataDirectory.Open(Path.Combine(directory, "gateway"));
        await Database.OpenAsync(place, isOccupied: false, null, default);
        Run(place, "PRAGMA wal_checkpoint(TRUNCATE)");
        SqliteConnection.ClearAllPools();
        var copy = Directory.CreateDirectory(Path.Combine(directory, "a b%20?c#d;e=f'")).FullName;
        File.Copy(place.DatabasePath, Path.Combine(copy, "gateway.db"));
        GatewayOperator.ReadTables(Path.Combine(copy, "gateway.db")).ShouldBe(new TablesVersion(GatewayOperator.NewestTables(), TablesAge.Same));
        Directory.GetFiles(copy).Select(Path.GetFileName).ShouldBe(["gateway.db"]);
    }

    [Fact]
    public async Task A_later_versions_file_keeps_its_journal_mode()
    {
        var place = DataDirectory.Open(directory);
        await Database.OpenAsync(place, isOccupied: false, null, default);
        Run(place, "INSERT INTO __EFMigrationsHistory VALUES ('20990101000000_Marvels', '30.0.0')");
        SqliteConnection.ClearAllPools();
        Run(place, "PRAGMA journal_mode = DELETE").ShouldBe("delete");
        SqliteConnection.ClearAllPools();
        var before = await File.ReadAllBytesAsync(place.DatabasePath);
        (await Should.ThrowAsync<GatewayStateException>(() => GatewayOperator.OpenAsync(directory))).Fault.ShouldBe(StateFault.LaterVersion);
        SqliteConnection.ClearAllPools();
        (await File.ReadAllBytesAsync(place.DatabasePath)).ShouldBe(before);
    }

    [Fact]
    public async Task A_database_of_a_later_version_is_refused_and_left_as_it_is()
    {
        var place = DataDirectory.Open(directory);
        await Database.OpenAsync(place, isOccupied: false, null, default);
        GatewayOperator.ReadTables(place.DatabasePath).ShouldBe(new TablesVersion(GatewayOperator.NewestTables(), TablesAge.Same));
        Run(place, "INSERT INTO __EFMigrationsHistory VALUES ('20990101000000_Marvels', '30.0.0')");

        var refusals = new[]
        {
            await Should.ThrowAsync<GatewayStateException>(() => GatewayHost.CreateAsync(new GatewayOptions { DataDirectory = directory, Port = 0 })),
            await Should.ThrowAsync<GatewayStateException>(() => GatewayOperator.OpenAsync(directory)),
        };
        foreach (var refusal in refusals)
        {
            refusal.Fault.ShouldBe(StateFault.LaterVersion);
            refusal.Message.ShouldContain(place.DatabasePath);
            refusal.Hint.ShouldContain("cchat version");
        }

        GatewayOperator.ReadTables(place.DatabasePath).ShouldBe(new TablesVersion("20990101000000_Marvels", TablesAge.Later));
        Run(place, "DELETE FROM __EFMigrationsHistory WHERE MigrationId LIKE '2099%'");
        await using var gateway = await GatewayHost.CreateAsync(new GatewayOptions { DataDirectory = directory, Port = 0 }); // the refused one holds nothing
    }

    [Theory]
    [InlineData("", StateFault.Foreign)] // no database
    [InlineData("CREATE TABLE recipes (name TEXT)", StateFault.Foreign)] // somebody else's
    [InlineData("CREATE TABLE __EFMigrationsHistory (MigrationId TEXT, ProductVersion TEXT); INSERT INTO __EFMigrationsHistory VALUES ('20300101000000_Recipes', '10.0.0'); CREATE TABLE recipes (name TEXT)", StateFault.Foreign)] // by the same library
    [InlineData("DROP TABLE locks", StateFault.Damaged)] // half of ours
    public async Task A_file_that_is_not_a_whole_database_of_a_gateway_is_named_and_left_as_it_is(string sql, StateFault fault)
    {
        var place = DataDirectory.Open(directory);
        if (sql.StartsWith("DROP", StringComparison.Ordinal))
            await Database.OpenAsync(place, isOccupied: false, null, default);
        if (sql.Length > 0)
            Run(place, sql);
        else
            await File.WriteAllBytesAsync(place.DatabasePath, RandomNumberGenerator.GetBytes(8192));
        SqliteConnection.ClearAllPools();
        var before = await File.ReadAllBytesAsync(place.DatabasePath);

        var refusal = await Should.ThrowAsync<GatewayStateException>(() => GatewayHost.CreateAsync(new GatewayOptions { DataDirectory = directory, Port = 0 }));
        (refusal.Fault, refusal.Message.Contains(place.DatabasePath, StringComparison.Ordinal)).ShouldBe((fault, true), refusal.Message);
        (await Should.ThrowAsync<GatewayStateException>(() => GatewayOperator.OpenAsync(directory))).Fault.ShouldBe(fault);
        SqliteConnection.ClearAllPools();
        (await File.ReadAllBytesAsync(place.DatabasePath)).ShouldBe(before);
    }

    [Fact]
    public async Task A_damaged_database_is_named_when_it_is_met()
    {
        var place = DataDirectory.Open(directory);
        await Database.OpenAsync(place, isOccupied: false, null, default);
        Run(place, "PRAGMA wal_checkpoint(TRUNCATE)");
        var root = (long)Run(place, "SELECT rootpage FROM sqlite_master WHERE name = 'locks'")!;
        SqliteConnection.ClearAllPools();
        await using (var file = new FileStream(place.DatabasePath, FileMode.Open))
        {
            file.Position = (root - 1) * 4096;
            file.Write(RandomNumberGenerator.GetBytes(4096).Select(value => (byte)(value | 0x80)).ToArray()); // no kind of page begins like this
        }

        var refusal = await Should.ThrowAsync<GatewayStateException>(() => GatewayHost.CreateAsync(new GatewayOptions { DataDirectory = directory, Port = 0 }));
        (refusal.Fault, refusal.Hint.Contains("gateway.db-wal", StringComparison.Ordinal)).ShouldBe((StateFault.Damaged, true), refusal.ToString());
    }

    private async Task<DataDirectory> OlderAsync(string? migration = null)
    {
        var place = DataDirectory.Open(directory);
        await using var context = Design(place.DatabasePath);
        await context.GetService<IMigrator>().MigrateAsync(migration ?? context.Database.GetMigrations().First());
        return place;
    }

    private static long Migrations()
    {
        using var context = Design();
        return context.Database.GetMigrations().Count();
    }

    private static SqliteGatewayDbContext Design(string? path = null) =>
        new(new DbContextOptionsBuilder<SqliteGatewayDbContext>().UseSqlite($"Data Source={path ?? ":memory:"}").Options);

    private static object? Run(DataDirectory place, string sql)
    {
        using var connection = new SqliteConnection($"Data Source={place.DatabasePath}");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }
}
