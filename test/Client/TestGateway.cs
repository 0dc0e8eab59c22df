using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Client.Tests;

/// <summary>
/// Gateway and node in one: a real Kestrel on loopback that locks, opens and checks with the protocol's own types.
/// What it answers is the test's to say.
/// </summary>
internal sealed class TestGateway : IAsyncDisposable
{
    public const string Key = "cc-test-secret-key";

    private readonly WebApplication app;
    private int looks;

    private TestGateway(WebApplication app) => this.app = app;

    /// <summary>Whose key the lock hands out.</summary>
    public TestNode Node { get; } = new();

    public X25519PrivateKey NodeKey => Node.NodeKey;

    public Blake2bTagger Tagger { get; } = new();

    /// <summary>What the node does with an opened request.</summary>
    public required Func<NodeCall, Task> Serve { get; init; }

    /// <summary>What stands in place of the lock, where it is not the right one.</summary>
    public Func<HttpContext, Task>? Lock { get; init; }

    public Func<HttpContext, Task>? Models { get; init; }

    /// <summary>Bodies of the lock requests, in order.</summary>
    public ConcurrentQueue<JsonNode> Locks { get; } = [];

    public ConcurrentQueue<NodeCall> Calls { get; } = [];

    /// <summary>Bodies of the confidential requests as they came, in order, those that were refused included.</summary>
    public ConcurrentQueue<byte[]> Bodies { get; } = [];

    /// <summary>Every path that was asked for, those of the evidence left out.</summary>
    public ConcurrentQueue<string> Paths { get; } = [];

    /// <summary>How often the nodes were listed.</summary>
    public int Looks => looks;

    public Uri Url => new(app.Urls.First());

    public static async Task<TestGateway> StartAsync(
        Func<NodeCall, Task> serve, Func<HttpContext, Task>? theLock = null, Func<HttpContext, Task>? models = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var gateway = new TestGateway(builder.Build()) { Serve = serve, Lock = theLock, Models = models };
        gateway.app.Run(gateway.AnswerAsync);
        await gateway.app.StartAsync();
        return gateway;
    }

    public static Task<TestGateway> ThatAnswersAsync(string json) => StartAsync(call => call.WholeAsync(json));

    /// <summary>Of one attempt: what a test does not ask for is not made again.</summary>
    public ConfidentialChatOptions Options => new()
    {
        BearerKey = Key,
        ServerUrl = Url,
        Retries = RetryConfig.None,
        Envelope = EnvelopeVersion.V1,
        Policy = TestNode.AnyTime,
    };

    public ConfidentialChatClient Client(Func<ConfidentialChatOptions, ConfidentialChatOptions>? change = null) =>
        new(change is null ? Options : change(Options));

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
        Node.Dispose();
        Tagger.Dispose();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        if (!context.Request.Path.Value!.StartsWith("/v2/", StringComparison.Ordinal))
            Paths.Enqueue(context.Request.Path.Value!);
        if (context.Request.Headers.Authorization != $"Bearer {Key}")
        {
            await context.RefuseAsync(new Rejection(RequestError.AuthError));
            return;
        }

        switch (context.Request.Method, context.Request.Path.Value)
        {
            case ("GET", "/v2/nodes"):
                Interlocked.Increment(ref looks);
                await context.JsonAsync(List(context.Request.Query["model"]!));
                break;
            case ("GET", "/v2/nodes/3/evidence"):
                await context.JsonAsync(Encoding.UTF8.GetString(Node.Bundle));
                break;
            case ("POST", "/v1/nodes/lock"):
                Locks.Enqueue((await JsonNode.ParseAsync(context.Request.Body))!);
                await (Lock ?? LockAsync)(context);
                break;
            case ("POST", "/v1/confidential/chat/completions"):
                await OpenAsync(context, streamRequired: true);
                break;
            case ("POST", "/v1/confidential/completions" or "/v1/confidential/embeddings" or "/v1/confidential/images/generations"):
                await OpenAsync(context, streamRequired: false);
                break;
            case ("GET", "/v1/models") when Models is not null:
                await Models(context);
                break;
            default:
                await context.RefuseAsync(new Rejection(RequestError.NotFound));
                break;
        }
    }

    // Whatever model a test asks for, the node has it.
    private string List(string model)
    {
        lock (Node)
        {
            if (!Node.Models.Contains(model))
                Node.Models = [.. Node.Models, model];
            return $$"""{"nodes":[{{Node.Listed}}]}""";
        }
    }

    // The five-field form: as if one lock were open, which stands for what is left out.
    private byte[] Complete(byte[] body)
    {
        if (JsonNode.Parse(body) is not JsonObject json || json.ContainsKey("node_dh_public_key"))
            return body;
        (json["node_dh_public_key"], json["model_name"], json["stack_small_id"]) = (NodeKey.PublicKey.ToString(), "tiny", 7);
        return Encoding.UTF8.GetBytes(json.ToJsonString());
    }

    private Task LockAsync(HttpContext context) =>
        context.JsonAsync($$"""{"public_key":"{{NodeKey.PublicKey}}","node_small_id":3,"stack_small_id":7,"stack_entry_digest":null}""");

    private async Task OpenAsync(HttpContext context, bool streamRequired)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        Bodies.Enqueue(body.ToArray());
        context.Request.ContentType.ShouldBe("application/json");
        if (!EnvelopeRequest.TryParse(Complete(body.ToArray()), out var envelope, out var rejection)
            || !OpenedRequest.TryOpen(envelope, NodeKey, Tagger, out var opened, out rejection))
        {
            await context.RefuseAsync(rejection);
            return;
        }

        using (opened)
        {
            if (!InnerRequest.TryCheck(opened.Plaintext.Span, envelope, streamRequired, out var inner, out rejection))
            {
                await context.RefuseAsync(rejection);
                return;
            }

            var call = new NodeCall(context, envelope, opened, inner, JsonNode.Parse(opened.Plaintext.Span)!);
            Calls.Enqueue(call);
            await Serve(call);
        }
    }
}

/// <summary>One opened request, and the ways to answer it.</summary>
internal sealed record NodeCall(HttpContext Context, EnvelopeRequest Envelope, OpenedRequest Opened, InnerRequest Inner, JsonNode Json)
{
    /// <summary>The request as it was opened, blanks and all.</summary>
    public string Plaintext { get; } = Encoding.UTF8.GetString(Opened.Plaintext.Span);

    /// <summary>The names of the request's headers.</summary>
    public IReadOnlyList<string> Headers { get; } = [.. Context.Request.Headers.Keys];

    public CancellationToken Gone => Context.RequestAborted;

    public string Whole(string json) => Sealed(output => Opened.SealWhole(Encoding.UTF8.GetBytes(json), new ClearUsage(1, 2), output));

    /// <summary>The next event; what is no object is sealed without a place, as no node of ours does.</summary>
    public string Event(string json, bool isLast = false) => json.StartsWith('{') && json.EndsWith('}')
        ? Sealed(output => Opened.SealEvent(Encoding.UTF8.GetBytes(json), isLast, output))
        : Sealed(output => Opened.SealWhole(Encoding.UTF8.GetBytes(json), null, output));

    public Task WholeAsync(string json) => Context.JsonAsync(Whole(json));

    /// <summary>A stream of sealed events with a clean end: the last of them is the answer's last, if there was a finish reason.</summary>
    public async Task StreamAsync(params IEnumerable<string> chunks)
    {
        BeginStream();
        string[] all = [.. chunks];
        var isFinished = all.Any(chunk => chunk.Contains("\"finish_reason\":\"", StringComparison.Ordinal));
        for (var i = 0; i < all.Length; i++)
            await SendAsync($"data: {Event(all[i], isLast: isFinished && i == all.Length - 1)}\n\n");
    }

    public void BeginStream() => Context.Response.ContentType = "text/event-stream";

    public async Task SendAsync(string text)
    {
        await Context.Response.WriteAsync(text, Gone);
        await Context.Response.Body.FlushAsync(Gone);
    }

    /// <summary>Never answers; ends when the client is gone.</summary>
    public async Task HangAsync()
    {
        var gone = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = Gone.Register(gone.SetResult);
        await gone.Task;
    }

    private static string Sealed(Action<ArrayBufferWriter<byte>> seal)
    {
        var output = new ArrayBufferWriter<byte>();
        seal(output);
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }
}

internal static class Answers
{
    public static Task JsonAsync(this HttpContext context, string json, int status = 200) => context.TextAsync(json, "application/json", status);

    public static async Task TextAsync(this HttpContext context, string text, string type, int status = 200)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        await context.Response.WriteAsync(text);
    }

    public static Task RefuseAsync(this HttpContext context, Rejection rejection) =>
        context.JsonAsync(Encoding.UTF8.GetString(rejection.ToJson()), rejection.Error.Row().Status);
}

internal static class Sealing
{
    /// <summary>Seals a request as a caller does who has keys and locks of their own.</summary>
    public static SealedRequest Seal(this TestGateway gateway, string json, bool stream, string model = "tiny")
    {
        var outer = new OuterFields { NodeKey = gateway.NodeKey.PublicKey, Model = model, Stack = new StackId(7), Stream = stream };
        SealedRequest.TrySeal(Encoding.UTF8.GetBytes(json), outer, out var request).ShouldBeTrue();
        return request!;
    }
}
