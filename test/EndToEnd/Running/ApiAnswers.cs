using System.Text.Json;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>One text, or one call of a tool, in the words of each API: <c>chat</c>, <c>responses</c> and <c>messages</c>. Two tokens each.</summary>
internal static class ApiAnswers
{
    public static string PathOf(string api) => api switch
    {
        "chat" => "/v1/chat/completions",
        "responses" => "/v1/responses",
        _ => "/v1/messages",
    };

    /// <summary>What asks for it.</summary>
    public static string Request(string api, string model, bool stream, string prompt = "Hello?") => api == "responses"
        ? $$"""{"model":"{{model}}","stream":{{(stream ? "true" : "false")}},"input":{{Quoted(prompt)}}}"""
        : $$"""{"model":"{{model}}","stream":{{(stream ? "true" : "false")}},"max_tokens":64,"messages":[{"role":"user","content":{{Quoted(prompt)}}}]}""";

    /// <summary>What a client takes for the end of a stream.</summary>
    public static string EndOf(string api) => api switch
    {
        "chat" => "[DONE]",
        "responses" => "response.completed",
        _ => "message_stop",
    };

    /// <summary>A whole answer.</summary>
    public static EngineStep[] Text(string api, string text) => EngineStep.Answer(200, api switch
    {
        "chat" => Completion($$"""{"role":"assistant","content":{{Quoted(text)}}}""", "stop"),
        "responses" => Response(TextItem(text)),
        _ => Message($$"""{"type":"text","text":{{Quoted(text)}}}""", "end_turn"),
    });

    /// <summary>A whole answer that calls <c>weather</c> for Łódź.</summary>
    public static EngineStep[] Call(string api) => EngineStep.Answer(200, api switch
    {
        "chat" => Completion(
            """{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Łódź\"}"}}]}""",
            "tool_calls"),
        "responses" => Response(CallItem("completed", """{"city":"Łódź"}""")),
        _ => Message("""{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Łódź"}}""", "tool_use"),
    });

    /// <summary>A stream to its end, each piece an event.</summary>
    public static EngineStep[] TextInPieces(string api, params string[] pieces) => api switch
    {
        "chat" =>
        [
            EngineStep.Head(), Chunk("""{"role":"assistant","content":""}"""), .. pieces.Select(piece => Chunk($$"""{"content":{{Quoted(piece)}}}""")),
            Chunk("{}", "stop"), new EngineStep { Do = "usage", Events = 2 }, EngineStep.Of("done"),
        ],
        "responses" =>
        [
            EngineStep.Head(), Created(),
            EngineStep.Named("response.output_item.added", """
                "sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}
                """),
            EngineStep.Named("response.content_part.added", """
                "sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}
                """),
            .. pieces.Select((piece, i) => EngineStep.Named(
                "response.output_text.delta",
                $"\"sequence_number\":{3 + i},\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":{Quoted(piece)},\"logprobs\":[]")),
            EngineStep.Named(
                "response.output_text.done",
                $"\"sequence_number\":90,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"text\":{Quoted(string.Concat(pieces))},\"logprobs\":[]"),
            EngineStep.Named("response.output_item.done", $"\"sequence_number\":91,\"output_index\":0,\"item\":{TextItem(string.Concat(pieces))}"),
            EngineStep.Named("response.completed", $"\"sequence_number\":92,\"response\":{Response(TextItem(string.Concat(pieces)))}"),
        ],
        _ =>
        [
            EngineStep.Head(), Started(), EngineStep.Named("content_block_start", "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}"),
            .. pieces.Select(piece => EngineStep.Named("content_block_delta", $$"""
                "index":0,"delta":{"type":"text_delta","text":{{Quoted(piece)}}}
                """)),
            EngineStep.Named("content_block_stop", "\"index\":0"), .. Ended("end_turn"),
        ],
    };

    /// <summary>A stream that calls <c>weather</c> for Łódź, of messages after a thought.</summary>
    public static EngineStep[] CallInPieces(string api) => api switch
    {
        "chat" =>
        [
            EngineStep.Head(),
            Chunk("""{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}"""),
            Chunk("""{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}"""),
            Chunk("""{"tool_calls":[{"index":0,"function":{"arguments":"\"Łódź\"}"}}]}"""),
            Chunk("{}", "tool_calls"), new EngineStep { Do = "usage", Events = 2 }, EngineStep.Of("done"),
        ],
        "responses" =>
        [
            EngineStep.Head(), Created(),
            EngineStep.Named("response.output_item.added", $"\"sequence_number\":1,\"output_index\":0,\"item\":{CallItem("in_progress", "")}"),
            EngineStep.Named("response.function_call_arguments.delta", """
                "sequence_number":2,"item_id":"fc_1","output_index":0,"delta":"{\"city\":"
                """),
            EngineStep.Named("response.function_call_arguments.delta", """
                "sequence_number":3,"item_id":"fc_1","output_index":0,"delta":"\"Łódź\"}"
                """),
            EngineStep.Named("response.function_call_arguments.done", """
                "sequence_number":4,"item_id":"fc_1","output_index":0,"arguments":"{\"city\":\"Łódź\"}"
                """),
            EngineStep.Named(
                "response.output_item.done", $"\"sequence_number\":5,\"output_index\":0,\"item\":{CallItem("completed", """{"city":"Łódź"}""")}"),
            EngineStep.Named("response.completed", $"\"sequence_number\":6,\"response\":{Response(CallItem("completed", """{"city":"Łódź"}"""))}"),
        ],
        _ =>
        [
            EngineStep.Head(), Started(),
            EngineStep.Named("content_block_start", "\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
            EngineStep.Named("content_block_delta", "\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"They want the weather.\"}"),
            EngineStep.Named("content_block_delta", "\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"a-signature\"}"),
            EngineStep.Named("content_block_stop", "\"index\":0"),
            EngineStep.Named(
                "content_block_start", "\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"weather\",\"input\":{}}"),
            EngineStep.Named("content_block_delta", """
                "index":1,"delta":{"type":"input_json_delta","partial_json":"{\"city\":"}
                """),
            EngineStep.Named("content_block_delta", """
                "index":1,"delta":{"type":"input_json_delta","partial_json":"\"Łódź\"}"}
                """),
            EngineStep.Named("content_block_stop", "\"index\":1"), .. Ended("tool_use"),
        ],
    };

    private static EngineStep Created() => EngineStep.Named(
        "response.created", """
        "sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"model":"x","status":"in_progress","output":[]}
        """);

    private static EngineStep Started() => EngineStep.Named(
        "message_start", """
        "message":{"id":"msg_1","type":"message","role":"assistant","model":"x","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":0}}
        """);

    private static EngineStep[] Ended(string reason) =>
    [
        EngineStep.Named("message_delta", $$"""
            "delta":{"stop_reason":"{{reason}}","stop_sequence":null},"usage":{"output_tokens":2}
            """),
        EngineStep.Named("message_stop"),
    ];

    private static EngineStep Chunk(string delta, string? finish = null) => EngineStep.Event(
        $$"""{"id":"c","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{{delta}},"finish_reason":{{(finish is null ? "null" : $"\"{finish}\"")}}}]}""");

    private static string Completion(string message, string finish) =>
        $$$"""{"id":"c","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{{{message}}},"finish_reason":"{{{finish}}}"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}""";

    private static string Response(string item) =>
        $$$"""{"id":"resp_1","object":"response","created_at":1,"model":"x","status":"completed","output":[{{{item}}}],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}""";

    private static string TextItem(string text) =>
        $$"""{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":{{Quoted(text)}},"annotations":[]}]}""";

    private static string CallItem(string status, string arguments) =>
        $$"""{"id":"fc_1","type":"function_call","call_id":"call_1","name":"weather","status":"{{status}}","arguments":{{Quoted(arguments)}}}""";

    /// <summary>A whole message of Anthropic's with one block.</summary>
    public static string Message(string block, string reason) =>
        $$$"""{"id":"msg_1","type":"message","role":"assistant","model":"x","content":[{{{block}}}],"stop_reason":"{{{reason}}}","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}""";

    private static string Quoted(string text) => JsonSerializer.Serialize(text);

    /// <summary>A stream of which nothing but the end is missing.</summary>
    public static EngineStep[] Unfinished(string api, params string[] pieces) =>
    [
        .. TextInPieces(api, pieces).TakeWhile(step =>
            step.Do != "done" && step.Name is not ("response.output_text.done" or "content_block_stop")
            && step.Text?.Contains("\"finish_reason\":\"stop\"", StringComparison.Ordinal) is not true),
    ];
}
