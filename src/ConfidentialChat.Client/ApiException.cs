using System.Net;
using System.Text.Json;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Client;

/// <summary>
/// The gateway, or the node through it, answered with an error; spec/envelope-v1.md section 9. Redirects count: they are not followed.
/// Its text comes from this SDK's own table. What the peer wrote is in <see cref="Body"/>, and is the peer's word.
/// </summary>
public sealed class ApiException : ConfidentialChatException
{
    internal ApiException(int status, string body, IReadOnlyDictionary<string, IReadOnlyList<string>> headers, TimeSpan? retryAfter)
        : this(status, body, headers, retryAfter, ReadError(body))
    {
    }

    private ApiException(
        int status,
        string body,
        IReadOnlyDictionary<string, IReadOnlyList<string>> headers,
        TimeSpan? retryAfter,
        (string? Code, string? Param) error)
        : base(Describe(status, error.Code, error.Param))
    {
        Status = status;
        Code = error.Code;
        Param = error.Param;
        Body = body;
        Headers = headers;
        RetryAfter = retryAfter;
        Retry = RequestErrors.RetryOf(status, Code);
    }

    /// <summary>The HTTP status.</summary>
    public int Status { get; }

    /// <summary>The error's <c>code</c>, such as <c>UNAVAILABLE_STACK</c>; null where the body names none.</summary>
    public string? Code { get; }

    /// <summary>The member at fault of an <c>INVALID_FIELD</c>.</summary>
    public string? Param { get; }

    /// <summary>The body as it came, at most 64 KiB of it; JSON or not.</summary>
    public string Body { get; }

    /// <summary>The answer's headers; names in any case.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Headers { get; }

    /// <summary>How long the gateway asks to wait.</summary>
    public TimeSpan? RetryAfter { get; }

    /// <summary>Whether a new call may succeed: by the code where it is known, else by the status.</summary>
    public bool IsRetryable => Retry is not Retry.No;

    /// <summary>When the request may be made again, as the table has it.</summary>
    internal Retry Retry { get; }

    /// <summary>What the gateway calls this request, where it says so.</summary>
    public string? RequestId => Headers.TryGetValue("x-request-id", out var values) && values.Count > 0 ? values[0] : null;

    private static string Describe(int status, string? code, string? param)
    {
        // Only codes and names that we know go into the text: a peer's own words could be anything, a key or a prompt too.
        var row = RequestErrors.FromCode(code);
        var text = row is null ? $"The gateway answered {status} ({(HttpStatusCode)status})."
            : $"The gateway answered {status} {row.Code}: {new Rejection(row.Error, Rejection.IsFieldName(param) ? param : null).Message}";
        return status switch
        {
            401 => text + $"\nhint: the gateway at {nameof(ConfidentialChatOptions.ServerUrl)} does not know this key.",
            >= 300 and < 400 => text
                + $"\nhint: redirects are not followed; set {nameof(ConfidentialChatOptions.ServerUrl)} to the final address.",
            _ => text,
        };
    }

    private static (string? Code, string? Param) ReadError(string body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            if (document.RootElement.ValueKind == JsonValueKind.Object
                && document.RootElement.TryGetProperty("error"u8, out var error) && error.ValueKind == JsonValueKind.Object)
                return (Text(error, "code"), Text(error, "param"));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Not ours, or cut off: the status alone then tells.
        }

        return default;
    }

    private static string? Text(JsonElement error, string name) =>
        error.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
