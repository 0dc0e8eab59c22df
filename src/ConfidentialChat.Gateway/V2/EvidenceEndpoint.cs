// spec/envelope-v2.md section 1; spec/attestation.md sections 11 and 17.
using System.Collections.Concurrent;
using System.Net;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Gateway.V2;

/// <summary>
/// Hands out the bundles of nodes. A gateway looks only whether a bundle is the announced one, and of these keys: whether it is to be believed
/// is for whoever asks.
/// </summary>
internal sealed class EvidenceEndpoint(
    KnownNodes nodes, NodeConnections connections, InFlight inFlight, GatewayOptions options, TimeProvider time, Seldom seldom, ILogger<EvidenceEndpoint> log)
{
    private const string Path = "/v2/evidence";
    private const string Json = "application/json";
    private const int MaxChallenge = 1024;

    private static readonly TimeSpan NodeTime = TimeSpan.FromSeconds(65); // a quote may take 30 s, and there may be one before ours

    // The newest bundle of each node, or the one way to it that is under way: what is replaced is asked for no more.
    private readonly ConcurrentDictionary<NodeId, BundleFetch> kept = new();

    /// <summary>The bundle of the newest key set.</summary>
    public async ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        if (nodes.Find(context) is not { Newest: { Bundle: { } digest } newest } node)
            return Refuse(RequestError.NotFound);
        if (context.IsKnown(Convert.ToHexStringLower(digest)))
            return TypedResults.StatusCode(StatusCodes.Status304NotModified);
        var fetch = kept.AddOrUpdate(node.Id, _ => Begin(node, newest), (_, known) => known.IsOf(newest) && !known.HasFailed ? known : Begin(node, newest));
        return await fetch.Bundle.Value.WaitAsync(context.RequestAborted) is { } bundle
            ? TypedResults.Bytes(bundle, Json)
            : Refuse(RequestError.ServiceUnavailable);
    }

    /// <summary>A bundle for the caller's challenge, which the node makes.</summary>
    public async ValueTask<IResult> ChallengeAsync(HttpContext context, Caller caller)
    {
        using var place = inFlight.TryEnter(caller.User);
        if (place is null)
            return Refuse(RequestError.TooManyRequests);
        if (nodes.Find(context) is not { RelayKey: { } relayKey, Newest: { Bundle: not null } newest } node)
            return Refuse(RequestError.NotFound);
        var (body, fault) = await RequestBody.ReadAsync(context, new BodyLimits(MaxChallenge, options.UploadTimeout), place.Room, time);
        if (body is null)
            return fault!;
        using var received = body;
        var token = new RelayToken
        {
            Request = RequestId.New(),
            Node = node.Id,
            KeySet = newest.Digest,
            Endpoint = RelayHeaders.EvidenceEndpoint,
            Model = "",
            Units = ComputeUnits.Zero,
            Expires = time.GetUtcNow() + RelayToken.MaxLifetime,
        };
        using var request = new HttpRequestMessage(HttpMethod.Post, node.Address.Prefix + Path) { Content = new ByteArrayContent(body.Memory.ToArray()) };
        request.Headers.TryAddWithoutValidation(RelayToken.HeaderName, token.Write(relayKey));
        return await AskAsync(node, request, Bounds.LiveEvidence, context.RequestAborted) switch
        {
            (HttpStatusCode.OK, { } live) => TypedResults.Bytes(live, Json),
            (HttpStatusCode.BadRequest, _) => new ErrorAnswer(RequestError.InvalidField, "challenge"),
            (HttpStatusCode.TooManyRequests, _) => new ErrorAnswer(RequestError.TooManyRequests),
            _ => new ErrorAnswer(RequestError.ServiceUnavailable),
        };
    }

    private static ErrorAnswer Refuse(RequestError error) => new(error) { Forwarded = false };

    // For everybody who asks meanwhile, and so not of whoever began it.
    private BundleFetch Begin(KnownNode node, KnownKeySet keys) =>
        new(keys.Digest, keys.Bundle!, new Lazy<Task<byte[]?>>(() => FetchAsync(node, keys, CancellationToken.None)));

    private async Task<byte[]?> FetchAsync(KnownNode node, KnownKeySet keys, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"{node.Address.Prefix}{Path}/{keys.Digest}");
        if (await AskAsync(node, request, Bounds.Bundle, cancellation) is not (HttpStatusCode.OK, { } bundle))
            return null;
        if (Sha256.Hash(bundle).AsSpan().SequenceEqual(keys.Bundle)
            && EvidenceBundle.TryParse(bundle, out var parsed) is null
            && parsed!.Statement is { } statement
            && new KeySetDigest(statement.Keys.Digest()) == keys.Digest)
            return bundle;
        if (seldom.Says("Bundles that are not the announced ones, of node", node.Id.Value))
            log.OtherBundle(node.Id);
        return null;
    }

    // The whole answer, where it is within its bound; null else. A node's words go no further.
    private async Task<(HttpStatusCode? Status, byte[]? Body)> AskAsync(
        KnownNode node, HttpRequestMessage request, int maxBytes, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(NodeTime);
        try
        {
            using var response = await connections.To(node.Address).SendAsync(request, limit.Token);
            if (response.StatusCode is not HttpStatusCode.OK)
                return (response.StatusCode, null);
            await using var stream = await response.Content.ReadAsStreamAsync(limit.Token);
            using var body = new MemoryStream();
            var buffer = new byte[16 * 1024];
            for (int read; (read = await stream.ReadAsync(buffer, limit.Token)) > 0;)
            {
                if (body.Length + read > maxBytes)
                    return (null, null);
                body.Write(buffer, 0, read);
            }

            return (HttpStatusCode.OK, body.ToArray());
        }
        catch (Exception e) when (e is HttpRequestException or IOException
            || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return (null, null);
        }
    }
}

/// <summary>One bundle, on its way or here.</summary>
/// <param name="KeySet">Whose.</param>
/// <param name="Digest">As it was announced.</param>
/// <param name="Bundle">Null where the node did not give it.</param>
internal sealed record BundleFetch(KeySetDigest KeySet, byte[] Digest, Lazy<Task<byte[]?>> Bundle)
{
    public bool HasFailed => Bundle is { IsValueCreated: true, Value: { IsCompleted: true } ended } && (!ended.IsCompletedSuccessfully || ended.Result is null);

    public bool IsOf(KnownKeySet keys) => KeySet == keys.Digest && Digest.AsSpan().SequenceEqual(keys.Bundle);
}
