// spec/gateway.md section 5. No row holds a prompt, an answer, a hash of either, or a client key.
namespace ConfidentialChat.Gateway.State;

internal sealed class UserRow
{
    public long Id { get; init; }

    public required string Name { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
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

    /// <summary>X25519, standard base64: the newest key announced, which locks hand out.</summary>
    public string? NodeKey { get; set; }

    public DateTimeOffset NodeKeyExpiresAt { get; set; }

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

/// <summary>A key that a node ever announced. A key that it announces no more has expired, whatever was said before.</summary>
internal sealed class NodeKeyRow
{
    public required long NodeId { get; init; }

    /// <summary>X25519, standard base64.</summary>
    public required string PublicKey { get; init; }

    public required DateTimeOffset ExpiresAt { get; set; }
}

internal sealed class StackRow
{
    public long Id { get; init; }

    public required long UserId { get; init; }

    public required long NodeId { get; init; }

    public required string Model { get; init; }

    public required long Total { get; init; }

    public long Used { get; init; }

    public long Reserved { get; init; }
}

internal sealed class LockRow
{
    public long Id { get; init; }

    public required long StackId { get; init; }

    public required string NodeKey { get; init; }

    public required long Units { get; init; }

    /// <summary><c>open</c>, <c>claimed</c>, <c>spent</c>, <c>returned</c> or <c>expired</c>.</summary>
    public required string State { get; init; }

    public required DateTimeOffset ExpiresAt { get; init; }
}

internal sealed class ReservationRow
{
    public required string RequestId { get; init; }

    public required long LockId { get; init; }

    public required long UserId { get; init; }

    public required long NodeId { get; init; }

    public required long StackId { get; init; }

    public required long Held { get; init; }

    /// <summary><c>held</c>, <c>settled</c>, <c>released</c> or <c>unreported</c>.</summary>
    public required string State { get; init; }

    public required DateTimeOffset DeadlineAt { get; init; }
}

internal sealed class SettlementRow
{
    public required string RequestId { get; init; }

    /// <summary><c>reported</c>, <c>capped</c> (the report was above the reservation) or <c>late</c> (after the deadline).</summary>
    public required string Kind { get; init; }

    /// <summary>What the node said.</summary>
    public required long Reported { get; init; }

    /// <summary>What the stack was charged.</summary>
    public required long Charged { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}
