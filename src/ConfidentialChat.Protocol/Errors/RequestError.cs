// spec/envelope-v1.md sections 9 and 13.
using System.Collections.Frozen;

namespace ConfidentialChat.Protocol.Errors;

/// <summary>Everything that can go wrong with a request, as its caller learns it. Of no envelope's version.</summary>
public enum RequestError
{
    AuthError,
    InvalidJson,
    InvalidField,
    InvalidKey,
    UnknownNodeKey,
    DecryptionFailed,
    ModelMismatch,
    StreamMismatch,
    ContextTooLarge,
    BalanceError,
    NotFound,
    ModelNotFound,
    MethodNotAllowed,
    Replay,
    BodyTooLarge,
    UnsupportedMediaType,
    UnavailableStack,
    TooManyRequests,
    InferenceError,
    InferenceTimeout,
    InternalError,
    ServiceUnavailable,
    BodyTooSlow,
    EndpointNotServed,
    Forbidden,
    PriceChanged,
}

/// <summary>When a request that failed may be made again.</summary>
public enum Retry
{
    /// <summary>It gets the same answer.</summary>
    No,

    /// <summary>The same bytes may succeed later; nothing was computed.</summary>
    Later,

    /// <summary>It may succeed later, and only its caller can say whether it is to be repeated: this side does not know how far it came.</summary>
    IfAllowed,

    /// <summary>Locked and sealed anew it may succeed; no repetition of the same bytes can.</summary>
    WithNewKey,
}

/// <summary>One row of the table: what an error looks like on the wire, and what it means for the next attempt.</summary>
/// <param name="Error">The error.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">The <c>code</c> member of envelope v1.</param>
/// <param name="Message">The fixed <c>message</c>; for <see cref="RequestError.InvalidField"/> the field's name goes before it.</param>
/// <param name="Retry">When the request may be made again.</param>
/// <param name="IsNodes">
/// Whether a node may say it of a request. Accounts, locks and paths are the gateway's: a node that speaks of them is not serving this
/// request, and must not make a client throw its key away.
/// </param>
/// <param name="MayBeCharged">Whether something may have been computed, and is then charged for.</param>
/// <param name="SpendsLock">Whether a node that says it has worked all the same: the lock is spent, and the node's report says what is charged.</param>
public sealed record RequestErrorRow(
    RequestError Error, int Status, string Code, string Message, Retry Retry, bool IsNodes = true, bool MayBeCharged = false, bool SpendsLock = false)
{
    /// <summary>Whether the answer says when there may be room again.</summary>
    public bool HasRetryAfter => Status is 429 or 503;

    /// <summary>The <c>type</c> member of the OpenAI API.</summary>
    public string OpenAIType => Status switch
    {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        >= 500 => "server_error",
        _ => "invalid_request_error",
    };

    /// <summary>The <c>type</c> member of Anthropic's API.</summary>
    public string AnthropicType => Status switch
    {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        >= 500 => "api_error",
        _ => "invalid_request_error",
    };

    /// <summary>Whether a node's refusal with it gives the lock back for the next attempt; spec/envelope-v1.md section 13.</summary>
    public bool ReturnsLock => Retry is Retry.Later or Retry.IfAllowed && !MayBeCharged;
}

/// <summary>The one table from an error to its status, code, text and consequences.</summary>
public static class RequestErrors
{
    public static IReadOnlyList<RequestErrorRow> Table { get; } =
    [
        new(RequestError.AuthError, 401, "AUTH_ERROR", "Authentication failed: no valid API key was given.", Retry.No, IsNodes: false),
        new(RequestError.InvalidJson, 400, "INVALID_JSON", "The body is not a JSON object.", Retry.No),
        new(RequestError.InvalidField, 400, "INVALID_FIELD", "is missing or not valid.", Retry.No),
        new(RequestError.InvalidKey, 400, "INVALID_KEY", "The client key is a low-order point.", Retry.No),
        new(RequestError.UnknownNodeKey, 400, "UNKNOWN_NODE_KEY", "The node holds no such key: get its keys and encrypt anew.", Retry.WithNewKey),
        new(RequestError.DecryptionFailed, 400, "DECRYPTION_FAILED", "The request could not be opened.", Retry.No),
        new(RequestError.ModelMismatch, 400, "MODEL_MISMATCH", "The encrypted model is not the one that was named outside.", Retry.No),
        new(RequestError.StreamMismatch, 400, "STREAM_MISMATCH", "The encrypted stream member is not the one outside.", Retry.No),
        new(RequestError.ContextTooLarge, 400, "CONTEXT_TOO_LARGE", "The prompt does not fit the model's context or the reservation.", Retry.No),
        new(RequestError.BalanceError, 402, "BALANCE_ERROR", "The balance does not cover the request.", Retry.No, IsNodes: false),
        new(RequestError.Forbidden, 403, "FORBIDDEN", "This API key is not for that.", Retry.No, IsNodes: false),
        new(RequestError.NotFound, 404, "NOT_FOUND", "There is nothing at this path.", Retry.No, IsNodes: false),
        new(RequestError.ModelNotFound, 404, "MODEL_NOT_FOUND", "No node serves this model.", Retry.No),
        new(RequestError.EndpointNotServed, 404, "ENDPOINT_NOT_SERVED", "The model's engine does not serve this endpoint.", Retry.No),
        new(RequestError.MethodNotAllowed, 405, "METHOD_NOT_ALLOWED", "This path does not take that method.", Retry.No, IsNodes: false),
        new(RequestError.BodyTooSlow, 408, "BODY_TOO_SLOW", "The body came more slowly than a body may.", Retry.IfAllowed, IsNodes: false),
        new(RequestError.Replay, 409, "REPLAY", "This very request was served already.", Retry.No),
        new(
            RequestError.PriceChanged, 412, "PRICE_CHANGED", "The price is above the one that was named: ask for it and seal anew.", Retry.WithNewKey,
            IsNodes: false),
        new(RequestError.BodyTooLarge, 413, "BODY_TOO_LARGE", "The body is larger than the limit.", Retry.No),
        new(
            RequestError.UnsupportedMediaType, 415, "UNSUPPORTED_MEDIA_TYPE", "The body is of another media type than this path takes, or compressed.",
            Retry.No, IsNodes: false),
        new(RequestError.UnavailableStack, 425, "UNAVAILABLE_STACK", "The lock is not available: lock and encrypt anew.", Retry.WithNewKey, IsNodes: false),
        new(RequestError.TooManyRequests, 429, "TOO_MANY_REQUESTS", "No room now: try again after the time in Retry-After.", Retry.Later),
        new(RequestError.InferenceError, 500, "INFERENCE_ERROR", "The inference service failed.", Retry.IfAllowed),
        new(
            RequestError.InferenceTimeout, 500, "INFERENCE_TIMEOUT", "The inference service took too long.", Retry.IfAllowed, MayBeCharged: true,
            SpendsLock: true),
        new(RequestError.InternalError, 500, "INTERNAL_ERROR", "Something failed on this side.", Retry.IfAllowed, MayBeCharged: true),
        new(RequestError.ServiceUnavailable, 503, "SERVICE_UNAVAILABLE", "No node can take the request now.", Retry.Later),
    ];

    private static readonly FrozenDictionary<RequestError, RequestErrorRow> ByError = Table.ToFrozenDictionary(row => row.Error);
    private static readonly FrozenDictionary<string, RequestErrorRow> ByCode = Table.ToFrozenDictionary(row => row.Code, StringComparer.Ordinal);

    public static RequestErrorRow Row(this RequestError error) => ByError[error];

    /// <summary>The row of a code that a peer sent, or null for a code that is none of ours.</summary>
    public static RequestErrorRow? FromCode(string? code) => code is null ? null : ByCode.GetValueOrDefault(code);

    /// <summary>The error that a bare status stands for, where a framework gave it without a body.</summary>
    public static RequestError FromStatus(int status) => status switch
    {
        401 => RequestError.AuthError,
        403 => RequestError.Forbidden,
        404 => RequestError.NotFound,
        405 => RequestError.MethodNotAllowed,
        408 => RequestError.BodyTooSlow,
        413 => RequestError.BodyTooLarge,
        415 => RequestError.UnsupportedMediaType,
        503 => RequestError.ServiceUnavailable,
        >= 500 => RequestError.InternalError,
        _ => RequestError.InvalidJson,
    };

    /// <summary>When a request that was answered with a status, and perhaps a code, may be made again; the code decides where it is known.</summary>
    public static Retry RetryOf(int status, string? code) => FromCode(code)?.Retry ?? status switch
    {
        425 => Retry.WithNewKey,
        429 or 503 => Retry.Later,
        408 or 500 or 502 or 504 => Retry.IfAllowed,
        _ => Retry.No,
    };
}
