using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Transport;

/// <summary>Sends requests to one gateway with one key, and turns what fails into this SDK's exceptions. Safe for concurrent use.</summary>
internal sealed class GatewayConnection : IDisposable
{
    /// <summary>A whole answer, a lock or a list of models is at most this large, in bytes.</summary>
    public const int MaxBodySize = 64 << 20;

    /// <summary>So much of an error's body is kept, in bytes.</summary>
    public const int MaxErrorSize = 64 << 10;

    private const string Json = "application/json";

    private readonly Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> send;
    private readonly HttpClient? owned;
    private readonly Uri root;
    private readonly AuthenticationHeaderValue authorization;
    private readonly TimeProvider time;
    private bool disposed;

    public GatewayConnection(ConfidentialChatOptions options)
        : this(options, null)
    {
        var http = options.HttpClient ?? (owned = new HttpClient(MakeHandler(root)) { Timeout = Timeout.InfiniteTimeSpan });
        send = (request, cancellation) => http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
    }

    /// <param name="options">Key, gateway and clock.</param>
    /// <param name="send">Sends, and gives the answer with its head.</param>
    public GatewayConnection(ConfidentialChatOptions options, Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>>? send)
    {
        authorization = new AuthenticationHeaderValue("Bearer", options.RequireBearerKey());
        root = options.RequireServerUrl();
        time = options.TimeProvider;
        this.send = send!;
    }

    public Uri Root => root;

    /// <summary>Sends and waits for the headers of a success of the expected type; the caller disposes of the answer.</summary>
    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, ReadOnlyMemory<byte>? json, string expected, CallClock clock) =>
        SendAsync(new HttpRequestMessage(method, new Uri(root, path)) { Content = ContentOf(json, Json) }, expected, response => response.IsSuccessStatusCode,
            said => new ApiException(said), clock);

    /// <summary>
    /// Asks for something that the gateway says of itself, spec/envelope-v2.md section 1. Nothing but 200 is an
    /// answer, and 304 where <paramref name="tag"/> names what is known already.
    /// </summary>
    public Task<HttpResponseMessage> AskAsync(
        HttpMethod method, string path, ReadOnlyMemory<byte>? json, string? tag, CallClock clock, string expected = Json)
    {
        var request = new HttpRequestMessage(method, new Uri(root, path)) { Content = ContentOf(json, Json) };
        if (tag is not null)
            request.Headers.TryAddWithoutValidation("If-None-Match", tag);
        return SendAsync(
            request, expected, response => response.StatusCode is HttpStatusCode.OK || (tag is not null && response.StatusCode is HttpStatusCode.NotModified),
            said => new GatewayApiException(said, isRelayed: false), clock);
    }

    /// <summary>Posts a sealed request, spec/envelope-v2.md section 3, and waits for the headers of an answer that may be opened.</summary>
    public Task<HttpResponseMessage> RelayAsync(VerifiedNode node, UnitPrices? price, ReadOnlyMemory<byte> body, InnerCall call, CallClock clock)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"v2/nodes/{node.Id.Value}/relay");
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(root, path)) { Content = ContentOf(body, ChunkedRequestSealer.MediaType) };
        request.Headers.TryAddWithoutValidation(RelayHeaders.Model, ModelText.Write(call.Model));
        request.Headers.TryAddWithoutValidation(RelayHeaders.RequestId, call.Request.ToString());
        request.Headers.TryAddWithoutValidation(RelayHeaders.KeySet, node.KeySetText);
        request.Headers.TryAddWithoutValidation(RelayHeaders.MaxUnits, call.MaxUnits.Value.ToString(CultureInfo.InvariantCulture));
        if (price is { } seen)
            request.Headers.TryAddWithoutValidation(RelayHeaders.MaxPrice, seen.ToString());
        request.Headers.TryAddWithoutValidation("Incremental", "?1"); // RFC 10036: nobody on the way is to wait for the end
        return SendAsync(
            request, ChunkedAnswerSealer.MediaType, response => response.StatusCode is HttpStatusCode.OK,
            said => new GatewayApiException(said, isRelayed: true), clock);
    }

    /// <summary>Sends and reads a whole JSON body, all within the clock's time.</summary>
    public async Task<ReadOnlyMemory<byte>> ReadJsonAsync(HttpMethod method, string path, ReadOnlyMemory<byte>? json, CallClock clock)
    {
        using var response = await SendAsync(method, path, json, "application/json", clock).ConfigureAwait(false);
        return await ReadBodyAsync(response, clock, eachPiece: null).ConfigureAwait(false);
    }

    /// <summary>Reads a whole body; every piece of it has so much time; null leaves the clock as it runs.</summary>
    public static async Task<ReadOnlyMemory<byte>> ReadBodyAsync(
        HttpResponseMessage response, CallClock clock, TimeSpan? eachPiece, int maxSize = MaxBodySize)
    {
        try
        {
            var body = new ArrayBufferWriter<byte>(FirstPiece(response));
            var stream = await response.Content.ReadAsStreamAsync(clock.Token).ConfigureAwait(false);
            await using (stream.ConfigureAwait(false))
            {
                do
                {
                    if (eachPiece is { } limit)
                        clock.Restart(limit);
                }
                while (await ReadSomeAsync(stream, body, clock.Token).ConfigureAwait(false) && body.WrittenCount <= maxSize);
            }

            return body.WrittenCount <= maxSize ? body.WrittenMemory
                : throw new InvalidAnswerException($"The answer is larger than {maxSize} bytes.");
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            throw clock.Explain(e, broken => new GatewayConnectionException(broken, response.RequestMessage?.RequestUri));
        }
    }

    public void Dispose()
    {
        disposed = true;
        owned?.Dispose();
    }

    /// <summary>What reaches a gateway where the caller gives nothing for it.</summary>
    public static SocketsHttpHandler MakeHandler(Uri root) =>
        // A caller that stops reading is to stop the node at once: nothing is drained. No redirect carries the key elsewhere.
        new()
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = root.Scheme == Uri.UriSchemeHttps, // plain HTTP is for loopback: no proxy of the environment sees it
            AutomaticDecompression = DecompressionMethods.None,
            ResponseDrainTimeout = TimeSpan.Zero,
            MaxResponseDrainSize = 0,
            PooledConnectionLifetime = TimeSpan.FromMinutes(15), // a gateway's new address is found in that time
        };

    private static ReadOnlyMemoryContent? ContentOf(ReadOnlyMemory<byte>? body, string type) =>
        body is { } bytes ? new ReadOnlyMemoryContent(bytes) { Headers = { ContentType = new MediaTypeHeaderValue(type) } } : null;

    // Disposes of the request: what was sent is the caller's.
    private async Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request,
        string expected,
        Func<HttpResponseMessage, bool> isAnswer,
        Func<ApiAnswer, ApiException> refusal,
        CallClock clock)
    {
        using var _ = request;
        ObjectDisposedException.ThrowIf(disposed, typeof(ConfidentialChatClient));
        request.Headers.Authorization = authorization;
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(expected));
        HttpResponseMessage response;
        try
        {
            response = await send(request, clock.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            ObjectDisposedException.ThrowIf(disposed, typeof(ConfidentialChatClient)); // it cancels what it is sending
            throw clock.Explain(e, broken => new GatewayConnectionException(broken, root));
        }

        try
        {
            if (!isAnswer(response))
                throw refusal(await ReadErrorAsync(response, clock).ConfigureAwait(false));
            if (response.StatusCode is not HttpStatusCode.NotModified
                && !string.Equals(response.Content.Headers.ContentType?.MediaType, expected, StringComparison.OrdinalIgnoreCase))
                throw new InvalidAnswerException($"The gateway answered with another type than {expected}.");
            return response;
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    private async Task<ApiAnswer> ReadErrorAsync(HttpResponseMessage response, CallClock clock)
    {
        var body = new ArrayBufferWriter<byte>(FirstPiece(response));
        try
        {
            var stream = await response.Content.ReadAsStreamAsync(clock.Token).ConfigureAwait(false);
            await using (stream.ConfigureAwait(false))
            {
                while (body.WrittenCount < MaxErrorSize && await ReadSomeAsync(stream, body, clock.Token).ConfigureAwait(false))
                {
                }
            }
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            if (clock.Explain(e, broken => broken) is OperationCanceledException cancelled)
                throw cancelled;
            // The status says more than the broken body.
        }

        var text = Encoding.UTF8.GetString(body.WrittenSpan[..Math.Min(body.WrittenCount, MaxErrorSize)]);
        var headers = new Dictionary<string, IReadOnlyList<string>>(StringComparer.OrdinalIgnoreCase);
        foreach (var (name, values) in response.Headers.Concat(response.Content.Headers))
            headers[name] = [.. values];
        return new ApiAnswer((int)response.StatusCode, text, headers, RetryAfter(response.Headers));
    }

    // A date is told by the peer's clock, and so measured by it where it says what time it has.
    private TimeSpan? RetryAfter(HttpResponseHeaders headers)
    {
        var wait = headers.RetryAfter?.Delta
            ?? (headers.RetryAfter?.Date is { } date ? date - (headers.Date ?? time.GetUtcNow()) : null);
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }

    // Room for what is announced, and a byte to see the end in; but a peer's word alone is not worth much memory.
    private static int FirstPiece(HttpResponseMessage response) =>
        response.Content.Headers.ContentLength is >= 0 and < 64 << 10 and var length ? (int)length + 1 : 4 << 10;

    private static async Task<bool> ReadSomeAsync(Stream stream, ArrayBufferWriter<byte> body, CancellationToken cancellation)
    {
        var read = await stream.ReadAsync(body.GetMemory(), cancellation).ConfigureAwait(false);
        body.Advance(read);
        return read > 0;
    }
}
