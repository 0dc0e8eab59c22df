using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node;

/// <summary>Everything that the node logs: ids, sizes, durations, codes. Never keys, tokens, prompts, answers or hashes of them.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "Enrolled as node {Node} of {Gateway}.")]
    public static partial void Enrolled(this ILogger log, NodeId node, Uri gateway);

    [LoggerMessage(2, LogLevel.Warning, "The enrolment at {Gateway} was made before nodes and gateways agreed on relay keys, and counts as none: the node has to enrol anew. hint: at the gateway: cchat nodes token; here: export CONFIDENTIALCHAT_ENROLMENT_TOKEN=cce_...")]
    public static partial void EnrolmentOutdated(this ILogger log, Uri gateway);

    [LoggerMessage(3, LogLevel.Warning, "The gateway at {Gateway} was not reached for {Path}.")]
    public static partial void GatewayNotReached(this ILogger log, Uri gateway, string path);

    [LoggerMessage(4, LogLevel.Warning, "The gateway answered {Path} with {Status}.")]
    public static partial void GatewayRefused(this ILogger log, string path, int status);

    [LoggerMessage(5, LogLevel.Error, "The answer of {Gateway} to the enrolment is not one that it signed, or is none at all. Nothing of it is kept.")]
    public static partial void EnrolmentNotSigned(this ILogger log, Uri gateway);

    [LoggerMessage(6, LogLevel.Critical, "This node is not enrolled at {Gateway}, and no enrolment secret was given. The node stops. hint: at the gateway: cchat nodes token; here: export CONFIDENTIALCHAT_ENROLMENT_TOKEN=cce_...")]
    public static partial void NoEnrolment(this ILogger log, Uri gateway);

    [LoggerMessage(7, LogLevel.Critical, "{Gateway} does not know this node, and there is no enrolment token that it takes. The node stops. hint: make a token at the gateway (cchat nodes token) and start the node with it; where a copy of this node's data directory is in use elsewhere, give the copy an empty one.")]
    public static partial void NotEnrolled(this ILogger log, Uri gateway);

    [LoggerMessage(8, LogLevel.Warning, "An engine came or went: {Alive} of {Models} models are served.")]
    public static partial void EngineChanged(this ILogger log, int alive, int models);

    [LoggerMessage(9, LogLevel.Information, "Node keys changed: {Keys} held.")]
    public static partial void KeysChanged(this ILogger log, int keys);

    /// <param name="log">Where to.</param>
    /// <param name="level">Debug for what went well, unless the operator asks for it.</param>
    /// <param name="request">Which.</param>
    /// <param name="outcome">A code.</param>
    /// <param name="used">What is reported.</param>
    /// <param name="elapsed">Since its token was taken.</param>
    public static void Ended(this ILogger log, LogLevel level, RequestId request, string outcome, Usage used, TimeSpan elapsed)
    {
        if (log.IsEnabled(level))
            log.Ended(level, request, outcome, used.PromptTokens, used.CompletionTokens, used.Pixels, (long)elapsed.TotalMilliseconds);
    }

    [LoggerMessage(EventId = 10, Message = "Request {Request}: {Outcome}, {PromptTokens} + {CompletionTokens} tokens, {Pixels} pixels, {Milliseconds} ms.")]
    private static partial void Ended(
        this ILogger log, LogLevel level, RequestId request, string outcome, long promptTokens, long completionTokens, long pixels, long milliseconds);

    [LoggerMessage(11, LogLevel.Error, "Request {Request}: the engine failed ({Failure}).")]
    public static partial void EngineFailed(this ILogger log, RequestId request, InferenceFailure failure, Exception exception);

    [LoggerMessage(12, LogLevel.Error, "The usage report of request {Request} was given up: too many wait for the gateway.")]
    public static partial void ReportGivenUp(this ILogger log, Guid request);

    [LoggerMessage(13, LogLevel.Error, "{Reports} usage reports were not delivered before the node stopped.")]
    public static partial void ReportsLost(this ILogger log, int reports);

    [LoggerMessage(14, LogLevel.Error, "Request {Request} failed inside the node.")]
    public static partial void Unhandled(this ILogger log, RequestId request, Exception exception);

    [LoggerMessage(15, LogLevel.Error, "A request failed inside the node.")]
    public static partial void Failed(this ILogger log, Exception exception);

    [LoggerMessage(16, LogLevel.Error, "There is no evidence for new node keys; the node tries again.")]
    public static partial void NoEvidence(this ILogger log, Exception exception);

    [LoggerMessage(17, LogLevel.Error, "The clock of this node is {Seconds} s {Direction} that of {Gateway} ({Here:yyyy-MM-dd HH:mm:ss} here, {There:yyyy-MM-dd HH:mm:ss} there): the gateway refuses whatever is further away than {Tolerance} s. The node tries again. hint: let a time service (NTP) set the clocks of both machines")]
    public static partial void ClockIsOff(
        this ILogger log, Uri gateway, long seconds, string direction, DateTimeOffset here, DateTimeOffset there, double tolerance);

    [LoggerMessage(18, LogLevel.Error, "A relay token of the gateway ends in {Seconds} s by this node's clock, and none may be further away than from -{Tolerance} to {Most} s: the clocks are apart. The request is refused. hint: let a time service (NTP) set the clocks of both machines")]
    public static partial void RelayTimeIsOff(this ILogger log, long seconds, double tolerance, double most);

    [LoggerMessage(19, LogLevel.Error, "{Gateway} does not reach this node at {Tried}, and sends its requests to {Used}. The node asks it to try again. hint: --address names where the gateway reaches the node; is the port open, and does nothing else answer there?")]
    public static partial void NotReached(this ILogger log, Uri gateway, Uri tried, Uri used);

    [LoggerMessage(20, LogLevel.Error, "{Gateway} does not take {Tried} as this node's address. hint: a node that was enrolled with https stays with https, or enrols anew; plain HTTP is for loopback addresses")]
    public static partial void AddressRefused(this ILogger log, Uri gateway, Uri tried);

    [LoggerMessage(21, LogLevel.Information, "New handshakes show the new certificate in tls.p12.")]
    public static partial void CertificateTaken(this ILogger log);

    [LoggerMessage(22, LogLevel.Warning, "The certificate in use stays, because the one on the disk is not good: {Why} hint: {Hint}")]
    public static partial void CertificateKept(this ILogger log, string why, string hint);

    [LoggerMessage(23, LogLevel.Warning, "The TLS key of this node is another one now. The gateway pins the one before, and is told now.")]
    public static partial void TlsKeyChanged(this ILogger log);

    [LoggerMessage(24, LogLevel.Error, "The decode loop failed; the engine takes no more requests.")]
    public static partial void DecodeLoopFailed(this ILogger log, Exception exception);

    [LoggerMessage(25, LogLevel.Error, "llama_decode failed with {Code} for {Requests} requests.")]
    public static partial void DecodeFailed(this ILogger log, int code, int requests);

    [LoggerMessage(26, LogLevel.Error, "The model computed logits that are no numbers.")]
    public static partial void LogitsAreNoNumbers(this ILogger log);

    [LoggerMessage(27, LogLevel.Error, "A challenge got no evidence.")]
    public static partial void NoLiveEvidence(this ILogger log, Exception exception);

    [LoggerMessage(28, LogLevel.Warning, "The file vouchers holds {Lines} lines that are none that a node writes, or were cut off: they are skipped.")]
    public static partial void VouchersSkipped(this ILogger log, int lines);

    [LoggerMessage(29, LogLevel.Error, "Vouchers could not be written to the file vouchers: until they are, they are in memory alone. hint: is there room on the disk?")]
    public static partial void VouchersNotWritten(this ILogger log, Exception exception);

    [LoggerMessage(30, LogLevel.Warning, "{Vouchers} vouchers wait in the file vouchers: the node delivers them when it starts again.")]
    public static partial void VouchersWait(this ILogger log, int vouchers);
}
