// spec/envelope-v1.md sections 3, 7, 8 and 13, the client's side.
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Transport;

/// <summary>The calls of one confidential endpoint, of requests that are sealed here and of those that came sealed. Safe for concurrent use.</summary>
internal sealed class SealedCalls(GatewayConnection connection, ConfidentialChatOptions options, string path)
{
    private readonly NodeDirectory directory = new(connection);

    /// <summary>Asks for a whole answer.</summary>
    public async Task<T> CreateAsync<T>(IModelRequest request, CallOptions? call, CancellationToken cancellation)
        where T : OpenAIObject
    {
        Check(request);
        using var clock = Clock(call, cancellation);
        var exchange = await BeginAsync(request, stream: false, call, clock).ConfigureAwait(false);
        await using var _ = exchange.ConfigureAwait(false);
        return exchange.Open<T>(await exchange.ReadWholeAsync().ConfigureAwait(false));
    }

    /// <summary>Asks for an answer in chunks, when it is enumerated.</summary>
    public IAsyncEnumerable<T> CreateStreamAsync<T>(IModelRequest request, CallOptions? call, CancellationToken cancellation)
        where T : OpenAIObject, IStreamChunk
    {
        Check(request);
        return StreamAsync<T>(request, call, cancellation);
    }

    /// <summary>Sends a request that came sealed, and leaves its answer sealed.</summary>
    public async Task<SealedAnswer> CreateAsync(SealedFields fields, CallOptions? call, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (fields.Stream is true)
            throw new ArgumentException("A stream has a method of its own: CreateStreamAsync.", nameof(fields));
        using var clock = Clock(call, cancellation);
        var exchange = await BeginAsync(fields, "application/json", call, clock).ConfigureAwait(false);
        await using var _ = exchange.ConfigureAwait(false);
        return exchange.Read(await exchange.ReadWholeAsync().ConfigureAwait(false));
    }

    /// <summary>Sends a request that came sealed, when its answer is enumerated, and leaves the events sealed.</summary>
    public IAsyncEnumerable<SealedAnswer> CreateStreamAsync(SealedFields fields, CallOptions? call, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (fields.Stream is false)
            throw new ArgumentException("A whole answer has a method of its own: CreateAsync.", nameof(fields));
        return StreamAsync(fields, call, cancellation);
    }

    private async IAsyncEnumerable<T> StreamAsync<T>(
        IModelRequest request, CallOptions? call, [EnumeratorCancellation] CancellationToken cancellation)
        where T : OpenAIObject, IStreamChunk
    {
        using var clock = Clock(call, cancellation);
        var exchange = await BeginAsync(request, stream: true, call, clock).ConfigureAwait(false);
        await using var _ = exchange.ConfigureAwait(false);
        var ending = new StreamEnding();
        while (await exchange.ReadEventAsync().ConfigureAwait(false) is { } data)
        {
            var chunk = exchange.Open<T>(data);
            ending.Note(chunk);
            yield return chunk;
        }

        if (!ending.IsReached)
            throw exchange.Truncated();
    }

    private async IAsyncEnumerable<SealedAnswer> StreamAsync(
        SealedFields fields, CallOptions? call, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var clock = Clock(call, cancellation);
        var exchange = await BeginAsync(fields, "text/event-stream", call, clock).ConfigureAwait(false);
        await using var _ = exchange.ConfigureAwait(false);
        var isEmpty = true;
        while (await exchange.ReadEventAsync().ConfigureAwait(false) is { } data)
        {
            isEmpty = false;
            yield return exchange.Read(data);
        }

        if (isEmpty)
            throw exchange.Truncated(); // the finish reason is sealed: that there was an answer at all is what can be seen here
    }

    private async Task<Exchange> BeginAsync(IModelRequest request, bool stream, CallOptions? call, CallClock clock)
    {
        var attempts = new Attempts(call?.Retries ?? options.Retries, clock, isSealedAnew: true);
        var json = request.ToJson(stream); // once: what the caller changes meanwhile is for the next call
        try
        {
            var dispatch = new Dispatch(connection, directory, options.TimeProvider, clock)
            {
                Path = path,
                Json = json,
                Model = request.Model,
                Stream = stream,
                Units = request.Units,
            };
            var (response, sealedRequest) = await attempts.RunAsync(dispatch.AttemptAsync).ConfigureAwait(false);
            return new Exchange(response, sealedRequest, clock, attempts);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(json);
        }
    }

    // The same bytes every time: only the caller can lock and seal anew, and the node serves them once.
    private async Task<Exchange> BeginAsync(SealedFields fields, string expected, CallOptions? call, CallClock clock)
    {
        var attempts = new Attempts(call?.Retries ?? options.Retries, clock, isSealedAnew: false);
        var body = fields.ToJson();
        var response = await attempts.RunAsync(() => connection.SendAsync(HttpMethod.Post, path, body, expected, clock)).ConfigureAwait(false);
        return new Exchange(response, request: null, clock, attempts);
    }

    private CallClock Clock(CallOptions? call, CancellationToken cancellation) =>
        new(call?.Timeout ?? options.Timeout, call?.EventTimeout ?? options.EventTimeout, options.TimeProvider, cancellation);

    private static void Check(IModelRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.Model.Length is 0 or > ModelNames.MaxLength)
            throw new ArgumentException($"A model's name has 1 to {ModelNames.MaxLength} characters.", nameof(request));
        if (request.Extra is { } extra && (extra.ContainsKey("stream") || extra.ContainsKey("model")))
            throw new ArgumentException("Extra members cannot name the model or the stream: they would stand twice.", nameof(request));
    }
}
