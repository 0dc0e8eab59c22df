// spec/gateway.md sections 2 and 3.
using System.Net;
using System.Text.Json;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Keys;
using ConfidentialChat.Node.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>Enrols the node and keeps telling the gateway how it is.</summary>
internal sealed class GatewayLink(
    NodeOptions options,
    NodeIdentity identity,
    GatewayEnrolment enrolment,
    KeyRing ring,
    Seating seating,
    IInferenceBackend engine,
    GatewayClient gateway,
    GatewayClock clock,
    OwnAddress address,
    Seldom seldom,
    IHostApplicationLifetime lifetime,
    ILogger<GatewayLink> log) : BackgroundService, IHostedLifecycleService
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
    private volatile bool isAnnounced; // the gateway reaches it where it is; asked again after each enrolment, and when that has changed
    private volatile string? announcedPin;

    // The key on the disk may be exchanged at any time, and the gateway goes by the pin that it was told.
    private bool IsKnownHere => isAnnounced && announcedPin == identity.TlsPin;

    /// <summary>Completes once both ways work: the gateway has heard of the node's keys, and has reached the node where it is.</summary>
    public Task Ready => ready.Task;

    /// <summary>Enrolled, the gateway has answered the last heartbeat, reaches this node where it is, and its clock is near.</summary>
    public bool IsReady =>
        enrolment.Current is not null && ring.KeySets.Count > 0 && Volatile.Read(ref beaten) && IsKnownHere && clock.IsNear
            && !seating.IsClosed && engine.IsAlive;

    /// <summary>
    /// Drains before anything is stopped: the node still listens, so that newcomers are told 503, tells its gateway, and ends what it serves.
    /// </summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        seating.Close();
        Tell();
        await seating.Empty.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
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
        identity.TlsPinChanged += Tell;
        if (enrolment.IsOutdated)
            log.EnrolmentOutdated(options.GatewayUrl);
        try
        {
            await address.Known.WaitAsync(stoppingToken);
            var enrols = enrolment.Current is null;
            var refusals = 0;
            while (true)
            {
                var hasKeys = ring.KeySets.Count > 0; // before it is said: the first key set may still wait for its evidence
                // Where it is before how it is: with new keys the gateway would send callers to where it was.
                var outcome = enrols ? await EnrolAsync(stoppingToken) : IsKnownHere || seating.IsClosed ? Reception.Done : await AnnounceAsync(stoppingToken);
                if (outcome == Reception.Done && !enrols)
                    outcome = await BeatAsync(stoppingToken);
                Volatile.Write(ref beaten, outcome == Reception.Done);
                if (outcome == Reception.Done)
                {
                    if (enrols)
                        await AnnounceAsync(stoppingToken); // the gateway has not been here yet
                    if (hasKeys && IsKnownHere)
                        ready.TrySetResult();
                    (enrols, refusals) = (false, 0);
                }
                else if (outcome == Reception.Refused)
                {
                    // Once enrolled, the gateway may have forgotten this node: both ways in turn, for a while.
                    if (enrolment.Current is null || ++refusals > MaxRefusals)
                    {
                        GiveUp();
                        return;
                    }

                    enrols = !enrols && options.EnrolmentToken is not null;
                }

                await news.WaitAsync(outcome == Reception.Done && IsKnownHere && clock.IsNear ? interval : RetryDelay, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
        }
        finally
        {
            ring.Changed -= Tell;
            engine.AliveChanged -= OnEngineChanged;
            identity.TlsPinChanged -= Tell;
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
        if (seldom.Says("Changes of engines"))
            log.EngineChanged(engine.AliveModels.Count, engine.Models.Count);
        Tell();
    }

    private void Tell()
    {
        if (news.CurrentCount == 0)
            news.Release();
    }

    private async Task<Reception> EnrolAsync(CancellationToken cancellation)
    {
        if (options.EnrolmentToken is not { } token)
            return Reception.Refused;
        using var agreement = new RelayKeyAgreement();
        var body = JsonSerializer.SerializeToUtf8Bytes(
            new EnrolmentRequest
            {
                Address = await address.Known.WaitAsync(cancellation),
                TlsPin = identity.TlsPin,
                AgreementKey = agreement.PublicKey.ToString(),
                Status = Status(),
            },
            NodeMessageJson.Default.EnrolmentRequest);
        using var answer = await gateway.EnrolAsync(body, token, cancellation);
        if (answer is not { StatusCode: HttpStatusCode.OK })
            return Failed(answer, NodePaths.Enrolment);

        var signature = answer.Headers.TryGetValues(EnrolmentSignature.HeaderName, out var values) ? string.Concat(values) : null;
        var said = await answer.Content.ReadAsByteArrayAsync(cancellation);
        if (Read(said, signature, body, agreement, out var heartbeat) is not { } enrolled)
        {
            if (seldom.Says("Enrolments that were not signed"))
                log.EnrolmentNotSigned(options.GatewayUrl);
            return Reception.NotReached;
        }

        interval = heartbeat;
        enrolment.Set(enrolled);
        isAnnounced = false;
        log.Enrolled(enrolled.Node, options.GatewayUrl);
        return Reception.Done;
    }

    // Of an answer that the gateway did not sign for this very request nothing is kept.
    private EnrolledGateway? Read(byte[] answer, string? signature, byte[] request, RelayKeyAgreement agreement, out TimeSpan heartbeat)
    {
        heartbeat = default;
        if (GatewayClient.Read(answer, NodeMessageJson.Default.EnrolmentAnswer) is not { HeartbeatSeconds: > 0 and <= 3600 } said
            || !Ed25519PublicKey.TryParse(said.GatewayKey, out var gatewayKey)
            || !EnrolmentSignature.Verify(gatewayKey, request, answer, signature)
            || !X25519PublicKey.TryParse(said.AgreementKey, out var peer)
            || !agreement.TryAgreeAsNode(peer, identity.Key.PublicKey, gatewayKey, out var relayKey))
            return null;
        heartbeat = TimeSpan.FromSeconds(said.HeartbeatSeconds);
        return new EnrolledGateway(options.GatewayUrl, new NodeId(said.NodeId), gatewayKey, relayKey);
    }

    private async Task<Reception> BeatAsync(CancellationToken cancellation)
    {
        var status = Status();
        using var answer = await gateway.PostAsync(NodePaths.Heartbeat, status, NodeMessageJson.Default.NodeStatus, enrolment.Current!, cancellation);
        if (answer is not { IsSuccessStatusCode: true })
            return Failed(answer, NodePaths.Heartbeat);
        if (status.State == NodeState.Draining)
            left.TrySetResult();

        // Whoever lost sight of it, or has it elsewhere (another copy of this node, a database from yesterday), is told where it is at once.
        if (await GatewayClient.ReadAsync(answer, NodeMessageJson.Default.NodeReach, cancellation) is { } reach)
            isAnnounced = isAnnounced && reach.Reached && reach.Address == await address.Known.WaitAsync(cancellation);
        return Reception.Done;
    }

    // Done also where the gateway did not find this node, or would not look: heartbeats go on, and it is asked again.
    private async Task<Reception> AnnounceAsync(CancellationToken cancellation)
    {
        var here = await address.Known.WaitAsync(cancellation);
        announcedPin = identity.TlsPin;
        using var answer = await gateway.PostAsync(
            NodePaths.Address,
            new AnnouncedAddress { Address = here, TlsPin = announcedPin },
            NodeMessageJson.Default.AnnouncedAddress,
            enrolment.Current!,
            cancellation);
        switch (answer?.StatusCode)
        {
            case HttpStatusCode.OK when await GatewayClient.ReadAsync(answer, NodeMessageJson.Default.NodeReach, cancellation) is { } reach:
                isAnnounced = reach.Reached;
                if (!reach.Reached && seldom.Says("Times that the gateway did not reach this node"))
                    log.NotReached(options.GatewayUrl, here, reach.Address);
                return Reception.Done;
            case HttpStatusCode.NotFound: // a gateway from before there was this message
                isAnnounced = true;
                return Reception.Done;
            case HttpStatusCode.TooManyRequests:
                return Reception.Done;
            case HttpStatusCode.BadRequest:
                if (seldom.Says("Addresses that the gateway does not take"))
                    log.AddressRefused(options.GatewayUrl, here);
                isAnnounced = false;
                return Reception.Done;
            default:
                return Failed(answer, NodePaths.Address);
        }
    }

    private Reception Failed(HttpResponseMessage? answer, string path)
    {
        if (answer is null)
            return Reception.NotReached;

        if (clock.IsNear && seldom.Says("Messages that the gateway refused")) // else it was said why
            log.GatewayRefused(path, (int)answer.StatusCode);

        // It knows this node, and refuses the time alone: clocks are set, and nothing is gained by giving up.
        if (answer.StatusCode == HttpStatusCode.Unauthorized && GatewayClock.IsTold(answer))
            return Reception.OutOfTime;
        return answer.StatusCode == HttpStatusCode.Unauthorized ? Reception.Refused : Reception.NotReached;
    }

    // The enrolment on disk stays: the gateway may have been restored from a copy that is too old.
    private void GiveUp()
    {
        if (enrolment.Current is null && options.EnrolmentToken is null)
            log.NoEnrolment(options.GatewayUrl);
        else
            log.NotEnrolled(options.GatewayUrl);
        Environment.ExitCode = NodeExitCode.NotEnrolled;
        lifetime.StopApplication();
    }

    private NodeStatus Status() => new()
    {
        State = seating.IsClosed || !engine.IsAlive ? NodeState.Draining : NodeState.Ready,
        Models = engine.IsAlive ? engine.AliveModels : engine.Models,
        KeySets = [.. ring.KeySets.Select(AnnouncedKeySet.Of)],
        Running = seating.Running,
        Queued = seating.Queued,
    };

    private enum Reception
    {
        Done,
        NotReached,
        OutOfTime,
        Refused,
    }
}

/// <summary>Where the gateway reaches this node; known once the node listens.</summary>
internal sealed class OwnAddress
{
    private readonly TaskCompletionSource<Uri> known = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<Uri> Known => known.Task;

    public void Set(Uri address) => known.TrySetResult(address);
}
