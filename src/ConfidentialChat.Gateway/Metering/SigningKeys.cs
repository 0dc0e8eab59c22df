// spec/vouchers.md section 6, "Signing keys".
using System.Collections.Concurrent;
using System.Threading.Channels;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>
/// The keys that nodes sign vouchers with, each from the bundle of its key set, fetched when that is announced: the process that holds the
/// key may be gone when its vouchers come. Safe from any thread.
/// </summary>
internal sealed class SigningKeys(KnownNodes nodes, NodeBundles bundles, IStateWriter state, TimeProvider time, Seldom seldom, ILogger<SigningKeys> log)
    : BackgroundService
{
    /// <summary>How long after the end of its bundle a key's vouchers are taken.</summary>
    public static readonly TimeSpan Retention = TimeSpan.FromDays(30);

    /// <summary>Of each node.</summary>
    private const int MaxKept = 4096;

    /// <summary>Bundles on their way at once: each may have megabytes.</summary>
    private const int AtOnce = 4;

    /// <summary>No key's end is further away, whatever its bundle says.</summary>
    private static readonly TimeSpan LongestLife = TimeSpan.FromDays(366);

    /// <summary>Between two attempts at a node that did not give its bundle.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

    private readonly Channel<NodeId> asked = Channel.CreateUnbounded<NodeId>();
    private readonly ConcurrentDictionary<NodeId, Learner> learners = new();

    /// <summary>A node has announced its key sets: what is not known of them is fetched, and nobody waits for it.</summary>
    public void Look(NodeId node)
    {
        if (nodes.Find(node) is not { } known)
            return;
        var learner = learners.GetOrAdd(node, _ => new Learner());
        if (learner.Lacks(known, time) && learner.TryAsk())
            asked.Writer.TryWrite(node);
    }

    /// <summary>The key of a node's key set; null where none is kept. Whether it is retired is the caller's to ask.</summary>
    public Task<SigningKey?> FindAsync(NodeId node, KeySetDigest keySet) => state.RunAsync(rows => rows.Ledger.FindSigningKeyAsync(node, keySet));

    /// <summary>Fetches the key of a set that the node announces now; null where its bundle does not come.</summary>
    public async Task<SigningKey?> LearnAsync(KnownNode node, KnownKeySet keys, CancellationToken cancellation)
    {
        if (await FindAsync(node.Id, keys.Digest) is { } known)
            return known;
        if (await bundles.StatementAsync(node, keys, cancellation) is not { } statement)
            return null;
        var now = time.GetUtcNow();
        var end = statement.NotAfter < now + LongestLife ? statement.NotAfter : now + LongestLife;
        var key = new SigningKey(new Ed25519PublicKey(statement.Keys.Signing.Span), end);
        await state.RunAsync(
            async rows =>
            {
                await rows.Ledger.PutSigningKeyAsync(node.Id, keys.Digest, key, MaxKept, now - Retention);
                return true;
            },
            Commit.Durably);
        return key;
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(Enumerable.Range(0, AtOnce).Select(_ => WorkAsync(stoppingToken)));

    private async Task WorkAsync(CancellationToken stopping)
    {
        try
        {
            await foreach (var node in asked.Reader.ReadAllAsync(stopping))
            {
                var learner = learners[node];
                learner.Begin();
                try
                {
                    await LearnAllAsync(node, learner, stopping);
                }
                catch (GatewayStateException)
                {
                    learner.Fail(time); // who met it first has logged it
                }
                catch (Exception e) when (!stopping.IsCancellationRequested)
                {
                    learner.Fail(time);
                    if (seldom.Says("Signing keys that could not be kept"))
                        log.NoSigningKey(e);
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private async Task LearnAllAsync(NodeId id, Learner learner, CancellationToken stopping)
    {
        var now = time.GetUtcNow();
        foreach (var keys in nodes.Find(id)?.KeySets ?? [])
        {
            if (keys.Bundle is null || keys.Expires <= now || learner.Has(keys.Digest) || nodes.Find(id) is not { } node)
                continue;
            if (await LearnAsync(node, keys, stopping) is null)
            {
                learner.Fail(time);
                return; // asked again with its next heartbeat
            }

            learner.Learned(keys.Digest);
        }
    }

    /// <summary>What is known of one node's announced key sets, and when it may be asked again.</summary>
    private sealed class Learner
    {
        private readonly Lock gate = new();
        private HashSet<KeySetDigest> learned = [];
        private bool isAsked;
        private long? failedAt;

        /// <summary>Whether it announces a set with a bundle whose key is not known. What it announces no more is forgotten here.</summary>
        public bool Lacks(KnownNode node, TimeProvider time)
        {
            lock (gate)
            {
                if (failedAt is { } failed && time.GetElapsedTime(failed) < Pause)
                    return false;
                var lacks = false;
                var present = 0;
                foreach (var keys in node.KeySets)
                {
                    if (learned.Contains(keys.Digest))
                        present++;
                    else
                        lacks |= keys.Bundle is not null;
                }

                if (present < learned.Count)
                    learned = [.. node.KeySets.Select(keys => keys.Digest).Where(learned.Contains)];
                return lacks;
            }
        }

        /// <summary>False where it waits to be asked already.</summary>
        public bool TryAsk()
        {
            lock (gate)
                return !isAsked && (isAsked = true);
        }

        public void Begin()
        {
            lock (gate)
                isAsked = false; // what is announced from here on is asked for anew
        }

        public bool Has(KeySetDigest keySet)
        {
            lock (gate)
                return learned.Contains(keySet);
        }

        public void Learned(KeySetDigest keySet)
        {
            lock (gate)
            {
                learned.Add(keySet);
                failedAt = null;
            }
        }

        public void Fail(TimeProvider time)
        {
            lock (gate)
                failedAt = time.GetTimestamp();
        }
    }
}
