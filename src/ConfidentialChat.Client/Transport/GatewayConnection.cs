using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Text;

namespace ConfidentialChat.Client.Transport;

/// <summary>Sends requests to one gateway with one key, and turns what fails into this SDK's exceptions. Safe for concurrent use.</summary>
internal sealed class GatewayConnection : IDisposable
{
    /// <summary>A whole answer, a lock or a list of models is at most this large, in bytes.</summary>
    public const int MaxBodySize = 64 << 20;

    /// <summary>So much of an error's body is kept, in bytes.</summary>
    public const int MaxErrorSize = 64 << 10;

    private readonly HttpClient http;
    private readonly bool owned;
    private readonly Uri root;
    private readonly AuthenticationHeaderValue authorization;
    private readonly TimeProvider time;
    private bool disposed;

    public GatewayConnection(ConfidentialChatOptions options)
    {
        authorization = new AuthenticationHeaderValue("Bearer", options.RequireBearerKey());
        root = options.RequireServerUrl();
        time = options.TimeProvider;
        owned = options.HttpClient is null;
        http = options.HttpClient ?? MakeClient(Root);
    }

    public Uri Root => root;

    /// <summary>Sends and waits for the headers of a success of the expected type; the caller disposes of the answer.</summary>
    public async Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string path, ReadOnlyMemory<byte>? json, string expected, CallClock clock)
    {
        ObjectDisposedException.ThrowIf(disposed, typeof(ConfidentialChatClient));
        using var request = new HttpRequestMessage(method, new Uri(root, path));
        request.Headers.Authorization = authorization;
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(expected));
        if (json is { } body)
        {
            request.Content = new ReadOnlyMemoryContent(body);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        HttpResponseMessage response;
        try
        {
            response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, clock.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            ObjectDisposedException.ThrowIf(disposed, typeof(ConfidentialChatClient)); // it cancels what it is sending
            throw clock.Explain(e, broken => new GatewayConnectionException(broken, root));
        }

        try
        {
            if (!response.IsSuccessStatusCode)
                throw await ReadErrorAsync(response, clock).ConfigureAwait(false);
            if (!string.Equals(response.Content.Headers.ContentType?.MediaType, expected, StringComparison.OrdinalIgnoreCase))
                throw new InvalidAnswerException($"The gateway answered with another type than {expected}.");
            return response;
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    /// <summary>Sends and reads a whole JSON body, all within the clock's time.</summary>
    public async Task<ReadOnlyMemory<byte>> ReadJsonAsync(HttpMethod method, string path, ReadOnlyMemory<byte>? json, CallClock clock)
    {
        using var response = await SendAsync(method, path, json, "application/json", clock).ConfigureAwait(false);
        return await ReadBodyAsync(response, clock, eachPiece: null).ConfigureAwait(false);
    }

    /// <summary>Reads a whole body; every piece of it has so much time; null leaves the clock as it runs.</summary>
    public static async Task<ReadOnlyMemory<byte>> ReadBodyAsync(HttpResponseMessage response, CallClock clock, TimeSpan? eachPiece)
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
                while (await ReadSomeAsync(stream, body, clock.Token).ConfigureAwait(false) && body.WrittenCount <= MaxBodySize);
            }

            return body.WrittenCount <= MaxBodySize ? body.WrittenMemory
                : throw new InvalidAnswerException($"The answer is larger than {MaxBodySize} bytes.");
        }
        catch (Exception e) when (CallClock.IsTransport(e))
        {
            throw clock.Explain(e, broken => new GatewayConnectionException(broken, response.RequestMessage?.RequestUri));
        }
    }

    public void Dispose()
    {
        disposed = true;
        if (owned)
            http.Dispose();
    }

    private static HttpClient MakeClient(Uri root)
    {
        // A caller that stops reading is to stop the node at once: nothing is drained. No redirect carries the key elsewhere.
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = root.Scheme == Uri.UriSchemeHttps, // plain HTTP is for loopback: no proxy of the environment sees it
            AutomaticDecompression = DecompressionMethods.None,
            ResponseDrainTimeout = TimeSpan.Zero,
            MaxResponseDrainSize = 0,
            PooledConnectionLifetime = TimeSpan.FromMinutes(15), // a gateway's new address is found in that time
        };
        return new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
    }

    private async Task<ApiException> ReadErrorAsync(HttpResponseMessage response, CallClock clock)
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
        return new ApiException((int)response.StatusCode, text, headers, RetryAfter(response.Headers));
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
