using System.Globalization;
using System.Security.Cryptography;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State.Postgres;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Gateway.State;

/// <summary>The gateway's directory: its database and its key, readable by its own user only.</summary>
internal sealed class DataDirectory
{
    /// <summary>SQLite opens no longer ones, with 9 bytes more for the names of its companions.</summary>
    private const int MaxPathBytes = 500;

    private readonly string path;

    private DataDirectory(string path, PostgresServer? server) => (this.path, Server) = (path, server);

    /// <summary>Which server has the database; null where it is a file here.</summary>
    public PostgresServer? Server { get; }

    public string DatabasePath => Path.Combine(path, "gateway.db");

    public string KeyPath => Path.Combine(path, "gateway.key");

    /// <summary>For operators: why nodes were last refused.</summary>
    public string RefusedNodesPath => Path.Combine(path, "refused-nodes.json");
    /// <summary>How long a gateway waits for a command that changes tables.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private string LockPath => Path.Combine(path, "gateway.lock");

    /// <summary>The number of the process that holds the lock; not in the locked file, which others may not read then.</summary>
    private string ProcessPath => Path.Combine(path, "gateway.pid");

    /// <param name="path">Made where it is missing.</param>
    /// <param name="server">Which server has the database; null where it is a file here.</param>
    /// <exception cref="GatewayOptionsException">The directory cannot be made or written.</exception>
    public static DataDirectory Open(string path, PostgresServer? server = null)
    {
        try
        {
            var full = Path.GetFullPath(path);
            var directory = new DataDirectory(full, server);
            if (System.Text.Encoding.UTF8.GetByteCount(directory.DatabasePath) > MaxPathBytes)
                throw new GatewayOptionsException(
                    $"The path of the data directory '{path}' is too long.",
                    $"{MaxPathBytes} bytes at most, with links followed and the name of the database in it");
            PrivateFile.MakeDirectory(full);

            // SQLite gives its companions (-wal, -shm) the mode of this file, so it is made here and not by SQLite.
            if (server is null && !File.Exists(directory.DatabasePath))
                PrivateFile.TryCreate(directory.DatabasePath, []);
            return directory;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new GatewayOptionsException($"The data directory '{path}' cannot be used.", "name a directory that this process may make or write", e);
        }
    }

    /// <summary>For a command, which needs no directory where a server has the database: nothing is made.</summary>
    public static DataDirectory Of(string path, PostgresServer server) => new(Path.GetFullPath(path), server);

    /// <summary>
    /// Makes this process the one that serves the directory, or changes the tables of its database, until the result is disposed of. The
    /// system holds the lock, so that it ends with its process, however that ends.
    /// </summary>
    /// <param name="serves">Whether for as long as a gateway serves: whoever finds it occupied then need not wait.</param>
    /// <returns>Null while another process has it.</returns>
    /// <exception cref="GatewayOptionsException">The lock's file cannot be made.</exception>
    public Occupation? TryOccupy(bool serves)
    {
        try
        {
            if (PrivateFile.TryLock(LockPath) is not { } held)
                return null;
            SayWho(serves);
            return new Occupation(held);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GatewayOptionsException($"{LockPath} cannot be made or locked.", "it belongs to the user that runs the gateway, with mode 0600", e);
        }
    }

    /// <summary>For the one gateway that serves the directory. A command that changes its tables is waited for.</summary>
    /// <param name="progress">Hears that it waits.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="GatewayOptionsException">Another gateway does.</exception>
    public async Task<Occupation> OccupyAsync(Action<string>? progress, CancellationToken cancellation)
    {
        var (started, isTold, before) = (Environment.TickCount64, false, (string?)null);
        while (true)
        {
            if (TryOccupy(serves: true) is { } occupation)
                return occupation;

            // Seen twice: between a lock and the naming of its holder the file may still name a gateway that was killed.
            var occupant = Occupant();
            if (occupant is not null && occupant == before)
                throw new GatewayOptionsException(
                    $"Another gateway{occupant} serves the data directory {path}.", "stop it, or give this one a directory of its own");
            before = occupant;
            if (Environment.TickCount64 - started > Patience.TotalMilliseconds)
                throw new GatewayOptionsException(
                    $"Another process has the data directory {path}.",
                    $"it changes the database's tables, or could not say who it is: find out who holds {LockPath}, or give this gateway a directory of its own");
            if (!isTold && occupant is null)
            {
                isTold = true;
                progress?.Invoke($"waiting for another process that has the data directory {path}: {Patience.TotalSeconds} s at most");
            }

            await Task.Delay(Look, cancellation);
        }
    }

    // On a full disk nobody is named: no reason not to serve, and better than the one before.
    private void SayWho(bool serves)
    {
        try
        {
            File.Delete(ProcessPath);
            if (serves)
                PrivateFile.Write(ProcessPath, System.Text.Encoding.ASCII.GetBytes($"{Environment.ProcessId}\n"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // said above
        }
    }

    // Null where nobody is named, as while a command changes the tables.
    private string? Occupant()
    {
        try
        {
            return int.TryParse(File.ReadAllText(ProcessPath), CultureInfo.InvariantCulture, out var process) ? $" (process {process})" : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>The gateway key, and what is derived from it; made at the first start.</summary>
    /// <exception cref="GatewayOptionsException">The key file is not one.</exception>
    public GatewayKey LoadOrCreateKey()
    {
        try
        {
            var seed = File.Exists(KeyPath) ? File.ReadAllBytes(KeyPath) : CreateKey();
            if (seed.Length != Ed25519PrivateKey.SeedSize)
                throw new GatewayOptionsException(
                    $"{KeyPath} has {seed.Length} bytes, not {Ed25519PrivateKey.SeedSize}.",
                    "restore it from a copy; a new key means that every node has to enrol again");
            var key = new GatewayKey(seed);
            CryptographicOperations.ZeroMemory(seed);
            return key;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GatewayOptionsException($"{KeyPath} cannot be read or made.", "it belongs to the user that runs the gateway, with mode 0600", e);
        }
    }

    private byte[] CreateKey()
    {
        using var key = Ed25519PrivateKey.Generate(out var seed);
        if (PrivateFile.TryCreate(KeyPath, seed))
            return seed;
        CryptographicOperations.ZeroMemory(seed);
        return File.ReadAllBytes(KeyPath); // another process was first, and its key is the gateway's
    }
}

/// <summary>A data directory is this process's to serve, or to change the tables of.</summary>
internal sealed class Occupation(FileStream held) : IDisposable
{
    public void Dispose() => held.Dispose();
}
