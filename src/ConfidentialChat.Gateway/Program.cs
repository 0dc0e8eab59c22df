// The bare executable: options from CONFIDENTIALCHAT_GATEWAY_* in the environment, then from the command line (--DataDirectory=/srv/gateway).
using System.Runtime.InteropServices;
using ConfidentialChat.Gateway;
using ConfidentialChat.Hosting;

StandardText.UseUtf8();
Action? reload = null;
using var signals = new Signals(IsTaken, isServer: true);
var configuration = new ConfigurationBuilder().AddEnvironmentVariables("CONFIDENTIALCHAT_GATEWAY_").AddCommandLine(args).Build();
try
{
    if (new ConfigurationBuilder().AddCommandLine(args).Build()[nameof(GatewayOptions.Postgres)] is { } written && GatewayOperator.HasPassword(written))
        throw new GatewayOptionsException(
            "--Postgres holds a password, which other users of this machine can read in its arguments.",
            "set CONFIDENTIALCHAT_GATEWAY_Postgres, or put the password into a file (mode 0600) that Passfile=FILE names");
    var options = Read() ?? new GatewayOptions { DataDirectory = "" };
    await using var gateway = await GatewayHost.CreateAsync(options, builder =>
    {
        builder.Configuration.AddConfiguration(configuration);
        Signals.LeaveTo(builder.Services);
    }, Console.Error.WriteLine, signals.Stopping);
    reload = gateway.Services.GetRequiredService<Reload>().Ask;
    var failures = ServiceFailures.Of(gateway);
    await gateway.RunAsync(signals.Stopping);
    return failures.Any ? 1 : 0;
}
catch (OperationCanceledException) when (signals.Stopping.IsCancellationRequested)
{
    return signals.ExitCode;
}
catch (GatewayOptionsException e)
{
    Console.Error.WriteLine($"error: {e.Message}\nhint: {e.Hint}");
    return 2;
}
catch (GatewayStateException e)
{
    Console.Error.WriteLine($"error: {e.Message}\nhint: {e.Hint}");
    return e.Fault is StateFault.Busy ? 8 : 1;
}

bool IsTaken(PosixSignal signal)
{
    if (signal is not PosixSignal.SIGHUP)
        return false;
    reload?.Invoke();
    return true;
}

GatewayOptions? Read()
{
    try
    {
        return configuration.Get<GatewayOptions>();
    }
    catch (InvalidOperationException e)
    {
        throw new GatewayOptionsException(e.Message, "docs/operating.md says which settings there are; GatewayOptions, of which kind each is", e);
    }
}
