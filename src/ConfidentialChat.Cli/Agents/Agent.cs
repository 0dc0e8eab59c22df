// spec/connect.md section 2.
using System.Text.Json.Nodes;

namespace ConfidentialChat.Cli.Agents;

/// <summary>One value that a connection sets.</summary>
/// <param name="Path">Its names, outermost first.</param>
/// <param name="Value">An object where all of it is ours.</param>
/// <param name="IsOurs">Whether it bears our name, and goes whatever became of it.</param>
internal sealed record Setting(IReadOnlyList<string> Path, JsonNode Value, bool IsOurs = false)
{
    public static Setting Of(string path, JsonNode value) => new(path.Split('.'), value);
}

/// <summary>Where an agent is told what to ask.</summary>
/// <param name="File">Null for an agent that has variables alone.</param>
/// <param name="Format">What it is written in.</param>
/// <param name="Notes">What stands elsewhere and would win over it.</param>
internal sealed record AgentFile(string File, ConfigurationFormat Format, IReadOnlyList<string> Notes);

/// <summary>The surroundings in which an agent looks for its files.</summary>
/// <param name="Home">The user's.</param>
/// <param name="WorkingFolder">Where the command was called.</param>
/// <param name="Variable">A variable's value; null where it has none.</param>
internal sealed record Surroundings(string Home, string WorkingFolder, Func<string, string?> Variable)
{
    public static Surroundings OfThisProcess() => new(
        Environment.GetFolderPath(Environment.SpecialFolder.UserProfile, Environment.SpecialFolderOption.DoNotVerify),
        Environment.CurrentDirectory,
        name => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null);

    /// <summary>The git repository around the working folder, else that folder.</summary>
    public string Project()
    {
        for (var folder = WorkingFolder; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (Path.Exists(Path.Combine(folder, ".git")))
                return folder;
        }

        return WorkingFolder;
    }

    /// <summary>A folder that a variable may name, else one below the home.</summary>
    public string Folder(string variable, params ReadOnlySpan<string> below) =>
        Path.GetFullPath(Variable(variable) ?? Path.Combine([Home, .. below]), WorkingFolder);

    /// <summary>The programs of these names on the PATH, the one that is run first; each file once, whatever links lead to it.</summary>
    public IReadOnlyList<string> Programs(IEnumerable<string> names)
    {
        var found = new List<string>();
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var folder in (Variable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            foreach (var file in names.Select(name => Path.Combine(folder, name)).Where(IsProgram))
            {
                if (known.Add(Real(file)))
                    found.Add(file);
            }
        }

        return found;
    }

    private static bool IsProgram(string file) => File.Exists(file) && (OperatingSystem.IsWindows()
        || (File.GetUnixFileMode(file) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != UnixFileMode.None);

    private static string Real(string file)
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
}

/// <summary>A coding agent, or a program like one, that can be pointed at a sidecar.</summary>
internal abstract class Agent
{
    /// <summary>What we are called in the agents' files.</summary>
    public const string Ours = "cchat";

    /// <summary>What people read there.</summary>
    public const string Title = "ConfidentialChat";

    /// <summary>What stands for a key where the sidecar asks for none, because agents insist on having some.</summary>
    public const string AnyKey = "cchat";

    public static IReadOnlyList<Agent> All { get; } = [new Opencode(), new Codex(), new ClaudeCode(), new Aider(), new Continue(), new OpenWebUi()];

    /// <summary>As it is typed.</summary>
    public abstract string Name { get; }

    /// <summary>As it calls itself.</summary>
    public abstract string FullName { get; }

    /// <summary>Its programs, the usual one first.</summary>
    public abstract IReadOnlyList<string> Programs { get; }

    /// <summary>How it is installed.</summary>
    public abstract string Install { get; }

    /// <summary>Whether <c>run</c> can tell it everything.</summary>
    public virtual bool CanRun => true;

    /// <summary>Whether it is there; where it was looked for, else.</summary>
    public virtual (IReadOnlyList<string> Found, string Looked) Look(Surroundings surroundings) =>
        (surroundings.Programs(Programs), $"{string.Join(" or ", Programs)} on the PATH");

    /// <summary>The file that counts; null for variables alone.</summary>
    /// <param name="surroundings">Where it looks.</param>
    /// <param name="ofProject">The one of the working folder.</param>
    public abstract AgentFile? Find(Surroundings surroundings, bool ofProject);

    /// <summary>What its file gets.</summary>
    /// <param name="endpoint">Whom it is to ask.</param>
    /// <param name="isMade">Whether there is no file yet.</param>
    public abstract IReadOnlyList<Setting> Settings(SidecarEndpoint endpoint, bool isMade);

    /// <summary>What stands in the file by now and would win over what is set.</summary>
    public virtual IReadOnlyList<string> NotesOn(ConfigurationText text) => [];

    /// <summary>Variables for a process of its own.</summary>
    public virtual IReadOnlyDictionary<string, string> Variables(SidecarEndpoint endpoint) => new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Arguments before those of its user.</summary>
    public virtual IReadOnlyList<string> Arguments(SidecarEndpoint endpoint) => [];

    /// <summary>The line that starts it once its file is written.</summary>
    public virtual string StartLine(SidecarEndpoint endpoint) => endpoint.NeedsKey ? $"export {SidecarEndpoint.KeyVariable}=…; {Programs[0]}" : Programs[0];

    protected static CommandException NoProjectFile(string name) => new(
        $"{name} is connected for a user, not for a project.", "leave out --project", ExitCode.Usage);
}
