// spec/gateway.md section 3; section 10 rule 10.
using System.Collections.Frozen;
using System.Globalization;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Nodes;

/// <summary>The enrolled nodes: a picture in memory, which is replaced whole after each change. Safe from any thread.</summary>
internal sealed class KnownNodes(IStateWriter state, RelayKeySeal seal, NodeLatency latency, GatewayOptions options, TimeProvider time)
{
    private const int MissedBeats = 3;

    private readonly Latest<Picture> latest = new(new Picture([], latency));

    /// <summary>Completes when what was committed before is in the latest.Value.</summary>
    public Task ReloadAsync()
    {
        var before = latest.Value;
        return latest.ReadAsync(
            state,
            async rows => new Picture([.. (await rows.Nodes.AllAsync()).Select(record => KnownNode.Of(record, before.Find(record.Id), seal))], latency));
    }

    /// <summary>The gateway failed to reach it at this address: no locks until it is reached again. Where it has moved meanwhile, nothing.</summary>
    public async Task MarkUnreachableAsync(NodeAddress address)
    {
        await state.RunAsync(async rows =>
        {
            await rows.Nodes.MarkUnreachableAsync(address);
            return true;
        });
        await ReloadAsync();
    }

    /// <summary>The gateway went to see where a node is.</summary>
    /// <param name="node">As it was known then: where it has enrolled anew meanwhile, nothing is changed.</param>
    /// <param name="address">Where its requests go.</param>
    /// <param name="isReached">Whether it is there.</param>
    public async Task SetReachedAsync(KnownNode node, NodeAddress address, bool isReached)
    {
        await state.RunAsync(async rows =>
        {
            await rows.Nodes.SetReachedAsync(address, node.SealedRelayKey!, isReached);
            return true;
        });
        await ReloadAsync();
    }

    /// <summary>How many there are, and how many of them have no relay key that this gateway's key opens.</summary>
    public (int All, int Closed) Count() => (latest.Value.Nodes.Length, latest.Value.Nodes.Count(node => node.RelayKey is null));

    public KnownNode? Find(NodeId node) => latest.Value.Find(node);

    /// <summary>The node whose number a path names.</summary>
    public KnownNode? Find(HttpContext context) =>
        long.TryParse((string?)context.Request.RouteValues["id"], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? Find(new NodeId(number))
            : null;

    /// <summary>The healthy nodes that serve a model: those with evidence first, of these the cheapest, then the fastest, then the least loaded.</summary>
    public IEnumerable<KnownNode> Serving(string model)
    {
        var now = time.GetUtcNow();
        return latest.Value.Serving(model).Where(node => IsHealthy(node, now));
    }

    /// <summary>Whether a node announces the model, healthy or not.</summary>
    public bool IsAnnounced(string model) => latest.Value.Serving(model).Length > 0;

    /// <summary>The models of healthy nodes, each with the time since which one has served it.</summary>
    public IEnumerable<(string Model, DateTimeOffset Since)> Models()
    {
        var now = time.GetUtcNow();
        return latest.Value.Nodes.Where(node => IsHealthy(node, now)).SelectMany(node => node.Models);
    }

    /// <summary>Whether it gets requests now.</summary>
    public bool IsHealthy(KnownNode node) => IsHealthy(node, time.GetUtcNow());

    private bool IsHealthy(KnownNode node, DateTimeOffset now) =>
        node is { IsReady: true, IsUnreachable: false, RelayKey: not null, Newest: { } newest }
        && (now - node.HeardAt).Duration() < TimeSpan.FromSeconds(options.HeartbeatSeconds * MissedBeats) // one that lies ahead: the clock was set back since
        && newest.Expires > now;

    private sealed class Picture
    {
        private readonly FrozenDictionary<NodeId, KnownNode> byId;
        private readonly FrozenDictionary<string, KnownNode[]> byModel;

        public Picture(KnownNode[] nodes, NodeLatency latency)
        {
            Nodes = nodes;
            byId = nodes.ToFrozenDictionary(node => node.Id);
            byModel = nodes.OrderBy(node => latency.Of(node.Id)).ThenBy(node => node.Load).ThenBy(node => node.Id.Value)
                .SelectMany(node => node.Models, (node, served) => (served.Model, Node: node))
                .GroupBy(served => served.Model, served => served.Node, StringComparer.Ordinal)
                .ToFrozenDictionary(model => model.Key, model => InOrder(model.Key, model), StringComparer.Ordinal);
        }

        public KnownNode[] Nodes { get; }

        public KnownNode? Find(NodeId node) => byId.GetValueOrDefault(node);

        // Behind the order that holds for all models.
        private static KnownNode[] InOrder(string model, IEnumerable<KnownNode> nodes) =>
            [.. nodes.OrderBy(node => node.Newest?.Bundle is null).ThenBy(node => node.PriceOf(model)?.Units.Sum ?? MicroDollars.Zero)];

        public KnownNode[] Serving(string model) => byModel.GetValueOrDefault(model) ?? [];
    }
}

/// <summary>One enrolled node.</summary>
internal sealed class KnownNode
{
    private KnownNode(NodeRecord record, NodeAddress address, RelayKey? relayKey)
    {
        Id = record.Id;
        Address = address;
        IdentityKey = Ed25519PublicKey.TryParse(record.Card.IdentityKey, out var key) ? key : null;
        RelayKey = relayKey;
        SealedRelayKey = record.Card.RelayKey;
        IsReady = record.IsReady;
        IsUnreachable = record.IsUnreachable;
        HeardAt = record.HeardAt;
        Load = record.Load;
        KeySets = [.. record.KeySets.Select(keys => new KnownKeySet(keys))];
        Newest = KeySets.FirstOrDefault(keys => keys.Digest == record.KeySet);
        Models = record.Models;
        Prices = record.Prices;
    }

    public NodeId Id { get; }

    public NodeAddress Address { get; }

    public Ed25519PublicKey? IdentityKey { get; }

    /// <summary>Null where it has none that this gateway's key opens: it has to enrol anew.</summary>
    public RelayKey? RelayKey { get; }

    /// <summary>As its row has it: another one after each enrolment.</summary>
    public byte[]? SealedRelayKey { get; }

    /// <summary>Whether it takes requests; false while it drains.</summary>
    public bool IsReady { get; }

    public bool IsUnreachable { get; }

    public DateTimeOffset HeardAt { get; }

    /// <summary>Requests that it serves or keeps waiting.</summary>
    public long Load { get; }

    /// <summary>The newest, which locks hand out.</summary>
    public KnownKeySet? Newest { get; }

    public IReadOnlyList<KnownKeySet> KeySets { get; }

    public IReadOnlyList<(string Model, DateTimeOffset Since)> Models { get; }

    /// <summary>Of models that it serves or has served; those without one are free.</summary>
    public IReadOnlyList<(string Model, Price Price)> Prices { get; }

    /// <param name="record">The rows.</param>
    /// <param name="before">The node as it was known before: what did not change is not made again.</param>
    /// <param name="seal">Opens the relay key.</param>
    public static KnownNode Of(NodeRecord record, KnownNode? before, RelayKeySeal seal) => new(
        record,
        new NodeAddress(record.Id, record.Card.Address, record.Card.TlsPin) is var address && address == before?.Address ? before.Address : address,
        record.Card.RelayKey is not { } sealedKey ? null
        : before?.SealedRelayKey is { } known && known.AsSpan().SequenceEqual(sealedKey) ? before.RelayKey
        : seal.TryOpen(sealedKey, record.Card.IdentityKey, out var key) ? key
        : null);

    /// <summary>What a model costs; null where it is free.</summary>
    public Price? PriceOf(string model)
    {
        foreach (var (priced, price) in Prices)
        {
            if (string.Equals(priced, model, StringComparison.Ordinal))
                return price;
        }

        return null;
    }

    public bool Serves(string model)
    {
        foreach (var served in Models)
        {
            if (string.Equals(served.Model, model, StringComparison.Ordinal))
                return true;
        }

        return false;
    }

    /// <summary>The key set of a digest that has a bundle and has not expired.</summary>
    public KnownKeySet? FindAttested(KeySetDigest digest, DateTimeOffset now)
    {
        foreach (var keys in KeySets)
        {
            if (keys.Digest == digest && keys.Bundle is not null && keys.Expires > now)
                return keys;
        }

        return null;
    }

    /// <summary>The key set that holds a node key of envelope v1 and has not expired.</summary>
    public KnownKeySet? Find(X25519PublicKey nodeKey, DateTimeOffset now)
    {
        foreach (var keys in KeySets)
        {
            if (keys.Expires > now && keys.NodeKey.Equals(nodeKey))
                return keys;
        }

        return null;
    }
}

/// <summary>A key set as requests ask for it: its digest and its text are made once.</summary>
internal sealed class KnownKeySet(PublishedKeySet keys)
{
    public KeySetDigest Digest { get; } = keys.Digest;

    /// <summary>The node key of envelope v1.</summary>
    public X25519PublicKey NodeKey { get; } = keys.X25519;

    /// <summary>Standard base64.</summary>
    public string NodeKeyText { get; } = keys.X25519.ToString();

    /// <summary>SHA-256 of the bundle that binds it, 32 bytes; null where it has none, and takes no sealed requests.</summary>
    public byte[]? Bundle { get; } = keys.Bundle;

    public DateTimeOffset Expires { get; } = keys.Expires;
}
