using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Receipts;
using ConfidentialChat.Protocol.V2;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Client.Tests;

/// <summary>
/// Gateway and nodes of envelope v2 in one: a real Kestrel on loopback, whose nodes open and seal with the protocol's own types. What it lists,
/// hands out and answers is the test's to say.
/// </summary>
internal sealed class RelayGateway : IAsyncDisposable
{
    public const string Key = "cc-test-secret-key";

    private readonly WebApplication app;

    private RelayGateway(WebApplication app) => this.app = app;

    public List<TestNode> Nodes { get; } = [new()];

    /// <summary>What a node does with an opened request.</summary>
    public required Func<RelayedCall, Task> Serve { get; set; }

    /// <summary>What stands in place of a relay, where it is not the honest one.</summary>
    public Func<HttpContext, Task>? Relay { get; set; }

    public Func<HttpContext, Task>? List { get; set; }

    /// <summary>The node whose bundle is handed out for one that is asked for.</summary>
    public Func<long, TestNode?>? Evidence { get; set; }

    public string? Tag { get; set; }

    /// <summary>What it has of what bundles name by digest.</summary>
    public List<byte[]> Documents { get; } = [];

    /// <summary>What <c>/v1/balance</c> and <c>/v1/usage</c> answer.</summary>
    public Func<HttpContext, Task>? Account { get; set; }

    /// <summary>What <c>/v1/models</c> answers.</summary>
    public string Models { get; set; } = """{"object":"list","data":[]}""";

    /// <summary>Every path that was asked for, with its method, in order.</summary>
    public ConcurrentQueue<string> Asked { get; } = [];

    public ConcurrentQueue<RelayedCall> Calls { get; } = [];

    public ConcurrentQueue<IReadOnlyDictionary<string, string>> Headers { get; } = [];

    public TestNode Node => Nodes[0];

    public Uri Url => new(app.Urls.First());

    public int Lists => Count("/v2/nodes");

    public int Bundles => Asked.Count(path => path.EndsWith("/evidence", StringComparison.Ordinal));

    public int Relays => Asked.Count(path => path.EndsWith("/relay", StringComparison.Ordinal));

    /// <summary>Of one attempt, and of simulated evidence: what a test does not ask for is not made again.</summary>
    public ConfidentialChatOptions Options => new()
    {
        BearerKey = Key,
        ServerUrl = Url,
        Retries = RetryConfig.None,
        Policy = TestNode.Simulated,
    };

    public static async Task<RelayGateway> StartAsync(Func<RelayedCall, Task>? serve = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var gateway = new RelayGateway(builder.Build()) { Serve = serve ?? (call => call.WholeAsync(Chats.Answer)) };
        gateway.app.Run(gateway.AnswerAsync);
        await gateway.app.StartAsync();
        return gateway;
    }

    public ConfidentialChatClient Client(Func<ConfidentialChatOptions, ConfidentialChatOptions>? change = null) =>
        new(change is null ? Options : change(Options));

    /// <summary>Opens a relayed request as its node does; null where it does not open.</summary>
    public async Task<RelayedCall?> OpenAsync(HttpContext context)
    {
        var id = long.Parse(context.Request.Path.Value!.Split('/')[3]);
        foreach (var node in Nodes.Where(node => node.Id == id))
        {
            if (node.KeySet != context.Request.Headers[RelayHeaders.KeySet])
                continue;
            var opener = new ChunkedRequestOpener(new ObliviousKeyRing(node.Key), context.Request.BodyReader, ChunkLimits.Request);
            using var message = new MemoryStream();
            OpenedChunk chunk;
            do
            {
                chunk = await opener.ReadAsync();
                message.Write(chunk.Plaintext.Span);
            }
            while (chunk.Outcome == OpenOutcome.Opened);
            if (chunk.Outcome != OpenOutcome.Final)
                return null;
            InnerCall.TryRead(message.ToArray(), out var call, out var rejection).ShouldBeTrue(rejection?.ToString());
            return new RelayedCall(context, node, call!, opener, (int)message.Length);
        }

        return null;
    }

    public async Task RelayAsync(HttpContext context)
    {
        if (await OpenAsync(context) is not { } call)
        {
            await context.ProblemAsync(RequestError.UnknownNodeKey);
            return;
        }

        using (call)
        {
            Calls.Enqueue(call);
            await Serve(call);
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
        Nodes.ForEach(node => node.Dispose());
    }

    private int Count(string path) => Asked.Count(asked => asked == path);

    private async Task AnswerAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        Asked.Enqueue(path);
        if (context.Request.Headers.Authorization != $"Bearer {Key}")
            await context.ProblemAsync(RequestError.AuthError);
        else if (Account is not null && (path == "/v1/balance" || path.StartsWith("/v1/usage", StringComparison.Ordinal)))
            await Account(context);
        else if (path == "/v2/nodes")
            await (List ?? ListAsync)(context);
        else if (path.EndsWith("/evidence", StringComparison.Ordinal))
            await EvidenceAsync(context, long.Parse(path.Split('/')[3]));
        else if (path.EndsWith("/relay", StringComparison.Ordinal))
        {
            Headers.Enqueue(context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase));
            await (Relay ?? RelayAsync)(context);
        }
        else if (path.StartsWith("/v2/collateral/", StringComparison.Ordinal)
            && Documents.Find(document => path.EndsWith(Convert.ToHexStringLower(SHA256.HashData(document)), StringComparison.Ordinal)) is { } document)
        {
            context.Response.ContentType = "application/octet-stream";
            await context.Response.Body.WriteAsync(document);
        }
        else if (path == "/v1/models")
            await context.JsonAsync(Models);
        else
            await context.ProblemAsync(RequestError.NotFound, forwarded: false);
    }

    private async Task ListAsync(HttpContext context)
    {
        if (Tag is not null)
        {
            context.Response.Headers.ETag = Tag;
            if (context.Request.Headers.IfNoneMatch == Tag)
            {
                context.Response.StatusCode = 304;
                return;
            }
        }

        // The newest key set of each node.
        var newest = Nodes.GroupBy(node => node.Id).Select(sets => sets.Last().Listed);
        await context.JsonAsync($$"""{"nodes":[{{string.Join(',', newest)}}]}""");
    }

    private async Task EvidenceAsync(HttpContext context, long id)
    {
        var node = Evidence is null ? Nodes.Last(node => node.Id == id) : Evidence(id);
        if (node is null)
        {
            await context.ProblemAsync(RequestError.NotFound, forwarded: false);
        }
        else if (context.Request.Method == "POST")
        {
            var challenge = Convert.FromBase64String((string)(await JsonNode.ParseAsync(context.Request.Body))!["challenge"]!);
            var tree = new ChallengeTree([new byte[32], challenge]);
            await context.JsonAsync(Encoding.UTF8.GetString(LiveEvidence.Write(node.Issue(tree.Root), tree, 1)));
        }
        else
        {
            await context.JsonAsync(Encoding.UTF8.GetString(node.Bundle));
        }
    }
}

/// <summary>One opened request of envelope v2, and the ways to answer it.</summary>
internal sealed class RelayedCall(HttpContext context, TestNode node, InnerCall inner, ChunkedRequestOpener opener, int size) : IDisposable
{
    private SealedAnswerWriter? writer;
    private ReceiptClosing? closing;

    public InnerCall Inner => inner;

    public TestNode Node => node;

    public ChunkedRequestOpener Opener => opener;

    public int MessageSize => size;

    public HttpContext Context => context;

    public CancellationToken Gone => context.RequestAborted;

    public string Json => Encoding.UTF8.GetString(inner.Body.Span);

    /// <summary>What has been sealed so far goes out.</summary>
    public SealedAnswerWriter Writer
    {
        get
        {
            if (writer is null)
            {
                context.Features.Get<IHttpResponseBodyFeature>()!.DisableBuffering();
                context.Response.ContentType = ChunkedAnswerSealer.MediaType;
                writer = new SealedAnswerWriter(opener.SealAnswer(context.Response.BodyWriter));
            }

            return writer;
        }
    }

    /// <summary>Signs a receipt behind the answer: the true one, or what a test makes of it.</summary>
    public void Receipted(Func<ReceiptDraft, ReceiptDraft>? change = null, Func<ReceiptClosing, ReceiptClosing>? close = null)
    {
        var draft = Draft(new KeySetDigest(KeySetBytes(node.KeySet)), inner.Request);
        Writer.Record(change?.Invoke(draft) ?? draft);
        closing = new ReceiptClosing(new Usage(1, 2), DateTimeOffset.UtcNow, node.Signing);
        closing = close?.Invoke(closing) ?? closing;
    }

    /// <summary>The true one but for what is said.</summary>
    public ReceiptDraft Draft(
        KeySetDigest keySet, RequestId request, string? model = null, byte[]? weights = null, byte[]? encapsulation = null, ComputeUnits? units = null,
        byte[]? message = null)
    {
        var draft = new ReceiptDraft
        {
            KeySet = keySet,
            Request = request,
            Model = model ?? inner.Model,
            Weights = (weights ?? (node.Weights is null ? null : Convert.FromHexString(node.Weights))) is { } digest ? (ReadOnlyMemory<byte>?)digest : null,
            MaxUnits = units ?? inner.MaxUnits,
            Encapsulation = Sha256.Hash(encapsulation ?? opener.Encapsulation.Span),
        };
        draft.HashRequest(message ?? inner.Message.Span);
        return draft;
    }

    private static byte[] KeySetBytes(string keySet) => System.Buffers.Text.Base64Url.DecodeFromChars(keySet);

    public async Task FlushAsync() => await context.Response.BodyWriter.FlushAsync(Gone);

    public async Task WholeAsync(string json, int status = 200, params Field[] more)
    {
        Writer.WriteWhole(status, FieldSection.Create([new Field("content-type", "application/json"), .. more]), Encoding.UTF8.GetBytes(json), closing);
        await FlushAsync();
    }

    public Task RefuseAsync(RequestError error, params Field[] more) =>
        WholeAsync(Encoding.UTF8.GetString(new Rejection(error).ToJson()), error.Row().Status, more);

    /// <summary>A whole answer as its bytes are on the wire, for a test to spoil.</summary>
    public byte[] Sealed(string json)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using var whole = new SealedAnswerWriter(opener.SealAnswer(bytes));
        whole.WriteWhole(200, FieldSection.Create([new Field("content-type", "application/json")]), Encoding.UTF8.GetBytes(json));
        return bytes.WrittenSpan.ToArray();
    }

    public async Task BytesAsync(byte[] bytes, string type = ChunkedAnswerSealer.MediaType)
    {
        context.Response.ContentType = type;
        await context.Response.Body.WriteAsync(bytes, Gone);
    }

    public void BeginStream() => Writer.BeginStream(FieldSection.Create([new Field("content-type", "text/event-stream")]));

    public async Task SendAsync(string data)
    {
        Writer.WriteEvents(Encoding.UTF8.GetBytes($"data: {data}\n\n"));
        await FlushAsync();
    }

    public async Task StreamAsync(params IEnumerable<string> chunks)
    {
        BeginStream();
        foreach (var chunk in chunks)
            await SendAsync(chunk);
        await StreamEndAsync();
    }

    public async Task StreamEndAsync()
    {
        await SendAsync("[DONE]");
        Writer.EndStream(closing);
        await FlushAsync();
    }

    /// <summary>What a node does whose engine breaks off.</summary>
    public async Task CutOffAsync()
    {
        Writer.TryCutOff(closing!).ShouldBeTrue();
        await FlushAsync();
    }

    public void Dispose()
    {
        writer?.Dispose();
        opener.Dispose();
    }
}

internal static class Problems
{
    public static Task ProblemAsync(this HttpContext context, RequestError error, bool? forwarded = null) =>
        context.TextAsync(Encoding.UTF8.GetString(new ProblemDocument(error, forwarded).ToJson()), ProblemDocument.MediaType, error.Row().Status);
}
