// spec/gateway.md section 9, rule 6.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using Npgsql;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>
/// Writes over one connection, with statements that are prepared once; a second one waits for the disk. A connection that is lost is made anew
/// with the next change. Safe from any thread.
/// </summary>
internal sealed class PostgresWriter : StateWriter, IStateRows
{
    /// <summary>Of a transaction that gave way to another's: the server takes a second to see that two wait for each other.</summary>
    private const int MaxTries = 10;

    /// <summary>Between two attempts to connect: who asks meanwhile need not wait to hear the same.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    private readonly PostgresDatabase database;
    private readonly string name = Guid.NewGuid().ToString("N"); // of this process, in state_changes
    private readonly NpgsqlDataSource connections;
    private readonly PostgresSession session = new();
    private readonly PostgresLedgerRows ledger;
    private readonly PostgresNodeRows nodes;
    private readonly PostgresApiKeyRows apiKeys;
    private readonly PostgresStatement foreignVersion, probe;
    private GatewayStateException? lastRefusal;
    private long refusedAt; // Environment.TickCount64
    private Syncer? syncer;

    public PostgresWriter(PostgresDatabase database, WriteHealth health)
        : base(health)
    {
        this.database = database;
        connections = database.Server.Kept();
        ledger = new PostgresLedgerRows(session);
        nodes = new PostgresNodeRows(session);
        apiKeys = new PostgresApiKeyRows(session);
        foreignVersion = new PostgresStatement(session, "SELECT COALESCE(SUM(version), 0)::bigint FROM state_changes WHERE writer <> $1");
        probe = new PostgresStatement(session, """
            INSERT INTO state_changes (writer, version) VALUES ($1, 0) ON CONFLICT (writer) DO UPDATE SET version = state_changes.version
            """);
    }

    /// <summary>What a change works on: at a time one thread only, that which drains the queue.</summary>
    ILedgerRows IStateRows.Ledger => ledger;

    INodeRows IStateRows.Nodes => nodes;

    IApiKeyRows IStateRows.ApiKeys => apiKeys;

    private protected override object? Disk => syncer;

    public ValueTask<long> ForeignVersionAsync() => new(foreignVersion.Bind(0, name).Single(row => row.Integer(0)));

    public ValueTask<bool> ProbeAsync() => new(probe.Bind(0, name).Run() == 1);

    private protected override bool TryWrite(ReadOnlySpan<IWork> works, [NotNullWhen(false)] out Exception? failure)
    {
        session.IsInDoubt = false;
        for (var tries = 1; ; tries++)
        {
            try
            {
                if (syncer is { IsLost: true })
                    session.Dispose(); // on a new one there is somebody again who waits for the disk
                if (!session.IsOpen)
                    Connect();
                session.Begin();
                foreach (var work in works)
                {
                    var others = session.AwaitingCommit;
                    if (!work.TryRun(this) && session.AwaitingCommit == others)
                        throw AwaitsAnother();
                }

                var isAwaited = session.AwaitingCommit > 0;
                session.Commit();
                if (!Health.IsGood && session.Changed > 0)
                    Health.Wrote();
                if (isAwaited)
                    End(works);
                failure = null;
                return true;
            }
            catch (Exception e)
            {
                // A connection that was lost before the commit was sent took all of it along: on a new one it begins anew. So does what is there
                // once, however often it runs.
                var (isCommitting, isRepeatable) = (session.IsCommitting, session.IsRepeatable);
                session.Abandon();
                var isLost = !session.IsOpen && e is not GatewayStateException;
                if (tries < MaxTries && !isLost && PostgresFault.IsRetried(e))
                {
                    Thread.Sleep(Random.Shared.Next(1 << Math.Min(tries, 6))); // milliseconds
                    continue;
                }

                if (tries == 1 && (!isCommitting || isRepeatable) && isLost && database.Fault(e) is { Fault: StateFault.Unreachable })
                {
                    session.IsInDoubt = isCommitting;
                    continue;
                }

                failure = e;
                var fault = database.Fault(e);
                if (isCommitting && isLost)
                    fault ??= new GatewayStateException(StateFault.Unreachable, e); // perhaps it is committed: nobody is to run it again
                if (fault is not null)
                {
                    // The server has become a standby, perhaps: another is the primary now, and the next connection may lead there.
                    if (fault.Fault is StateFault.ReadOnly)
                        session.Dispose();
                    Health.Failed(fault, works.Length);
                    failure = fault;
                }

                return false;
            }
        }
    }

    // It is committed. What one of them read after that, to say why it was refused, fails for that one.
    private void End(ReadOnlySpan<IWork> works)
    {
        foreach (var work in works)
        {
            try
            {
                work.End();
            }
            catch (Exception e)
            {
                var fault = database.Fault(e) ?? (session.IsBroken ? new GatewayStateException(StateFault.Unreachable, e) : null);
                if (fault is not null)
                    Health.Failed(fault, 1);
                work.Failure = fault ?? e;
            }
        }

        if (session.IsBroken)
            session.Abandon();
    }

    private protected override void SyncDisk(object? disk)
    {
        try
        {
            ((Syncer)disk!).Sync();
        }
        catch (Exception e)
        {
            throw database.Fault(e) ?? new GatewayStateException(StateFault.Unreachable, e); // whatever it was, it is not known to be on the disk
        }
    }

    private protected override void Close()
    {
        session.Dispose();
        syncer?.Dispose();
        connections.Dispose();
    }

    private void Connect()
    {
        if (lastRefusal is { } refusal && Environment.TickCount64 - refusedAt < Pause.TotalMilliseconds)
            throw refusal;
        NpgsqlConnection? connection = null;
        Syncer? next = null;
        try
        {
            connection = connections.OpenConnection();
            next = new Syncer(connections.OpenConnection());
            database.Join(connection, name);
            if (!next.IsBeside(connection))
                throw new GatewayStateException(
                    StateFault.Unreachable,
                    ($"Two connections to the PostgreSQL server at {database.Server.Place} came to two servers.", "name one, or let the proxy between keep to one"),
                    null);
            syncer?.Dispose(); // what waits for it is told that it is not known to be on the disk
            (syncer, lastRefusal) = (next, null);
            session.Open(connection);
        }
        catch (Exception e)
        {
            connection?.Dispose();
            next?.Dispose();
            if (database.Fault(e) is not { } fault)
                throw;
            (lastRefusal, refusedAt) = (fault, Environment.TickCount64);
            throw fault;
        }
    }

    /// <summary>
    /// Waits for the disk in the place of all who committed before, and of nobody who writes meanwhile: the server's log is one, and once a
    /// commit in it is on the disk, all before it are.
    /// </summary>
    private sealed class Syncer : IDisposable
    {
        private readonly Lock gate = new();
        private readonly NpgsqlConnection connection;
        private readonly NpgsqlCommand flush;
        private volatile bool isLost;

        public Syncer(NpgsqlConnection connection)
        {
            this.connection = connection;
            flush = new NpgsqlCommand("SELECT pg_logical_emit_message(TRUE, 'confidentialchat', '')", connection);
            using var setting = new NpgsqlCommand("SHOW synchronous_commit", connection);
            if (setting.ExecuteScalar() is "off") // else as the operator has it: standbys may have to have it too
                Run("SET synchronous_commit = on");
        }

        /// <summary>Its connection is of no use any more.</summary>
        public bool IsLost => isLost;

        /// <summary>Whether it and another are connections to one and the same server, which has not started anew in between.</summary>
        public bool IsBeside(NpgsqlConnection other) => Started(connection) == Started(other);

        public void Sync()
        {
            lock (gate)
            {
                if (isLost)
                    throw new GatewayStateException(StateFault.Unreachable);
                try
                {
                    flush.ExecuteNonQuery();
                }
                finally
                {
                    isLost = connection.FullState is not System.Data.ConnectionState.Open;
                }
            }
        }

        public void Dispose()
        {
            lock (gate)
            {
                isLost = true;
                try
                {
                    connection.Dispose();
                }
                catch (Exception e) when (e is NpgsqlException or InvalidOperationException or IOException)
                {
                    // It is gone, in whatever way.
                }
            }
        }

        private static DateTime Started(NpgsqlConnection connection)
        {
            using var command = new NpgsqlCommand("SELECT pg_postmaster_start_time()", connection);
            return (DateTime)command.ExecuteScalar()!;
        }

        private void Run(string sql)
        {
            using var command = new NpgsqlCommand(sql, connection);
            command.ExecuteNonQuery();
        }
    }
}
