using System.Diagnostics;
using System.Text.RegularExpressions;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.Clients.Tests;

/// <summary>
/// The packages as <c>pack.sh</c> makes them, in a folder that is their only source, and a place where programs use them as anybody would.
/// </summary>
public sealed partial class LocalFeed : IAsyncLifetime
{
    /// <summary>None that anybody publishes: a copy in a cache is never taken for it.</summary>
    public const string Version = "0.1.0-tests";

    private readonly string root = Directory.CreateTempSubdirectory("cchat-feed-").FullName;

    public string Packages => Path.Combine(root, "feed");

    public async ValueTask InitializeAsync()
    {
        var (exitCode, said) = await RunAsync(Tree.Root, "./pack.sh", new Dictionary<string, string>(), "--output", Packages, "--version", Version);
        exitCode.ShouldBe(0, said);
        await File.WriteAllTextAsync(
            Path.Combine(root, "nuget.config"),
            """
            <configuration>
              <packageSources><add key="feed" value="feed" /></packageSources>
            </configuration>
            """);
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(root, recursive: true);
        return ValueTask.CompletedTask;
    }

    /// <summary>A program of one file, with the packages in the place of the projects, and those of others in the versions that are tested.</summary>
    /// <returns>Where it is.</returns>
    public async Task<string> PlaceAsync(string name, string program)
    {
        var versions = PackageVersion().Matches(await File.ReadAllTextAsync(Path.Combine(Tree.Root, "Directory.Packages.props")))
            .ToDictionary(match => match.Groups["name"].Value, match => match.Groups["version"].Value, StringComparer.Ordinal);
        program = OwnProject().Replace(program, match => $"#:package {match.Groups["name"].Value}@{Version}");
        program = OwnPackage().Replace(program, match => $"{match.Groups["package"].Value}@{Version}");
        program = ForeignPackage().Replace(program, match => $"{match.Value}@{versions[match.Groups["name"].Value]}");
        var folder = Directory.CreateDirectory(Path.Combine(root, name)).FullName;
        var file = Path.Combine(folder, name + ".cs");
        await File.WriteAllTextAsync(file, program);
        return file;
    }

    /// <summary>Runs the .NET command line to its end.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="environment">Variables beside the process's own.</param>
    /// <param name="arguments">Of <c>dotnet</c>.</param>
    /// <returns>The exit code, and all that was said on both outputs.</returns>
    public Task<(int ExitCode, string Said)> DotnetAsync(string folder, IReadOnlyDictionary<string, string> environment, params string[] arguments) =>
        RunAsync(folder, "dotnet", Environment(environment), arguments);

    /// <summary>Starts what does not end by itself; its output goes nowhere.</summary>
    public Process Start(string file, IReadOnlyDictionary<string, string> environment)
    {
        var start = new ProcessStartInfo("sh", ["-c", "exec \"$0\" >/dev/null 2>&1", file]) { WorkingDirectory = Path.GetDirectoryName(file) };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    /// <summary>The variables that every client takes.</summary>
    public static Dictionary<string, string> Variables(RunningStack stack) => new()
    {
        ["CONFIDENTIALCHAT_SERVER_URL"] = stack.Gateway.ToString(),
        ["CONFIDENTIALCHAT_API_KEY"] = stack.ApiKey,
        ["CONFIDENTIALCHAT_POLICY"] = stack.PolicyFile,
    };

    // Into a file: build servers that stay behind would keep a pipe open.
    public static async Task<(int ExitCode, string Said)> RunAsync(
        string folder, string program, IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        var output = Path.GetTempFileName();
        try
        {
            var start = new ProcessStartInfo("sh", ["-c", "out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null", "sh", output, program, .. arguments])
            {
                WorkingDirectory = folder,
            };
            foreach (var (name, value) in environment)
                start.Environment[name] = value;
            using var process = Process.Start(start)!;
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            return (process.ExitCode, await File.ReadAllTextAsync(output));
        }
        finally
        {
            File.Delete(output);
        }
    }

    // What this machine has of others' packages is read where it is; ours go into a cache of this test's own.
    private Dictionary<string, string> Environment(IReadOnlyDictionary<string, string> more)
    {
        var known = System.Environment.GetEnvironmentVariable("NUGET_PACKAGES")
            ?? Path.Combine(System.Environment.GetFolderPath(System.Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        return new Dictionary<string, string>(more)
        {
            ["NUGET_PACKAGES"] = Path.Combine(root, "cache"),
            ["NUGET_FALLBACK_PACKAGES"] = known,
            ["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1",
            ["DOTNET_NOLOGO"] = "1",
            ["MSBUILDDISABLENODEREUSE"] = "1",
        };
    }

    [GeneratedRegex("""<PackageVersion Include="(?<name>[^"]+)" Version="(?<version>[^"]+)" />""")]
    private static partial Regex PackageVersion();

    [GeneratedRegex(@"^#:project \.\./src/(?<name>[\w.]+)/.*$", RegexOptions.Multiline)]
    private static partial Regex OwnProject();

    [GeneratedRegex(@"^(?<package>#:package ConfidentialChat\.[\w.]+)@\S+$", RegexOptions.Multiline)]
    private static partial Regex OwnPackage();

    [GeneratedRegex(@"^#:package (?<name>[\w.]+)$", RegexOptions.Multiline)]
    private static partial Regex ForeignPackage();
}
