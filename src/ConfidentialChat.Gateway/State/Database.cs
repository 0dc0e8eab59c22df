// spec/gateway.md section 9.
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Gateway.State.Sqlite;

namespace ConfidentialChat.Gateway.State;

/// <summary>The gateway's database, with its schema up to date. Any number of processes may have it open. One implementation for each engine.</summary>
internal abstract class Database : IDisposable
{
    /// <summary>Opens the database of a directory's gateway, and makes or updates its tables.</summary>
    /// <param name="directory">Where the file is, or which server has it.</param>
    /// <param name="isOccupied">Whether the caller occupies the directory, to serve it.</param>
    /// <param name="progress">Hears a line for people where something takes longer than a moment.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="GatewayStateException">It cannot be used, is of a later version, or a gateway serves it whose tables are older.</exception>
    public static async Task<Database> OpenAsync(DataDirectory directory, bool isOccupied, Action<string>? progress, CancellationToken cancellation) =>
        directory.Server is { } server
            ? await PostgresDatabase.OpenAsync(server, progress, cancellation)
            : await SqliteDatabase.OpenAsync(directory, isOccupied, progress, cancellation);

    /// <summary>What follows is told to nobody: a gateway that serves has a log.</summary>
    public abstract void EndProgress();

    /// <summary>The gateway's way to it while it serves; the caller's to dispose of.</summary>
    public abstract IStateWriter CreateWriter(WriteHealth health);

    public abstract ICredentialStatements CreateCredentials();

    public abstract GatewayDbContext CreateContext();

    /// <summary>Spends what is claimed, before this process serves, where no other serves: one that died claimed it (section 5, rule 3).</summary>
    /// <exception cref="GatewayStateException">The database cannot be used.</exception>
    public abstract void SpendAbandoned();

    /// <summary>Reads something that is always there.</summary>
    /// <exception cref="GatewayStateException">The database cannot be used.</exception>
    public abstract Task LookAsync();

    /// <summary>The fault of the surroundings that an exception is; null for a bug of ours, such as a statement that is wrong.</summary>
    public abstract GatewayStateException? Fault(Exception exception);

    public abstract void Dispose();

    /// <summary>Reads rows.</summary>
    /// <exception cref="GatewayStateException">The database cannot be used.</exception>
    public virtual async Task<T> QueryAsync<T>(Func<GatewayDbContext, Task<T>> query)
    {
        try
        {
            await using var context = CreateContext();
            return await query(context);
        }
        catch (Exception e) when (Fault(e) is not null)
        {
            throw Fault(e)!;
        }
    }

    /// <summary>How tables stand to this program by the migrations that they have had; null where it knows none of those: another program made them.</summary>
    private protected static TablesVersion? Compare(IReadOnlyCollection<string> applied, IReadOnlyList<string> known)
    {
        // Their names begin with the time of their making. One that is not known came after all that are.
        if (applied.Count > 0 && !applied.Intersect(known, StringComparer.Ordinal).Any())
            return null;
        return new TablesVersion(
            applied.Max(StringComparer.Ordinal),
            applied.Except(known, StringComparer.Ordinal).Any() ? TablesAge.Later : known.All(applied.Contains) ? TablesAge.Same : TablesAge.Older);
    }

    /// <summary>
    /// The migrations that a script of tables says it has made, which are all that there are (SchemaTests): to look for their types would load
    /// EF Core, and the other engine's library.
    /// </summary>
    private protected static IReadOnlyList<string> MigrationIds(string script)
    {
        const string Entry = "VALUES ('20"; // the century of every one's name
        return
        [
            .. script.Split('\n').Where(line => line.StartsWith(Entry, StringComparison.Ordinal))
                .Select(line => line[(Entry.Length - 2)..line.IndexOf('\'', Entry.Length)]),
        ];
    }

    /// <summary>A script that is part of this program.</summary>
    private protected static string Script(string resource)
    {
        using var script = new StreamReader(typeof(Database).Assembly.GetManifestResourceStream(resource)!);
        return script.ReadToEnd();
    }
}
