// spec/gateway.md sections 2 and 3.
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>The rows of nodes and of the tokens that enrol them, within one transaction. One implementation for each database engine.</summary>
internal interface INodeRows
{
    /// <summary>The nodes that are enrolled and not removed.</summary>
    ValueTask<IReadOnlyList<NodeRecord>> AllAsync();

    /// <summary>Spends a token that is neither spent nor expired, by one conditional UPDATE.</summary>
    ValueTask<bool> TrySpendTokenAsync(EnrolmentToken token, DateTimeOffset now);

    /// <summary>
    /// Takes a node in under the number that its identity key had before, or a new one. Null where its time is not larger than the largest
    /// seen; one that lies ahead of now by more than <see cref="Protocol.Relay.ClockTolerance"/> was written by a clock that was wrong, and does not count.
    /// </summary>
    ValueTask<NodeId?> TryEnrolAsync(NodeCard card, Announcement announcement, DateTimeOffset now);

    /// <summary>
    /// Writes how a node is, by one conditional UPDATE: false where it is unknown or its
    /// time is not larger than the largest seen, which counts as above.
    /// </summary>
    ValueTask<bool> TryBeatAsync(NodeId node, Announcement announcement, DateTimeOffset now);

    /// <summary>The largest time that a node signed; null where no node of this identity key is enrolled.</summary>
    ValueTask<DateTimeOffset?> LastSignedAsync(string identityKey);

    /// <summary>
    /// Notes a time that a node signed, by one conditional UPDATE: false where it is unknown or
    /// the time is not larger than the largest seen, which counts as above.
    /// </summary>
    ValueTask<bool> TrySignAsync(NodeId node, DateTimeOffset signedAt, DateTimeOffset now);

    /// <summary>The gateway failed to reach a node there: no locks until it is reached again. Nothing where the node is elsewhere by now.</summary>
    ValueTask MarkUnreachableAsync(NodeAddress address);

    /// <summary>Writes where a node is and whether it is reached there. Nothing where it has another relay key by now, and so has enrolled anew.</summary>
    ValueTask SetReachedAsync(NodeAddress address, byte[] relayKey, bool isReached);
}

/// <param name="Id">Its row.</param>
/// <param name="Hash">SHA-256 of the whole token.</param>
internal sealed record EnrolmentToken(long Id, byte[] Hash);

/// <summary>Who a node is, as it enrolled.</summary>
internal sealed record NodeCard
{
    /// <summary>Standard base64.</summary>
    public required string IdentityKey { get; init; }

    public required Uri Address { get; init; }

    public required string? TlsPin { get; init; }

    /// <summary>Sealed; null where it enrolled before there were relay keys.</summary>
    public required byte[]? RelayKey { get; init; }
}

/// <summary>A node as its rows have it.</summary>
internal sealed record NodeRecord
{
    public required NodeId Id { get; init; }

    public required NodeCard Card { get; init; }

    public required bool IsReady { get; init; }

    public required bool IsUnreachable { get; init; }

    public required long Load { get; init; }

    public required DateTimeOffset HeardAt { get; init; }

    /// <summary>The newest that it announced.</summary>
    public required KeySetDigest? KeySet { get; init; }

    /// <summary>Those that it announces, whether expired or not.</summary>
    public required IReadOnlyList<PublishedKeySet> KeySets { get; init; }

    public required IReadOnlyList<(string Model, DateTimeOffset Since)> Models { get; init; }

    /// <summary>The current ones, also of models that it does not announce now.</summary>
    public required IReadOnlyList<(string Model, Price Price)> Prices { get; init; }
}
