// spec/gateway.md section 4; spec/envelope-v1.md section 9.
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>What a node's answer means to the gateway.</summary>
internal enum NodeAnswerKind
{
    /// <summary>200 with a sealed answer.</summary>
    Accepted,

    /// <summary>An error of the table: the caller learns its code.</summary>
    Refused,

    /// <summary>The node does not take the gateway's relay token: the operator's matter, not the caller's.</summary>
    TokenRefused,

    /// <summary>An error that the protocol does not know.</summary>
    JunkRefusal,

    /// <summary>200 with something that is no sealed answer: the node may have computed.</summary>
    JunkAnswer,
}

/// <summary>A node's answer, judged by its head, and an error also by its body.</summary>
internal sealed record NodeAnswer(NodeAnswerKind Kind, int Status, Rejection? Rejection = null, int? RetryAfterSeconds = null)
{
    private const int MaxErrorBytes = 4096;
    private const int MaxRetryAfterSeconds = 3600;

    private static readonly TimeSpan ErrorTimeout = TimeSpan.FromSeconds(5);

    public static async Task<NodeAnswer> JudgeAsync(HttpResponseMessage response, RelayRoute route, CancellationToken cancellation)
    {
        var status = (int)response.StatusCode;
        if (response.StatusCode is HttpStatusCode.OK)
            return new NodeAnswer(IsSealed(response.Content.Headers.ContentType, route) ? NodeAnswerKind.Accepted : NodeAnswerKind.JunkAnswer, status);
        if (response.StatusCode is HttpStatusCode.Unauthorized)
            return new NodeAnswer(NodeAnswerKind.TokenRefused, status);
        return await ReadErrorAsync(response.Content, route, cancellation) is { } rejection && rejection.Error.Row().IsNodes
            ? new NodeAnswer(NodeAnswerKind.Refused, status, rejection, RetryAfter(response.Headers))
            : new NodeAnswer(NodeAnswerKind.JunkRefusal, status);
    }

    private static bool IsSealed(MediaTypeHeaderValue? type, RelayRoute route) =>
        type?.MediaType is { } name && route.AnswerTypes.Contains(name, StringComparer.OrdinalIgnoreCase);

    private static async Task<Rejection?> ReadErrorAsync(HttpContent content, RelayRoute route, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(ErrorTimeout);
        try
        {
            await using var stream = await content.ReadAsStreamAsync(limit.Token);
            var body = new byte[MaxErrorBytes];
            var length = await stream.ReadAtLeastAsync(body, body.Length, throwOnEndOfStream: false, limit.Token);
            return route.ReadRefusal(body.AsMemory(0, length), out var rejection) ? rejection : null;
        }
        catch (Exception e) when (e is IOException or HttpRequestException or OperationCanceledException)
        {
            return null;
        }
    }

    private static int? RetryAfter(HttpResponseHeaders headers) =>
        headers.TryGetValues("Retry-After", out var values)
        && int.TryParse(values.FirstOrDefault(), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
        && seconds is >= 1 and <= MaxRetryAfterSeconds
            ? seconds
            : null;
}
