using System.Globalization;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Protocol;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ConfidentialChat.Gateway.Tests.Postgres;

/// <summary>spec/gateway.md section 5: the one who writes, at a real server, beside other threads and other programs.</summary>
public sealed class PostgresWriterTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private PostgresUnderTest server = null!;
    private string connection = null!;
    private PostgresDatabase database = null!;
    private readonly WriteHealth health = new(TimeProvider.System, NullLogger<WriteHealth>.Instance);
    private PostgresWriter writer = null!;

    public async ValueTask InitializeAsync()
    {
        server = await PostgresUnderTest.SharedAsync();
        connection = server.CreateDatabase();
        Run("""
            INSERT INTO users (id, name, created_at, balance) VALUES (1, 'alice', 0, 1000000);
            INSERT INTO nodes (id, identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported)
            VALUES (1, 'A', 'http://127.0.0.1', TRUE, 0, 0, 0, 0, FALSE, 0), (2, 'B', 'http://127.0.0.1', TRUE, 0, 0, 0, 0, FALSE, 0)
            """);
        database = await PostgresDatabase.OpenAsync(PostgresServer.From(connection)!, null, default);
        writer = new PostgresWriter(database, health);
    }

    public ValueTask DisposeAsync()
    {
        writer.Dispose();
        database.Dispose();
        server.Drop(connection);
        return default;
    }

    [Fact]
    public async Task Whoever_goes_on_asks_again_and_again_and_every_change_is_written_once()
    {
        await Task.WhenAll(Enumerable.Range(0, 64).Select(async _ =>
        {
            for (var i = 0; i < 50; i++)
                await BlameAsync(i % 5 == 0 ? Commit.Durably : Commit.Promptly);
        })).WaitAsync(Patience);
        Blamed().ShouldBe(64 * 50);
    }

    [Fact]
    public async Task A_change_that_fails_among_many_fails_alone()
    {
        await using var held = Open();
        Run(held, "BEGIN; UPDATE nodes SET address = address WHERE id = 1"); // so that they come together
        var outcomes = Enumerable.Range(0, 40).Select(i => Task.Run(() => writer.RunAsync(async rows =>
        {
            await rows.Ledger.BlameAsync(new NodeId(1));
            await rows.Ledger.FundsAsync(new UserId(1)); // sends it
            return i % 8 == 3 ? throw new InvalidDataException($"{i}") : true;
        }))).ToList();
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Run(held, "ROLLBACK");
        await Task.WhenAll(outcomes).WaitAsync(Patience).ContinueWith(_ => { }, TaskScheduler.Default);
        for (var i = 0; i < outcomes.Count; i++)
            (outcomes[i].Exception?.InnerException is InvalidDataException fault && fault.Message == $"{i}").ShouldBe(i % 8 == 3);
        Blamed().ShouldBe(35);
    }

    [Fact]
    public async Task What_the_database_does_not_take_fails_its_own_change_and_no_neighbours()
    {
        await using var held = Open();
        Run(held, "BEGIN; UPDATE nodes SET address = address WHERE id = 1");
        var outcomes = Enumerable.Range(0, 8).Select(i => Task.Run(() => writer.RunAsync(async rows =>
        {
            await rows.Ledger.BlameAsync(new NodeId(1));
            if (i == 3)
                await rows.Ledger.FreeMoneyAsync(new UserId(1), new MicroDollars(1)); // below zero: the table's constraint
            return true;
        }))).ToList();
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Run(held, "ROLLBACK");
        await Task.WhenAll(outcomes).WaitAsync(Patience).ContinueWith(_ => { }, TaskScheduler.Default);
        outcomes.Count(outcome => outcome.IsCompletedSuccessfully).ShouldBe(7);
        outcomes[3].Exception!.InnerException.ShouldBeOfType<PostgresException>().ConstraintName.ShouldBe("user_bounds");
        Blamed().ShouldBe(7);
        health.IsGood.ShouldBeTrue();
    }

    [Fact]
    public async Task What_another_program_changes_is_seen_whoever_wrote_in_between()
    {
        var seen = await VersionAsync();
        for (var i = 0; i < 10; i++)
        {
            await BlameAsync(Commit.Promptly);
            (await VersionAsync()).ShouldBe(seen, "its own changes are no one else's");
            Run(i % 2 == 0 ? "UPDATE nodes SET address = address WHERE id = 2" : "INSERT INTO node_models VALUES (1, gen_random_uuid()::text, 1)");
            await BlameAsync(Commit.Promptly);
            var version = await VersionAsync();
            version.ShouldNotBe(seen);
            seen = version;
        }

        await using var other = Open();
        Run(other, "BEGIN; UPDATE nodes SET address = 'http://127.0.0.2' WHERE id = 2");
        (await VersionAsync()).ShouldBe(seen, "it is not committed");
        Run(other, "COMMIT");
        (await VersionAsync()).ShouldNotBe(seen);
    }

    [Fact]
    public async Task What_is_called_durable_is_on_the_disk_and_nobody_who_writes_waits_for_it()
    {
        await BlameAsync(Commit.Promptly);
        for (var i = 0; i < 20; i++)
        {
            await BlameAsync(Commit.Promptly);
            var before = (string)Run("SELECT pg_current_wal_insert_lsn()::text")!;
            await BlameAsync(Commit.Durably);
            Run($"SELECT pg_current_wal_flush_lsn() > '{before}'::pg_lsn").ShouldBe(true);
        }
    }

    [Fact]
    public async Task A_connection_that_is_ended_in_the_middle_of_a_batch_costs_nobody_anything()
    {
        await BlameAsync(Commit.Promptly);
        await using var held = Open();
        Run(held, "BEGIN; UPDATE nodes SET address = address WHERE id = 1");
        var waiting = Enumerable.Range(0, 20).Select(_ => Task.Run(() => writer.RunAsync(async rows =>
        {
            await rows.Ledger.BlameAsync(new NodeId(2));
            await rows.Ledger.BlameAsync(new NodeId(1));
            return (await rows.Ledger.FundsAsync(new UserId(1))) is not null; // waits for the other
        }))).ToList();
        const string Held = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        await Waiting.UntilAsync(() => Run($"SELECT COUNT(*) {Held}") is 1L);
        Run($"SELECT pg_terminate_backend(pid) {Held}");
        Run(held, "ROLLBACK");
        (await Task.WhenAll(waiting).WaitAsync(Patience)).ShouldAllBe(done => done);
        Blamed().ShouldBe(21);
        Blamed(2).ShouldBe(20);
    }

    [Fact]
    public async Task A_connection_that_is_ended_between_two_changes_is_made_anew()
    {
        for (var i = 0; i < 5; i++)
        {
            await BlameAsync(i % 2 == 0 ? Commit.Durably : Commit.Promptly);
            Run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
        }

        await BlameAsync(Commit.Promptly);
        Blamed().ShouldBe(6);
        health.IsGood.ShouldBeTrue();
    }

    [Fact]
    public async Task A_connection_that_waits_for_the_disk_and_is_ended_alone_is_made_anew_and_what_waited_is_asked_again()
    {
        for (var i = 0; i < 3; i++)
        {
            await BlameAsync(Commit.Durably);
            Run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_logical_emit%' AND pid <> pg_backend_pid()");
            var waiting = Enumerable.Range(0, 8).Select(_ => BlameAsync(Commit.Durably)).ToList();
            foreach (var one in waiting)
            {
                try
                {
                    await one.WaitAsync(Patience);
                }
                catch (GatewayStateException e)
                {
                    e.Fault.ShouldBe(StateFault.Unreachable);
                }
            }
        }

        await BlameAsync(Commit.Durably);
        health.IsGood.ShouldBeTrue();
        Blamed().ShouldBe(3 + (3 * 8) + 1);
    }

    [Fact]
    public async Task Two_writers_that_wait_for_each_other_both_end()
    {
        using var other = new PostgresWriter(database, new WriteHealth(TimeProvider.System, NullLogger<WriteHealth>.Instance));
        await Task.WhenAll(BothAsync(writer, 1, 2), BothAsync(other, 2, 1)).WaitAsync(TimeSpan.FromSeconds(100));
        (Blamed(), Blamed(2)).ShouldBe((60, 60));

        static async Task BothAsync(PostgresWriter writer, long first, long second)
        {
            for (var i = 0; i < 30; i++)
            {
                await writer.RunAsync(async rows =>
                {
                    await rows.Ledger.BlameAsync(new NodeId(first));
                    await rows.Ledger.FundsAsync(new UserId(99));
                    await rows.Ledger.BlameAsync(new NodeId(second));
                    return true;
                });
            }
        }
    }

    [Fact]
    public async Task Another_program_that_writes_for_a_while_delays_and_loses_nothing()
    {
        await using var other = Open();
        Run(other, "BEGIN; UPDATE nodes SET address = address WHERE id = 1");
        var waiting = Task.Run(() => BlameAsync(Commit.Promptly));
        await Task.Delay(300, TestContext.Current.CancellationToken);
        waiting.IsCompleted.ShouldBeFalse();
        Run(other, "COMMIT");
        await waiting.WaitAsync(Patience);
        Blamed().ShouldBe(1);
    }

    [Fact]
    public async Task Changes_that_another_program_holds_up_for_ten_seconds_are_given_up_and_the_gateway_goes_on_by_itself()
    {
        await using var other = Open();
        Run(other, "BEGIN; UPDATE nodes SET address = address WHERE id = 1");
        (await Should.ThrowAsync<GatewayStateException>(() => BlameAsync(Commit.Promptly))).Fault.ShouldBe(StateFault.Busy);
        health.IsGood.ShouldBeFalse();
        Run(other, "COMMIT");
        await BlameAsync(Commit.Promptly);
        health.IsGood.ShouldBeTrue();
        Blamed().ShouldBe(1);
    }

    [Fact]
    public async Task A_statement_timeout_of_the_servers_is_a_busy_database_and_no_bug()
    {
        Run($"ALTER DATABASE {new NpgsqlConnectionStringBuilder(connection).Database} SET statement_timeout = '100ms'");
        await using var other = Open();
        Run(other, "BEGIN; UPDATE nodes SET address = address WHERE id = 1");
        (await Should.ThrowAsync<GatewayStateException>(() => BlameAsync(Commit.Promptly))).Fault.ShouldBe(StateFault.Busy);
        Run(other, "COMMIT");
        await BlameAsync(Commit.Promptly);
        Blamed().ShouldBe(1);
    }

    [Fact]
    public async Task A_database_that_is_told_to_take_no_changes_says_so_and_goes_on_by_itself()
    {
        var name = new NpgsqlConnectionStringBuilder(connection).Database;
        await BlameAsync(Commit.Promptly);
        Told("SET default_transaction_read_only = on");
        var refusal = await Should.ThrowAsync<GatewayStateException>(() => BlameAsync(Commit.Promptly));
        (refusal.Fault, health.IsGood).ShouldBe((StateFault.ReadOnly, false));
        (await Should.ThrowAsync<GatewayStateException>(() => writer.RunAsync(rows => rows.ProbeAsync()))).Fault.ShouldBe(StateFault.ReadOnly);
        server.Execute("postgres", $"ALTER DATABASE {name} RESET default_transaction_read_only"); // what is connected stays as it is
        (await writer.RunAsync(rows => rows.ProbeAsync())).ShouldBeTrue();
        health.IsGood.ShouldBeTrue();
        Blamed().ShouldBe(1);

        void Told(string what)
        {
            server.Execute("postgres", $"ALTER DATABASE {name} {what}");
            server.Execute("postgres", $"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        }
    }

    [Fact]
    public async Task Closing_while_many_ask_writes_whatever_was_promised_and_refuses_the_rest()
    {
        var promised = 0;
        var asking = Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    await BlameAsync(Commit.Promptly);
                    Interlocked.Increment(ref promised);
                }
            }
            catch (ObjectDisposedException)
            {
            }
        })));
        await Waiting.UntilAsync(() => Volatile.Read(ref promised) >= 200);
        writer.Dispose();
        await asking.WaitAsync(Patience);
        Blamed().ShouldBe(promised);
    }

    private Task<bool> BlameAsync(Commit commit) => writer.RunAsync(
        async rows =>
        {
            await rows.Ledger.BlameAsync(new NodeId(1));
            return await rows.Ledger.FundsAsync(new UserId(1)) is not null; // sends it, and does not commit yet
        },
        commit);

    private Task<long> VersionAsync() => writer.RunAsync(rows => rows.ForeignVersionAsync());

    private long Blamed(long node = 1) => (long)Run(string.Create(CultureInfo.InvariantCulture, $"SELECT unreported FROM nodes WHERE id = {node}"))!;

    private object? Run(string sql) => PostgresUnderTest.ExecuteAt(connection, sql);

    private NpgsqlConnection Open()
    {
        var opened = new NpgsqlConnection(connection + ";Pooling=false");
        opened.Open();
        return opened;
    }

    private static void Run(NpgsqlConnection opened, string sql)
    {
        using var command = new NpgsqlCommand(sql, opened);
        command.ExecuteNonQuery();
    }
}
