// spec/gateway.md sections 2 and 3.
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Node.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>Enrols the node and keeps telling the gateway how it is.</summary>
internal sealed partial class GatewayLink(
    NodeOptions options,
    NodeIdentity identity,
    GatewayEnrolment enrolment,
    KeyRing ring,
    Admission admission,
    IInferenceBackend engine,
    GatewayClient gateway,
    NodeAddress address,
    IHostApplicationLifetime lifetime,
    ILogger<GatewayLink> logger) : BackgroundService, IHostedLifecycleService
{
    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);

    /// <summary>An enrolled node that is refused tries this often again, with its token where it has one, before it gives up.</summary>
    private const int MaxRefusals = 5;

    /// <summary>How long a node that is empty waits for its gateway to hear that it leaves.</summary>
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(2);

    private readonly SemaphoreSlim news = new(0);
    private TimeSpan interval = TimeSpan.FromSeconds(5);
    private readonly TaskCompletionSource ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource left = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool beaten;

    /// <summary>Completes with the first enrolment or heartbeat that the gateway answered.</summary>
    public Task Ready => ready.Task;

    /// <summary>Enrolled, and the gateway has answered the last heartbeat.</summary>
    public bool IsReady => enrolment.Current is not null && Volatile.Read(ref beaten) && !admission.IsClosed && engine.IsAlive;

    /// <summary>
    /// Drains before anything is stopped: the node still listens, so that newcomers are told 503, tells its gateway, and ends what it serves.
    /// </summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        admission.Close();
        Tell();
        await admission.Empty.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (enrolment.Current is not null)
            await left.Task.WaitAsync(Farewell, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        ring.Changed += Tell;
        engine.AliveChanged += OnEngineChanged;
        try
        {
            await address.Known.WaitAsync(stoppingToken);
            var enrols = enrolment.Current is null;
            var refusals = 0;
            while (true)
            {
                var outcome = enrols ? await EnrolAsync(stoppingToken) : await BeatAsync(stoppingToken);
                Volatile.Write(ref beaten, outcome == Outcome.Done);
                if (outcome == Outcome.Done)
                {
                    (enrols, refusals) = (false, 0);
                    ready.TrySetResult();
                }
                else if (outcome == Outcome.Refused)
                {
                    // Once enrolled, the gateway may have forgotten this node or a clock may be wrong: both ways in turn, for a while.
                    if (enrolment.Current is null || ++refusals > MaxRefusals)
                    {
                        GiveUp();
                        return;
                    }

                    enrols = !enrols && options.EnrolmentToken is not null;
                }

                await news.WaitAsync(outcome == Outcome.Done ? interval : RetryDelay, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
        finally
        {
            ring.Changed -= Tell;
            engine.AliveChanged -= OnEngineChanged;
            left.TrySetResult();
        }
    }

    public override void Dispose()
    {
        news.Dispose();
        base.Dispose();
    }

    private void OnEngineChanged()
    {
        LogEngine(logger, engine.AliveModels.Count, engine.Models.Count);
        Tell();
    }

    private void Tell()
    {
        if (news.CurrentCount == 0)
            news.Release();
    }

    private async Task<Outcome> EnrolAsync(CancellationToken cancellation)
    {
        if (options.EnrolmentToken is not { } token)
            return Outcome.Refused;
        var request = new EnrolmentRequest
        {
            IdentityKey = identity.Key.PublicKey.ToString(),
            Address = await address.Known.WaitAsync(cancellation),
            TlsPin = identity.TlsPin,
            Status = Status(),
        };
        using var answer = await gateway.PostAsync(NodePaths.Enrolment, request, NodeMessageJson.Default.EnrolmentRequest, null, token, cancellation);
        if (answer is not { StatusCode: HttpStatusCode.OK })
            return Failed(answer, NodePaths.Enrolment);

        var body = await GatewayClient.ReadAsync(answer, NodeMessageJson.Default.EnrolmentAnswer, cancellation);
        if (body is not { HeartbeatSeconds: > 0 and <= 3600 } || !Ed25519PublicKey.TryParse(body.GatewayKey, out var key))
            return Failed(answer, NodePaths.Enrolment);
        interval = TimeSpan.FromSeconds(body.HeartbeatSeconds);
        enrolment.Set(new EnrolledGateway(options.GatewayUrl, new NodeId(body.NodeId), key));
        LogEnrolled(logger, body.NodeId, options.GatewayUrl);
        return Outcome.Done;
    }

    private async Task<Outcome> BeatAsync(CancellationToken cancellation)
    {
        var node = enrolment.Current!.Node;
        var status = Status();
        using var answer = await gateway.PostAsync(NodePaths.Heartbeat, status, NodeMessageJson.Default.NodeStatus, node, null, cancellation);
        if (answer is not { IsSuccessStatusCode: true })
            return Failed(answer, NodePaths.Heartbeat);
        if (status.State == NodeState.Draining)
            left.TrySetResult();
        return Outcome.Done;
    }

    private Outcome Failed(HttpResponseMessage? answer, string path)
    {
        if (answer is null)
            return Outcome.NotReached;
        LogUnexpected(logger, path, (int)answer.StatusCode);
        return answer.StatusCode == HttpStatusCode.Unauthorized ? Outcome.Refused : Outcome.NotReached;
    }

    // The enrolment on disk stays: it may be a clock that is wrong, not the gateway's memory.
    private void GiveUp()
    {
        if (enrolment.Current is null && options.EnrolmentToken is null)
            LogNoToken(logger, options.GatewayUrl);
        else
            LogNotEnrolled(logger, options.GatewayUrl);
        Environment.ExitCode = NodeExitCode.NotEnrolled;
        lifetime.StopApplication();
    }

    private NodeStatus Status() => new()
    {
        TimeMs = gateway.NextTimeMs(),
        State = admission.IsClosed || !engine.IsAlive ? NodeState.Draining : NodeState.Ready,
        Models = engine.IsAlive ? engine.AliveModels : engine.Models,
        Keys = ring.PublicKeys,
        Running = admission.Running,
        Queued = admission.Queued,
    };

    private enum Outcome
    {
        Done,
        NotReached,
        Refused,
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "An engine came or went: {Alive} of {Models} models are served.")]
    private static partial void LogEngine(ILogger logger, int alive, int models);

    [LoggerMessage(Level = LogLevel.Information, Message = "Enrolled as node {Node} of {Gateway}.")]
    private static partial void LogEnrolled(ILogger logger, long node, Uri gateway);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The gateway answered {Path} with {Status}.")]
    private static partial void LogUnexpected(ILogger logger, string path, int status);

    [LoggerMessage(Level = LogLevel.Critical, Message = "This node is not enrolled at {Gateway}, and no enrolment secret was given. The node stops. hint: at the gateway: cchat nodes token; here: export CONFIDENTIALCHAT_ENROLMENT_TOKEN=cce_...")]
    private static partial void LogNoToken(ILogger logger, Uri gateway);

    [LoggerMessage(Level = LogLevel.Critical, Message = "{Gateway} does not know this node, and there is no enrolment token that it takes. The node stops. hint: make a token at the gateway and start the node with it.")]
    private static partial void LogNotEnrolled(ILogger logger, Uri gateway);
}

/// <summary>Where the gateway reaches this node; known once the node listens.</summary>
internal sealed class NodeAddress
{
    private readonly TaskCompletionSource<Uri> known = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<Uri> Known => known.Task;

    public void Set(Uri address) => known.TrySetResult(address);
}

/// <summary>Posts signed messages to the gateway.</summary>
internal sealed partial class GatewayClient : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private const int MaxAnswerBytes = 1024 * 1024;

    private readonly HttpClient http;
    private readonly NodeIdentity identity;
    private readonly TimeProvider time;
    private readonly ILogger<GatewayClient> logger;
    private long lastTimeMs;

    public GatewayClient(NodeOptions options, NodeIdentity identity, TimeProvider time, ILogger<GatewayClient> logger)
    {
        this.identity = identity;
        this.time = time;
        this.logger = logger;
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

    /// <summary>The clock in milliseconds, never the same twice.</summary>
    public long NextTimeMs()
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

    /// <summary>Null where the gateway was not reached.</summary>
    public async Task<HttpResponseMessage?> PostAsync<T>(
        string path, T message, JsonTypeInfo<T> type, NodeId? node, string? bearer, CancellationToken cancellation)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(message, type);
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.Add(NodeSignature.HeaderName, NodeSignature.Sign(identity.Key, path, body));
        if (node is { } number)
            request.Headers.Add(NodeSignature.NodeHeaderName, number.ToString());
        if (bearer is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        try
        {
            return await http.SendAsync(request, cancellation);
        }
        catch (Exception e) when (e is HttpRequestException || (e is TaskCanceledException && !cancellation.IsCancellationRequested))
        {
            LogNotReached(logger, http.BaseAddress!, path);
            return null;
        }
    }

    /// <summary>The body, or null where it is not what was expected.</summary>
    public static async Task<T?> ReadAsync<T>(HttpResponseMessage answer, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(await answer.Content.ReadAsByteArrayAsync(cancellation), type);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public void Dispose() => http.Dispose();

    [LoggerMessage(Level = LogLevel.Warning, Message = "The gateway at {Gateway} was not reached for {Path}.")]
    private static partial void LogNotReached(ILogger logger, Uri gateway, string path);
}
