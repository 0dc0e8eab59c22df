using ConfidentialChat.Gateway.Admin;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Gateway.State.Sqlite;
using ConfidentialChat.Protocol;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway;

/// <summary>
/// What an operator does with a gateway's data directory. Needs no HTTP, and the gateway may run meanwhile; what is done here
/// holds within a second. Safe from any thread.
/// </summary>
public sealed class GatewayOperator
{
    public const int MaxNameLength = 200;

    private readonly DataDirectory directory;
    private readonly Database database;
    private readonly ICredentialStatements credentials;
    private readonly TimeProvider time;

    private GatewayOperator(DataDirectory directory, Database database, TimeProvider time)
    {
        this.directory = directory;
        this.database = database;
        credentials = database.CreateCredentials();
        this.time = time;
        Administration = new Administration(database, state: null, time);
    }

    /// <summary>Users, keys, money and prices, with a log of what was done.</summary>
    public Administration Administration { get; }

    /// <summary>Makes the directory and the database where they are absent.</summary>
    /// <param name="dataDirectory">As in <see cref="GatewayOptions.DataDirectory"/>.</param>
    /// <param name="time">Null is the system's.</param>
    /// <param name="progress">Hears a line for people where something takes longer than a moment, here as in any other member.</param>
    /// <param name="postgres">As in <see cref="GatewayOptions.Postgres"/>: no directory is made then; what is in it says why nodes were refused.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="GatewayOptionsException">The directory cannot be used, or the connection cannot be read.</exception>
    /// <exception cref="GatewayStateException">The database cannot be used, from here as from any other member.</exception>
    public static async Task<GatewayOperator> OpenAsync(
        string dataDirectory, TimeProvider? time = null, Action<string>? progress = null, string? postgres = null, CancellationToken cancellation = default)
    {
        var directory = PostgresServer.From(postgres) is { } server ? DataDirectory.Of(dataDirectory, server) : DataDirectory.Open(dataDirectory);
        return new(directory, await Database.OpenAsync(directory, isOccupied: false, progress, cancellation), time ?? TimeProvider.System);
    }

    /// <summary>The version of a database's tables, also of one that this program refuses. Changes nothing.</summary>
    /// <param name="database">Its file.</param>
    /// <exception cref="GatewayStateException">It cannot be read, or is none.</exception>
    public static TablesVersion ReadTables(string database) => SqliteDatabase.ReadTables(database);

    /// <summary>The same of a database at a server.</summary>
    /// <param name="postgres">As in <see cref="GatewayOptions.Postgres"/>.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="GatewayOptionsException">The connection cannot be read, or is none.</exception>
    /// <exception cref="GatewayStateException">It cannot be read, or is another program's.</exception>
    public static Task<TablesVersion> ReadServerTablesAsync(string postgres, CancellationToken cancellation = default) =>
        PostgresDatabase.ReadTablesAsync(PostgresServer.From(postgres) ?? throw new ArgumentException("It names no server.", nameof(postgres)), cancellation);

    /// <summary>Whether a connection holds a password: one that does is no argument, because other users of the machine can read those.</summary>
    /// <exception cref="GatewayOptionsException">It cannot be read.</exception>
    public static bool HasPassword(string postgres) => PostgresServer.HasPassword(postgres);

    /// <summary>The name of the tables that this program makes.</summary>
    /// <param name="inServer">At a PostgreSQL server, else in a file.</param>
    public static string NewestTables(bool inServer = false) => inServer ? PostgresDatabase.NewestTables() : SqliteDatabase.NewestTables();

    /// <summary>Makes a user with an API key.</summary>
    /// <returns>The key, to be shown once: only its hash is kept. Null where the name is taken.</returns>
    /// <exception cref="ArgumentException">The name is empty, longer than <see cref="MaxNameLength"/> or holds a sign that is not seen.</exception>
    public Task<NewSecret?> CreateUserAsync(string name, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        return Task.FromResult(CreateApiKey(name, newUser: true));
    }

    /// <summary>Makes a further API key for a user, who is made where missing.</summary>
    /// <returns>The key, to be shown once: only its hash is kept.</returns>
    /// <exception cref="ArgumentException">As with <see cref="CreateUserAsync"/>.</exception>
    public Task<NewSecret> CreateApiKeyAsync(string user, CancellationToken cancellation = default) =>
        CreateApiKeyAsync(user, ApiKeyScopes.Inference, expiresAt: null, cancellation);

    /// <summary>Makes a further API key for a user, who is made where missing.</summary>
    /// <param name="user">Whose it is.</param>
    /// <param name="scopes">What it opens: something.</param>
    /// <param name="expiresAt">From when on it does not; null: it does until it is revoked.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The key, to be shown once: only its hash is kept.</returns>
    /// <exception cref="ArgumentException">As with <see cref="CreateUserAsync"/>, or there is no scope, or its end is past.</exception>
    public Task<NewSecret> CreateApiKeyAsync(
        string user, ApiKeyScopes scopes, DateTimeOffset? expiresAt, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        if (scopes is not (ApiKeyScopes.Inference or ApiKeyScopes.Admin or (ApiKeyScopes.Inference | ApiKeyScopes.Admin)))
            throw new ArgumentException("A key opens something: inference, admin or both.", nameof(scopes));
        if (expiresAt <= time.GetUtcNow())
            throw new ArgumentException("A key ends after now.", nameof(expiresAt));
        return Task.FromResult(CreateApiKey(user, newUser: false, scopes, expiresAt)!);
    }

    /// <summary>Whether the gateway would let this API key in.</summary>
    public Task<bool> KnowsApiKeyAsync(string apiKey, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        return Task.FromResult(
            BearerSecret.FromText(SecretKind.ApiKey, apiKey) is { } secret && secret.Matches(credentials.FindApiKey(secret.Prefix, time.GetUtcNow())));
    }

    /// <summary>Revokes an API key by its public prefix; a running gateway refuses it within a second.</summary>
    /// <returns>False where there is no such key, or it was revoked before.</returns>
    public Task<bool> RevokeApiKeyAsync(string prefix, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        return Task.FromResult(credentials.RevokeApiKey(prefix, time.GetUtcNow()));
    }

    /// <summary>All API keys by user and age, revoked ones too. Of a key only its public prefix is known.</summary>
    public Task<IReadOnlyList<ApiKeyEntry>> ListApiKeysAsync(
        CancellationToken cancellation = default) => database.QueryAsync<IReadOnlyList<ApiKeyEntry>>(async state =>
        await state.ApiKeys
            .OrderBy(row => row.User!.Name).ThenBy(row => row.Id)
            .Select(row => new ApiKeyEntry(row.Prefix, row.User!.Name, row.CreatedAt, row.RevokedAt)
            {
                Scopes = ApiKeyScopeText.Read(row.Scopes),
                ExpiresAt = row.ExpiresAt,
                LastUsedAt = row.LastUsedAt,
            })
            .ToListAsync(cancellation));

    /// <summary>The enrolled nodes in the order of their numbers, as they last said that they are.</summary>
    public Task<IReadOnlyList<NodeEntry>> ListNodesAsync(
        CancellationToken cancellation = default) => database.QueryAsync<IReadOnlyList<NodeEntry>>(async state =>
    {
        var nodes = await state.Nodes.AsNoTracking().Where(row => row.RemovedAt == null).OrderBy(row => row.Id).ToListAsync(cancellation);
        var models = await state.NodeModels.AsNoTracking().ToListAsync(cancellation);
        var keySets = await state.NodeKeySets.AsNoTracking().ToListAsync(cancellation);
        var refused = RefusedNodes.Read(directory);
        return
        [
            .. nodes.Select(node => new NodeEntry
            {
                Id = node.Id,
                Address = node.Address,
                Models = [.. models.Where(model => model.NodeId == node.Id).Select(model => model.Model).Order(StringComparer.Ordinal)],
                State = node.Unreachable ? NodeCondition.Unreachable : !node.Ready ? NodeCondition.Draining : NodeCondition.Ready,
                Running = node.Running,
                Queued = node.Queued,
                HeardAt = node.HeardAt,
                KeyExpiresAt = keySets.Find(keys => keys.NodeId == node.Id && keys.Digest == node.KeySet)?.ExpiresAt,
                Unreported = node.Unreported,
                LastRefusal = refused.FirstOrDefault(one => one.Node == node.Id) is { } last ? new NodeRefusalEntry(last.Reason, last.At) : null,
            }),
        ];
    });

    /// <summary>The last message that said it was a node's and was refused, of one that is not enrolled; null where there was none.</summary>
    public NodeRefusalEntry? LastRefusedStranger() =>
        RefusedNodes.Read(directory).FirstOrDefault(one => one.Node is null) is { } last ? new NodeRefusalEntry(last.Reason, last.At) : null;

    /// <summary>
    /// Takes a node out: it gets no further locks or requests, is heard no more, and can come back with a new enrolment token.
    /// Requests that it is serving end as they would; what it reports of them is not taken, and so not charged.
    /// </summary>
    /// <returns>False where there is no such node.</returns>
    public Task<bool> RemoveNodeAsync(long id, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        return Task.FromResult(credentials.RemoveNode(id, time.GetUtcNow()));
    }

    /// <summary>Makes a token with which one node may enrol once.</summary>
    /// <param name="lifetime">How long it is good: more than nothing.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The token, to be shown once: only its hash is kept.</returns>
    public Task<NewSecret> CreateEnrolmentTokenAsync(TimeSpan lifetime, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(lifetime, TimeSpan.Zero);
        cancellation.ThrowIfCancellationRequested();
        var now = time.GetUtcNow();
        var secret = BearerSecret.Create(SecretKind.EnrolmentToken, out var text);
        credentials.AddEnrolmentToken(secret, now, now + lifetime);
        return Task.FromResult(new NewSecret(text, secret.Prefix, now + lifetime));
    }

    private NewSecret? CreateApiKey(string user, bool newUser, ApiKeyScopes scopes = ApiKeyScopes.Inference, DateTimeOffset? expiresAt = null)
    {
        if (string.IsNullOrWhiteSpace(user) || user.Length > MaxNameLength || !ForeignText.IsPlain(user))
            throw new ArgumentException($"A user's name has 1 to {MaxNameLength} characters, and no controls, marks of direction or signs that are not seen.", nameof(user));
        var secret = BearerSecret.Create(SecretKind.ApiKey, out var text);
        return credentials.AddApiKey(user, newUser, secret, scopes, expiresAt, time.GetUtcNow()) ? new NewSecret(text, secret.Prefix, expiresAt) : null;
    }
}

/// <summary>A secret that was just made.</summary>
/// <param name="Text">What its holder shows; kept nowhere.</param>
/// <param name="Prefix">Its public part: names it in lists, and for revoking.</param>
/// <param name="ExpiresAt">Null where it does not expire.</param>
public sealed record NewSecret(string Text, string Prefix, DateTimeOffset? ExpiresAt)
{
    // A record prints its members; this one must not.
    public override string ToString() => Prefix;
}
