using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat up</c>: gateway, node and embedded engine on this machine until SIGTERM.</summary>
internal static class UpCommand
{
    private static readonly Option<int> GatewayPort = CommonOptions.Port("--gateway-port", Standard.Gateway.Port, "Port of the gateway; 0 takes a free one.");
    private static readonly Option<int> NodePort = CommonOptions.Port("--node-port", Standard.Node.Port, "Port of the node; 0 takes a free one.");
    private static readonly Option<Uri?> NodeAddress = CommonOptions.Url(
        "--node-address", "What the gateway uses to reach the node, where that is not where it listens.");
    private static readonly Option<DirectoryInfo> Data = CommonOptions.Data("databases, keys and logs", made: true);
    private static readonly Option<FileInfo?> Model = CommonOptions.Model();
    private static readonly Option<bool> Fixture = CommonOptions.Fixture();
    private static readonly UpstreamArguments Upstream = new();
    private static readonly Option<DirectoryInfo?> EngineDirectory = CommonOptions.EngineDirectory();
    private static readonly Option<int> LockSeconds = CommonOptions.Positive(
        "--lock-seconds", Standard.Gateway.LockSeconds, "How long a lock lives when its client does not say.");
    private static readonly Option<bool> Json = new("--json")
    {
        Description = "Print one line on standard output once ready: {\"gateway\",\"node\",\"api_key\",\"model\"}.",
    };

    public static Command Create()
    {
        var command = new Command("up", "Run gateway, node and engine on this machine until SIGTERM. Without --model and --upstream it serves a very small demonstration model.")
        {
            GatewayPort, NodePort, NodeAddress, Data, Model, Fixture, EngineDirectory, LockSeconds, Json,
        };
        foreach (var option in Upstream.All)
            command.Options.Add(option);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var upstream = Upstream.Read(parsed); // refused here, before anything starts
        var data = parsed.GetRequiredValue(Data).FullName;
        var options = new LocalStackOptions
        {
            DataDirectory = data,
            GatewayPort = parsed.GetValue(GatewayPort),
            NodePort = parsed.GetValue(NodePort),
            NodeAddress = parsed.GetValue(NodeAddress),
            ModelPath = parsed.GetValue(Model)?.FullName,
            Fixture = parsed.GetValue(Fixture),
            EngineDirectory = parsed.GetValue(EngineDirectory)?.FullName,
            LockSeconds = parsed.GetValue(LockSeconds),
            UpstreamArguments = upstream is null ? [] : Upstream.Forward(parsed),
            UpstreamKeyVariable = Upstream.KeyVariable(parsed),
        };
        await using var stack = await LocalStack.StartAsync(options, Console.Error.WriteLine, cancellation);
        await Console.Error.WriteLineAsync(Warnings.NoAttestation);
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
                api key  {stack.Ready.ApiKey}
                logs     {Path.Combine(data, "logs")}

                Ask it:  CONFIDENTIALCHAT_API_KEY={stack.Ready.ApiKey} ./cchat ask --gateway {stack.Ready.Gateway} "Who can read this question?"
                Stop it: Ctrl-C
                """);
        }

        await stack.RunAsync(cancellation);
        await Console.Error.WriteLineAsync("stopping: requests in flight are finished first");
        return ExitCode.Success;
    }
}
