using System.CommandLine;
using System.Net;
using ConfidentialChat.Gateway;

namespace ConfidentialChat.Cli.Commands;

/// <summary><c>cchat gateway</c>: runs a gateway, and makes keys and tokens for it.</summary>
internal static class GatewayCommand
{
    private static readonly Option<DirectoryInfo> Data = CommonOptions.Data("the database and the gateway's key");
    private static readonly Option<IPAddress> Listen = CommonOptions.Listen();
    private static readonly Option<int> Port = CommonOptions.Port("--port", 8080, "Port to listen on; 0 takes a free one.");
    private static readonly Option<int> LockSeconds = CommonOptions.Positive("--lock-seconds", 5, "How long a lock lives when its client does not say.");
    private static readonly Option<long> StackUnits = new("--stack-units") { Description = "Compute units that each user gets on a node for a model.", DefaultValueFactory = _ => 1_000_000_000, HelpName = "N" };
    private static readonly Option<FileInfo?> Certificate = new("--tls-cert") { Description = "Certificate chain, PEM.", HelpName = "FILE" };
    private static readonly Option<FileInfo?> Key = new("--tls-key") { Description = "Private key of the certificate, PEM.", HelpName = "FILE" };
    private static readonly Option<bool> DangerousPlainHttp = CommonOptions.DangerousPlainHttp();
    private static readonly Option<string> User = new("--user") { Description = "Whose key it is.", DefaultValueFactory = _ => "default", HelpName = "NAME" };

    public static Command Create()
    {
        var command = new Command("gateway", "Run a gateway: it authenticates, routes and bounds requests that it cannot read.")
        {
            Data, Listen, Port, LockSeconds, StackUnits, Certificate, Key, DangerousPlainHttp, ServerRun.Json, ServerRun.ExitWithStdin,
        };
        command.SetAction(RunAsync);
        command.Subcommands.Add(KeyCommand());
        command.Subcommands.Add(EnrolmentTokenCommand());
        return command;
    }

    private static Command KeyCommand()
    {
        var command = new Command("key", "Make an API key and print it. It is shown this once; the gateway keeps a hash.") { Data, User };
        command.SetAction(async (parsed, cancellation) =>
        {
            var directory = await GatewayOperator.OpenAsync(Existing(parsed), cancel: cancellation);
            try
            {
                await Console.Out.WriteLineAsync((await directory.CreateApiKeyAsync(parsed.GetRequiredValue(User), cancellation)).Text);
            }
            catch (ArgumentException)
            {
                throw new CommandException("--user: that is no name for a user.", $"a name has 1 to {GatewayOperator.MaxNameLength} characters, and no control characters", ExitCode.Usage);
            }

            return ExitCode.Success;
        });
        return command;
    }

    private static Command EnrolmentTokenCommand()
    {
        var command = new Command("enrolment-token", "Make a token with which one node enrols, and print it. It is good for an hour.") { Data };
        command.SetAction(async (parsed, cancellation) =>
        {
            var directory = await GatewayOperator.OpenAsync(Existing(parsed), cancel: cancellation);
            await Console.Out.WriteLineAsync((await directory.CreateEnrolmentTokenAsync(Options(parsed).EnrolmentTokenLifetime, cancellation)).Text);
            return ExitCode.Success;
        });
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        await using var app = await GatewayHost.CreateAsync(Options(parsed), ServerRun.LogToStandardError, cancellation);
        return await ServerRun.RunAsync(
            app,
            _ => Task.FromResult<IReadOnlyDictionary<string, string>>(new Dictionary<string, string>(StringComparer.Ordinal)
            {
                ["gateway"] = app.Urls.First(),
            }),
            parsed,
            cancellation);
    }

    /// <summary>A key made for a gateway that is not there would open nothing. <c>up</c> keeps the gateway's data one level down.</summary>
    private static string Existing(ParseResult parsed)
    {
        var directory = parsed.GetRequiredValue(Data).FullName;
        string[] places = [directory, Path.Combine(directory, "gateway")];
        return Array.Find(places, place => File.Exists(Path.Combine(place, "gateway.db")))
            ?? throw new CommandException($"there is no gateway in {directory}.", "start it once, or name its directory with --data", ExitCode.Usage);
    }

    private static GatewayOptions Options(ParseResult parsed) => new()
    {
        DataDirectory = parsed.GetRequiredValue(Data).FullName,
        ListenAddress = (parsed.GetValue(Listen) ?? IPAddress.Loopback).ToString(),
        Port = parsed.GetValue(Port),
        LockSeconds = parsed.GetValue(LockSeconds),
        StackUnits = parsed.GetValue(StackUnits),
        TlsCertificate = parsed.GetValue(Certificate)?.FullName,
        TlsKey = parsed.GetValue(Key)?.FullName,
        DangerousPlainHttp = parsed.GetValue(DangerousPlainHttp),
    };
}
