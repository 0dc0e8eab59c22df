// spec/gateway.md sections 5 and 10 in SQLite: the transaction is a writer's from its beginning, so nothing changes between two of these statements.
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using Microsoft.Data.Sqlite;
using SQLitePCL;
using static ConfidentialChat.Gateway.State.RowWords;

namespace ConfidentialChat.Gateway.State.Sqlite;

internal sealed class SqliteLedgerRows : ILedgerRows, IDisposable
{
    /// <summary>Vouchers that one sweep deletes: others wait for its transaction.</summary>
    private const int MostForgotten = 1000;

    private readonly SqliteStatement makeStack, findStackOf, findPaidStackOf, findStack, findStackOfModel, findRoom;
    private readonly SqliteStatement holdForLock, takeOver, freeUnits, chargeUnits;
    private readonly SqliteStatement insertLock, findOldest, claimLock, spendLock, returnLock, expireReturned, expireLocks, forgetLocks;
    private readonly SqliteStatement shortenLocks, findPlaces;
    private readonly SqliteStatement insertReservation, hasReservation, findReservation, endReservation, postpone, shortenReservations, endOverdue, blame;
    private readonly SqliteStatement insertSettlement, replaceSettlement, grow, shrink, outpriced, orphaned;
    private readonly SqliteStatement findFunds, holdMoney, freeMoney, chargeMoney, credit, debit, insertEntry, insertAudit;
    private readonly SqliteStatement endPrice, insertPrice, findPrice, findNode;
    private readonly SqliteStatement insertVoucher, findOldestVoucher, forgetVouchers, putSigningKey, endSigningKeys, boundSigningKeys, findSigningKey;

    public SqliteLedgerRows(sqlite3 database)
    {
        makeStack = new(database, """
            INSERT INTO stacks (user_id, node_id, model, price_id, total, used, reserved, open_locks) VALUES (?, ?, ?, ?, ?, 0, 0, 0) RETURNING id
            """);
        findStackOf = new(database, "SELECT id FROM stacks WHERE user_id = ? AND node_id = ? AND model = ? AND price_id IS NULL");
        findPaidStackOf = new(database, "SELECT id FROM stacks WHERE user_id = ? AND node_id = ? AND model = ? AND price_id = ?");
        findStack = new(database, """
            SELECT s.user_id, s.node_id, s.model, s.price_id, p.prompt, p.completion, p.image FROM stacks s LEFT JOIN prices p ON p.id = s.price_id
            WHERE s.id = ?
            """);
        findStackOfModel = new(database, """
            SELECT 1 FROM stacks s JOIN nodes n ON n.id = s.node_id WHERE s.model = ? AND n.removed_at IS NULL LIMIT 1
            """);
        findRoom = new(database, "SELECT total - used - reserved FROM stacks WHERE id = ?");
        holdForLock = new(database, """
            UPDATE stacks SET reserved = reserved + ?1, open_locks = open_locks + 1
            WHERE id = ?2 AND ?1 <= total - used - reserved AND open_locks < ?3
            """);
        takeOver = new(database, """
            UPDATE stacks SET reserved = reserved + ?1, open_locks = open_locks - 1 WHERE id = ?2 AND ?1 <= total - used - reserved
            """);
        freeUnits = new(database, "UPDATE stacks SET reserved = reserved - ?, open_locks = open_locks - ? WHERE id = ?");
        chargeUnits = new(database, "UPDATE stacks SET reserved = reserved - ?, used = used + ? WHERE id = ?");
        grow = new(database, "UPDATE stacks SET total = total + ?1 WHERE id = ?2 AND ?1 <= ?3 - total");
        shrink = new(database, "UPDATE stacks SET total = total - ?1 WHERE id = ?2 AND ?1 <= total - used - reserved");
        outpriced = new(database, """
            SELECT s.id, s.user_id, p.prompt, p.completion, p.image, s.total - s.used - s.reserved FROM stacks s JOIN prices p ON p.id = s.price_id
            WHERE s.user_id = ? AND s.node_id = ? AND s.model = ? AND s.price_id IS NOT NULL AND s.price_id IS NOT ? AND s.used + s.reserved < s.total
            """);
        orphaned = new(database, """
            SELECT s.id, s.user_id, p.prompt, p.completion, p.image, s.total - s.used - s.reserved
            FROM nodes n JOIN stacks s ON s.node_id = n.id JOIN prices p ON p.id = s.price_id
            WHERE n.removed_at IS NOT NULL AND s.price_id IS NOT NULL AND s.used + s.reserved < s.total LIMIT ?
            """);

        findFunds = new(database, "SELECT balance, held, carry FROM users WHERE id = ?");
        holdMoney = new(database, "UPDATE users SET held = held + ?1 WHERE id = ?2 AND ?1 <= balance - held");
        freeMoney = new(database, "UPDATE users SET held = held - ? WHERE id = ?");
        chargeMoney = new(database, """
            UPDATE users SET held = held - ?1, balance = balance - ?2 - (carry + ?3) / 1000000, carry = (carry + ?3) % 1000000
            WHERE id = ?4 AND held >= ?1 AND balance - ?2 - (carry + ?3) / 1000000 >= held - ?1 RETURNING carry
            """);
        credit = new(database, "UPDATE users SET balance = balance + ?1 WHERE id = ?2 AND balance <= ?3 - ?1 RETURNING carry");
        debit = new(database, "UPDATE users SET balance = balance - ?1 WHERE id = ?2 AND ?1 <= balance - held RETURNING carry");
        insertEntry = new(database, """
            INSERT INTO ledger (user_id, kind, amount, carry, request_id, stack_id, units, made_by, reference, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
            """);
        insertAudit = new(database, "INSERT INTO audit (created_at, actor, act, subject, detail) VALUES (?, ?, ?, ?, ?)");
        endPrice = new(database, "UPDATE prices SET ended_at = ? WHERE node_id = ? AND model = ? AND ended_at IS NULL");
        insertPrice = new(database, """
            INSERT INTO prices (node_id, model, prompt, completion, image, valid_from, set_by) SELECT id, ?, ?, ?, ?, ?, ? FROM nodes WHERE id = ?
            RETURNING id
            """);
        findNode = new(database, "SELECT 1 FROM nodes WHERE id = ?");
        findPrice = new(database, "SELECT id, prompt, completion, image FROM prices WHERE node_id = ? AND model = ? AND ended_at IS NULL");

        insertLock = new(database, "INSERT INTO locks (stack_id, key_set, units, state, expires_at) VALUES (?, ?, ?, 'open', ?)");
        findOldest = new(database, """
            SELECT id, units FROM locks
            WHERE stack_id = ? AND key_set = ? AND state IN ('open', 'returned') AND expires_at > ?
            ORDER BY id LIMIT 1
            """);
        claimLock = new(database, "UPDATE locks SET state = 'claimed' WHERE id = ? AND state IN ('open', 'returned')");
        spendLock = new(database, "UPDATE locks SET state = 'spent' WHERE id = ? AND state = 'claimed'");
        returnLock = new(database, "UPDATE locks SET state = 'returned', expires_at = ? WHERE id = ? AND state = 'claimed'");
        expireReturned = new(database, "UPDATE locks SET state = 'expired' WHERE id = ? AND state = 'returned'");
        expireLocks = new(database, """
            UPDATE locks SET state = 'expired' WHERE state IN ('open', 'returned') AND expires_at <= ? RETURNING stack_id, units
            """);
        forgetLocks = new(database, "DELETE FROM locks WHERE state = 'expired' AND expires_at <= ?");
        shortenLocks = new(database, "UPDATE locks SET expires_at = ?1 WHERE state IN ('open', 'returned') AND expires_at > ?1");
        findPlaces = new(database, """
            SELECT DISTINCT s.id, s.model, l.key_set FROM stacks s JOIN locks l ON l.stack_id = s.id
            WHERE s.user_id = ? AND l.state IN ('open', 'returned') AND l.expires_at > ?
            LIMIT 2
            """);

        insertReservation = new(database, """
            INSERT INTO reservations (request_id, user_id, node_id, model, stack_id, price_id, held, held_money, state, deadline_at, is_attested)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'held', ?, ?) ON CONFLICT DO NOTHING
            """);
        hasReservation = new(database, "SELECT 1 FROM reservations WHERE request_id = ?");
        findReservation = new(database, """
            SELECT r.user_id, r.stack_id, r.price_id, p.prompt, p.completion, p.image, r.held, r.held_money, r.state, r.is_attested
            FROM reservations r LEFT JOIN prices p ON p.id = r.price_id
            WHERE r.request_id = ? AND r.node_id = ? AND r.model = ?
            """);
        endReservation = new(database, "UPDATE reservations SET state = ? WHERE request_id = ? AND state = ?");
        postpone = new(database, "UPDATE reservations SET deadline_at = ?1 WHERE request_id = ?2 AND state = 'held' AND deadline_at < ?1");
        shortenReservations = new(database, "UPDATE reservations SET deadline_at = ?1 WHERE state = 'held' AND deadline_at > ?1");
        endOverdue = new(database, """
            UPDATE reservations SET state = 'unreported' WHERE state = 'held' AND deadline_at <= ?
            RETURNING request_id, user_id, node_id, stack_id, held, held_money
            """);
        blame = new(database, "UPDATE nodes SET unreported = unreported + 1 WHERE id = ?");
        insertSettlement = new(database, """
            INSERT INTO settlements (request_id, user_id, kind, reported_prompt, reported_completion, reported_pixels,
                                     charged_prompt, charged_completion, charged_pixels, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """);
        replaceSettlement = new(database, """
            UPDATE settlements SET kind = 'late', reported_prompt = ?, reported_completion = ?, reported_pixels = ?,
                                   charged_prompt = ?, charged_completion = ?, charged_pixels = ?, created_at = ?
            WHERE request_id = ? AND kind = 'unreported'
            """);

        insertVoucher = new(database, "INSERT INTO vouchers (request_id, created_at, signed) VALUES (?, ?, ?)");
        findOldestVoucher = new(database, "SELECT id, created_at FROM vouchers ORDER BY id LIMIT 1");
        forgetVouchers = new(database, "DELETE FROM vouchers WHERE id < ? AND created_at < ?");
        putSigningKey = new(database, """
            INSERT INTO node_signing_keys (node_id, digest, signing, ends_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
            """);
        endSigningKeys = new(database, "DELETE FROM node_signing_keys WHERE node_id = ? AND ends_at < ?");
        boundSigningKeys = new(database, """
            DELETE FROM node_signing_keys WHERE node_id = ?1 AND digest IN
                (SELECT digest FROM node_signing_keys WHERE node_id = ?1 ORDER BY ends_at DESC LIMIT -1 OFFSET ?2)
            """);
        findSigningKey = new(database, "SELECT signing, ends_at FROM node_signing_keys WHERE node_id = ? AND digest = ?");
    }

    public ValueTask<StackId> MakeStackAsync(UserId user, NodeId node, string model, PriceId? price, ComputeUnits total)
    {
        var find = (price is { } id ? findPaidStackOf.Bind(3, id.Value) : findStackOf).Bind(0, user.Value).Bind(1, node.Value).Bind(2, model);
        if (find.Single(Id) is { } known)
            return new(new StackId(known));
        return new(new StackId(makeStack.Bind(0, user.Value).Bind(1, node.Value).Bind(2, model).Bind(3, price?.Value).Bind(4, total.Value)
            .Single(row => row.Integer(0))));

        static long? Id(SqliteStatement row) => row.Integer(0);
    }

    public ValueTask<Stack?> FindStackAsync(StackId stack) => new(findStack.Bind(0, stack.Value).Single(row => new Stack(
        stack,
        new UserId(row.Integer(0)),
        new NodeId(row.Integer(1)),
        row.Text(2),
        row.IsNull(3) ? null : new Price(new PriceId(row.Integer(3)), Prices(row, 4)))));

    public ValueTask<bool> HasStackOfAsync(string model) => new(findStackOfModel.Bind(0, model).Single(_ => true));

    public ValueTask<ComputeUnits> RoomAsync(StackId stack) => new(new ComputeUnits(findRoom.Bind(0, stack.Value).Single(row => row.Integer(0))));

    public ValueTask<bool> TryHoldForLockAsync(StackId stack, ComputeUnits units, int maxOpen) =>
        new(holdForLock.Bind(0, units.Value).Bind(1, stack.Value).Bind(2, maxOpen).Run() == 1);

    public ValueTask<bool> TryTakeOverAsync(StackId stack, ComputeUnits more) => new(takeOver.Bind(0, more.Value).Bind(1, stack.Value).Run() == 1);

    public ValueTask FreeAsync(StackId stack, ComputeUnits units, int openLocks)
    {
        freeUnits.Bind(0, units.Value).Bind(1, openLocks).Bind(2, stack.Value).Run();
        return default;
    }

    public ValueTask ChargeAsync(StackId stack, ComputeUnits held, ComputeUnits charged)
    {
        chargeUnits.Bind(0, held.Value).Bind(1, charged.Value).Bind(2, stack.Value).Run();
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
        freeMoney.Bind(0, amount.Value).Bind(1, user.Value).Run();
        return default;
    }

    public ValueTask<int?> TryChargeMoneyAsync(UserId user, MicroDollars held, Cost cost) =>
        new(chargeMoney.Bind(0, held.Value).Bind(1, cost.Whole.Value).Bind(2, cost.Part).Bind(3, user.Value).Single(Carry));

    public ValueTask<int?> TryCreditAsync(UserId user, MicroDollars amount) =>
        new(credit.Bind(0, amount.Value).Bind(1, user.Value).Bind(2, MicroDollars.MaxValue).Single(Carry));

    public ValueTask<int?> TryDebitAsync(UserId user, MicroDollars amount) => new(debit.Bind(0, amount.Value).Bind(1, user.Value).Single(Carry));

    public ValueTask<bool> TryInsertEntryAsync(LedgerEntry entry, DateTimeOffset now) => new(insertEntry
        .Bind(0, entry.User.Value).Bind(1, Spell(entry.Kind)).Bind(2, entry.Amount).Bind(3, entry.Carry)
        .Bind(4, entry.Request?.ToString()).Bind(5, entry.Stack?.Value).Bind(6, entry.Units?.Value)
        .Bind(7, entry.MadeBy).Bind(8, entry.Reference).Bind(9, now).Run() == 1);

    public ValueTask InsertAuditAsync(AuditEntry entry, DateTimeOffset now)
    {
        insertAudit.Bind(0, now).Bind(1, entry.Actor).Bind(2, entry.Act).Bind(3, entry.Subject).Bind(4, entry.Detail).Run();
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
        insertLock.Bind(0, stack.Value).Bind(1, keySet.ToString()).Bind(2, units.Value).Bind(3, expires).Run();
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
        forgetLocks.Bind(0, expiredBefore).Run();
        return default;
    }

    public ValueTask ShortenLocksAsync(DateTimeOffset latest)
    {
        shortenLocks.Bind(0, latest).Run();
        return default;
    }

    public ValueTask<IReadOnlyList<LockedPlace>> LockedPlacesAsync(UserId user, DateTimeOffset now) =>
        new(findPlaces.Bind(0, user.Value).Bind(1, now).All(row => new LockedPlace(new StackId(row.Integer(0)), row.Text(1), ReadDigest(row.Text(2)))));

    public ValueTask<bool> TryReserveAsync(NewReservation reservation)
    {
        var (user, amount) = (reservation.User.Value, reservation.HeldMoney.Value);
        if (amount > 0 && holdMoney.Bind(0, amount).Bind(1, user).Run() != 1)
            return new(false);
        if (Insert(reservation))
            return new(true);
        if (amount > 0)
            freeMoney.Bind(0, amount).Bind(1, user).Run();
        return new(false);
    }

    public ValueTask<bool> TryInsertReservationAsync(NewReservation reservation) => new(Insert(reservation));

    public ValueTask<bool> HasReservationAsync(RequestId request) => new(hasReservation.Bind(0, request.ToString()).Single(_ => true));

    public ValueTask<KnownReservation?> FindReservationAsync(RequestId request, NodeId node, string model) =>
        new(findReservation.Bind(0, request.ToString()).Bind(1, node.Value).Bind(2, model).Single(ReadReservation));

    public ValueTask<bool> TryEndAsync(RequestId request, ReservationState from, ReservationState to) =>
        new(endReservation.Bind(0, Spell(to)).Bind(1, request.ToString()).Bind(2, Spell(from)).Run() == 1);

    public ValueTask PostponeAsync(RequestId request, DateTimeOffset deadline)
    {
        postpone.Bind(0, deadline).Bind(1, request.ToString()).Run();
        return default;
    }

    public ValueTask ShortenReservationsAsync(DateTimeOffset latest)
    {
        shortenReservations.Bind(0, latest).Run();
        return default;
    }

    public ValueTask<IReadOnlyList<OverdueReservation>> EndOverdueAsync(DateTimeOffset now) => new(endOverdue.Bind(0, now)
        .All(row => new OverdueReservation(
            RequestId.TryParse(row.Text(0), out var request) ? request : default,
            new UserId(row.Integer(1)),
            new NodeId(row.Integer(2)),
            row.IsNull(3) ? null : new StackId(row.Integer(3)),
            new ComputeUnits(row.Integer(4)),
            new MicroDollars(row.Integer(5)))));

    public ValueTask BlameAsync(NodeId node)
    {
        blame.Bind(0, node.Value).Run();
        return default;
    }

    public ValueTask InsertSettlementAsync(
        RequestId request, UserId user, SettlementKind kind, Usage reported, Usage charged, DateTimeOffset now)
    {
        insertSettlement.Bind(0, request.ToString()).Bind(1, user.Value).Bind(2, Spell(kind))
            .Bind(3, reported.PromptTokens).Bind(4, reported.CompletionTokens).Bind(5, reported.Pixels)
            .Bind(6, charged.PromptTokens).Bind(7, charged.CompletionTokens).Bind(8, charged.Pixels)
            .Bind(9, now).Run();
        return default;
    }

    public ValueTask<bool> TryReplaceSettlementAsync(RequestId request, Usage reported, Usage charged, DateTimeOffset now) => new(replaceSettlement
        .Bind(0, reported.PromptTokens).Bind(1, reported.CompletionTokens).Bind(2, reported.Pixels)
        .Bind(3, charged.PromptTokens).Bind(4, charged.CompletionTokens).Bind(5, charged.Pixels)
        .Bind(6, now).Bind(7, request.ToString()).Run() == 1);

    public ValueTask InsertVoucherAsync(RequestId request, byte[] signed, DateTimeOffset now)
    {
        insertVoucher.Bind(0, request.ToString()).Bind(1, now).Bind(2, signed).Run();
        return default;
    }

    public ValueTask ForgetVouchersAsync(DateTimeOffset settledBefore)
    {
        // by the order of their numbers, which is that of time: an index for the oldest would be written with every one
        if (findOldestVoucher.Single<(long Id, DateTimeOffset CreatedAt)?>(row => (row.Integer(0), row.Time(1))) is var (oldest, createdAt)
            && createdAt < settledBefore)
            forgetVouchers.Bind(0, oldest + MostForgotten).Bind(1, settledBefore).Run();
        return default;
    }

    public ValueTask PutSigningKeyAsync(NodeId node, KeySetDigest keySet, SigningKey key, int most, DateTimeOffset endedBefore)
    {
        endSigningKeys.Bind(0, node.Value).Bind(1, endedBefore).Run();
        putSigningKey.Bind(0, node.Value).Bind(1, keySet.ToString()).Bind(2, key.Key.ToString()).Bind(3, key.EndsAt).Run();
        boundSigningKeys.Bind(0, node.Value).Bind(1, most).Run();
        return default;
    }

    public ValueTask<SigningKey?> FindSigningKeyAsync(NodeId node, KeySetDigest keySet) =>
        new(findSigningKey.Bind(0, node.Value).Bind(1, keySet.ToString())
            .Single(row => Ed25519PublicKey.TryParse(row.Text(0), out var key) ? new SigningKey(key, row.Time(1)) : null));

    /// <summary>Spends what is claimed, before this process serves: one that died claimed it (spec/gateway.md section 5, rule 3).</summary>
    public static int SpendAbandoned(SqliteConnection connection)
    {
        using var command = connection.CreateCommand();
        command.CommandText = "UPDATE locks SET state = 'spent' WHERE state = 'claimed'";
        return command.ExecuteNonQuery();
    }

    public void Dispose()
    {
        foreach (var statement in (SqliteStatement[])
                 [
                     makeStack, findStackOf, findPaidStackOf, findStack, findStackOfModel, findRoom, holdForLock, takeOver, freeUnits, chargeUnits,
                     replaceSettlement, grow, shrink, outpriced, orphaned, findFunds, holdMoney, freeMoney, chargeMoney, credit, debit, insertEntry,
                     insertAudit, endPrice, insertPrice, findPrice, findNode,
                     insertLock, findOldest, claimLock, spendLock, returnLock, expireReturned, expireLocks, forgetLocks, shortenLocks, findPlaces,
                     insertReservation, hasReservation, findReservation, endReservation, postpone, shortenReservations, endOverdue, blame,
                     insertSettlement, insertVoucher, findOldestVoucher, forgetVouchers, putSigningKey, endSigningKeys, boundSigningKeys, findSigningKey,
                 ])
            statement.Dispose();
    }

    private bool Insert(NewReservation reservation) => insertReservation
        .Bind(0, reservation.Request.ToString()).Bind(1, reservation.User.Value).Bind(2, reservation.Node.Value).Bind(3, reservation.Model)
        .Bind(4, reservation.Stack?.Value).Bind(5, reservation.Price?.Value).Bind(6, reservation.Held.Value).Bind(7, reservation.HeldMoney.Value)
        .Bind(8, reservation.Deadline).Bind(9, reservation.IsAttested ? 1 : 0).Run() == 1;

    private static OpenLock? Read(SqliteStatement row) => new OpenLock(new LockId(row.Integer(0)), new ComputeUnits(row.Integer(1)));

    private static int? Carry(SqliteStatement row) => (int)row.Integer(0);

    private static UnitPrices Prices(SqliteStatement row, int first) =>
        new(new MicroDollars(row.Integer(first)), new MicroDollars(row.Integer(first + 1)), new MicroDollars(row.Integer(first + 2)));

    private static PaidStack ReadPaidStack(SqliteStatement row) =>
        new(new StackId(row.Integer(0)), new UserId(row.Integer(1)), Prices(row, 2), new ComputeUnits(row.Integer(5)));

    private static KnownReservation? ReadReservation(SqliteStatement row) => new KnownReservation(
        new UserId(row.Integer(0)),
        row.IsNull(1) ? null : new StackId(row.Integer(1)),
        row.IsNull(2) ? null : Prices(row, 3),
        new ComputeUnits(row.Integer(6)),
        new MicroDollars(row.Integer(7)),
        ReadReservationState(row.Text(8)),
        row.Integer(9) != 0);
}
