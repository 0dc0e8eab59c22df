using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using ConfidentialChat.Node;
using ConfidentialChat.Node.Control;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat node</c>: runs a node, and rotates its key.</summary>
internal static class NodeCommand
{
    /// <summary>Holds the enrolment token; an argument would show it to every user of the machine.</summary>
    public const string EnrolmentTokenVariable = "CONFIDENTIALCHAT_ENROLMENT_TOKEN";

    private static readonly Option<DirectoryInfo> Data = CommonOptions.Data("the node's identity and enrolment", made: true);
    private static readonly Option<DirectoryInfo> RunningData = CommonOptions.Data("the node that runs");
    private static readonly Option<Uri?> Gateway = CommonOptions.Url("--gateway", "Gateway to serve.");
    private static readonly Option<IPAddress> Listen = CommonOptions.Listen(Standard.Node.ListenAddress);
    private static readonly Option<int> Port = CommonOptions.Port("--port", Standard.Node.Port, "Port to listen on; 0 takes a free one.");
    private static readonly Option<Uri?> Address = CommonOptions.Url("--address", "Where the gateway reaches the node, where that is not where it listens.");
    private static readonly Option<FileInfo?> Model = CommonOptions.Model();
    private static readonly Option<DirectoryInfo?> EngineDirectory = CommonOptions.EngineDirectory();
    private static readonly UpstreamArguments Upstream = new();
    private static readonly Option<int> Parallel = CommonOptions.Between(
        "--parallel", 1, LlamaBackend.SequencesMax, Standard.Engine.Sequences, "Requests that the embedded engine computes at once.");
    private static readonly Option<int> Queue = CommonOptions.Positive("--queue", Standard.Node.MaxQueued, "Requests that may wait; beyond it 429.");
    private static readonly Option<int> MaxConnections = CommonOptions.Connections(Standard.Node.MaxConnections);
    private static readonly Option<int> RotationMinutes = CommonOptions.Positive(
        "--rotation-minutes", (int)Standard.Node.KeyLifetime.TotalMinutes, "How long a node key is the current one.");
    private static readonly Option<int?> MaxBufferedMib = CommonOptions.MaxBufferedMib();
    private static readonly Option<int> DrainSeconds = CommonOptions.DrainSeconds(Standard.Node.DrainTimeout);
    private static readonly Option<bool> LogRequests = CommonOptions.LogRequests();
    private static readonly Option<int> UsageMultiple = CommonOptions.Between(
        "--usage-multiple", 1, Voucher.MaxMultiple, Standard.Node.UsageMultiple,
        "What sealed requests used is rounded up to a multiple of it, part by part; 1: exact.");
    private static readonly Option<bool> EraseNow = new("--erase-now")
    {
        Description = "Erase the oldest key before its time, where the node holds as many as it may.",
    };
    private static readonly Option<string> Evidence = EvidenceOption.Create(EvidenceOption.None);
    private static readonly Option<bool> DangerousPlainHttp = CommonOptions.DangerousPlainHttp();

    public static Command Create()
    {
        var command = new Command("node", $"Run a node: it opens requests, runs the model and seals answers. The enrolment token, needed once, comes from {EnrolmentTokenVariable}.")
        {
            Data, Gateway, Listen, Port, Address, Evidence, Model, EngineDirectory, Parallel, Queue, MaxConnections, MaxBufferedMib, RotationMinutes,
            DrainSeconds, LogRequests, UsageMultiple,
            DangerousPlainHttp, ServerRun.Json, ServerRun.ExitWithStdin,
        };
        foreach (var option in Upstream.All)
            command.Options.Add(option);
        command.SetAction(RunAsync);
        command.Subcommands.Add(RotateCommand());
        return command;
    }

    private static Command RotateCommand()
    {
        var command = new Command("rotate", "Make a new node key now. Requests under the key before it are served for its grace period.")
        {
            RunningData, EraseNow,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var directory = parsed.GetRequiredValue(RunningData).FullName;
            // "up" keeps the node's data one level down.
            if (!File.Exists(ControlSocket.PathFor(directory)) && File.Exists(ControlSocket.PathFor(Path.Combine(directory, "node"))))
                directory = Path.Combine(directory, "node");
            try
            {
                if (!await ControlSocket.RotateAsync(directory, parsed.GetValue(EraseNow), cancellation))
                    throw new CommandException("the node holds as many keys as it may.", ControlSocket.RotationHint, ExitCode.Failure);
            }
            catch (Exception e) when (e is HttpRequestException or SocketException)
            {
                throw new CommandException($"no node runs with the data directory {directory}.", "name the node's directory with --data", ExitCode.NotReached);
            }

            await Console.Error.WriteLineAsync("rotated: the node has a new key.");
            return ExitCode.Success;
        });
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        using var hangup = Interrupt.TakeOverHangup(() => { }); // until there is something to read again
        var evidence = EvidenceOption.Read(parsed, Evidence);
        var upstream = Upstream.Read(parsed);
        var model = parsed.GetValue(Model)?.FullName;
        if (model is null && upstream is null)
            throw new CommandException(
                "--model is missing.", "name a GGUF file: --model FILE.gguf, or an HTTP engine: --upstream URL --upstream-model NAME", ExitCode.Usage);
        var embedded = model is null ? null : new EmbeddedEngineOptions
        {
            ModelPath = model,
            EngineDirectory = parsed.GetValue(EngineDirectory)?.FullName,
            Sequences = parsed.GetValue(Parallel),
        };
        var options = new NodeOptions
        {
            DataDirectory = parsed.GetRequiredValue(Data).FullName,
            GatewayUrl = parsed.GetValue(Gateway)
                ?? throw new CommandException("--gateway is missing.", "name the gateway to serve: --gateway URL", ExitCode.Usage),
            EnrolmentToken = CommonOptions.Secret(EnrolmentTokenVariable),
            ListenAddress = parsed.GetRequiredValue(Listen),
            Port = parsed.GetValue(Port),
            PublicAddress = parsed.GetValue(Address),
            DangerousPlainHttp = parsed.GetValue(DangerousPlainHttp),
            KeyLifetime = TimeSpan.FromMinutes(parsed.GetValue(RotationMinutes)),
            MaxConcurrent = (embedded?.Sequences ?? 0) + ((upstream?.MaxConcurrent * upstream?.Urls.Count) ?? 0),
            MaxQueued = parsed.GetValue(Queue),
            MaxConnections = parsed.GetValue(MaxConnections),
            MaxBufferedBytes = parsed.GetValue(MaxBufferedMib) * CommonOptions.Mib ?? Standard.Node.MaxBufferedBytes,
            DrainTimeout = TimeSpan.FromSeconds(parsed.GetValue(DrainSeconds)),
            LogRequests = parsed.GetValue(LogRequests),
            UsageMultiple = parsed.GetValue(UsageMultiple),
        };
        options.Validate();
        await using var engine = await EngineFetch.OpenAsync(embedded, upstream, cancellation);
        var faults = string.Join(' ', engine.Faults);
        if (faults.Length > 0)
            await Console.Error.WriteLineAsync($"warning: {faults} The node serves it once it is up.");
        await Console.Error.WriteLineAsync(EvidenceOption.Warning(evidence));
        using var platform = EvidenceOption.Open(evidence);
        await using var app = NodeHost.Create(options, engine, ServerRun.LogToStandardError, platform);
        return await ServerRun.RunAsync(
            app,
            async starting =>
            {
                await NodeHost.WhenReadyAsync(app, starting);
                var facts = new Dictionary<string, string>(StringComparer.Ordinal)
                {
                    ["node"] = NodeHost.Address(app).ToString().TrimEnd('/'),
                    ["model"] = engine.Models[0],
                    ["evidence"] = evidence,
                    ["envelope"] = platform is null ? "v1" : "v1, v2",
                };
                if (faults.Length > 0)
                    facts["warning"] = faults;
                return facts;
            },
            parsed,
            cancellation);
    }
}
