using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using System.Threading.Channels;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
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
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource<UsageReport>> awaited = new();
    private readonly ConcurrentQueue<string> faults = new();
    private WebApplication? app;
    private Ed25519PublicKey? identity;
    private long lastTimeMs;

    public Uri Url { get; private set; } = new("http://127.0.0.1:0");

    public Ed25519PrivateKey Key => key;

    /// <summary>The tokens that enrol a node, as often as it likes.</summary>
    public HashSet<string> Tokens { get; } = [EnrolmentToken];

    /// <summary>Answers in the gateway's place; false leaves it to the gateway.</summary>
    public Func<HttpContext, Task<bool>>? Fault { get; set; }

    /// <summary>Every report that was acknowledged.</summary>
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

    public Task<EnrolmentRequest> EnrolmentAsync() => enrolments.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().Soon();

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

    /// <summary>The acknowledged report of one request.</summary>
    public Task<UsageReport> ReportAsync(RequestId request) => Awaited(request.Value).Task.Soon();

    /// <summary>A token of this gateway, as it signs them.</summary>
    public RelayToken Token(ComputeUnits? units = null) => new()
    {
        Request = RequestId.New(),
        Node = Node,
        Stack = new StackId(3),
        Model = ScriptedBackend.Model,
        Units = units ?? new ComputeUnits(8192),
        Expires = DateTimeOffset.UtcNow.AddSeconds(60),
    };

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
            await deliveries.Writer.WriteAsync(Read(body, NodeMessageJson.Default.UsageReports));
        if (Fault is { } fault && await fault(http))
            return;

        http.Response.StatusCode = StatusCodes.Status200OK;
        var status = path switch
        {
            NodePaths.Enrolment => await EnrolAsync(http, body),
            NodePaths.Heartbeat => Beat(http, body),
            NodePaths.UsageReports => await SettleAsync(http, body),
            _ => StatusCodes.Status404NotFound,
        };
        if (!http.Response.HasStarted)
            http.Response.StatusCode = status;
    }

    private async Task<int> EnrolAsync(HttpContext http, byte[] body)
    {
        var request = Read(body, NodeMessageJson.Default.EnrolmentRequest);
        if (!Ed25519PublicKey.TryParse(request.IdentityKey, out var claimed) || !IsSigned(http, claimed, body) || IsStale(request.Status.TimeMs))
            return Wrong("an enrolment that is not signed or stale");
        if (!Tokens.Any(token => http.Request.Headers.Authorization == $"Bearer {token}"))
            return StatusCodes.Status401Unauthorized;
        identity = claimed;
        await enrolments.Writer.WriteAsync(request);
        await http.Response.WriteAsJsonAsync(
            new EnrolmentAnswer { NodeId = Node.Value, GatewayKey = key.PublicKey.ToString(), HeartbeatSeconds = 60 },
            NodeMessageJson.Default.EnrolmentAnswer);
        return StatusCodes.Status200OK;
    }

    private int Beat(HttpContext http, byte[] body)
    {
        var status = Read(body, NodeMessageJson.Default.NodeStatus);
        if (!IsFromNode(http, body) || IsStale(status.TimeMs))
            return Wrong("a heartbeat that is not signed or stale");
        heartbeats.Writer.TryWrite(status);
        return StatusCodes.Status204NoContent;
    }

    private async Task<int> SettleAsync(HttpContext http, byte[] body)
    {
        if (!IsFromNode(http, body))
            return Wrong("reports that are not signed");
        var message = Read(body, NodeMessageJson.Default.UsageReports);
        foreach (var report in message.Reports)
        {
            if (reports.GetOrAdd(report.Request, report) != report)
                return Wrong("a second report that says something else");
            Awaited(report.Request).TrySetResult(report);
        }

        await http.Response.WriteAsJsonAsync(
            new UsageAcknowledgement([.. message.Reports.Select(report => report.Request)]), NodeMessageJson.Default.UsageAcknowledgement);
        return StatusCodes.Status200OK;
    }

    private bool IsFromNode(HttpContext http, byte[] body) =>
        identity is not null && http.Request.Headers[NodeSignature.NodeHeaderName] == Node.ToString() && IsSigned(http, identity, body);

    private static bool IsSigned(HttpContext http, Ed25519PublicKey signer, byte[] body) =>
        NodeSignature.Verify(signer, http.Request.Path.Value!, body, http.Request.Headers[NodeSignature.HeaderName]);

    private bool IsStale(long timeMs)
    {
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

internal static class Waiting
{
    /// <summary>A signal that does not come is a failure, not a hanging run.</summary>
    public static Task Soon(this Task task) => task.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);

    /// <inheritdoc cref="Soon(Task)"/>
    public static Task<T> Soon<T>(this Task<T> task) => task.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
}
