using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Client;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>
/// Exchanges of OpenAI's Responses and Anthropic's Messages, sealed to the node and back. These are constructed after the APIs' descriptions and
/// not recorded; those that are recorded are in <see cref="RecordedExchangeTests"/>. What the caller gets is what the engine wrote, but for the
/// model's name.
/// </summary>
public sealed class NamedExchangeTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private const string Canary = ScriptedStack.PromptCanary;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string, string, string, string> Streams => new()
    {
        {
            "messages with thinking, text, a tool and cache tokens", "/v1/messages",
            """
            {"model":"M","max_tokens":400,"stream":true,"thinking":{"type":"enabled","budget_tokens":100},"system":[{"type":"text","text":"quillfeather-4c1f","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"fetch","input_schema":{"type":"object","properties":{"url":{"type":"string"}}}}],"messages":[{"role":"user","content":"quillfeather-4c1f"},{"role":"assistant","content":[{"type":"tool_use","id":"t0","name":"fetch","input":{"url":"https://x.example"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t0","content":"one"}]}]}
            """,
            """
            event: message_start
            data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"scripted-engine","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":4,"cache_read_input_tokens":2,"output_tokens":1}}}

            event: content_block_start
            data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

            event: content_block_delta
            data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm \u00e9 brambleworth-77aa"}}

            event: content_block_delta
            data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}}

            event: content_block_stop
            data: {"type":"content_block_stop","index":0}

            event: content_block_start
            data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"fetch","input":{}}}

            event: content_block_delta
            data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"url\": \"https"}}

            event: content_block_stop
            data: {"type":"content_block_stop","index":1}

            event: message_delta
            data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":15},"context_management":{"applied_edits":[]}}

            event: message_stop
            data: {"type":"message_stop"}


            """
        },
        {
            "a response with reasoning, a refusal and log probabilities", "/v1/responses",
            """
            {"model":"M","stream":true,"store":false,"input":[{"role":"user","content":[{"type":"input_text","text":"quillfeather-4c1f"}]}],"reasoning":{"effort":"low","summary":"auto"},"include":["message.output_text.logprobs","reasoning.encrypted_content"],"top_logprobs":2,"text":{"format":{"type":"json_schema","name":"s","strict":true,"schema":{"type":"object"}}}}
            """,
            """
            event: response.created
            data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"model":"scripted-engine","output":[],"usage":null}}

            event: response.reasoning_summary_text.delta
            data: {"type":"response.reasoning_summary_text.delta","sequence_number":1,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"brambleworth-77aa"}

            event: response.output_text.delta
            data: {"type":"response.output_text.delta","sequence_number":2,"item_id":"msg_1","output_index":1,"content_index":0,"delta":"{","logprobs":[{"token":"{","logprob":-0.25,"bytes":[123],"top_logprobs":[{"token":"[","logprob":-1.5e0,"bytes":[91]}]}]}

            event: response.refusal.delta
            data: {"type":"response.refusal.delta","sequence_number":3,"item_id":"msg_1","output_index":1,"content_index":1,"delta":"I cannot"}

            event: response.completed
            data: {"type":"response.completed","sequence_number":4,"response":{"id":"resp_1","object":"response","status":"completed","error":null,"model":"scripted-engine","output":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"AAAA"}],"usage":{"input_tokens":15,"input_tokens_details":{"cached_tokens":6},"output_tokens":15,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":30}}}


            """
        },
    };

    public static TheoryData<string, string, string, string> Whole => new()
    {
        {
            "a message with structured output and a refusal", "/v1/messages",
            """{"model":"M","max_tokens":400,"messages":[{"role":"user","content":"quillfeather-4c1f"}],"output_config":{"format":{"type":"json_schema","schema":{}}}}""",
            """{"id":"msg_1","type":"message","role":"assistant","model":"scripted-engine","content":[{"type":"text","text":"brambleworth-77aa"}],"stop_reason":"refusal","stop_sequence":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":4,"cache_read_input_tokens":2,"output_tokens":15,"service_tier":"standard"}}"""
        },
        {
            "a response that called two tools", "/v1/responses",
            """{"model":"M","input":"quillfeather-4c1f","tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"custom","name":"g"}],"parallel_tool_calls":true}""",
            """{"id":"resp_1","object":"response","status":"completed","error":null,"model":"scripted-engine","output":[{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}"},{"type":"custom_tool_call","id":"ct_1","call_id":"c2","name":"g","input":"brambleworth-77aa"}],"store":false,"usage":{"input_tokens":15,"output_tokens":15,"total_tokens":30}}"""
        },
        {
            "a response that ran into its bound", "/v1/responses",
            """{"model":"M","input":"quillfeather-4c1f","max_output_tokens":16}""",
            """{"id":"resp_1","object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"error":null,"model":"scripted-engine","output":[],"usage":{"input_tokens":15,"output_tokens":15,"total_tokens":30}}"""
        },
        {
            "a response that failed", "/v1/responses",
            """{"model":"M","input":"quillfeather-4c1f"}""",
            """{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"brambleworth-77aa"},"model":"scripted-engine","output":[],"usage":{"input_tokens":15,"output_tokens":15,"total_tokens":30}}"""
        },
    };

    [Theory]
    [MemberData(nameof(Streams))]
    public async Task A_stream_passes_both_ways_as_it_is_by_both_doors_and_is_charged_by_its_own_usage(string what, string path, string json, string written)
    {
        var (request, events) = (Asked(json), written.ReplaceLineEndings("\n"));
        var expected = events.Replace("scripted-engine", ScriptedStack.Model, StringComparison.Ordinal);
        stack.Next(new EngineStep { Do = "status", Headers = Typed }, new EngineStep { Do = "body", Text = events });
        var before = await Ledger.SettledAsync(stack.Stack);
        using (var client = new ConfidentialChatClient(stack.Stack.Options() with { RequireReceipts = true }))
        {
            var read = new StringBuilder();
            await using var answer = await client.SendAsync(
                InferenceEndpoints.OfPath(path)!.Endpoint, Encoding.UTF8.GetBytes(request), cancellation: Cancellation);
            await foreach (var one in answer.ReadEventsAsync())
                read.Append($"event: {one.Name}\ndata: {Encoding.UTF8.GetString(one.Data.Span)}\n\n");
            read.ToString().ShouldBe(expected, what);
        }

        ShouldBeWhatWasAsked(request, what);
        (await Ledger.SettledAsync(stack.Stack) - before).ShouldBe(32); // 15 and 15, each rounded up to 16

        stack.Next(new EngineStep { Do = "status", Headers = Typed }, new EngineStep { Do = "body", Text = events });
        using var http = new HttpClient(new ConfidentialHttpHandler(stack.Stack.Options() with { PacedStreams = true, RequireReceipts = true }));
        using var response = await http.PostAsync(
            new Uri($"https://api.example{path}"), new StringContent(request, Encoding.UTF8, "application/json"), Cancellation);
        (await response.Content.ReadAsStringAsync(Cancellation)).ShouldBe(expected, what);
        await stack.ShouldHoldNoCanaryAsync();
    }

    [Theory]
    [MemberData(nameof(Whole))]
    public async Task A_whole_answer_passes_both_ways_as_it_is_and_is_charged_by_its_own_usage(string what, string path, string json, string written)
    {
        stack.Next(EngineStep.Answer(200, written));
        var before = await Ledger.SettledAsync(stack.Stack);
        using var client = stack.Client();
        await using var answer = await client.SendAsync(
            InferenceEndpoints.OfPath(path)!.Endpoint, Encoding.UTF8.GetBytes(Asked(json)), cancellation: Cancellation);
        Encoding.UTF8.GetString((await answer.ReadWholeAsync()).Span)
            .ShouldBe(written.Replace("scripted-engine", ScriptedStack.Model, StringComparison.Ordinal), what);
        ShouldBeWhatWasAsked(Asked(json), what);
        (await Ledger.SettledAsync(stack.Stack) - before).ShouldBe(32);
        await stack.ShouldHoldNoCanaryAsync();
    }

    [Fact]
    public async Task Tokens_are_counted_by_the_engine_and_cost_nothing()
    {
        var before = await Ledger.SettledAsync(stack.Stack);
        using var client = stack.Client();
        var request = Asked("""{"model":"M","messages":[{"role":"user","content":"one two three"}]}""");
        await using (var answer = await client.SendAsync(InferenceEndpoint.CountTokens, Encoding.UTF8.GetBytes(request), cancellation: Cancellation))
            Encoding.UTF8.GetString((await answer.ReadWholeAsync()).Span).ShouldBe("""{"input_tokens":3}""");
        (await Ledger.SettledAsync(stack.Stack)).ShouldBe(before);
    }

    [Theory]
    [InlineData("/v1/messages", """{"model":"M","max_tokens":5,"messages":[],"mcp_servers":[{"url":"quillfeather-4c1f"}]}""", "{\"type\":\"error\",\"error\":", "mcp_servers")]
    [InlineData("/v1/responses", """{"model":"M","input":"x","previous_response_id":"quillfeather-4c1f"}""", "{\"error\":", "previous_response_id")]
    public async Task A_refusal_reaches_a_program_in_its_APIs_own_shape(string path, string json, string begins, string param)
    {
        using var http = new HttpClient(new ConfidentialHttpHandler(stack.Stack.Options()));
        using var response = await http.PostAsync(
            new Uri($"https://api.example{path}"), new StringContent(Asked(json), Encoding.UTF8, "application/json"), Cancellation);
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        var body = await response.Content.ReadAsStringAsync(Cancellation);
        body.ShouldStartWith(begins);
        JsonNode.Parse(body)!["error"]!["param"]!.GetValue<string>().ShouldBe(param);
        body.ShouldNotContain(Canary);
        await stack.ShouldHoldNoCanaryAsync();
    }

    // An engine's error in the middle: litellm#4562, #20347 and #32159 passed such a stream on as if it had ended.
    [Theory]
    [InlineData("/v1/messages", """{"model":"M","max_tokens":5,"stream":true,"messages":[]}""", "content_block_delta")]
    [InlineData("/v1/responses", """{"model":"M","stream":true,"input":"x"}""", "response.output_text.delta")]
    public async Task An_error_event_in_the_middle_is_a_truncated_stream_to_the_caller_and_the_engines_words_stay_behind(string path, string json, string first)
    {
        stack.Next(
            EngineStep.Head(), EngineStep.Named(first), new EngineStep { Do = "delay", Ms = 200 },
            new EngineStep { Do = "event", Name = "error", Text = """{"type":"error","error":{"type":"overloaded_error","message":"brambleworth-77aa"}}""" });
        using var client = stack.Client();
        await using var answer = await client.SendAsync(
            InferenceEndpoints.OfPath(path)!.Endpoint, Encoding.UTF8.GetBytes(Asked(json)), cancellation: Cancellation);
        var names = new List<string?>();
        await Should.ThrowAsync<StreamTruncatedException>(async () =>
        {
            await foreach (var one in answer.ReadEventsAsync())
                names.Add(one.Name);
        });
        names.ShouldBe([first]);
        await stack.ShouldHoldNoCanaryAsync();
    }

    private static Dictionary<string, string> Typed => new(StringComparer.Ordinal) { ["Content-Type"] = "text/event-stream; charset=utf-8" };

    private static string Asked(string json) => json.Trim().Replace("\"model\":\"M\"", $"\"model\":\"{ScriptedStack.Model}\"", StringComparison.Ordinal);

    // Nothing but what the node answers for may differ: spec/inference.md section 8.
    private void ShouldBeWhatWasAsked(string request, string what)
    {
        var (sent, asked) = (JsonNode.Parse(stack.Engine.Requests[^1].Body)!.AsObject(), JsonNode.Parse(request)!.AsObject());
        foreach (var own in (string[])["cache_salt", "store", "max_output_tokens"])
        {
            sent.Remove(own);
            asked.Remove(own);
        }

        JsonNode.DeepEquals(sent, asked).ShouldBeTrue($"{what}: {sent.ToJsonString()}");
    }
}
