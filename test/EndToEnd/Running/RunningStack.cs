using System.Diagnostics;
using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Gateway;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>
/// <c>cchat up</c> as people start it: gateway, node and engine in processes of their own, on free ports, with a data directory of
/// its own. A tap stands on both legs: between client and gateway, and between gateway and node.
/// </summary>
public sealed class RunningStack : IAsyncLifetime
{
    private readonly WireTap clientTap = new();
    private readonly WireTap nodeTap = new();
    private readonly List<string> arguments;
    private readonly bool fixture;
    private Process? process;
    private Task<string>? errors;

    public RunningStack()
        : this([])
    {
    }

    /// <param name="arguments">More of the command line.</param>
    /// <param name="dataDirectory">Null makes one.</param>
    /// <param name="fixture">The fixture, whose answer is known; else what a newcomer gets.</param>
    internal RunningStack(IEnumerable<string> arguments, string? dataDirectory = null, bool fixture = true)
    {
        this.arguments = [.. arguments];
        this.fixture = fixture && !this.arguments.Contains("--upstream", StringComparer.Ordinal);
        DataDirectory = dataDirectory ?? Directory.CreateTempSubdirectory("cchat-test-").FullName;
    }

    public string DataDirectory { get; }

    /// <summary>Variables that <c>up</c> gets beside its own.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>The gateway through the tap on the client's leg.</summary>
    public Uri Gateway => clientTap.Address;

    /// <summary>The node without any tap.</summary>
    public Uri Node { get; private set; } = null!;

    /// <summary>The sidecar's base URL, ending in /v1; null where the node has no evidence.</summary>
    public Uri? Sidecar { get; private set; }

    public string ApiKey { get; private set; } = "";

    public string Model { get; private set; } = "";

    /// <summary>The file of the policy that accepts the node; empty where it has no evidence.</summary>
    public string PolicyFile { get; private set; } = "";

    /// <summary>Of a client that asks it, under the policy that <c>up</c> keeps.</summary>
    /// <param name="apiKey">Null for its own.</param>
    public ConfidentialChatOptions Options(string? apiKey = null) => new()
    {
        ServerUrl = Gateway,
        BearerKey = apiKey ?? ApiKey,
        Policy = Policy.Parse(File.ReadAllText(Path.Combine(DataDirectory, StackPolicy.FileName))),
    };

    /// <summary>The one line of standard output.</summary>
    public string ReadyLine { get; private set; } = "";

    /// <summary>What passed on the client's leg, and on the node's.</summary>
    internal IReadOnlyList<IReadOnlyList<Recording>> RecordedLegs => [clientTap.Recorded, nodeTap.Recorded];

    /// <summary>Everything that passed on either leg, in both directions.</summary>
    internal IEnumerable<byte[]> RecordedBytes => clientTap.Recorded.Concat(nodeTap.Recorded).Select(recording => recording.Bytes);

    public async ValueTask InitializeAsync()
    {
        var nodePort = FixedPort.Find();
        nodeTap.SetTarget(new Uri($"http://127.0.0.1:{nodePort}")); // the node is ready once it is reached there
        string[] model = fixture ? ["--fixture"] : [];
        process = Start(
            [
                "up", "--json", "--gateway-port", "0", "--node-port", $"{nodePort}", "--node-address", nodeTap.Address.ToString(), "--sidecar-port", "0",
                "--data", DataDirectory, .. model, .. arguments,
            ],
            Environment);
        errors = process.StandardError.ReadToEndAsync();
        ReadyLine = await process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("cchat up ended: " + await errors);
        var ready = JsonDocument.Parse(ReadyLine).RootElement;
        Node = new Uri(ready.GetProperty("node").GetString()!);
        ApiKey = ready.GetProperty("api_key").GetString()!;
        Model = ready.GetProperty("model").GetString()!;
        Sidecar = ready.GetProperty("sidecar").GetString() is { } sidecar ? new Uri(sidecar) : null;
        PolicyFile = ready.GetProperty("policy").GetString() ?? "";
        clientTap.SetTarget(new Uri(ready.GetProperty("gateway").GetString()!));
    }

    /// <summary>A user with no locks and no stacks.</summary>
    /// <returns>The API key.</returns>
    public async Task<string> NewUserAsync(ApiKeyScopes scopes = ApiKeyScopes.Inference)
    {
        var gateway = await GatewayOperator.OpenAsync(Path.Combine(DataDirectory, "gateway"));
        return (await gateway.CreateApiKeyAsync(Guid.NewGuid().ToString(), scopes, expiresAt: null)).Text;
    }

    /// <summary>Sends SIGTERM and waits for the end.</summary>
    /// <returns>The exit code, what else stood on standard output, and standard error.</returns>
    public async Task<(int ExitCode, string Output, string Errors)> TerminateAsync()
    {
        await SignalAsync("TERM");
        await process!.WaitForExitAsync();
        return (process.ExitCode, await process.StandardOutput.ReadToEndAsync(), await errors!);
    }

    /// <summary>Waits for an end that nobody asked for.</summary>
    public async Task<(int ExitCode, string Errors)> EndAsync()
    {
        await process!.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(90));
        return (process.ExitCode, await errors!);
    }

    public Task SignalAsync(string signal) => SignalAsync(process!.Id, signal);

    /// <summary>The processes of gateway, node and sidecar, which are children of <c>up</c>.</summary>
    public IReadOnlyList<(string Role, int Id)> Children() =>
    [
        .. Directory.GetDirectories("/proc").Select(path => int.TryParse(Path.GetFileName(path), out var id) ? id : 0).Where(id => id > 0)
            .Select(id => (Id: id, Line: Read($"/proc/{id}/cmdline"), Status: Read($"/proc/{id}/status")))
            .Where(child => child.Status.Contains($"\nPPid:\t{process!.Id}\n", StringComparison.Ordinal))
            .Select(child => (child.Line.Split('\0')[1], child.Id)),
    ];

    public Task SignalNodeAsync(string signal) => SignalAsync(Children().Single(child => child.Role == "node").Id, signal);

    public static async Task SignalAsync(int id, string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{id}"]);
        await kill.WaitForExitAsync();
    }

    private static string Read(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ""; // it has ended meanwhile
        }
    }

    /// <summary>Runs <c>cchat</c> to its end.</summary>
    public static async Task<(int ExitCode, string Output, string Errors)> RunAsync(
        IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null, string? input = null)
    {
        using var run = Start(arguments, environment);
        var output = run.StandardOutput.ReadToEndAsync();
        var errors = run.StandardError.ReadToEndAsync();
        if (input is not null)
            await run.StandardInput.WriteAsync(input);
        run.StandardInput.Close();
        await run.WaitForExitAsync();
        return (run.ExitCode, await output, await errors);
    }

    public async ValueTask DisposeAsync()
    {
        if (process is { HasExited: false })
            await TerminateAsync();
        process?.Dispose();
        await clientTap.DisposeAsync();
        await nodeTap.DisposeAsync();
        Directory.Delete(DataDirectory, recursive: true);
    }

    internal static Process Start(IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        // A shell that runs the tests in the background has interrupts ignored, nohup hangups, and so would everything that they start.
        var start = new ProcessStartInfo("env", ["--default-signal=INT,HUP", Path.Combine(AppContext.BaseDirectory, "cchat"), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment.Remove("CONFIDENTIALCHAT_API_KEY");
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        return Process.Start(start)!;
    }
}
