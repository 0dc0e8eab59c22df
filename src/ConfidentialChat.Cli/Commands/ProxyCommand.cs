using System.CommandLine;
using System.Net;
using ConfidentialChat.Client;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Sidecar;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat proxy</c>: runs a sidecar.</summary>
internal static class ProxyCommand
{
    /// <summary>Holds the local key; an argument would show it to every user of the machine.</summary>
    public const string LocalKeyVariable = "CONFIDENTIALCHAT_LOCAL_KEY";

    private static readonly Option<int> Port = CommonOptions.Port(
        "--port", Standard.Sidecar.Port, "Port of this machine to listen on, at 127.0.0.1 and ::1; 0 takes a free one of 127.0.0.1.");
    private static readonly Option<FileInfo?> LocalKeyFile = new("--local-key")
    {
        Description = $"File with a key that programs have to show as their API key. Default: {LocalKeyVariable}, else they need none, and what they show is passed over.",
        HelpName = "FILE",
    };
    private static readonly Option<string[]> CorsOrigins = new("--cors-origin")
    {
        Description = "Origin whose pages in a browser may ask, like https://app.example; may be given several times. Default: none.",
        HelpName = "ORIGIN",
        DefaultValueFactory = _ => [],
    };
    private static readonly Option<string[]> HostNames = new("--host-name")
    {
        Description = "Name by which programs reach the sidecar beside localhost, like host.docker.internal; may be given several times.",
        HelpName = "NAME",
        DefaultValueFactory = _ => [],
    };
    private static readonly Option<IPAddress?> DangerousBind = new("--dangerous-bind")
    {
        Description = "Listen on this address and not on loopback: whoever reaches it asks in your name, and prompts pass the network in plain.",
        HelpName = "IP",
        CustomParser = argument =>
        {
            if (IPAddress.TryParse(argument.Tokens[0].Value, out var address))
                return address;
            argument.AddError($"--dangerous-bind: '{argument.Tokens[0].Value}' is not an IP address.");
            return null;
        },
    };
    private static readonly Option<int> MaxRequests = CommonOptions.Positive(
        "--max-requests", Standard.Sidecar.MaxRequests, "Requests at once; beyond it 429.");
    private static readonly Option<int> MaxConnections = CommonOptions.Between(
        "--max-connections", ConnectionLimits.LeastMost, 1_000_000, Standard.Sidecar.MaxConnections,
        "Connections at once; for a further one the one goes that has been silent for longest.");
    private static readonly Option<int?> MaxBufferedMib = CommonOptions.MaxBufferedMib();
    private static readonly Option<int> DrainSeconds = CommonOptions.DrainSeconds(Standard.Sidecar.DrainTimeout);
    private static readonly Option<bool> LogRequests = CommonOptions.LogRequests();

    public static Command Create()
    {
        var command = new Command(
            "proxy",
            $"Run a sidecar: OpenAI's and Anthropic's APIs on this machine, for programs that know no other. It verifies, seals, and never sends in plain.\nThe API key comes from {ConfidentialChatOptions.BearerKeyVariable}, or is the one that \"up\" keeps.")
        {
            Port, Asking.Gateway, Asking.Data, Asking.Policy, LocalKeyFile, CorsOrigins, HostNames, MaxRequests, MaxConnections, MaxBufferedMib,
            DrainSeconds, LogRequests,
            DangerousBind, Asking.DangerousPlainHttp, ServerRun.Json, ServerRun.ExitWithStdin,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        using var hangup = Interrupt.TakeOverHangup(() => { }); // until there is something to read again
        var options = Options(parsed);
        await using var app = SidecarHost.Create(options, ServerRun.LogToStandardError);
        if (options.DangerousBind is not null)
            await Console.Error.WriteLineAsync(Warnings.OpenSidecar);
        return await ServerRun.RunAsync(
            app,
            _ => Task.FromResult<IReadOnlyDictionary<string, string>>(new Dictionary<string, string>(StringComparer.Ordinal)
            {
                ["sidecar"] = SidecarHost.BaseUrl(app).ToString(),
                ["gateway"] = options.Client.ServerUrl!.ToString().TrimEnd('/'),
            }),
            parsed,
            cancellation);
    }

    private static SidecarOptions Options(ParseResult parsed)
    {
        var file = parsed.GetValue(LocalKeyFile)?.FullName;
        return new SidecarOptions
        {
            Client = Asking.PolicedOptions(parsed),
            Port = parsed.GetValue(Port),
            DangerousBind = parsed.GetValue(DangerousBind),
            LocalKey = file is null ? CommonOptions.Secret(LocalKeyVariable) : null,
            LocalKeyFile = file,
            CorsOrigins = parsed.GetValue(CorsOrigins) ?? [],
            HostNames = parsed.GetValue(HostNames) ?? [],
            MaxRequests = parsed.GetValue(MaxRequests),
            MaxConnections = parsed.GetValue(MaxConnections),
            MaxBufferedBytes = parsed.GetValue(MaxBufferedMib) * CommonOptions.Mib ?? Standard.Sidecar.MaxBufferedBytes,
            DrainTimeout = TimeSpan.FromSeconds(parsed.GetValue(DrainSeconds)),
            LogRequests = parsed.GetValue(LogRequests),
        };
    }
}
