// spec/gateway.md section 5 rules 7 and 8.
using System.Data.Common;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Gateway.State;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>Ends locks and reservations whose time has come.</summary>
internal sealed class Sweeper(HotStatements hot, InFlight inFlight, GatewayOptions options, TimeProvider clock, ILogger<Sweeper> log) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    public async Task SweepAsync(CancellationToken cancel)
    {
        var swept = await hot.SweepAsync(inFlight.Relays, options.ReportDeadline, cancel);
        foreach (var node in swept.Overdue.CountBy(node => node))
            log.Unreported(node.Key, node.Value);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await SweepAsync(stoppingToken);
            }
            catch (Exception e) when (e is DbException or InvalidOperationException)
            {
                log.SweepFailed(e); // the database is busy or gone; requests say so for themselves
            }
        }
    }
}
