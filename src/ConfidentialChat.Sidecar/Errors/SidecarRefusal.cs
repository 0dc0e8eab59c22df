// spec/sidecar.md section 5.
using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol.Errors;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar.Errors;

/// <summary>
/// A request that has no answer: the one place where the sidecar makes an error, in the words of the API that was asked. Holds no content.
/// </summary>
internal sealed record SidecarRefusal(int Status, string Code, string Type, string Message)
{
    private const string ShouldRetry = "x-should-retry"; // both companies' clients obey it
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public string? Param { get; private init; }

    /// <summary>Seconds.</summary>
    public int? RetryAfter { get; private init; }

    public bool MayRetry { get; private init; }

    /// <summary>The node's own body, as it came authentic, in the place of one made here.</summary>
    private ReadOnlyMemory<byte>? NodesBody { get; init; }

    /// <summary>The checks that refuse the nodes.</summary>
    private IReadOnlyList<UnverifiedNode> Refused { get; init; } = [];

    public static SidecarRefusal Of(SidecarError error, string? message = null)
    {
        var row = error.Row();
        return new SidecarRefusal(row.Status, row.Code, row.Type, message ?? row.Message)
        {
            MayRetry = row.MayRetry,
            RetryAfter = row.Status is 429 or 503 ? 1 : null,
        };
    }

    /// <summary>Nobody serves the model that was asked for.</summary>
    /// <param name="message">Names those that there are.</param>
    public static SidecarRefusal OfModel(string message)
    {
        var row = RequestError.ModelNotFound.Row();
        return new SidecarRefusal(row.Status, row.Code, row.OpenAIType, message) { Param = "model" };
    }

    /// <summary>What became of a call.</summary>
    /// <returns>Null for a bug.</returns>
    public static SidecarRefusal? Of(Exception failure) => failure switch
    {
        NodeApiException e => Of(e),
        ApiException e => Of(e),
        AttestationException e => Of(SidecarError.AttestationFailed, Words(e)) with { Refused = e.Refused },
        GatewayConnectionException => Of(SidecarError.GatewayUnreachable),
        CallTimeoutException => Of(SidecarError.GatewayTimeout),
        AnswerAuthenticationException => Of(SidecarError.AnswerNotAuthentic),
        StreamTruncatedException => Of(SidecarError.StreamTruncated),
        ConfidentialChatException e => Of(SidecarError.InvalidAnswer, Words(e)),
        ArgumentException e => Of(SidecarError.InvalidRequest, Words(e)),
        _ => null,
    };

    /// <summary>Answers with it. Nothing has been answered yet.</summary>
    public async Task WriteAsync(HttpContext context)
    {
        context.NoteOutcome(Code);
        var response = context.Response;
        var body = NodesBody ?? ToJson(ApiShapes.Of(context));
        response.StatusCode = Status;
        response.ContentType = "application/json";
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff";
        AnswerHeaders.SayName(context);
        if (!MayRetry)
            response.Headers[ShouldRetry] = "false";
        if (RetryAfter is { } seconds)
            response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        if (Status is StatusCodes.Status415UnsupportedMediaType)
            response.Headers.AcceptEncoding = PackedBody.Codings; // RFC 9110 section 15.5.16
        if (!HttpMethods.IsHead(context.Request.Method))
            await response.Body.WriteAsync(body, context.RequestAborted);
    }

    /// <summary>The error as a whole answer has it, UTF-8 JSON.</summary>
    public ReadOnlyMemory<byte> ToJson(ApiShape shape)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using var json = new Utf8JsonWriter(buffer, Readable);
        json.WriteStartObject();
        if (shape is ApiShape.Anthropic)
            json.WriteString("type", "error");
        json.WriteStartObject("error");
        json.WriteString("message", Message);
        json.WriteString("type", Type);
        json.WriteString("param", Param);
        json.WriteString("code", Code);
        if (Refused.Count > 0)
            WriteRefused(json);
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenMemory;
    }

    /// <summary>The error as an event of a stream has it: its name, null where there is none, and its data.</summary>
    /// <param name="shape">Whose.</param>
    /// <param name="isNamed">Whether the stream's events have names.</param>
    /// <param name="sequence">How many events came before; those of responses are numbered from 0.</param>
    public (string? Name, ReadOnlyMemory<byte> Data) ToEvent(ApiShape shape, bool isNamed, int sequence)
    {
        if (shape is ApiShape.Anthropic || !isNamed)
            return (isNamed ? "error" : null, ToJson(shape));
        var buffer = new ArrayBufferWriter<byte>(256); // of /v1/responses
        using var json = new Utf8JsonWriter(buffer, Readable);
        json.WriteStartObject();
        json.WriteString("type", "error");
        json.WriteString("code", Code);
        json.WriteString("message", Message);
        json.WriteNull("param");
        json.WriteNumber("sequence_number", sequence); // clients that check what they read take none without
        json.WriteEndObject();
        json.Flush();
        return ("error", buffer.WrittenMemory);
    }

    // Authentic: it is handed on as it came, if it is what an API's client can read.
    private static SidecarRefusal Of(NodeApiException refusal)
    {
        var body = Encoding.UTF8.GetBytes(refusal.Body);
        return new SidecarRefusal(
            refusal.Status is >= 400 and <= 599 ? refusal.Status : StatusCodes.Status502BadGateway,
            refusal.Code ?? RequestError.InferenceError.Row().Code,
            RequestError.InferenceError.Row().OpenAIType,
            Words(refusal))
        {
            MayRetry = refusal.IsRetryable,
            RetryAfter = Seconds(refusal.RetryAfter),
            Param = refusal.Param,
            NodesBody = HasError(body) ? body : null,
        };
    }

    private static SidecarRefusal Of(ApiException refusal)
    {
        if (RequestErrors.FromCode(refusal.Code) is not { } row || row.Status != refusal.Status)
            return Of(SidecarError.GatewayRefused, Words(refusal));
        return new SidecarRefusal(
            row.Status, row.Code, row.OpenAIType,
            row.Error is RequestError.AuthError ? "The gateway does not know the sidecar's API key: start it with another." : Words(refusal))
        {
            MayRetry = refusal.IsRetryable,
            RetryAfter = Seconds(refusal.RetryAfter) ?? (row.HasRetryAfter ? 1 : null),
            Param = row.Error is RequestError.ModelNotFound ? "model" : refusal.Param,
        };
    }

    private static int? Seconds(TimeSpan? wait) => wait is { } time ? (int)Math.Min(Math.Ceiling(time.TotalSeconds), int.MaxValue) : null;

    private static bool HasError(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            return document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("error"u8, out _);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    // The SDK speaks of its properties where the sidecar has options.
    private static string Words(Exception failure) =>
        (failure is ArgumentException { ParamName: { } name } ? WithoutParameter(failure.Message, name) : failure.Message)
        .Replace($"{nameof(ConfidentialChatOptions)}.{nameof(ConfidentialChatOptions.Policy)}", "--policy", StringComparison.Ordinal)
        .Replace(nameof(ConfidentialChatOptions.ServerUrl), "--gateway", StringComparison.Ordinal)
        .Replace(nameof(ConfidentialChatOptions.DangerousPlainHttp), "--dangerous-plain-http", StringComparison.Ordinal);

    private static string WithoutParameter(string message, string name) => message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal);

    private void WriteRefused(Utf8JsonWriter json)
    {
        json.WriteStartArray("nodes");
        foreach (var node in Refused)
        {
            json.WriteStartObject();
            json.WriteNumber("node", node.Node.Value);
            json.WriteStartArray("factors");
            foreach (var factor in node.Factors)
            {
                json.WriteStartObject();
                json.WriteString("factor", factor.Name.Value);
                json.WriteString("code", factor.Code?.Spell());
                json.WriteString("expected", factor.Expected);
                json.WriteString("found", factor.Found);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
