// spec/gateway.md sections 5 and 10: how a race is decided is a dialect's matter; Ledger says which there are.
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>
/// The rows of stacks, locks, reservations, settlements and money, within one transaction. Whatever says <c>Try</c> is one conditional UPDATE,
/// and its row count is the answer. One implementation for each database engine.
/// </summary>
internal interface ILedgerRows
{
    // --- Stacks
    /// <summary>The stack of one user on one node for one model whose units have that price, made where it is missing.</summary>
    ValueTask<StackId> MakeStackAsync(UserId user, NodeId node, string model, PriceId? price, ComputeUnits total);

    ValueTask<Stack?> FindStackAsync(StackId stack);

    ValueTask<bool> HasStackOfAsync(string model);

    /// <summary>Units that a stack can still hold.</summary>
    ValueTask<ComputeUnits> RoomAsync(StackId stack);

    /// <summary><c>reserved += units</c> and one open lock more, where both have room.</summary>
    ValueTask<bool> TryHoldForLockAsync(StackId stack, ComputeUnits units, int maxOpen);

    /// <summary><c>reserved += more</c> where there is room, and one open lock less: a request takes its hold over.</summary>
    ValueTask<bool> TryTakeOverAsync(StackId stack, ComputeUnits more);

    /// <summary><c>reserved −= units</c>, and so many open locks less.</summary>
    ValueTask FreeAsync(StackId stack, ComputeUnits units, int openLocks);

    /// <summary><c>reserved −= held</c>, <c>used += charged</c>.</summary>
    ValueTask ChargeAsync(StackId stack, ComputeUnits held, ComputeUnits charged);

    /// <summary><c>total += units</c>, where that is at most <paramref name="most"/>.</summary>
    ValueTask<bool> TryGrowAsync(StackId stack, ComputeUnits units, ComputeUnits most);

    /// <summary><c>total −= units</c>, where so many are neither used nor reserved.</summary>
    ValueTask<bool> TryShrinkAsync(StackId stack, ComputeUnits units);

    /// <summary>Of one user, node and model the stacks with a price other than <paramref name="price"/> that have room.</summary>
    ValueTask<IReadOnlyList<PaidStack>> OutpricedStacksAsync(UserId user, NodeId node, string model, PriceId? price);

    /// <summary>Stacks with a price and with room whose node is removed.</summary>
    ValueTask<IReadOnlyList<PaidStack>> OrphanedStacksAsync(int most);

    // --- Money
    /// <summary>What a user has, and until the transaction ends nobody else moves it; null where there is no such user.</summary>
    ValueTask<Funds?> FundsAsync(UserId user);

    /// <summary><c>held −= amount</c>.</summary>
    ValueTask FreeMoneyAsync(UserId user, MicroDollars amount);

    /// <summary>
    /// <c>held −= held</c>; <c>carry += cost</c>, and whole micro-dollars of the carry leave the balance, where it has so much that is not held
    /// otherwise.
    /// </summary>
    /// <returns>The user's carry after it; null where nothing was changed.</returns>
    ValueTask<int?> TryChargeMoneyAsync(UserId user, MicroDollars held, Cost cost);

    /// <summary><c>balance += amount</c>, where that is an amount.</summary>
    /// <returns>The user's carry; null where nothing was changed.</returns>
    ValueTask<int?> TryCreditAsync(UserId user, MicroDollars amount);

    /// <summary><c>balance −= amount</c>, where the balance has so much that is not held.</summary>
    /// <returns>The user's carry; null where nothing was changed.</returns>
    ValueTask<int?> TryDebitAsync(UserId user, MicroDollars amount);

    /// <summary>False, and nothing is written, where the user has an entry of that reference.</summary>
    ValueTask<bool> TryInsertEntryAsync(LedgerEntry entry, DateTimeOffset now);

    ValueTask InsertAuditAsync(AuditEntry entry, DateTimeOffset now);

    // --- Prices
    /// <summary>The current price becomes one of the past.</summary>
    ValueTask<bool> TryEndPriceAsync(NodeId node, string model, DateTimeOffset now);

    /// <summary>A new current price; null where there is no such node.</summary>
    ValueTask<PriceId?> TryInsertPriceAsync(NodeId node, string model, UnitPrices prices, string setBy, DateTimeOffset now);

    ValueTask<Price?> CurrentPriceAsync(NodeId node, string model);

    ValueTask<bool> HasNodeAsync(NodeId node);

    // --- Locks
    ValueTask InsertLockAsync(StackId stack, KeySetDigest keySet, ComputeUnits units, DateTimeOffset expires);

    /// <summary>
    /// The oldest lock that is open or returned and expires after
    /// <paramref name="now"/>; where writers run at once, one that no other holds.
    /// </summary>
    ValueTask<OpenLock?> OldestOpenLockAsync(StackId stack, KeySetDigest keySet, DateTimeOffset now);

    /// <summary>Open or returned → claimed.</summary>
    ValueTask<bool> TryClaimAsync(LockId id);

    /// <summary>Claimed → spent.</summary>
    ValueTask<bool> TrySpendAsync(LockId id);

    /// <summary>Claimed → returned.</summary>
    ValueTask<bool> TryReturnAsync(LockId id, DateTimeOffset expires);

    /// <summary>Returned → expired.</summary>
    ValueTask<bool> TryExpireReturnedAsync(LockId id);

    /// <summary>Open or returned → expired, all whose time has come; the stack and the units of each.</summary>
    ValueTask<IReadOnlyList<(StackId Stack, ComputeUnits Units)>> ExpireLocksAsync(DateTimeOffset now);

    /// <summary>Deletes locks that expired before.</summary>
    ValueTask ForgetLocksAsync(DateTimeOffset expiredBefore);

    /// <summary>Moves what open and returned locks expire at back to <paramref name="latest"/>, where it lies after that.</summary>
    ValueTask ShortenLocksAsync(DateTimeOffset latest);

    /// <summary>Where a user's usable locks lead to: at most two different places.</summary>
    ValueTask<IReadOnlyList<LockedPlace>> LockedPlacesAsync(UserId user, DateTimeOffset now);

    // --- Reservations
    /// <summary>
    /// A held reservation, with <c>held += HeldMoney</c> of its user; false, and neither is written, where the balance has not so much that is not
    /// held, or the request's id is taken. The last that a change writes: the answer may come with the commit.
    /// </summary>
    ValueTask<bool> TryReserveAsync(NewReservation reservation);

    /// <summary>A held reservation of units that are held already; false where the request's id is taken.</summary>
    ValueTask<bool> TryInsertReservationAsync(NewReservation reservation);

    /// <summary>Whether a request's id is taken.</summary>
    ValueTask<bool> HasReservationAsync(RequestId request);

    /// <summary>A reservation, where it is of that node and model.</summary>
    ValueTask<KnownReservation?> FindReservationAsync(RequestId request, NodeId node, string model);

    ValueTask<bool> TryEndAsync(RequestId request, ReservationState from, ReservationState to);

    /// <summary>Moves the deadline of a held reservation forward, never back.</summary>
    ValueTask PostponeAsync(RequestId request, DateTimeOffset deadline);

    /// <summary>Moves the deadlines of held reservations back to <paramref name="latest"/>, where they lie after that.</summary>
    ValueTask ShortenReservationsAsync(DateTimeOffset latest);

    /// <summary>Held → unreported, all whose deadline has come.</summary>
    ValueTask<IReadOnlyList<OverdueReservation>> EndOverdueAsync(DateTimeOffset now);

    /// <summary>Counts a reservation without a report at its node.</summary>
    ValueTask BlameAsync(NodeId node);

    // --- Settlements
    ValueTask InsertSettlementAsync(RequestId request, UserId user, SettlementKind kind, Usage reported, Usage charged, DateTimeOffset now);

    /// <summary>Unreported → late, with what was reported and charged after all.</summary>
    ValueTask<bool> TryReplaceSettlementAsync(RequestId request, Usage reported, Usage charged, DateTimeOffset now);

    // --- Vouchers
    /// <summary>Keeps what a settlement was made by.</summary>
    ValueTask InsertVoucherAsync(RequestId request, byte[] signed, DateTimeOffset now);

    /// <summary>Deletes the oldest vouchers that were settled before, at most a thousand.</summary>
    ValueTask ForgetVouchersAsync(DateTimeOffset settledBefore);

    /// <summary>Keeps the signing key of a node's key set; those that ended before go, and beyond the bound those that end first.</summary>
    ValueTask PutSigningKeyAsync(NodeId node, KeySetDigest keySet, SigningKey key, int most, DateTimeOffset endedBefore);

    ValueTask<SigningKey?> FindSigningKeyAsync(NodeId node, KeySetDigest keySet);
}

/// <summary>Whose a stack is, what for, and at what price; null where its units are free.</summary>
internal sealed record Stack(StackId Id, UserId User, NodeId Node, string Model, Price? Price);

/// <summary>Units that were paid for and that nothing uses or holds.</summary>
internal sealed record PaidStack(StackId Id, UserId User, UnitPrices Prices, ComputeUnits Room);

/// <summary>What a user has. At every moment <c>0 ≤ held ≤ balance</c>.</summary>
/// <param name="Balance">The sum of the ledger.</param>
/// <param name="Held">By requests that run.</param>
/// <param name="Carry">Used and not debited yet, in millionths of a micro-dollar: 0 to 999,999.</param>
internal readonly record struct Funds(MicroDollars Balance, MicroDollars Held, int Carry)
{
    public MicroDollars Available => new(Balance.Value - Held.Value);

    /// <summary>The dearest that can be charged.</summary>
    public Cost Most => new(Available, 999_999 - Carry);
}

/// <summary>One movement of money, as the ledger keeps it.</summary>
/// <param name="User">Whose balance.</param>
/// <param name="Kind">Why.</param>
/// <param name="Amount">Micro-dollars by which the balance moved: below zero what was paid.</param>
/// <param name="Carry">The user's, after it.</param>
internal sealed record LedgerEntry(UserId User, LedgerKind Kind, long Amount, int Carry)
{
    public RequestId? Request { get; init; }

    public StackId? Stack { get; init; }

    public ComputeUnits? Units { get; init; }

    public string? MadeBy { get; init; }

    public string? Reference { get; init; }
}

internal enum LedgerKind
{
    Deposit,
    Purchase,
    Settlement,
    Correction,
    Refund,
}

/// <summary>An administrative act.</summary>
/// <param name="Actor">Who: the public prefix of an API key, or <c>operator</c>.</param>
/// <param name="Act">What was done.</param>
/// <param name="Subject">To what.</param>
/// <param name="Detail">The figures; null where there are none.</param>
internal sealed record AuditEntry(string Actor, string Act, string Subject, string? Detail);

/// <summary>A reservation that is to be.</summary>
internal sealed record NewReservation
{
    public required RequestId Request { get; init; }

    public required UserId User { get; init; }

    public required NodeId Node { get; init; }

    public required string Model { get; init; }

    /// <summary>Of which it holds units; null where it holds money, or nothing because it is free.</summary>
    public StackId? Stack { get; init; }

    /// <summary>At which it is settled; null where it is free, or of a stack.</summary>
    public PriceId? Price { get; init; }

    public required ComputeUnits Held { get; init; }

    public MicroDollars HeldMoney { get; init; }

    public required DateTimeOffset Deadline { get; init; }

    public required bool IsAttested { get; init; }
}

/// <summary>A reservation whose report did not come.</summary>
internal sealed record OverdueReservation(RequestId Request, UserId User, NodeId Node, StackId? Stack, ComputeUnits Held, MicroDollars HeldMoney);

/// <summary>A lock that may be claimed, and what it promised.</summary>
internal readonly record struct OpenLock(LockId Id, ComputeUnits Units);

/// <summary>Where a lock leads to.</summary>
internal sealed record LockedPlace(StackId Stack, string Model, KeySetDigest KeySet);

/// <summary>A reservation as its row has it.</summary>
/// <param name="User">Whose it is.</param>
/// <param name="Stack">Of which it holds units; null where it holds money, or nothing.</param>
/// <param name="Prices">At which it is settled; null where it is free, or of a stack.</param>
/// <param name="Held">What it may use.</param>
/// <param name="HeldMoney">What it holds of the balance.</param>
/// <param name="State">What has become of it.</param>
/// <param name="IsAttested">Whether nothing but a voucher settles it.</param>
internal readonly record struct KnownReservation(
    UserId User, StackId? Stack, UnitPrices? Prices, ComputeUnits Held, MicroDollars HeldMoney, ReservationState State, bool IsAttested);

/// <summary>What a node signs vouchers with, by a bundle.</summary>
/// <param name="Key">Of the bundle's statement.</param>
/// <param name="EndsAt">The end that the bundle names.</param>
internal sealed record SigningKey(Ed25519PublicKey Key, DateTimeOffset EndsAt);

internal enum ReservationState
{
    Held,
    Settled,
    Released,
    Unreported,
}

internal enum SettlementKind
{
    Reported,

    /// <summary>The report was above the reservation.</summary>
    Capped,

    /// <summary>None came in time: nothing is charged until one does.</summary>
    Unreported,

    /// <summary>It came after the deadline.</summary>
    Late,
}
