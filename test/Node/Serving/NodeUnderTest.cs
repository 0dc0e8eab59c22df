using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>A real node on a free port around a scripted engine, enrolled with a scripted gateway.</summary>
internal sealed class NodeUnderTest : IAsyncDisposable
{
    public const string ChatPath = "/v1/confidential/chat/completions";

    private readonly string directory;

    private NodeUnderTest(WebApplication app, ScriptedGateway gateway, string directory, CapturedLog log)
    {
        App = app;
        Gateway = gateway;
        Log = log;
        this.directory = directory;
        Client = NewClient();
    }

    private Func<WebApplication> Build { get; init; } = null!;

    /// <summary>Stops the node, and builds it anew with the same data; it is the caller's to start, and listens elsewhere.</summary>
    public async Task RestartAsync()
    {
        await App.StopAsync();
        await App.DisposeAsync();
        App = Build();
    }

    public WebApplication App { get; private set; }

    public ScriptedGateway Gateway { get; }

    public CapturedLog Log { get; }

    /// <summary>What the gateway calls the node with.</summary>
    public HttpClient Client { get; }

    public KeyRing Ring => App.Services.GetRequiredService<KeyRing>();

    public Uri Url => NodeHost.Address(App);

    public string DataDirectory => Path.Combine(directory, "data");

    /// <summary>A node that is enrolled and listens.</summary>
    public static async Task<NodeUnderTest> StartAsync(
        IInferenceBackend engine, Func<NodeOptions, NodeOptions>? change = null, TimeProvider? time = null, IEvidenceSource? evidence = null)
    {
        var node = await CreateAsync(engine, change, time, evidence);
        await node.App.StartAsync();
        await NodeHost.WhenReadyAsync(node.App, TestContext.Current.CancellationToken).Soon();
        return node;
    }

    /// <summary>A node that does not run yet.</summary>
    public static async Task<NodeUnderTest> CreateAsync(
        IInferenceBackend engine, Func<NodeOptions, NodeOptions>? change = null, TimeProvider? time = null, IEvidenceSource? evidence = null)
    {
        var gateway = await ScriptedGateway.StartAsync();
        var directory = Directory.CreateTempSubdirectory("cchat-node-").FullName;
        var log = new CapturedLog();
        var options = new NodeOptions
        {
            DataDirectory = Path.Combine(directory, "data"),
            GatewayUrl = gateway.Url,
            EnrolmentToken = ScriptedGateway.EnrolmentToken,
            Port = 0,
            DrainTimeout = TimeSpan.FromSeconds(10),
            UsageMultiple = 1, // what was counted shows; VoucherTests have the default
        };
        Func<WebApplication> build = () => NodeHost.Create(change?.Invoke(options) ?? options, engine, builder =>
        {
            builder.Logging.AddProvider(log).SetMinimumLevel(LogLevel.Debug);
            if (time is not null)
                builder.Services.Replace(ServiceDescriptor.Singleton(time));
        }, evidence);
        return new NodeUnderTest(build(), gateway, directory, log) { Build = build };
    }

    /// <summary>A client that hangs up at once, as .NET's by default would not: it reads on for a while.</summary>
    public static HttpClient NewClient() => new(new SocketsHttpHandler { ResponseDrainTimeout = TimeSpan.Zero, MaxResponseDrainSize = 0 });

    /// <summary>A request sealed to the node's current key.</summary>
    public EnvelopeCall Seal(bool stream = false, string model = ScriptedBackend.Model, long stack = 3)
    {
        return Seal(JsonSerializer.SerializeToUtf8Bytes(new { model, stream, messages = Array.Empty<string>() }), stream, model, stack);
    }

    /// <summary>A request with a body of its own.</summary>
    public EnvelopeCall Seal(byte[] json, bool stream = false, string model = ScriptedBackend.Model, long stack = 3)
    {
        var keys = Ring.Current;
        var outer = new OuterFields { NodeKey = keys.X25519, Model = model, Stack = new StackId(stack), Stream = stream };
        SealedRequest.TrySeal(json, outer, out var request).ShouldBeTrue();
        var body = new ArrayBufferWriter<byte>();
        request!.Envelope.Write(body);
        return new EnvelopeCall(body.WrittenMemory.ToArray(), request, keys.Digest);
    }

    /// <summary>Relays a body with a fresh token, or with the one given.</summary>
    public Task<HttpResponseMessage> PostAsync(EnvelopeCall call, RelayToken? token = null, CancellationToken cancellation = default) =>
        PostToAsync(ChatPath, call, token, cancellation);

    public Task<HttpResponseMessage> PostToAsync(string path, EnvelopeCall call, RelayToken? token = null, CancellationToken cancellation = default) =>
        PostAsync(path, Json(call.Body), Gateway.Write(token ?? Gateway.Token(), path, call), cancellation);

    public Task<HttpResponseMessage> PostAsync(byte[] body, string? token, CancellationToken cancellation = default) =>
        PostAsync(Json(body), token, cancellation);

    public Task<HttpResponseMessage> PostAsync(HttpContent content, string? token, CancellationToken cancellation = default) =>
        PostAsync(ChatPath, content, token, cancellation);

    public Task<HttpResponseMessage> PostToAsync(string path, byte[] body, string token) => PostAsync(path, Json(body), token, CancellationToken.None);

    private async Task<HttpResponseMessage> PostAsync(string path, HttpContent content, string? token, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(Url, path)) { Content = content };
        if (token is not null)
            request.Headers.Add(RelayToken.HeaderName, token);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, TestContext.Current.CancellationToken);
        return await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token).Soon();
    }

    private static ByteArrayContent Json(byte[] body) => new(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await App.StopAsync(now.Token);
        await App.DisposeAsync();
        await Gateway.DisposeAsync();
        Directory.Delete(directory, recursive: true);
    }
}

/// <summary>The bytes of a sealed request, and what opens its answer.</summary>
internal sealed record EnvelopeCall(byte[] Body, SealedRequest Request, KeySetDigest KeySet)
{
    /// <summary>Opens a whole answer.</summary>
    public async Task<string> OpenAsync(HttpResponseMessage response)
    {
        ((int)response.StatusCode).ShouldBe(200, await response.Content.ReadAsStringAsync());
        return Open(await response.Content.ReadAsByteArrayAsync());
    }

    /// <summary>Opens one sealed object.</summary>
    public string Open(ReadOnlyMemory<byte> sealedJson)
    {
        Request.Answer.TryOpen(sealedJson, out var plaintext).ShouldBeTrue();
        return Encoding.UTF8.GetString(plaintext!).TrimEnd(' ');
    }
}

/// <summary>The lines of a stream as they come, in their order.</summary>
internal sealed class EventStream : IDisposable
{
    private readonly EnvelopeCall call;
    private readonly StreamReader lines;
    private readonly EventOrder order = new();

    private EventStream(EnvelopeCall call, StreamReader lines)
    {
        this.call = call;
        this.lines = lines;
    }

    public static async Task<EventStream> OpenAsync(EnvelopeCall call, HttpResponseMessage response)
    {
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        return new EventStream(call, new StreamReader(await response.Content.ReadAsStreamAsync()));
    }

    /// <summary>The next event opened, a comment as it stands, or null at a clean end.</summary>
    public async Task<string?> NextAsync()
    {
        var line = await lines.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().Soon();
        if (line is null)
            return null;
        (await lines.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().Soon()).ShouldBe("");
        return line.StartsWith("data: ", StringComparison.Ordinal) ? Open(line["data: ".Length..]) : line;
    }

    /// <summary>Everything up to the clean end, which the last event was.</summary>
    public async Task<List<string>> RestAsync()
    {
        var rest = new List<string>();
        while (await NextAsync() is { } next)
            rest.Add(next);
        order.IsEnded.ShouldBeTrue();
        return rest;
    }

    /// <summary>Reads on until the body breaks off; a clean end is a failure.</summary>
    public Task ShouldBreakOffAsync() => Should.ThrowAsync<IOException>(RestAsync);

    public void Dispose() => lines.Dispose();

    private string Open(string sealedJson)
    {
        var json = Encoding.UTF8.GetBytes(call.Open(Encoding.UTF8.GetBytes(sealedJson)));
        order.Take(json, out var start).ShouldBe(EventTurn.Next);
        return Encoding.UTF8.GetString(json.AsSpan(start));
    }
}

internal static class Refusals
{
    /// <summary>Asks for the one shape of errors, with nothing beside it.</summary>
    public static async Task ShouldBeAsync(this HttpResponseMessage response, RequestError error)
    {
        var body = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        var row = error.Row();
        body.ShouldBe($$$"""{"error":{"code":"{{{row.Code}}}","message":"{{{row.Message.Replace("'", "\\u0027", StringComparison.Ordinal)}}}"}}""");
        ((int)response.StatusCode).ShouldBe(row.Status);
        response.Content.Headers.ContentType!.ToString().ShouldBe("application/json");
        response.Headers.Contains("Server").ShouldBeFalse();
        response.Headers.Contains("Retry-After").ShouldBe(row.Status is 429 or 503);
    }
}
