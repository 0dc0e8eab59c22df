using System.Net;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Client;

/// <summary>
/// The gateway, or the node through it, answered with an error; spec/envelope-v1.md section 9. Redirects count: they are not followed.
/// Its text comes from this SDK's own table. What the peer wrote is in <see cref="Body"/>, and is the peer's word. In envelope v2 it is always
/// one of the two that are derived from it, because there it is known whose word it is.
/// </summary>
public class ApiException : ConfidentialChatException
{
    internal ApiException(ApiAnswer answer)
        : this(answer, ApiError.Read(answer.Body), "gateway")
    {
    }

    private protected ApiException(ApiAnswer answer, ApiError error, string who, string hint = "")
        : base(Describe(answer.Status, error, who) + hint)
    {
        Status = answer.Status;
        Code = error.Code;
        Param = error.Param;
        Shortfall = Status == 402 ? error.Shortfall : null;
        Body = answer.Body;
        Headers = answer.Headers;
        RetryAfter = answer.RetryAfter;
        Retry = RequestErrors.RetryOf(Status, Code);
    }

    /// <summary>The HTTP status.</summary>
    public int Status { get; }

    /// <summary>The error's <c>code</c>, such as <c>UNAVAILABLE_STACK</c>; null where the body names none.</summary>
    public string? Code { get; }

    /// <summary>The member at fault of an <c>INVALID_FIELD</c>.</summary>
    public string? Param { get; }

    /// <summary>Of a <c>BALANCE_ERROR</c>: what the request may cost and what the balance has, by the gateway's word; null where it says none.</summary>
    public Shortfall? Shortfall { get; }

    /// <summary>The body as it came, at most 64 KiB of it; JSON or not.</summary>
    public string Body { get; }

    /// <summary>The answer's headers; names in any case.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Headers { get; }

    /// <summary>How long the peer asks to wait.</summary>
    public TimeSpan? RetryAfter { get; }

    /// <summary>Whether a new call may succeed: by the code where it is known, else by the status.</summary>
    public bool IsRetryable => Retry is not Retry.No;

    /// <summary>When the request may be made again, as the table has it.</summary>
    internal Retry Retry { get; private protected init; }

    /// <summary>What the gateway calls this request, where it says so.</summary>
    public string? RequestId => Headers.TryGetValue("x-request-id", out var values) && values.Count > 0 ? values[0] : null;

    private static string Describe(int status, ApiError error, string who)
    {
        // Only codes and names that we know go into the text: a peer's own words could be anything, a key or a prompt too.
        var row = RequestErrors.FromCode(error.Code);
        var text = row is null ? $"The {who} answered {status} ({(HttpStatusCode)status})."
            : $"The {who} answered {status} {row.Code}: {new Rejection(row.Error, Rejection.IsFieldName(error.Param) ? error.Param : null).Message}";
        return status switch
        {
            402 when error.Shortfall is { } shortfall => text
                + $" It may cost {shortfall.Needed.ToDollars()} dollars, and {shortfall.Available.ToDollars()} are there.",
            401 => text + $"\nhint: the gateway at {nameof(ConfidentialChatOptions.ServerUrl)} does not know this key.",
            >= 300 and < 400 => text
                + $"\nhint: redirects are not followed; set {nameof(ConfidentialChatOptions.ServerUrl)} to the final address.",
            _ => text,
        };
    }
}

/// <summary>
/// The gateway's own word, in envelope v2: whoever is on the way could have said it, and no model did. A node that refuses before it has
/// opened a request speaks through the gateway too; spec/envelope-v2.md section 7.
/// </summary>
public sealed class GatewayApiException : ApiException
{
    internal GatewayApiException(ApiAnswer answer, bool isRelayed)
        : this(answer, isRelayed, ApiError.Read(answer.Body))
    {
    }

    private GatewayApiException(ApiAnswer answer, bool isRelayed, ApiError error, IReadOnlyList<string>? models = null)
        : base(answer, error, "gateway", HintOf(models))
    {
        Models = models;
        Forwarded = error.Forwarded;
        IsKeyUnknown = isRelayed && Status == 400 && error.Type == ProblemDocument.OhttpKey;
        // Section 10: of a request that may have gone to a node nobody knows what became of it.
        Retry = Retry is Retry.No || IsKeyUnknown || (isRelayed && Forwarded is not false) ? Retry.No : Retry.Later;
    }

    /// <summary>What a gateway says that has nothing to say it of.</summary>
    internal static GatewayApiException Of(RequestError error) =>
        new(
            new ApiAnswer(
                error.Row().Status, Encoding.UTF8.GetString(new ProblemDocument(error).ToJson()), new Dictionary<string, IReadOnlyList<string>>(), null),
            isRelayed: false);

    /// <summary>
    /// The models that there are where the one that was asked for is unknown, at most 32 names as they are shown; null where the gateway did not say,
    /// and of other errors.
    /// </summary>
    public IReadOnlyList<string>? Models { get; }

    /// <summary>False where the gateway says that nothing went to a node and nothing is held; null where it does not say.</summary>
    public bool? Forwarded { get; }

    /// <summary>The node holds the key no longer, or the gateway does not know it. Nobody has authenticated that.</summary>
    internal bool IsKeyUnknown { get; }

    /// <summary>The node does not serve that here any more: another may.</summary>
    internal bool IsNodeGone => Status == 404 && Forwarded is false;

    /// <summary>The node costs more than it was listed at; nothing went to it, and nothing is held.</summary>
    internal bool IsPriceChanged => Forwarded is false && Code == RequestError.PriceChanged.Row().Code;

    /// <summary>Nobody serves the model.</summary>
    internal bool IsModelUnknown => Code == RequestError.ModelNotFound.Row().Code;

    /// <summary>The same, of somebody who may want to know what there is.</summary>
    /// <param name="models">As they are shown; null where they are not known.</param>
    internal GatewayApiException With(IReadOnlyList<string>? models) =>
        new(new ApiAnswer(Status, Body, Headers, RetryAfter), isRelayed: false, ApiError.Read(Body), models);

    private static string HintOf(IReadOnlyList<string>? models) => models switch
    {
        null => "",
        [] => "\nhint: the gateway offers no model now.",
        _ => $"\nhint: the gateway offers {string.Join(", ", models)}.",
    };
}

/// <summary>
/// The node's word, in envelope v2: it came sealed under the key of this request, and is authentic. Nothing was computed, or not to the end.
/// </summary>
public sealed class NodeApiException : ApiException
{
    internal NodeApiException(ApiAnswer answer, DateTimeOffset? date)
        : this(answer, date, ApiError.Read(answer.Body))
    {
    }

    private NodeApiException(ApiAnswer answer, DateTimeOffset? date, ApiError error)
        : base(answer, error, "node")
    {
        Date = Status == 400 && error.Type == ProblemDocument.Date ? date : null;
        Retry = Retry is Retry.WithNewKey ? Retry.No : Retry;
    }

    /// <summary>What time it is at the node, where it refuses the request for its date.</summary>
    internal DateTimeOffset? Date { get; }
}

/// <summary>An error as it came.</summary>
/// <param name="Status">The HTTP status, of a node the inner one.</param>
/// <param name="Body">At most 64 KiB.</param>
/// <param name="Headers">Names in any case.</param>
/// <param name="RetryAfter">Not negative.</param>
internal sealed record ApiAnswer(int Status, string Body, IReadOnlyDictionary<string, IReadOnlyList<string>> Headers, TimeSpan? RetryAfter)
{
    public override string ToString() => $"{nameof(ApiAnswer)} {{ {nameof(Status)} = {Status} }}";
}

/// <summary>What can be read of an error's body: <c>{"error":{…}}</c>, or a problem document (RFC 9457).</summary>
internal readonly record struct ApiError(string? Code, string? Param, string? Type, bool? Forwarded, Shortfall? Shortfall = null)
{
    public static ApiError Read(string body)
    {
        try
        {
            using var document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = InferenceJson.DepthMax });
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                return default;
            var error = root.TryGetProperty("error"u8, out var inner) && inner.ValueKind == JsonValueKind.Object ? inner : root;
            return new ApiError(
                Text(error, "code"),
                Text(error, "param"),
                Text(error, "type"),
                root.TryGetProperty("forwarded"u8, out var forwarded) && forwarded.ValueKind is JsonValueKind.True or JsonValueKind.False
                    ? forwarded.GetBoolean()
                    : null,
                Shortfall.TryRead(error));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return default; // not ours, or cut off: the status alone then tells
        }
    }

    private static string? Text(JsonElement error, string name) =>
        error.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
