// spec/sidecar.md section 5.
using System.Collections.Frozen;

namespace ConfidentialChat.Sidecar.Errors;

/// <summary>What goes wrong between a program and the gateway, beside the errors of requests (spec/envelope-v1.md section 9).</summary>
internal enum SidecarError
{
    InvalidRequest,
    LocalKeyWrong,
    OriginRefused,
    NotFound,
    MethodNotAllowed,
    BodyTooSlow,
    BodyTooLarge,
    UnsupportedMediaType,
    HostRefused,
    TooManyRequests,
    InternalError,
    AttestationFailed,
    GatewayUnreachable,
    GatewayRefused,
    AnswerNotAuthentic,
    StreamTruncated,
    InvalidAnswer,
    NoModel,
    Stopping,
    GatewayTimeout,
}

/// <summary>One row of the sidecar's table.</summary>
/// <param name="Error">The error.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">The <c>code</c> member.</param>
/// <param name="Type">The <c>type</c> member, of both APIs.</param>
/// <param name="Message">What happened, and what to do.</param>
/// <param name="MayRetry">Whether a client may ask again by itself. Where not, <c>x-should-retry</c> tells it so.</param>
internal sealed record SidecarErrorRow(SidecarError Error, int Status, string Code, string Type, string Message, bool MayRetry = false);

/// <summary>The one table of them.</summary>
internal static class SidecarErrors
{
    private const string Request = "invalid_request_error", Gateway = "gateway_error", Answer = "answer_error", Room = "rate_limit_error";

    public static IReadOnlyList<SidecarErrorRow> Table { get; } =
    [
        new(SidecarError.InvalidRequest, 400, "INVALID_REQUEST", Request, "The request cannot be sealed."),
        new(
            SidecarError.LocalKeyWrong, 401, "LOCAL_KEY_WRONG", "authentication_error",
            "The sidecar on this machine asks for its local key: give it as the API key."),
        new(
            SidecarError.OriginRefused, 403, "ORIGIN_REFUSED", "permission_error",
            "The sidecar serves no web pages. Start it with --cors-origin to let the pages of one origin in."),
        new(
            SidecarError.NotFound, 404, "NOT_FOUND", Request,
            $"There is nothing at this path. The base URL of OpenAI's clients ends in {LocalPaths.Base}, that of Anthropic's does not. Here are: {LocalPaths.Listed}."),
        new(SidecarError.MethodNotAllowed, 405, "METHOD_NOT_ALLOWED", Request, $"This path does not take that method. Here are: {LocalPaths.Listed}."),
        new(SidecarError.BodyTooSlow, 408, "BODY_TOO_SLOW", Request, "The body came more slowly than a body may.", MayRetry: true),
        new(SidecarError.BodyTooLarge, 413, "BODY_TOO_LARGE", "request_too_large", "The body is larger than what can be sealed."),
        new(
            SidecarError.UnsupportedMediaType, 415, "UNSUPPORTED_MEDIA_TYPE", Request,
            $"A request has a body of the type application/json, in one of these codings: {PackedBody.Codings}."),
        new(
            SidecarError.HostRefused, 421, "HOST_REFUSED", "permission_error",
            "The Host header does not name this machine: ask 127.0.0.1 or localhost, or start the sidecar with --host-name."),
        new(
            SidecarError.TooManyRequests, 429, "TOO_MANY_REQUESTS", Room,
            "The sidecar has no room now: try again after the time in Retry-After.", MayRetry: true),
        new(SidecarError.InternalError, 500, "INTERNAL_ERROR", "sidecar_error", "Something failed in the sidecar."),
        new(SidecarError.AttestationFailed, 502, "ATTESTATION_FAILED", "attestation_error", "The policy accepts no node of this model; nothing was sent."),
        new(
            SidecarError.GatewayUnreachable, 502, "GATEWAY_UNREACHABLE", Gateway,
            "The gateway could not be reached, or the connection to it broke. Does it run where --gateway says?", MayRetry: true),
        new(SidecarError.GatewayRefused, 502, "GATEWAY_REFUSED", Gateway, "The gateway answered with something that no gateway says."),
        new(
            SidecarError.AnswerNotAuthentic, 502, "ANSWER_NOT_AUTHENTIC", Answer,
            "The answer is not authentic: somebody on the way has altered it. What came before is authentic, and not all."),
        new(
            SidecarError.StreamTruncated, 502, "STREAM_TRUNCATED", Answer, "The answer broke off before its end. What came before is authentic, and not all."),
        new(SidecarError.InvalidAnswer, 502, "INVALID_ANSWER", Answer, "The answer has the wrong type or shape, or is too large."),
        new(SidecarError.NoModel, 503, "NO_MODEL", Gateway, "The gateway offers no model now: start a node.", MayRetry: true),
        new(SidecarError.Stopping, 503, "STOPPING", "sidecar_error", "The sidecar stops.", MayRetry: true),
        new(SidecarError.GatewayTimeout, 504, "GATEWAY_TIMEOUT", Gateway, "No answer came in time.", MayRetry: true),
    ];

    private static readonly FrozenDictionary<SidecarError, SidecarErrorRow> ByError = Table.ToFrozenDictionary(row => row.Error);

    public static SidecarErrorRow Row(this SidecarError error) => ByError[error];

    /// <summary>The error that a bare status of the framework stands for.</summary>
    public static SidecarError FromStatus(int status) => status switch
    {
        404 => SidecarError.NotFound,
        405 => SidecarError.MethodNotAllowed,
        408 => SidecarError.BodyTooSlow,
        413 => SidecarError.BodyTooLarge,
        415 => SidecarError.UnsupportedMediaType,
        >= 500 => SidecarError.InternalError,
        _ => SidecarError.InvalidRequest,
    };
}
