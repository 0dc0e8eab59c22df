using ConfidentialChat.Gateway.Auth;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

internal sealed class SqliteApiKeyRows(sqlite3 database) : IApiKeyRows, IDisposable
{
    private readonly SqliteStatement all = new(
        database, "SELECT prefix, hash, user_id, scopes, expires_at FROM api_keys WHERE revoked_at IS NULL");

    private readonly SqliteStatement noteUse = new(
        database, "UPDATE api_keys SET last_used_at = ?1 WHERE prefix = ?2 AND (last_used_at IS NULL OR last_used_at < ?1)");

    public ValueTask<IReadOnlyList<KnownApiKey>> AllAsync() => new(all.All(row => new KnownApiKey(
        row.Text(0), row.Bytes(1), new UserId(row.Integer(2)), ApiKeyScopeText.Read(row.Text(3)), row.IsNull(4) ? null : row.Time(4))));

    public ValueTask<bool> NoteUseAsync(string prefix, DateTimeOffset at) => new(noteUse.Bind(0, at).Bind(1, prefix).Run() == 1);

    public void Dispose()
    {
        all.Dispose();
        noteUse.Dispose();
    }
}
