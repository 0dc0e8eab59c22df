using System.Collections.Concurrent;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Sqlite;
using ConfidentialChat.Protocol;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/gateway.md section 5: the one who writes, on a real file, beside other threads and other programs.</summary>
public sealed class WriterTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [ThreadStatic]
    private static bool isAsking;

    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("writer-test-");
    private SqliteDatabase database = null!;
    private SqliteWriter writer = null!;

    private string LogPath => Directory.GetFiles(directory.FullName, "*-wal").Single();

    public async ValueTask InitializeAsync()
    {
        database = await SqliteDatabase.OpenAsync(DataDirectory.Open(directory.FullName), isOccupied: false, null, default);
        using (var connection = database.Connect())
        {
            Run(connection, "INSERT INTO users (id, name, created_at) VALUES (1, 'alice', 0)");
            Run(connection, "INSERT INTO nodes (id, identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported) VALUES (1, 'A', 'http://127.0.0.1', 1, 0, 0, 0, 0, 0, 0)");
        }

        writer = new SqliteWriter(database, new WriteHealth(TimeProvider.System, NullLogger<WriteHealth>.Instance));
    }

    public ValueTask DisposeAsync()
    {
        writer.Dispose();
        SqliteConnection.ClearAllPools();
        directory.Delete(recursive: true);
        return default;
    }

    [Fact]
    public async Task Nobody_goes_on_within_the_call_of_another_who_asks()
    {
        var nested = 0;
        await OnThreadsAsync(8, async () =>
        {
            for (var i = 0; i < 400; i++)
                await AskAsync(i % 3 == 0 ? Commit.Lazily : Commit.Promptly);
        });
        nested.ShouldBe(0);

        async Task AskAsync(Commit commit)
        {
            isAsking = true;
            var written = BlameAsync(commit);
            isAsking = false;
            if (commit is Commit.Lazily)
                _ = GoOnAsync(written);
            else
                await GoOnAsync(written);
        }

        async Task GoOnAsync(Task written)
        {
            var isHere = written.IsCompleted;
            await written;
            if (!isHere && isAsking)
                Interlocked.Increment(ref nested);
        }
    }

    [Fact]
    public async Task Whoever_goes_on_asks_again_and_again_and_every_change_is_written_once()
    {
        await Task.WhenAll(Enumerable.Range(0, 64).Select(async _ =>
        {
            for (var i = 0; i < 50; i++)
                await BlameAsync(i % 5 == 0 ? Commit.Durably : Commit.Promptly);
        })).WaitAsync(Patience);
        using var connection = database.Connect();
        Number(connection, "SELECT unreported FROM nodes WHERE id = 1").ShouldBe(64 * 50);
    }

    [Fact]
    public async Task A_change_that_fails_among_many_fails_alone()
    {
        using var held = database.Connect();
        Run(held, "BEGIN IMMEDIATE"); // so that they come together
        var outcomes = Enumerable.Range(0, 40).Select(i => Task.Run(() => writer.RunAsync(async rows =>
        {
            await rows.Ledger.BlameAsync(new NodeId(1));
            return i % 8 == 3 ? throw new InvalidDataException($"{i}") : true;
        }))).ToList();
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Run(held, "ROLLBACK");
        await Task.WhenAll(outcomes).WaitAsync(Patience).ContinueWith(_ => { }, TaskScheduler.Default);
        for (var i = 0; i < outcomes.Count; i++)
            (outcomes[i].Exception?.InnerException is InvalidDataException fault && fault.Message == $"{i}").ShouldBe(i % 8 == 3);
        Number(held, "SELECT unreported FROM nodes WHERE id = 1").ShouldBe(35);
    }

    [Fact]
    public async Task Closing_while_many_ask_writes_whatever_was_promised_and_refuses_the_rest()
    {
        var promised = 0;
        var asking = OnThreadsAsync(6, async () =>
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
        });
        while (Volatile.Read(ref promised) < 200)
            await Task.Delay(1, TestContext.Current.CancellationToken);
        writer.Dispose();
        await asking.WaitAsync(Patience);
        using var connection = database.Connect();
        Number(connection, "SELECT unreported FROM nodes WHERE id = 1").ShouldBe(promised);
    }

    [Fact]
    public async Task Another_program_changes_the_schema_and_the_statements_that_are_kept_go_on()
    {
        await BlameAsync(Commit.Promptly);
        using var other = database.Connect();
        foreach (var change in (string[])
                 [
                     "ALTER TABLE nodes ADD COLUMN later TEXT NOT NULL DEFAULT 'x'",
                     "CREATE INDEX later ON nodes (unreported)",
                     "DROP INDEX later",
                     "VACUUM",
                     "ANALYZE",
                     "PRAGMA wal_checkpoint(TRUNCATE)",
                 ])
        {
            Run(other, change);
            await BlameAsync(Commit.Durably);
            (await writer.RunAsync(rows => rows.Nodes.AllAsync())).Single().Card.IdentityKey.ShouldBe("A", change);
        }

        Number(other, "SELECT unreported FROM nodes WHERE id = 1").ShouldBe(7);
    }

    [Fact]
    public async Task What_another_program_changes_is_seen_whoever_wrote_in_between()
    {
        using var other = database.Connect();
        var seen = await writer.RunAsync(rows => rows.ForeignVersionAsync());
        for (var i = 0; i < 20; i++)
        {
            await BlameAsync(Commit.Promptly);
            (await writer.RunAsync(rows => rows.ForeignVersionAsync())).ShouldBe(seen, "its own changes are no one else's");
            Run(other, "UPDATE users SET name = name || 'x'");
            await BlameAsync(Commit.Promptly);
            var version = await writer.RunAsync(rows => rows.ForeignVersionAsync());
            version.ShouldNotBe(seen);
            seen = version;
        }
    }

    [Fact]
    public async Task A_log_that_grew_beneath_a_slow_reader_is_small_again_after_it()
    {
        using (var reader = database.Connect())
        {
            Run(reader, "BEGIN");
            Number(reader, "SELECT COUNT(*) FROM nodes");
            await GrowAsync(10 * 1024 * 1024);
            new FileInfo(LogPath).Length.ShouldBeGreaterThan(24 * 1024 * 1024);
            Run(reader, "COMMIT");
        }

        for (var i = 0; i < 3; i++)
            await GrowAsync(2 * 1024 * 1024);
        new FileInfo(LogPath).Length.ShouldBeLessThanOrEqualTo(16 * 1024 * 1024 + 64 * 1024);
    }

    [Fact]
    public async Task Another_program_that_writes_for_a_while_delays_and_loses_nothing()
    {
        using var other = database.Connect();
        Run(other, "BEGIN IMMEDIATE");
        var waiting = Task.Run(() => BlameAsync(Commit.Promptly));
        await Task.Delay(300, TestContext.Current.CancellationToken);
        waiting.IsCompleted.ShouldBeFalse();
        Run(other, "COMMIT");
        await waiting.WaitAsync(Patience);
        Number(other, "SELECT unreported FROM nodes WHERE id = 1").ShouldBe(1);
    }

    private Task<bool> BlameAsync(Commit commit) => writer.RunAsync(
        async rows =>
        {
            await rows.Ledger.BlameAsync(new NodeId(1));
            return true;
        },
        commit);

    // Each stands in the log twice and more: in the table and in its index.
    private async Task GrowAsync(long bytes)
    {
        var address = new string('a', 200_000);
        for (long written = 0; written < bytes; written += address.Length)
        {
            var number = written;
            await writer.RunAsync(async rows =>
            {
                await rows.Ledger.MakeStackAsync(new UserId(1), new NodeId(1), $"{Guid.NewGuid()}{address}", null, new ComputeUnits(number + 1));
                return true;
            });
        }
    }

    // Not of the pool, which then has nothing to do: whoever asks writes.
    private static async Task OnThreadsAsync(int count, Func<Task> act)
    {
        var ends = new ConcurrentBag<Task>();
        var threads = Enumerable.Range(0, count).Select(_ => new Thread(() =>
        {
            var end = act();
            ends.Add(end);
            ((IAsyncResult)end).AsyncWaitHandle.WaitOne();
        })).ToList();
        threads.ForEach(thread => thread.Start());
        await Task.Run(() => threads.ForEach(thread => thread.Join())).WaitAsync(Patience);
        await Task.WhenAll(ends);
    }

    private static void Run(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private static long Number(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)command.ExecuteScalar()!;
    }
}
