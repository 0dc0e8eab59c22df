using ConfidentialChat.Gateway.Auth;

namespace ConfidentialChat.Gateway.State.Postgres;

internal sealed class PostgresApiKeyRows(PostgresSession session) : IApiKeyRows
{
    private readonly PostgresStatement all = new(
        session, "SELECT prefix, hash, user_id, scopes, expires_at FROM api_keys WHERE revoked_at IS NULL");

    private readonly PostgresStatement noteUse = new(
        session, "UPDATE api_keys SET last_used_at = $1 WHERE prefix = $2 AND (last_used_at IS NULL OR last_used_at < $1)");

    public ValueTask<IReadOnlyList<KnownApiKey>> AllAsync() => new(all.All(row => new KnownApiKey(
        row.Text(0), row.Bytes(1), new UserId(row.Integer(2)), ApiKeyScopeText.Read(row.Text(3)), row.IsDBNull(4) ? null : row.Time(4))));

    public ValueTask<bool> NoteUseAsync(string prefix, DateTimeOffset at) => new(noteUse.Bind(0, at).Bind(1, prefix).Run() == 1);
}
