// spec/envelope-v2.md section 1; spec/attestation.md sections 11 and 17.
using System.Net;
using ConfidentialChat.Attestation;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Gateway.V2;

/// <summary>Hands out the bundles of nodes, as they are.</summary>
internal sealed class EvidenceEndpoint(KnownNodes nodes, NodeBundles bundles, InFlight inFlight, GatewayOptions options, TimeProvider time)
{
    private const string Json = "application/json";
    private const int MaxChallenge = 1024;

    /// <summary>The bundle of the newest key set.</summary>
    public async ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        if (nodes.Find(context) is not { Newest: { Bundle: { } digest } newest } node)
            return Refuse(RequestError.NotFound);
        if (context.IsKnown(Convert.ToHexStringLower(digest)))
            return TypedResults.StatusCode(StatusCodes.Status304NotModified);
        return await bundles.NewestAsync(node, newest).WaitAsync(context.RequestAborted) is { } bundle
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
        using var request = new HttpRequestMessage(HttpMethod.Post, node.Address.Prefix + NodeBundles.Path)
        {
            Content = new ByteArrayContent(body.Memory.ToArray()),
        };
        request.Headers.TryAddWithoutValidation(RelayToken.HeaderName, token.Write(relayKey));
        return await bundles.AskAsync(node, request, Bounds.LiveEvidence, context.RequestAborted) switch
        {
            (HttpStatusCode.OK, { } live) => TypedResults.Bytes(live, Json),
            (HttpStatusCode.BadRequest, _) => new ErrorAnswer(RequestError.InvalidField, "challenge"),
            (HttpStatusCode.TooManyRequests, _) => new ErrorAnswer(RequestError.TooManyRequests),
            _ => new ErrorAnswer(RequestError.ServiceUnavailable),
        };
    }

    private static ErrorAnswer Refuse(RequestError error) => new(error) { Forwarded = false };
}
