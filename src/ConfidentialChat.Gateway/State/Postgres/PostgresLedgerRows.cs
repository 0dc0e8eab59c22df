// spec/gateway.md sections 5 and 10 in PostgreSQL: other gateways write at once. Whatever decides is a conditional UPDATE, which waits for theirs and
// looks again (READ COMMITTED); what is read to decide by is locked as it is read, and what another has locked to end it is left to that one.
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using Npgsql;
using static ConfidentialChat.Gateway.State.RowWords;

namespace ConfidentialChat.Gateway.State.Postgres;

internal sealed class PostgresLedgerRows : ILedgerRows
{
    /// <summary>Vouchers that one sweep deletes: others wait for its transaction.</summary>
    private const int MostForgotten = 1000;

    private readonly PostgresStatement makeStack, findStackOf, findPaidStackOf, findStack, findStackOfModel, findRoom;
    private readonly PostgresStatement holdForLock, takeOver, freeUnits, chargeUnits;
    private readonly PostgresStatement insertLock, findOldest, claimLock, spendLock, returnLock, expireReturned, expireLocks, forgetLocks;
    private readonly PostgresStatement shortenLocks, findPlaces;
    private readonly PostgresStatement reserveMoney, insertReservation, hasReservation, findReservation, endReservation, postpone, shortenReservations;
    private readonly PostgresStatement endOverdue, blame, insertSettlement, replaceSettlement, grow, shrink, outpriced, orphaned;
    private readonly PostgresStatement findFunds, freeMoney, chargeMoney, credit, debit, insertEntry, insertAudit;
    private readonly PostgresStatement endPrice, insertPrice, findPrice, findNode;
    private readonly PostgresStatement insertVoucher, findOldestVoucher, forgetVouchers, putSigningKey, endSigningKeys, boundSigningKeys, findSigningKey;

    private readonly PostgresSession session;

    // What was read last and is locked since, in which transaction: what it is nobody else changes, so that its end need not be waited for.
    private (long Transaction, RequestId Request, ReservationState State)? locked;

    public PostgresLedgerRows(PostgresSession session)
    {
        this.session = session;
        makeStack = new(session, """
            INSERT INTO stacks (user_id, node_id, model, price_id, total, used, reserved, open_locks) VALUES ($1, $2, $3, $4, $5, 0, 0, 0)
            ON CONFLICT DO NOTHING RETURNING id
            """);
        findStackOf = new(session, "SELECT id FROM stacks WHERE user_id = $1 AND node_id = $2 AND model = $3 AND price_id IS NULL");
        findPaidStackOf = new(session, "SELECT id FROM stacks WHERE user_id = $1 AND node_id = $2 AND model = $3 AND price_id = $4");
        findStack = new(session, """
            SELECT s.user_id, s.node_id, s.model, s.price_id, p.prompt, p.completion, p.image FROM stacks s LEFT JOIN prices p ON p.id = s.price_id
            WHERE s.id = $1
            """);
        findStackOfModel = new(session, """
            SELECT 1 FROM stacks s JOIN nodes n ON n.id = s.node_id WHERE s.model = $1 AND n.removed_at IS NULL LIMIT 1
            """);
        findRoom = new(session, "SELECT total - used - reserved FROM stacks WHERE id = $1 FOR NO KEY UPDATE");
        holdForLock = new(session, """
            UPDATE stacks SET reserved = reserved + $1, open_locks = open_locks + 1
            WHERE id = $2 AND $1 <= total - used - reserved AND open_locks < $3
            """);
        takeOver = new(session, """
            UPDATE stacks SET reserved = reserved + $1, open_locks = open_locks - 1 WHERE id = $2 AND $1 <= total - used - reserved
            """);
        freeUnits = new(session, "UPDATE stacks SET reserved = reserved - $1, open_locks = open_locks - $2 WHERE id = $3");
        chargeUnits = new(session, "UPDATE stacks SET reserved = reserved - $1, used = used + $2 WHERE id = $3");
        grow = new(session, "UPDATE stacks SET total = total + $1 WHERE id = $2 AND $1 <= $3 - total");
        shrink = new(session, "UPDATE stacks SET total = total - $1 WHERE id = $2 AND $1 <= total - used - reserved");
        outpriced = new(session, """
            SELECT s.id, s.user_id, p.prompt, p.completion, p.image, s.total - s.used - s.reserved FROM stacks s JOIN prices p ON p.id = s.price_id
            WHERE s.user_id = $1 AND s.node_id = $2 AND s.model = $3 AND s.price_id IS NOT NULL AND s.price_id IS DISTINCT FROM $4 AND s.used + s.reserved < s.total
            ORDER BY s.id
            """);
        orphaned = new(session, """
            SELECT s.id, s.user_id, p.prompt, p.completion, p.image, s.total - s.used - s.reserved
            FROM nodes n JOIN stacks s ON s.node_id = n.id JOIN prices p ON p.id = s.price_id
            WHERE n.removed_at IS NOT NULL AND s.price_id IS NOT NULL AND s.used + s.reserved < s.total ORDER BY s.id LIMIT $1
            """);

        findFunds = new(session, "SELECT balance, held, carry FROM users WHERE id = $1 FOR NO KEY UPDATE");
        freeMoney = new(session, "UPDATE users SET held = held - $1 WHERE id = $2");
        chargeMoney = new(session, """
            UPDATE users SET held = held - $1, balance = balance - $2 - (carry + $3) / 1000000, carry = (carry + $3) % 1000000
            WHERE id = $4 AND held >= $1 AND balance - $2 - (carry + $3) / 1000000 >= held - $1 RETURNING carry
            """);
        credit = new(session, "UPDATE users SET balance = balance + $1 WHERE id = $2 AND balance <= $3 - $1 RETURNING carry");
        debit = new(session, "UPDATE users SET balance = balance - $1 WHERE id = $2 AND $1 <= balance - held RETURNING carry");
        insertEntry = new(session, """
            INSERT INTO ledger (user_id, kind, amount, carry, request_id, stack_id, units, made_by, reference, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING
            """);
        insertAudit = new(session, "INSERT INTO audit (created_at, actor, act, subject, detail) VALUES ($1, $2, $3, $4, $5)");
        endPrice = new(session, "UPDATE prices SET ended_at = $1 WHERE node_id = $2 AND model = $3 AND ended_at IS NULL");
        insertPrice = new(session, """
            INSERT INTO prices (node_id, model, prompt, completion, image, valid_from, set_by) SELECT id, $1, $2, $3, $4, $5, $6 FROM nodes WHERE id = $7
            RETURNING id
            """);
        findNode = new(session, "SELECT 1 FROM nodes WHERE id = $1");
        findPrice = new(session, "SELECT id, prompt, completion, image FROM prices WHERE node_id = $1 AND model = $2 AND ended_at IS NULL");

        insertLock = new(session, "INSERT INTO locks (stack_id, key_set, units, state, expires_at) VALUES ($1, $2, $3, 'open', $4)");
        findOldest = new(session, """
            SELECT id, units FROM locks
            WHERE stack_id = $1 AND key_set = $2 AND state IN ('open', 'returned') AND expires_at > $3
            ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
            """);
        claimLock = new(session, "UPDATE locks SET state = 'claimed' WHERE id = $1 AND state IN ('open', 'returned')");
        spendLock = new(session, "UPDATE locks SET state = 'spent' WHERE id = $1 AND state = 'claimed'");
        returnLock = new(session, "UPDATE locks SET state = 'returned', expires_at = $1 WHERE id = $2 AND state = 'claimed'");
        expireReturned = new(session, "UPDATE locks SET state = 'expired' WHERE id = $1 AND state = 'returned'");
        expireLocks = new(session, """
            UPDATE locks SET state = 'expired'
            WHERE id IN (SELECT id FROM locks WHERE state IN ('open', 'returned') AND expires_at <= $1 FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING stack_id, units
            """);
        forgetLocks = new(session, "DELETE FROM locks WHERE state = 'expired' AND expires_at <= $1");
        shortenLocks = new(session, "UPDATE locks SET expires_at = $1 WHERE state IN ('open', 'returned') AND expires_at > $1");
        findPlaces = new(session, """
            SELECT DISTINCT s.id, s.model, l.key_set FROM stacks s JOIN locks l ON l.stack_id = s.id
            WHERE s.user_id = $1 AND l.state IN ('open', 'returned') AND l.expires_at > $2
            LIMIT 2
            """);

        insertReservation = new(session, """
            INSERT INTO reservations (request_id, user_id, node_id, model, stack_id, price_id, held, held_money, state, deadline_at, is_attested)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'held', $9, $10) ON CONFLICT DO NOTHING
            """);

        // One statement, so that neither is done where the other is not. The id may be another's, of a transaction that is not over as this one
        // looks: then the row is refused, and the transaction runs again.
        reserveMoney = new(session, """
            WITH payer AS (
                UPDATE users SET held = held + $8
                WHERE id = $2 AND $8 <= balance - held AND NOT EXISTS (SELECT FROM reservations WHERE request_id = $1) RETURNING id)
            INSERT INTO reservations (request_id, user_id, node_id, model, stack_id, price_id, held, held_money, state, deadline_at, is_attested)
            SELECT $1, id, $3, $4, $5, $6, $7, $8, 'held', $9, $10 FROM payer
            """);
        hasReservation = new(session, "SELECT 1 FROM reservations WHERE request_id = $1");
        findReservation = new(session, """
            SELECT r.user_id, r.stack_id, r.price_id, p.prompt, p.completion, p.image, r.held, r.held_money, r.state, r.is_attested
            FROM reservations r LEFT JOIN prices p ON p.id = r.price_id
            WHERE r.request_id = $1 AND r.node_id = $2 AND r.model = $3 FOR NO KEY UPDATE OF r
            """);
        endReservation = new(session, "UPDATE reservations SET state = $1 WHERE request_id = $2 AND state = $3");
        postpone = new(session, "UPDATE reservations SET deadline_at = $1 WHERE request_id = $2 AND state = 'held' AND deadline_at < $1");
        shortenReservations = new(session, "UPDATE reservations SET deadline_at = $1 WHERE state = 'held' AND deadline_at > $1");
        endOverdue = new(session, """
            UPDATE reservations SET state = 'unreported'
            WHERE request_id IN (SELECT request_id FROM reservations WHERE state = 'held' AND deadline_at <= $1 FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING request_id, user_id, node_id, stack_id, held, held_money
            """);
        blame = new(session, "UPDATE nodes SET unreported = unreported + 1 WHERE id = $1");
        insertSettlement = new(session, """
            INSERT INTO settlements (request_id, user_id, kind, reported_prompt, reported_completion, reported_pixels,
                                     charged_prompt, charged_completion, charged_pixels, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            """);
        replaceSettlement = new(session, """
            UPDATE settlements SET kind = 'late', reported_prompt = $1, reported_completion = $2, reported_pixels = $3,
                                   charged_prompt = $4, charged_completion = $5, charged_pixels = $6, created_at = $7
            WHERE request_id = $8 AND kind = 'unreported'
            """);

        insertVoucher = new(session, "INSERT INTO vouchers (request_id, created_at, signed) VALUES ($1, $2, $3)");
        findOldestVoucher = new(session, "SELECT id, created_at FROM vouchers ORDER BY id LIMIT 1");
        forgetVouchers = new(session, "DELETE FROM vouchers WHERE id < $1 AND created_at < $2");
        putSigningKey = new(session, """
            INSERT INTO node_signing_keys (node_id, digest, signing, ends_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
            """);
        endSigningKeys = new(session, "DELETE FROM node_signing_keys WHERE node_id = $1 AND ends_at < $2");
        boundSigningKeys = new(session, """
            DELETE FROM node_signing_keys WHERE node_id = $1 AND digest IN
                (SELECT digest FROM node_signing_keys WHERE node_id = $1 ORDER BY ends_at DESC, digest OFFSET $2)
            """);
        findSigningKey = new(session, "SELECT signing, ends_at FROM node_signing_keys WHERE node_id = $1 AND digest = $2");
    }

    public ValueTask<StackId> MakeStackAsync(UserId user, NodeId node, string model, PriceId? price, ComputeUnits total)
    {
        // Where another gateway makes it now, the INSERT waits for that one and makes none: then it is there.
        return new(new StackId(Find() ?? Make() ?? Find() ?? throw new InvalidOperationException("A stack went away as it was made.")));

        long? Find()
        {
            var find = (price is null ? findStackOf : findPaidStackOf).Bind(0, user.Value).Bind(1, node.Value).Bind(2, model);
            return (price is { } id ? find.Bind(3, id.Value) : find).Single(Id);
        }

        long? Make() => makeStack.Bind(0, user.Value).Bind(1, node.Value).Bind(2, model).Bind(3, price?.Value).Bind(4, total.Value).Single(Id);

        static long? Id(NpgsqlDataReader row) => row.Integer(0);
    }

    public ValueTask<Stack?> FindStackAsync(StackId stack) => new(findStack.Bind(0, stack.Value).Single(row => new Stack(
        stack,
        new UserId(row.Integer(0)),
        new NodeId(row.Integer(1)),
        row.Text(2),
        row.IsDBNull(3) ? null : new Price(new PriceId(row.Integer(3)), Prices(row, 4)))));

    public ValueTask<bool> HasStackOfAsync(string model) => new(findStackOfModel.Bind(0, model).Single(_ => true));

    public ValueTask<ComputeUnits> RoomAsync(StackId stack) => new(new ComputeUnits(findRoom.Bind(0, stack.Value).Single(row => row.Integer(0))));

    public ValueTask<bool> TryHoldForLockAsync(StackId stack, ComputeUnits units, int maxOpen) =>
        new(holdForLock.Bind(0, units.Value).Bind(1, stack.Value).Bind(2, maxOpen).Run() == 1);

    public ValueTask<bool> TryTakeOverAsync(StackId stack, ComputeUnits more) => new(takeOver.Bind(0, more.Value).Bind(1, stack.Value).Run() == 1);

    public ValueTask FreeAsync(StackId stack, ComputeUnits units, int openLocks)
    {
        freeUnits.Bind(0, units.Value).Bind(1, openLocks).Bind(2, stack.Value).Later();
        return default;
    }

    public ValueTask ChargeAsync(StackId stack, ComputeUnits held, ComputeUnits charged)
    {
        chargeUnits.Bind(0, held.Value).Bind(1, charged.Value).Bind(2, stack.Value).Later();
        return default;
    }

    public ValueTask<bool> TryGrowAsync(StackId stack, ComputeUnits units, ComputeUnits most) =>
        new(grow.Bind(0, units.Value).Bind(1, stack.Value).Bind(2, most.Value).Run() == 1);

    public ValueTask<bool> TryShrinkAsync(StackId stack, ComputeUnits units) => new(shrink.Bind(0, units.Value).Bind(1, stack.Value).Run() == 1);

    public ValueTask<IReadOnlyList<PaidStack>> OutpricedStacksAsync(UserId user, NodeId node, string model, PriceId? price) =>
        new(outpriced.Bind(0, user.Value).Bind(1, node.Value).Bind(2, model).Bind(3, price?.Value).All(ReadPaidStack));

    public ValueTask<IReadOnlyList<PaidStack>> OrphanedStacksAsync(int most) => new(orphaned.Bind(0, most).All(ReadPaidStack));

    public ValueTask<Funds?> FundsAsync(UserId user) => new(findFunds.Bind(0, user.Value).Single<Funds?>(row =>
        new Funds(new MicroDollars(row.Integer(0)), new MicroDollars(row.Integer(1)), (int)row.Integer(2))));

    public ValueTask FreeMoneyAsync(UserId user, MicroDollars amount)
    {
        freeMoney.Bind(0, amount.Value).Bind(1, user.Value).Later();
        return default;
    }

    public ValueTask<int?> TryChargeMoneyAsync(UserId user, MicroDollars held, Cost cost) =>
        new(chargeMoney.Bind(0, held.Value).Bind(1, cost.Whole.Value).Bind(2, cost.Part).Bind(3, user.Value).Single(Carry));

    public ValueTask<int?> TryCreditAsync(UserId user, MicroDollars amount) =>
        new(credit.Bind(0, amount.Value).Bind(1, user.Value).Bind(2, MicroDollars.MaxValue).Single(Carry));

    public ValueTask<int?> TryDebitAsync(UserId user, MicroDollars amount) => new(debit.Bind(0, amount.Value).Bind(1, user.Value).Single(Carry));

    public ValueTask<bool> TryInsertEntryAsync(LedgerEntry entry, DateTimeOffset now)
    {
        var insert = insertEntry
            .Bind(0, entry.User.Value).Bind(1, Spell(entry.Kind)).Bind(2, entry.Amount).Bind(3, entry.Carry)
            .Bind(4, entry.Request?.ToString()).Bind(5, entry.Stack?.Value).Bind(6, entry.Units?.Value)
            .Bind(7, entry.MadeBy).Bind(8, entry.Reference).Bind(9, now);
        if (entry.Reference is not null)
            return new(insert.Run() == 1);
        insert.Later(); // nothing else is there once
        return new(true);
    }

    public ValueTask InsertAuditAsync(AuditEntry entry, DateTimeOffset now)
    {
        insertAudit.Bind(0, now).Bind(1, entry.Actor).Bind(2, entry.Act).Bind(3, entry.Subject).Bind(4, entry.Detail).Later();
        return default;
    }

    public ValueTask<bool> TryEndPriceAsync(NodeId node, string model, DateTimeOffset now) =>
        new(endPrice.Bind(0, now).Bind(1, node.Value).Bind(2, model).Run() == 1);

    public ValueTask<PriceId?> TryInsertPriceAsync(NodeId node, string model, UnitPrices prices, string setBy, DateTimeOffset now) => new(insertPrice
        .Bind(0, model).Bind(1, prices.Prompt.Value).Bind(2, prices.Completion.Value).Bind(3, prices.Image.Value).Bind(4, now).Bind(5, setBy)
        .Bind(6, node.Value).Single<PriceId?>(row => new PriceId(row.Integer(0))));

    public ValueTask<Price?> CurrentPriceAsync(NodeId node, string model) =>
        new(findPrice.Bind(0, node.Value).Bind(1, model).Single(row => new Price(new PriceId(row.Integer(0)), Prices(row, 1))));

    public ValueTask<bool> HasNodeAsync(NodeId node) => new(findNode.Bind(0, node.Value).Single(_ => true));

    public ValueTask InsertLockAsync(StackId stack, KeySetDigest keySet, ComputeUnits units, DateTimeOffset expires)
    {
        insertLock.Bind(0, stack.Value).Bind(1, keySet.ToString()).Bind(2, units.Value).Bind(3, expires).Later();
        return default;
    }

    public ValueTask<OpenLock?> OldestOpenLockAsync(StackId stack, KeySetDigest keySet, DateTimeOffset now) =>
        new(findOldest.Bind(0, stack.Value).Bind(1, keySet.ToString()).Bind(2, now).Single(Read));

    public ValueTask<bool> TryClaimAsync(LockId id) => new(claimLock.Bind(0, id.Value).Run() == 1);

    public ValueTask<bool> TrySpendAsync(LockId id) => new(spendLock.Bind(0, id.Value).Run() == 1);

    public ValueTask<bool> TryReturnAsync(LockId id, DateTimeOffset expires) => new(returnLock.Bind(0, expires).Bind(1, id.Value).Run() == 1);

    public ValueTask<bool> TryExpireReturnedAsync(LockId id) => new(expireReturned.Bind(0, id.Value).Run() == 1);

    public ValueTask<IReadOnlyList<(StackId Stack, ComputeUnits Units)>> ExpireLocksAsync(DateTimeOffset now) =>
        new(expireLocks.Bind(0, now).All(row => (new StackId(row.Integer(0)), new ComputeUnits(row.Integer(1)))));

    public ValueTask ForgetLocksAsync(DateTimeOffset expiredBefore)
    {
        forgetLocks.Bind(0, expiredBefore).Later();
        return default;
    }

    public ValueTask ShortenLocksAsync(DateTimeOffset latest)
    {
        shortenLocks.Bind(0, latest).Later();
        return default;
    }

    public ValueTask<IReadOnlyList<LockedPlace>> LockedPlacesAsync(UserId user, DateTimeOffset now) =>
        new(findPlaces.Bind(0, user.Value).Bind(1, now).All(row => new LockedPlace(new StackId(row.Integer(0)), row.Text(1), ReadDigest(row.Text(2)))));

    public ValueTask<bool> TryReserveAsync(NewReservation reservation) =>
        Bind(reservation.HeldMoney > MicroDollars.Zero ? reserveMoney : insertReservation, reservation).Last();

    public ValueTask<bool> TryInsertReservationAsync(NewReservation reservation) => new(Bind(insertReservation, reservation).Run() == 1);

    public ValueTask<bool> HasReservationAsync(RequestId request)
    {
        var isTaken = hasReservation.Bind(0, request.ToString()).Single(_ => true);

        // Perhaps by this very request, whose first commit was not heard of.
        return isTaken && session.IsInDoubt ? throw new GatewayStateException(StateFault.Unreachable) : new(isTaken);
    }

    public ValueTask<KnownReservation?> FindReservationAsync(RequestId request, NodeId node, string model)
    {
        var found = findReservation.Bind(0, request.ToString()).Bind(1, node.Value).Bind(2, model).Single(ReadReservation);
        locked = found is { } reservation ? (session.Transaction, request, reservation.State) : null;
        return new(found);
    }

    public ValueTask<bool> TryEndAsync(RequestId request, ReservationState from, ReservationState to)
    {
        var isSure = locked == (session.Transaction, request, from);
        locked = null;
        var end = endReservation.Bind(0, Spell(to)).Bind(1, request.ToString()).Bind(2, Spell(from));
        if (!isSure)
            return new(end.Run() == 1);
        end.Later();
        return new(true);
    }

    public ValueTask PostponeAsync(RequestId request, DateTimeOffset deadline)
    {
        postpone.Bind(0, deadline).Bind(1, request.ToString()).Later();
        return default;
    }

    public ValueTask ShortenReservationsAsync(DateTimeOffset latest)
    {
        shortenReservations.Bind(0, latest).Later();
        return default;
    }

    public ValueTask<IReadOnlyList<OverdueReservation>> EndOverdueAsync(DateTimeOffset now)
    {
        locked = null;
        return new(endOverdue.Bind(0, now).All(row => new OverdueReservation(
            RequestId.TryParse(row.Text(0), out var request) ? request : default,
            new UserId(row.Integer(1)),
            new NodeId(row.Integer(2)),
            row.IsDBNull(3) ? null : new StackId(row.Integer(3)),
            new ComputeUnits(row.Integer(4)),
            new MicroDollars(row.Integer(5)))));
    }

    public ValueTask BlameAsync(NodeId node)
    {
        blame.Bind(0, node.Value).Later();
        return default;
    }

    public ValueTask InsertSettlementAsync(
        RequestId request, UserId user, SettlementKind kind, Usage reported, Usage charged, DateTimeOffset now)
    {
        insertSettlement.Bind(0, request.ToString()).Bind(1, user.Value).Bind(2, Spell(kind))
            .Bind(3, reported.PromptTokens).Bind(4, reported.CompletionTokens).Bind(5, reported.Pixels)
            .Bind(6, charged.PromptTokens).Bind(7, charged.CompletionTokens).Bind(8, charged.Pixels)
            .Bind(9, now).Later();
        return default;
    }

    public ValueTask<bool> TryReplaceSettlementAsync(RequestId request, Usage reported, Usage charged, DateTimeOffset now) => new(replaceSettlement
        .Bind(0, reported.PromptTokens).Bind(1, reported.CompletionTokens).Bind(2, reported.Pixels)
        .Bind(3, charged.PromptTokens).Bind(4, charged.CompletionTokens).Bind(5, charged.Pixels)
        .Bind(6, now).Bind(7, request.ToString()).Run() == 1);

    public ValueTask InsertVoucherAsync(RequestId request, byte[] signed, DateTimeOffset now)
    {
        insertVoucher.Bind(0, request.ToString()).Bind(1, now).Bind(2, signed).Later();
        return default;
    }

    public ValueTask ForgetVouchersAsync(DateTimeOffset settledBefore)
    {
        // by the order of their numbers, which is that of time: an index for the oldest would be written with every one
        if (findOldestVoucher.Single<(long Id, DateTimeOffset CreatedAt)?>(row => (row.Integer(0), row.Time(1))) is var (oldest, createdAt)
            && createdAt < settledBefore)
            forgetVouchers.Bind(0, oldest + MostForgotten).Bind(1, settledBefore).Later();
        return default;
    }

    public ValueTask PutSigningKeyAsync(NodeId node, KeySetDigest keySet, SigningKey key, int most, DateTimeOffset endedBefore)
    {
        endSigningKeys.Bind(0, node.Value).Bind(1, endedBefore).Later();
        putSigningKey.Bind(0, node.Value).Bind(1, keySet.ToString()).Bind(2, key.Key.ToString()).Bind(3, key.EndsAt).Later();
        boundSigningKeys.Bind(0, node.Value).Bind(1, most).Later();
        return default;
    }

    public ValueTask<SigningKey?> FindSigningKeyAsync(NodeId node, KeySetDigest keySet) =>
        new(findSigningKey.Bind(0, node.Value).Bind(1, keySet.ToString())
            .Single(row => Ed25519PublicKey.TryParse(row.Text(0), out var key) ? new SigningKey(key, row.Time(1)) : null));

    private static PostgresStatement Bind(PostgresStatement statement, NewReservation reservation) => statement
        .Bind(0, reservation.Request.ToString()).Bind(1, reservation.User.Value).Bind(2, reservation.Node.Value).Bind(3, reservation.Model)
        .Bind(4, reservation.Stack?.Value).Bind(5, reservation.Price?.Value).Bind(6, reservation.Held.Value).Bind(7, reservation.HeldMoney.Value)
        .Bind(8, reservation.Deadline).Bind(9, reservation.IsAttested);

    private static OpenLock? Read(NpgsqlDataReader row) => new OpenLock(new LockId(row.Integer(0)), new ComputeUnits(row.Integer(1)));

    private static int? Carry(NpgsqlDataReader row) => (int)row.Integer(0);

    private static UnitPrices Prices(NpgsqlDataReader row, int first) =>
        new(new MicroDollars(row.Integer(first)), new MicroDollars(row.Integer(first + 1)), new MicroDollars(row.Integer(first + 2)));

    private static PaidStack ReadPaidStack(NpgsqlDataReader row) =>
        new(new StackId(row.Integer(0)), new UserId(row.Integer(1)), Prices(row, 2), new ComputeUnits(row.Integer(5)));

    private static KnownReservation? ReadReservation(NpgsqlDataReader row) => new KnownReservation(
        new UserId(row.Integer(0)),
        row.IsDBNull(1) ? null : new StackId(row.Integer(1)),
        row.IsDBNull(2) ? null : Prices(row, 3),
        new ComputeUnits(row.Integer(6)),
        new MicroDollars(row.Integer(7)),
        ReadReservationState(row.Text(8)),
        row.GetBoolean(9));
}
