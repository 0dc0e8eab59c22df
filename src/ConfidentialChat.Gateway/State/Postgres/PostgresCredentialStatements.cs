using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;

namespace ConfidentialChat.Gateway.State.Postgres;

internal sealed class PostgresCredentialStatements(PostgresDatabase database) : ICredentialStatements
{
    public bool AddApiKey(
        string user, bool newUser, BearerSecret secret, ApiKeyScopes scopes, DateTimeOffset? expiresAt, DateTimeOffset now) => Change(session =>
    {
        var added = new PostgresStatement(session, "INSERT INTO users (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .Bind(0, user).Bind(1, now).Run();
        if (added == 0 && newUser)
            return false;
        if (added == 1)
            new PostgresStatement(session, """
                INSERT INTO audit (created_at, actor, act, subject, detail) SELECT $1, $2, $3, 'user ' || id, name FROM users WHERE name = $4
                """).Bind(0, now).Bind(1, Administration.Operator).Bind(2, AuditActs.CreateUser).Bind(3, user).Later();
        new PostgresStatement(session, """
            INSERT INTO audit (created_at, actor, act, subject, detail) SELECT $1, $2, $3, $4 || id, $5 FROM users WHERE name = $6
            """).Bind(0, now).Bind(1, Administration.Operator).Bind(2, AuditActs.CreateKey).Bind(3, $"key cc_{secret.Prefix} of user ")
            .Bind(4, AuditActs.Detail(scopes, expiresAt)).Bind(5, user).Later();
        return new PostgresStatement(session, """
            INSERT INTO api_keys (user_id, prefix, hash, created_at, scopes, expires_at) SELECT id, $1, $2, $3, $4, $5 FROM users WHERE name = $6
            """).Bind(0, secret.Prefix).Bind(1, secret.Hash).Bind(2, now).Bind(3, ApiKeyScopeText.Write(scopes))
            .Bind(4, expiresAt?.ToUnixTimeMilliseconds()).Bind(5, user).Run() == 1;
    });

    public byte[]? FindApiKey(string prefix, DateTimeOffset now) => Find(session =>
        new PostgresStatement(session, "SELECT hash FROM api_keys WHERE prefix = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)")
            .Bind(0, prefix).Bind(1, now).Single(row => row.Bytes(0)));

    public bool RevokeApiKey(string prefix, DateTimeOffset now) => Change(session =>
    {
        Note(session, now, AuditActs.RevokeKey, $"key cc_{prefix}", null);
        return new PostgresStatement(session, "UPDATE api_keys SET revoked_at = $1 WHERE prefix = $2 AND revoked_at IS NULL")
            .Bind(0, now).Bind(1, prefix).Run() == 1;
    });

    public void AddEnrolmentToken(BearerSecret secret, DateTimeOffset now, DateTimeOffset expiresAt) => Change(session =>
    {
        Note(session, now, AuditActs.CreateToken, $"token cce_{secret.Prefix}", AuditActs.Until(expiresAt));
        return new PostgresStatement(session, "INSERT INTO enrolment_tokens (prefix, hash, created_at, expires_at) VALUES ($1, $2, $3, $4)")
            .Bind(0, secret.Prefix).Bind(1, secret.Hash).Bind(2, now).Bind(3, expiresAt).Run() == 1;
    });

    public EnrolmentToken? FindEnrolmentToken(string prefix) => Find(session =>
        new PostgresStatement(session, "SELECT id, hash FROM enrolment_tokens WHERE prefix = $1").Bind(0, prefix)
            .Single(row => new EnrolmentToken(row.Integer(0), row.Bytes(1))));

    public bool RemoveNode(long id, DateTimeOffset now) => Change(session =>
    {
        var removed = new PostgresStatement(session, "UPDATE nodes SET removed_at = $1, relay_key = NULL WHERE id = $2 AND removed_at IS NULL")
            .Bind(0, now).Bind(1, id).Run();
        if (removed == 0)
            return false;
        new PostgresStatement(session, "DELETE FROM node_models WHERE node_id = $1").Bind(0, id).Later();
        new PostgresStatement(session, "DELETE FROM node_key_sets WHERE node_id = $1").Bind(0, id).Later();
        Note(session, now, AuditActs.RemoveNode, $"node {id}", null);
        return true;
    });

    private T? Find<T>(Func<PostgresSession, T?> statements) => database.Find(connection =>
    {
        var session = new PostgresSession();
        session.Open(connection);
        session.Begin();
        var found = statements(session);
        session.Commit();
        return found;
    });

    private static void Note(PostgresSession session, DateTimeOffset now, string act, string subject, string? detail) =>
        new PostgresStatement(session, "INSERT INTO audit (created_at, actor, act, subject, detail) VALUES ($1, $2, $3, $4, $5)")
            .Bind(0, now).Bind(1, Administration.Operator).Bind(2, act).Bind(3, subject).Bind(4, detail).Later();

    // All or nothing, and nothing where it says false.
    private bool Change(Func<PostgresSession, bool> change) => database.Use(connection =>
    {
        var session = new PostgresSession();
        session.Open(connection);
        session.Begin();
        try
        {
            if (!change(session))
            {
                session.Abandon();
                return false;
            }

            session.Commit();
            return true;
        }
        catch
        {
            session.Abandon();
            throw;
        }
    });
}
