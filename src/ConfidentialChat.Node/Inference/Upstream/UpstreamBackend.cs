// spec/inference.md sections 2 to 8.
using System.Net.Http.Headers;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>A model behind OpenAI-compatible servers: vLLM, SGLang, llama-server, Ollama, TEI and their like.</summary>
public sealed class UpstreamBackend : IInferenceBackend
{
    private const int CompletionDefault = 16; // max_tokens of /v1/completions, as the API has it

    private const int UnansweredTokensPerSecond = 20; // of one choice; a guess in the middle of what engines do

    /// <summary>Below the 5 s after which uvicorn, in front of vLLM and SGLang, closes an idle connection.</summary>
    private static readonly TimeSpan IdleConnection = TimeSpan.FromSeconds(4);

    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private readonly UpstreamOptions options;
    private readonly string engineModel;
    private readonly HttpClient http;
    private readonly HttpMessageInvoker invoker; // for what has a prompt in it
    private readonly UpstreamServer[] servers;
    private readonly UpstreamProbe probe;
    private readonly PromptCount count;
    private readonly CancellationTokenSource stopping = new();
    private readonly Lock gate = new();
    private Task watching = Task.CompletedTask;
    private uint turn;
    private bool wasAlive;
    private int isDisposed;

    private UpstreamBackend(UpstreamOptions options)
    {
        this.options = options;
        engineModel = options.EngineModel ?? options.Model;
        Models = [options.Model];
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false, // whoever answers for the engine does not choose where the prompt goes
            UseCookies = false,
            UseProxy = false,
            ConnectTimeout = options.ConnectTimeout,
            PooledConnectionIdleTimeout = IdleConnection,
            PooledConnectionLifetime = TimeSpan.FromMinutes(10), // names may move
            ResponseDrainTimeout = TimeSpan.Zero, // a request that ends early stops the engine at once
            MaxResponseDrainSize = 0,
            ActivityHeadersPropagator = null,
            PlaintextStreamFilter = static (context, _) => ValueTask.FromResult<Stream>(new EarlyAnswerStream(context.PlaintextStream)),
        };
        http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        invoker = new HttpMessageInvoker(handler, disposeHandler: false);
        if (options.ApiKey is not null)
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", options.ApiKey);
        servers = [.. options.Urls.Select(url => new UpstreamServer(url, options))];
        probe = new UpstreamProbe(http, options);
        count = new PromptCount(invoker);
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> Models { get; }

    /// <inheritdoc/>
    public bool IsAlive => Array.Exists(servers, server => server.State.IsUp);

    /// <inheritdoc/>
    public event Action? AliveChanged;

    /// <inheritdoc/>
    public EngineDescription Description => EngineDescription.None with
    {
        Upstreams = [.. options.Urls.Select(url => url.GetLeftPart(UriPartial.Path))],
        Dangerous =
        [
            .. options.DangerousRemoteEngine ? ["remote-engine"] : Array.Empty<string>(),
            .. options.DangerousSharedPrefixCache ? ["shared-prefix-cache"] : Array.Empty<string>(),
        ],
    };

    /// <summary>Why engines are not served, one line each without names of secrets; empty where all are.</summary>
    public IReadOnlyList<string> Faults =>
        [.. servers.Where(server => !server.State.IsUp).Select(server => $"The engine at {server.Name} {server.State.Fault}.")];

    /// <summary>Looks at every engine once, and from then on at intervals. One that is down is served when it is up.</summary>
    /// <exception cref="UpstreamException">An option is no good, or an engine is reached and wants another
    /// key, has no such model, or cannot keep callers' prompts apart.</exception>
    public static async Task<UpstreamBackend> OpenAsync(UpstreamOptions options, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        var backend = new UpstreamBackend(options);
        try
        {
            await Task.WhenAll(backend.servers.Select(server => backend.LookAsync(server, cancellation)));
            if (Array.Find(backend.servers, server => server.State.Hint is not null) is { State: var unfit } server)
                throw new UpstreamException($"The engine at {server.Name} {unfit.Fault}.", unfit.Hint!);

            backend.wasAlive = backend.IsAlive;
            backend.watching = Task.WhenAll(backend.servers.Select(backend.WatchAsync));
            return backend;
        }
        catch
        {
            await backend.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task<InferenceStart> StartAsync(InferenceRequest request, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(request);
        ObjectDisposedException.ThrowIf(isDisposed != 0, this);

        // 1. What is asked for?
        if (UpstreamRequest.Read(request, Context(), out var unread) is not { } asked)
            return unread!;

        // 2. An engine that is up, with the fewest requests. One that is not reached has computed nothing: one other may.
        UpstreamServer? missed = null;
        while (true)
        {
            if (Enter(missed, asked.Endpoint, out var isFull, out var isServed) is not { } server)
            {
                return isFull ? new InferenceStart.Refused(InferenceRefusal.Busy)
                    : !isServed && IsAlive ? new InferenceStart.Refused(InferenceRefusal.NotServed) { Served = Served() }
                    : throw new InferenceException(InferenceFailure.Failed, $"No engine of the model is up. {string.Join(' ', Faults)}");
            }

            try
            {
                return await AskAsync(server, request, asked, cancellation);
            }
            catch (NotReachedException e)
            {
                Set(server, new UpstreamState(IsUp: false, EngineKind.Unknown, Fault: "was not reached"));
                if (missed is not null || servers.Length == 1)
                    throw new InferenceException(InferenceFailure.Failed, e.Message);
                missed = server;
            }
        }
    }

    /// <summary>Ends what is being answered and closes every connection. Safe more than once.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref isDisposed, 1) != 0)
            return;
        await stopping.CancelAsync();
        await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        http.Dispose();
        stopping.Dispose();
    }

    // The place at the server is held until the answer has been disposed of, or until here where there is none.
    private async Task<InferenceStart> AskAsync(UpstreamServer server, InferenceRequest request, UpstreamRequest asked, CancellationToken cancellation)
    {
        var patience = new Patience(options.AnswerTimeout, asked.Stream ? options.FirstTokenTimeout : options.AnswerTimeout, options.Time, cancellation);
        var exchange = new UpstreamExchange(server, options, asked, patience);
        var isTaken = false;
        try
        {
            // 3. Does it fit?
            var (bound, refused) = await FitAsync(server, request, asked, patience);
            if (refused is not null)
                return refused;

            // 4. Ask, and wait for the first part.
            var body = asked.Write(server.State, engineModel, options.DangerousSharedPrefixCache, bound.MaxTokens);
            var begun = options.Time.GetTimestamp();
            UpstreamPart? part;
            InferenceStart.Refused? refusal;
            try
            {
                (part, refusal) = await exchange.BeginAsync(invoker, Path(asked.Endpoint), body);
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested && exchange.IsSent)
            {
                throw new InferenceAbandonedException(Worked(), cancellation);
            }
            catch (InferenceException e) when (e.Failure == InferenceFailure.TimedOut && exchange.IsSent)
            {
                throw new InferenceException(e.Failure, e.Message) { Usage = Worked() };
            }

            if (refusal is { Reason: InferenceRefusal.NotServed })
                return refusal with { Served = [.. Served().Where(endpoint => endpoint != asked.Endpoint)] };
            if (refusal is not null)
                return refusal;
            if (part is null)
                throw new InferenceException(InferenceFailure.Failed, $"The engine at {server.Name} gave an empty answer.");
            isTaken = true;
            return new InferenceStart.Started(new UpstreamAnswer(exchange, part, asked, bound.Counted, request.MaxUnits));

            Usage Worked() => Unanswered(asked, bound, options.Time.GetElapsedTime(begun)).CappedAt(request.MaxUnits);
        }
        finally
        {
            if (!isTaken)
                exchange.Dispose();
        }
    }

    /// <summary>The largest completion of a choice that the reservation and the context leave.</summary>
    private async Task<((long? MaxTokens, long? Counted) Bound, InferenceStart.Refused? Refused)> FitAsync(
        UpstreamServer server, InferenceRequest request, UpstreamRequest asked, Patience patience)
    {
        var tooLarge = (default((long?, long?)), new InferenceStart.Refused(InferenceRefusal.ContextTooLarge));
        var units = request.MaxUnits.Value;
        if (asked.Endpoint == InferenceEndpoint.ImageGenerations)
            return asked.Pixels <= units ? (default, null) : tooLarge;
        if (asked.Endpoint == InferenceEndpoint.CountTokens)
            return (default, null);

        var completes = asked.Endpoint != InferenceEndpoint.Embeddings;
        var wanted = !completes ? 0 : asked.MaxTokens ?? (asked.Endpoint == InferenceEndpoint.Completions ? CompletionDefault : 1);
        var context = server.State.ContextTokens;

        // The bytes are a bound that costs nothing. The engine's tokenizer is asked only where they are too many.
        var prompt = asked.PromptBound;
        long? counted = null;
        var fits = prompt <= units && wanted <= (units - prompt) / asked.Choices;
        var isTight = asked is { MaxTokens: null, Endpoint: InferenceEndpoint.ChatCompletions, Choices: > 1 }
            && context - prompt < (units - prompt) / asked.Choices;
        if (!fits || isTight)
        {
            try
            {
                counted = await count.AskAsync(server, server.State, engineModel, asked, patience.Token);
            }
            catch (OperationCanceledException) when (patience.IsTimedOut)
            {
                throw new InferenceException(InferenceFailure.TimedOut, $"The engine at {server.Name} took too long.");
            }

            // An engine may read more than its tokenizer was shown: the rest is bounded by its bytes still.
            prompt = counted + PromptCount.Rest(asked) ?? prompt;
        }

        if (!completes)
            return prompt <= units ? ((null, counted), null) : tooLarge;
        var room = (units - prompt) / asked.Choices;
        if (prompt > units || room < Math.Min(wanted, 1))
            return tooLarge;
        if (asked.MaxTokens is not null)
            return ((room, counted), null);
        if (asked.Endpoint == InferenceEndpoint.Completions)
            return ((Math.Min(room, CompletionDefault), counted), null);

        // The context alone keeps it within the reservation: the engine fills what there is.
        if (context is { } tokens)
        {
            if (asked.Choices == 1 && tokens <= units)
                return ((null, counted), null);
            if (counted >= tokens)
                return tooLarge;

            // Uncounted, a prompt of more bytes than the context has tokens may fit or not. The engine knows, and refuses what does not.
            if (tokens - (counted ?? prompt) is > 0 and var left)
                room = Math.Min(room, left);
        }

        return ((room, counted), null);
    }

    /// <summary>What an engine may have computed before the first part, or the end of a whole answer, for a caller who left or until its time was up.</summary>
    private static Usage Unanswered(UpstreamRequest asked, (long? MaxTokens, long? Counted) bound, TimeSpan elapsed)
    {
        if (asked.Endpoint == InferenceEndpoint.ImageGenerations)
            return new Usage(0, 0) { Pixels = asked.Pixels };
        if (asked.Endpoint == InferenceEndpoint.CountTokens)
            return default;
        var prompt = bound.Counted ?? asked.PromptEstimate;
        if (asked.Stream || asked.Endpoint == InferenceEndpoint.Embeddings)
            return new Usage(prompt, 0);
        var most = Math.Min(asked.MaxTokens ?? long.MaxValue, bound.MaxTokens ?? long.MaxValue);
        return new Usage(prompt, Math.Min((long)(elapsed.TotalSeconds * UnansweredTokensPerSecond), most) * asked.Choices);
    }

    /// <summary>What the largest context of an engine that is up can hold; null where one says nothing of its own.</summary>
    private ContextBound? Context()
    {
        var largest = 0L;
        foreach (var server in servers)
        {
            if (server.State is { IsUp: true, ContextTokens: var tokens })
            {
                if (tokens is null)
                    return null;
                largest = Math.Max(largest, tokens.Value);
            }
        }

        return largest > 0 ? ContextBound.OfAnyVocabulary(largest) : null;
    }

    /// <summary>What engines that are up serve.</summary>
    private IReadOnlyList<InferenceEndpoint> Served() =>
        [.. servers.Where(server => server.State.IsUp).SelectMany(server => server.State.Served(options.DangerousSharedPrefixCache)).Distinct().Order()];

    private UpstreamServer? Enter(UpstreamServer? except, InferenceEndpoint endpoint, out bool isFull, out bool isServed)
    {
        (isFull, isServed) = (false, false);
        var first = (int)(Interlocked.Increment(ref turn) % (uint)servers.Length);
        var candidates = Enumerable.Range(0, servers.Length).Select(i => servers[(first + i) % servers.Length])
            .Where(server => server != except && server.State.IsUp).OrderBy(server => server.Running);
        foreach (var server in candidates)
        {
            if (!server.State.Serves(endpoint, options.DangerousSharedPrefixCache))
                continue;
            isServed = true;
            if (server.TryEnter())
                return server;
            isFull = true;
        }

        return null;
    }

    private async Task WatchAsync(UpstreamServer server)
    {
        try
        {
            // In short steps: one that a request did not reach is looked at soon, however long the interval.
            var step = options.HealthInterval < RetryInterval ? options.HealthInterval : RetryInterval;
            for (var looked = options.Time.GetTimestamp(); ;)
            {
                await Task.Delay(step, options.Time, stopping.Token);
                if (server.State.IsUp && options.Time.GetElapsedTime(looked) < options.HealthInterval)
                    continue;
                await LookAsync(server, stopping.Token);
                looked = options.Time.GetTimestamp();
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task LookAsync(UpstreamServer server, CancellationToken cancellation) => Set(server, await probe.AskAsync(server, cancellation));

    private void Set(UpstreamServer server, UpstreamState state)
    {
        lock (gate)
        {
            server.State = state;
            if (IsAlive == wasAlive)
                return;
            wasAlive = !wasAlive;
        }

        AliveChanged?.Invoke();
    }

    private static string Path(InferenceEndpoint endpoint) => endpoint.Row().Path.TrimStart('/'); // below the engine's root
}
