// spec/gateway.md sections 2, 3 and 5: what nodes send to their gateway. Signed in the call, on the load's core: the gateway's time is what counts.
using System.Collections.Concurrent;
using System.Text.Json;
using ConfidentialChat.Bench.WholePath.Processes;
using ConfidentialChat.Bench.WholePath.Servers;
using ConfidentialChat.Gateway;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;

namespace ConfidentialChat.Bench.WholePath.Load;

/// <summary>A node as the gateway sees one: it signs as a real one does, and the engine answers in its place. It opens nothing.</summary>
internal sealed class PaperNode(ChatStack stack, Uri address, params string[] models) : IDisposable
{
    private readonly Ed25519PrivateKey identity = Ed25519PrivateKey.Generate(out _);
    private readonly KeySet keys = NewKeySet();
    private RelayKey? relayKey;
    private long number;
    private long lastTime;

    /// <summary>Enrols, for the first time or again, and takes the relay key that comes of it.</summary>
    public async Task EnrolAsync(RawConnection connection, string token)
    {
        using var agreement = new RelayKeyAgreement();
        var answer = await connection.ExchangeAsync(Enrolment(token, agreement));
        if (answer.Status != 200
            || JsonSerializer.Deserialize(answer.Body.Span, NodeMessageJson.Default.EnrolmentAnswer) is not { } enrolled
            || !Ed25519PublicKey.TryParse(enrolled.GatewayKey, out var gatewayKey)
            || !X25519PublicKey.TryParse(enrolled.AgreementKey, out var gatewaysHalf)
            || !agreement.TryAgreeAsNode(gatewaysHalf, identity.PublicKey, gatewayKey, out var agreed))
            throw new LostAnswerException($"not enrolled: {answer.Status}");
        relayKey?.Dispose();
        (number, relayKey) = (enrolled.NodeId, agreed);
    }

    public byte[] Enrolment(string token, RelayKeyAgreement agreement)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(
            new EnrolmentRequest { Address = address, AgreementKey = agreement.PublicKey.ToString(), Status = Status() },
            NodeMessageJson.Default.EnrolmentRequest);
        var signature = NodeSignature.Over(NodePaths.Enrolment, NextTime(), body);
        return RawConnection.Post(
            stack.Gateway.Url, NodePaths.Enrolment, body,
            $"Authorization: Bearer {token}\r\n{NodeSignature.KeyHeaderName}: {identity.PublicKey}\r\n{Headers(signature)}");
    }

    public byte[] Heartbeat() => Message(NodePaths.Heartbeat, JsonSerializer.SerializeToUtf8Bytes(Status(), NodeMessageJson.Default.NodeStatus));

    public byte[] Reports(IReadOnlyList<UsageReport> reports) =>
        Message(NodePaths.UsageReports, JsonSerializer.SerializeToUtf8Bytes(new UsageReports { Reports = reports }, NodeMessageJson.Default.UsageReports));

    public void Dispose()
    {
        identity.Dispose();
        relayKey?.Dispose();
    }

    private static KeySet NewKeySet()
    {
        using var key = X25519PrivateKey.Generate();
        return new KeySet { X25519 = key.PublicKey, Expires = DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.AddDays(1).ToUnixTimeSeconds()) };
    }

    private byte[] Message(string path, byte[] body)
    {
        var signature = NodeSignature.Over(path, NextTime(), body);
        return RawConnection.Post(
            stack.Gateway.Url, path, body, $"{NodeSignature.NodeHeaderName}: {number}\r\n{NodeSignature.CodeHeaderName}: {signature.Authenticate(relayKey!)}\r\n{Headers(signature)}");
    }

    private string Headers(NodeSignature signature) =>
        $"{NodeSignature.TimeHeaderName}: {signature.TimeMs}\r\n{NodeSignature.DigestHeaderName}: {signature.DigestText}\r\n{NodeSignature.HeaderName}: {signature.Sign(identity)}\r\n";

    // Without models no lock goes to it.
    private NodeStatus Status() => new() { State = NodeState.Ready, Models = models, KeySets = [AnnouncedKeySet.Of(keys)], Running = 0, Queued = 0 };

    // Heartbeats and enrolments are refused whose time is not new.
    private long NextTime()
    {
        while (true)
        {
            var last = Volatile.Read(ref lastTime);
            var next = Math.Max(last + 1, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
            if (Interlocked.CompareExchange(ref lastTime, next, last) == last)
                return next;
        }
    }
}

/// <summary>Messages of nodes, as many nodes as there are connections: each has sent one when it sends the next.</summary>
internal abstract class MessageRoute : Route, IAsyncDisposable
{
    private readonly ConcurrentQueue<PaperNode> nodes = new();

    public required ChatStack Stack { get; init; }

    /// <summary>Where the gateway would reach the nodes.</summary>
    public required Uri Address { get; init; }

    public override async Task PrepareAsync(int count, Shape shape)
    {
        var tokens = new Queue<string>(await TokensAsync(RunOptions.Connections - nodes.Count));
        using var connection = new RawConnection(To);
        while (tokens.TryDequeue(out var token))
        {
            var node = new PaperNode(Stack, Address);
            await node.EnrolAsync(connection, token);
            nodes.Enqueue(node);
        }
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        if (!nodes.TryDequeue(out var node))
            throw new LostAnswerException("more connections than nodes");
        var answer = await connection.ExchangeAsync(Message(node, index));
        nodes.Enqueue(node);
        return answer.Status is 200 or 204
            ? System.Diagnostics.Stopwatch.GetTimestamp()
            : throw new LostAnswerException($"a message was answered {answer.Status}");
    }

    public ValueTask DisposeAsync()
    {
        while (nodes.TryDequeue(out var node))
            node.Dispose();
        return ValueTask.CompletedTask;
    }

    protected abstract byte[] Message(PaperNode node, int index);

    // As an operator makes them, beside the running gateway.
    protected async Task<List<string>> TokensAsync(int count)
    {
        var tokens = new List<string>();
        var door = await GatewayOperator.OpenAsync(Stack.GatewayData);
        while (tokens.Count < count)
            tokens.Add((await door.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text);
        return tokens;
    }
}

/// <summary>A node says how it is.</summary>
internal sealed class HeartbeatRoute : MessageRoute
{
    protected override byte[] Message(PaperNode node, int index) => node.Heartbeat();
}

/// <summary>A node comes back under its number, with a new token and a new relay key.</summary>
internal sealed class EnrolmentRoute : MessageRoute
{
    private List<string> tokens = [];

    public override async Task PrepareAsync(int count, Shape shape)
    {
        await base.PrepareAsync(count, shape);
        tokens = await TokensAsync(count);
    }

    protected override byte[] Message(PaperNode node, int index)
    {
        using var agreement = new RelayKeyAgreement();
        return node.Enrolment(tokens[index], agreement);
    }
}

/// <summary>A node reports requests that the gateway relayed to it, beside the clock, and that are charged now.</summary>
internal sealed class UsageReportRoute : Route, IAsyncDisposable
{
    private const int PlacesMax = 960; // below the 1000 open locks of a stack

    private PaperNode? node;
    private IReadOnlyList<UsageReport>[] messages = [];

    public required ChatStack Stack { get; init; }

    public required Uri Address { get; init; }

    /// <summary>Reports in a message.</summary>
    public required int Reports { get; init; }

    public override int BatchMax => PlacesMax / Reports;

    public override int CallsMax => 2 * PlacesMax / Reports;

    private string Model => $"{Engine.Model}-{Reports}";

    public override async Task PrepareAsync(int count, Shape shape)
    {
        using (var connection = new RawConnection(To))
        {
            if (node is null)
            {
                var door = await GatewayOperator.OpenAsync(Stack.GatewayData);
                var enrolled = new PaperNode(Stack, Address, Model);
                await enrolled.EnrolAsync(connection, (await door.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text);
                node = enrolled;
            }

            if ((await connection.ExchangeAsync(node.Heartbeat())).Status is not (200 or 204)) // or it counts as gone
                throw new LostAnswerException("a heartbeat was refused");
        }

        var (made, next) = (new UsageReport[count * Reports], 0);
        var json = Shape.Whole.Json();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            using var connection = new RawConnection(To);
            while (Interlocked.Increment(ref next) - 1 is var index && index < made.Length)
            {
                var request = await RelayRoute.LockAsync(connection, Stack, Stack.ApiKeys[index % Stack.ApiKeys.Count], shape, json, Model);
                using var key = request.Request;
                var answer = Ok(await connection.ExchangeAsync(request.Bytes));
                made[index] = new UsageReport(Engine.ReadRelayed(answer.Body.Span), Model, 500, 100, 0);
            }
        }));
        messages = [.. made.Chunk(Reports)];
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var answer = Ok(await connection.ExchangeAsync(node!.Reports(messages[index])));
        var acknowledged = JsonSerializer.Deserialize(answer.Body.Span, NodeMessageJson.Default.UsageAcknowledgement)!.Acknowledged;
        return acknowledged.Count == Reports ? answer.FirstByte : throw new LostAnswerException("a report was not acknowledged");
    }

    public ValueTask DisposeAsync()
    {
        node?.Dispose();
        return ValueTask.CompletedTask;
    }
}
