// The bare node, as it is deployed: configuration from the environment (CONFIDENTIALCHAT_NODE_*) and the command line.
using System.Runtime.InteropServices;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node;
using ConfidentialChat.Node.Inference;

StandardText.UseUtf8();
Action? reload = null;
using var signals = new Signals(IsTaken, isServer: true);
var configuration = new ConfigurationBuilder().AddEnvironmentVariables("CONFIDENTIALCHAT_NODE_").AddCommandLine(args).Build();
try
{
    var settings = NodeSettings.Read(configuration);
    await using var engine = await EngineSet.OpenAsync(settings.Engine, settings.Upstream, null, signals.Stopping);
    foreach (var fault in engine.Faults)
        await Console.Error.WriteLineAsync($"warning: {fault} The node serves it once it is up.");
    await using var app = NodeHost.Create(settings.Node, engine, builder =>
    {
        ServerLog.Write(builder.Logging);
        Signals.LeaveTo(builder.Services);
    });
    reload = app.Services.GetRequiredService<Reload>().Ask;
    var failures = ServiceFailures.Of(app);
    await app.RunAsync(signals.Stopping);
    return Environment.ExitCode != NodeExitCode.Success ? Environment.ExitCode : failures.Any ? NodeExitCode.Failure : NodeExitCode.Success;
}
catch (OperationCanceledException) when (signals.Stopping.IsCancellationRequested)
{
    return signals.ExitCode;
}
catch (Exception e) when (NodeSettings.Explain(e) is { } fault)
{
    await Console.Error.WriteLineAsync($"error: {fault.Message}");
    await Console.Error.WriteLineAsync($"hint: {fault.Hint}");
    return NodeExitCode.Usage;
}

bool IsTaken(PosixSignal signal)
{
    if (signal is not PosixSignal.SIGHUP)
        return false;
    reload?.Invoke();
    return true;
}
