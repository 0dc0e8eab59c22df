// spec/gateway.md section 5 rule 6.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>Nodes report what requests used. Every report is acknowledged, also one that changes nothing: repeating it is of no use.</summary>
internal sealed class UsageReportEndpoint(
    NodeMessages messages, Ledger ledger, Seldom seldom, ILogger<UsageReportEndpoint> log)
{
    public const int MaxReports = 1000;
    public const int MaxBytes = 1024 * 1024;

    public async Task<IResult> HandleAsync(HttpContext context)
    {
        var (node, message, fault) = await messages.ReadAsync(context, NodeMessageJson.Default.UsageReports, MaxBytes);
        if (message is null || node is null)
            return fault!;
        using var received = message;
        var reports = message.Content.Reports;
        if (reports.Count > MaxReports || reports.Any(report => report is null))
            return new ErrorAnswer(RequestError.InvalidField, "reports");
        if (reports.Select(report => report.FaultIn()).FirstOrDefault(field => field is not null) is { } part)
            return new ErrorAnswer(RequestError.InvalidField, part);

        var outcomes = await ledger.SettleAsync(node.Id, reports);
        foreach (var (report, outcome) in reports.Zip(outcomes))
        {
            if (outcome is Settlement.Capped or Settlement.Late or Settlement.Released or Settlement.Unknown
                && seldom.Says($"Usage reports ({outcome}) of node", node.Id.Value))
                log.OddReport(node.Id, report.Request, outcome);
        }

        return new JsonAnswer<UsageAcknowledgement>(
            new([.. reports.Select(report => report.Request).Distinct()]), NodeMessageJson.Default.UsageAcknowledgement);
    }
}
