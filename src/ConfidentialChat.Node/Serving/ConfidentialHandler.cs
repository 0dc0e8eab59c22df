// spec/envelope-v1.md sections 4 to 8; spec/gateway.md section 4. Steps 10 to 12 of docs/architecture.md.
using System.Buffers;
using System.Diagnostics;
using ConfidentialChat.Node.Errors;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Node.Metering;
using ConfidentialChat.Node.Relay;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Serving;

/// <summary>One confidential request, from the gateway's token to the last sealed byte.</summary>
internal sealed class ConfidentialHandler(
    RelayTokenCheck tokens,
    Admission admission,
    KeyRing ring,
    IInferenceBackend engine,
    UsageReporter usage,
    NodeOptions options,
    TimeProvider time,
    ILogger<ConfidentialHandler> log)
{
    public async Task ServeAsync(HttpContext http, EnvelopeEndpoint endpoint)
    {
        // Who sends this: the enrolled gateway, with a fresh token, or nobody.
        if (!tokens.TryAccept(http.Request.Headers[RelayToken.HeaderName], endpoint.Path, out var token))
        {
            await http.Response.WriteAsync(new Rejection(RequestError.AuthError));
            return;
        }

        var started = time.GetTimestamp();
        var outcome = new Outcome();
        try
        {
            await AdmitAsync(http, endpoint, token, outcome);
        }
        catch (OperationCanceledException e) when (http.RequestAborted.IsCancellationRequested)
        {
            if (e is InferenceAbandonedException abandoned)
                outcome.Usage = abandoned.Usage;
            outcome.Code = "CLIENT_GONE";
        }
        catch (CallerGoneException)
        {
            outcome.Code = "CLIENT_GONE";
            http.Abort();
        }
        catch (ReaderTooSlowException)
        {
            outcome.Code = "READER_TOO_SLOW";
            http.Abort();
        }
        finally
        {
            // 12 forget. What was computed is reported, also for a caller who is gone; and a refusal or failure with nothing, because
            // its answer may not arrive, and the gateway would hold the units until its deadline.
            var used = outcome.Accepted || http.RequestAborted.IsCancellationRequested ? outcome.Usage : default;
            log.Served(
                token.Request, outcome.Code, used.PromptTokens, used.CompletionTokens, used.Pixels,
                (long)time.GetElapsedTime(started).TotalMilliseconds);
            usage.Report(token, used);
        }
    }

    private async Task AdmitAsync(HttpContext http, EnvelopeEndpoint endpoint, RelayToken token, Outcome outcome)
    {
        // Room, before anything is read or opened.
        using var place = await admission.EnterAsync(http.RequestAborted);
        if (place is null)
        {
            await RejectAsync(http, new Rejection(admission.IsClosed ? RequestError.ServiceUnavailable : RequestError.TooManyRequests), outcome);
            return;
        }

        // 10 read the envelope and pick the key from the ring.
        var (body, fault) = await EnvelopeBody.ReadAsync(http.Request, options.MaxBodyBytes, options.UploadTimeout, time);
        if (fault is { } unread)
        {
            await RejectAsync(http, new Rejection(unread), outcome);
            return;
        }

        if (!EnvelopeRequest.TryParse(body.Span, out var envelope, out var rejection))
        {
            await RejectAsync(http, rejection, outcome);
            return;
        }

        if (!string.Equals(envelope.ModelName, token.Model, StringComparison.Ordinal))
        {
            await RejectAsync(http, new Rejection(RequestError.AuthError), outcome);
            return;
        }

        if (!ring.TryFind(envelope.NodeKey, out var keys))
        {
            await RejectAsync(http, new Rejection(RequestError.UnknownNodeKey), outcome);
            return;
        }

        if (keys.Digest != token.KeySet)
        {
            await RejectAsync(http, new Rejection(RequestError.AuthError), outcome);
            return;
        }

        if (!keys.TryOpen(envelope, out var opened, out rejection))
        {
            await RejectAsync(http, rejection!, outcome);
            return;
        }

        using (opened)
            await AnswerAsync(http, endpoint, token, envelope, opened!, keys, outcome);
    }

    // 11 opened: refuse a replay, check, ask the engine, seal what it says.
    private async Task AnswerAsync(
        HttpContext http, EnvelopeEndpoint endpoint, RelayToken token, EnvelopeRequest envelope, OpenedRequest opened, NodeKeySet keys, Outcome outcome)
    {
        var mark = keys.Replay.Mark(opened.ReplayTag);
        if (mark != ReplayMark.Marked)
        {
            await RejectAsync(http, new Rejection(mark == ReplayMark.Full ? RequestError.TooManyRequests : RequestError.Replay), outcome);
            return;
        }

        try
        {
            if (!InnerRequest.TryCheck(opened.Plaintext.Span, envelope, endpoint.StreamRequired, out var inner, out var rejection))
            {
                await RejectAsync(http, rejection, outcome);
                return;
            }

            if (inner.Stream && !endpoint.Inference.MayStream)
            {
                await RejectAsync(http, new Rejection(RequestError.InvalidField, "stream"), outcome);
                return;
            }

            if (!engine.Models.Contains(inner.Model, StringComparer.Ordinal))
            {
                await RejectAsync(http, new Rejection(RequestError.ModelNotFound), outcome);
                return;
            }

            var start = await engine.StartAsync(
                new InferenceRequest
                {
                    Endpoint = endpoint.Inference.Endpoint,
                    Model = inner.Model,
                    Stream = inner.Stream,
                    Body = opened.Plaintext,
                    MaxUnits = token.Units,
                },
                http.RequestAborted);
            switch (start)
            {
                case InferenceStart.Refused refused:
                    await RejectAsync(http, Rejected(refused), outcome, refused.RetryAfter);
                    break;
                case InferenceStart.Started(var answer):
                    await SealAsync(http, endpoint, opened, answer, inner.Stream, outcome);
                    break;
                default:
                    throw new UnreachableException();
            }
        }
        catch (InferenceException e) when (!http.Response.HasStarted)
        {
            log.EngineFailed(token.Request, e.Failure, e);
            await RejectAsync(http, new Rejection(e.Failure == InferenceFailure.TimedOut ? RequestError.InferenceTimeout : RequestError.InferenceError), outcome);
        }
        catch (InferenceException e)
        {
            log.EngineFailed(token.Request, e.Failure, e);
            outcome.Code = "CUT_OFF";
            http.Abort();
        }
        finally
        {
            // Nothing sealed left the node: a byte-identical retry may be served.
            if (!outcome.Accepted)
                keys.Replay.Unmark(opened.ReplayTag);
        }
    }

    private async Task SealAsync(
        HttpContext http, EnvelopeEndpoint endpoint, OpenedRequest opened, InferenceAnswer answer, bool stream, Outcome outcome)
    {
        var parts = new AnswerParts(answer, http.RequestAborted);
        try
        {
            var sealer = new SealedResponse(http.Response, opened, options.KeepAlive, options.ReaderTimeout, time);
            if (await parts.MoveNextAsync(Timeout.InfiniteTimeSpan, time, http.RequestAborted) is not true)
                throw new InferenceException(InferenceFailure.Failed, "The engine gave an empty answer.");

            // Accepted: the first answer byte is at hand. From here on nothing is refused any more.
            outcome.Accepted = true;
            if (stream)
                await sealer.WriteStreamAsync(parts, http.RequestAborted);
            else
                await sealer.WriteWholeAsync(parts.Current, endpoint.ShowsTokens ? answer.Usage : null, http.RequestAborted);
            outcome.Code = "OK";
        }
        finally
        {
            await parts.DisposeAsync(); // the count is exact once the engine has stopped
            outcome.Usage = answer.Usage;
        }
    }

    private static Rejection Rejected(InferenceStart.Refused refused) => refused.Reason switch
    {
        InferenceRefusal.InvalidField => new Rejection(RequestError.InvalidField, Rejection.IsFieldName(refused.Field) ? refused.Field : "body"),
        InferenceRefusal.ContextTooLarge => new Rejection(RequestError.ContextTooLarge),
        InferenceRefusal.Busy => new Rejection(RequestError.TooManyRequests),
        _ => throw new UnreachableException(),
    };

    private static Task RejectAsync(HttpContext http, Rejection rejection, Outcome outcome, TimeSpan? retryAfter = null)
    {
        outcome.Code = rejection.Error.Row().Code;
        return http.Response.WriteAsync(rejection, retryAfter);
    }

    /// <summary>How a request ended, for the report and the log.</summary>
    private sealed class Outcome
    {
        public bool Accepted { get; set; }

        public string Code { get; set; } = RequestError.InternalError.Row().Code;

        public Usage Usage { get; set; }
    }
}

/// <summary>Reads a body that is bounded in size and time.</summary>
internal static class EnvelopeBody
{
    private const int FirstBufferSize = 16 * 1024;

    /// <summary>The body, or why it was not read to its end.</summary>
    /// <exception cref="OperationCanceledException">The caller is gone.</exception>
    /// <exception cref="CallerGoneException">The connection broke.</exception>
    public static async Task<(ReadOnlyMemory<byte> Body, RequestError? Fault)> ReadAsync(HttpRequest request, long limit, TimeSpan patience, TimeProvider time)
    {
        if (request.ContentLength > limit)
            return (default, RequestError.BodyTooLarge);
        using var late = new CancellationTokenSource(patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, request.HttpContext.RequestAborted);
        var body = new ArrayBufferWriter<byte>(FirstBufferSize); // grows with what came, not with what was announced
        try
        {
            while (true)
            {
                var read = await request.Body.ReadAsync(body.GetMemory(FirstBufferSize), either.Token);
                if (read == 0)
                    return (body.WrittenMemory, null);
                body.Advance(read);
                if (body.WrittenCount > limit)
                    return (default, RequestError.BodyTooLarge);
            }
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !request.HttpContext.RequestAborted.IsCancellationRequested)
        {
            return (default, RequestError.InternalError);
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException e) when (e.StatusCode == StatusCodes.Status408RequestTimeout)
        {
            return (default, RequestError.InternalError); // below Kestrel's rate
        }
        catch (IOException)
        {
            throw new CallerGoneException();
        }
    }
}

/// <summary>The connection broke while the body was read.</summary>
internal sealed class CallerGoneException() : Exception("The caller is gone.");
