// spec/gateway.md section 5 rule 6.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Gateway.Metering;

/// <summary>Nodes report what requests used. Every report is acknowledged, also one that changes nothing: repeating it is of no use.</summary>
internal static class UsageReportEndpoint
{
    public const int MaxReports = 1000;

    public static async Task<IResult> HandleAsync(
        HttpContext context, GatewayDbContext state, HotStatements hot, TimeProvider clock, ILogger<GatewayHost> log)
    {
        var (message, fault) = await NodeMessage.ReadAsync(context, state, NodeMessageJson.Default.UsageReports);
        if (message is null)
            return fault!;
        if (NodeMessage.SignedAt(message.Content.TimeMs, clock.GetUtcNow()) is null)
            return new ErrorAnswer(RequestError.AuthError);
        var reports = message.Content.Reports;
        if (reports.Count > MaxReports || reports.Any(report => report is null))
            return new ErrorAnswer(RequestError.InvalidField, "reports");
        if (reports.Any(report => report.Units < 0))
            return new ErrorAnswer(RequestError.InvalidField, "units");

        var outcomes = await hot.SettleAsync(message.Node, reports, context.RequestAborted);
        foreach (var (report, outcome) in reports.Zip(outcomes))
        {
            if (outcome is Settlement.Capped or Settlement.Late or Settlement.Released or Settlement.Unknown)
                log.OddReport(message.Node, report.Request, outcome);
        }

        var acknowledgement = new UsageAcknowledgement([.. reports.Select(report => report.Request).Distinct()]);
        return TypedResults.Json(acknowledgement, NodeMessageJson.Default.UsageAcknowledgement);
    }
}
