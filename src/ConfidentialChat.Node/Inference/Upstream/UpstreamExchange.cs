// spec/inference.md sections 3, 6, 7 and 8.
using System.Buffers;
using System.Net;
using System.Net.ServerSentEvents;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>One request at one engine, from the place that it holds there to the last byte. Disposal closes the connection, which stops the engine.</summary>
internal sealed class UpstreamExchange : IDisposable
{
    // The end of the body follows the last event at once; read, the connection can serve again.
    private static readonly TimeSpan EndPatience = TimeSpan.FromMilliseconds(200);

    private const string ErrorEvent = "error";

    private static ReadOnlySpan<byte> Blanks => " \t\r\n"u8;

    private readonly UpstreamServer server;
    private readonly UpstreamOptions options;
    private readonly UpstreamRequest request;
    private readonly Patience patience;
    private readonly StreamEnding ending;
    private readonly UnsentRequest unsent = new();
    private HttpResponseMessage? response;
    private AnswerStream? stream;
    private IAsyncEnumerator<SseItem<byte[]>>? events;
    private volatile bool isSent;
    private int isOver;

    /// <param name="server">One of its places is taken, and is this exchange's.</param>
    /// <param name="options">The bounds.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="patience">Owned from here on.</param>
    public UpstreamExchange(UpstreamServer server, UpstreamOptions options, UpstreamRequest request, Patience patience)
    {
        this.server = server;
        this.options = options;
        this.request = request;
        this.patience = patience;
        ending = new StreamEnding(request.Row.Api);
    }

    /// <summary>Whether the whole request went to the engine, which computes from then on.</summary>
    public bool IsSent => isSent && !unsent.IsLost;

    /// <summary>Sends the request and waits for the first part.</summary>
    /// <returns>The first part, or the refusal; null for both where a stream had none.</returns>
    /// <exception cref="NotReachedException">No connection came about, so nothing was computed.</exception>
    /// <exception cref="InferenceException">The engine failed.</exception>
    public async Task<(UpstreamPart? Part, InferenceStart.Refused? Refused)> BeginAsync(
        HttpMessageInvoker http, string path, IReadOnlyList<ReadOnlyMemory<byte>> body)
    {
        EarlyAnswerStream.Sending = unsent;
        try
        {
            response = await server.SendAsync(http, path, new SentContent(body, () => isSent = true), request.Stream, patience.Token, request);
        }
        catch (Exception e) when (Explain(e) is not null)
        {
            throw Explain(e)!;
        }

        try
        {
            if (!response.IsSuccessStatusCode)
            {
                var refusal = await ReadAsync(response, UpstreamError.BodyMax, patience.Token, truncates: true);
                return (null, UpstreamError.Read(response.StatusCode, refusal, request, server.Name) with { RetryAfter = RetryAfter() });
            }

            var mediaType = response.Content.Headers.ContentType?.MediaType;
            if (!string.Equals(mediaType, request.Stream ? InferenceAnswer.EventStream : InferenceAnswer.Json, StringComparison.OrdinalIgnoreCase))
                throw Failed("answered with another content type");
            if (!request.Stream)
                return await ReadWholeAsync();

            stream = new AnswerStream(await response.Content.ReadAsStreamAsync(patience.Token), options.MaxAnswerBytes, options.MaxEventBytes);
            events = SseParser.Create(stream, (_, data) =>
            {
                stream.EndEvent();
                return data.ToArray();
            }).EnumerateAsync(patience.Token).GetAsyncEnumerator(patience.Token);
            return await ReadPartAsync(isFirst: true);
        }
        catch (Exception e) when (Explain(e) is not null)
        {
            throw Explain(e)!;
        }
    }

    /// <summary>The next part of a stream; null at its good end.</summary>
    /// <exception cref="InferenceException">The engine failed.</exception>
    public async ValueTask<UpstreamPart?> NextAsync()
    {
        try
        {
            return (await ReadPartAsync(isFirst: false)).Part;
        }
        catch (Exception e) when (Explain(e) is not null)
        {
            throw Explain(e)!;
        }
    }

    /// <summary>A body that is bounded: one byte more is an error, or the end where it <paramref name="truncates"/>. Then a break is the end too.</summary>
    public static async Task<byte[]> ReadAsync(HttpResponseMessage response, long limit, CancellationToken cancellation, bool truncates = false)
    {
        await using var body = await response.Content.ReadAsStreamAsync(cancellation);
        var buffer = new ArrayBufferWriter<byte>(4096);
        try
        {
            int read;
            while ((read = await body.ReadAsync(buffer.GetMemory(4096), cancellation)) > 0)
            {
                buffer.Advance(read);
                if (buffer.WrittenCount <= limit)
                    continue;
                return truncates ? buffer.WrittenSpan[..(int)limit].ToArray() : throw new AnswerTooLargeException();
            }

            return buffer.WrittenSpan.ToArray();
        }
        catch (Exception e) when (truncates && e is IOException or HttpRequestException)
        {
            return buffer.WrittenSpan.ToArray(); // who answers before it has read all may close at once; the status says the most
        }
        finally
        {
            buffer.Clear();
        }
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref isOver, 1) != 0)
            return;
        patience.Dispose();
        response?.Dispose();
        server.Leave();
    }

    private async Task<(UpstreamPart?, InferenceStart.Refused?)> ReadWholeAsync()
    {
        var json = await ReadAsync(response!, options.MaxAnswerBytes, patience.Token);
        var part = UpstreamPart.Read(json, request);
        if (part is null && UpstreamError.ReadObject(json, request) is { } refused)
            return (null, refused); // an error under a 200
        if (part is null)
            throw Failed("answered with what is no answer");
        return (EmbeddingEncoding.IsBase64(request) ? part with { Json = EmbeddingEncoding.ToBase64(part.Json) } : part, null);
    }

    private async ValueTask<(UpstreamPart? Part, InferenceStart.Refused?)> ReadPartAsync(bool isFirst)
    {
        // Named events have one that is the last: what follows it is not looked at.
        if (request.Row.HasNamedEvents && ending.IsReached)
        {
            await EndAsync();
            return default;
        }

        while (await MoveNextAsync(isFirst))
        {
            var data = events!.Current.Data;
            if (data.AsSpan().Trim(Blanks).SequenceEqual("[DONE]"u8))
            {
                await EndAsync();
                break;
            }

            var name = events.Current.EventType;
            var part = name == ErrorEvent ? null : UpstreamPart.Read(data, request, name == SseParser.EventTypeDefault ? null : name);
            if (part is null && isFirst && UpstreamError.ReadObject(data, request) is { } refused)
                return (null, refused);
            foreach (var (index, isFinished) in part?.Choices ?? [])
                ending.Note(index, isFinished);
            if (part is { Name: { } type })
                ending.Note(Encoding.UTF8.GetBytes(type), part.Stops);
            return (part ?? throw Failed("broke its stream off with an error, or with what is no part of it"), null);
        }

        if (isFirst && stream!.ErrorField is { } error && UpstreamError.ReadObject(error, request) is { } refusal)
            return (null, refusal);
        return ending.IsReached
            ? default
            : throw Failed(request.Row.HasNamedEvents ? "ended its stream before its last event" : "ended its stream without a finish reason");
    }

    // The engine's time runs only while it is waited for: before, it was the reader who took its own. What is at hand already needs no clock.
    private ValueTask<bool> MoveNextAsync(bool isFirst)
    {
        var moving = events!.MoveNextAsync();
        if (isFirst || !moving.IsCompletedSuccessfully)
            return WaitAsync(moving);
        var moved = moving.Result;
        return !moved || SaysSomething(events.Current) ? new(moved) : WaitAsync(events.MoveNextAsync());

        async ValueTask<bool> WaitAsync(ValueTask<bool> pending)
        {
            if (!isFirst)
                patience.Expect(options.TokenTimeout);
            bool isMore;
            while ((isMore = await pending) && !SaysSomething(events.Current))
                pending = events.MoveNextAsync(); // the time goes on: who pings for ever does not answer
            patience.ExpectNothing();
            return isMore;
        }
    }

    // Pings, events of names that their API does not have, and events without data, are no messages.
    private bool SaysSomething(SseItem<byte[]> item) =>
        item.EventType == ErrorEvent
        || (item.Data.AsSpan().ContainsAnyExcept(Blanks)
            && (item.EventType == SseParser.EventTypeDefault || (request.Row.HasNamedEvents && item.EventType is not ("ping" or "keepalive"))));

    private async Task EndAsync()
    {
        patience.Expect(EndPatience);
        try
        {
            await events!.MoveNextAsync();
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or HttpRequestException or AnswerTooLargeException)
        {
            // It said that it was done; a connection that lingers is not worth the wait.
        }
    }

    // A date is measured against the answer's own: the two clocks may differ.
    private TimeSpan? RetryAfter() => response!.Headers.RetryAfter is not { } after ? null
        : after.Delta ?? after.Date - (response.Headers.Date ?? options.Time.GetUtcNow());

    private InferenceException Failed(string how) => new(InferenceFailure.Failed, $"The engine at {server.Name} {how}.");

    // Without the original: its message may quote what the engine sent. Null for what is no failure of the engine.
    private InferenceException? Explain(Exception exception) => exception switch
    {
        OperationCanceledException when patience.IsTimedOut => new InferenceException(InferenceFailure.TimedOut, $"The engine at {server.Name} took too long."),
        HttpIOException e => Failed($"broke off ({e.HttpRequestError})"),
        HttpRequestException e => Failed($"failed ({e.HttpRequestError})"),
        IOException => Failed("broke off"),
        AnswerTooLargeException => Failed("answered with more than is allowed"),
        _ => null,
    };
}

/// <summary>Pieces of bytes, and word that they were written.</summary>
/// <remarks>It may go on for a moment after its request has ended, and the pieces' memory with it: hence the copy of one part at a time.</remarks>
internal sealed class SentContent(IReadOnlyList<ReadOnlyMemory<byte>> pieces, Action sent) : HttpContent
{
    private const int PartSize = 64 * 1024;

    private readonly long length = pieces.Sum(piece => (long)piece.Length);

    protected override bool TryComputeLength(out long length)
    {
        length = this.length;
        return true;
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        var part = new byte[(int)Math.Min(length, PartSize)]; // small pieces go out together
        var filled = 0;
        foreach (var piece in pieces)
        {
            for (var rest = piece; !rest.IsEmpty;)
            {
                if (filled == part.Length)
                {
                    await stream.WriteAsync(part, cancellationToken);
                    filled = 0;
                }

                var taken = Math.Min(rest.Length, part.Length - filled);
                using (rest.Pin())
                    rest.Span[..taken].CopyTo(part.AsSpan(filled));
                filled += taken;
                rest = rest[taken..];
            }
        }

        await stream.WriteAsync(part.AsMemory(0, filled), cancellationToken);
        CryptographicOperations.ZeroMemory(part);
        sent();
    }
}
