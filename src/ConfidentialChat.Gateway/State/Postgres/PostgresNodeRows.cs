using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using Npgsql;

namespace ConfidentialChat.Gateway.State.Postgres;

/// <summary>Other gateways may write at once: what is read to be changed is locked first, and what may be there already is no error.</summary>
internal sealed class PostgresNodeRows : INodeRows
{
    private readonly PostgresStatement findAll, findKeySets, findModels, findPrices, spendToken, findByIdentity, insert, replace, beat, lastSigned, sign,
        setReached, markUnreachable;
    private readonly PostgresStatement modelsOf, addModel, removeModel, keySetsOf, putKeySet, removeKeySet;

    public PostgresNodeRows(PostgresSession session)
    {
        findAll = new(session, """
            SELECT id, identity_key, address, tls_pin, relay_key, ready, unreachable, (running + queued)::bigint, heard_at, key_set FROM nodes
            WHERE removed_at IS NULL
            """);
        findKeySets = new(session, "SELECT node_id, digest, x25519, bundle, expires_at FROM node_key_sets");
        findModels = new(session, "SELECT node_id, model, created_at FROM node_models");
        findPrices = new(session, "SELECT node_id, model, id, prompt, completion, image FROM prices WHERE ended_at IS NULL");
        spendToken = new(session, "UPDATE enrolment_tokens SET spent_at = $1 WHERE id = $2 AND spent_at IS NULL AND expires_at > $1");
        findByIdentity = new(session, "SELECT id FROM nodes WHERE identity_key = $1");
        insert = new(session, """
            INSERT INTO nodes (identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported)
            VALUES ($1, '', FALSE, 0, 0, 0, 0, FALSE, 0) ON CONFLICT (identity_key) DO NOTHING
            """);
        replace = new(session, """
            UPDATE nodes SET address = $1, tls_pin = $2, relay_key = $3, unreachable = FALSE, removed_at = NULL
            WHERE id = $4 AND (signed_at < $5 OR signed_at > $6)
            """);
        beat = new(session, """
            UPDATE nodes SET signed_at = $1, heard_at = $2, ready = $3, key_set = $4, running = $5, queued = $6
            WHERE id = $7 AND removed_at IS NULL AND (signed_at < $1 OR signed_at > $8)
            """);
        lastSigned = new(session, "SELECT signed_at FROM nodes WHERE identity_key = $1"); // of a removed one too, which is coming back
        sign = new(session, "UPDATE nodes SET signed_at = $1 WHERE id = $2 AND removed_at IS NULL AND (signed_at < $1 OR signed_at > $3)");
        setReached = new(session, "UPDATE nodes SET address = $1, tls_pin = $2, unreachable = $3 WHERE id = $4 AND removed_at IS NULL AND relay_key = $5");
        markUnreachable = new(session, "UPDATE nodes SET unreachable = TRUE WHERE id = $1 AND address = $2 AND tls_pin IS NOT DISTINCT FROM $3");
        modelsOf = new(session, "SELECT model FROM node_models WHERE node_id = $1");
        addModel = new(session, "INSERT INTO node_models (node_id, model, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
        removeModel = new(session, "DELETE FROM node_models WHERE node_id = $1 AND model = $2");
        keySetsOf = new(session, "SELECT digest FROM node_key_sets WHERE node_id = $1");
        putKeySet = new(session, """
            INSERT INTO node_key_sets (node_id, digest, x25519, bundle, expires_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (node_id, digest) DO UPDATE SET expires_at = excluded.expires_at
            """);
        removeKeySet = new(session, "DELETE FROM node_key_sets WHERE node_id = $1 AND digest = $2");
    }

    public ValueTask<IReadOnlyList<NodeRecord>> AllAsync()
    {
        var keySets = findKeySets.All(row => (Node: row.Integer(0), Keys: ReadKeySet(row))).ToLookup(row => row.Node, row => row.Keys);
        var models = findModels.All(row => (Node: row.Integer(0), Model: (row.Text(1), row.Time(2)))).ToLookup(row => row.Node, row => row.Model);
        var prices = findPrices.All(row => (Node: row.Integer(0), Price: (row.Text(1), ReadPrice(row)))).ToLookup(row => row.Node, row => row.Price);
        NodeRecord?[] nodes = [.. findAll.All(Read)];
        return new([.. nodes.OfType<NodeRecord>()]);

        // A node whose address is none is not known: its messages are refused, and it enrols anew.
        NodeRecord? Read(NpgsqlDataReader row) => !Uri.TryCreate(row.Text(2), UriKind.Absolute, out var address) ? null : new NodeRecord
        {
            Id = new NodeId(row.Integer(0)),
            Card = new NodeCard
            {
                IdentityKey = row.Text(1),
                Address = address,
                TlsPin = row.IsDBNull(3) ? null : row.Text(3),
                RelayKey = row.IsDBNull(4) ? null : row.Bytes(4),
            },
            IsReady = row.GetBoolean(5),
            IsUnreachable = row.GetBoolean(6),
            Load = row.Integer(7),
            HeardAt = row.Time(8),
            KeySet = !row.IsDBNull(9) && KeySetDigest.TryParse(row.Text(9), out var newest) ? newest : null,
            KeySets = [.. keySets[row.Integer(0)].OfType<PublishedKeySet>()],
            Models = [.. models[row.Integer(0)]],
            Prices = [.. prices[row.Integer(0)]],
        };
    }

    public ValueTask<bool> TrySpendTokenAsync(EnrolmentToken token, DateTimeOffset now) =>
        new(spendToken.Bind(0, now).Bind(1, token.Id).Run() == 1);

    public async ValueTask<NodeId?> TryEnrolAsync(NodeCard card, Announcement announcement, DateTimeOffset now)
    {
        var node = new NodeId(Find() ?? Insert());
        return replace.Bind(0, card.Address.AbsoluteUri)
            .Bind(1, card.TlsPin)
            .Bind(2, card.RelayKey)
            .Bind(3, node.Value)
            .Bind(4, announcement.SignedAt)
            .Bind(5, now + ClockTolerance.Most)
            .Run() == 1
            && await TryBeatAsync(node, announcement, now)
            ? node
            : null;

        long? Find() => findByIdentity.Bind(0, card.IdentityKey).Single<long?>(row => row.Integer(0));

        long Insert()
        {
            insert.Bind(0, card.IdentityKey).Later(); // none, where another gateway makes it now
            return Find() ?? throw new InvalidOperationException("A node went away as it was made.");
        }
    }

    public ValueTask<bool> TryBeatAsync(NodeId node, Announcement announcement, DateTimeOffset now)
    {
        beat.Bind(0, announcement.SignedAt).Bind(1, now).Bind(2, announcement.IsReady)
            .Bind(3, announcement.KeySets is [var newest, ..] ? newest.Digest.ToString() : null)
            .Bind(4, announcement.Running).Bind(5, announcement.Queued).Bind(6, node.Value).Bind(7, now + ClockTolerance.Most);
        if (beat.Run() == 0)
            return new(false);

        var models = modelsOf.Bind(0, node.Value).All(row => row.Text(0));
        foreach (var model in models.Except(announcement.Models, StringComparer.Ordinal))
            removeModel.Bind(0, node.Value).Bind(1, model).Later();
        foreach (var model in announcement.Models.Except(models, StringComparer.Ordinal))
            addModel.Bind(0, node.Value).Bind(1, model).Bind(2, now).Later();

        // A node that restarts forgets its keys: what is announced no more has expired, whatever was said before, and goes.
        var announced = announcement.KeySets.ToDictionary(keys => keys.Digest.ToString(), StringComparer.Ordinal);
        foreach (var digest in keySetsOf.Bind(0, node.Value).All(row => row.Text(0)).Where(digest => !announced.ContainsKey(digest)))
            removeKeySet.Bind(0, node.Value).Bind(1, digest).Later();
        foreach (var (digest, keys) in announced)
            putKeySet.Bind(0, node.Value).Bind(1, digest).Bind(2, keys.X25519.ToString()).Bind(3, keys.Bundle).Bind(4, keys.Expires).Later();
        return new(true);
    }

    public ValueTask<DateTimeOffset?> LastSignedAsync(string identityKey) =>
        new(lastSigned.Bind(0, identityKey).Single<DateTimeOffset?>(row => row.Time(0)));

    public ValueTask<bool> TrySignAsync(NodeId node, DateTimeOffset signedAt, DateTimeOffset now) =>
        new(sign.Bind(0, signedAt).Bind(1, node.Value).Bind(2, now + ClockTolerance.Most).Run() == 1);

    public ValueTask MarkUnreachableAsync(NodeAddress address)
    {
        markUnreachable.Bind(0, address.Node.Value).Bind(1, address.Base.AbsoluteUri).Bind(2, address.TlsPin).Later();
        return default;
    }

    public ValueTask SetReachedAsync(NodeAddress address, byte[] relayKey, bool isReached)
    {
        setReached.Bind(0, address.Base.AbsoluteUri).Bind(1, address.TlsPin).Bind(2, !isReached).Bind(3, address.Node.Value).Bind(4, relayKey).Later();
        return default;
    }

    private static Price ReadPrice(NpgsqlDataReader row) => new(
        new PriceId(row.Integer(2)),
        new UnitPrices(new MicroDollars(row.Integer(3)), new MicroDollars(row.Integer(4)), new MicroDollars(row.Integer(5))));

    private static PublishedKeySet? ReadKeySet(NpgsqlDataReader row) => KeySetDigest.TryParse(row.Text(1), out var digest)
        && X25519PublicKey.TryParse(row.Text(2), out var key)
        ? new PublishedKeySet(digest, key, row.IsDBNull(3) ? null : row.Bytes(3), row.Time(4))
        : null;
}
