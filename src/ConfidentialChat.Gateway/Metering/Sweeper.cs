// spec/gateway.md section 5 rules 3, 7 and 8.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>Ends locks and reservations whose time has come.</summary>
internal sealed class Sweeper(
    Ledger ledger, InFlight inFlight, KnownApiKeys apiKeys, GatewayOptions options, TimeProvider time, Seldom seldom, ILogger<Sweeper> log) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    /// <summary>A running request's deadline is as exact as a hundredth of it: not each is written at every sweep.</summary>
    private const int DeadlineParts = 100;

    private static readonly TimeSpan RefundInterval = TimeSpan.FromSeconds(10);

    private long? refunded; // when stacks of removed nodes were last looked for

    public async Task SweepAsync()
    {
        apiKeys.WriteUses();
        var refunds = refunded is not { } last || time.GetElapsedTime(last) >= RefundInterval;
        var overdue = await ledger.SweepAsync(
            inFlight.TakeDue(options.ReportDeadline / DeadlineParts), options.ReportDeadline, options.VoucherRetention, refunds);
        if (refunds)
            refunded = time.GetTimestamp();
        foreach (var node in overdue.CountBy(node => node))
        {
            if (seldom.Says("Times that reports were missing, of node", node.Key.Value))
                log.Unreported(node.Key, node.Value);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await SweepAsync();
            }
            catch (GatewayStateException)
            {
                // the database is busy, full or gone: what is due waits, and who met it first has logged it
            }
            catch (Exception e)
            {
                if (seldom.Says("Sweeps that failed"))
                    log.SweepFailed(e);
            }
        }
    }
}
