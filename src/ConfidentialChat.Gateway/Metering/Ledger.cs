// spec/gateway.md sections 5 and 10: the transitions of locks, reservations, settlements and money, whatever the database and the envelope.
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
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

    /// <summary>Of units that are bought: no sum of them overflows, and nobody has use for so many.</summary>
    private static readonly ComputeUnits LargestStack = new(1L << 60);

    /// <summary>Stacks that one sweep refunds: others wait for its transaction.</summary>
    private const int MostRefunded = 100;

    /// <summary>Rule 1: finds or makes the stack, buys what it lacks where its units have a price, holds units of it and writes the lock.</summary>
    public Task<LockOutcome> LockAsync(LockTerms terms) => state.RunAsync(async rows =>
    {
        var (ledger, now) = (rows.Ledger, time.GetUtcNow());
        var total = terms.Price is null ? terms.StackTotal : ComputeUnits.Zero;
        var stack = await ledger.MakeStackAsync(terms.User, terms.Node, terms.Model, terms.Price?.Id, total);
        foreach (var outpriced in await ledger.OutpricedStacksAsync(terms.User, terms.Node, terms.Model, terms.Price?.Id))
            await RefundAsync(ledger, outpriced, now);

        // The sweeper comes every second; a full stack does not wait for it.
        if (!await ledger.TryHoldForLockAsync(stack, terms.Units, terms.MaxOpen)
            && (await ExpireLocksAsync(ledger, now) == 0 || !await ledger.TryHoldForLockAsync(stack, terms.Units, terms.MaxOpen)))
        {
            var room = await ledger.RoomAsync(stack);
            if (terms.Units.Value <= room.Value)
                return new LockOutcome(null) { TooManyOpen = true };
            if (terms.Price is not { } price)
                return default;
            var paid = new Stack(stack, terms.User, terms.Node, terms.Model, price);
            var (hasRoom, shortfall) = await BuyAsync(
                ledger, paid, new ComputeUnits(terms.Units.Value - room.Value), () => ledger.TryHoldForLockAsync(stack, terms.Units, terms.MaxOpen), now);
            if (!hasRoom)
                return new LockOutcome(null) { TooManyOpen = shortfall is null, Shortfall = shortfall };
        }

        await ledger.InsertLockAsync(stack, terms.KeySet, terms.Units, now + terms.Lifetime);
        return new LockOutcome(stack);
    });

    /// <summary>
    /// Rule 2: claims the oldest lock for a new request and enlarges its hold to <paramref name="need"/>. None where there is no lock, no
    /// room, or too little balance to buy it: the lock is open as before.
    /// </summary>
    public Task<ClaimOutcome> ClaimAsync(
        RequestId request, Stack stack, LockedKeys keys, ComputeUnits need, TimeSpan deadline) => state.RunAsync(async rows =>
    {
        var (ledger, now) = (rows.Ledger, time.GetUtcNow());
        if (await ledger.OldestOpenLockAsync(stack.Id, keys.KeySet, now) is not { } oldest)
            return default;
        var held = new ComputeUnits(Math.Max(need.Value, oldest.Units.Value));
        var more = new ComputeUnits(held.Value - oldest.Units.Value);
        if (!await ledger.TryTakeOverAsync(stack.Id, more))
        {
            if (stack.Price is null)
                return default;
            var missing = new ComputeUnits(more.Value - (await ledger.RoomAsync(stack.Id)).Value);
            var (hasRoom, shortfall) = await BuyAsync(ledger, stack, missing, () => ledger.TryTakeOverAsync(stack.Id, more), now);
            if (!hasRoom)
                return new ClaimOutcome(null, shortfall);
        }

        if (!await ledger.TryClaimAsync(oldest.Id))
            throw new InvalidOperationException("A lock that is this transaction's was claimed by another.");
        var isNew = await ledger.TryInsertReservationAsync(new NewReservation
        {
            Request = request,
            User = stack.User,
            Node = stack.Node,
            Model = stack.Model,
            Stack = stack.Id,
            Held = held,
            Deadline = now + deadline,
            IsAttested = keys.IsAttested,
        });
        if (!isNew)
            throw new InvalidOperationException("A request's id was used before.");
        return new ClaimOutcome(
            new Reservation(request, stack.User, held) { Lock = new ClaimedLock(oldest.Id, oldest.Units), Stack = stack.Id }, Shortfall: null);
    });

    /// <summary>
    /// Rule 2, where there is no lock: holds what the units of one request cost at the most, of its user's balance, under the caller's own id
    /// for it. What is free holds nothing.
    /// </summary>
    public Task<ReserveOutcome> ReserveAsync(ReserveTerms terms) => state.RunAsync(async rows =>
    {
        var ledger = rows.Ledger;
        var most = terms.Price is { } price ? price.Units.MostFor(terms.Units) : MicroDollars.Zero;
        var isHeld = most is { } amount && await ledger.TryReserveAsync(new NewReservation
        {
            Request = terms.Request,
            User = terms.User,
            Node = terms.Node,
            Model = terms.Model,
            Price = terms.Price?.Id,
            Held = terms.Units,
            HeldMoney = amount,
            Deadline = time.GetUtcNow() + terms.Deadline,
            IsAttested = terms.IsAttested,
        });
        if (isHeld)
            return new ReserveOutcome(new Reservation(terms.Request, terms.User, terms.Units) { HeldMoney = most!.Value });
        return await ledger.HasReservationAsync(terms.Request)
            ? new ReserveOutcome(null) { IsRepeated = true }
            : new ReserveOutcome(null) { Shortfall = await ShortfallAsync(ledger, terms.User, most) };
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
            await ReleaseAsync(ledger, reservation.User, reservation.Stack, reservation.Held, reservation.HeldMoney);
        if (reservation is not { Lock: { } claimed, Stack: { } stack } || !await ledger.TryReturnAsync(claimed.Id, now + ReturnedLockLifetime))
            return false;
        if (await ledger.TryHoldForLockAsync(stack, claimed.Units, int.MaxValue))
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
    /// Rules 7 and 8: expires locks and releases reservations whose time has come, each with a provisional settlement, and refunds what is left
    /// of removed nodes' stacks. What would live longer than any can was written by a clock
    /// that was ahead, and gets the longest time from now: it would hold its units until that clock's time comes.
    /// </summary>
    /// <param name="relays">Requests still under way: their deadline begins when they end.</param>
    /// <param name="deadline">How long a reservation waits for its report.</param>
    /// <param name="retention">How long vouchers are kept.</param>
    /// <param name="refunds">Whether stacks of removed nodes are looked for too, which costs a look at all nodes.</param>
    /// <returns>A node for each reservation without a report.</returns>
    public Task<IReadOnlyList<NodeId>> SweepAsync(
        IReadOnlyList<RequestId> relays, TimeSpan deadline, TimeSpan retention, bool refunds) => state.RunAsync<IReadOnlyList<NodeId>>(async rows =>
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
        foreach (var missing in overdue)
        {
            await ReleaseAsync(ledger, missing.User, missing.Stack, missing.Held, missing.HeldMoney);
            await ledger.InsertSettlementAsync(missing.Request, missing.User, SettlementKind.Unreported, default, default, now);
            await ledger.BlameAsync(missing.Node);
        }

        if (refunds)
        {
            foreach (var orphaned in await ledger.OrphanedStacksAsync(MostRefunded))
                await RefundAsync(ledger, orphaned, now);
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
                if (!await ledger.TryEndAsync(request, ReservationState.Held, ReservationState.Settled))
                    return Settlement.Repeated; // another writer was first
                await ledger.InsertSettlementAsync(
                    request, reservation.User, isCapped ? SettlementKind.Capped : SettlementKind.Reported, report.Usage, charged, now);
                if (reservation.Stack is { } stack)
                    await ledger.ChargeAsync(stack, reservation.Held, charged.Units);
                else
                    await ChargeAsync(ledger, LedgerKind.Settlement, request, reservation, reservation.HeldMoney, charged, now);
                await KeepAsync(ledger, request, reported, now);
                return isCapped ? Settlement.Capped : Settlement.Settled;
            case ReservationState.Unreported:
                if (!await ledger.TryEndAsync(request, ReservationState.Unreported, ReservationState.Settled))
                    return Settlement.Repeated;
                var late = report.Usage.CappedAt(reservation.Held);
                if (reservation.Stack is { } lateStack)
                {
                    late = late.CappedAt(await ledger.RoomAsync(lateStack));
                    await ledger.ChargeAsync(lateStack, ComputeUnits.Zero, late.Units);
                }
                else if (reservation.Prices is { } prices && await ledger.FundsAsync(reservation.User) is { } funds)
                {
                    late = prices.Within(late, funds.Most);
                    await ChargeAsync(ledger, LedgerKind.Correction, request, reservation, MicroDollars.Zero, late, now);
                }

                if (!await ledger.TryReplaceSettlementAsync(request, report.Usage, late, now))
                    throw new InvalidOperationException("A reservation without a report has no provisional settlement.");
                await KeepAsync(ledger, request, reported, now);
                return Settlement.Late;
            case ReservationState.Released when report.Usage != default:
                return Settlement.Released;
            default:
                return Settlement.Repeated;
        }
    }

    // At the price that was fixed; what is free moves no money.
    private static async ValueTask ChargeAsync(
        ILedgerRows ledger, LedgerKind kind, RequestId request, KnownReservation reservation, MicroDollars held, Usage charged, DateTimeOffset now)
    {
        if (reservation.Prices is not { } prices)
            return;
        var cost = prices.CostOf(charged);
        if (cost.IsNothing)
        {
            await ReleaseAsync(ledger, reservation.User, stack: null, reservation.Held, held);
            return;
        }

        if (await ledger.TryChargeMoneyAsync(reservation.User, held, cost) is not { } carry)
            throw new InvalidOperationException("A request cost more than it held.");
        var debited = cost.Whole.Value + (carry < cost.Part ? 1 : 0); // one more where the carry went over a whole micro-dollar
        await WriteAsync(ledger, new LedgerEntry(reservation.User, kind, -debited, carry) { Request = request }, now);
    }

    // Pays for units that a stack lacks, and holds what they are for; where that fails, nothing was bought. Never more than is missing:
    // what lies in a stack is of no use elsewhere.
    private static async ValueTask<(bool IsHeld, Shortfall? Shortfall)> BuyAsync(
        ILedgerRows ledger, Stack stack, ComputeUnits missing, Func<ValueTask<bool>> hold, DateTimeOffset now)
    {
        if (missing.Value <= 0)
            return (await hold(), null); // somebody gave back what was missing a moment ago
        var price = stack.Price!.Units.MostFor(missing);
        if (price is not { } amount || await ledger.TryDebitAsync(stack.User, amount) is not { } carry)
            return (false, await ShortfallAsync(ledger, stack.User, price));
        var isGrown = await ledger.TryGrowAsync(stack.Id, missing, LargestStack);
        if (isGrown && await hold())
        {
            var entry = new LedgerEntry(stack.User, LedgerKind.Purchase, -amount.Value, carry) { Stack = stack.Id, Units = missing };
            await WriteAsync(ledger, entry, now);
            return (true, null);
        }

        if (isGrown)
            await ledger.TryShrinkAsync(stack.Id, missing);
        await ledger.TryCreditAsync(stack.User, amount);
        return (false, null);
    }

    // A balance that could not take it leaves the units where they are.
    private static async ValueTask RefundAsync(ILedgerRows ledger, PaidStack stack, DateTimeOffset now)
    {
        var amount = stack.Prices.WorthOf(stack.Room);
        if (!await ledger.TryShrinkAsync(stack.Id, stack.Room))
            return;
        if (await ledger.TryCreditAsync(stack.User, amount) is { } carry)
            await WriteAsync(ledger, new LedgerEntry(stack.User, LedgerKind.Refund, amount.Value, carry) { Stack = stack.Id, Units = stack.Room }, now);
        else
            await ledger.TryGrowAsync(stack.Id, stack.Room, LargestStack);
    }

    private static async ValueTask WriteAsync(ILedgerRows ledger, LedgerEntry entry, DateTimeOffset now)
    {
        if (!await ledger.TryInsertEntryAsync(entry, now))
            throw new InvalidOperationException("An entry without a reference is another's.");
    }

    private static async ValueTask<Shortfall> ShortfallAsync(ILedgerRows ledger, UserId user, MicroDollars? needed) => new(
        needed ?? new MicroDollars(MicroDollars.MaxValue), // more than anybody can have
        (await ledger.FundsAsync(user))?.Available ?? MicroDollars.Zero);

    private static ValueTask ReleaseAsync(ILedgerRows ledger, UserId user, StackId? stack, ComputeUnits held, MicroDollars money) =>
        stack is { } units ? ledger.FreeAsync(units, held, openLocks: 0)
        : money > MicroDollars.Zero ? ledger.FreeMoneyAsync(user, money)
        : default;

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

    /// <summary>At which units are bought; null where they are free.</summary>
    public required Price? Price { get; init; }

    /// <summary>The size of the stack where it has to be made, and is free.</summary>
    public required ComputeUnits StackTotal { get; init; }

    /// <summary>Open locks that the stack may have.</summary>
    public required int MaxOpen { get; init; }
}

/// <summary>What became of a wish for a lock: a stack with the lock, or none because it is full.</summary>
internal readonly record struct LockOutcome(StackId? Stack)
{
    /// <summary>None, because it has too many open locks.</summary>
    public bool TooManyOpen { get; init; }

    /// <summary>None, because the balance does not buy what is missing.</summary>
    public Shortfall? Shortfall { get; init; }
}

/// <summary>What became of a wish to claim a lock: a reservation, or none, because there is no lock, or no room and no balance to buy it.</summary>
internal readonly record struct ClaimOutcome(Reservation? Reservation, Shortfall? Shortfall);

/// <summary>What one request without a lock is to hold.</summary>
internal sealed record ReserveTerms
{
    public required UserId User { get; init; }

    public required NodeId Node { get; init; }

    public required string Model { get; init; }

    public required ComputeUnits Units { get; init; }

    /// <summary>The caller's; used once, for ever.</summary>
    public required RequestId Request { get; init; }

    /// <summary>At which it is settled, whatever is set later; null where it is free.</summary>
    public required Price? Price { get; init; }

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

/// <summary>What became of a wish to hold what a request may cost: a reservation, or none.</summary>
internal readonly record struct ReserveOutcome(Reservation? Reservation)
{
    /// <summary>None, because its id was used before.</summary>
    public bool IsRepeated { get; init; }

    /// <summary>None, because the balance does not cover it.</summary>
    public Shortfall? Shortfall { get; init; }
}

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
