// spec/gateway.md section 5: how a race is decided is a dialect's matter; Ledger says which there are.
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>
/// The rows of stacks, locks, reservations and settlements, within one transaction. Whatever says <c>Try</c> is one conditional UPDATE,
/// and its row count is the answer. One implementation for each database engine.
/// </summary>
internal interface ILedgerRows
{
    // --- Stacks
    /// <summary>The stack of one user on one node for one model, made where it is missing.</summary>
    ValueTask<StackId> MakeStackAsync(UserId user, NodeId node, string model, ComputeUnits total);

    ValueTask<Stack?> FindStackAsync(StackId stack);

    ValueTask<bool> HasStackOfAsync(string model);

    /// <summary>Units that a stack can still hold.</summary>
    ValueTask<ComputeUnits> RoomAsync(StackId stack);

    /// <summary><c>reserved += units</c> and one open lock more, where both have room.</summary>
    ValueTask<bool> TryHoldForLockAsync(StackId stack, ComputeUnits units, int maxOpen);

    /// <summary><c>reserved += units</c> where there is room.</summary>
    ValueTask<bool> TryHoldAsync(StackId stack, ComputeUnits units);

    /// <summary><c>reserved += more</c> where there is room, and one open lock less: a request takes its hold over.</summary>
    ValueTask<bool> TryTakeOverAsync(StackId stack, ComputeUnits more);

    /// <summary><c>reserved −= units</c>, and so many open locks less.</summary>
    ValueTask FreeAsync(StackId stack, ComputeUnits units, int openLocks);

    /// <summary><c>reserved −= held</c>, <c>used += charged</c>.</summary>
    ValueTask ChargeAsync(StackId stack, ComputeUnits held, ComputeUnits charged);

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
    /// <summary>A held reservation; false where the request's id is taken.</summary>
    ValueTask<bool> TryInsertReservationAsync(RequestId request, StackId stack, ComputeUnits held, DateTimeOffset deadline, bool isAttested);

    /// <summary>A reservation, where it is of that node and model.</summary>
    ValueTask<KnownReservation?> FindReservationAsync(RequestId request, NodeId node, string model);

    ValueTask<bool> TryEndAsync(RequestId request, ReservationState from, ReservationState to);

    /// <summary>Moves the deadline of a held reservation forward, never back.</summary>
    ValueTask PostponeAsync(RequestId request, DateTimeOffset deadline);

    /// <summary>Moves the deadlines of held reservations back to <paramref name="latest"/>, where they lie after that.</summary>
    ValueTask ShortenReservationsAsync(DateTimeOffset latest);

    /// <summary>Held → unreported, all whose deadline has come.</summary>
    ValueTask<IReadOnlyList<(StackId Stack, ComputeUnits Held, NodeId Node)>> EndOverdueAsync(DateTimeOffset now);

    /// <summary>Counts a reservation without a report at its node.</summary>
    ValueTask BlameAsync(NodeId node);

    // --- Settlements
    ValueTask InsertSettlementAsync(RequestId request, SettlementKind kind, Usage reported, Usage charged, DateTimeOffset now);

    // --- Vouchers
    /// <summary>Keeps what a settlement was made by.</summary>
    ValueTask InsertVoucherAsync(RequestId request, byte[] signed, DateTimeOffset now);

    /// <summary>Deletes the oldest vouchers that were settled before, at most a thousand.</summary>
    ValueTask ForgetVouchersAsync(DateTimeOffset settledBefore);

    /// <summary>Keeps the signing key of a node's key set; those that ended before go, and beyond the bound those that end first.</summary>
    ValueTask PutSigningKeyAsync(NodeId node, KeySetDigest keySet, SigningKey key, int most, DateTimeOffset endedBefore);

    ValueTask<SigningKey?> FindSigningKeyAsync(NodeId node, KeySetDigest keySet);
}

/// <summary>Whose a stack is, and what for.</summary>
internal sealed record Stack(StackId Id, UserId User, NodeId Node, string Model);

/// <summary>A lock that may be claimed, and what it promised.</summary>
internal readonly record struct OpenLock(LockId Id, ComputeUnits Units);

/// <summary>Where a lock leads to.</summary>
internal sealed record LockedPlace(StackId Stack, string Model, KeySetDigest KeySet);

/// <summary>A reservation as its row has it.</summary>
/// <param name="Stack">Of which it holds units.</param>
/// <param name="Held">How many.</param>
/// <param name="State">What has become of it.</param>
/// <param name="IsAttested">Whether nothing but a voucher settles it.</param>
internal readonly record struct KnownReservation(StackId Stack, ComputeUnits Held, ReservationState State, bool IsAttested);

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

    /// <summary>It came after the deadline.</summary>
    Late,
}
