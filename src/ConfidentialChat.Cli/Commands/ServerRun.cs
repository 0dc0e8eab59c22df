using System.CommandLine;
using System.Text.Json;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Cli.Commands;

/// <summary>What <c>cchat gateway</c> and <c>cchat node</c> share: logs to standard error, one line when ready, an orderly end.</summary>
internal static class ServerRun
{
    private const int MaxFact = 1000; // UTF-16 units: a warning that names a few engines

    public static readonly Option<bool> Json = new("--json")
    {
        Description = "Print one JSON line on standard output once ready, and nothing else.",
    };

    public static readonly Option<bool> ExitWithStdin = new(Stack.ChildProcess.FollowParentOption)
    {
        Description = "Stop when standard input ends: for a supervisor that may die.",
    };

    /// <summary>Whether a command runs a server: it has the options that are kept here.</summary>
    public static bool IsServer(Command command) => command.Options.Contains(ExitWithStdin);

    /// <summary>Logs of a server go to standard error, one line each, and signals to the program.</summary>
    public static void LogToStandardError(WebApplicationBuilder builder)
    {
        builder.Logging.ClearProviders();
        ServerLog.Write(builder.Logging, toStandardError: true);
        Signals.LeaveTo(builder.Services);
    }

    /// <summary>Starts, waits until ready, says so, and runs until told to stop.</summary>
    /// <param name="app">Built and not started.</param>
    /// <param name="ready">Completes when the server does its work; gives what to print.</param>
    /// <param name="parsed">Holds <see cref="Json"/> and <see cref="ExitWithStdin"/>.</param>
    /// <param name="cancellation">Cancelled on SIGTERM and SIGINT.</param>
    public static async Task<int> RunAsync(
        WebApplication app, Func<CancellationToken, Task<IReadOnlyDictionary<string, string>>> ready, ParseResult parsed, CancellationToken cancellation)
    {
        using var hangup = Interrupt.TakeOverHangup(app.Services.GetService<Reload>() is { } reload ? reload.Ask : () => { });
        await app.StartAsync(cancellation);
        var failures = ServiceFailures.Of(app);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, app.Lifetime.ApplicationStopping);
        if (parsed.GetValue(ExitWithStdin))
            _ = StopAtEndOfInputAsync(app.Lifetime);
        try
        {
            var facts = await ready(stop.Token);
            if (parsed.GetValue(Json))
                Console.Out.WriteLine(JsonSerializer.Serialize(facts, CliJson.Default.IReadOnlyDictionaryStringString));
            else
                foreach (var (name, value) in facts)
                    Console.Out.WriteLine($"{name,-8} {ForeignText.Line(value, MaxFact)}");
            await Task.Delay(Timeout.Infinite, stop.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }

        await app.StopAsync(CancellationToken.None);
        return Environment.ExitCode != ExitCode.Success ? Environment.ExitCode : failures.Any ? ExitCode.Failure : ExitCode.Success;
    }

    private static async Task StopAtEndOfInputAsync(IHostApplicationLifetime lifetime)
    {
        await using var input = Console.OpenStandardInput();
        var buffer = new byte[256];
        while (await input.ReadAsync(buffer) > 0)
        {
        }

        lifetime.StopApplication();
    }
}
