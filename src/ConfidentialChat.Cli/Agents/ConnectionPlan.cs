// spec/connect.md sections 3 and 5.
namespace ConfidentialChat.Cli.Agents;

/// <summary>What a connection would make of a file, before anything is written.</summary>
internal sealed class ConnectionPlan
{
    private ConnectionPlan(ConfigurationFile file, Connection? existing, Connection connection, byte[]? before, byte[] after, IReadOnlyList<string> notes)
    {
        File = file;
        Existing = existing;
        Connection = connection;
        Before = before;
        After = after;
        Notes = notes;
    }

    public ConfigurationFile File { get; }

    /// <summary>The connection that is there already; null where there is none.</summary>
    public Connection? Existing { get; }

    public Connection Connection { get; }

    /// <summary>The file as it was before anything of ours.</summary>
    public byte[]? Before { get; }

    public byte[] After { get; }

    public IReadOnlyList<string> Notes { get; }

    /// <summary>Whether all of it stands in the file already.</summary>
    public bool ChangesNothing => File.Content is { } content && (content.AsSpan().SequenceEqual(After) || StandsAlready());

    /// <exception cref="AgentFileException">The file cannot be changed so.</exception>
    public static ConnectionPlan Make(Agent agent, AgentFile place, SidecarEndpoint endpoint, ConnectJournal journal, DateTimeOffset now)
    {
        var file = ConfigurationFile.Read(place.File);
        var existing = journal.Connections.LastOrDefault(one => one.Agent == agent.Name && one.File == place.File);
        var (before, text) = (file.Content, file.Text);
        if (existing is not null)
        {
            var undone = Restoration.Of(existing, file, journal); // as if the other connection ended first
            (before, text) = (undone.Content, undone.Text);
        }

        var isMade = text is null || string.IsNullOrWhiteSpace(text);
        var changed = ConfigurationText.Parse(place.Format, isMade ? Empty(place.Format) : text!);
        var edits = new List<ConnectionEdit>();
        var around = new List<IReadOnlyList<string>>();
        foreach (var setting in agent.Settings(endpoint, isMade))
        {
            var old = changed.Find(setting.Path);
            if (changed.Set(setting.Path, setting.Value) is { } made && !made.SequenceEqual(setting.Path))
                around.Add(made);
            edits.Add(new ConnectionEdit(setting.Path, old, changed.Find(setting.Path)!, setting.IsOurs));
        }

        var after = file.Encode(changed.Text);
        var connection = new Connection
        {
            Id = ConnectJournal.NewId(),
            Agent = agent.Name,
            File = place.File,
            Format = place.Format,
            State = ConnectionState.Writing,
            Made = before is null,
            Folders = existing?.Folders ?? file.MissingFolders(),
            Sidecar = endpoint.AnthropicUrl,
            Model = endpoint.Model,
            At = now,
            Edits = edits,
            Around = around,
            Replaces = existing?.Id,
        };
        return new ConnectionPlan(file, existing, connection, before, after, [.. place.Notes, .. agent.NotesOn(changed)]);
    }

    public string Diff() => LineDifference.Show(File.Path, File.Text, ConfigurationText.Parse(Connection.Format, Decode(After)).Text);

    /// <summary>Writes it.</summary>
    public void Apply(ConnectJournal journal)
    {
        journal.Begin(Connection, Before, After);
        try
        {
            File.Become(After, Connection.Id);
        }
        catch
        {
            journal.Forget(Connection);
            throw;
        }

        journal.Complete(Connection);
    }

    // What another program has added since does not make it another connection.
    private bool StandsAlready()
    {
        if (Existing is null || !Existing.Edits.Select(edit => edit.After).SequenceEqual(Connection.Edits.Select(edit => edit.After)))
            return false;
        var now = ConfigurationText.Parse(Connection.Format, File.Text!);
        return Existing.Edits.All(edit => now.Find(edit.Path) == edit.After);
    }

    private static string Decode(byte[] bytes) => System.Text.Encoding.UTF8.GetString(bytes).TrimStart('\uFEFF');

    private static string Empty(ConfigurationFormat format) => format is ConfigurationFormat.Jsonc ? "{}\n" : "";
}

/// <summary>What a file becomes where a connection to it ends.</summary>
/// <param name="Content">Null where it is removed.</param>
/// <param name="Text">The same as text.</param>
/// <param name="IsExact">Whether it is byte for byte what it was.</param>
/// <param name="Left">What is another by now, and stays.</param>
internal sealed record Restoration(byte[]? Content, string? Text, bool IsExact, IReadOnlyList<string> Left)
{
    /// <exception cref="AgentFileException">The file is broken by now.</exception>
    public static Restoration Of(Connection connection, ConfigurationFile file, ConnectJournal journal)
    {
        if (file.Content is null)
            return new Restoration(null, null, IsExact: true, []);
        if (journal.After(connection) is { } after && file.Content.AsSpan().SequenceEqual(after) && (connection.Made || journal.Before(connection) is not null))
        {
            var before = connection.Made ? null : journal.Before(connection);
            return new Restoration(before, before is null ? null : System.Text.Encoding.UTF8.GetString(before).TrimStart('\uFEFF'), IsExact: true, []);
        }

        var text = ConfigurationText.Parse(connection.Format, file.Text!);
        var left = new List<string>();
        foreach (var edit in connection.Edits.Reverse())
        {
            var now = text.Find(edit.Path);
            if (now is null)
                continue;
            if (now != edit.After && !edit.Ours && !IsOfOurs(now))
                left.Add(string.Join('.', edit.Path));
            else if (edit.Before is null)
                text.Remove(edit.Path);
            else
                text.Replace(edit.Path, edit.Before);
        }

        foreach (var made in connection.Around.Reverse().Where(text.IsEmpty))
            text.Remove(made);
        return new Restoration(file.Encode(text.Text), text.Text, IsExact: false, left);
    }

    // Another model of our provider: without the provider it would name nothing.
    private static bool IsOfOurs(string value) => value.StartsWith($"\"{Agent.Ours}/", StringComparison.Ordinal);
}
