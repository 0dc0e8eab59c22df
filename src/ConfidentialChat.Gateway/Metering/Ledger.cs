// spec/gateway.md section 5: the transitions of locks, reservations and settlements, whatever the database and the envelope.
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>Bounds and counts what requests use. Safe from any thread.</summary>
internal sealed class Ledger(IStateWriter state, TimeProvider time)
{
    /// <summary>Long enough for a client's byte-identical retry to find the lock; spec/envelope-v1.md section 12.</summary>
    public static readonly TimeSpan ReturnedLockLifetime = TimeSpan.FromSeconds(30);

    /// <summary>Expired locks are of use to an operator who looks for a fault, and to nobody after that.</summary>
    public static readonly TimeSpan ExpiredLockRetention = TimeSpan.FromHours(1);

    /// <summary>No lock lives longer; spec/envelope-v1.md section 2.</summary>
    public static readonly TimeSpan LongestLock = TimeSpan.FromMinutes(1);

    /// <summary>Rule 1: finds or makes the stack, holds units of it and writes the lock.</summary>
    public Task<LockOutcome> LockAsync(LockTerms terms) => state.RunAsync(async rows =>
    {
        var (ledger, now) = (rows.Ledger, time.GetUtcNow());
        var stack = await ledger.MakeStackAsync(terms.User, terms.Node, terms.Model, terms.StackTotal);
        if (!await ledger.TryHoldForLockAsync(stack, terms.Units, terms.MaxOpen))
        {
            // The sweeper comes every second; a full stack does not wait for it.
            if (await ExpireLocksAsync(ledger, now) == 0 || !await ledger.TryHoldForLockAsync(stack, terms.Units, terms.MaxOpen))
                return new LockOutcome(null, TooManyOpen: terms.Units.Value <= (await ledger.RoomAsync(stack)).Value);
        }

        await ledger.InsertLockAsync(stack, terms.KeySet, terms.Units, now + terms.Lifetime);
        return new LockOutcome(stack, TooManyOpen: false);
    });

    /// <summary>
    /// Rule 2: claims the oldest lock for a new request and enlarges its hold to <paramref name="need"/>. Null where there is no lock, or no
    /// room: the lock is open as before.
    /// </summary>
    public Task<Reservation?> ClaimAsync(
        RequestId request, StackId stack, LockedKeys keys, ComputeUnits need, TimeSpan deadline) => state.RunAsync(async rows =>
    {
        var (ledger, now) = (rows.Ledger, time.GetUtcNow());
        if (await ledger.OldestOpenLockAsync(stack, keys.KeySet, now) is not { } oldest)
            return null;
        var held = new ComputeUnits(Math.Max(need.Value, oldest.Units.Value));
        if (!await ledger.TryTakeOverAsync(stack, new ComputeUnits(held.Value - oldest.Units.Value)))
            return null;
        if (!await ledger.TryClaimAsync(oldest.Id))
            throw new InvalidOperationException("A lock that is this transaction's was claimed by another.");
        if (!await ledger.TryInsertReservationAsync(request, stack, held, now + deadline, keys.IsAttested))
            throw new InvalidOperationException("A request's id was used before.");
        return new Reservation(request, new ClaimedLock(oldest.Id, oldest.Units), stack, held);
    });

    /// <summary>Rule 2, where there is no lock: holds the units of one request, under the caller's own id for it.</summary>
    public Task<ReserveOutcome> ReserveAsync(ReserveTerms terms) => state.RunAsync(async rows =>
    {
        var (ledger, now) = (rows.Ledger, time.GetUtcNow());
        var stack = await ledger.MakeStackAsync(terms.User, terms.Node, terms.Model, terms.StackTotal);
        if (!await ledger.TryHoldAsync(stack, terms.Units) && (await ExpireLocksAsync(ledger, now) == 0 || !await ledger.TryHoldAsync(stack, terms.Units)))
            return new ReserveOutcome(null, IsRepeated: false);
        if (await ledger.TryInsertReservationAsync(terms.Request, stack, terms.Units, now + terms.Deadline, terms.IsAttested))
            return new ReserveOutcome(new Reservation(terms.Request, null, stack, terms.Units), IsRepeated: false);
        await ledger.FreeAsync(stack, terms.Units, openLocks: 0);
        return new ReserveOutcome(null, IsRepeated: true);
    });

    /// <summary>Rule 3: the node accepted. Nobody waits: a lock that stays claimed, because this process died, is spent at the next start.</summary>
    public void Spend(Reservation reservation)
    {
        if (reservation.Lock is { } claimed)
            _ = state.RunAsync(rows => rows.Ledger.TrySpendAsync(claimed.Id), Commit.Lazily);
    }

    /// <summary>Rules 4 and 5: gives the lock back, and with <paramref name="release"/> what the request held.</summary>
    public Task ReturnAsync(Reservation reservation, bool release) => state.RunAsync(async rows =>
    {
        var (ledger, now) = (rows.Ledger, time.GetUtcNow());

        // Not held any more: the node's report came before its refusal did, and the units are free already.
        if (release && await ledger.TryEndAsync(reservation.Request, ReservationState.Held, ReservationState.Released))
            await ledger.FreeAsync(reservation.Stack, reservation.Held, openLocks: 0);
        if (reservation.Lock is not { } claimed || !await ledger.TryReturnAsync(claimed.Id, now + ReturnedLockLifetime))
            return false;
        if (await ledger.TryHoldForLockAsync(reservation.Stack, claimed.Units, int.MaxValue))
            return true;
        await ledger.TryExpireReturnedAsync(claimed.Id);
        return false;
    });

    /// <summary>Rule 6, on the disk before it returns: one outcome for each report, in their order.</summary>
    public Task<IReadOnlyList<Settlement>> SettleAsync(NodeId node, IReadOnlyList<ReportedUsage> reports) => state.RunAsync<IReadOnlyList<Settlement>>(
        async rows =>
        {
            var outcomes = new Settlement[reports.Count];
            for (var i = 0; i < outcomes.Length; i++)
                outcomes[i] = await SettleAsync(rows.Ledger, node, reports[i], time.GetUtcNow());
            return outcomes;
        },
        Commit.Durably);

    /// <summary>
    /// Rules 7 and 8: expires locks and releases reservations whose time has come. What would live longer than any can was written by a clock
    /// that was ahead, and gets the longest time from now: it would hold its units until that clock's time comes.
    /// </summary>
    /// <param name="relays">Requests still under way: their deadline begins when they end.</param>
    /// <param name="deadline">How long a reservation waits for its report.</param>
    /// <param name="retention">How long vouchers are kept.</param>
    /// <returns>A node for each reservation without a report.</returns>
    public Task<IReadOnlyList<NodeId>> SweepAsync(
        IReadOnlyList<RequestId> relays, TimeSpan deadline, TimeSpan retention) => state.RunAsync<IReadOnlyList<NodeId>>(async rows =>
    {
        var (ledger, now) = (rows.Ledger, time.GetUtcNow());
        await ledger.ShortenLocksAsync(now + LongestLock);
        await ledger.ShortenReservationsAsync(now + deadline);
        await ExpireLocksAsync(ledger, now);
        await ledger.ForgetLocksAsync(now - ExpiredLockRetention);
        await ledger.ForgetVouchersAsync(now - retention);
        foreach (var relay in relays)
            await ledger.PostponeAsync(relay, now + deadline);
        var overdue = await ledger.EndOverdueAsync(now);
        foreach (var (stack, held, node) in overdue)
        {
            await ledger.FreeAsync(stack, held, openLocks: 0);
            await ledger.BlameAsync(node);
        }

        return [.. overdue.Select(reservation => reservation.Node)];
    });

    private static async ValueTask<Settlement> SettleAsync(ILedgerRows ledger, NodeId node, ReportedUsage reported, DateTimeOffset now)
    {
        var report = reported.Report;
        var request = new RequestId(report.Request);
        if (await ledger.FindReservationAsync(request, node, report.Model) is not { } reservation)
            return Settlement.Unknown;
        if (reservation.IsAttested && reported.Signed is null)
            return Settlement.Unsigned; // by who runs the machine, perhaps, and not by what was measured
        switch (reservation.State)
        {
            case ReservationState.Held:
                var charged = report.Usage.CappedAt(reservation.Held);
                var isCapped = charged != report.Usage;
                await ledger.TryEndAsync(request, ReservationState.Held, ReservationState.Settled);
                await ledger.ChargeAsync(reservation.Stack, reservation.Held, charged.Units);
                await ledger.InsertSettlementAsync(request, isCapped ? SettlementKind.Capped : SettlementKind.Reported, report.Usage, charged, now);
                await KeepAsync(ledger, request, reported, now);
                return isCapped ? Settlement.Capped : Settlement.Settled;
            case ReservationState.Unreported:
                var room = await ledger.RoomAsync(reservation.Stack);
                var late = report.Usage.CappedAt(new ComputeUnits(Math.Min(reservation.Held.Value, room.Value)));
                await ledger.TryEndAsync(request, ReservationState.Unreported, ReservationState.Settled);
                await ledger.ChargeAsync(reservation.Stack, ComputeUnits.Zero, late.Units);
                await ledger.InsertSettlementAsync(request, SettlementKind.Late, report.Usage, late, now);
                await KeepAsync(ledger, request, reported, now);
                return Settlement.Late;
            case ReservationState.Released when report.Usage != default:
                return Settlement.Released;
            default:
                return Settlement.Repeated;
        }
    }

    private static ValueTask KeepAsync(ILedgerRows ledger, RequestId request, ReportedUsage reported, DateTimeOffset now) =>
        reported.Signed is { Length: > 0 } signed ? ledger.InsertVoucherAsync(request, signed, now) : default;

    private static async ValueTask<int> ExpireLocksAsync(ILedgerRows ledger, DateTimeOffset now)
    {
        var expired = await ledger.ExpireLocksAsync(now);
        foreach (var (stack, units) in expired)
            await ledger.FreeAsync(stack, units, openLocks: 1);
        return expired.Count;
    }
}

/// <summary>What a lock promises to whom.</summary>
internal sealed record LockTerms
{
    public required UserId User { get; init; }

    public required NodeId Node { get; init; }

    public required string Model { get; init; }

    public required KeySetDigest KeySet { get; init; }

    public required ComputeUnits Units { get; init; }

    public required TimeSpan Lifetime { get; init; }

    /// <summary>The size of the stack where it has to be made.</summary>
    public required ComputeUnits StackTotal { get; init; }

    /// <summary>Open locks that the stack may have.</summary>
    public required int MaxOpen { get; init; }
}

/// <summary>What became of a wish for a lock: a stack with the lock, or none because it is full or has too many open locks.</summary>
internal readonly record struct LockOutcome(StackId? Stack, bool TooManyOpen);

/// <summary>What one request without a lock is to hold.</summary>
internal sealed record ReserveTerms
{
    public required UserId User { get; init; }

    public required NodeId Node { get; init; }

    public required string Model { get; init; }

    public required ComputeUnits Units { get; init; }

    /// <summary>The caller's; used once, for ever.</summary>
    public required RequestId Request { get; init; }

    /// <summary>The size of the stack where it has to be made.</summary>
    public required ComputeUnits StackTotal { get; init; }

    /// <summary>How long it waits for its report.</summary>
    public required TimeSpan Deadline { get; init; }

    /// <summary>Whether it is sealed to a key set with a bundle, and nothing but a voucher settles it.</summary>
    public required bool IsAttested { get; init; }
}

/// <summary>The key set that a lock promised.</summary>
/// <param name="KeySet">Its digest.</param>
/// <param name="IsAttested">Whether it has a bundle, and nothing but a voucher settles what is sealed to it.</param>
internal readonly record struct LockedKeys(KeySetDigest KeySet, bool IsAttested);

/// <summary>What a node says that a request used.</summary>
/// <param name="Report">Its parts.</param>
/// <param name="Signed">The voucher that says so, which is good, to be kept; empty where vouchers are not kept, null where there is none.</param>
internal sealed record ReportedUsage(UsageReport Report, byte[]? Signed);

/// <summary>What became of a wish to hold units: a reservation, or none because there is no room or its id was used before.</summary>
internal readonly record struct ReserveOutcome(Reservation? Reservation, bool IsRepeated);

/// <summary>What became of a usage report. All of them are acknowledged.</summary>
internal enum Settlement
{
    Settled,
    Capped,
    Late,
    Repeated,
    Released,
    Unknown,

    /// <summary>A report without a voucher, of a request that was sealed to attested keys.</summary>
    Unsigned,
}
