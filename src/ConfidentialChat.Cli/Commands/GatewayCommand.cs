using System.CommandLine;
using ConfidentialChat.Gateway;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat gateway</c>: runs a gateway.</summary>
internal static class GatewayCommand
{
    private static readonly Option<DirectoryInfo> Data = CommonOptions.Data("the database and the gateway's key", made: true);
    private static readonly Option<string?> Postgres = CommonOptions.Postgres();
    private static readonly Option<string> Listen = new("--listen")
    {
        Description = "Address to listen on; localhost is 127.0.0.1 and ::1, :: is IPv4 too. Other than loopback it needs TLS.",
        HelpName = "IP",
        DefaultValueFactory = _ => Standard.Gateway.ListenAddress,
    };
    private static readonly Option<int> Port = CommonOptions.Port("--port", Standard.Gateway.Port, "Port to listen on; 0 takes a free one.");
    private static readonly Option<int> LockSeconds = CommonOptions.Between(
        "--lock-seconds", 1, 60, Standard.Gateway.LockSeconds, "How long a lock lives when its client does not say.");
    private static readonly Option<long> StackUnits = new("--stack-units")
    {
        Description = "Compute units that each user gets on a node for a model.",
        DefaultValueFactory = _ => Standard.Gateway.StackUnits,
        HelpName = "N",
    };
    private static readonly Option<FileInfo?> Certificate = new("--tls-cert")
    {
        Description = "Certificate chain, PEM; read again when it changes.",
        HelpName = "FILE",
    };
    private static readonly Option<FileInfo?> Key = new("--tls-key") { Description = "Private key of the certificate, PEM.", HelpName = "FILE" };
    private static readonly Option<string?> TlsName = new("--tls-name")
    {
        Description = "What clients call the gateway: says when a certificate is not for it.",
        HelpName = "HOST",
    };
    private static readonly Option<int?> MaxBufferedMib = CommonOptions.MaxBufferedMib();
    private static readonly Option<int> DrainSeconds = CommonOptions.DrainSeconds(Standard.Gateway.DrainTimeout);
    private static readonly Option<int> VoucherDays = CommonOptions.Between(
        "--voucher-days", 0, 3650, (int)Standard.Gateway.VoucherRetention.TotalDays, "How long what nodes signed about usage is kept with its settlement.");
    private static readonly Option<bool> LogRequests = CommonOptions.LogRequests();
    private static readonly Option<bool> DangerousPlainHttp = CommonOptions.DangerousPlainHttp();
    private static readonly Option<string[]> CorsOrigins = new("--cors-origin")
    {
        Description = "Origin whose pages in a browser may call, like https://app.example; may be given several times; * is any. Default: none.",
        HelpName = "ORIGIN",
        DefaultValueFactory = _ => [],
    };
    private static readonly Option<string[]?> TrustedProxies = new("--trusted-proxies")
    {
        Description = "Proxies before the gateway: networks like 10.0.0.0/8, or addresses. Silent connections from any other address are bounded for each. Default: this machine.",
        HelpName = "NETWORK",
        AllowMultipleArgumentsPerToken = true,
    };
    private static readonly Option<int> MaxConnections = CommonOptions.Connections(Standard.Gateway.MaxConnections);
    private static readonly Option<bool> NoDocs = new("--no-docs")
    {
        Description = "Do not serve the OpenAPI document (/openapi/v1.json) and its page (/docs).",
    };

    public static Command Create()
    {
        var command = new Command("gateway", "Run a gateway: it authenticates, routes and bounds requests that it cannot read.")
        {
            Data, Postgres, Listen, Port, LockSeconds, StackUnits, Certificate, Key, TlsName, MaxConnections, MaxBufferedMib, TrustedProxies, CorsOrigins,
            NoDocs, DrainSeconds, VoucherDays, LogRequests,
            DangerousPlainHttp, ServerRun.Json, ServerRun.ExitWithStdin,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        using var hangup = Interrupt.TakeOverHangup(() => { }); // until there is something to read again
        await using var app = await GatewayHost.CreateAsync(Options(parsed), ServerRun.LogToStandardError, Console.Error.WriteLine, cancellation);
        return await ServerRun.RunAsync(
            app,
            _ => Task.FromResult<IReadOnlyDictionary<string, string>>(new Dictionary<string, string>(StringComparer.Ordinal)
            {
                ["gateway"] = app.Urls.First(),
            }),
            parsed,
            cancellation);
    }

    private static GatewayOptions Options(ParseResult parsed) => new()
    {
        DataDirectory = parsed.GetRequiredValue(Data).FullName,
        Postgres = CommonOptions.ReadPostgres(parsed, Postgres),
        ListenAddress = parsed.GetRequiredValue(Listen),
        Port = parsed.GetValue(Port),
        LockSeconds = parsed.GetValue(LockSeconds),
        StackUnits = parsed.GetValue(StackUnits),
        TlsCertificate = parsed.GetValue(Certificate)?.FullName,
        TlsKey = parsed.GetValue(Key)?.FullName,
        TlsName = parsed.GetValue(TlsName),
        MaxConnections = parsed.GetValue(MaxConnections),
        TrustedProxies = parsed.GetValue(TrustedProxies) is { Length: > 0 } proxies ? proxies : null,
        CorsOrigins = parsed.GetValue(CorsOrigins) ?? [],
        Docs = !parsed.GetValue(NoDocs),
        MaxBufferedBytes = parsed.GetValue(MaxBufferedMib) * CommonOptions.Mib ?? Standard.Gateway.MaxBufferedBytes,
        DrainTimeout = TimeSpan.FromSeconds(parsed.GetValue(DrainSeconds)),
        VoucherRetention = TimeSpan.FromDays(parsed.GetValue(VoucherDays)),
        LogRequests = parsed.GetValue(LogRequests),
        DangerousPlainHttp = parsed.GetValue(DangerousPlainHttp),
    };
}
