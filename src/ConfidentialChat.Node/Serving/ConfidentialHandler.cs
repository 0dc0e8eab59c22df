// spec/gateway.md section 4. Steps 10 to 12 of docs/architecture.md.
using System.Diagnostics;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Metering;
using ConfidentialChat.Node.Relay;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Serving;

/// <summary>One confidential request, from the gateway's token to the last sealed byte, whichever envelope it came in.</summary>
internal sealed class ConfidentialHandler(
    RelayTokenCheck tokens,
    Seating seating,
    IInferenceBackend engine,
    UsageReporter usage,
    NodeOptions options,
    TimeProvider time,
    Seldom seldom,
    ILogger<ConfidentialHandler> log)
{
    public async Task ServeAsync(HttpContext http, IEnvelopeDoor door)
    {
        // 10 who sends this: the enrolled gateway, with a fresh token, or nobody.
        if (!tokens.TryAccept(http.Request.Headers[RelayToken.HeaderName], door.Endpoint, out var token))
        {
            await door.RefuseAsync(http.Response, new Refusal(RequestError.AuthError));
            return;
        }

        http.Recognise(maxBodyBytes: null); // the door bounds it, and answers in its own shape
        var began = time.GetTimestamp();
        var ending = Ending.Failed;
        try
        {
            ending = await ServeAsync(http, door, token, began);
        }
        finally
        {
            // 12 forget. What was computed is reported, also for a caller who is gone; and a refusal or failure with nothing, because
            // its answer may not arrive, and the gateway would hold the units until its deadline.
            if (ending.Code == Ending.Ok || options.LogRequests || seldom.Says($"Requests that ended with {ending.Code}"))
                log.Ended(
                    ending.Code == Ending.Ok && !options.LogRequests ? LogLevel.Debug : LogLevel.Information, token.Request, ending.Code, ending.Usage,
                    time.GetElapsedTime(began));
            usage.Report(token, ending.Usage, door.UsageMultiple);
        }
    }

    private async Task<Ending> ServeAsync(HttpContext http, IEnvelopeDoor door, RelayToken token, long began)
    {
        try
        {
            // 10 a seat, before anything is read or opened.
            using var seat = seating.TryTakeSeat();
            if (seat is null)
                return await RefuseAsync(http, door, NoRoom);

            // 10 pick the key set; 11 open.
            var (opened, refusal) = await door.OpenAsync(http.Request, token);
            using var call = opened;
            if (call is null)
                return await RefuseAsync(http, door, refusal!);
            if (refusal is not null)
                return await RefuseAsync(http, call, refusal);
            if (call.ReadyAnswer is { } ready)
                return await SealAsync(http, call, ready, token, new FirstWait(http, call, options, time, began));
            if (!engine.Models.Contains(call.Request.Model, StringComparer.Ordinal))
                return await RefuseAsync(http, call, new Refusal(RequestError.ModelNotFound));

            // 11 a place at the engine.
            var waiting = new FirstWait(http, call, options, time, began);
            using var place = await waiting.ForAsync(seating.EnterAsync(http.RequestAborted));
            return place is null ? await RefuseAsync(http, call, NoRoom) : await AnswerAsync(http, call, token, waiting);
        }
        catch (OperationCanceledException e) when (http.RequestAborted.IsCancellationRequested)
        {
            return Ending.Gone((e as InferenceAbandonedException)?.Usage ?? default);
        }
        catch (CallerGoneException)
        {
            http.Abort();
            return Ending.Gone(default);
        }
    }

    private Refusal NoRoom => new(seating.IsClosed ? RequestError.ServiceUnavailable : RequestError.TooManyRequests);

    // 11 serve, and seal what the engine says.
    private async Task<Ending> AnswerAsync(HttpContext http, OpenedCall call, RelayToken token, FirstWait waiting)
    {
        try
        {
            return await waiting.ForAsync(engine.StartAsync(call.Request, http.RequestAborted)) switch
            {
                InferenceStart.Refused refused => await RefuseAsync(http, call, RefusalOf(refused)),
                InferenceStart.Started(var answer) => await SealAsync(http, call, answer, token, waiting),
                _ => throw new UnreachableException(),
            };
        }
        catch (InferenceException e)
        {
            // Nothing of an answer was written yet: what fails later ends in SealAsync.
            SayFailed(token, e);
            if (e.Failure != InferenceFailure.TimedOut)
                return await RefuseAsync(http, call, new Refusal(RequestError.InferenceError));

            // The engine has worked until its time was up: again and again for nothing, if the same bytes were served again or nothing charged.
            call.Spend();
            try
            {
                return await RefuseAsync(http, call, new Refusal(RequestError.InferenceTimeout) { Usage = e.Usage });
            }
            catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
            {
                return Ending.Gone(e.Usage); // also who does not wait for the refusal had the engine at work
            }
        }
        catch (Exception e) when (!http.RequestAborted.IsCancellationRequested && e is not CallerGoneException)
        {
            SayFailed(token, e);
            return await RefuseAsync(http, call, new Refusal(RequestError.InternalError));
        }
    }

    private async Task<Ending> SealAsync(HttpContext http, OpenedCall call, InferenceAnswer answer, RelayToken token, FirstWait waiting)
    {
        var code = Ending.Failed.Code;
        var isBegun = false;
        call.ForgetRequest();
        var pump = new AnswerPump(answer, http.Response, options, time);
        try
        {
            try
            {
                if (!await waiting.ForAsync(pump.BeginAsync()))
                    throw new InferenceException(InferenceFailure.Failed, "The engine gave an empty answer.");

                // Accepted: the first answer byte is at hand. From here on nothing is refused any more.
                var writer = call.Begin(http.Response, answer);
                isBegun = true;
                await pump.RunAsync(writer);
                code = Ending.Ok;
            }
            finally
            {
                await pump.DisposeAsync(); // the count is exact once the engine has stopped
            }
        }
        catch (Exception e) when (e is OperationCanceledException or InferenceException && http.RequestAborted.IsCancellationRequested)
        {
            code = Ending.ClientGone;
        }
        catch (CallerGoneException)
        {
            code = Ending.ClientGone;
            http.Abort();
        }
        catch (ReaderTooSlowException)
        {
            code = "READER_TOO_SLOW";
            http.Abort();
        }
        catch (Exception e) when (isBegun)
        {
            SayFailed(token, e);
            code = "CUT_OFF";
            if (!await TryCutOffAsync(http, call, answer.Usage))
                http.Abort();
        }
        catch (InferenceException e) when (e.Failure == InferenceFailure.TimedOut)
        {
            throw new InferenceException(e.Failure, e.Message, e) { Usage = answer.Usage };
        }

        return new Ending(code, isBegun || code == Ending.ClientGone ? answer.Usage : default);
    }

    // Whoever does not take the last word within the reader's time goes without.
    private async Task<bool> TryCutOffAsync(HttpContext http, OpenedCall call, Usage used)
    {
        try
        {
            return await call.TryCutOffAsync(http.Response, used).AsTask().WaitAsync(options.ReaderTimeout, time, http.RequestAborted);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            return false;
        }
    }

    private void SayFailed(RelayToken token, Exception exception)
    {
        if (exception is not InferenceException { Failure: var failure })
        {
            if (seldom.Says("Requests that failed inside the node"))
                log.Unhandled(token.Request, exception);
        }
        else if (seldom.Says($"Requests whose engine failed ({failure})"))
        {
            log.EngineFailed(token.Request, failure, exception);
        }
    }

    private static Refusal RefusalOf(InferenceStart.Refused refused) => refused.Reason switch
    {
        InferenceRefusal.InvalidField => new Refusal(RequestError.InvalidField, Rejection.IsFieldName(refused.Field) ? refused.Field : "body"),
        InferenceRefusal.ContextTooLarge => new Refusal(RequestError.ContextTooLarge),
        InferenceRefusal.NotServed => new Refusal(new Rejection(RequestError.EndpointNotServed) { Served = refused.Served }),
        InferenceRefusal.Busy => new Refusal(new Rejection(RequestError.TooManyRequests), refused.RetryAfter),
        _ => throw new UnreachableException(),
    };

    private static async Task<Ending> RefuseAsync(HttpContext http, IEnvelopeDoor door, Refusal refusal)
    {
        await door.RefuseAsync(http.Response, refusal);
        return new Ending(refusal.Code, default);
    }

    private static async Task<Ending> RefuseAsync(HttpContext http, OpenedCall call, Refusal refusal)
    {
        await call.RefuseAsync(http.Response, refusal);
        return new Ending(refusal.Code, refusal.Usage);
    }

    /// <summary>How a request ended, for the log and the report.</summary>
    private readonly record struct Ending(string Code, Usage Usage)
    {
        public const string Ok = "OK";
        public const string ClientGone = "CLIENT_GONE";

        public static Ending Failed { get; } = new(RequestError.InternalError.Row().Code, default);

        public static Ending Gone(Usage usage) => new(ClientGone, usage);
    }
}
