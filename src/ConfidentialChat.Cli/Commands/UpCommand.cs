using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat up</c>: gateway, node and embedded engine on this machine until SIGTERM.</summary>
internal static class UpCommand
{
    private static readonly Option<int> GatewayPort = CommonOptions.Port("--gateway-port", Standard.Gateway.Port, "Port of the gateway; 0 takes a free one.");
    private static readonly Option<int> NodePort = CommonOptions.Port("--node-port", Standard.Node.Port, "Port of the node; 0 takes a free one.");
    private static readonly Option<int?> SidecarPort = new("--sidecar-port")
    {
        Description = $"Port of the sidecar; 0 takes a free one. Default: {Standard.Sidecar.Port}, or a free one where another program has that.",
        HelpName = "N",
    };
    private static readonly Option<Uri?> NodeAddress = CommonOptions.Url(
        "--node-address", "What the gateway uses to reach the node, where that is not where it listens.");
    private static readonly Option<DirectoryInfo> Data = CommonOptions.Data("databases, keys and logs", made: true);
    private static readonly Option<string> Evidence = EvidenceOption.Create(EvidenceOption.Simulated);
    private static readonly Option<FileInfo?> Model = CommonOptions.Model();
    private static readonly Option<bool> Fixture = CommonOptions.Fixture();
    private static readonly UpstreamArguments Upstream = new();
    private static readonly Option<DirectoryInfo?> EngineDirectory = CommonOptions.EngineDirectory();
    private static readonly Option<int> LockSeconds = CommonOptions.Positive(
        "--lock-seconds", Standard.Gateway.LockSeconds, "How long a lock lives when its client does not say.");
    private static readonly Option<bool> Json = new("--json")
    {
        Description = "Print one line on standard output once ready: {\"gateway\",\"node\",\"api_key\",\"model\",\"policy\",\"sidecar\"}.",
    };

    public static Command Create()
    {
        var command = new Command("up", "Run gateway, node and engine on this machine until SIGTERM. Without --model and --upstream it serves a very small demonstration model.")
        {
            GatewayPort, NodePort, SidecarPort, NodeAddress, Data, Evidence, Model, Fixture, EngineDirectory, LockSeconds, Json,
        };
        foreach (var option in Upstream.All)
            command.Options.Add(option);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var evidence = EvidenceOption.Read(parsed, Evidence);
        var upstream = Upstream.Read(parsed); // refused here, before anything starts
        var data = parsed.GetRequiredValue(Data).FullName;
        var options = new LocalStackOptions
        {
            DataDirectory = data,
            GatewayPort = parsed.GetValue(GatewayPort),
            NodePort = parsed.GetValue(NodePort),
            SidecarPort = parsed.GetValue(SidecarPort) ?? UsualSidecarPort(),
            NodeAddress = parsed.GetValue(NodeAddress),
            Evidence = evidence,
            Policy = StackPolicy.For(upstream),
            ModelPath = parsed.GetValue(Model)?.FullName,
            Fixture = parsed.GetValue(Fixture),
            EngineDirectory = parsed.GetValue(EngineDirectory)?.FullName,
            LockSeconds = parsed.GetValue(LockSeconds),
            UpstreamArguments = upstream is null ? [] : Upstream.Forward(parsed),
            UpstreamKeyVariable = Upstream.KeyVariable(parsed),
        };
        await using var stack = await LocalStack.StartAsync(options, Console.Error.WriteLine, cancellation);
        await Console.Error.WriteLineAsync(EvidenceOption.Warning(evidence));
        if (parsed.GetValue(Json))
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(stack.Ready, CliJson.Readable.UpReady));
        }
        else
        {
            Console.Out.WriteLine($"""
                gateway  {stack.Ready.Gateway}
                node     {stack.Ready.Node}
                model    {ForeignText.Line(stack.Ready.Model, ModelNames.MaxLength)}
                sidecar  {stack.Ready.Sidecar ?? "none"}
                logs     {Path.Combine(data, "logs")}

                For ./cchat ask and every program with the SDK:

                {Exports(stack.Ready)}

                Ask it:  ./cchat ask --gateway {stack.Ready.Gateway} "Who can read this question?"
                Stop it: Ctrl-C
                """);
        }

        await stack.RunAsync(cancellation);
        await Console.Error.WriteLineAsync("stopping: requests in flight are finished first");
        return ExitCode.Success;
    }

    // Not in silence: a program that asks the usual port asks somebody else.
    private static int UsualSidecarPort()
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, Standard.Sidecar.Port);
            listener.Start();
            return Standard.Sidecar.Port;
        }
        catch (SocketException)
        {
            Console.Error.WriteLine($"warning: port {Standard.Sidecar.Port} is another program's: the sidecar takes a free one (--sidecar-port names one)");
            return 0;
        }
    }

    private static string Exports(UpReady ready) => string.Join(
        Environment.NewLine,
        new (string Variable, string? Value)[]
        {
            (ConfidentialChatOptions.BearerKeyVariable, ready.ApiKey),
            (ConfidentialChatOptions.ServerUrlVariable, ready.Gateway),
            (ConfidentialChatOptions.PolicyVariable, ready.Policy),
        }.Where(line => line.Value is not null).Select(line => $"export {line.Variable}={ShellWord.Of(line.Value!)}"));
}
