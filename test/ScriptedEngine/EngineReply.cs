using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ConfidentialChat.Scripting;

/// <summary>One answer in the making: what was asked, and the OpenAI objects that say it.</summary>
internal sealed class EngineReply
{
    private const int Dimensions = 8;

    private readonly JsonObject request;
    private readonly string path;
    private readonly int promptTokens;

    public EngineReply(HttpContext http, IReadOnlyList<EngineStep> steps, EngineScript script, string body)
    {
        Http = http;
        Steps = steps;
        Script = script;
        path = http.Request.Path.Value!;
        try
        {
            request = JsonNode.Parse(body) as JsonObject ?? [];
        }
        catch (JsonException)
        {
            request = []; // a fault's script does not look at it
        }

        using var document = JsonDocument.Parse(request.ToJsonString());
        promptTokens = Count(PromptOf(document.RootElement));
        IsStream = request["stream"]?.GetValueKind() == JsonValueKind.True;
        string[] bounds = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        var asked = bounds.Select(name => request[name]).FirstOrDefault(value => value is not null);
        Tokens = asked is null ? script.Events : (int)Math.Min(script.Events, asked.GetValue<long>());
        FinishReason = Tokens < script.Events ? "length" : "stop";
    }

    public HttpContext Http { get; }

    public IReadOnlyList<EngineStep> Steps { get; }

    public EngineScript Script { get; }

    public bool IsStream { get; }

    public int Tokens { get; }

    public string FinishReason { get; }

    public bool IncludesUsage => request["stream_options"]?["include_usage"]?.GetValueKind() == JsonValueKind.True;

    public bool IsContinuous => IncludesUsage && request["stream_options"]?["continuous_usage_stats"]?.GetValueKind() == JsonValueKind.True;

    public bool HasNamedEvents => IsResponses || IsMessages;

    private bool IsChat => path == "/v1/chat/completions";

    private bool IsResponses => path == "/v1/responses";

    private bool IsMessages => path == "/v1/messages";

    /// <summary>Null where the script has no task, or the request is none of an agent at work.</summary>
    public EngineTask? Task => Script.Shell is { } command ? EngineTask.Find(request, path, command) : null;

    /// <summary>The text of a token: its number, filled up.</summary>
    public static string Word(int number, int bytes) => (number.ToString(CultureInfo.InvariantCulture) + " ").PadLeft(bytes, '.');

    /// <summary>Runs between blanks.</summary>
    public static int Count(string text) => text.Split((char[])[' ', '\n', '\t'], StringSplitOptions.RemoveEmptyEntries).Length;

    /// <summary>All text that a request would have a model read.</summary>
    public static string PromptOf(JsonElement request)
    {
        var texts = new List<string>();
        foreach (var name in (string[])["instructions", "system", "messages", "prompt", "input", "content"])
        {
            if (request.TryGetProperty(name, out var value))
                Collect(value);
        }

        return string.Join(' ', texts);

        void Collect(JsonElement value)
        {
            switch (value.ValueKind)
            {
                case JsonValueKind.String:
                    texts.Add(value.GetString()!);
                    break;
                case JsonValueKind.Number:
                    texts.Add("t");
                    break;
                case JsonValueKind.Array:
                    foreach (var item in value.EnumerateArray())
                        Collect(item);
                    break;
                case JsonValueKind.Object:
                    foreach (var member in value.EnumerateObject())
                    {
                        if (member.Name is "content" or "text")
                            Collect(member.Value);
                    }

                    break;
            }
        }
    }

    public async Task SendAsync(string text) => await Http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), Http.RequestAborted);

    /// <summary>A chunk with some text, with a finish reason, and with the usage so far.</summary>
    public string Chunk(string? text, string? finishReason, int? usage)
    {
        var choice = new JsonObject { ["index"] = 0 };
        if (IsChat)
            choice["delta"] = text is null ? [] : new JsonObject { ["content"] = text };
        else
            choice["text"] = text ?? "";
        choice["finish_reason"] = finishReason;
        var chunk = Head(IsChat ? "chat.completion.chunk" : "text_completion");
        chunk["choices"] = new JsonArray(choice);
        if (usage is { } tokens)
            chunk["usage"] = Usage(tokens);
        return chunk.ToJsonString();
    }

    public string UsageChunk(int tokens)
    {
        var chunk = Head(IsChat ? "chat.completion.chunk" : "text_completion");
        chunk["choices"] = new JsonArray();
        chunk["usage"] = Usage(tokens);
        return chunk.ToJsonString();
    }

    /// <summary>The stream of an API with named events; nothing of another.</summary>
    public IEnumerable<(string Name, string Data, bool IsToken)> NamedEvents()
    {
        if (IsResponses)
        {
            yield return Event("response.created", ("response", Response(null, "in_progress")));
            for (var i = 0; i < Tokens; i++)
                yield return Event("response.output_text.delta", ("item_id", "msg_1"), ("output_index", 0), ("delta", Word(i, Script.Bytes)));
            yield return Event(FinishReason == "stop" ? "response.completed" : "response.incomplete", ("response", Response(AllText(), EndStatus)));
        }
        else if (IsMessages)
        {
            yield return Event("message_start", ("message", Message(null)));
            yield return Event("content_block_start", ("index", 0), ("content_block", new JsonObject { ["type"] = "text", ["text"] = "" }));
            for (var i = 0; i < Tokens; i++)
                yield return Event("content_block_delta", ("index", 0), ("delta", TextDelta(i)));
            yield return Event("content_block_stop", ("index", 0));
            var stop = new JsonObject { ["stop_reason"] = StopReason, ["stop_sequence"] = null };
            yield return Event("message_delta", ("delta", stop), ("usage", NamedUsage(Tokens)));
            yield return Event("message_stop");
        }

        JsonObject TextDelta(int i) => new() { ["type"] = "text_delta", ["text"] = Word(i, Script.Bytes) };

        (string, string, bool) Event(string type, params ReadOnlySpan<(string Name, JsonNode? Value)> members)
        {
            var data = new JsonObject { ["type"] = type };
            foreach (var (name, value) in members)
                data[name] = value;
            return (type, data.ToJsonString(), type is not "message_delta" && type.EndsWith("delta", StringComparison.Ordinal));
        }
    }

    private string EndStatus => FinishReason == "stop" ? "completed" : "incomplete";

    private string StopReason => FinishReason == "stop" ? "end_turn" : "max_tokens";

    private string AllText() => string.Concat(Enumerable.Range(0, Tokens).Select(i => Word(i, Script.Bytes)));

    private JsonObject Response(string? text, string status) => new()
    {
        ["id"] = "resp_1",
        ["object"] = "response",
        ["created_at"] = 1,
        ["status"] = status,
        ["error"] = null,
        ["incomplete_details"] = status == "incomplete" ? new JsonObject { ["reason"] = "max_output_tokens" } : null,
        ["model"] = request["model"]?.DeepClone(),
        ["store"] = request["store"]?.DeepClone(),
        ["output"] = text is null ? new JsonArray() : new JsonArray(new JsonObject
        {
            ["type"] = "message",
            ["id"] = "msg_1",
            ["status"] = status,
            ["role"] = "assistant",
            ["content"] = new JsonArray(new JsonObject { ["type"] = "output_text", ["text"] = text, ["annotations"] = new JsonArray() }),
        }),
        ["usage"] = text is null ? null : NamedUsage(Tokens),
    };

    private JsonObject Message(string? text) => new()
    {
        ["id"] = "msg_1",
        ["type"] = "message",
        ["role"] = "assistant",
        ["model"] = request["model"]?.DeepClone(),
        ["content"] = text is null ? new JsonArray() : new JsonArray(new JsonObject { ["type"] = "text", ["text"] = text }),
        ["stop_reason"] = text is null ? null : StopReason,
        ["stop_sequence"] = null,
        ["usage"] = NamedUsage(text is null ? 0 : Tokens),
    };

    private JsonObject NamedUsage(int completion) => new()
    {
        ["input_tokens"] = promptTokens,
        ["output_tokens"] = completion,
    };

    /// <summary>The whole answer of the endpoint.</summary>
    public string Whole()
    {
        switch (path)
        {
            case "/v1/responses":
                return Response(AllText(), EndStatus).ToJsonString();
            case "/v1/messages":
                return Message(AllText()).ToJsonString();
            case "/v1/messages/count_tokens":
                return new JsonObject { ["input_tokens"] = promptTokens }.ToJsonString();
            case "/v1/embeddings":
                var inputs = request["input"] is JsonArray array && (array.Count == 0 || array[0]?.GetValueKind() != JsonValueKind.Number) ? array.Count : 1;
                return new JsonObject
                {
                    ["object"] = "list",
                    ["data"] = new JsonArray(
                        [.. Enumerable.Range(0, inputs).Select(i => new JsonObject { ["object"] = "embedding", ["index"] = i, ["embedding"] = Embedding(i) })]),
                    ["model"] = request["model"]?.DeepClone(),
                    ["usage"] = new JsonObject { ["prompt_tokens"] = promptTokens, ["total_tokens"] = promptTokens },
                }.ToJsonString();
            case "/v1/images/generations":
                var images = request["n"]?.GetValue<int>() ?? 1;
                return new JsonObject
                {
                    ["created"] = 1,
                    ["data"] = new JsonArray(
                        [.. Enumerable.Range(0, images).Select(i => new JsonObject { ["b64_json"] = Convert.ToBase64String([(byte)i, 1, 2, 3]) })]),
                }.ToJsonString();
        }

        var text = string.Concat(Enumerable.Range(0, Tokens).Select(i => Word(i, Script.Bytes)));
        var choice = new JsonObject { ["index"] = 0 };
        if (IsChat)
            choice["message"] = new JsonObject { ["role"] = "assistant", ["content"] = text };
        else
            choice["text"] = text;
        choice["finish_reason"] = FinishReason;
        var whole = Head(IsChat ? "chat.completion" : "text_completion");
        whole["choices"] = new JsonArray(choice);
        whole["usage"] = Usage(Tokens);
        return whole.ToJsonString();
    }

    /// <summary>Answers with what a recorded exchange holds.</summary>
    public async Task ReplayAsync(string recorded)
    {
        var exchange = JsonNode.Parse(recorded)!;
        Http.Response.StatusCode = exchange["status"]?.GetValue<int>() ?? 200;
        Http.Response.ContentType = exchange["response_content_type"]?.GetValue<string>() ?? "application/json";
        var response = exchange["response"];
        await SendAsync(response?.GetValueKind() == JsonValueKind.String ? response.GetValue<string>() : response?.ToJsonString() ?? "");
    }

    private JsonObject Head(string kind) => new()
    {
        ["id"] = "scripted-1",
        ["object"] = kind,
        ["created"] = 1,
        ["model"] = request["model"]?.DeepClone(),
    };

    private JsonObject Usage(int completion) => new()
    {
        ["prompt_tokens"] = promptTokens,
        ["completion_tokens"] = completion,
        ["total_tokens"] = promptTokens + completion,
    };

    private JsonNode Embedding(int index)
    {
        float[] values = [.. Enumerable.Range(0, Dimensions).Select(i => (i + index) / 8f)];
        if (request["encoding_format"]?.GetValue<string>() != "base64")
            return new JsonArray([.. values.Select(value => (JsonNode)value)]);
        var bytes = new byte[Dimensions * sizeof(float)];
        for (var i = 0; i < Dimensions; i++)
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * sizeof(float)), values[i]);
        return Convert.ToBase64String(bytes);
    }
}
