// The bare executable: options from CONFIDENTIALCHAT_GATEWAY_* in the environment, then from the command line (--DataDirectory=/srv/gateway).
using ConfidentialChat.Gateway;
using ConfidentialChat.Hosting;

var configuration = new ConfigurationBuilder().AddEnvironmentVariables("CONFIDENTIALCHAT_GATEWAY_").AddCommandLine(args).Build();
try
{
    var options = configuration.Get<GatewayOptions>() ?? new GatewayOptions { DataDirectory = "" };
    await using var gateway = await GatewayHost.CreateAsync(options, builder => builder.Configuration.AddConfiguration(configuration));
    var failures = ServiceFailures.Of(gateway);
    await gateway.RunAsync();
    return failures.Any ? 1 : 0;
}
catch (GatewayOptionsException e)
{
    Console.Error.WriteLine($"{e.Message}\nhint: {e.Hint}");
    return 2;
}
catch (GatewayStateException e)
{
    Console.Error.WriteLine($"{e.Message}\nhint: {e.Hint}");
    return 1;
}
