using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli.Commands;
using ConfidentialChat.Client;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Gateway;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Stack;

/// <summary>What <c>up</c> and <c>demo</c> run.</summary>
internal sealed record LocalStackOptions
{
    public required string DataDirectory { get; init; }

    public int GatewayPort { get; init; }

    public int NodePort { get; init; }

    /// <summary>Null runs no sidecar, and so does a node without evidence, which it would refuse.</summary>
    public int? SidecarPort { get; init; }

    /// <summary>Where the gateway reaches the node; null: where it listens.</summary>
    public Uri? NodeAddress { get; init; }

    /// <summary>A word of <see cref="EvidenceOption"/>.</summary>
    public string Evidence { get; init; } = EvidenceOption.Simulated;

    /// <summary>Written for who asks on this machine, where the node has evidence.</summary>
    public Policy Policy { get; init; } = StackPolicy.For(upstream: null);

    /// <summary>Null serves the demonstration model, or the fixture, where there is no HTTP engine.</summary>
    public string? ModelPath { get; init; }

    /// <summary>Without a model: the fixture of the tests instead of the demonstration model.</summary>
    public bool Fixture { get; init; }

    public string? EngineDirectory { get; init; }

    public int? LockSeconds { get; init; }

    /// <summary>The node's options that name HTTP engines; empty for none.</summary>
    public IReadOnlyList<string> UpstreamArguments { get; init; } = [];

    /// <summary>The variable with the HTTP engine's key, which the node gets and nobody else.</summary>
    public string? UpstreamKeyVariable { get; init; }
}

/// <summary>A gateway, a node with its engine and a sidecar on this machine, each a process of its own.</summary>
internal sealed class LocalStack : IAsyncDisposable
{
    /// <summary>In the data directory: the key of the local user, for later starts and for who asks on this machine.</summary>
    public const string ApiKeyFile = "api-key";

    private static readonly TimeSpan NodePatience = TimeSpan.FromSeconds(70);
    private static readonly TimeSpan GatewayPatience = TimeSpan.FromSeconds(70);
    private static readonly TimeSpan SidecarPatience = TimeSpan.FromSeconds(70);
    private static readonly TimeSpan EnrolmentTokenLifetime = TimeSpan.FromMinutes(10);
    private const int MaxWarning = 1000; // UTF-16 units: a few engines that are not up
    private const string LocalUser = "local";

    private readonly FileStream occupation;
    private readonly ChildProcess gateway;
    private readonly ChildProcess node;
    private readonly ChildProcess? sidecar;

    private LocalStack(FileStream occupation, ChildProcess gateway, ChildProcess node, ChildProcess? sidecar, UpReady ready)
    {
        this.sidecar = sidecar;
        this.occupation = occupation;
        this.gateway = gateway;
        this.node = node;
        Ready = ready;
    }

    public UpReady Ready { get; }

    /// <summary>Starts everything and waits until a question could be asked.</summary>
    public static async Task<LocalStack> StartAsync(LocalStackOptions options, Action<string> progress, CancellationToken cancellation)
    {
        var gatewayData = Path.Combine(options.DataDirectory, "gateway");
        var logs = Path.Combine(options.DataDirectory, "logs");
        Use(() =>
        {
            PrivateFile.MakeDirectory(options.DataDirectory); // it holds the API key: only its owner enters
            return true;
        });
        var occupation = Occupy(options.DataDirectory);
        var model = options.ModelPath
            ?? (options.Fixture ? WriteFixture(options.DataDirectory) : options.UpstreamArguments.Count > 0 ? null : DemoModel.Locate());
        if (model is not null)
            await EngineFetch.CheckAsync(new EmbeddedEngineOptions { ModelPath = model, EngineDirectory = options.EngineDirectory }, cancellation);
        var secrets = new Dictionary<string, string>(StringComparer.Ordinal);
        if (options.UpstreamKeyVariable is { } variable && Environment.GetEnvironmentVariable(variable) is { } key)
        {
            secrets[variable] = key;
            Environment.SetEnvironmentVariable(variable, null); // the gateway inherits this process's variables
        }

        Environment.SetEnvironmentVariable(CommonOptions.PostgresVariable, null); // this gateway keeps its state in the directory, whatever others do
        var policy = options.Evidence == EvidenceOption.None ? null : Use(() => StackPolicy.Keep(options.DataDirectory, options.Policy, progress));
        progress("gateway: starting");
        var (apiKey, enrolmentToken) = await CredentialsAsync(options.DataDirectory, gatewayData, cancellation);
        string[] lockSeconds = options.LockSeconds is { } seconds ? ["--lock-seconds", $"{seconds}"] : [];
        var gateway = ChildProcess.Start(
            "gateway",
            ["gateway", "--data", gatewayData, "--port", $"{options.GatewayPort}", .. lockSeconds],
            new Dictionary<string, string>(StringComparer.Ordinal),
            logs);
        ChildProcess? node = null;
        ChildProcess? sidecar = null;
        try
        {
            var gatewayUrl = Text(await gateway.ReadyAsync(progress, cancellation), "gateway");
            progress($"gateway: {gatewayUrl}");
            if (policy is not null && options.SidecarPort is { } port)
                sidecar = StartSidecar(port, gatewayUrl, apiKey, policy, options.DataDirectory, logs);
            progress(model is null ? "node: starting" : "node: starting, loading the model");
            string[] embedded = model is null ? [] : ["--model", model];
            string[] address = options.NodeAddress is { } url ? ["--address", url.ToString()] : [];
            string[] engine = options.EngineDirectory is { } directory ? ["--engine-dir", directory] : [];
            node = ChildProcess.Start(
                "node",
                [
                    "node", "--data", Path.Combine(options.DataDirectory, "node"), "--port", $"{options.NodePort}",
                    "--gateway", gatewayUrl, "--evidence", options.Evidence, .. embedded, .. address, .. engine, .. options.UpstreamArguments,
                ],
                new Dictionary<string, string>(secrets, StringComparer.Ordinal) { [NodeCommand.EnrolmentTokenVariable] = enrolmentToken },
                logs);
            var starting = node.ReadyAsync(progress, cancellation);
            if (await Task.WhenAny(starting, gateway.Exited) == gateway.Exited)
                throw await gateway.EndedAsync("stopped by itself");
            var nodeReady = await starting;
            if (nodeReady.TryGetProperty("warning", out var warning))
                progress($"warning: {ForeignText.Line(warning.GetString(), MaxWarning)} The node serves it once it is up.");
            progress($"node: {Text(nodeReady, "node")}, model {ForeignText.Line(Text(nodeReady, "model"), ModelNames.MaxLength)}");
            var sidecarUrl = sidecar is null ? null : Text(await sidecar.ReadyAsync(progress, cancellation), "sidecar");
            if (sidecarUrl is not null)
                progress($"sidecar: {sidecarUrl}");
            return new LocalStack(
                occupation, gateway, node, sidecar, new UpReady(gatewayUrl, Text(nodeReady, "node"), apiKey, Text(nodeReady, "model"), policy, sidecarUrl));
        }
        catch
        {
            if (sidecar is not null)
                await sidecar.DisposeAsync();
            if (node is not null)
                await node.DisposeAsync();
            await gateway.DisposeAsync();
            await occupation.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs until cancelled; an end of one of them before that is an error.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        ChildProcess[] all = sidecar is null ? [gateway, node] : [gateway, node, sidecar];
        Task[] ends = [.. all.Select(child => child.Exited)];
        var first = await Task.WhenAny([.. ends, Task.Delay(Timeout.Infinite, cancellation)]);
        if (cancellation.IsCancellationRequested)
            return;
        throw await all[Array.IndexOf(ends, first)].EndedAsync("stopped by itself");
    }

    /// <summary>
    /// The sidecar first, whose answers come through both; then the node: it finishes its answers and delivers its last reports while the gateway
    /// still listens.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (sidecar is not null)
        {
            await sidecar.StopAsync(SidecarPatience);
            await sidecar.DisposeAsync();
        }

        await node.StopAsync(NodePatience);
        await gateway.StopAsync(GatewayPatience);
        await node.DisposeAsync();
        await gateway.DisposeAsync();
        await occupation.DisposeAsync();
    }

    private static ChildProcess StartSidecar(int port, string gateway, string apiKey, string policy, string data, string logs) => ChildProcess.Start(
        "sidecar",
        ["proxy", "--port", $"{port}", "--gateway", gateway, "--policy", policy, "--data", data],
        new Dictionary<string, string>(StringComparer.Ordinal) { [ConfidentialChatOptions.BearerKeyVariable] = apiKey },
        logs);

    // A second stack on the same data would take the node away from the first.
    private static FileStream Occupy(string directory) => Use(() => PrivateFile.TryLock(Path.Combine(directory, "in-use")))
        ?? throw new CommandException(
            $"another stack runs on the data directory {directory}.", "stop it, or give another directory with --data", ExitCode.Usage);

    private static string Text(JsonElement ready, string name) => ready.GetProperty(name).GetString()!;

    private static string WriteFixture(string directory)
    {
        var path = Path.Combine(directory, "fixture.gguf");
        FixtureModel.Write(path);
        return path;
    }

    // The key of the local user is kept beside the data that it opens, for later starts.
    private static async Task<(string ApiKey, string EnrolmentToken)> CredentialsAsync(string directory, string gatewayData, CancellationToken cancellation)
    {
        var gateway = await GatewayOperator.OpenAsync(gatewayData, progress: Console.Error.WriteLine, cancellation: cancellation);
        var keyFile = Path.Combine(directory, ApiKeyFile);
        var apiKey = File.Exists(keyFile) ? SecretText.WithoutLineEnd(await File.ReadAllTextAsync(keyFile, cancellation)) : null;
        if (apiKey is null || !await gateway.KnowsApiKeyAsync(apiKey, cancellation))
        {
            apiKey = (await gateway.CreateApiKeyAsync(LocalUser, cancellation)).Text;
            await using var file = PrivateFile.Open(keyFile, FileMode.Create, FileAccess.Write);
            await file.WriteAsync(System.Text.Encoding.UTF8.GetBytes(apiKey + "\n"), cancellation);
        }

        var token = await gateway.CreateEnrolmentTokenAsync(EnrolmentTokenLifetime, cancellation);
        return (apiKey, token.Text);
    }

    private static T Use<T>(Func<T> use)
    {
        try
        {
            return use();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(
                $"the data directory cannot be used: {e.Message}", "give a directory that this user may write with --data", ExitCode.Usage);
        }
    }
}
