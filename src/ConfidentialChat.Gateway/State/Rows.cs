// spec/gateway.md sections 5 and 10. No row holds a prompt, an answer, a hash of either, or a client key.
namespace ConfidentialChat.Gateway.State;

internal sealed class UserRow
{
    public long Id { get; init; }

    public required string Name { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Micro-dollars: the sum of the user's ledger.</summary>
    public long Balance { get; init; }

    /// <summary>Micro-dollars of the balance that running requests hold.</summary>
    public long Held { get; init; }

    /// <summary>Millionths of a micro-dollar that were used and are not debited yet: less than one.</summary>
    public long Carry { get; init; }
}

internal sealed class ApiKeyRow
{
    public long Id { get; init; }

    public long UserId { get; init; }

    public UserRow? User { get; init; }

    /// <summary>The public part, for look-up and display.</summary>
    public required string Prefix { get; init; }

    /// <summary>SHA-256 of the whole key.</summary>
    public required byte[] Hash { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset? RevokedAt { get; init; }

    /// <summary>What it opens: words with a blank between, of <c>inference</c> and <c>admin</c>.</summary>
    public string Scopes { get; init; } = "inference";

    /// <summary>Null where it does not expire.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Down to a minute, and written after that.</summary>
    public DateTimeOffset? LastUsedAt { get; init; }
}

internal sealed class EnrolmentTokenRow
{
    public long Id { get; init; }

    public required string Prefix { get; init; }

    /// <summary>SHA-256 of the whole token.</summary>
    public required byte[] Hash { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset ExpiresAt { get; init; }

    public DateTimeOffset? SpentAt { get; init; }
}

internal sealed class NodeRow
{
    public long Id { get; init; }

    /// <summary>Ed25519, standard base64.</summary>
    public required string IdentityKey { get; init; }

    public required string Address { get; set; }

    /// <summary>Standard base64; null for plain HTTP.</summary>
    public string? TlsPin { get; set; }

    /// <summary>Whether the node takes requests; false while it drains.</summary>
    public bool Ready { get; set; }

    /// <summary>Digest of the newest key set announced, which locks hand out.</summary>
    public string? KeySet { get; set; }

    /// <summary>The relay key, sealed (<see cref="Nodes.RelayKeySeal"/>); null where the node enrolled before there were any: it has to enrol anew.</summary>
    public byte[]? RelayKey { get; set; }

    public int Running { get; set; }

    public int Queued { get; set; }

    /// <summary>The largest time that the node signed, on its own clock.</summary>
    public DateTimeOffset SignedAt { get; set; }

    /// <summary>When that message arrived, on the gateway's clock.</summary>
    public DateTimeOffset HeardAt { get; set; }

    /// <summary>The gateway failed to reach the node since it was heard.</summary>
    public bool Unreachable { get; set; }

    /// <summary>Reservations whose report did not come in time.</summary>
    public long Unreported { get; set; }

    /// <summary>An operator took it out: it is given nothing and heard no more, until it enrols anew.</summary>
    public DateTimeOffset? RemovedAt { get; set; }
}

internal sealed class NodeModelRow
{
    public required long NodeId { get; init; }

    public required string Model { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}

/// <summary>A key set that a node announces. One that it announces no more has expired, whatever was said before, and goes.</summary>
internal sealed class NodeKeySetRow
{
    public required long NodeId { get; init; }

    /// <summary>Base64url; spec/gateway.md section 3.</summary>
    public required string Digest { get; init; }

    /// <summary>Standard base64.</summary>
    public required string X25519 { get; init; }

    /// <summary>SHA-256 of the evidence bundle, 32 bytes; null where it has none.</summary>
    public byte[]? Bundle { get; init; }

    public required DateTimeOffset ExpiresAt { get; set; }
}

/// <summary>The key that a node's vouchers of a key set are signed under, from the set's bundle; spec/vouchers.md section 6.</summary>
internal sealed class NodeSigningKeyRow
{
    public required long NodeId { get; init; }

    /// <summary>Of the key set, base64url.</summary>
    public required string Digest { get; init; }

    /// <summary>Ed25519, standard base64.</summary>
    public required string Signing { get; init; }

    /// <summary>The end that the bundle names.</summary>
    public required DateTimeOffset EndsAt { get; init; }
}

internal sealed class StackRow
{
    public long Id { get; init; }

    public required long UserId { get; init; }

    public required long NodeId { get; init; }

    public required string Model { get; init; }

    /// <summary>What its units were bought at; null where they are free.</summary>
    public long? PriceId { get; init; }

    public required long Total { get; init; }

    public long Used { get; init; }

    public long Reserved { get; init; }

    /// <summary>Its locks that are open or returned; moves with them in one UPDATE of this row.</summary>
    public long OpenLocks { get; init; }
}

internal sealed class LockRow
{
    public long Id { get; init; }

    public required long StackId { get; init; }

    /// <summary>Digest of the key set that it promised.</summary>
    public required string KeySet { get; init; }

    public required long Units { get; init; }

    /// <summary><c>open</c>, <c>claimed</c>, <c>spent</c>, <c>returned</c> or <c>expired</c>.</summary>
    public required string State { get; init; }

    public required DateTimeOffset ExpiresAt { get; init; }
}

internal sealed class ReservationRow
{
    public required string RequestId { get; init; }

    public required long UserId { get; init; }

    public required long NodeId { get; init; }

    public required string Model { get; init; }

    /// <summary>Of which it holds units; null where it holds money.</summary>
    public long? StackId { get; init; }

    /// <summary>Fixed for it; null where it is free, or of a stack.</summary>
    public long? PriceId { get; init; }

    /// <summary>What it may use, in units.</summary>
    public required long Held { get; init; }

    /// <summary>What it holds of its user's balance, in micro-dollars.</summary>
    public required long HeldMoney { get; init; }

    /// <summary><c>held</c>, <c>settled</c>, <c>released</c> or <c>unreported</c>.</summary>
    public required string State { get; init; }

    public required DateTimeOffset DeadlineAt { get; init; }

    /// <summary>It was sealed to a key set with a bundle: nothing but a voucher settles it.</summary>
    public required bool IsAttested { get; init; }
}

internal sealed class SettlementRow
{
    public required string RequestId { get; init; }

    public required long UserId { get; init; }

    /// <summary>
    /// <c>reported</c>, <c>capped</c> (the report was above the reservation), <c>unreported</c> (provisional: none came in time) or <c>late</c>
    /// (which replaces that).
    /// </summary>
    public required string Kind { get; init; }

    /// <summary>What the node said, in tokens and pixels.</summary>
    public required long ReportedPrompt { get; init; }

    public required long ReportedCompletion { get; init; }

    public required long ReportedPixels { get; init; }

    /// <summary>What was charged: no more than was reserved.</summary>
    public required long ChargedPrompt { get; init; }

    public required long ChargedCompletion { get; init; }

    public required long ChargedPixels { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}

/// <summary>What a node signed, beside the settlement that came of it. In the order of time, so that the oldest are found without an index.</summary>
internal sealed class VoucherRow
{
    public long Id { get; init; }

    public required string RequestId { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>At most 4096 bytes; spec/vouchers.md sections 2 and 3.</summary>
    public required byte[] Signed { get; init; }
}

/// <summary>What units of a model cost on a node. Never changed, but for the moment at which another took its place.</summary>
internal sealed class PriceRow
{
    public long Id { get; init; }

    public required long NodeId { get; init; }

    public required string Model { get; init; }

    /// <summary>Micro-dollars for a million tokens.</summary>
    public required long Prompt { get; init; }

    public required long Completion { get; init; }

    /// <summary>Micro-dollars for a million pixels.</summary>
    public required long Image { get; init; }

    public required DateTimeOffset ValidFrom { get; init; }

    /// <summary>Null while it is the current one, of which a node and model have one at the most.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Who set it.</summary>
    public required string SetBy { get; init; }
}

/// <summary>One movement of a user's money. Rows are added and never changed; a balance is their sum.</summary>
internal sealed class LedgerRow
{
    public long Id { get; init; }

    public required long UserId { get; init; }

    /// <summary><c>deposit</c>, <c>purchase</c>, <c>settlement</c>, <c>correction</c> or <c>refund</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>Micro-dollars by which the balance moved: below zero what was paid.</summary>
    public required long Amount { get; init; }

    /// <summary>The user's carry after it, in millionths of a micro-dollar.</summary>
    public required long Carry { get; init; }

    /// <summary>Of a settlement and of its correction.</summary>
    public string? RequestId { get; init; }

    /// <summary>Of a purchase and of a refund.</summary>
    public long? StackId { get; init; }

    /// <summary>Bought or given back.</summary>
    public long? Units { get; init; }

    /// <summary>Who made it; null where the gateway did.</summary>
    public string? MadeBy { get; init; }

    /// <summary>Of a deposit: the payer's, by which a second one is known.</summary>
    public string? Reference { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}

/// <summary>What somebody did who may: an administrative act. Added and never changed.</summary>
internal sealed class AuditRow
{
    public long Id { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The public part of an API key, <c>cc_…</c>, or <c>operator</c>: whoever has the database.</summary>
    public required string Actor { get; init; }

    /// <summary>What was done, such as <c>deposit</c> or <c>price.set</c>.</summary>
    public required string Act { get; init; }

    /// <summary>To what, such as <c>user 7</c>.</summary>
    public required string Subject { get; init; }

    /// <summary>The figures of it; null where there are none.</summary>
    public string? Detail { get; init; }
}
