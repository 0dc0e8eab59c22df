using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Bench.WholePath.Processes;
using ConfidentialChat.Bench.WholePath.Servers;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Hpke;
using ConfidentialChat.Protocol.Oblivious;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.Shape;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Bench.WholePath.Load;

/// <summary>A request of envelope v2 that is ready to be sent, and what opens its answer.</summary>
/// <param name="Bytes">The whole HTTP request.</param>
/// <param name="Call">Opens the answer.</param>
internal sealed record SealedCallBytes(byte[] Bytes, SealedCall Call)
{
    /// <summary>What each is allowed.</summary>
    public static readonly ComputeUnits Units = new(8192);

    /// <param name="to">Where it goes.</param>
    /// <param name="path">Of the sealed door.</param>
    /// <param name="keys">The list of key configurations that the node publishes.</param>
    /// <param name="headers">Beside those that say what is outside.</param>
    /// <param name="json">The body inside.</param>
    public static SealedCallBytes Make(Uri to, string path, ReadOnlySpan<byte> keys, Func<RequestId, string> headers, byte[] json)
    {
        if (!KeyConfigurationList.TryParse(keys, out var list))
            throw new LostAnswerException("the node's keys are no good");
        var request = RequestId.New();
        var call = SealedCall.Seal(
            new InnerCall
            {
                Method = "POST",
                Path = "/v1/chat/completions",
                Model = Engine.Model,
                Request = request,
                MaxUnits = Units,
                Date = InnerCall.Minute(DateTimeOffset.UtcNow),
                Body = json,
            },
            list.Configurations[0],
            SymmetricSuite.Default);
        var lines = $"{headers(request)}{RelayHeaders.Model}: {Engine.Model}\r\n{RelayHeaders.RequestId}: {request}\r\n{RelayHeaders.MaxUnits}: {Units.Value}\r\n";
        return new SealedCallBytes(RawConnection.Post(to, path, call.Body.Span, lines, ChunkedRequestSealer.MediaType), call);
    }

    /// <summary>Whether a sealed answer opens to its end, and what it was sealed from is whole.</summary>
    public async ValueTask<bool> IsWholeAsync(Shape shape, ReadOnlyMemory<byte> body)
    {
        using var reader = Call.Open(PipeReader.Create(new ReadOnlySequence<byte>(body.ToArray())));
        if ((await reader.ReadHeadAsync(default)).Status != 200)
            return false;
        var (content, events, unpadder) = (new ArrayBufferWriter<byte>(), new ArrayBufferWriter<byte>(), new EventUnpadder());
        while (await reader.ReadContentAsync(default) is { Length: > 0 } piece)
            content.Write(piece.Span);
        if (!shape.IsStream)
            return shape.IsWhole(content.WrittenSpan);
        unpadder.Unpad(content.WrittenSpan, events);
        unpadder.Complete(events);
        return shape.IsWhole(events.WrittenSpan);
    }
}

/// <summary>Requests sealed to the floor's node of envelope v2, which takes one request any number of times.</summary>
internal sealed class FloorV2Route : Route
{
    private SealedCallBytes? request;
    private Shape prepared = new(-1);

    public required byte[] NodeKeys { get; init; }

    // A request opens one answer.
    public override int BatchMax => Checks ? 1 : int.MaxValue;

    public override Task PrepareAsync(int count, Shape shape)
    {
        if (prepared != shape || Checks)
            request = SealedCallBytes.Make(To, "/", NodeKeys, _ => "", shape.Json());
        prepared = shape;
        return Task.CompletedTask;
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var answer = Ok(await connection.ExchangeAsync(request!.Bytes));
        return !Checks || await request.IsWholeAsync(shape, answer.Body) ? answer.FirstByte : throw new LostAnswerException("the answer is not whole");
    }
}

/// <summary>
/// Our gateway and node under envelope v2; requests are sealed beside the clock, to the keys of the node's bundle, whose evidence nobody looks at.
/// </summary>
internal class RelayV2Route : Route
{
    private SealedCallBytes[] requests = [];

    public required ChatStack Stack { get; init; }

    public override int BatchMax => 960; // made and used within the minutes that a date is good for, and the one of a relay token

    public override async Task PrepareAsync(int count, Shape shape)
    {
        using var connection = new RawConnection(Stack.Gateway.Url);
        var node = await GetAsync(connection, $"/v2/nodes?model={Engine.Model}", answer =>
        {
            using var list = JsonDocument.Parse(answer);
            var node = list.RootElement.GetProperty("nodes")[0];
            return new ListedNode(node.GetProperty("id").ToString(), node.GetProperty("key_set").GetString()!);
        });
        var keys = await GetAsync(connection, $"/v2/nodes/{node.Id}/evidence", answer =>
            EvidenceBundle.TryParse(answer, out var bundle) is null && bundle!.Statement is { Keys.Ohttp: var ohttp }
                ? ohttp.ToArray()
                : throw new LostAnswerException("the bundle is none"));
        var json = shape.Json();
        requests = [.. Enumerable.Range(0, count).Select(i => Make(node, keys, json, i))];
    }

    public override async ValueTask<long> CallAsync(RawConnection connection, int index, Shape shape)
    {
        var request = requests[index];
        var answer = Ok(await connection.ExchangeAsync(request.Bytes));
        if (Checks && !await request.IsWholeAsync(shape, answer.Body))
            throw new LostAnswerException("the answer does not open, or is not whole");
        request.Call.Dispose();
        return answer.FirstByte;
    }

    /// <summary>One request as it goes out.</summary>
    protected virtual SealedCallBytes Make(ListedNode node, byte[] keys, byte[] json, int index) => SealedCallBytes.Make(
        To, $"/v2/nodes/{node.Id}/relay", keys, _ => $"{Authorization(index)}{RelayHeaders.KeySet}: {node.KeySet}\r\n", json);

    private string Authorization(int index) => $"Authorization: Bearer {Stack.ApiKeys[index % Stack.ApiKeys.Count]}\r\n";

    private async ValueTask<T> GetAsync<T>(RawConnection connection, string path, Func<ReadOnlyMemory<byte>, T> read)
    {
        var answer = await connection.ExchangeAsync(
            Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: {Stack.Gateway.Url.Authority}\r\n{Authorization(0)}\r\n"));
        return read(Ok(answer).Body.ToArray());
    }

    /// <summary>A node, as the gateway lists it.</summary>
    protected sealed record ListedNode(string Id, string KeySet);
}

/// <summary>
/// The same at the node itself, as its floor is measured: a node that waits for a gateway on the other core wakes a thread for each request. The
/// relay tokens are written under the key that the node keeps; it reports usage to its gateway, which knows none of these requests.
/// </summary>
internal sealed class NodeV2Route : RelayV2Route
{
    private const string Path = "/v2/relay";

    private static readonly TimeSpan TokenLifetime = TimeSpan.FromSeconds(55);

    private RelayKey? key;

    protected override SealedCallBytes Make(ListedNode node, byte[] keys, byte[] json, int index)
    {
        key ??= new RelayKey(Stack.ReadRelayKey());
        return SealedCallBytes.Make(
            To, Path, keys,
            request => $"{RelayToken.HeaderName}: {Token(node, request).Write(key)}\r\n", json);
    }

    private static RelayToken Token(ListedNode node, RequestId request) => new()
    {
        Request = request,
        Node = new NodeId(long.Parse(node.Id, CultureInfo.InvariantCulture)),
        KeySet = KeySetDigest.TryParse(node.KeySet, out var keySet) ? keySet : throw new LostAnswerException("the key set is none"),
        Endpoint = RelayHeaders.RelayEndpoint,
        Model = Engine.Model,
        Units = SealedCallBytes.Units,
        Expires = DateTimeOffset.UtcNow + TokenLifetime,
    };
}
