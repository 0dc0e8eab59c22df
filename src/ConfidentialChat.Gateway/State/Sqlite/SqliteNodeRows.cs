using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

internal sealed class SqliteNodeRows : INodeRows, IDisposable
{
    private readonly SqliteStatement findAll, findKeySets, findModels, findPrices, spendToken, findByIdentity, insert, replace, beat, lastSigned, sign,
        setReached, markUnreachable;
    private readonly SqliteStatement modelsOf, addModel, removeModel, keySetsOf, putKeySet, removeKeySet;

    public SqliteNodeRows(sqlite3 database)
    {
        findAll = new(database, """
            SELECT id, identity_key, address, tls_pin, relay_key, ready, unreachable, running + queued, heard_at, key_set FROM nodes
            WHERE removed_at IS NULL
            """);
        findKeySets = new(database, "SELECT node_id, digest, x25519, bundle, expires_at FROM node_key_sets");
        findModels = new(database, "SELECT node_id, model, created_at FROM node_models");
        findPrices = new(database, "SELECT node_id, model, id, prompt, completion, image FROM prices WHERE ended_at IS NULL");
        spendToken = new(database, "UPDATE enrolment_tokens SET spent_at = ?1 WHERE id = ?2 AND spent_at IS NULL AND expires_at > ?1");
        findByIdentity = new(database, "SELECT id FROM nodes WHERE identity_key = ?");
        insert = new(database, """
            INSERT INTO nodes (identity_key, address, ready, running, queued, signed_at, heard_at, unreachable, unreported)
            VALUES (?, '', 0, 0, 0, 0, 0, 0, 0) RETURNING id
            """);
        replace = new(database, "UPDATE nodes SET address = ?, tls_pin = ?, relay_key = ?, unreachable = 0, removed_at = NULL WHERE id = ? AND (signed_at < ? OR signed_at > ?)");
        beat = new(database, """
            UPDATE nodes SET signed_at = ?1, heard_at = ?2, ready = ?3, key_set = ?4, running = ?5, queued = ?6
            WHERE id = ?7 AND removed_at IS NULL AND (signed_at < ?1 OR signed_at > ?8)
            """);
        lastSigned = new(database, "SELECT signed_at FROM nodes WHERE identity_key = ?"); // of a removed one too, which is coming back
        sign = new(database, "UPDATE nodes SET signed_at = ?1 WHERE id = ?2 AND removed_at IS NULL AND (signed_at < ?1 OR signed_at > ?3)");
        setReached = new(database, "UPDATE nodes SET address = ?, tls_pin = ?, unreachable = ? WHERE id = ? AND removed_at IS NULL AND relay_key = ?");
        markUnreachable = new(database, "UPDATE nodes SET unreachable = 1 WHERE id = ? AND address = ? AND tls_pin IS ?");
        modelsOf = new(database, "SELECT model FROM node_models WHERE node_id = ?");
        addModel = new(database, "INSERT INTO node_models (node_id, model, created_at) VALUES (?, ?, ?)");
        removeModel = new(database, "DELETE FROM node_models WHERE node_id = ? AND model = ?");
        keySetsOf = new(database, "SELECT digest FROM node_key_sets WHERE node_id = ?");
        putKeySet = new(database, """
            INSERT INTO node_key_sets (node_id, digest, x25519, bundle, expires_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (node_id, digest) DO UPDATE SET expires_at = excluded.expires_at
            """);
        removeKeySet = new(database, "DELETE FROM node_key_sets WHERE node_id = ? AND digest = ?");
    }

    public ValueTask<IReadOnlyList<NodeRecord>> AllAsync()
    {
        var keySets = findKeySets.All(row => (Node: row.Integer(0), Keys: ReadKeySet(row))).ToLookup(row => row.Node, row => row.Keys);
        var models = findModels.All(row => (Node: row.Integer(0), Model: (row.Text(1), row.Time(2)))).ToLookup(row => row.Node, row => row.Model);
        var prices = findPrices.All(row => (Node: row.Integer(0), Price: (row.Text(1), ReadPrice(row)))).ToLookup(row => row.Node, row => row.Price);
        NodeRecord?[] nodes = [.. findAll.All(Read)];
        return new([.. nodes.OfType<NodeRecord>()]);

        // A node whose address is none is not known: its messages are refused, and it enrols anew.
        NodeRecord? Read(SqliteStatement row) => !Uri.TryCreate(row.Text(2), UriKind.Absolute, out var address) ? null : new NodeRecord
        {
            Id = new NodeId(row.Integer(0)),
            Card = new NodeCard
            {
                IdentityKey = row.Text(1),
                Address = address,
                TlsPin = row.IsNull(3) ? null : row.Text(3),
                RelayKey = row.IsNull(4) ? null : row.Bytes(4),
            },
            IsReady = row.Integer(5) != 0,
            IsUnreachable = row.Integer(6) != 0,
            Load = row.Integer(7),
            HeardAt = row.Time(8),
            KeySet = !row.IsNull(9) && KeySetDigest.TryParse(row.Text(9), out var newest) ? newest : null,
            KeySets = [.. keySets[row.Integer(0)].OfType<PublishedKeySet>()],
            Models = [.. models[row.Integer(0)]],
            Prices = [.. prices[row.Integer(0)]],
        };
    }

    public ValueTask<bool> TrySpendTokenAsync(EnrolmentToken token, DateTimeOffset now) =>
        new(spendToken.Bind(0, now).Bind(1, token.Id).Run() == 1);

    public async ValueTask<NodeId?> TryEnrolAsync(NodeCard card, Announcement announcement, DateTimeOffset now)
    {
        var id = findByIdentity.Bind(0, card.IdentityKey).Single<long?>(row => row.Integer(0))
            ?? insert.Bind(0, card.IdentityKey).Single(row => row.Integer(0));
        var node = new NodeId(id);
        return replace.Bind(0, card.Address.AbsoluteUri)
            .Bind(1, card.TlsPin)
            .Bind(2, card.RelayKey)
            .Bind(3, id)
            .Bind(4, announcement.SignedAt)
            .Bind(5, now + ClockTolerance.Most)
            .Run() == 1
            && await TryBeatAsync(node, announcement, now)
            ? node
            : null;
    }

    public ValueTask<bool> TryBeatAsync(NodeId node, Announcement announcement, DateTimeOffset now)
    {
        beat.Bind(0, announcement.SignedAt).Bind(1, now).Bind(2, announcement.IsReady ? 1 : 0)
            .Bind(3, announcement.KeySets is [var newest, ..] ? newest.Digest.ToString() : null)
            .Bind(4, announcement.Running).Bind(5, announcement.Queued).Bind(6, node.Value).Bind(7, now + ClockTolerance.Most);
        if (beat.Run() == 0)
            return new(false);

        var models = modelsOf.Bind(0, node.Value).All(row => row.Text(0));
        foreach (var model in models.Except(announcement.Models, StringComparer.Ordinal))
            removeModel.Bind(0, node.Value).Bind(1, model).Run();
        foreach (var model in announcement.Models.Except(models, StringComparer.Ordinal))
            addModel.Bind(0, node.Value).Bind(1, model).Bind(2, now).Run();

        // A node that restarts forgets its keys: what is announced no more has expired, whatever was said before, and goes.
        var announced = announcement.KeySets.ToDictionary(keys => keys.Digest.ToString(), StringComparer.Ordinal);
        foreach (var digest in keySetsOf.Bind(0, node.Value).All(row => row.Text(0)).Where(digest => !announced.ContainsKey(digest)))
            removeKeySet.Bind(0, node.Value).Bind(1, digest).Run();
        foreach (var (digest, keys) in announced)
            putKeySet.Bind(0, node.Value).Bind(1, digest).Bind(2, keys.X25519.ToString()).Bind(3, keys.Bundle).Bind(4, keys.Expires).Run();
        return new(true);
    }

    public ValueTask<DateTimeOffset?> LastSignedAsync(string identityKey) =>
        new(lastSigned.Bind(0, identityKey).Single<DateTimeOffset?>(row => row.Time(0)));

    public ValueTask<bool> TrySignAsync(NodeId node, DateTimeOffset signedAt, DateTimeOffset now) =>
        new(sign.Bind(0, signedAt).Bind(1, node.Value).Bind(2, now + ClockTolerance.Most).Run() == 1);

    public ValueTask MarkUnreachableAsync(NodeAddress address)
    {
        markUnreachable.Bind(0, address.Node.Value).Bind(1, address.Base.AbsoluteUri).Bind(2, address.TlsPin).Run();
        return default;
    }

    public ValueTask SetReachedAsync(NodeAddress address, byte[] relayKey, bool isReached)
    {
        setReached.Bind(0, address.Base.AbsoluteUri).Bind(1, address.TlsPin).Bind(2, isReached ? 0 : 1).Bind(3, address.Node.Value).Bind(4, relayKey).Run();
        return default;
    }

    public void Dispose()
    {
        foreach (var statement in (SqliteStatement[])
                 [
                     findAll, findKeySets, findModels, findPrices, spendToken, findByIdentity, insert, replace, beat, lastSigned, sign, setReached,
                     markUnreachable,
                     modelsOf, addModel, removeModel, keySetsOf, putKeySet, removeKeySet,
                 ])
            statement.Dispose();
    }

    private static Price ReadPrice(SqliteStatement row) => new(
        new PriceId(row.Integer(2)),
        new UnitPrices(new MicroDollars(row.Integer(3)), new MicroDollars(row.Integer(4)), new MicroDollars(row.Integer(5))));

    private static PublishedKeySet? ReadKeySet(SqliteStatement row) => KeySetDigest.TryParse(row.Text(1), out var digest)
        && X25519PublicKey.TryParse(row.Text(2), out var key)
        ? new PublishedKeySet(digest, key, row.IsNull(3) ? null : row.Bytes(3), row.Time(4))
        : null;
}
