// spec/gateway.md section 5, rule 6.
using System.Collections.Concurrent;
using System.Net;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Metering;

/// <summary>Tells the gateway what each request used, again and again until it is acknowledged.</summary>
internal sealed class UsageReporter(GatewayClient gateway, GatewayEnrolment enrolment, Seldom seldom, ILogger<UsageReporter> log) : BackgroundService
{
    private const int MaxBatch = 500;

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

    public void Report(RelayToken token, Usage usage)
    {
        var id = token.Request.Value;
        pending[id] = UsageReport.Of(token, usage);
        order.Enqueue(id); // after its report: an id without one has been acknowledged
        while (order.Count > MaxPending && order.TryDequeue(out var oldest))
        {
            if (pending.TryRemove(oldest, out _) && seldom.Says("Usage reports given up"))
                log.ReportGivenUp(oldest);
        }

        if (news.CurrentCount == 0)
            news.Release();
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);

        // A time of its own: where draining has used up the host's, the longest answers are still to be reported.
        using var last = new CancellationTokenSource(LastTry);
        try
        {
            while (!pending.IsEmpty)
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
    }

    public override void Dispose()
    {
        news.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var retry = MinRetry;
        try
        {
            while (true)
            {
                if (pending.IsEmpty)
                    await news.WaitAsync(stoppingToken);
                if (order.Count < MaxBatch)
                    await Task.Delay(Gathering, stoppingToken);
                if (await DeliverAsync(stoppingToken))
                {
                    retry = MinRetry;
                }
                else
                {
                    await Task.Delay(retry, stoppingToken);
                    retry = retry * 2 < MaxRetry ? retry * 2 : MaxRetry;
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
    }

    private async Task<bool> DeliverAsync(CancellationToken cancellation)
    {
        if (pending.IsEmpty)
            return true;
        if (enrolment.Current is not { } enrolled)
            return false;
        var batch = new UsageReports { Reports = [.. pending.Take(MaxBatch).Select(report => report.Value)] };
        using var answer = await gateway.PostAsync(NodePaths.UsageReports, batch, NodeMessageJson.Default.UsageReports, enrolled, cancellation);
        if (answer is not { StatusCode: HttpStatusCode.OK })
            return false;
        var body = await GatewayClient.ReadAsync(answer, NodeMessageJson.Default.UsageAcknowledgement, cancellation);
        if (body is null)
            return false;
        // An answer that acknowledges nothing is no progress: taken for it, the node would ask without pause.
        var progress = false;
        foreach (var id in body.Acknowledged)
            progress |= pending.TryRemove(id, out _);
        while (order.TryPeek(out var oldest) && !pending.ContainsKey(oldest))
            order.TryDequeue(out _);
        return progress;
    }
}
