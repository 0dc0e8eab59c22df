// spec/inference.md sections 3 and 8.
using System.Net;
using System.Text.Json;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>Looks whether an engine is up, and what it is.</summary>
internal sealed class UpstreamProbe(HttpClient http, UpstreamOptions options)
{
    private const int BodyMax = 1024 * 1024;
    private const int DescriptionMax = 4 * 1024 * 1024; // vLLM's is some 300 KB
    private const int NamesShown = 8;

    private static readonly (InferenceEndpoint Endpoint, string Schema)[] Schemas =
    [
        (InferenceEndpoint.Responses, "ResponsesRequest"), (InferenceEndpoint.Messages, "AnthropicMessagesRequest"),
    ];

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Asks the engine. Never throws but for cancellation.</summary>
    public async Task<UpstreamState> AskAsync(UpstreamServer server, CancellationToken cancellation)
    {
        using var late = new CancellationTokenSource(Patience, options.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        try
        {
            var health = await GetAsync(server, "health", either.Token);
            if (WantsKey(health.Status))
                return OtherKey(health.Status);
            if (health.Status is not (HttpStatusCode.OK or HttpStatusCode.NotFound or HttpStatusCode.MethodNotAllowed))
                return Down($"answered {(int)health.Status} to /health");
            var models = await GetAsync(server, "v1/models", either.Token);
            if (WantsKey(models.Status))
                return OtherKey(models.Status); // and so it would each request; /health is open at most engines
            if (health.Status != HttpStatusCode.OK && models.Status != HttpStatusCode.OK)
                return Down($"answered {(int)models.Status} to /v1/models");
            if (options.Kind is null && ((int)models.Status >= 500 || models.Status == HttpStatusCode.TooManyRequests))
                return Down($"answered {(int)models.Status} to /v1/models");

            // At every look: another engine may have been started in its place, or the same one with its cache on.
            return await KnowAsync(server, models.Status == HttpStatusCode.OK ? models.Body : default, either.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return Down("did not answer in time");
        }
        catch (HttpRequestException e)
        {
            return Down($"was not reached ({e.HttpRequestError})");
        }
        catch (Exception e) when (e is IOException or AnswerTooLargeException)
        {
            return Down("broke off its answer");
        }
    }

    private static UpstreamState Down(string fault) => new(IsUp: false, EngineKind.Unknown, Fault: fault);

    private static bool WantsKey(HttpStatusCode status) => status is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden;

    private UpstreamState OtherKey(HttpStatusCode status) => options.ApiKey is null
        ? Down($"wants a key (it answered {(int)status})") with { Hint = "put its key into an environment variable and name that with --upstream-key-env" }
        : Down($"does not take the key that it was shown (it answered {(int)status})") with
        {
            Hint = "put the engine's key into the variable that --upstream-key-env names",
        };

    private async Task<UpstreamState> KnowAsync(UpstreamServer server, ReadOnlyMemory<byte> models, CancellationToken cancellation)
    {
        var (owner, context, known) = ReadModels(models);
        var kind = options.Kind ?? owner switch
        {
            "vllm" => EngineKind.Vllm,
            "sglang" => EngineKind.Sglang,
            "llamacpp" => EngineKind.LlamaServer,
            "library" => EngineKind.Ollama,
            null when await IsTeiAsync(server, cancellation) => EngineKind.Tei,
            _ => EngineKind.Unknown,
        };
        var isApart = options.DangerousSharedPrefixCache || kind switch
        {
            EngineKind.Vllm or EngineKind.LlamaServer or EngineKind.Tei => true,
            EngineKind.Sglang => await HasNoRadixCacheAsync(server, cancellation),
            _ => false,
        };
        if (!isApart)
        {
            return kind == EngineKind.Sglang
                ? Down("is SGLang with its radix cache on, which is shared between requests") with
                {
                    Kind = kind,
                    Hint = "start it with --disable-radix-cache, or say --dangerous-shared-prefix-cache",
                }
                : Down($"is of the kind {kind}, whose prefix cache cannot be kept apart for each request") with
                {
                    Kind = kind,
                    Hint = "name it with --upstream-kind where you know it, or say --dangerous-shared-prefix-cache: callers could then find out what others asked",
                };
        }

        // These compute with the one model that they have, whatever it is called.
        var takesAnyName = kind is EngineKind.LlamaServer or EngineKind.Sglang && known.Count == 1;
        if (known.Count > 0 && !takesAnyName && !known.Contains(EngineModel, StringComparer.Ordinal))
        {
            var names = string.Join(", ", known.Take(NamesShown).Select(Shown));
            return Down($"has no model {Shown(EngineModel)}; it has {names}{(known.Count > NamesShown ? ", ..." : "")}") with
            {
                Kind = kind,
                Hint = "name one of its models with --upstream-model NAME, or NAME=ENGINE_NAME where callers ask for it by another",
            };
        }

        var state = new UpstreamState(IsUp: true, kind, context);
        return kind is EngineKind.Vllm or EngineKind.Sglang ? await DescribeAsync(server, state, cancellation) : state;
    }

    // What has to be known of endpoints whose releases differ. One that does not tell is served with the older ones.
    private async Task<UpstreamState> DescribeAsync(UpstreamServer server, UpstreamState state, CancellationToken cancellation)
    {
        var (status, body) = await GetAsync(server, "openapi.json", cancellation, DescriptionMax);
        if (status != HttpStatusCode.OK || JsonMembers.Read(body) is not { } document || Object(document, "paths") is not { } paths)
            return state;
        var schemas = Object(document, "components") is { } components ? Object(components, "schemas") : null;
        var salted = new HashSet<InferenceEndpoint>();
        foreach (var (endpoint, schema) in Schemas)
        {
            if (schemas is not null && Object(schemas, schema) is { } request && Object(request, "properties")?.Find(UpstreamState.Salt) is not null)
                salted.Add(endpoint);
        }

        return state with
        {
            Endpoints = InferenceEndpoints.Table.Where(row => paths.Find(row.Path) is not null).Select(row => row.Endpoint).ToHashSet(),
            Salted = salted,
        };

        static JsonMembers? Object(JsonMembers outer, string name) => outer.Find(name) is { } value ? JsonMembers.Read(value) : null;
    }

    private string EngineModel => options.EngineModel ?? options.Model;

    private static string Shown(string name) => $"\"{ForeignText.Line(name)}\"";

    private (string? Owner, long? Context, IReadOnlyList<string> Known) ReadModels(ReadOnlyMemory<byte> body)
    {
        try
        {
            if (body.IsEmpty)
                return (null, null, []);
            using var document = JsonDocument.Parse(body);
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("data"u8, out var data)
                || data.ValueKind != JsonValueKind.Array)
                return ("", null, []);
            var models = data.EnumerateArray().Where(model => model.ValueKind == JsonValueKind.Object).ToList();
            var known = models.Select(model => Text(model, "id")).OfType<string>().ToList();
            var wanted = models.Find(model => Text(model, "id") == EngineModel);
            if (wanted.ValueKind != JsonValueKind.Object)
                wanted = models.FirstOrDefault();
            if (wanted.ValueKind != JsonValueKind.Object)
                return ("", null, []);
            long? context = wanted.TryGetProperty("max_model_len"u8, out var length) && length.ValueKind == JsonValueKind.Number
                && length.TryGetInt64(out var tokens) && tokens > 0
                ? tokens
                : null;
            return (Text(wanted, "owned_by") ?? "", context, known);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return ("", null, []); // InvalidOperationException: half a surrogate pair
        }

        static string? Text(JsonElement model, string name) =>
            model.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
    }

    private async Task<bool> IsTeiAsync(UpstreamServer server, CancellationToken cancellation)
    {
        var info = await GetAsync(server, "info", cancellation);
        return info.Status == HttpStatusCode.OK && JsonMembers.Read(info.Body) is { } members
            && members.Find("model_id") is not null && members.Find("max_client_batch_size") is not null;
    }

    private async Task<bool> HasNoRadixCacheAsync(UpstreamServer server, CancellationToken cancellation)
    {
        var info = await GetAsync(server, "get_server_info", cancellation);
        return info.Status == HttpStatusCode.OK && JsonMembers.Read(info.Body)?.Find("disable_radix_cache") is { } off && JsonMembers.IsTrue(off);
    }

    private async Task<(HttpStatusCode Status, ReadOnlyMemory<byte> Body)> GetAsync(
        UpstreamServer server, string path, CancellationToken cancellation, int bodyMax = BodyMax)
    {
        using var response = await http.GetAsync(new Uri(server.Root, path), HttpCompletionOption.ResponseHeadersRead, cancellation);
        var body = await UpstreamExchange.ReadAsync(response, bodyMax, cancellation);
        return (response.StatusCode, body);
    }
}
