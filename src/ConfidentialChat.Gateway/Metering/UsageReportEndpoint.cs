// spec/gateway.md section 5 rule 6; spec/vouchers.md sections 5 and 6.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>
/// Nodes report what requests used, those with evidence by vouchers. Every report is acknowledged, also one that changes nothing: repeating it
/// is of no use.
/// </summary>
internal sealed class UsageReportEndpoint(
    NodeMessages messages, VoucherCheck check, Ledger ledger, Seldom seldom, ILogger<UsageReportEndpoint> log)
{
    /// <summary>Vouchers among them.</summary>
    public const int MaxReports = 1000;
    public const int MaxBytes = 1024 * 1024;

    public async Task<IResult> HandleAsync(HttpContext context)
    {
        var (node, message, fault) = await messages.ReadAsync(context, NodeMessageJson.Default.UsageReports, MaxBytes);
        if (message is null || node is null)
            return fault!;
        using var received = message;
        var reports = message.Content.Reports;
        var vouchers = message.Content.Vouchers ?? [];
        if (reports.Count > MaxReports || reports.Any(report => report is null))
            return new ErrorAnswer(RequestError.InvalidField, "reports");
        if (vouchers.Count > MaxReports - reports.Count || vouchers.Any(voucher => voucher is null))
            return new ErrorAnswer(RequestError.InvalidField, "vouchers");
        if (reports.Select(report => report.FaultIn()).FirstOrDefault(field => field is not null) is { } part)
            return new ErrorAnswer(RequestError.InvalidField, part);

        var judged = vouchers.Count == 0 ? [] : await check.JudgeAsync(node, vouchers, context.RequestAborted);
        var reported = new List<ReportedUsage>(reports.Count + judged.Count);
        reported.AddRange(reports.Select(report => new ReportedUsage(report, Signed: null)));
        var acknowledged = reports.Select(report => report.Request).ToHashSet();
        foreach (var voucher in judged)
        {
            if (voucher.Outcome == VoucherOutcome.Awaited)
                continue;
            acknowledged.Add(voucher.Request);
            if (voucher.Reported is { } good)
                reported.Add(good);
            else if (seldom.Says($"Vouchers ({voucher.Outcome}) of node", node.Id.Value))
                log.VoucherRefused(node.Id, voucher.Request, voucher.Outcome);
        }

        var outcomes = await ledger.SettleAsync(node.Id, reported);
        foreach (var ((report, _), outcome) in reported.Zip(outcomes))
        {
            if (outcome is Settlement.Capped or Settlement.Late or Settlement.Released or Settlement.Unknown or Settlement.Unsigned
                && seldom.Says($"Usage reports ({outcome}) of node", node.Id.Value))
                log.OddReport(node.Id, report.Request, outcome);
        }

        return new JsonAnswer<UsageAcknowledgement>(new([.. acknowledged]), NodeMessageJson.Default.UsageAcknowledgement);
    }
}
