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
internal sealed class SqliteWriter : IStateWriter, IStateRows, IThreadPoolWorkItem, IDisposable
{
    /// <summary>How many go on with their request on the thread that wrote.</summary>
    private const int MaxToldHere = 4;

    private readonly SqliteConnection connection;
    private readonly sqlite3 handle;
    private readonly WriteHealth health;
    private readonly string logPath;
    private readonly SqliteLedgerRows ledger;
    private readonly SqliteNodeRows nodes;
    private readonly SqliteApiKeyRows apiKeys;
    private readonly SqliteStatement begin, commit, rollback, foreignVersion, probe;
    private bool hasProbed;

    // Guarded by the queue itself. The one who sets isDraining drains.
    private readonly Queue<IWork> queue = new();
    private bool isDraining, isClosed;
    private int awaited; // of those in the queue; the others come along, and are no reason for a transaction

    private readonly object durable = new(); // waited on, which a Lock cannot be
    private List<IWork> undurable = [];
    private bool isSyncing;
    private GatewayStateException? lostDisk;
    private SafeFileHandle? log;

    public SqliteWriter(Database database, WriteHealth health)
    {
        this.health = health;
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

    public Task<T> RunAsync<T>(Func<IStateRows, ValueTask<T>> change, Commit commit = Commit.Promptly)
    {
        var work = new Work<T>(change, commit);
        bool drains;
        lock (queue)
        {
            if (isClosed)
                return Task.FromException<T>(new ObjectDisposedException(nameof(SqliteWriter)));
            queue.Enqueue(work);
            if (commit is not Commit.Lazily)
                awaited++;
            drains = awaited > 0 && !isDraining;
            isDraining |= drains;
        }

        // Behind what the pool has to do already, so that requests that came together are written together, and no timer holds one back;
        // where it has nothing to do, on the thread that asks, and none is woken.
        if (drains && ThreadPool.PendingWorkItemCount == 0)
            Drain(work);
        else if (drains)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        return work.Task;
    }

    void IThreadPoolWorkItem.Execute() => Drain(asked: null);

    /// <param name="asked">What the thread that asks waits for; null on one that does nothing else.</param>
    private void Drain(IWork? asked)
    {
        var works = Dequeue();
        Write(works);

        bool drainsAgain;
        lock (queue)
        {
            drainsAgain = isDraining = awaited > 0;
            if (!isDraining)
                Monitor.PulseAll(queue);
        }

        if (drainsAgain)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        if (asked is null)
            Tell(works);
        else
            TellBeside(asked, works);
    }

    /// <summary>Writes what still waits, and closes.</summary>
    public void Dispose()
    {
        lock (queue)
        {
            if (isClosed)
                return;
            isClosed = true;
            while (isDraining)
                Monitor.Wait(queue);
        }

        var works = Dequeue();
        Write(works);
        Tell(works);
        lock (durable)
        {
            while (isSyncing)
                Monitor.Wait(durable);
        }

        foreach (var statement in (SqliteStatement[])[begin, commit, rollback, foreignVersion, probe])
            statement.Dispose();
        ledger.Dispose();
        nodes.Dispose();
        apiKeys.Dispose();
        log?.Dispose();
        connection.Dispose();
    }

    private IWork[] Dequeue()
    {
        lock (queue)
        {
            IWork[] works = [.. queue];
            queue.Clear();
            awaited = 0;
            return works;
        }
    }

    private void Write(ReadOnlySpan<IWork> works)
    {
        if (!works.IsEmpty && !TryWrite(works, out var failure))
        {
            // One of them failed. Each alone, so that it fails alone; but where the database cannot be used, asking for each only takes longer.
            foreach (var work in works)
            {
                if (failure is GatewayStateException || !TryWrite([work], out failure))
                    work.Failure = failure;
            }
        }

        foreach (var work in works)
        {
            if (work is { Commit: Commit.Durably, Failure: null })
                Sync(work);
        }
    }

    // True, or nothing is written.
    private bool TryWrite(ReadOnlySpan<IWork> works, [NotNullWhen(false)] out Exception? failure)
    {
        failure = null;
        var changes = raw.sqlite3_total_changes(handle);
        hasProbed = false;
        try
        {
            begin.Run();
            foreach (var work in works)
                work.Run(this);
            commit.Run();

            // A transaction that changed nothing is committed on a full disk too.
            if (!health.IsGood && (hasProbed || raw.sqlite3_total_changes(handle) != changes))
                health.Wrote();
            return true;
        }
        catch (Exception e)
        {
            RollBack();
            failure = e;
            if (SqliteFault.Of(e, connection.DataSource) is { } fault)
            {
                health.Failed(fault, works.Length);
                failure = fault;
            }

            return false;
        }
    }

    // Requests go on here, on a thread that is awake: to wake one for each costs more than what they do next. Of many, others take their half.
    private static void Tell(ArraySegment<IWork> works)
    {
        while (works.Count > MaxToldHere)
        {
            var others = works[(works.Count / 2)..];
            works = works[..(works.Count / 2)];
            ThreadPool.UnsafeQueueUserWorkItem(Tell, others, preferLocal: true);
        }

        foreach (var work in works)
            Tell(work);
    }

    // Another's request does not go on within the call of the one who asks: it could take the time, and whatever that one holds.
    private static void TellBeside(IWork asked, IWork[] works)
    {
        foreach (var work in works)
        {
            if (work == asked || work.Commit is not Commit.Promptly)
                Tell(work);
            else
                ThreadPool.UnsafeQueueUserWorkItem(Tell, work, preferLocal: false);
        }
    }

    private static void Tell(IWork work)
    {
        if (work is not { Commit: Commit.Durably, Failure: null }) // those are told when they are on the disk
            work.Complete();
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

    // The commit lies in the write-ahead log. One sync of that file is good for all commits before it, and meanwhile others go on.
    private void Sync(IWork work)
    {
        lock (durable)
        {
            // After a sync that failed the system may call the next one good without having written: nobody is told "on the disk" again.
            if (lostDisk is not null)
            {
                work.Failure = lostDisk;
                return;
            }

            undurable.Add(work);
            if (isSyncing)
                return;
            isSyncing = true;
        }

        ThreadPool.UnsafeQueueUserWorkItem(static writer => writer.SyncAll(), this, preferLocal: false);
    }

    private void SyncAll()
    {
        while (true)
        {
            List<IWork> works;
            Exception? failure;
            lock (durable)
            {
                (works, failure) = (undurable, lostDisk); // those too that came while the disk was lost
                undurable = [];
                if (works.Count == 0)
                {
                    isSyncing = false;
                    Monitor.PulseAll(durable);
                    return;
                }
            }

            try
            {
                if (failure is null)
                {
                    log ??= File.OpenHandle(logPath, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
                    RandomAccess.FlushToDisk(log);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                var lost = new GatewayStateException(StateFault.Unsynced, e);
                lock (durable)
                    failure = lostDisk = lost;
                health.Failed(lost, works.Count);
            }

            works.ForEach(work =>
            {
                work.Failure = failure; // written, and not known to be on the disk: whoever asked asks again, after a restart
                work.Complete();
            });
        }
    }

    private interface IWork
    {
        Commit Commit { get; }

        /// <summary>Why it is not written; null while it is.</summary>
        Exception? Failure { get; set; }

        void Run(IStateRows rows);

        /// <summary>Tells whoever waits.</summary>
        void Complete();
    }

    private sealed class Work<T>(Func<IStateRows, ValueTask<T>> change, Commit commit) : IWork
    {
        // Of a thread that syncs the disk nobody takes the time, nor, for what could wait, of one that writes.
        private readonly TaskCompletionSource<T> source =
            new(commit is Commit.Promptly ? TaskCreationOptions.None : TaskCreationOptions.RunContinuationsAsynchronously);

        private T? result;

        public Commit Commit => commit;

        public Exception? Failure { get; set; }

        public Task<T> Task => source.Task;

        public void Run(IStateRows rows)
        {
            // Nothing of SQLite's waits, so no change does.
            var ran = change(rows);
            if (!ran.IsCompleted)
                throw new InvalidOperationException("A change awaits something that is no row.");
            result = ran.Result;
        }

        public void Complete()
        {
            if (Failure is null)
                source.TrySetResult(result!);
            else
                source.TrySetException(Failure);
        }
    }
}
