// spec/gateway.md section 2.
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>Posts signed messages to the gateway.</summary>
internal sealed class GatewayClient : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private const int MaxAnswerBytes = 1024 * 1024;

    private readonly HttpClient http;
    private readonly NodeIdentity identity;
    private readonly GatewayClock clock;
    private readonly TimeProvider time;
    private readonly Seldom seldom;
    private readonly ILogger<GatewayClient> log;
    private long lastTimeMs;

    public GatewayClient(NodeOptions options, NodeIdentity identity, GatewayClock clock, TimeProvider time, Seldom seldom, ILogger<GatewayClient> log)
    {
        this.identity = identity;
        this.clock = clock;
        this.time = time;
        this.seldom = seldom;
        this.log = log;
        http = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = options.GatewayUrl.Scheme == Uri.UriSchemeHttps, // plain HTTP stays on this machine
            ConnectTimeout = TimeSpan.FromSeconds(5),
        })
        {
            BaseAddress = options.GatewayUrl,
            Timeout = Timeout,
            MaxResponseContentBufferSize = MaxAnswerBytes,
        };
    }

    /// <summary>Null where the gateway was not reached.</summary>
    public Task<HttpResponseMessage?> PostAsync<T>(string path, T message, JsonTypeInfo<T> type, EnrolledGateway gateway, CancellationToken cancellation) =>
        PostAsync(
            path,
            JsonSerializer.SerializeToUtf8Bytes(message, type),
            (headers, signed) =>
            {
                headers.Add(NodeSignature.NodeHeaderName, gateway.Node.ToString());
                headers.Add(NodeSignature.CodeHeaderName, signed.Authenticate(gateway.RelayKey));
            },
            cancellation);

    /// <summary>Asks for an enrolment with an operator's token. Null where the gateway was not reached.</summary>
    public Task<HttpResponseMessage?> EnrolAsync(byte[] body, string token, CancellationToken cancellation) =>
        PostAsync(
            NodePaths.Enrolment,
            body,
            (headers, _) =>
            {
                headers.Add(NodeSignature.KeyHeaderName, identity.Key.PublicKey.ToString());
                headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            },
            cancellation);

    /// <summary>The body, or null where it is not what was expected.</summary>
    public static async Task<T?> ReadAsync<T>(HttpResponseMessage answer, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class => Read(await answer.Content.ReadAsByteArrayAsync(cancellation), type);

    /// <summary>What bytes say, or null where they are not what was expected.</summary>
    public static T? Read<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(json, type);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public void Dispose() => http.Dispose();

    private async Task<HttpResponseMessage?> PostAsync(
        string path, byte[] body, Action<HttpRequestHeaders, NodeSignature> introduce, CancellationToken cancellation)
    {
        var signed = NodeSignature.Over(path, NextTimeMs(), body);
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Content.Headers.ContentLength = signed.Length; // signed: it stands in the header whatever the client makes of it
        request.Content.Headers.Add(NodeSignature.DigestHeaderName, signed.DigestText);
        request.Headers.Add(NodeSignature.TimeHeaderName, signed.TimeMs.ToString(CultureInfo.InvariantCulture));
        request.Headers.Add(NodeSignature.HeaderName, signed.Sign(identity.Key));
        introduce(request.Headers, signed);
        try
        {
            var sent = time.GetUtcNow();
            var answer = await http.SendAsync(request, cancellation);

            // Refused for its time alone: the next message is signed with the time that it is, or just after what the gateway has heard before.
            if (clock.Hear(answer, sent) && answer.StatusCode == HttpStatusCode.Unauthorized)
                Interlocked.Exchange(ref lastTimeMs, clock.LastSigned(answer)?.ToUnixTimeMilliseconds() ?? 0);
            return answer;
        }
        catch (Exception e) when (e is HttpRequestException || (e is TaskCanceledException && !cancellation.IsCancellationRequested))
        {
            if (seldom.Says("Messages that did not reach the gateway"))
                log.GatewayNotReached(http.BaseAddress!, path);
            return null;
        }
    }

    // The clock in milliseconds, never the same twice; where it was set back, the gateway says whether to begin anew.
    private long NextTimeMs()
    {
        long last, next;
        do
        {
            last = Interlocked.Read(ref lastTimeMs);
            next = Math.Max(last + 1, time.GetUtcNow().ToUnixTimeMilliseconds());
        }
        while (Interlocked.CompareExchange(ref lastTimeMs, next, last) != last);
        return next;
    }
}
