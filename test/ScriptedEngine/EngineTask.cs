using System.Text.Json.Nodes;

namespace ConfidentialChat.Scripting;

/// <summary>
/// A model that works on a task with a coding agent's shell: to a request that offers one it answers with a call of it, to one that brings what the
/// call gave with a text, which ends the task. As streams, of chat, responses and messages.
/// </summary>
internal sealed class EngineTask
{
    private const string CallId = "call_scripted_1";

    // The names that agents give to their shells.
    private static readonly string[] Shells = ["bash", "shell", "shell_command", "exec_command"];

    private readonly JsonObject request;
    private readonly string path;
    private readonly string tool;
    private readonly string arguments;
    private readonly bool isDone;

    private EngineTask(JsonObject request, string path, string tool, string arguments)
    {
        this.request = request;
        this.path = path;
        this.tool = tool;
        this.arguments = arguments;
        isDone = (request["messages"] ?? request["input"]) is JsonArray turns && turns.OfType<JsonObject>().Any(IsResult);
    }

    /// <summary>What it says at the end.</summary>
    public const string LastWords = "The task is done.";

    /// <summary>Null where the request is no stream, or offers no shell.</summary>
    public static EngineTask? Find(JsonObject request, string path, string command)
    {
        if (request["stream"]?.GetValue<bool>() is not true || request["tools"] is not JsonArray tools)
            return null;
        foreach (var offered in tools.OfType<JsonObject>())
        {
            var function = offered["function"] as JsonObject ?? offered;
            if ((string?)function["name"] is { } name && Shells.Contains(name, StringComparer.OrdinalIgnoreCase))
                return new EngineTask(request, path, name, Arguments(function, command).ToJsonString());
        }

        return null;
    }

    /// <summary>The events, and the name of each where it has one.</summary>
    public IEnumerable<(string? Name, string Data)> Events() => path switch
    {
        "/v1/responses" => Named(isDone ? ResponsesEnd() : ResponsesCall()),
        "/v1/messages" => Named(Messages()),
        _ => Chunks(),
    };

    private static bool IsResult(JsonObject turn) =>
        (string?)turn["role"] == "tool" || (string?)turn["type"] == "function_call_output"
        || (turn["content"] is JsonArray parts && parts.OfType<JsonObject>().Any(part => (string?)part["type"] == "tool_result"));

    // What the tool's schema demands: a command as a text or as words, and a text for everything else.
    private static JsonObject Arguments(JsonObject function, string command)
    {
        var schema = (function["parameters"] ?? function["input_schema"]) as JsonObject;
        var properties = schema?["properties"] as JsonObject ?? [];
        var arguments = new JsonObject();
        foreach (var required in (schema?["required"] as JsonArray ?? []).Select(name => (string)name!))
        {
            if ((string?)properties[required]?["type"] == "string")
                arguments[required] = "Work on the task";
        }

        var name = properties.ContainsKey("cmd") ? "cmd" : "command";
        arguments[name] = (string?)properties[name]?["type"] == "array" ? new JsonArray("bash", "-c", command) : command;
        return arguments;
    }

    private static IEnumerable<(string? Name, string Data)> Named(IEnumerable<JsonObject> events) =>
        events.Select(one => ((string?)one["type"], one.ToJsonString()));

    private IEnumerable<(string? Name, string Data)> Chunks()
    {
        if (isDone)
        {
            yield return Chunk(new JsonObject { ["role"] = "assistant", ["content"] = LastWords }, null);
        }
        else
        {
            yield return Chunk(Call(new JsonObject { ["name"] = tool, ["arguments"] = "" }, isFirst: true), null);
            foreach (var piece in Pieces())
                yield return Chunk(Call(new JsonObject { ["arguments"] = piece }, isFirst: false), null);
        }

        yield return Chunk([], isDone ? "stop" : "tool_calls");
        yield return (null, "[DONE]");
    }

    private static JsonObject Call(JsonObject function, bool isFirst)
    {
        var call = new JsonObject { ["index"] = 0, ["function"] = function };
        if (isFirst)
            (call["id"], call["type"]) = (CallId, "function");
        return new JsonObject { ["tool_calls"] = new JsonArray(call) };
    }

    private (string? Name, string Data) Chunk(JsonObject delta, string? finish) => (null, new JsonObject
    {
        ["id"] = "scripted-1",
        ["object"] = "chat.completion.chunk",
        ["created"] = 1,
        ["model"] = request["model"]?.DeepClone(),
        ["choices"] = new JsonArray(new JsonObject { ["index"] = 0, ["delta"] = delta, ["finish_reason"] = finish }),
        ["usage"] = finish is null ? null : new JsonObject { ["prompt_tokens"] = 100, ["completion_tokens"] = 10, ["total_tokens"] = 110 },
    }.ToJsonString());

    private IEnumerable<JsonObject> ResponsesCall()
    {
        var call = new JsonObject
        {
            ["id"] = "fc_1",
            ["type"] = "function_call",
            ["status"] = "completed",
            ["call_id"] = CallId,
            ["name"] = tool,
            ["arguments"] = arguments,
        };
        var begun = call.DeepClone();
        begun["arguments"] = "";
        return Response(
            call,
            [
                new() { ["type"] = "response.output_item.added", ["output_index"] = 0, ["item"] = begun },
                .. Pieces().Select(piece => new JsonObject
                {
                    ["type"] = "response.function_call_arguments.delta",
                    ["item_id"] = "fc_1",
                    ["output_index"] = 0,
                    ["delta"] = piece,
                }),
                new() { ["type"] = "response.function_call_arguments.done", ["item_id"] = "fc_1", ["output_index"] = 0, ["arguments"] = arguments },
            ]);
    }

    private IEnumerable<JsonObject> ResponsesEnd() => Response(
        Said(LastWords),
        [
            new() { ["type"] = "response.output_item.added", ["output_index"] = 0, ["item"] = Said("") },
            new() { ["type"] = "response.output_text.delta", ["item_id"] = "msg_1", ["output_index"] = 0, ["content_index"] = 0, ["delta"] = LastWords },
        ]);

    private static JsonObject Said(string text) => new()
    {
        ["id"] = "msg_1",
        ["type"] = "message",
        ["status"] = "completed",
        ["role"] = "assistant",
        ["content"] = new JsonArray(new JsonObject { ["type"] = "output_text", ["text"] = text, ["annotations"] = new JsonArray() }),
    };

    private IEnumerable<JsonObject> Response(JsonObject item, IReadOnlyList<JsonObject> middle)
    {
        yield return new() { ["type"] = "response.created", ["response"] = Response("in_progress", []) };
        foreach (var one in middle)
            yield return one;
        yield return new() { ["type"] = "response.output_item.done", ["output_index"] = 0, ["item"] = item.DeepClone() };
        yield return new() { ["type"] = "response.completed", ["response"] = Response("completed", [item.DeepClone()]) };
    }

    private JsonObject Response(string status, JsonArray output) => new()
    {
        ["id"] = "resp_1",
        ["object"] = "response",
        ["created_at"] = 1,
        ["status"] = status,
        ["model"] = request["model"]?.DeepClone(),
        ["output"] = output,
        ["usage"] = new JsonObject { ["input_tokens"] = 100, ["output_tokens"] = 10, ["total_tokens"] = 110 },
    };

    private IEnumerable<JsonObject> Messages()
    {
        yield return new()
        {
            ["type"] = "message_start",
            ["message"] = new JsonObject
            {
                ["id"] = "msg_1",
                ["type"] = "message",
                ["role"] = "assistant",
                ["model"] = request["model"]?.DeepClone(),
                ["content"] = new JsonArray(),
                ["stop_reason"] = null,
                ["stop_sequence"] = null,
                ["usage"] = new JsonObject { ["input_tokens"] = 100, ["output_tokens"] = 0 },
            },
        };
        yield return new()
        {
            ["type"] = "content_block_start",
            ["index"] = 0,
            ["content_block"] = isDone
                ? new JsonObject { ["type"] = "text", ["text"] = "" }
                : new JsonObject { ["type"] = "tool_use", ["id"] = CallId, ["name"] = tool, ["input"] = new JsonObject() },
        };
        foreach (var piece in isDone ? [LastWords] : Pieces())
        {
            yield return new()
            {
                ["type"] = "content_block_delta",
                ["index"] = 0,
                ["delta"] = isDone
                    ? new JsonObject { ["type"] = "text_delta", ["text"] = piece }
                    : new JsonObject { ["type"] = "input_json_delta", ["partial_json"] = piece },
            };
        }

        yield return new() { ["type"] = "content_block_stop", ["index"] = 0 };
        yield return new()
        {
            ["type"] = "message_delta",
            ["delta"] = new JsonObject { ["stop_reason"] = isDone ? "end_turn" : "tool_use", ["stop_sequence"] = null },
            ["usage"] = new JsonObject { ["input_tokens"] = 100, ["output_tokens"] = 10 },
        };
        yield return new() { ["type"] = "message_stop" };
    }

    private IEnumerable<string> Pieces() => arguments.Chunk(16).Select(piece => new string(piece));
}
