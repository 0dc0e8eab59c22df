// spec/gateway.md section 5: the statements on the path of a request. Each race is decided by one conditional UPDATE and its
// row count; what belongs together is one transaction, a writer from its beginning (BEGIN IMMEDIATE).
using System.Data.Common;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.State;

/// <summary>Locks, reservations and settlements as prepared SQL over one connection. Safe from any thread.</summary>
internal sealed class HotStatements : IDisposable
{
    /// <summary>Long enough for a client's byte-identical retry to find the lock; spec/envelope-v1.md section 12.</summary>
    public static readonly TimeSpan ReturnedLockLifetime = TimeSpan.FromSeconds(30);

    /// <summary>Expired locks that no reservation names are of use to an operator who looks for a fault, and to nobody after that.</summary>
    private static readonly TimeSpan ExpiredLockRetention = TimeSpan.FromHours(1);

    private readonly DbConnection connection;
    private readonly TimeProvider clock;

    // SQLite has one writer at a time: those of this process wait here, where waiting costs no thread.
    private readonly SemaphoreSlim writer = new(1);

    private readonly Statement makeStack, holdUnits, insertLock;
    private readonly Statement claimLock, enlargeHold, insertReservation;
    private readonly Statement spendLock, holdAgain, returnLock, expireLock;
    private readonly Statement findReservation, endReservation, freeUnits, chargeUnits, findRoom, chargeLate, insertSettlement;
    private readonly Statement expireLocks, forgetLocks, postponeDeadline, releaseOverdue, blameNode, countOpen;
    private readonly Statement begin, commit, rollback, syncEveryCommit, syncCheckpoints;

    public HotStatements(Database database, TimeProvider clock)
    {
        this.clock = clock;
        connection = database.Connect();
        makeStack = new(connection, """
            INSERT INTO stacks (user_id, node_id, model, total, used, reserved) VALUES (@user, @node, @model, @total, 0, 0)
            ON CONFLICT (user_id, node_id, model) DO NOTHING
            """, "user", "node", "model", "total");
        holdUnits = new(connection, """
            UPDATE stacks SET reserved = reserved + @units
            WHERE user_id = @user AND node_id = @node AND model = @model AND @units <= total - used - reserved
            RETURNING id
            """, "user", "node", "model", "units");
        insertLock = new(connection, """
            INSERT INTO locks (stack_id, node_key, units, state, expires_at) VALUES (@stack, @key, @units, 'open', @expires)
            """, "stack", "key", "units", "expires");

        claimLock = new(connection, """
            UPDATE locks SET state = 'claimed'
            WHERE state IN ('open', 'returned') AND id = (
                SELECT id FROM locks
                WHERE stack_id = @stack AND node_key = @key AND state IN ('open', 'returned') AND expires_at > @now
                ORDER BY id LIMIT 1)
            RETURNING id, units
            """, "stack", "key", "now");
        enlargeHold = new(connection, """
            UPDATE stacks SET reserved = reserved + @more WHERE id = @stack AND @more <= total - used - reserved
            """, "stack", "more");
        insertReservation = new(connection, """
            INSERT INTO reservations (request_id, lock_id, user_id, node_id, stack_id, held, state, deadline_at)
            SELECT @request, @lock, user_id, node_id, id, @held, 'held', @deadline FROM stacks WHERE id = @stack
            """, "request", "lock", "held", "deadline", "stack");

        spendLock = new(connection, "UPDATE locks SET state = 'spent' WHERE id = @lock AND state = 'claimed'", "lock");
        holdAgain = new(connection, """
            UPDATE stacks SET reserved = reserved + @units WHERE id = @stack AND @units <= total - used - reserved
            """, "stack", "units");
        returnLock = new(connection, """
            UPDATE locks SET state = 'returned', expires_at = @expires WHERE id = @lock AND state = 'claimed'
            """, "lock", "expires");
        expireLock = new(connection, "UPDATE locks SET state = 'expired' WHERE id = @lock AND state = 'claimed'", "lock");

        findReservation = new(connection, """
            SELECT r.held, r.state FROM reservations r JOIN stacks s ON s.id = r.stack_id
            WHERE r.request_id = @request AND r.node_id = @node AND s.id = @stack AND s.model = @model
            """, "request", "node", "stack", "model");
        endReservation = new(connection, """
            UPDATE reservations SET state = @to WHERE request_id = @request AND state = @from
            """, "request", "from", "to");
        freeUnits = new(connection, "UPDATE stacks SET reserved = reserved - @units WHERE id = @stack", "stack", "units");
        chargeUnits = new(connection, """
            UPDATE stacks SET reserved = reserved - @held, used = used + @units WHERE id = @stack
            """, "stack", "held", "units");
        findRoom = new(connection, "SELECT total - used - reserved FROM stacks WHERE id = @stack", "stack");
        chargeLate = new(connection, """
            UPDATE stacks SET used = used + @units WHERE id = @stack AND @units <= total - used - reserved
            """, "stack", "units");
        insertSettlement = new(connection, """
            INSERT INTO settlements (request_id, kind, reported, charged, created_at) VALUES (@request, @kind, @reported, @charged, @now)
            """, "request", "kind", "reported", "charged", "now");

        expireLocks = new(connection, """
            UPDATE locks SET state = 'expired' WHERE state IN ('open', 'returned') AND expires_at <= @now RETURNING stack_id, units
            """, "now");
        forgetLocks = new(connection, """
            DELETE FROM locks
            WHERE state = 'expired' AND expires_at <= @past AND NOT EXISTS (SELECT 1 FROM reservations WHERE lock_id = locks.id)
            """, "past");
        countOpen = new(connection, "SELECT COUNT(*) FROM locks WHERE stack_id = @stack AND state IN ('open', 'returned')", "stack");
        postponeDeadline = new(connection, """
            UPDATE reservations SET deadline_at = @deadline WHERE request_id = @request AND state = 'held' AND deadline_at < @deadline
            """, "request", "deadline");
        releaseOverdue = new(connection, """
            UPDATE reservations SET state = 'unreported' WHERE state = 'held' AND deadline_at <= @now RETURNING stack_id, held, node_id
            """, "now");
        blameNode = new(connection, "UPDATE nodes SET unreported = unreported + 1 WHERE id = @node", "node");

        begin = new(connection, "BEGIN IMMEDIATE");
        commit = new(connection, "COMMIT");
        rollback = new(connection, "ROLLBACK");
        syncEveryCommit = new(connection, "PRAGMA synchronous = FULL");
        syncCheckpoints = new(connection, "PRAGMA synchronous = NORMAL");
    }

    /// <summary>Rule 1: finds or makes the stack, holds units of it and writes the lock.</summary>
    public Task<Hold> HoldAsync(LockTerms terms, CancellationToken cancel) => WriteAsync(now =>
    {
        makeStack.Run(terms.User.Value, terms.Node.Value, terms.Model, terms.StackTotal.Value);
        var held = HoldUnits(terms);
        if (held is null && ExpireLocks(now) > 0) // the sweeper comes every second; a full stack does not wait for it
            held = HoldUnits(terms);
        if (held is not { } stack)
            return default;
        if ((long)countOpen.Query(stack.Value)[0][0] >= terms.MaxOpen)
        {
            freeUnits.Run(stack.Value, terms.Units.Value);
            return new Hold(null, TooManyOpen: true);
        }

        insertLock.Run(stack.Value, terms.NodeKey.ToString(), terms.Units.Value, Milliseconds(now + terms.Lifetime));
        return new Hold(stack, TooManyOpen: false);
    }, cancel);

    /// <summary>Rule 2: claims the oldest lock and enlarges its hold to <paramref name="need"/>. Null where there is no lock, or no room.</summary>
    public async Task<Reservation?> ClaimAsync(
        StackId stack, X25519PublicKey nodeKey, ComputeUnits need, TimeSpan deadline, CancellationToken cancel)
    {
        try
        {
            return await WriteAsync(now => Claim(stack, nodeKey, need, now, now + deadline), cancel);
        }
        catch (NoRoom)
        {
            return null; // rolled back: the lock is open as before
        }
    }

    /// <summary>Rule 3: the node accepted.</summary>
    public Task SpendAsync(Reservation reservation) =>
        WriteAsync(_ => spendLock.Run(reservation.Lock.Value), CancellationToken.None);

    /// <summary>Rules 4 and 5: gives the lock back, and with <paramref name="release"/> what the request held.</summary>
    public Task ReturnAsync(Reservation reservation, bool release) => WriteAsync(now =>
    {
        // No row: the node's report came before its refusal did, and the units are free already.
        if (release && endReservation.Run(reservation.Request.ToString(), "held", "released") == 1)
            freeUnits.Run(reservation.Stack.Value, reservation.Held.Value);
        return holdAgain.Run(reservation.Stack.Value, reservation.LockUnits.Value) == 1
            ? returnLock.Run(reservation.Lock.Value, Milliseconds(now + ReturnedLockLifetime))
            : expireLock.Run(reservation.Lock.Value);
    }, CancellationToken.None);

    /// <summary>Rule 6, durable before it returns: one outcome for each report, in their order.</summary>
    public Task<IReadOnlyList<Settlement>> SettleAsync(NodeId node, IReadOnlyList<UsageReport> reports, CancellationToken cancel) =>
        WriteAsync<IReadOnlyList<Settlement>>(now => [.. reports.Select(report => Settle(node, report, now))], cancel, durable: true);

    /// <summary>Rules 7 and 8: expires locks and releases reservations whose time has come.</summary>
    /// <param name="relays">Requests still under way: their deadline begins when they end.</param>
    /// <param name="deadline">How long a reservation waits for its report.</param>
    /// <param name="cancel">Gives up.</param>
    public Task<Swept> SweepAsync(IReadOnlyList<RequestId> relays, TimeSpan deadline, CancellationToken cancel) =>
        WriteAsync(now => Sweep(relays, deadline, now), cancel);

    public void Dispose()
    {
        connection.Dispose();
        writer.Dispose();
    }

    private StackId? HoldUnits(LockTerms terms) =>
        holdUnits.Query(terms.User.Value, terms.Node.Value, terms.Model, terms.Units.Value) is [var row] ? new StackId((long)row[0]) : null;

    private Reservation? Claim(StackId stack, X25519PublicKey nodeKey, ComputeUnits need, DateTimeOffset now, DateTimeOffset deadline)
    {
        if (claimLock.Query(stack.Value, nodeKey.ToString(), Milliseconds(now)) is not [var claimed])
            return null;
        var (lockId, lockUnits) = ((long)claimed[0], (long)claimed[1]);
        var held = Math.Max(need.Value, lockUnits);
        if (enlargeHold.Run(stack.Value, held - lockUnits) == 0)
            throw new NoRoom();
        var request = RequestId.New();
        insertReservation.Run(request.ToString(), lockId, held, Milliseconds(deadline), stack.Value);
        return new Reservation(request, new LockId(lockId), new ComputeUnits(lockUnits), stack, new ComputeUnits(held));
    }

    private Settlement Settle(NodeId node, UsageReport report, DateTimeOffset now)
    {
        var request = report.Request.ToString("D");
        if (findReservation.Query(request, node.Value, report.Stack, report.Model) is not [var row])
            return Settlement.Unknown;
        var held = (long)row[0];
        switch ((string)row[1])
        {
            case "held":
                var capped = report.Units > held;
                var charged = Math.Min(report.Units, held);
                endReservation.Run(request, "held", "settled");
                chargeUnits.Run(report.Stack, held, charged);
                insertSettlement.Run(request, capped ? "capped" : "reported", report.Units, charged, Milliseconds(now));
                return capped ? Settlement.Capped : Settlement.Settled;
            case "unreported":
                var room = (long)findRoom.Query(report.Stack)[0][0];
                var late = Math.Min(Math.Min(report.Units, held), room);
                endReservation.Run(request, "unreported", "settled");
                chargeLate.Run(report.Stack, late);
                insertSettlement.Run(request, "late", report.Units, late, Milliseconds(now));
                return Settlement.Late;
            case "released" when report.Units > 0:
                return Settlement.Released;
            default:
                return Settlement.Repeated;
        }
    }

    private int ExpireLocks(DateTimeOffset now)
    {
        var expired = expireLocks.Query(Milliseconds(now));
        foreach (var row in expired)
            freeUnits.Run(row[0], row[1]);
        return expired.Count;
    }

    private Swept Sweep(IReadOnlyList<RequestId> relays, TimeSpan deadline, DateTimeOffset now)
    {
        var expired = ExpireLocks(now);
        forgetLocks.Run(Milliseconds(now - ExpiredLockRetention));
        foreach (var relay in relays)
            postponeDeadline.Run(relay.ToString(), Milliseconds(now + deadline));
        var overdue = releaseOverdue.Query(Milliseconds(now));
        foreach (var row in overdue)
        {
            freeUnits.Run(row[0], row[1]);
            blameNode.Run(row[2]);
        }

        return new Swept(expired, [.. overdue.Select(row => new NodeId((long)row[2]))]);
    }

    // What throws inside is rolled back.
    private async Task<T> WriteAsync<T>(Func<DateTimeOffset, T> write, CancellationToken cancel, bool durable = false)
    {
        await writer.WaitAsync(cancel);
        try
        {
            if (durable)
                syncEveryCommit.Run();
            begin.Run();
            var committed = false;
            try
            {
                var result = write(clock.GetUtcNow());
                commit.Run();
                committed = true;
                return result;
            }
            finally
            {
                if (!committed)
                    rollback.Run();
            }
        }
        finally
        {
            try
            {
                if (durable)
                    syncCheckpoints.Run();
            }
            finally
            {
                writer.Release(); // whatever happened, or nobody would ever write again
            }
        }
    }

    private static long Milliseconds(DateTimeOffset time) => time.ToUnixTimeMilliseconds();

    /// <summary>The stack has no room for what the request needs.</summary>
    private sealed class NoRoom : Exception;

    /// <summary>One statement, prepared at its first run; its values go in the order of its parameters.</summary>
    private sealed class Statement
    {
        private readonly DbCommand command;

        public Statement(DbConnection connection, string sql, params ReadOnlySpan<string> parameters)
        {
            command = connection.CreateCommand();
            command.CommandText = sql;
            foreach (var name in parameters)
            {
                var parameter = command.CreateParameter();
                parameter.ParameterName = "@" + name;
                command.Parameters.Add(parameter);
            }
        }

        /// <summary>How many rows changed.</summary>
        public int Run(params ReadOnlySpan<object> values)
        {
            Bind(values);
            return command.ExecuteNonQuery();
        }

        public List<object[]> Query(params ReadOnlySpan<object> values)
        {
            Bind(values);
            using var reader = command.ExecuteReader();
            var rows = new List<object[]>();
            while (reader.Read())
            {
                var row = new object[reader.FieldCount];
                reader.GetValues(row);
                rows.Add(row);
            }

            return rows;
        }

        private void Bind(ReadOnlySpan<object> values)
        {
            if (values.Length != command.Parameters.Count)
                throw new ArgumentException($"The statement takes {command.Parameters.Count} values, not {values.Length}.", nameof(values));
            for (var i = 0; i < values.Length; i++)
                command.Parameters[i].Value = values[i];
        }
    }
}

/// <summary>What a lock promises to whom.</summary>
internal sealed record LockTerms
{
    public required UserId User { get; init; }

    public required NodeId Node { get; init; }

    public required string Model { get; init; }

    public required X25519PublicKey NodeKey { get; init; }

    public required ComputeUnits Units { get; init; }

    public required TimeSpan Lifetime { get; init; }

    /// <summary>The size of the stack where it has to be made.</summary>
    public required ComputeUnits StackTotal { get; init; }

    /// <summary>Open locks that the stack may have.</summary>
    public required int MaxOpen { get; init; }
}

/// <summary>What became of a wish for a lock: a stack with the lock, or none because it is full or has too many open locks.</summary>
internal readonly record struct Hold(StackId? Stack, bool TooManyOpen);

/// <summary>What became of a usage report. All of them are acknowledged.</summary>
internal enum Settlement
{
    Settled,
    Capped,
    Late,
    Repeated,
    Released,
    Unknown,
}

/// <summary>What a sweep ended: how many locks, and a node for each reservation without a report.</summary>
internal sealed record Swept(int Locks, IReadOnlyList<NodeId> Overdue);
