// spec/gateway.md section 5, rule 6; spec/vouchers.md sections 4 and 5.
using System.Collections.Concurrent;
using System.Net;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;

namespace ConfidentialChat.Node.Metering;

/// <summary>
/// Tells the gateway what each request used, again and again until it is acknowledged: a node with evidence by vouchers, which wait in the
/// outbox, another, which has no vouching, by reports, which wait in memory.
/// </summary>
internal sealed class UsageReporter(
    GatewayClient gateway, GatewayEnrolment enrolment, Seldom seldom, ILogger<UsageReporter> log, Vouching? vouchers = null) : BackgroundService
{
    private const int MaxBatch = 500;

    /// <summary>Of vouchers in base64: a message has a mebibyte, and names and ids come to it.</summary>
    private const int MaxCharacters = 768 * 1024;

    /// <summary>Between two signatures: what ends meanwhile is signed together.</summary>
    private static readonly TimeSpan SigningPace = TimeSpan.FromMilliseconds(10);

    /// <summary>How long what was written may be the system's alone.</summary>
    private static readonly TimeSpan SyncPace = TimeSpan.FromSeconds(1);

    /// <summary>How long the first of a message waits for others: a message for each would cost a signature and a request each.</summary>
    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(100);

    /// <summary>Reports kept for a gateway that does not answer; the oldest give way.</summary>
    private const int MaxPending = 100_000;

    private static readonly TimeSpan MinRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxRetry = TimeSpan.FromSeconds(30);

    /// <summary>How long a stopping node still tries; its own time, because the drain may have used up the host's.</summary>
    private static readonly TimeSpan LastTry = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LastRetry = TimeSpan.FromMilliseconds(250);

    private readonly ConcurrentDictionary<Guid, UsageReport> pending = new();
    private readonly ConcurrentQueue<Guid> order = new();
    private readonly SemaphoreSlim news = new(0);
    private readonly SemaphoreSlim ended = new(0);

    /// <summary>A request has ended.</summary>
    /// <param name="token">Its token.</param>
    /// <param name="usage">Exactly.</param>
    /// <param name="multiple">To which a voucher has it rounded up.</param>
    public void Report(RelayToken token, Usage usage, int multiple = 1)
    {
        if (vouchers is not null)
        {
            vouchers.Desk.Take(token, usage, multiple);
            Tell(ended);
            return;
        }

        var id = token.Request.Value;
        pending[id] = UsageReport.Of(token, usage);
        order.Enqueue(id); // after its report: an id without one has been acknowledged
        while (order.Count > MaxPending && order.TryDequeue(out var oldest))
        {
            if (pending.TryRemove(oldest, out _) && seldom.Says("Usage reports given up"))
                log.ReportGivenUp(oldest);
        }

        Tell(news);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);

        vouchers?.Desk.SignAll();

        // A time of its own: where draining has used up the host's, the longest answers are still to be reported.
        using var last = new CancellationTokenSource(LastTry);
        try
        {
            while (HasSomething)
            {
                if (!await DeliverAsync(last.Token))
                    await Task.Delay(LastRetry, last.Token);
            }
        }
        catch (OperationCanceledException)
        {
        }

        if (!pending.IsEmpty)
            log.ReportsLost(pending.Count);
        if (vouchers is { Outbox.Count: > 0 and var left })
            log.VouchersWait(left);
    }

    public override void Dispose()
    {
        news.Dispose();
        ended.Dispose();
        base.Dispose();
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => vouchers is null
        ? DeliverAllAsync(stoppingToken)
        : Task.WhenAll(DeliverAllAsync(stoppingToken), SignAllAsync(vouchers.Desk, stoppingToken), SyncAllAsync(vouchers.Outbox, stoppingToken));

    private bool HasSomething => !pending.IsEmpty || vouchers is { Outbox.Count: > 0 };

    private static void Tell(SemaphoreSlim whom)
    {
        if (whom.CurrentCount == 0)
            whom.Release();
    }

    private async Task SignAllAsync(VoucherDesk desk, CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                if (desk.IsEmpty)
                    await ended.WaitAsync(stopping);
                desk.SignAll();
                Tell(news);
                await Task.Delay(SigningPace, stopping);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private static async Task SyncAllAsync(Outbox outbox, CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(SyncPace);
        try
        {
            while (await timer.WaitForNextTickAsync(stopping))
                outbox.Sync();
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private async Task DeliverAllAsync(CancellationToken stopping)
    {
        var retry = MinRetry;
        try
        {
            while (true)
            {
                if (!HasSomething)
                    await news.WaitAsync(stopping);
                if (order.Count < MaxBatch)
                    await Task.Delay(Gathering, stopping);
                if (await DeliverAsync(stopping))
                {
                    retry = MinRetry;
                }
                else
                {
                    await Task.Delay(retry, stopping);
                    retry = retry * 2 < MaxRetry ? retry * 2 : MaxRetry;
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    // Whether something was acknowledged, or there was nothing to deliver.
    private async Task<bool> DeliverAsync(CancellationToken cancellation)
    {
        if (!HasSomething)
            return true;
        if (enrolment.Current is not { } enrolled)
            return false;
        var signed = vouchers?.Outbox.Next(SignedVoucher.AudienceOf(enrolled.GatewayKey), MaxBatch, MaxCharacters);
        var batch = new UsageReports
        {
            Reports = [.. pending.Take(MaxBatch).Select(report => report.Value)],
            Vouchers = signed is { Count: > 0 } ? signed : null,
        };
        if (batch.Reports.Count == 0 && batch.Vouchers is null)
            return false; // what waits is for another gateway
        using var answer = await gateway.PostAsync(NodePaths.UsageReports, batch, NodeMessageJson.Default.UsageReports, enrolled, cancellation);
        if (answer is not { StatusCode: HttpStatusCode.OK })
            return false;
        var body = await GatewayClient.ReadAsync(answer, NodeMessageJson.Default.UsageAcknowledgement, cancellation);
        if (body is null)
            return false;
        // An answer that acknowledges nothing is no progress: taken for it, the node would ask without pause.
        var progress = vouchers?.Outbox.Acknowledge(body.Acknowledged) > 0;
        foreach (var id in body.Acknowledged)
            progress |= pending.TryRemove(id, out _);
        while (order.TryPeek(out var oldest) && !pending.ContainsKey(oldest))
            order.TryDequeue(out _);
        return progress;
    }
}

/// <summary>Where vouchers are signed, and where they wait.</summary>
internal sealed record Vouching(VoucherDesk Desk, Outbox Outbox);
