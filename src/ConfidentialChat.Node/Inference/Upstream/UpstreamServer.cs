// spec/inference.md sections 3 and 8.
using System.Collections.Concurrent;
using System.Net.Http.Headers;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>What is known of an engine.</summary>
/// <param name="IsUp">Whether it takes requests.</param>
/// <param name="Kind">What it is.</param>
/// <param name="ContextTokens">Tokens of a request, where it says so.</param>
/// <param name="Fault">Why it is not up, for its operator.</param>
/// <param name="Hint">What its operator can do about it, where it is there and cannot be served, or not safely.</param>
internal sealed record UpstreamState(bool IsUp, EngineKind Kind, long? ContextTokens = null, string? Fault = null, string? Hint = null)
{
    public const string Salt = "cache_salt";
    private const string Switch = "cache_prompt";

    private static readonly InferenceEndpoint[] OfEmbeddings = [InferenceEndpoint.Embeddings];
    private static readonly InferenceEndpoint[] OfMost = [InferenceEndpoint.ChatCompletions, InferenceEndpoint.Completions];

    /// <summary>What it says that it has; null where it does not say.</summary>
    public IReadOnlySet<InferenceEndpoint>? Endpoints { get; init; }

    /// <summary>Of the endpoints with named events those at which it takes a salt for its prefix cache.</summary>
    public IReadOnlySet<InferenceEndpoint> Salted { get; init; } = new HashSet<InferenceEndpoint>();

    /// <summary>The member that keeps a request out of the prefix cache; null where it takes none, or needs none.</summary>
    public string? CacheMember(InferenceEndpoint endpoint) => (Kind, endpoint) switch
    {
        (_, InferenceEndpoint.ImageGenerations or InferenceEndpoint.CountTokens) => null,
        (EngineKind.Vllm or EngineKind.Sglang, InferenceEndpoint.Responses or InferenceEndpoint.Messages) => Salted.Contains(endpoint) ? Salt : null,
        (EngineKind.Vllm or EngineKind.Sglang, _) => Salt,
        (EngineKind.LlamaServer, not InferenceEndpoint.Messages) => Switch,
        _ => null,
    };

    /// <summary>Whether it may be asked: it has the endpoint, or does not say, and callers are kept apart there. For the older ones any engine is.</summary>
    public bool Serves(InferenceEndpoint endpoint, bool sharesCache) =>
        !endpoint.Row().HasNamedEvents
        || (Kind != EngineKind.Tei && Endpoints?.Contains(endpoint) != false && (sharesCache || IsApart(endpoint)));

    /// <summary>What it serves, for a caller who asked for something else.</summary>
    public IEnumerable<InferenceEndpoint> Served(bool sharesCache) =>
        Endpoints?.Where(endpoint => Serves(endpoint, sharesCache)) ?? (Kind == EngineKind.Tei ? OfEmbeddings : OfMost);

    private bool IsApart(InferenceEndpoint endpoint) =>
        endpoint == InferenceEndpoint.CountTokens || Kind == EngineKind.Sglang || CacheMember(endpoint) is not null;
}

/// <summary>One engine at one URL, with the requests that it is computing.</summary>
internal sealed class UpstreamServer(Uri root, UpstreamOptions options)
{
    private static readonly MediaTypeHeaderValue JsonType = new("application/json");
    private static readonly MediaTypeWithQualityHeaderValue Json = new("application/json"), Events = new("text/event-stream");

    private readonly AuthenticationHeaderValue? authorization = options.ApiKey is { } key ? new AuthenticationHeaderValue("Bearer", key) : null;
    private readonly ConcurrentDictionary<string, Uri> addresses = new();
    private int running;
    private volatile UpstreamState state = new(IsUp: false, EngineKind.Unknown, Fault: "was not asked yet");

    /// <summary>Ends with a slash; paths such as <c>v1/models</c> go behind it.</summary>
    public Uri Root { get; } = WithoutVersion(root);

    public string Name => Root.Authority;

    public UpstreamState State
    {
        get => state;
        set => state = value;
    }

    public int Running => Volatile.Read(ref running);

    /// <summary>Takes one of its places; false where there is none.</summary>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref running) <= options.MaxConcurrent)
            return true;
        Interlocked.Decrement(ref running);
        return false;
    }

    public void Leave() => Interlocked.Decrement(ref running);

    /// <summary>Sends a request that has a prompt in it, and waits for the head of the answer.</summary>
    /// <param name="http">The handler itself: nothing follows, buffers or repeats.</param>
    /// <param name="path">Below the root.</param>
    /// <param name="content">JSON.</param>
    /// <param name="streams">Whether events are asked for.</param>
    /// <param name="cancellation">Breaks the connection.</param>
    /// <param name="request">Whose headers go along.</param>
    /// <exception cref="NotReachedException">No connection came about, so nothing was computed.</exception>
    public async Task<HttpResponseMessage> SendAsync(
        HttpMessageInvoker http, string path, HttpContent content, bool streams, CancellationToken cancellation, UpstreamRequest? request = null)
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, addresses.GetOrAdd(path, static (path, root) => new Uri(root, path), Root))
        {
            Content = content,
        };
        content.Headers.ContentType = JsonType;
        message.Headers.Accept.Add(streams ? Events : Json);
        message.Headers.Authorization = authorization;
        foreach (var (name, value) in request?.Headers ?? [])
            message.Headers.TryAddWithoutValidation(name, value);
        try
        {
            return await http.SendAsync(message, cancellation);
        }
        catch (HttpRequestException e) when (
            e.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError)
        {
            throw new NotReachedException(Name);
        }
        catch (OperationCanceledException e) when (e.InnerException is TimeoutException && !cancellation.IsCancellationRequested)
        {
            throw new NotReachedException(Name); // the handler's ConnectTimeout
        }
    }

    // People write the URL with "/v1", as OpenAI's clients want it, and without.
    private static Uri WithoutVersion(Uri url)
    {
        var path = url.AbsolutePath.TrimEnd('/');
        if (path.EndsWith("/v1", StringComparison.Ordinal))
            path = path[..^"/v1".Length];
        return new Uri(url, path + "/");
    }
}

/// <summary>An engine was not reached, so nothing was computed.</summary>
internal sealed class NotReachedException(string engine) : Exception($"The engine at {engine} was not reached.");
