using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;
using Microsoft.Data.Sqlite;

namespace ConfidentialChat.Gateway.State.Sqlite;

internal sealed class SqliteCredentialStatements(SqliteDatabase database) : ICredentialStatements
{
    public bool AddApiKey(
        string user, bool newUser, BearerSecret secret, ApiKeyScopes scopes, DateTimeOffset? expiresAt, DateTimeOffset now) => database.Use(connection =>
    {
        using var addUser = Prepare(connection, "INSERT INTO users (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING").Bind(0, user).Bind(1, now);
        using var addKey = Prepare(connection, """
            INSERT INTO api_keys (user_id, prefix, hash, created_at, scopes, expires_at) SELECT id, ?, ?, ?, ?, ? FROM users WHERE name = ?
            """).Bind(0, secret.Prefix).Bind(1, secret.Hash).Bind(2, now).Bind(3, ApiKeyScopeText.Write(scopes))
            .Bind(4, expiresAt?.ToUnixTimeMilliseconds()).Bind(5, user);
        using var noteUser = Prepare(connection, """
            INSERT INTO audit (created_at, actor, act, subject, detail) SELECT ?, ?, ?, 'user ' || id, name FROM users WHERE name = ?
            """).Bind(0, now).Bind(1, Administration.Operator).Bind(2, AuditActs.CreateUser).Bind(3, user);
        using var noteKey = Prepare(connection, """
            INSERT INTO audit (created_at, actor, act, subject, detail) SELECT ?, ?, ?, 'key cc_' || ? || ' of user ' || id, ? FROM users WHERE name = ?
            """).Bind(0, now).Bind(1, Administration.Operator).Bind(2, AuditActs.CreateKey).Bind(3, secret.Prefix)
            .Bind(4, AuditActs.Detail(scopes, expiresAt)).Bind(5, user);
        return Change(connection, () =>
        {
            if (addUser.Run() == 1)
                noteUser.Run();
            else if (newUser)
                return false;
            return addKey.Run() == 1 && noteKey.Run() == 1;
        });
    });

    public byte[]? FindApiKey(string prefix, DateTimeOffset now) => database.Use(connection =>
    {
        using var find = Prepare(
            connection, "SELECT hash FROM api_keys WHERE prefix = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)")
            .Bind(0, prefix).Bind(1, now);
        return find.Single(row => row.Bytes(0));
    });

    public bool RevokeApiKey(string prefix, DateTimeOffset now) => database.Use(connection =>
    {
        using var revoke = Prepare(connection, "UPDATE api_keys SET revoked_at = ? WHERE prefix = ? AND revoked_at IS NULL").Bind(0, now).Bind(1, prefix);
        using var note = Note(connection, now, AuditActs.RevokeKey, $"key cc_{prefix}", null);
        return Change(connection, () => revoke.Run() == 1 && note.Run() == 1);
    });

    public void AddEnrolmentToken(BearerSecret secret, DateTimeOffset now, DateTimeOffset expiresAt) => database.Use(connection =>
    {
        using var add = Prepare(connection, "INSERT INTO enrolment_tokens (prefix, hash, created_at, expires_at) VALUES (?, ?, ?, ?)")
            .Bind(0, secret.Prefix).Bind(1, secret.Hash).Bind(2, now).Bind(3, expiresAt);
        using var note = Note(connection, now, AuditActs.CreateToken, $"token cce_{secret.Prefix}", AuditActs.Until(expiresAt));
        return Change(connection, () => add.Run() == 1 && note.Run() == 1);
    });

    public EnrolmentToken? FindEnrolmentToken(string prefix) => database.Use(connection =>
    {
        using var find = Prepare(connection, "SELECT id, hash FROM enrolment_tokens WHERE prefix = ?").Bind(0, prefix);
        return find.Single(row => new EnrolmentToken(row.Integer(0), row.Bytes(1)));
    });

    public bool RemoveNode(long id, DateTimeOffset now) => database.Use(connection =>
    {
        using var remove = Prepare(connection, "UPDATE nodes SET removed_at = ?, relay_key = NULL WHERE id = ? AND removed_at IS NULL")
            .Bind(0, now)
            .Bind(1, id);
        using var removeModels = Prepare(connection, "DELETE FROM node_models WHERE node_id = ?").Bind(0, id);
        using var removeKeySets = Prepare(connection, "DELETE FROM node_key_sets WHERE node_id = ?").Bind(0, id);
        using var note = Note(connection, now, AuditActs.RemoveNode, $"node {id}", null);
        return Change(connection, () =>
        {
            if (remove.Run() == 0)
                return false;
            removeModels.Run();
            removeKeySets.Run();
            return note.Run() == 1;
        });
    });

    // All that a change needs is prepared and bound before it begins: the lock is held for as long as its statements run.
    private static bool Change(SqliteConnection connection, Func<bool> change)
    {
        using var begin = Prepare(connection, "BEGIN IMMEDIATE");
        using var commit = Prepare(connection, "COMMIT");
        using var rollback = Prepare(connection, "ROLLBACK");
        begin.Run();
        try
        {
            if (!change())
                return false;
            commit.Run();
            return true;
        }
        finally
        {
            if (SQLitePCL.raw.sqlite3_get_autocommit(connection.Handle) == 0)
                rollback.Run();
        }
    }

    private static SqliteStatement Note(SqliteConnection connection, DateTimeOffset now, string act, string subject, string? detail) =>
        Prepare(connection, "INSERT INTO audit (created_at, actor, act, subject, detail) VALUES (?, ?, ?, ?, ?)")
            .Bind(0, now).Bind(1, Administration.Operator).Bind(2, act).Bind(3, subject).Bind(4, detail);

    private static SqliteStatement Prepare(SqliteConnection connection, string sql) => new(connection.Handle!, sql);
}
