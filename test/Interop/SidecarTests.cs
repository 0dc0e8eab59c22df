using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Interop.Tests;

/// <summary>npm <c>openai</c> and <c>@anthropic-ai/sdk</c>, unmodified, against the sidecar that <c>cchat up</c> runs.</summary>
public sealed class SidecarTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    [Fact]
    public async Task OpenAIs_client_asks_whole_and_streamed_and_reads_one_text()
    {
        var whole = await RunAsync("whole");
        var stream = await RunAsync("stream");

        whole.Text("text").ShouldNotBeEmpty();
        stream.Text("text").ShouldBe(whole.Text("text"));
        (whole.Text("finish"), stream.Text("finish")).ShouldBe(("stop", "stop"));
        stream.GetProperty("chunks").GetInt32().ShouldBeGreaterThan(4);
        whole.Text("node").ShouldBe("1");
        Guid.TryParse(whole.Text("request"), out _).ShouldBeTrue();
    }

    [Fact]
    public async Task OpenAIs_client_gets_tool_calls_in_pieces()
    {
        stack.Next(
            EngineStep.Head(),
            Delta("""{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}"""),
            Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}"""),
            Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"\"Łódź\"}"}}]}"""),
            Delta("{}", "tool_calls"), EngineStep.Of("done"));
        var call = await RunAsync("tools");

        (call.Text("name"), call.Text("finish")).ShouldBe(("weather", "tool_calls"));
        call.GetProperty("arguments").Text("city").ShouldBe("Łódź");
    }

    [Fact]
    public async Task OpenAIs_client_gets_the_structure_that_it_asked_for()
    {
        stack.Next(EngineStep.Answer(200, Whole("""{\"n\":42}""")));
        var answer = await RunAsync("structured");

        answer.GetProperty("parsed").GetProperty("n").GetInt32().ShouldBe(42);
        stack.Engine.Requests[^1].Body.ShouldContain("json_schema");
    }

    [Fact]
    public async Task OpenAIs_client_reads_embeddings_that_it_asks_for_in_base64()
    {
        var list = await RunAsync("embeddings");
        list.GetProperty("sizes").EnumerateArray().Select(size => size.GetInt32()).ShouldBe([8, 8]);
        list.GetProperty("numbers").GetBoolean().ShouldBeTrue();
    }

    [Fact]
    public async Task OpenAIs_client_lists_models_and_finds_one()
    {
        var models = await RunAsync("models");
        models.GetProperty("ids").EnumerateArray().Select(id => id.GetString()).ShouldBe([ScriptedStack.Model]);
        models.Text("one").ShouldBe(ScriptedStack.Model);
    }

    [Theory]
    [InlineData("unknown-model")]
    [InlineData("messages-unknown-model")]
    public async Task Either_client_shows_a_refusal_as_its_own_error_of_that_status(string scenario)
    {
        var failure = await RunAsync(scenario);
        (failure.Text("kind"), failure.GetProperty("status").GetInt32(), failure.Text("code")).ShouldBe(("NotFoundError", 404, "MODEL_NOT_FOUND"));
        failure.Text("text").ShouldContain(ScriptedStack.Model);
    }

    [Fact]
    public async Task OpenAIs_client_never_takes_a_truncated_stream_for_a_whole_one()
    {
        stack.Next(
            EngineStep.Head(), new EngineStep { Do = "stream", Events = 3, Ms = 20 }, new EngineStep { Do = "delay", Ms = 100 }, EngineStep.Of("cut"));
        var failure = await RunAsync("truncated");
        failure.GetProperty("failed").GetBoolean().ShouldBeTrue();
        failure.GetProperty("isTyped").GetBoolean().ShouldBeTrue(failure.ToString());
        failure.Text("code").ShouldBe("STREAM_TRUNCATED");
    }

    [Fact]
    public async Task OpenAIs_client_that_aborts_stops_the_engine()
    {
        var before = stack.Engine.Counters.Cancelled;
        stack.Next(EngineStep.Head(), new EngineStep { Do = "stream", Events = 0, Ms = 20 });
        (await RunAsync("abort")).GetProperty("left").GetBoolean().ShouldBeTrue();
        await Waiting.UntilAsync(() => stack.Engine.Counters.Cancelled > before);
    }

    [Fact]
    public async Task OpenAIs_client_asks_for_responses_whole_and_streamed()
    {
        const string response = """{"id":"resp_1","object":"response","created_at":1,"model":"scripted","status":"completed","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[]}]}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}""";
        stack.Next(EngineStep.Answer(200, response));
        var whole = await RunAsync("responses");
        stack.Next(
            EngineStep.Head(),
            Named("response.created", """{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"model":"scripted","status":"in_progress","output":[]}}"""),
            Named("response.output_item.added", """{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}"""),
            Named("response.content_part.added", """{"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}"""),
            Named("response.output_text.delta", """{"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hi"}"""),
            Named("response.completed", $$"""{"type":"response.completed","sequence_number":4,"response":{{response}}}"""));
        var stream = await RunAsync("responses-stream");

        (whole.Text("text"), whole.Text("status")).ShouldBe(("Hi", "completed"));
        (stream.Text("text"), stream.Text("status")).ShouldBe(("Hi", "completed"));
    }

    [Fact]
    public async Task Anthropics_client_asks_for_messages_whole_and_streamed()
    {
        stack.Next(EngineStep.Answer(
            200, """{"id":"msg_1","type":"message","role":"assistant","model":"scripted","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"""));
        var whole = await RunAsync("messages");
        stack.Next(
            EngineStep.Head(),
            Named("message_start", """{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"scripted","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"""),
            Named("content_block_start", """{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"""),
            Named("content_block_delta", """{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"""),
            Named("content_block_stop", """{"type":"content_block_stop","index":0}"""),
            Named("message_delta", """{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}"""),
            Named("message_stop", """{"type":"message_stop"}"""));
        var stream = await RunAsync("messages-stream");

        (whole.Text("text"), whole.Text("stop")).ShouldBe(("Hi", "end_turn"));
        Guid.TryParse(whole.Text("request"), out _).ShouldBeTrue();
        (stream.Text("text"), stream.Text("stop")).ShouldBe(("Hi", "end_turn"));
    }

    [Fact]
    public async Task Anthropics_client_reads_thoughts_calls_its_tool_and_sends_both_back()
    {
        stack.Engine.Script = stack.Engine.Script with
        {
            Exchanges =
            [
                new EngineExchange { Steps = ApiAnswers.CallInPieces("messages") },
                new EngineExchange { Steps = ApiAnswers.Text("messages", "It rains.") },
            ],
        };
        var answer = await RunAsync("messages-thinking");
        (answer.Text("thought"), answer.Text("signature")).ShouldBe(("They want the weather.", "a-signature"));
        (answer.Text("name"), answer.GetProperty("arguments").Text("city"), answer.Text("stop")).ShouldBe(("weather", "Łódź", "tool_use"));
        answer.Text("text").ShouldBe("It rains.");
        var sent = JsonElement.Parse(stack.Engine.Requests[^1].Body);
        sent.GetProperty("thinking").Text("type").ShouldBe("enabled");
        sent.GetProperty("messages")[1].GetProperty("content")[0].Text("signature").ShouldBe("a-signature");
        sent.GetProperty("messages")[2].GetProperty("content")[0].Text("tool_use_id").ShouldBe("toolu_1");
        stack.Engine.Requests[^1].Headers["anthropic-version"].ShouldMatch(@"^\d{4}-\d\d-\d\d$");
    }

    [Fact]
    public async Task Anthropics_client_has_tokens_counted()
    {
        (await RunAsync("count-tokens")).GetProperty("tokens").GetInt32().ShouldBe(3);
        stack.Engine.Requests[^1].Path.ShouldBe("/v1/messages/count_tokens");
    }

    [Theory]
    [InlineData("messages", "messages-truncated")]
    [InlineData("responses", "responses-truncated")]
    public async Task Neither_client_takes_a_truncated_stream_of_named_events_for_a_whole_one(string api, string scenario)
    {
        stack.Next([.. ApiAnswers.Unfinished(api, "one", "two"), new EngineStep { Do = "delay", Ms = 100 }, EngineStep.Of("cut")]);
        var failure = await RunAsync(scenario);
        failure.GetProperty("failed").GetBoolean().ShouldBeTrue(failure.ToString());
        failure.GetProperty("isTyped").GetBoolean().ShouldBeTrue(failure.ToString());
        failure.Text("text").ShouldNotContain(ApiAnswers.EndOf(api));
    }

    [Fact]
    public async Task Anthropics_client_that_aborts_stops_the_engine()
    {
        var before = stack.Engine.Counters.Cancelled;
        stack.Next([.. ApiAnswers.Unfinished("messages", "one", "two"), EngineStep.Wait("never")]);
        (await RunAsync("messages-abort")).GetProperty("left").GetBoolean().ShouldBeTrue();
        await Waiting.UntilAsync(() => stack.Engine.Counters.Cancelled > before);
    }

    [Fact]
    public async Task OpenAIs_client_calls_a_tool_by_responses_and_sends_the_call_back()
    {
        stack.Engine.Script = stack.Engine.Script with
        {
            Exchanges =
            [
                new EngineExchange { Steps = ApiAnswers.Call("responses") },
                new EngineExchange { Steps = ApiAnswers.Text("responses", "It rains.") },
            ],
        };
        var answer = await RunAsync("responses-tools");
        (answer.Text("name"), answer.GetProperty("arguments").Text("city"), answer.Text("text")).ShouldBe(("weather", "Łódź", "It rains."));
        JsonElement.Parse(stack.Engine.Requests[^1].Body).GetProperty("input")[2].Text("output").ShouldBe("rain");
    }

    private static string Whole(string content) =>
        $$$"""{"id":"c","object":"chat.completion","created":1,"model":"scripted","choices":[{"index":0,"message":{"role":"assistant","content":"{{{content}}}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}""";

    private static EngineStep Delta(string delta, string? finish = null) => EngineStep.Event(
        $$"""{"id":"c","object":"chat.completion.chunk","created":1,"model":"scripted","choices":[{"index":0,"delta":{{delta}},"finish_reason":{{(finish is null ? "null" : $"\"{finish}\"")}}}]}""");

    private static EngineStep Named(string name, string data) => new() { Do = "body", Text = $"event: {name}\ndata: {data}\n\n" };

    private Task<JsonElement> RunAsync(string scenario) => JavaScript.RunAsync("sidecar", stack.Stack.Sidecar!, ScriptedStack.Model, scenario);
}
