using ConfidentialChat.Gateway.Auth;
using SQLitePCL;

namespace ConfidentialChat.Gateway.State.Sqlite;

internal sealed class SqliteApiKeyRows(sqlite3 database) : IApiKeyRows, IDisposable
{
    private readonly SqliteStatement all = new(database, "SELECT prefix, hash, user_id FROM api_keys WHERE revoked_at IS NULL");

    public ValueTask<IReadOnlyList<KnownApiKey>> AllAsync() =>
        new(all.All(row => new KnownApiKey(row.Text(0), row.Bytes(1), new UserId(row.Integer(2)))));

    public void Dispose() => all.Dispose();
}
