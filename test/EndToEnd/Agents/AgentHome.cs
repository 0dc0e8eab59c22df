using ConfidentialChat.Cli.Agents;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests.Agents;

/// <summary>A user of their own: a home, a folder with agents' programs that do nothing, a project, and a data directory.</summary>
internal sealed class AgentHome : IDisposable
{
    private readonly DirectoryInfo root = Directory.CreateTempSubdirectory("cchat-agents-");

    public AgentHome(string sidecar, params string[] programs)
    {
        Sidecar = sidecar;
        foreach (var program in programs.Length > 0 ? programs : ["opencode", "codex", "claude", "aider", "cn", "open-webui"])
            WriteProgram(Path.Combine(Programs, program), "exit 0");
        Directory.CreateDirectory(Home);
        Directory.CreateDirectory(Project);
    }

    public string Sidecar { get; set; }

    public string Home => Path.Combine(root.FullName, "home");

    public string Programs => Path.Combine(root.FullName, "bin");

    public string Project => Path.Combine(root.FullName, "project");

    public string Data => Path.Combine(root.FullName, "data");

    public string Journal => Path.Combine(Data, "agents");

    public string Opencode => In(".config", "opencode", "opencode.json");

    public string Codex => In(".codex", "config.toml");

    public string Claude => In(".claude", "settings.json");

    public string Aider => In(".aider.conf.yml");

    public string Continue => In(".continue", "config.yaml");

    /// <summary>Variables of every command; a test may add some.</summary>
    public Dictionary<string, string> Variables { get; } = new(StringComparer.Ordinal);

    public string In(params ReadOnlySpan<string> below) => Path.Combine([Home, .. below]);

    public static string FileOf(AgentHome home, string agent) => agent switch
    {
        "opencode" => home.Opencode,
        "codex" => home.Codex,
        "claude-code" => home.Claude,
        "aider" => home.Aider,
        _ => home.Continue,
    };

    public static void WriteProgram(string path, string script)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, $"#!/bin/sh\n{script}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    public string Write(string file, string content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, content);
        return file;
    }

    /// <summary>Runs <c>cchat</c> as this user.</summary>
    public Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments) =>
        RunningStack.RunAsync(arguments is ["status" or "connect" or "disconnect", ..] ? [.. arguments, "--data", Data] : arguments, Environment());

    public Dictionary<string, string> Environment()
    {
        var variables = new Dictionary<string, string>(Variables, StringComparer.Ordinal);
        string[] none = ["XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "CONTINUE_GLOBAL_DIR", "OPENCODE_CONFIG", SidecarEndpoint.KeyVariable];
        foreach (var name in none)
            variables.TryAdd(name, "");
        variables.TryAdd("HOME", Home);
        variables.TryAdd("PATH", $"{Programs}:/usr/bin:/bin");
        variables.TryAdd(SidecarEndpoint.UrlVariable, Sidecar);
        return variables;
    }

    /// <summary>Every file and folder of the home with its content and mode.</summary>
    public string Picture() => string.Join('\n', Directory.EnumerateFileSystemEntries(Home, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
        .Select(entry => $"{entry} {(new FileInfo(entry).LinkTarget is { } link ? link : $"{File.GetUnixFileMode(entry)} {Content(entry)}")}"));

    private static string Content(string entry) => File.Exists(entry) ? Convert.ToHexString(File.ReadAllBytes(entry)) : "";

    public void Dispose() => root.Delete(recursive: true);
}
