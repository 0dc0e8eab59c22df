// docs/operating.md, "Exit codes".
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ConfidentialChat.Hosting;

/// <summary>
/// The background services of a server, to be asked when it has ended: one that fails stops the host, which says so in its log and ends
/// as if it had been told to, so that a supervisor would see success and start nothing anew.
/// </summary>
internal sealed class ServiceFailures
{
    private readonly BackgroundService[] services;

    private ServiceFailures(BackgroundService[] services) => this.services = services;

    /// <summary>Whether one has failed.</summary>
    public bool Any => Array.Exists(services, service => service.ExecuteTask is { IsFaulted: true });

    /// <param name="host">Before it runs: afterwards it may be disposed of.</param>
    public static ServiceFailures Of(IHost host) => new([.. host.Services.GetServices<IHostedService>().OfType<BackgroundService>()]);
}
