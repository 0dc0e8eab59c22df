// spec/inference.md sections 7 and 8.
using System.Collections.Frozen;
using System.Net;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>What an engine's refusal means to the caller. Of its words nothing is passed on and nothing is logged.</summary>
internal static class UpstreamError
{
    /// <summary>Bytes of a refusal that are read.</summary>
    public const int BodyMax = 64 * 1024;

    /// <summary>What is at fault where no member is known to be.</summary>
    private const string Body = "body";

    /// <summary>Members of the OpenAI API that a caller can get wrong. Another name of an engine's is its own text.</summary>
    private static readonly FrozenSet<string> Fields = FrozenSet.ToFrozenSet(
        [
            "audio", "background", "best_of", "dimensions", "echo", "encoding_format", "frequency_penalty", "function_call", "functions", "input",
            "include", "instructions", "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tool_calls", "max_tokens", "messages",
            "metadata", "min_p", "modalities", "moderation", "n", "output_compression", "output_config", "output_format", "parallel_tool_calls",
            "prediction", "presence_penalty", "prompt", "quality", "reasoning", "reasoning_effort", "response_format", "seed",
            "service_tier", "size", "stop", "stop_sequences", "stream_options", "style", "suffix", "system", "temperature", "text", "thinking",
            "tool_choice", "tools", "top_k", "top_logprobs", "top_p", "truncation", "user", "verbosity", "web_search_options",
        ],
        StringComparer.Ordinal);

    /// <summary>Without which there is no request: an engine may miss them.</summary>
    private static readonly string[] Required = ["messages", "prompt", "input"];

    /// <summary>What the node writes by itself: a fault in it is none of a caller's who did not write it.</summary>
    private static readonly string[] Ours =
    [
        "max_tokens", "max_completion_tokens", "max_output_tokens", "store", "stream_options", "size", "cache_salt", "cache_prompt",
    ];

    /// <summary>How engines call a request that they do not take, within a stream that began with a 200.</summary>
    private static readonly string[] Mistakes = ["BadRequestError", "invalid_request_error"];

    /// <summary>How engines say that a prompt is too long, where they have no code for it.</summary>
    private static readonly string[] TooLong =
    [
        "maximum context length", "context length", "context size", "context window", "maximum model length", "max_model_len",
        "longer than the model", "must have less than", "too many tokens", "input is too long", "prompt is too long",
    ];

    /// <summary>The refusal that the caller gets.</summary>
    /// <param name="status">A status that is no 2xx.</param>
    /// <param name="body">The beginning of its body.</param>
    /// <param name="request">The request.</param>
    /// <param name="engine">Where the engine is, for the operator's log.</param>
    /// <exception cref="InferenceException">It is the engine that failed, not the caller.</exception>
    public static InferenceStart.Refused Read(HttpStatusCode status, ReadOnlyMemory<byte> body, UpstreamRequest request, string engine)
    {
        switch ((int)status)
        {
            case 429 or 503:
                return new InferenceStart.Refused(InferenceRefusal.Busy);
            case 408 or 504:
                throw new InferenceException(InferenceFailure.TimedOut, $"The engine at {engine} answered {(int)status}.");
            case 413:
                return new InferenceStart.Refused(InferenceRefusal.ContextTooLarge);
            // The model is there and does not do this: no chat model, no embeddings. An engine that is up has a path for what it does.
            case 405 or 501 when request.Row.HasNamedEvents:
            case 404 when request.Row.HasNamedEvents && !NamesModel(body):
                return new InferenceStart.Refused(InferenceRefusal.NotServed);
            case 405 or 501:
            case 404 when !NamesModel(body):
                return new InferenceStart.Refused(InferenceRefusal.InvalidField, "model");
            // What an engine does not take is its caller's to change: the same request gets the same answer, however often it is made.
            case 400 or 422 when ReadObject(body, request) is { } refused:
                return refused;
            case 400 or 422 when !(Members(body) is { } error && IsOurs(Field(error))):
                return new InferenceStart.Refused(InferenceRefusal.InvalidField, Body);
            default:
                throw new InferenceException(InferenceFailure.Failed, $"The engine at {engine} answered {(int)status}.");
        }
    }

    /// <summary>What an error object in a stream means before anything of it was passed on; null where the engine failed.</summary>
    public static InferenceStart.Refused? ReadObject(ReadOnlyMemory<byte> json, UpstreamRequest request)
    {
        if (Members(json) is not { } error)
            return null;
        var (code, type, message) = (Text(error, "code"), Text(error, "type") ?? Text(error, "error_type"), Text(error, "message"));
        if (code == "context_length_exceeded" || type == "exceed_context_size_error"
            || (message is not null && Array.Exists(TooLong, words => message.Contains(words, StringComparison.OrdinalIgnoreCase))))
            return new InferenceStart.Refused(InferenceRefusal.ContextTooLarge);

        // Only a member that the caller wrote, or has to write, can be the caller's mistake: the node writes some too.
        var field = Field(error);
        if (field is not null && Fields.Contains(field) && (request.Has(field) || Required.Contains(field, StringComparer.Ordinal)))
            return new InferenceStart.Refused(InferenceRefusal.InvalidField, field);
        var isMistake = error.Find("code") is { } number && JsonMembers.Integer(number) is 400 or 422 || Mistakes.Contains(type, StringComparer.Ordinal);
        return isMistake && !IsOurs(field) ? new InferenceStart.Refused(InferenceRefusal.InvalidField, Body) : null;
    }

    private static bool IsOurs(string? field) => field is not null && Ours.Contains(field, StringComparer.Ordinal);

    private static string? Field(JsonMembers error) => Text(error, "param")?.Split('.', '[')[0];

    private static string? Text(JsonMembers error, string name) => error.Find(name) is { } value ? JsonMembers.String(value) : null;

    // An unknown model is the operator's mistake: the node was told a name that the engine does not know.
    private static bool NamesModel(ReadOnlyMemory<byte> body) =>
        Members(body) is { } error && Array.Exists(
            ["message", "code", "error", "detail"],
            name => error.Find(name) is { } value && JsonMembers.String(value)?.Contains("model", StringComparison.OrdinalIgnoreCase) == true);

    // {"error": {...}}, and the object itself where an engine has no such wrapping.
    private static JsonMembers? Members(ReadOnlyMemory<byte> json)
    {
        if (JsonMembers.Read(json) is not { } outer)
            return null;
        return outer.Find("error") is { } inner && JsonMembers.Read(inner) is { } members ? members : outer;
    }
}
