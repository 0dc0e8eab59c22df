// spec/gateway.md section 4: lists of what passes; everything else stays where it is.
using System.Net.Http.Headers;
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Relay;
using Microsoft.AspNetCore.Http.Features;
using Yarp.ReverseProxy.Forwarder;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>What passes between one client and one node, and the moment in which the node accepts.</summary>
internal sealed class RelayTransformer(
    RelayRoute route, Reservation reservation, string relayToken, Ledger ledger, TimeProvider time) : HttpTransformer
{
    /// <summary>Null until the head of the node's answer is here.</summary>
    public NodeAnswer? Answer { get; private set; }

    /// <summary>A timestamp of that moment.</summary>
    public long? AnsweredAt { get; private set; }

    public override ValueTask TransformRequestAsync(
        HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
    {
        var from = httpContext.Request;
        proxyRequest.RequestUri = new Uri(destinationPrefix + route.Path);
        proxyRequest.Headers.TryAddWithoutValidation(RelayToken.HeaderName, relayToken);

        // Constants: what a client writes into a header could make the request unsendable, and look like a node that is down.
        proxyRequest.Content!.Headers.ContentType = new MediaTypeHeaderValue(route.RequestType);
        proxyRequest.Content.Headers.ContentLength = from.ContentLength;

        // A node that has no seat reads nothing, and whoever goes on sending would meet a reset where the refusal was.
        proxyRequest.Headers.ExpectContinue = from.ContentLength is null or > BodyBudget.SmallBytes;
        return default;
    }

    public override async ValueTask<bool> TransformResponseAsync(
        HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
    {
        if (proxyResponse is null)
            return false;
        AnsweredAt = time.GetTimestamp();
        httpContext.Features.GetRequiredFeature<IHttpResponseFeature>().ReasonPhrase = null; // the node's own words

        var answer = await NodeAnswer.JudgeAsync(proxyResponse, route, cancellationToken);
        if (answer.Kind is NodeAnswerKind.Accepted or NodeAnswerKind.JunkAnswer)
            ledger.Spend(reservation);
        Answer = answer;
        if (answer.Kind is not NodeAnswerKind.Accepted)
            return false;

        var to = httpContext.Response;
        to.ContentType = proxyResponse.Content.Headers.ContentType!.MediaType;
        to.Headers.CacheControl = "no-store, no-transform"; // who compresses holds events back
        to.Headers["X-Accel-Buffering"] = "no"; // and so would proxies in front
        return true;
    }

    public override ValueTask TransformResponseTrailersAsync(
        HttpContext httpContext, HttpResponseMessage proxyResponse, CancellationToken cancellationToken) => default;
}
