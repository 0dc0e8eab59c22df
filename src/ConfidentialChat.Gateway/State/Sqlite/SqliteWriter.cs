// spec/gateway.md section 5. SQLite has one writer at a time: what is to be written waits in one queue, and goes into one transaction.
using System.Diagnostics.CodeAnalysis;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using Microsoft.Data.Sqlite;
using Microsoft.Win32.SafeHandles;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

/// <summary>Writes over one connection, with statements that are prepared once. Safe from any thread.</summary>
internal sealed class SqliteWriter : StateWriter, IStateRows
{
    private readonly SqliteConnection connection;
    private readonly sqlite3 handle;
    private readonly string logPath;
    private readonly SqliteLedgerRows ledger;
    private readonly SqliteNodeRows nodes;
    private readonly SqliteApiKeyRows apiKeys;
    private readonly SqliteStatement begin, commit, rollback, foreignVersion, probe;
    private bool hasProbed;

    private SafeFileHandle? log;

    public SqliteWriter(SqliteDatabase database, WriteHealth health)
        : base(health)
    {
        connection = database.Connect();
        handle = connection.Handle!;
        logPath = connection.DataSource + "-wal";
        ledger = new SqliteLedgerRows(handle);
        nodes = new SqliteNodeRows(handle);
        apiKeys = new SqliteApiKeyRows(handle);
        begin = new SqliteStatement(handle, "BEGIN IMMEDIATE");
        commit = new SqliteStatement(handle, "COMMIT");
        rollback = new SqliteStatement(handle, "ROLLBACK");
        foreignVersion = new SqliteStatement(handle, "PRAGMA data_version");
        probe = new SqliteStatement(handle, "PRAGMA user_version = 0"); // a page of the file is written, also where it was 0; nobody reads it
    }

    /// <summary>What a change works on: at a time one thread only, that which drains the queue.</summary>
    ILedgerRows IStateRows.Ledger => ledger;

    INodeRows IStateRows.Nodes => nodes;

    IApiKeyRows IStateRows.ApiKeys => apiKeys;

    public ValueTask<long> ForeignVersionAsync() => new(foreignVersion.Single(row => row.Integer(0)));

    public ValueTask<bool> ProbeAsync()
    {
        probe.Run();
        return new(hasProbed = true);
    }

    private protected override bool TryWrite(ReadOnlySpan<IWork> works, [NotNullWhen(false)] out Exception? failure)
    {
        failure = null;
        var changes = raw.sqlite3_total_changes(handle);
        hasProbed = false;
        try
        {
            begin.Run();
            foreach (var work in works)
            {
                if (!work.TryRun(this))
                    throw AwaitsAnother();
            }

            commit.Run();

            // A transaction that changed nothing is committed on a full disk too.
            if (!Health.IsGood && (hasProbed || raw.sqlite3_total_changes(handle) != changes))
                Health.Wrote();
            return true;
        }
        catch (Exception e)
        {
            RollBack();
            failure = e;
            if (SqliteFault.Of(e, connection.DataSource) is { } fault)
            {
                Health.Failed(fault, works.Length);
                failure = fault;
            }

            return false;
        }
    }

    // After some faults, a full disk among them, SQLite has rolled back by itself, and a second time is an error that would hide the first.
    private void RollBack()
    {
        if (raw.sqlite3_get_autocommit(handle) != 0)
            return;
        try
        {
            rollback.Run();
        }
        catch (SqliteException)
        {
            // It has ended the transaction all the same; what was wrong is told already.
        }
    }

    // The commit lies in the write-ahead log.
    private protected override void SyncDisk(object? disk)
    {
        try
        {
            log ??= File.OpenHandle(logPath, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            RandomAccess.FlushToDisk(log);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The system may call the next one good without having written: nobody is told "on the disk" again.
            throw new GatewayStateException(StateFault.Unsynced, e);
        }
    }

    private protected override void Close()
    {
        foreach (var statement in (SqliteStatement[])[begin, commit, rollback, foreignVersion, probe])
            statement.Dispose();
        ledger.Dispose();
        nodes.Dispose();
        apiKeys.Dispose();
        log?.Dispose();
        connection.Dispose();
    }
}
