// spec/envelope-v2.md sections 4 to 7 and 12; spec/receipts.md section 3. Steps 10 and 11 of docs/architecture.md, as far as they are this envelope's.
using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Node.Errors;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Node.Serving;

/// <summary>Sealed requests: all endpoints behind one path, which hides them.</summary>
internal sealed class EnvelopeV2Door(
    KeyRing ring, ReceiptDesk receipts, BodyShare room, IInferenceBackend engine, NodeOptions options, TimeProvider time) : IEnvelopeDoor
{
    /// <summary>Where sealed requests are posted.</summary>
    public const string Path = "/v2/relay";

    public string Endpoint => RelayHeaders.RelayEndpoint;

    public int UsageMultiple => options.UsageMultiple;

    public Task RefuseAsync(HttpResponse response, Refusal refusal) =>
        response.WriteProblemAsync(new ProblemDocument(refusal.Rejection.Error), refusal.RetryAfter);

    public async Task<(OpenedCall? Call, Refusal? Refusal)> OpenAsync(HttpRequest request, RelayToken token)
    {
        // 10 pick the key set.
        if (!ring.TryFind(token.KeySet, out var set) || !set.IsSealed)
            return (null, new Refusal(RequestError.UnknownNodeKey));
        if (!string.Equals(request.ContentType, ChunkedRequestSealer.MediaType, StringComparison.OrdinalIgnoreCase))
            return (null, new Refusal(RequestError.DecryptionFailed));
        var (body, fault) = await BodyReading.ReadAsync(request.HttpContext, options, room, time);
        if (body is null)
            return (null, new Refusal(fault));

        // The key is held for the opening alone: it is erased at its time, however slow a sender is. So the ring is asked anew, which knows that a
        // key is due before it is erased.
        Call? call = null;
        var isTaken = false;
        try
        {
            if (!ring.TryFind(token.KeySet, out set) || !set.TryHoldSealed(out var hold))
                return (null, new Refusal(RequestError.UnknownNodeKey));
            Refusal? refusal;
            TimeSpan markedAt;
            using (hold)
                (call, refusal, markedAt) = await OpenAsync(hold, body, request.HttpContext.Response, receipts);
            if (call is not null && refusal is null)
            {
                // The gateway learns that it opened, and the client that its answer is coming.
                await request.HttpContext.Response.BodyWriter.FlushAsync(request.HttpContext.RequestAborted);
                refusal = Check(call, set.SealedReplay, markedAt, token);
            }

            isTaken = call is not null;
            return (call, refusal);
        }
        finally
        {
            if (!isTaken)
            {
                call?.Dispose();
                Forget(body);
            }
        }
    }

    // 11 open, in place: a request is in memory once. What is opened is shorter than what it was sealed to, and is written behind where that is read.
    private static async ValueTask<(Call? Call, Refusal? Refusal, TimeSpan MarkedAt)> OpenAsync(
        NodeKeySet.SealedHold hold, ReceivedBody body, HttpResponse response, ReceiptDesk receipts)
    {
        using var opener = new ChunkedRequestOpener(hold.Keys, PipeReader.Create(new ReadOnlySequence<byte>(body.Memory)), ChunkLimits.Request);
        var length = 0;
        SealedAnswerWriter? answer = null;
        TimeSpan markedAt = default;
        while (true)
        {
            var chunk = await opener.ReadAsync();
            if (!chunk.IsOpened && answer is null)
                return (null, new Refusal(OutsideOf(chunk.Outcome)), default);
            if (answer is null)
            {
                // The first chunk has opened: this request is known from here on, whatever comes of it, and its answer is sealed.
                if (!hold.Replay.TryMark(opener.Enc.Span, out markedAt))
                    return (null, new Refusal(RequestError.Replay), default);
                response.ContentType = ChunkedAnswerSealer.MediaType;
                response.Headers.CacheControl = "no-store";
                answer = new SealedAnswerWriter(opener.SealAnswer(response.BodyWriter));
            }

            if (!chunk.IsOpened)
            {
                if (chunk.Outcome == OpenOutcome.Truncated)
                {
                    answer.Dispose();
                    throw new CallerGoneException(); // half a request has no answer
                }

                return (new Call(body, body.Memory[..length], answer, opener.Encapsulation, receipts), new Refusal(InsideOf(chunk.Outcome)), markedAt);
            }

            chunk.Plaintext.CopyTo(body.Memory[length..]);
            length += chunk.Plaintext.Length;
            if (chunk.Outcome == OpenOutcome.Final)
                return (new Call(body, body.Memory[..length], answer, opener.Encapsulation, receipts), null, markedAt);
        }
    }

    // 11 inner against outer, the time, the path, the body.
    private Refusal? Check(Call call, SealedReplayMemory replay, TimeSpan markedAt, RelayToken token)
    {
        if (!InnerCall.TryRead(call.Message, out var inner, out var rejection))
            return new Refusal(rejection);
        if (inner.Fits(token.Request, token.Model, token.Units) is { } other)
            return new Refusal(other);
        call.BeginReceipt(token, inner); // whatever is answered from here on
        switch (replay.Judge(inner.Date, markedAt))
        {
            case DateFit.Outside:
                call.SayDate(replay.Now);
                return new Refusal(RequestError.InvalidField, "date");
            case DateFit.Forgotten:
                return new Refusal(RequestError.ServiceUnavailable);
        }

        if (inner is { Path: ModelList.Path })
        {
            if (!HttpMethods.IsGet(inner.Method))
                return new Refusal(RequestError.MethodNotAllowed);
            call.Take(
                new InferenceRequest
                {
                    Endpoint = InferenceEndpoint.ChatCompletions,
                    Model = inner.Model,
                    Stream = false,
                    Body = default,
                    MaxUnits = token.Units,
                },
                new ModelList(engine.AliveModels));
            return null;
        }

        if (InferenceEndpoints.OfPath(inner.Path) is not { } endpoint)
            return new Refusal(RequestError.NotFound);
        call.Speak(endpoint.Api, inner.IsPaced);
        if (!HttpMethods.IsPost(inner.Method))
            return new Refusal(RequestError.MethodNotAllowed);
        if (RequestOutline.TryRead(inner.Body.Span, out var outline) is { } fault)
            return new Refusal(fault);
        if (outline.Model is null)
            return new Refusal(RequestError.InvalidField, "model");
        if (!string.Equals(outline.Model, inner.Model, StringComparison.Ordinal))
            return new Refusal(RequestError.ModelMismatch);
        if (outline.Stream == true && !endpoint.MayStream)
            return new Refusal(RequestError.InvalidField, "stream");
        call.Take(
            new InferenceRequest
            {
                Endpoint = endpoint.Endpoint,
                Model = inner.Model,
                Stream = outline.Stream ?? false,
                Body = inner.Body,
                AnthropicVersion = inner.AnthropicVersion,
                AnthropicBeta = inner.AnthropicBeta,
                MaxUnits = token.Units,
            },
            null);
        return null;
    }

    // Opened chunks stand in it, also of a request that came to nothing.
    private static void Forget(ReceivedBody body)
    {
        if (!body.IsDisposed)
            CryptographicOperations.ZeroMemory(body.Memory.Span);
        body.Dispose();
    }

    private static RequestError OutsideOf(OpenOutcome outcome) => outcome switch
    {
        OpenOutcome.KeyUnknown => RequestError.UnknownNodeKey,
        OpenOutcome.ChunkTooLarge or OpenOutcome.TooManyChunks or OpenOutcome.TooLarge => RequestError.BodyTooLarge,
        _ => RequestError.DecryptionFailed,
    };

    private static RequestError InsideOf(OpenOutcome outcome) =>
        outcome is OpenOutcome.ChunkTooLarge or OpenOutcome.TooManyChunks or OpenOutcome.TooLarge ? RequestError.BodyTooLarge : RequestError.DecryptionFailed;

    private sealed class Call(
        ReceivedBody body, ReadOnlyMemory<byte> message, SealedAnswerWriter answer, ReadOnlyMemory<byte> encapsulation, ReceiptDesk receipts) : OpenedCall
    {
        private InferenceRequest? request;
        private InferenceAnswer? ready;
        private DateTimeOffset? date;
        private InferenceApi api;
        private bool isPaced;

        /// <summary>As it was opened; gone with the request.</summary>
        public ReadOnlyMemory<byte> Message => message;

        public override InferenceRequest Request => request!;

        public override InferenceAnswer? ReadyAnswer => ready;

        public override bool IsKeptAlive => true;

        public void BeginReceipt(RelayToken token, InnerCall inner) => answer.Record(receipts.Begin(token, inner, encapsulation.Span));

        public void Take(InferenceRequest taken, InferenceAnswer? answered) => (request, ready) = (taken, answered);

        /// <summary>Refusals are in the words of this API from here on, and a stream is paced or not.</summary>
        public void Speak(InferenceApi words, bool onTicks) => (api, isPaced) = (words, onTicks);

        /// <summary>The client's clock was wrong: the refusal tells it the node's.</summary>
        public void SayDate(DateTimeOffset now) => date = now;

        public override async Task RefuseAsync(HttpResponse response, Refusal refusal)
        {
            if (answer.HasHead)
            {
                response.HttpContext.Abort();
                return;
            }

            var row = refusal.Rejection.Error.Row();
            var fields = new List<Field> { new("content-type", InferenceAnswer.Json) };
            if (row.HasRetryAfter)
                fields.Add(new Field("retry-after", RejectionResponse.RetryAfter(refusal.RetryAfter)));
            if (date is { } now)
                fields.Add(new Field("date", now.ToString("r", CultureInfo.InvariantCulture)));
            answer.WriteWhole(
                row.Status, FieldSection.Create(fields.ToArray()), refusal.Rejection.ToJson(api, date is null ? null : ProblemDocument.Date),
                receipts.Close(refusal.Usage));
            await response.BodyWriter.FlushAsync(response.HttpContext.RequestAborted);
        }

        public override void KeepAlive(HttpResponse response) => answer.KeepAlive();

        // A mark is never taken back.
        public override void Spend()
        {
        }

        public override void ForgetRequest() => Forget(body);

        // Without a final chunk, which would say that the stream is whole.
        public override async ValueTask<bool> TryCutOffAsync(HttpResponse response, Usage usage)
        {
            if (!answer.TryCutOff(receipts.Close(usage)))
                return false;
            await response.BodyWriter.FlushAsync(response.HttpContext.RequestAborted);
            return true;
        }

        public override IAnswerWriter Begin(HttpResponse response, InferenceAnswer answered)
        {
            FieldSection fields = [new Field("content-type", answered.ContentType)];
            if (answered.ContentType != InferenceAnswer.EventStream)
                return new WholeWriter(answer, answered, fields, receipts);
            answer.BeginStream(fields, isPaced);
            return isPaced ? new PacedWriter(answer, api, answered, receipts) : new EventWriter(answer, api, answered, receipts);
        }

        public override void Dispose()
        {
            answer.Dispose();
            ForgetRequest();
        }
    }

    // The sealed answer writes to the response itself: what these are given is the same.
    private sealed class WholeWriter(SealedAnswerWriter answer, InferenceAnswer answered, FieldSection fields, ReceiptDesk receipts) : IAnswerWriter
    {
        public bool HasRest { get; private set; }

        public bool IsWhole => false; // its length is known, but the head is out

        public bool MayBeLast(AnswerPart part) => false;

        public void Write(AnswerPart part, bool isLast, IBufferWriter<byte> output)
        {
            if (answer.HasHead)
                throw new InferenceException(InferenceFailure.Failed, "The engine gave a second part of a whole answer.");
            answer.BeginWhole(answered.Status, fields, part.Data.Span, receipts.Close(answered.Usage)); // its one part is there: the count is exact
            WriteRest(output);
        }

        public void WriteRest(IBufferWriter<byte> output) => HasRest = answer.TryWriteOn(AnswerPump.Slice);

        public void KeepAlive(IBufferWriter<byte> output)
        {
        }

        public bool TryEnd(IBufferWriter<byte> output) => false; // with its only part
    }

    private class EventWriter(SealedAnswerWriter answer, InferenceApi api, InferenceAnswer answered, ReceiptDesk receipts) : IAnswerWriter
    {
        private readonly StreamEnding? ending = api is InferenceApi.OpenAI ? null : new StreamEnding(api);
        private ReadOnlyMemory<byte> rest;
        private bool isFinished; // a choice has its finish reason, or the API's last event came

        public bool IsWhole => false;

        public bool HasRest { get; private set; }

        public bool MayBeLast(AnswerPart part) => false; // the end is a chunk of its own

        public void Write(AnswerPart part, bool isLast, IBufferWriter<byte> output)
        {
            if (part.EventName is { } name)
            {
                if (ending is null)
                    throw new InferenceException(InferenceFailure.Failed, "The engine gave an event with a name, which its API does not have.");
                answer.WriteEvents("event: "u8);
                answer.WriteEvents(Encoding.UTF8.GetBytes(name));
                answer.WriteEvents("\n"u8);
            }

            isFinished = isFinished || IsEnd(part);
            answer.WriteEvents("data: "u8);
            rest = part.Data;
            WriteRest(output);
        }

        public void WriteRest(IBufferWriter<byte> output)
        {
            var slice = rest[..Math.Min(rest.Length, AnswerPump.Slice)];
            answer.WriteEvents(slice.Span);
            rest = rest[slice.Length..];
            HasRest = !rest.IsEmpty;
            if (!HasRest)
                answer.WriteEvents("\n\n"u8);
        }

        public void KeepAlive(IBufferWriter<byte> output) => answer.KeepAlive();

        public virtual bool TryEnd(IBufferWriter<byte> output)
        {
            EndContent();
            EndStream();
            return true;
        }

        // The parts have ended: the count is exact.
        protected void EndStream() => answer.EndStream(receipts.Close(answered.Usage));

        // A final chunk would say that the stream is whole.
        protected void EndContent()
        {
            if (!isFinished)
                throw FinishReason.Missing();
            if (ending is null)
                answer.WriteEvents("data: [DONE]\n\n"u8);
        }

        // An event's name is its type: only the one with the reason is looked into.
        private bool IsEnd(AnswerPart part)
        {
            if (ending is null)
                return FinishReason.IsIn(part.Data.Span);
            if (part.EventName is "message_delta")
                ending.Note(part.Data.Span);
            else
                ending.Note(Encoding.UTF8.GetBytes(part.EventName ?? ""), stops: false);
            return ending.IsReached;
        }
    }

    private sealed class PacedWriter(SealedAnswerWriter answer, InferenceApi api, InferenceAnswer answered, ReceiptDesk receipts)
        : EventWriter(answer, api, answered, receipts), IPacedWriter
    {
        private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

        private readonly SealedAnswerWriter answer = answer;

        public TimeSpan Pace => Tick;

        public int Waiting => answer.Waiting;

        public void PutEnd(IBufferWriter<byte> output) => EndContent();

        public void WriteTick() => answer.WriteTick();

        public override bool TryEnd(IBufferWriter<byte> output)
        {
            EndStream();
            return true;
        }
    }
}
