// spec/envelope-v1.md section 9.
using System.Collections.Frozen;

namespace ConfidentialChat.Protocol.V1;

/// <summary>Everything that can go wrong with a request of envelope v1, as its caller learns it.</summary>
public enum V1Error
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
}

/// <summary>One row of the table: what an error looks like on the wire.</summary>
/// <param name="Error">The error.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">The <c>code</c> member.</param>
/// <param name="Message">The fixed <c>message</c>; for <see cref="V1Error.InvalidField"/> the field's name goes before it.</param>
/// <param name="Retryable">Whether the same request may succeed later.</param>
public sealed record V1ErrorRow(V1Error Error, int Status, string Code, string Message, bool Retryable);

/// <summary>The one table from an error to its status, code and text.</summary>
public static class V1Errors
{
    public static IReadOnlyList<V1ErrorRow> Table { get; } =
    [
        new(V1Error.AuthError, 401, "AUTH_ERROR", "Authentication failed: no valid API key was given.", false),
        new(V1Error.InvalidJson, 400, "INVALID_JSON", "The body is not a JSON object.", false),
        new(V1Error.InvalidField, 400, "INVALID_FIELD", "is missing or not valid.", false),
        new(V1Error.InvalidKey, 400, "INVALID_KEY", "The client key is a low-order point.", false),
        new(V1Error.UnknownNodeKey, 400, "UNKNOWN_NODE_KEY", "The node holds no such key: lock and encrypt anew.", true),
        new(V1Error.DecryptionFailed, 400, "DECRYPTION_FAILED", "The request could not be opened.", false),
        new(V1Error.ModelMismatch, 400, "MODEL_MISMATCH", "The encrypted model is not the one that was named outside.", false),
        new(V1Error.StreamMismatch, 400, "STREAM_MISMATCH", "The encrypted stream member is not the one outside.", false),
        new(V1Error.ContextTooLarge, 400, "CONTEXT_TOO_LARGE", "The prompt does not fit the model's context or the reservation.", false),
        new(V1Error.BalanceError, 402, "BALANCE_ERROR", "The balance does not cover the request.", false),
        new(V1Error.NotFound, 404, "NOT_FOUND", "There is nothing at this path.", false),
        new(V1Error.ModelNotFound, 404, "MODEL_NOT_FOUND", "No node serves this model.", false),
        new(V1Error.MethodNotAllowed, 405, "METHOD_NOT_ALLOWED", "This path does not take that method.", false),
        new(V1Error.Replay, 409, "REPLAY", "This very request was served already.", false),
        new(V1Error.BodyTooLarge, 413, "BODY_TOO_LARGE", "The body is larger than the limit.", false),
        new(V1Error.UnsupportedMediaType, 415, "UNSUPPORTED_MEDIA_TYPE", "The body is to be application/json.", false),
        new(V1Error.UnavailableStack, 425, "UNAVAILABLE_STACK", "The lock is not available: lock and encrypt anew.", true),
        new(V1Error.TooManyRequests, 429, "TOO_MANY_REQUESTS", "No room now: try again after the time in Retry-After.", true),
        new(V1Error.InferenceError, 500, "INFERENCE_ERROR", "The inference service failed.", true),
        new(V1Error.InferenceTimeout, 500, "INFERENCE_TIMEOUT", "The inference service took too long.", true),
        new(V1Error.InternalError, 500, "INTERNAL_ERROR", "Something failed on this side.", true),
        new(V1Error.ServiceUnavailable, 503, "SERVICE_UNAVAILABLE", "No node can take the request now.", true),
    ];

    private static readonly FrozenDictionary<V1Error, V1ErrorRow> ByError = Table.ToFrozenDictionary(row => row.Error);
    private static readonly FrozenDictionary<string, V1ErrorRow> ByCode = Table.ToFrozenDictionary(row => row.Code, StringComparer.Ordinal);

    public static V1ErrorRow Row(this V1Error error) => ByError[error];

    /// <summary>The row of a code that a peer sent, or null for a code that is none of ours.</summary>
    public static V1ErrorRow? FromCode(string? code) => code is null ? null : ByCode.GetValueOrDefault(code);
}
