using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Vouchers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>One request as it reached a node.</summary>
internal sealed record SeenRequest(IHeaderDictionary Headers, byte[] Body, string Path)
{
    public Guid Request => Token().Request.Value;

    public RelayToken Token() =>
        RelayToken.TryRead(Headers[RelayToken.HeaderName], RelayKey!, out var token) ? token : throw new InvalidOperationException("no token");

    public RelayKey? RelayKey { get; init; }
}

/// <summary>A node that signs as a real one does and answers by script: for faults. What it seals is no ciphertext.</summary>
internal sealed class ScriptedNode : IAsyncDisposable
{
    public const string SealedAnswer = """{"ciphertext":"AAAA","nonce":"AAAA","response_hash":null,"signature":null}""";

    private WebApplication app;
    private readonly Ed25519PrivateKey identity = Ed25519PrivateKey.Generate(out _);
    private readonly Channel<SeenRequest> seen = Channel.CreateUnbounded<SeenRequest>();
    private readonly List<Ed25519PrivateKey> signing = [];
    private long lastTime;

    private ScriptedNode(GatewayUnderTest gateway, WebApplication app)
    {
        Gateway = gateway;
        this.app = app;
        KeySets = [NewKeySet(gateway.Clock.GetUtcNow().AddHours(1))];
    }

    /// <summary>Whom it speaks to.</summary>
    public GatewayUnderTest Gateway { get; set; }

    public long Id { get; private set; }

    public string Address { get; set; } = "";

    public string? TlsPin { get; set; }

    public Ed25519PublicKey? GatewayKey { get; private set; }

    public RelayKey? RelayKey { get; set; }

    public IReadOnlyList<KeySet> KeySets { get; set; }

    public IReadOnlyList<string> Models { get; set; } = [GatewayUnderTest.Model];

    public NodeState State { get; set; } = NodeState.Ready;

    public int Running { get; set; }

    public int RequestsSeen { get; private set; }

    /// <summary>Since the gateway has learned the signing key of the last set.</summary>
    public int BundlesGiven { get; private set; }

    /// <summary>Signs vouchers under the last attested set; null before <see cref="AttestAsync"/>.</summary>
    public Ed25519PrivateKey? Signing => signing.LastOrDefault();

    /// <summary>Whether it answers 503 to whoever asks for a bundle.</summary>
    public bool WithholdsBundle { get; set; }

    /// <summary>What it waits for before it gives its bundle.</summary>
    public Task BundleGate { get; set; } = Task.CompletedTask;

    /// <summary>How the node answers.</summary>
    public Func<HttpContext, Task> Script { get; set; } = context => AnswerAsync(context, 200, SealedAnswer);

    /// <summary>Answers before anything is read of the body, where it says true.</summary>
    public Func<HttpContext, Task<bool>>? AtOnce { get; set; }

    /// <summary>Its bundle, which it gives to whoever asks; null before <see cref="AttestAsync"/>.</summary>
    public byte[]? Bundle { get; set; }

    /// <summary>Answers a gateway that comes to see who is here.</summary>
    public Func<HttpContext, Task>? Proof { get; set; }

    public static async Task<ScriptedNode> StartAsync(GatewayUnderTest gateway, X509Certificate2? certificate = null, bool enrol = true)
    {
        var app = Build(certificate);
        var node = new ScriptedNode(gateway, app);
        await node.ListenAsync();
        if (enrol)
            (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        return node;
    }

    /// <summary>The same node at another port; nobody listens where it was.</summary>
    public async Task MoveAsync(X509Certificate2? certificate = null)
    {
        await app.StopAsync();
        await app.DisposeAsync();
        app = Build(certificate);
        await ListenAsync();
    }

    private async Task ListenAsync()
    {
        app.Run(ServeAsync);
        await app.StartAsync();
        Address = app.Urls.Single();
    }

    private static WebApplication Build(X509Certificate2? certificate)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MinRequestBodyDataRate = null; // as a real one
            kestrel.Listen(IPAddress.Loopback, 0, point =>
            {
                if (certificate is not null)
                    point.UseHttps(certificate);
            });
        });
        return builder.Build();
    }

    public static string NewKey()
    {
        using var key = X25519PrivateKey.Generate();
        return key.PublicKey.ToString();
    }

    public static KeySet NewKeySet(DateTimeOffset expires)
    {
        using var key = X25519PrivateKey.Generate();
        return new KeySet { X25519 = key.PublicKey, Expires = DateTimeOffset.FromUnixTimeSeconds(expires.ToUnixTimeSeconds()) };
    }

    public static Task AnswerAsync(HttpContext context, int status, string body, string contentType = "application/json")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        return context.Response.WriteAsync(body);
    }

    public static Task RefuseAsync(HttpContext context, int status, string code) =>
        AnswerAsync(context, status, $$$"""{"error":{"code":"{{{code}}}","message":"the engine's own words"}}""");

    /// <summary>A new key set with evidence, and tells the gateway of it.</summary>
    /// <param name="platform">Makes the evidence.</param>
    /// <param name="isLearned">Whether the gateway is to have fetched the signing key when it returns.</param>
    public async Task<KeySet> AttestAsync(SimulatedPlatform platform, bool isLearned = true)
    {
        using var ohttp = ObliviousKey.Generate(7, KemId.MlKem768X25519, [SymmetricSuite.Default]);
        var list = new ArrayBufferWriter<byte>();
        new KeyConfigurationList([ohttp.Configuration]).Write(list);
        signing.Add(Ed25519PrivateKey.Generate(out _));
        var keys = NewKeySet(Gateway.Clock.GetUtcNow().AddHours(1)) with { Ohttp = list.WrittenMemory, Signing = Signing!.PublicKey };
        var statement = new BundleStatement
        {
            Node = Id,
            Keys = new NodeKeys { Ohttp = list.WrittenMemory, X25519 = keys.X25519.Span.ToArray(), Signing = Signing.PublicKey.Span.ToArray() },
            IssuedAt = DateTimeOffset.FromUnixTimeSeconds(Gateway.Clock.GetUtcNow().ToUnixTimeSeconds()),
            NotAfter = keys.Expires,
            Nonce = new byte[BundleStatement.NonceSize],
            Software = new NodeSoftware("test", "1"),
            Models = [new NodeModel(GatewayUnderTest.Model, null)],
            Configuration = new NodeConfiguration([], [], "information", []),
        }.ToBytes();
        Bundle = EvidenceBundle.Write(statement, platform.Sign(BundleStatement.ReportData(statement)), []);
        keys = keys with { Bundle = SHA256.HashData(Bundle) };
        KeySets = [keys, .. KeySets];
        (await BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        if (!isLearned)
            return keys;
        var learned = Gateway.App.Services.GetRequiredService<SigningKeys>();
        while (await learned.FindAsync(new NodeId(Id), keys.Digest) is null)
            await Task.Delay(5, TestContext.Current.CancellationToken);
        BundlesGiven = 0;
        return keys;
    }

    public NodeStatus Status() => new()
    {
        State = State,
        Models = Models,
        KeySets = [.. KeySets.Select(AnnouncedKeySet.Of)],
        Running = Running,
        Queued = 0,
    };

    public async Task<HttpResponseMessage> EnrolAsync(string token, NodeStatus? status = null, Func<string, string>? change = null, long? timeMs = null)
    {
        using var agreement = new RelayKeyAgreement();
        var json = JsonSerializer.Serialize(
            new EnrolmentRequest { Address = new Uri(Address), TlsPin = TlsPin, AgreementKey = agreement.PublicKey.ToString(), Status = status ?? Status() },
            NodeMessageJson.Default.EnrolmentRequest);
        json = change?.Invoke(json) ?? json;
        var response = await PostAsync(NodePaths.Enrolment, json, token, timeMs: timeMs);
        if (response.StatusCode is not HttpStatusCode.OK)
            return response;
        var body = await response.Content.ReadAsByteArrayAsync();
        var answer = JsonSerializer.Deserialize(body, NodeMessageJson.Default.EnrolmentAnswer)!;
        Id = answer.NodeId;
        Ed25519PublicKey.TryParse(answer.GatewayKey, out var key).ShouldBeTrue();
        EnrolmentSignature.Verify(key!, Encoding.UTF8.GetBytes(json), body, response.Headers.GetValues(EnrolmentSignature.HeaderName).Single()).ShouldBeTrue();
        X25519PublicKey.TryParse(answer.AgreementKey, out var gateways).ShouldBeTrue();
        agreement.TryAgreeAsNode(gateways!, identity.PublicKey, key!, out var relayKey).ShouldBeTrue();
        (GatewayKey, RelayKey) = (key, relayKey);
        return response;
    }

    public Task<HttpResponseMessage> BeatAsync(NodeStatus? status = null, long? timeMs = null) =>
        PostAsync(NodePaths.Heartbeat, JsonSerializer.Serialize(status ?? Status(), NodeMessageJson.Default.NodeStatus), timeMs: timeMs);

    /// <summary>Says where it is, or might be.</summary>
    public Task<HttpResponseMessage> AnnounceAsync(string? address = null, long? timeMs = null) => PostAsync(
        NodePaths.Address,
        JsonSerializer.Serialize(new AnnouncedAddress { Address = new Uri(address ?? Address), TlsPin = TlsPin }, NodeMessageJson.Default.AnnouncedAddress),
        timeMs: timeMs);

    /// <summary>Answers a challenge as a real node does.</summary>
    public Task ProveAsync(HttpContext context)
    {
        var headers = context.Request.Headers;
        var asked = NodeProof.FromHeaders(new NodeId(Id), RelayKey!, headers[NodeProof.ChallengeHeaderName], headers[NodeProof.CodeHeaderName]);
        context.Response.StatusCode = asked is null ? 401 : 204;
        context.Response.Headers[NodeProof.CodeHeaderName] = asked?.Write(RelayKey!);
        return Task.CompletedTask;
    }

    public async Task ReportAsync(params UsageReport[] reports)
    {
        var response = await PostReportsAsync(reports);
        var answer = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), NodeMessageJson.Default.UsageAcknowledgement)!;
        answer.Acknowledged.ShouldBe(reports.Select(report => report.Request).Distinct());
    }

    /// <summary>Delivers vouchers that say the same, signed together under the last attested set, and demands that they are acknowledged.</summary>
    public Task VouchAsync(params UsageReport[] reports) =>
        DeliverAsync([.. reports.Zip(Sign(reports), (report, signed) => new DeliveredVoucher(report.Request, Convert.ToBase64String(signed)))]);

    /// <summary>Delivers what it is given for vouchers, and demands that they are acknowledged.</summary>
    public async Task DeliverAsync(params DeliveredVoucher[] vouchers)
    {
        var response = await PostVouchersAsync(vouchers);
        var answer = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), NodeMessageJson.Default.UsageAcknowledgement)!;
        answer.Acknowledged.ShouldBe(vouchers.Select(voucher => voucher.Request).Distinct(), ignoreOrder: true);
    }

    public Task<HttpResponseMessage> PostVouchersAsync(params DeliveredVoucher[] vouchers) => PostAsync(
        NodePaths.UsageReports,
        JsonSerializer.Serialize(new UsageReports { Reports = [], Vouchers = vouchers }, NodeMessageJson.Default.UsageReports));

    /// <summary>Signs vouchers together as a real node does, but for what the test has otherwise.</summary>
    public byte[][] Sign(
        UsageReport[] reports, Ed25519PrivateKey? key = null, KeySetDigest? keySet = null, Ed25519PublicKey? gateway = null, DateTimeOffset? time = null)
    {
        var batch = VoucherBatch.Sign(
            [.. reports.Select(report => new Voucher { Request = new RequestId(report.Request), Model = report.Model, Usage = report.Usage, Multiple = 16 })],
            keySet ?? KeySets[0].Digest, SignedVoucher.AudienceOf(gateway ?? GatewayKey!), time ?? Gateway.Clock.GetUtcNow(), key ?? Signing!);
        return [.. Enumerable.Range(0, reports.Length).Select(batch.Signed)];
    }

    public Task<HttpResponseMessage> PostReportsAsync(params UsageReport[] reports) => PostReportsAsync(reports, timeMs: null);

    public Task<HttpResponseMessage> PostReportsAsync(UsageReport[] reports, long? timeMs) => PostAsync(
        NodePaths.UsageReports,
        JsonSerializer.Serialize(new UsageReports { Reports = reports }, NodeMessageJson.Default.UsageReports),
        timeMs: timeMs);

    /// <summary>Posts a body that the node signs, or that <paramref name="signedBody"/> was signed instead of.</summary>
    public async Task<HttpResponseMessage> PostAsync(
        string path, string json, string? token = null, string? signedBody = null, long? asNode = null, long? timeMs = null)
    {
        var signature = NodeSignature.Over(path, timeMs ?? NextTime(), Encoding.UTF8.GetBytes(signedBody ?? json));
        using var client = Gateway.Client(token);
        var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = Http.Json(json) };
        request.Headers.Add(NodeSignature.HeaderName, signature.Sign(identity));
        request.Headers.Add(NodeSignature.TimeHeaderName, $"{signature.TimeMs}");
        request.Content.Headers.Add(NodeSignature.DigestHeaderName, signature.DigestText);
        if (token is null)
        {
            request.Headers.Add(NodeSignature.NodeHeaderName, $"{asNode ?? Id}");
            request.Headers.Add(NodeSignature.CodeHeaderName, signature.Authenticate(RelayKey!));
        }
        else
        {
            request.Headers.Add(NodeSignature.KeyHeaderName, identity.PublicKey.ToString());
        }

        return await client.SendAsync(request);
    }

    /// <summary>The next request that reaches the node.</summary>
    public async Task<SeenRequest> SeenAsync() => await seen.Reader.ReadAsync(TestContext.Current.CancellationToken);

    public bool TrySeen([NotNullWhen(true)] out SeenRequest? request) => seen.Reader.TryRead(out request);

    public Task StopAsync() => app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
        identity.Dispose();
        signing.ForEach(key => key.Dispose());
    }

    private async Task ServeAsync(HttpContext context)
    {
        if (context.Request.Path == NodePaths.Proof)
        {
            await (Proof ?? ProveAsync)(context);
            return;
        }

        if (HttpMethods.IsGet(context.Request.Method) && context.Request.Path.Value!.StartsWith("/v2/evidence/", StringComparison.Ordinal)
            && Bundle is { } bundle)
        {
            if (WithholdsBundle)
            {
                context.Response.StatusCode = 503;
                return;
            }

            BundlesGiven++;
            await BundleGate;
            await context.Response.Body.WriteAsync(bundle);
            return;
        }

        if (AtOnce is { } atOnce && await atOnce(context))
            return;
        var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        lock (seen)
            RequestsSeen++;
        var headers = new HeaderDictionary(context.Request.Headers.ToDictionary(StringComparer.OrdinalIgnoreCase));
        await seen.Writer.WriteAsync(new SeenRequest(headers, body.ToArray(), context.Request.Path) { RelayKey = RelayKey });
        await Script(context);
    }

    public long NextTime() => lastTime = Math.Max(lastTime + 1, Gateway.Clock.GetUtcNow().ToUnixTimeMilliseconds());
}

/// <summary>A lock and envelopes that fit it.</summary>
internal sealed record LockedNode(string PublicKey, long Node, long Stack)
{
    public static async Task<LockedNode> LockAsync(HttpClient user, string body = $$"""{"model":"{{GatewayUnderTest.Model}}"}""")
    {
        var answer = await (await user.PostAsync("/v1/nodes/lock", Http.Json(body))).JsonAsync();
        return new LockedNode(
            answer.GetProperty("public_key").GetString()!,
            answer.GetProperty("node_small_id").GetInt64(),
            answer.GetProperty("stack_small_id").GetInt64());
    }

    /// <summary>An envelope as any client writes it, its members changed by the test; null takes one away.</summary>
    public byte[] Envelope(int ciphertextBytes = 64, params (string Member, object? Value)[] changes)
    {
        var members = new Dictionary<string, object?>(StringComparer.Ordinal)
        {
            ["ciphertext"] = RandomNumberGenerator.GetBytes(ciphertextBytes),
            ["nonce"] = RandomNumberGenerator.GetBytes(12),
            ["salt"] = RandomNumberGenerator.GetBytes(16),
            ["client_dh_public_key"] = ScriptedNode.NewKey(),
            ["node_dh_public_key"] = PublicKey,
            ["plaintext_body_hash"] = RandomNumberGenerator.GetBytes(32),
            ["model_name"] = GatewayUnderTest.Model,
            ["stack_small_id"] = Stack,
            ["stream"] = false,
        };
        foreach (var (member, value) in changes)
            members[member] = value;
        return JsonSerializer.SerializeToUtf8Bytes(members.Where(member => member.Value is not Missing).ToDictionary());
    }

    public sealed record Missing;
}
