// spec/envelope-v1.md sections 4 to 8. Steps 10 and 11 of docs/architecture.md, as far as they are this envelope's.
using System.Buffers;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Node.Errors;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Serving;

/// <summary>One endpoint of envelope v1.</summary>
internal sealed class EnvelopeV1Door(EnvelopeEndpoint endpoint, KeyRing ring, BodyShare room, NodeOptions options, TimeProvider time) : IEnvelopeDoor
{
    public string Endpoint => endpoint.Path;

    public int UsageMultiple => 1; // sizes and units are in clear

    public Task RefuseAsync(HttpResponse response, Refusal refusal) => response.WriteAsync(refusal.Rejection, refusal.RetryAfter);

    public async Task<(OpenedCall? Call, Refusal? Refusal)> OpenAsync(HttpRequest request, RelayToken token)
    {
        // 10 read the envelope and pick the key set from the ring.
        var (body, fault) = await BodyReading.ReadAsync(request.HttpContext, options, room, time);
        if (body is null)
            return (null, new Refusal(fault));
        var isTaken = false;
        try
        {
            var opening = Open(body, token);
            isTaken = opening.Call is not null;
            return opening;
        }
        finally
        {
            if (!isTaken)
                body.Dispose();
        }
    }

    // In place: a large request is in memory once, from its first byte to the last one that the engine takes.
    private (OpenedCall? Call, Refusal? Refusal) Open(ReceivedBody body, RelayToken token)
    {
        if (!EnvelopeRequest.TryParseInPlace(body.Memory, out var envelope, out var rejection))
            return (null, new Refusal(rejection));
        if (!string.Equals(envelope.ModelName, token.Model, StringComparison.Ordinal))
            return (null, new Refusal(RequestError.AuthError));
        if (!ring.TryFind(envelope.NodeKey, out var keys))
            return (null, new Refusal(RequestError.UnknownNodeKey));
        if (keys.Digest != token.KeySet)
            return (null, new Refusal(RequestError.AuthError));

        // 11 open, refuse a replay, check what was inside.
        if (!keys.TryOpen(envelope, out var opened, out rejection))
            return (null, new Refusal(rejection!));
        var mark = keys.Replay.Mark(opened!.ReplayTag);
        if (mark != ReplayMark.Marked)
        {
            opened.Dispose();
            return (null, new Refusal(mark == ReplayMark.Full ? RequestError.TooManyRequests : RequestError.Replay));
        }

        if (!InnerRequest.TryCheck(opened.Plaintext.Span, envelope, endpoint.StreamRequired, out var inner, out rejection)
            || (inner.Stream && !endpoint.Inference.MayStream))
        {
            keys.Replay.Unmark(opened.ReplayTag);
            opened.Dispose();
            return (null, rejection is null ? new Refusal(RequestError.InvalidField, "stream") : new Refusal(rejection));
        }

        return (new Call(endpoint, body, opened, keys.Replay, inner, token.Units), null);
    }

    private sealed class Call(
        EnvelopeEndpoint endpoint, ReceivedBody body, OpenedRequest opened, ReplayMemory replay, InnerRequest inner, ComputeUnits units) : OpenedCall
    {
        private bool isSpent;

        public override InferenceRequest Request { get; } = new()
        {
            Endpoint = endpoint.Inference.Endpoint,
            Model = inner.Model,
            Stream = inner.Stream,
            Body = opened.Plaintext,
            MaxUnits = units,
        };

        public override Task RefuseAsync(HttpResponse response, Refusal refusal)
        {
            if (!response.HasStarted)
                return response.WriteAsync(refusal.Rejection, refusal.RetryAfter);
            response.HttpContext.Abort(); // a 200 and comments are out: the body ends abnormally, and nothing else can be said
            return Task.CompletedTask;
        }

        public override void ForgetRequest()
        {
            opened.Forget();
            body.Dispose();
        }

        public override IAnswerWriter Begin(HttpResponse response, InferenceAnswer answer)
        {
            if (answer.Status != StatusCodes.Status200OK || answer.ContentType != (inner.Stream ? InferenceAnswer.EventStream : InferenceAnswer.Json))
                throw new InferenceException(InferenceFailure.Failed, "The engine gave an answer that envelope v1 does not carry.");
            isSpent = true;
            if (!response.HasStarted)
                BeginHead(response);
            return inner.Stream ? new EventWriter(opened) : new WholeWriter(opened, endpoint.ShowsTokens ? answer : null);
        }

        public override bool IsKeptAlive => inner.Stream; // a whole answer announces its length

        public override void KeepAlive(HttpResponse response)
        {
            if (!response.HasStarted)
                BeginHead(response);
            response.BodyWriter.Write(EventWriter.Comment);
        }

        public override void Spend() => isSpent = true;

        public override void Dispose()
        {
            // Nothing sealed left the node: a byte-identical retry may be served.
            if (!isSpent)
                replay.Unmark(opened.ReplayTag);
            opened.Dispose();
            body.Dispose();
        }

        private void BeginHead(HttpResponse response)
        {
            response.ContentType = inner.Stream ? InferenceAnswer.EventStream : InferenceAnswer.Json;
            if (inner.Stream)
                response.Headers.CacheControl = "no-store";
        }
    }

    private sealed class WholeWriter(OpenedRequest opened, InferenceAnswer? shown) : IAnswerWriter
    {
        public bool IsWhole => true;

        public bool MayBeLast(AnswerPart part) => false;

        public void Write(AnswerPart part, bool isLast, IBufferWriter<byte> output) =>
            opened.SealWhole(part.Data.Span, shown?.Usage is { } tokens ? new ClearUsage(tokens.PromptTokens, tokens.CompletionTokens) : null, output);

        public void KeepAlive(IBufferWriter<byte> output)
        {
        }

        public bool TryEnd(IBufferWriter<byte> output) => false; // with its only part
    }

    private sealed class EventWriter(OpenedRequest opened) : IAnswerWriter
    {
        private bool isFinishing; // a choice has its finish reason: the next event may be the last, with it or with the usage
        private bool isEnded;

        public static ReadOnlySpan<byte> Comment => ": keep-alive\n\n"u8;

        public bool IsWhole => false;

        public bool MayBeLast(AnswerPart part) => isFinishing = isFinishing || FinishReason.IsIn(part.Data.Span);

        public void Write(AnswerPart part, bool isLast, IBufferWriter<byte> output)
        {
            // Its reader knows chunk objects alone: an event with a name would be taken for one of them.
            if (part.EventName is not null)
                throw new InferenceException(InferenceFailure.Failed, "The engine gave an event with a name, which envelope v1 does not carry.");
            output.Write("data: "u8);
            opened.SealEvent(part.Data.Span, isLast, output);
            output.Write("\n\n"u8);
            isEnded = isLast;
        }

        public void KeepAlive(IBufferWriter<byte> output) => output.Write(Comment);

        // The last event says it.
        public bool TryEnd(IBufferWriter<byte> output) =>
            isEnded ? false : throw FinishReason.Missing();
    }
}
