using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using System.Threading.Channels;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Cose;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>
/// A gateway that checks what a node signs as a real one does (spec/gateway.md sections 2 and 3), writes down what it hears,
/// and can refuse, stall or be gone.
/// </summary>
internal sealed class ScriptedGateway : IAsyncDisposable
{
    public const string EnrolmentToken = "cce_test-enrolment-token";

    public static readonly NodeId Node = new(7);

    private readonly Ed25519PrivateKey key = Ed25519PrivateKey.Generate(out _);
    private readonly Channel<EnrolmentRequest> enrolments = Channel.CreateUnbounded<EnrolmentRequest>();
    private readonly Channel<NodeStatus> heartbeats = Channel.CreateUnbounded<NodeStatus>();
    private readonly Channel<UsageReports> deliveries = Channel.CreateUnbounded<UsageReports>();
    private readonly ConcurrentDictionary<Guid, UsageReport> reports = new();
    private readonly ConcurrentDictionary<Guid, byte[]> vouchers = new();
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource<UsageReport>> awaited = new();
    private readonly ConcurrentQueue<string> faults = new();
    private readonly Channel<AnnouncedAddress> addresses = Channel.CreateUnbounded<AnnouncedAddress>();
    private WebApplication? app;
    private Ed25519PublicKey? identity;
    private RelayKey relayKey = new(RandomNumberGenerator.GetBytes(RelayKey.Size));
    private long lastTimeMs;
    private int delivered;
    private Uri? place;

    private ScriptedGateway() => SignAnswer = (request, answer) => EnrolmentSignature.Sign(key, request, answer);

    public Uri Url { get; private set; } = new("http://127.0.0.1:0");

    public Ed25519PrivateKey Key => key;

    /// <summary>Of the node that enrolled last.</summary>
    public Ed25519PublicKey? Identity => identity;

    /// <summary>What it agreed upon with the node that enrolled last; before that nobody's.</summary>
    public RelayKey RelayKey => relayKey;

    /// <summary>Signs an answer to an enrolment: its request and itself go in.</summary>
    public Func<byte[], byte[], string?> SignAnswer { get; set; }

    /// <summary>How its agreement key is spelled in the answer.</summary>
    public Func<X25519PublicKey, string> SpellAgreementKey { get; set; } = agreed => agreed.ToString();

    /// <summary>Messages with reports that arrived.</summary>
    public int Deliveries => Volatile.Read(ref delivered);

    /// <summary>The tokens that enrol a node, as often as it likes.</summary>
    public HashSet<string> Tokens { get; } = [EnrolmentToken];

    /// <summary>Answers in the gateway's place; false leaves it to the gateway.</summary>
    public Func<HttpContext, Task<bool>>? Fault { get; set; }

    /// <summary>The gateway's clock, which its answers tell and by which it judges; null: it judges no clocks and tells none, as gateways did before.</summary>
    public Func<DateTimeOffset>? Clock { get; set; }

    /// <summary>
    /// What the gateway makes of an address, and says of it in its heartbeats; null: it knows no addresses but those of enrolments, as gateways did
    /// before.
    /// </summary>
    public Func<Uri, NodeReach>? Look { get; set; } = address => new NodeReach(true, address);

    /// <summary>Vouchers that it leaves unacknowledged, as one whose keys it cannot get yet.</summary>
    public Func<Guid, bool> IsAwaited { get; set; } = _ => false;

    /// <summary>Every report that was acknowledged, those of vouchers among them.</summary>
    public IReadOnlyCollection<UsageReport> Reports => [.. reports.Values];

    public static async Task<ScriptedGateway> StartAsync()
    {
        var gateway = new ScriptedGateway();
        await gateway.ReturnAsync();
        return gateway;
    }

    /// <summary>Nobody listens at the gateway's address any more.</summary>
    public async Task LeaveAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app!.StopAsync(now.Token);
        await app.DisposeAsync();
        app = null;
    }

    /// <summary>Listens, at the same address as before.</summary>
    public async Task ReturnAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, Url.Port));
        app = builder.Build();
        app.Run(AnswerAsync);
        await app.StartAsync();
        Url = new Uri(app.Urls.Single());
    }

    /// <summary>The largest time that it has of the node.</summary>
    public void Heard(DateTimeOffset time) => lastTimeMs = time.ToUnixTimeMilliseconds();

    /// <summary>Has no time of the node.</summary>
    public void Forget() => lastTimeMs = 0;

    public Task<EnrolmentRequest> EnrolmentAsync() => enrolments.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().Soon();

    /// <summary>The next address that the node says it is at.</summary>
    public Task<AnnouncedAddress> AddressAsync() => addresses.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().Soon();

    /// <summary>The first heartbeat from here on that is as wanted; those before it are passed over.</summary>
    public async Task<NodeStatus> HeartbeatAsync(Func<NodeStatus, bool>? isWanted = null)
    {
        while (true)
        {
            var heartbeat = await heartbeats.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().Soon();
            if (isWanted?.Invoke(heartbeat) ?? true)
                return heartbeat;
        }
    }

    /// <summary>The next message with reports that arrives, acknowledged or not.</summary>
    public Task<UsageReports> DeliveryAsync() => deliveries.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().Soon();

    /// <summary>The acknowledged voucher of one request, as it came.</summary>
    public async Task<byte[]> VoucherAsync(RequestId request)
    {
        await ReportAsync(request);
        return vouchers[request.Value];
    }

    /// <summary>The acknowledged report of one request.</summary>
    public Task<UsageReport> ReportAsync(RequestId request) => Awaited(request.Value).Task.Soon();

    /// <summary>A token of this gateway, but for the key set: that of the call it goes with.</summary>
    public RelayToken Token(ComputeUnits? units = null) => new()
    {
        Request = RequestId.New(),
        Node = Node,
        KeySet = default,
        Endpoint = NodeUnderTest.ChatPath,
        Model = ScriptedBackend.Model,
        Units = units ?? new ComputeUnits(8192),
        Expires = DateTimeOffset.UtcNow.AddSeconds(60),
    };

    /// <summary>A token as it goes with a call to a path; what the test chose otherwise stays.</summary>
    public string Write(RelayToken token, string path, EnvelopeCall call) => (token with
    {
        KeySet = token.KeySet == default ? call.KeySet : token.KeySet,
        Endpoint = token.Endpoint == NodeUnderTest.ChatPath ? path : token.Endpoint,
    }).Write(relayKey);

    public async ValueTask DisposeAsync()
    {
        if (app is not null)
            await LeaveAsync();
        key.Dispose();
        faults.ShouldBeEmpty();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        using var buffer = new MemoryStream();
        await http.Request.Body.CopyToAsync(buffer, http.RequestAborted);
        var body = buffer.ToArray();
        var path = http.Request.Path.Value!;
        if (path == NodePaths.UsageReports)
        {
            Interlocked.Increment(ref delivered);
            await deliveries.Writer.WriteAsync(Read(body, NodeMessageJson.Default.UsageReports));
        }

        if (Fault is { } fault && await fault(http))
            return;

        http.Response.StatusCode = StatusCodes.Status200OK;
        var status = path switch
        {
            NodePaths.Enrolment => await EnrolAsync(http, body),
            NodePaths.Heartbeat => await BeatAsync(http, body),
            NodePaths.Address when Look is not null => await PlaceAsync(http, body),
            NodePaths.UsageReports => await SettleAsync(http, body),
            _ => StatusCodes.Status404NotFound,
        };
        if (!http.Response.HasStarted)
            http.Response.StatusCode = status;
    }

    private async Task<int> EnrolAsync(HttpContext http, byte[] body)
    {
        if (!Ed25519PublicKey.TryParse(http.Request.Headers[NodeSignature.KeyHeaderName], out var claimed)
            || !IsSigned(http, claimed, body, out var timeMs) || IsStale(http, timeMs))
            return Clock is null ? Wrong("an enrolment that is not signed or stale") : StatusCodes.Status401Unauthorized;
        if (!Tokens.Any(token => http.Request.Headers.Authorization == $"Bearer {token}"))
            return StatusCodes.Status401Unauthorized;
        var request = Read(body, NodeMessageJson.Default.EnrolmentRequest);
        using var agreement = new RelayKeyAgreement();
        if (!X25519PublicKey.TryParse(request.AgreementKey, out var peer) || !agreement.TryAgreeAsGateway(peer, claimed, key.PublicKey, out var agreed))
            return Wrong("an enrolment without an agreement key");
        (identity, relayKey) = (claimed, agreed);
        place = request.Address;
        await enrolments.Writer.WriteAsync(request);
        var answer = JsonSerializer.SerializeToUtf8Bytes(
            new EnrolmentAnswer
            {
                NodeId = Node.Value,
                GatewayKey = key.PublicKey.ToString(),
                AgreementKey = SpellAgreementKey(agreement.PublicKey),
                HeartbeatSeconds = 60,
            },
            NodeMessageJson.Default.EnrolmentAnswer);
        http.Response.Headers[EnrolmentSignature.HeaderName] = SignAnswer(body, answer);
        await http.Response.Body.WriteAsync(answer);
        return StatusCodes.Status200OK;
    }

    private async Task<int> PlaceAsync(HttpContext http, byte[] body)
    {
        if (!IsFromNode(http, body, out var timeMs) || IsStale(http, timeMs))
            return Clock is null ? Wrong("an address that is not signed or stale") : StatusCodes.Status401Unauthorized;
        var announced = Read(body, NodeMessageJson.Default.AnnouncedAddress);
        place = announced.Address;
        addresses.Writer.TryWrite(announced);
        await http.Response.WriteAsJsonAsync(Look!(place), NodeMessageJson.Default.NodeReach);
        return StatusCodes.Status200OK;
    }

    private async Task<int> BeatAsync(HttpContext http, byte[] body)
    {
        if (!IsFromNode(http, body, out var timeMs) || IsStale(http, timeMs))
            return Clock is null ? Wrong("a heartbeat that is not signed or stale") : StatusCodes.Status401Unauthorized;
        heartbeats.Writer.TryWrite(Read(body, NodeMessageJson.Default.NodeStatus));
        if (Look is null)
            return StatusCodes.Status204NoContent;
        await http.Response.WriteAsJsonAsync(Look(place!), NodeMessageJson.Default.NodeReach);
        return StatusCodes.Status200OK;
    }

    private async Task<int> SettleAsync(HttpContext http, byte[] body)
    {
        if (!IsFromNode(http, body, out _))
            return Wrong("reports that are not signed");
        var message = Read(body, NodeMessageJson.Default.UsageReports);
        var told = message.Reports.ToList();
        foreach (var delivered in (message.Vouchers ?? []).Where(delivered => !IsAwaited(delivered.Request)))
        {
            var bytes = Convert.FromBase64String(delivered.Voucher);
            if (SignedVoucher.TryParse(bytes, out var signed) != CoseError.None || signed!.Audience != SignedVoucher.AudienceOf(key.PublicKey))
                return Wrong("a voucher that is none, or another gateway's");
            if (!vouchers.GetOrAdd(delivered.Request, bytes).AsSpan().SequenceEqual(bytes))
                return Wrong("a second voucher that is another");
            var (request, usage) = (signed.Voucher.Request.Value, signed.Voucher.Usage);
            told.Add(new UsageReport(request, signed.Voucher.Model, usage.PromptTokens, usage.CompletionTokens, usage.Pixels));
        }

        foreach (var report in told)
        {
            if (reports.GetOrAdd(report.Request, report) != report)
                return Wrong("a second report that says something else");
            Awaited(report.Request).TrySetResult(report);
        }

        await http.Response.WriteAsJsonAsync(
            new UsageAcknowledgement([.. told.Select(report => report.Request)]), NodeMessageJson.Default.UsageAcknowledgement);
        return StatusCodes.Status200OK;
    }

    private bool IsFromNode(HttpContext http, byte[] body, out long timeMs)
    {
        timeMs = 0;
        return identity is not null && http.Request.Headers[NodeSignature.NodeHeaderName] == Node.ToString() && IsSigned(http, identity, body, out timeMs);
    }

    private static bool IsSigned(HttpContext http, Ed25519PublicKey signer, byte[] body, out long timeMs)
    {
        var headers = http.Request.Headers;
        var signed = NodeSignature.FromHeaders(
            http.Request.Path.Value!, headers[NodeSignature.TimeHeaderName], http.Request.ContentLength, headers[NodeSignature.DigestHeaderName]);
        timeMs = signed?.TimeMs ?? 0;
        return signed is not null && signed.IsSignedBy(signer, headers[NodeSignature.HeaderName]) && signed.IsOf(body);
    }

    private bool IsStale(HttpContext http, long timeMs)
    {
        if (Clock is { } clock)
        {
            http.Response.Headers[NodeSignature.GatewayClockHeaderName] = $"{clock().ToUnixTimeMilliseconds()}";
            if (!ClockTolerance.Allows(TimeSpan.FromMilliseconds(timeMs - clock().ToUnixTimeMilliseconds())))
                return true;
            if (timeMs <= lastTimeMs)
                http.Response.Headers[NodeSignature.TimeHeaderName] = $"{lastTimeMs}";
        }

        var stale = timeMs <= lastTimeMs;
        lastTimeMs = Math.Max(lastTimeMs, timeMs);
        return stale;
    }

    private int Wrong(string fault)
    {
        faults.Enqueue(fault);
        return StatusCodes.Status401Unauthorized;
    }

    private TaskCompletionSource<UsageReport> Awaited(Guid request) =>
        awaited.GetOrAdd(request, _ => new TaskCompletionSource<UsageReport>(TaskCreationOptions.RunContinuationsAsynchronously));

    private static T Read<T>(byte[] body, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) => JsonSerializer.Deserialize(body, type)!;
}
