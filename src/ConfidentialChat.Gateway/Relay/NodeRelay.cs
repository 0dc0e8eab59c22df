// spec/gateway.md sections 4 and 5.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using Yarp.ReverseProxy.Forwarder;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>Sends an admitted request to its node and copies the answer as it comes.</summary>
internal sealed class NodeRelay(
    IHttpForwarder forwarder,
    NodeConnections connections,
    Ledger ledger,
    KnownNodes nodes,
    NodeLatency latency,
    RefusedBytes refused,
    GatewayOptions options,
    TimeProvider time,
    Seldom seldom,
    ILogger<NodeRelay> log)
{
    private const string Answered = "answered";

    private static readonly ForwarderRequestConfig Forwarding = new()
    {
        // Longer than a node waits for its engine (spec/inference.md section 3): who gives up first decides what the client learns.
        ActivityTimeout = TimeSpan.FromMinutes(20),
        AllowResponseBuffering = false,
        Version = System.Net.HttpVersion.Version11,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    /// <param name="context">The caller's.</param>
    /// <param name="admitted">What is asked.</param>
    /// <param name="body">What the node is sent; the caller's.</param>
    public async Task<IResult> SendAsync(HttpContext context, AdmittedRequest admitted, RelayBody body)
    {
        // 7 relay: the bytes as they came, with a token that says what they may use
        var started = time.GetTimestamp();
        var reservation = admitted.Reservation;
        var token = new RelayToken
        {
            Request = reservation.Request,
            Node = admitted.Node.Id,
            KeySet = admitted.KeySet,
            Endpoint = admitted.Route.Endpoint,
            Model = admitted.Model,
            Units = reservation.Held,
            Expires = time.GetUtcNow() + RelayToken.MaxLifetime,
        };
        var transformer = new RelayTransformer(admitted.Route, reservation, token.Write(admitted.Node.RelayKey!), ledger, time);

        // YARP reads what it sends from here.
        context.Request.Body = body;
        context.Request.ContentLength = body.KnownLength;

        // 8 copy what comes back as it comes
        using var guard = StallGuard.Watch(context, options.StalledReaderTimeout, time);
        var address = admitted.Node.Address;
        var error = await forwarder.SendAsync(
            context, address.Prefix, connections.To(address), Forwarding, transformer, context.RequestAborted);

        if (transformer is { Answer.Kind: NodeAnswerKind.Accepted, AnsweredAt: { } answered })
            latency.Note(admitted.Node.Id, time.GetElapsedTime(started, answered));

        // 9 settle: the report comes by itself; here the lock goes back, or not
        var (outcome, answer) = await EndAsync(context, admitted, reservation, transformer.Answer, error, body);
        if (transformer.Answer is { Kind: NodeAnswerKind.Refused, Rejection: { } rejection } && rejection.Error.Row().Retry is Retry.No)
            refused.Count(admitted.User, body.Sent);
        if (outcome is not Answered && !options.LogRequests && !seldom.Says($"Requests that ended with \"{outcome}\", of user", admitted.User.Value))
            return answer;
        log.Relayed(
            outcome is Answered && !options.LogRequests ? LogLevel.Debug : LogLevel.Information,
            reservation.Request, admitted.User, admitted.Node.Id, reservation.Held, body.Sent, outcome,
            (long)time.GetElapsedTime(started).TotalMilliseconds);
        return answer;
    }

    // Rules 3 to 5 of section 5. What the client is told is written after what became of its lock.
    private async Task<(string Outcome, IResult Answer)> EndAsync(
        HttpContext context, AdmittedRequest admitted, Reservation reservation, NodeAnswer? answer, ForwarderError error, RelayBody body)
    {
        var node = admitted.Node.Id;
        switch (answer?.Kind)
        {
            case NodeAnswerKind.Accepted when error is ForwarderError.None:
                return (Answered, TypedResults.Empty);

            // Bytes are out: YARP has broken the connection off. None are: the error can still be told.
            case NodeAnswerKind.Accepted:
                SayBroken(context, node, error);
                return (error.ToString(), Tell(context, body, RequestError.InternalError));

            case NodeAnswerKind.JunkAnswer:
                SayJunk(node, answer);
                return ("junk", Tell(context, body, RequestError.InternalError));

            // The engine has worked for it: as after a 200, the units wait for the node's report.
            case NodeAnswerKind.Refused when answer.Rejection!.Error.Row() is { SpendsLock: true } row:
                ledger.Spend(reservation);
                return (row.Code, Tell(context, body, new ErrorAnswer(answer.Rejection)));

            case NodeAnswerKind.Refused:
                await ReturnAsync(reservation, release: true);
                return (answer.Rejection!.Error.Row().Code, Tell(context, body, Refusal(answer)));

            case NodeAnswerKind.TokenRefused:
                if (seldom.Says("Relay tokens refused by node", node.Value))
                    log.TokenRefused(node);
                await ReturnAsync(reservation, release: true);
                return ("token refused", Tell(context, body, RequestError.InternalError));

            case NodeAnswerKind.JunkRefusal:
                SayJunk(node, answer);
                await ReturnAsync(reservation, release: true);
                return ("junk", Tell(context, body, RequestError.InternalError));
        }

        // Cut off before the head of an answer. A body that nobody read from was never sent, so nothing can have been computed.
        await ReturnAsync(reservation, release: !body.WasRead);
        if (context.RequestAborted.IsCancellationRequested)
            return ("client gone", TypedResults.Empty);
        if (body.Fault is { } fault)
            return (fault.Row().Code, Tell(context, body, fault));
        if (body.WasRead)
        {
            SayBroken(context, node, error);
            var told = error is ForwarderError.RequestTimedOut ? RequestError.InferenceTimeout : RequestError.InternalError;
            return (error.ToString(), Tell(context, body, told));
        }

        var exception = context.GetForwarderErrorFeature()?.Exception;
        var reason = exception is HttpRequestException { HttpRequestError: var known } ? known : (HttpRequestError?)null;
        if (seldom.Says("Attempts that did not reach node", node.Value))
            log.NotReached(node, reason?.ToString() ?? error.ToString());
        // A host that drops packets: the connection's own timeout comes as a cancellation.
        if (reason is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError
            || exception is OperationCanceledException { InnerException: TimeoutException })
            await nodes.MarkUnreachableAsync(admitted.Node.Address);
        return ("not reached", Tell(context, body, new ErrorAnswer(RequestError.ServiceUnavailable) { Forwarded = false }));
    }

    // Where that cannot be written the answer is the same: the units wait for the node's report, and the lock for the next start.
    private async Task ReturnAsync(Reservation reservation, bool release)
    {
        try
        {
            await ledger.ReturnAsync(reservation, release);
        }
        catch (GatewayStateException)
        {
            // who met it first has logged it
        }
    }

    private void SayJunk(NodeId node, NodeAnswer answer)
    {
        if (seldom.Says("Junk answers of node", node.Value))
            log.JunkAnswer(node, answer.Status);
    }

    // Of what the forwarder met only the kind: its own words, and the HTTP library's, quote the node.
    private void SayBroken(HttpContext context, NodeId node, ForwarderError error)
    {
        if (error is not (ForwarderError.Request or ForwarderError.RequestTimedOut
                or ForwarderError.RequestBodyDestination or ForwarderError.ResponseBodyDestination)
            || !seldom.Says("Broken answers of node", node.Value))
            return;
        var kind = HttpRequestError.Unknown;
        for (var exception = context.GetForwarderErrorFeature()?.Exception;
            exception is not null && kind is HttpRequestError.Unknown;
            exception = exception.InnerException)
            kind = exception switch { HttpRequestException e => e.HttpRequestError, HttpIOException e => e.HttpRequestError, _ => kind };
        log.Broken(node, error, kind);
    }

    // Who has no seat for a request reads nothing of it.
    private static ErrorAnswer Refusal(NodeAnswer answer) => new(answer.Rejection!, answer.RetryAfterSeconds)
    {
        Forwarded = answer.Rejection!.Error is RequestError.TooManyRequests or RequestError.ServiceUnavailable ? false : null,
    };

    private static IResult Tell(HttpContext context, RelayBody body, RequestError error) => Tell(context, body, new ErrorAnswer(error));

    private static IResult Tell(HttpContext context, RelayBody body, ErrorAnswer answer)
    {
        if (context.Response.HasStarted || context.RequestAborted.IsCancellationRequested)
            return TypedResults.Empty;
        context.ClearAnswer();
        if (body.Fault is not null)
            context.Response.Headers.Connection = "close"; // nobody asks for the rest
        return answer;
    }
}
