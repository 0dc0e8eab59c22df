// spec/gateway.md section 5. What is to be written waits in one queue, and goes into one transaction.
using System.Diagnostics.CodeAnalysis;

namespace ConfidentialChat.Gateway.State;

/// <summary>
/// Writes over one connection, whatever the engine: what waits goes into one transaction, and waiters go on after its commit. Safe from any
/// thread.
/// </summary>
internal abstract class StateWriter : IStateWriter, IThreadPoolWorkItem, IDisposable
{
    /// <summary>How many go on with their request on the thread that wrote.</summary>
    private const int MaxToldHere = 4;

    // Guarded by the queue itself. The one who sets isDraining drains.
    private readonly Queue<IWork> queue = new();
    private bool isDraining, isClosed;
    private int awaited; // of those in the queue; the others come along, and are no reason for a transaction

    private readonly object durable = new(); // waited on, which a Lock cannot be
    private List<IWork> undurable = [];
    private bool isSyncing;
    private GatewayStateException? lostDisk;

    private protected StateWriter(WriteHealth health) => Health = health;

    private protected WriteHealth Health { get; }

    /// <summary>
    /// Runs changes in one transaction, on one thread at a time. True, or nothing is written; but of one that was refused, and could not be told
    /// why, the failure is in its work.
    /// </summary>
    private protected abstract bool TryWrite(ReadOnlySpan<IWork> works, [NotNullWhen(false)] out Exception? failure);

    /// <summary>Puts on the disk whatever was committed to it before, while others write.</summary>
    /// <exception cref="GatewayStateException">It is not known to be there. After <see cref="StateFault.Unsynced"/> nothing ever is.</exception>
    private protected abstract void SyncDisk(object? disk);

    /// <summary>Where commits go now: a sync of another disk says nothing of them. Asked by whoever writes, after the commit.</summary>
    private protected virtual object? Disk => null;

    /// <summary>Nobody writes and nobody syncs any more.</summary>
    private protected abstract void Close();

    public Task<T> RunAsync<T>(Func<IStateRows, ValueTask<T>> change, Commit commit = Commit.Promptly)
    {
        var work = new Work<T>(change, commit);
        bool drains;
        lock (queue)
        {
            if (isClosed)
                return Task.FromException<T>(new ObjectDisposedException(GetType().Name));
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

        Close();
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

    // No statement is waited for in any other way than by the thread that runs it.
    private protected static InvalidOperationException AwaitsAnother() => new("A change awaits something that is no row.");

    private static void Tell(IWork work)
    {
        if (work is not { Commit: Commit.Durably, Failure: null }) // those are told when they are on the disk
            work.Complete();
    }

    // One sync is good for all commits before it, and meanwhile others go on.
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

            work.Disk = Disk;
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
            GatewayStateException? failure;
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
                    SyncDisk(works[^1].Disk);
            }
            catch (GatewayStateException e)
            {
                failure = e;
                if (e.Fault is StateFault.Unsynced)
                {
                    lock (durable)
                        lostDisk = e;
                }

                Health.Failed(e, works.Count);
            }

            foreach (var work in works)
            {
                // Written, and not known to be on the disk: whoever asked asks again.
                work.Failure = failure ?? (work.Disk == works[^1].Disk ? null : new GatewayStateException(StateFault.Unreachable));
                work.Complete();
            }
        }
    }

    private protected interface IWork
    {
        Commit Commit { get; }

        /// <summary>Why it is not written; null while it is.</summary>
        Exception? Failure { get; set; }

        /// <summary>Where it was committed to.</summary>
        object? Disk { get; set; }

        /// <summary>Runs the change; false where it awaits what is known after the commit.</summary>
        bool TryRun(IStateRows rows);

        /// <summary>Takes what a change gave that awaited the commit, after that; or throws what it threw.</summary>
        void End();

        /// <summary>Tells whoever waits.</summary>
        void Complete();
    }

    private sealed class Work<T>(Func<IStateRows, ValueTask<T>> change, Commit commit) : IWork
    {
        // Of a thread that syncs the disk nobody takes the time, nor, for what could wait, of one that writes.
        private readonly TaskCompletionSource<T> source =
            new(commit is Commit.Promptly ? TaskCreationOptions.None : TaskCreationOptions.RunContinuationsAsynchronously);

        private Task<T>? running;
        private T? result;

        public Commit Commit => commit;

        public Exception? Failure { get; set; }

        public object? Disk { get; set; }

        public Task<T> Task => source.Task;

        public bool TryRun(IStateRows rows)
        {
            var ran = change(rows);
            running = ran.IsCompleted ? null : ran.AsTask();
            if (running is not null)
                return false;
            result = ran.Result;
            return true;
        }

        public void End()
        {
            if (running is not null)
                result = running.IsCompleted ? running.GetAwaiter().GetResult() : throw AwaitsAnother();
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
