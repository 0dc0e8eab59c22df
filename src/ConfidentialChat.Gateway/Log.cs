using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;
using Yarp.ReverseProxy.Forwarder;

namespace ConfidentialChat.Gateway;

/// <summary>Everything that the gateway logs: ids, sizes, durations, codes. Never keys, tokens, bodies or hashes of them.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "Gateway listens on {Address}.")]
    public static partial void Listening(this ILogger log, string address);

    [LoggerMessage(2, LogLevel.Error, "A request failed inside the gateway.")]
    public static partial void Unhandled(this ILogger log, Exception exception);

    [LoggerMessage(EventId = 3, Message = "Request {Request}: user {User}, node {Node}, {Held} units held, {BodyBytes} bytes, {Outcome} after {Milliseconds} ms.")]
    public static partial void Relayed(
        this ILogger log, LogLevel level, RequestId request, UserId user, NodeId node, ComputeUnits held, long bodyBytes, string outcome, long milliseconds);

    [LoggerMessage(4, LogLevel.Error, "Node {Node} refuses the gateway's relay tokens: enrol it anew, or set the clocks.")]
    public static partial void TokenRefused(this ILogger log, NodeId node);

    [LoggerMessage(5, LogLevel.Warning, "Node {Node} answered with status {Status} and nothing that the protocol knows.")]
    public static partial void JunkAnswer(this ILogger log, NodeId node, int status);

    [LoggerMessage(6, LogLevel.Warning, "Node {Node} is not reached ({Error}); it gets no locks until it is reached again. A node of an earlier version that stays so has to be updated: it does not ask to be tried anew.")]
    public static partial void NotReached(this ILogger log, NodeId node, string error);

    [LoggerMessage(7, LogLevel.Information, "Node {Node} is enrolled.")]
    public static partial void Enrolled(this ILogger log, NodeId node);

    [LoggerMessage(8, LogLevel.Warning, "Usage report of node {Node} for request {Request}: {Outcome}.")]
    public static partial void OddReport(this ILogger log, NodeId node, Guid request, Settlement outcome);

    [LoggerMessage(9, LogLevel.Warning, "Node {Node} did not report {Requests} requests in time; they are released unpaid.")]
    public static partial void Unreported(this ILogger log, NodeId node, int requests);

    [LoggerMessage(10, LogLevel.Error, "The sweep of locks and reservations failed; it is tried again.")]
    public static partial void SweepFailed(this ILogger log, Exception exception);

    [LoggerMessage(11, LogLevel.Error, "What other processes changed could not be read; it is tried again.")]
    public static partial void RefreshFailed(this ILogger log, Exception exception);

    /// <param name="log">Where to.</param>
    /// <param name="node">Whose answer it was.</param>
    /// <param name="error">How far it had come.</param>
    /// <param name="kind">What was wrong with it, as the HTTP library counts; of its words none, because they quote the node.</param>
    [LoggerMessage(12, LogLevel.Warning, "Node {Node} did not keep to HTTP, or broke its answer off ({Error}, {Kind}).")]
    public static partial void Broken(this ILogger log, NodeId node, ForwarderError error, HttpRequestError kind);

    [LoggerMessage(13, LogLevel.Error, "The database took none of {Changes} changes; requests are answered 503, and it is tried again.")]
    public static partial void NotWritten(this ILogger log, long changes, Exception exception);

    [LoggerMessage(14, LogLevel.Information, "The database takes changes again.")]
    public static partial void WrittenAgain(this ILogger log);

    [LoggerMessage(15, LogLevel.Warning, "The clock of {Node} is {Seconds} s {Direction} this gateway's, and its messages are refused until both are set. hint: let a time service (NTP) set the clocks of both machines")]
    public static partial void ClockIsOff(this ILogger log, string node, long seconds, string direction);

    /// <param name="log">Where to.</param>
    /// <param name="node">Which.</param>
    /// <param name="from">Scheme, host and port.</param>
    /// <param name="to">Alike.</param>
    [LoggerMessage(16, LogLevel.Information, "Node {Node} has moved from {From} to {To}, and answers there.")]
    public static partial void Moved(this ILogger log, NodeId node, string from, string to);

    [LoggerMessage(17, LogLevel.Warning, "Node {Node} says that it is at {Tried}, and does not answer there as itself. Its requests go to {Used}, {How}.")]
    public static partial void NotFound(this ILogger log, NodeId node, string tried, string used, string how);

    [LoggerMessage(18, LogLevel.Warning, "A message ({What}) of node {Node} is refused: {Reason}.")]
    public static partial void NodeRefused(this ILogger log, string what, NodeId node, string reason);

    [LoggerMessage(19, LogLevel.Warning, "A message ({What}) of a node that is not enrolled is refused: {Reason}.")]
    public static partial void StrangerRefused(this ILogger log, string what, string reason);

    [LoggerMessage(20, LogLevel.Warning, "Of {All} nodes {Closed} have no relay key that this gateway.key opens, and have to enrol anew. hint: restore the gateway.key that belongs to this database, or make a token for each: cchat nodes token")]
    public static partial void NodesClosed(this ILogger log, int closed, int all);

    [LoggerMessage(21, LogLevel.Error, "Two processes run as node {Node}: the one that began to speak last is heard, the other refused. hint: a copy of a node's data directory is the same node; give the copy an empty directory and a token of its own (cchat nodes token)")]
    public static partial void Doubled(this ILogger log, NodeId node);

    [LoggerMessage(22, LogLevel.Warning, "Node {Node} gave a bundle that is not the one that it announced, or not of these keys: its callers get none.")]
    public static partial void OtherBundle(this ILogger log, NodeId node);

    [LoggerMessage(23, LogLevel.Error, "The file collateral/{Name} is not what its name says, and is given to nobody. hint: its name is the SHA-256 of its content")]
    public static partial void OtherCollateral(this ILogger log, string name);

    [LoggerMessage(24, LogLevel.Warning, "A voucher of node {Node} for request {Request} is refused: {Outcome}. spec/vouchers.md section 6 says what that is.")]
    public static partial void VoucherRefused(this ILogger log, NodeId node, Guid request, VoucherOutcome outcome);

    [LoggerMessage(25, LogLevel.Error, "A node's signing key could not be fetched or kept; it is tried again.")]
    public static partial void NoSigningKey(this ILogger log, Exception exception);
}
