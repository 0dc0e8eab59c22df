// spec/connect.md section 4.
using System.Security.Cryptography;
using System.Text.Json;
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Cli.Agents;

/// <summary>How far a connection has come.</summary>
internal enum ConnectionState
{
    /// <summary>Its file is about to change.</summary>
    Writing,

    Connected,

    /// <summary>Its file is about to become what it was.</summary>
    Restoring,
}

/// <summary>One value that a connection has set.</summary>
/// <param name="Path">Its names, outermost first.</param>
/// <param name="Before">As it was written; null where there was none.</param>
/// <param name="After">As it is written now.</param>
/// <param name="Ours">Whether it bears our name.</param>
internal sealed record ConnectionEdit(IReadOnlyList<string> Path, string? Before, string After, bool Ours);

/// <summary>A file of an agent that points at a sidecar.</summary>
internal sealed record Connection
{
    public required string Id { get; init; }

    public required string Agent { get; init; }

    /// <summary>Where the agent looks for it.</summary>
    public required string File { get; init; }

    public required ConfigurationFormat Format { get; init; }

    public required ConnectionState State { get; init; }

    /// <summary>Whether there was no file before.</summary>
    public required bool Made { get; init; }

    /// <summary>That were made for it, outermost first.</summary>
    public required IReadOnlyList<string> Folders { get; init; }

    public required string Sidecar { get; init; }

    public required string Model { get; init; }

    public required DateTimeOffset At { get; init; }

    public required IReadOnlyList<ConnectionEdit> Edits { get; init; }

    /// <summary>What was made around the values: goes where it is empty.</summary>
    public required IReadOnlyList<IReadOnlyList<string>> Around { get; init; }

    /// <summary>Of the connection whose place it takes; null where there is none.</summary>
    public string? Replaces { get; init; }
}

/// <summary>What <c>journal.json</c> holds.</summary>
internal sealed record ConnectJournalFile(int Version, IReadOnlyList<Connection> Connections);

/// <summary>
/// What was changed in agents' files, kept beside the proxy's data so that it can be taken back. One command at a time has it open to write; what a
/// crash left is repaired where it is opened.
/// </summary>
internal sealed class ConnectJournal : IDisposable
{
    private const string Folder = "agents";
    private const string Journal = "journal.json";
    private const int Version = 1;
    private const int MaxBytes = 64 * 1024 * 1024;

    private readonly string folder;
    private readonly FileStream? occupation;
    private readonly List<Connection> connections;

    private ConnectJournal(string folder, FileStream? occupation, List<Connection> connections)
    {
        this.folder = folder;
        this.occupation = occupation;
        this.connections = connections;
    }

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<Connection> Connections => connections;

    /// <summary>Opens it to write, and repairs what a crash left.</summary>
    /// <param name="data">The data directory; made where it is missing.</param>
    /// <exception cref="CommandException">Another command has it, or it cannot be read.</exception>
    public static ConnectJournal Open(string data)
    {
        var folder = Path.Combine(data, Folder);
        PrivateFile.CreateDirectory(folder);
        var occupation = PrivateFile.TryLock(Path.Combine(folder, "in-use"))
            ?? throw new CommandException("another connect or disconnect is at work.", "wait for it, and try again");
        try
        {
            var journal = new ConnectJournal(folder, occupation, Load(folder));
            journal.Repair();
            return journal;
        }
        catch
        {
            occupation.Dispose();
            throw;
        }
    }

    /// <summary>Reads it, and changes nothing.</summary>
    public static IReadOnlyList<Connection> Read(string data) => Load(Path.Combine(data, Folder));

    public static string NewId() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(6));

    /// <summary>The file as it was before a connection; null where there was none.</summary>
    public byte[]? Before(Connection connection) => Copy(BeforeFile(connection.Id));

    /// <summary>The file as a connection left it.</summary>
    public byte[]? After(Connection connection) => Copy(AfterFile(connection.Id));

    public string BeforeFile(string id) => Path.Combine(folder, $"{id}.before");

    /// <summary>Notes a connection that is about to be written.</summary>
    /// <param name="connection">In the state <see cref="ConnectionState.Writing"/>.</param>
    /// <param name="before">The file as it was before anything of ours; null where there was none.</param>
    /// <param name="after">The file as it will be.</param>
    public void Begin(Connection connection, byte[]? before, byte[] after)
    {
        if (before is not null)
            PrivateFile.Write(BeforeFile(connection.Id), before);
        PrivateFile.Write(AfterFile(connection.Id), after);
        ConnectSteps.Reach("copied");
        connections.Add(connection);
        Save();
        ConnectSteps.Reach("noted");
    }

    /// <summary>The file has changed: the connection takes the place of the one before it.</summary>
    public void Complete(Connection connection)
    {
        connections.RemoveAll(one => one.Id == connection.Replaces);
        Change(connection, ConnectionState.Connected);
        ConnectSteps.Reach("completed");
        Sweep();
    }

    /// <summary>Notes that a connection is about to end.</summary>
    public void BeginRestoring(Connection connection)
    {
        Change(connection, ConnectionState.Restoring);
        ConnectSteps.Reach("noted");
    }

    /// <summary>Forgets a connection, its copies, and the folders that were made for it and are empty.</summary>
    public void Forget(Connection connection)
    {
        RemoveFolders(connection);
        connections.RemoveAll(one => one.Id == connection.Id);
        Save();
        ConnectSteps.Reach("forgotten");
        Sweep();
    }

    public void Dispose() => occupation?.Dispose();

    private static List<Connection> Load(string folder)
    {
        var path = Path.Combine(folder, Journal);
        if (!File.Exists(path))
            return [];
        var fault = "it is no journal";
        try
        {
            if (new FileInfo(path).Length <= MaxBytes
                && JsonSerializer.Deserialize(File.ReadAllBytes(path), CliJson.Readable.ConnectJournalFile) is { Connections: not null } read)
            {
                if (read.Version == Version)
                    return [.. read.Connections];
                fault = $"it is of version {read.Version}, and this program knows {Version}";
            }
        }
        catch (JsonException)
        {
            // said below
        }

        throw new CommandException(
            $"the journal of connections cannot be read: {path}: {fault}.",
            "what each file was lies beside it as ID.before; move the folder away once you have put those back");
    }

    private void Repair()
    {
        foreach (var connection in connections.Where(one => one.State is not ConnectionState.Connected).ToList())
        {
            var target = TargetOf(connection.File);
            if (ConfigurationFile.Beside(target, connection.Id) is var beside && File.Exists(beside))
                File.Delete(beside);
            if (Stands(connection))
            {
                connections.RemoveAll(one => one.Id == connection.Replaces);
                Change(connection, ConnectionState.Connected);
            }
            else
            {
                RemoveFolders(connection);
                connections.RemoveAll(one => one.Id == connection.Id);
                Save();
            }
        }

        Sweep();
    }

    // Whether anything of it stands in its file. Of one that takes another's place, what only that one had does not count.
    private bool Stands(Connection connection)
    {
        try
        {
            var file = ConfigurationFile.Read(connection.File);
            if (file.Content is null)
                return false;
            if (After(connection) is { } after && file.Content.AsSpan().SequenceEqual(after))
                return true;
            if (connection.Replaces is { } replaced && connections.FirstOrDefault(one => one.Id == replaced) is { } old
                && After(old) is { } left && file.Content.AsSpan().SequenceEqual(left))
                return false;
            var text = ConfigurationText.Parse(connection.Format, file.Text!);
            return connection.Edits.Any(edit => edit.Before != edit.After && text.Find(edit.Path) == edit.After);
        }
        catch (AgentFileException)
        {
            return true; // disconnect says what is wrong with it
        }
    }

    private static string TargetOf(string file)
    {
        try
        {
            return new FileInfo(file).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? file;
        }
        catch (IOException)
        {
            return file;
        }
    }

    private static void RemoveFolders(Connection connection)
    {
        foreach (var made in connection.Folders.Reverse())
        {
            if (Directory.Exists(made) && !Directory.EnumerateFileSystemEntries(made).Any())
                Directory.Delete(made);
        }
    }

    private void Change(Connection connection, ConnectionState state)
    {
        var at = connections.FindIndex(one => one.Id == connection.Id);
        connections[at] = connection with { State = state, Replaces = state is ConnectionState.Connected ? null : connection.Replaces };
        Save();
    }

    private void Save() => PrivateFile.Write(
        Path.Combine(folder, Journal),
        JsonSerializer.SerializeToUtf8Bytes(new ConnectJournalFile(Version, connections), CliJson.Readable.ConnectJournalFile));

    // Copies that no connection has.
    private void Sweep()
    {
        foreach (var copy in Directory.EnumerateFiles(folder).Where(file => Path.GetExtension(file) is ".before" or ".after" or ".new"))
        {
            if (connections.All(one => one.Id != Path.GetFileName(copy).Split('.')[0]))
                File.Delete(copy);
        }
    }

    private string AfterFile(string id) => Path.Combine(folder, $"{id}.after");

    private static byte[]? Copy(string file) => File.Exists(file) ? File.ReadAllBytes(file) : null;
}
