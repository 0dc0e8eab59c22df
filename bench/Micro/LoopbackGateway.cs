using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Bench.Micro;

/// <summary>
/// Gateway and node in one, in a process of their own: locks, opens, and answers with the protocol's own types what the model's name asks
/// for. It ends when its input does.
/// </summary>
internal static class LoopbackGateway
{
    public const string Name = "gateway";

    private const long Node = 3;

    /// <summary>Model names: a whole answer; a stream written in one piece; a stream whose events are sent one by one.</summary>
    public const string Whole = "whole", AtOnce = "at-once", Paced = "paced";

    public static string WholeText { get; } = new('y', 400);

    private static readonly X25519PrivateKey NodeKey = X25519PrivateKey.Generate();
    private static readonly Blake2bTagger Tagger = new();
    private static readonly byte[] Bundle = MakeBundle();

    private static string? KeySet { get; set; }

    public static async Task RunAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        await using var app = builder.Build();
        app.MapGet("/v2/nodes", context => context.Response.WriteAsJsonAsync(List(context.Request.Query["model"]!)));
        app.MapGet($"/v2/nodes/{Node}/evidence", context =>
        {
            context.Response.ContentType = "application/json";
            return context.Response.Body.WriteAsync(Bundle).AsTask();
        });
        app.MapPost("/v1/nodes/lock", LockAsync);
        app.MapPost("/v1/confidential/chat/completions", AnswerAsync);
        await app.StartAsync();
        Console.WriteLine(app.Urls.First());
        while (await Console.In.ReadLineAsync() is not null)
        {
        }
    }

    private static byte[] MakeBundle()
    {
        using var platform = new SimulatedPlatform();
        using var ohttp = ObliviousKey.Generate(1, KemId.MlKem768X25519, [SymmetricSuite.Default]);
        var list = new ArrayBufferWriter<byte>();
        new KeyConfigurationList([ohttp.Configuration]).Write(list);
        var now = DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        var statement = new BundleStatement
        {
            Node = Node,
            Keys = new NodeKeys { Ohttp = list.WrittenMemory, X25519 = NodeKey.PublicKey.Span.ToArray(), Signing = new byte[32] },
            IssuedAt = now,
            NotAfter = now.AddHours(1),
            Nonce = new byte[BundleStatement.NonceSize],
            Software = new NodeSoftware("bench", "1"),
            Models = [.. new[] { Whole, AtOnce, Paced }.Select(model => new NodeModel(model, null))],
            Configuration = new NodeConfiguration([], [], "information", []),
        };
        KeySet = Base64Url.EncodeToString(statement.Keys.Digest());
        var bytes = statement.ToBytes();
        return EvidenceBundle.Write(bytes, platform.Sign(BundleStatement.ReportData(bytes)), []);
    }

    private static JsonObject List(string model) => new()
    {
        ["nodes"] = new JsonArray(new JsonObject
        {
            ["id"] = Node,
            ["key_set"] = KeySet,
            ["bundle"] = Convert.ToHexStringLower(SHA256.HashData(Bundle)),
            ["not_after"] = DateTimeOffset.UtcNow.AddHours(1).ToUnixTimeSeconds(),
            ["models"] = new JsonArray(model),
            ["price"] = null,
            ["load"] = 0,
        }),
    };

    private static Task LockAsync(HttpContext context)
    {
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync($$"""{"public_key":"{{NodeKey.PublicKey}}","node_small_id":3,"stack_small_id":7,"stack_entry_digest":null}""");
    }

    private static async Task AnswerAsync(HttpContext context)
    {
        var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        if (!EnvelopeRequest.TryParse(body.ToArray(), out var envelope, out _) || !OpenedRequest.TryOpen(envelope, NodeKey, Tagger, out var opened, out _))
        {
            context.Response.StatusCode = 400;
            return;
        }

        using var request = opened;
        var output = context.Response.BodyWriter;
        if (envelope.ModelName == Whole)
        {
            context.Response.ContentType = "application/json";
            request.SealWhole(
                Encoding.UTF8.GetBytes($$$"""{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"{{{WholeText}}}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":100,"total_tokens":200}}"""),
                new ClearUsage(100, 100), output);
            return;
        }

        var events = JsonNode.Parse(request.Plaintext.Span)!["max_tokens"]!.GetValue<int>();
        context.Response.ContentType = "text/event-stream";
        for (var i = 1; i <= events; i++)
        {
            output.Write("data: "u8);
            request.SealEvent(
                Encoding.UTF8.GetBytes($$$"""{"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"content":" word{{{i.ToString(CultureInfo.InvariantCulture)}}}"},"finish_reason":{{{(i < events ? "null" : "\"stop\"")}}}}]}"""),
                i == events, output);
            output.Write("\n\n"u8);
            if (envelope.ModelName == Paced)
            {
                await output.FlushAsync();
                await Task.Delay(TimeSpan.FromMilliseconds(1));
            }
        }
    }
}
