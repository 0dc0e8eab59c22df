using System.Text.Json;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Node.Tests.Llama;
using ConfidentialChat.Node.Tests.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md section 8: responses and messages, at an engine that has them, has them in part, or says something else.</summary>
public sealed class NamedEventTests
{
    private const string Delta = """{"type":"response.output_text.delta","delta":"a"}""";
    private const string Completed = """{"type":"response.completed","response":{"model":"scripted","status":"completed","usage":{"input_tokens":7,"output_tokens":5}}}""";
    private const string Start = """{"type":"message_start","message":{"id":"m","model":"scripted","usage":{"input_tokens":7,"output_tokens":1}}}""";
    private const string Block = """{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}""";
    private const string Reason = """{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}""";
    private const string Stop = """{"type":"message_stop"}""";

    [Fact]
    public async Task Responses_come_whole_and_in_events_under_the_callers_name_and_are_counted_and_stored_nowhere()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        var whole = await AskAsync(upstream, InferenceEndpoint.Responses, Responses());
        var answer = JsonDocument.Parse(whole.Parts.Single()).RootElement;
        answer.GetProperty("model").GetString().ShouldBe("test-model");
        answer.GetProperty("store").GetBoolean().ShouldBeFalse();
        whole.Usage.ShouldBe(new Usage(3, 8));
        var body = upstream.LastBody;
        body.GetProperty("model").GetString().ShouldBe("scripted");
        body.GetProperty("store").GetBoolean().ShouldBeFalse();
        body.GetProperty("cache_salt").GetString()!.Length.ShouldBe(43);
        body.TryGetProperty("stream_options", out _).ShouldBeFalse();

        var stream = await AskAsync(upstream, InferenceEndpoint.Responses, Responses(stream: true), stream: true);
        stream.Names.ShouldBe(["response.created", .. Enumerable.Repeat("response.output_text.delta", 8), "response.completed"]);
        stream.Usage.ShouldBe(new Usage(3, 8));
        foreach (var part in (string[])[stream.Parts[0], stream.Parts[^1]])
            JsonDocument.Parse(part).RootElement.GetProperty("response").GetProperty("model").GetString().ShouldBe("test-model");
    }

    [Fact]
    public async Task Messages_come_whole_and_in_events_under_the_callers_name_and_are_counted_and_their_headers_reach_the_engine()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        var whole = await AskAsync(upstream, InferenceEndpoint.Messages, Messages());
        JsonDocument.Parse(whole.Parts.Single()).RootElement.GetProperty("model").GetString().ShouldBe("test-model");
        whole.Usage.ShouldBe(new Usage(3, 8));
        upstream.LastBody.GetProperty("cache_salt").GetString()!.Length.ShouldBe(43);
        upstream.LastBody.TryGetProperty("store", out _).ShouldBeFalse();
        upstream.Engine.Requests[^1].Headers.ContainsKey("anthropic-version").ShouldBeFalse();

        var request = UpstreamUnderTest.Request(Messages(stream: true), stream: true, InferenceEndpoint.Messages) with
        {
            AnthropicVersion = "2023-06-01",
            AnthropicBeta = "a-1,b-2",
        };
        await using var answer = ((InferenceStart.Started)await upstream.Backend.StartAsync(request, TestContext.Current.CancellationToken).Soon()).Answer;
        var stream = await answer.ReadAsync().Soon();
        stream.Names.ShouldBe(
            ["message_start", "content_block_start", .. Enumerable.Repeat("content_block_delta", 8), "content_block_stop", "message_delta", "message_stop"]);
        JsonDocument.Parse(stream.Parts[0]).RootElement.GetProperty("message").GetProperty("model").GetString().ShouldBe("test-model");
        stream.Usage.ShouldBe(new Usage(3, 8));
        upstream.Engine.Requests[^1].Headers["anthropic-version"].ShouldBe("2023-06-01");
        upstream.Engine.Requests[^1].Headers["anthropic-beta"].ShouldBe("a-1,b-2");
    }

    [Fact]
    public async Task Tokens_are_counted_for_nothing_and_whatever_the_reservation()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        const string Body = """{"model":"test-model","messages":[{"role":"user","content":"one two three four"}]}""";
        var reply = await AskAsync(upstream, InferenceEndpoint.CountTokens, Body, units: 1);
        reply.Parts.Single().ShouldBe("""{"input_tokens":4}""");
        reply.Usage.ShouldBe(default);
        upstream.LastBody.TryGetProperty("cache_salt", out _).ShouldBeFalse();
    }

    [Theory]
    [InlineData("vllm", "", true)]
    [InlineData("vllm", "/v1/messages", false)] // listed, and its schema has no salt: a release before August 2026 drops it without a word
    [InlineData("sglang", "", true)]
    [InlineData("sglang", "/v1/messages", true)] // its cache is off
    public async Task A_request_that_cannot_be_kept_apart_does_not_leave_the_node(string engine, string unsalted, bool isServed)
    {
        var script = new EngineScript
        {
            Engine = engine,
            DisableRadixCache = true,
            Salted = unsalted.Length == 0 ? ["ResponsesRequest", "AnthropicMessagesRequest"] : ["ResponsesRequest"],
        };
        await using var upstream = await UpstreamUnderTest.StartAsync(script);
        var reply = await AskAsync(upstream, InferenceEndpoint.Messages, Messages());
        (reply.Refusal is null).ShouldBe(isServed);
        upstream.Engine.Counters.Requests.ShouldBe(isServed ? 1 : 0);
        if (isServed)
            upstream.LastBody.TryGetProperty("cache_salt", out _).ShouldBe(unsalted.Length == 0);
        (await AskAsync(upstream, InferenceEndpoint.Responses, Responses())).Refusal.ShouldBeNull();
        await using var shared = await UpstreamUnderTest.OpenAsync(options => options with { DangerousSharedPrefixCache = true }, upstream.Engine.Url);
        (await UpstreamUnderTest.AskAsync(shared, Messages(), endpoint: InferenceEndpoint.Messages)).Refusal.ShouldBeNull();
        upstream.LastBody.TryGetProperty("cache_salt", out _).ShouldBeFalse();
    }

    [Fact]
    public async Task A_vllm_that_does_not_describe_itself_serves_neither_because_its_cache_may_be_everybodys()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Describes = false });
        foreach (var (endpoint, body) in new[] { (InferenceEndpoint.Responses, Responses()), (InferenceEndpoint.Messages, Messages()) })
        {
            var reply = await AskAsync(upstream, endpoint, body);
            reply.Refusal!.Reason.ShouldBe(InferenceRefusal.NotServed);
            reply.Refusal.Served.ShouldBe([InferenceEndpoint.ChatCompletions, InferenceEndpoint.Completions]);
        }

        upstream.Engine.Counters.Requests.ShouldBe(0);
        (await AskAsync(upstream, InferenceEndpoint.CountTokens, Messages())).Refusal.ShouldBeNull();
    }

    [Theory]
    [InlineData(InferenceEndpoint.Responses)]
    [InlineData(InferenceEndpoint.Messages)]
    [InlineData(InferenceEndpoint.CountTokens)]
    public async Task An_engine_without_the_endpoint_gets_no_prompt_and_what_it_has_is_said(InferenceEndpoint endpoint)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Paths = ["/v1/chat/completions", "/v1/embeddings"] });
        var reply = await AskAsync(upstream, endpoint, endpoint == InferenceEndpoint.Responses ? Responses() : Messages());
        reply.Refusal!.Reason.ShouldBe(InferenceRefusal.NotServed);
        reply.Refusal.Served.ShouldBe([InferenceEndpoint.ChatCompletions, InferenceEndpoint.Embeddings]);
        upstream.Engine.Counters.Requests.ShouldBe(0);
    }

    [Fact]
    public async Task A_request_goes_to_the_engine_that_has_its_endpoint()
    {
        await using var without = await ScriptedEngine.StartAsync(new EngineScript { Paths = ["/v1/chat/completions"] });
        await using var with = await ScriptedEngine.StartAsync(new EngineScript());
        await using var backend = await UpstreamUnderTest.OpenAsync(null, without.Url, with.Url);
        for (var i = 0; i < 4; i++)
            (await UpstreamUnderTest.AskAsync(backend, Messages(), endpoint: InferenceEndpoint.Messages)).Refusal.ShouldBeNull();
        (without.Counters.Requests, with.Counters.Requests).ShouldBe((0, 4));
    }

    [Theory]
    [InlineData(404, """{"detail":"Not Found"}""", "NotServed")]
    [InlineData(404, """{"error":{"type":"not_found_error","message":"model: scripted"},"type":"error"}""", "Failed")]
    [InlineData(405, "", "NotServed")]
    [InlineData(501, """{"error":{"message":"The model does not support Messages API"}}""", "NotServed")]
    [InlineData(400, """{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 5 maximum"}}""", "ContextTooLarge")]
    [InlineData(400, """{"type":"error","error":{"type":"invalid_request_error","message":"the engine's own words"}}""", "InvalidField body")]
    [InlineData(422, """{"detail":[{"loc":["body","max_tokens"],"msg":"x"}]}""", "InvalidField body")]
    [InlineData(429, """{"type":"error","error":{"type":"rate_limit_error","message":"x"}}""", "Busy")]
    [InlineData(529, """{"type":"error","error":{"type":"overloaded_error","message":"x"}}""", "Failed")]
    [InlineData(200, """{"type":"error","error":{"type":"api_error","message":"the engine's own words"}}""", "Failed")]
    [InlineData(200, """{"type":"error"}""", "Failed")]
    [InlineData(200, "[]", "Failed")]
    [InlineData(200, "", "Failed")]
    public async Task Each_answer_to_messages_has_one_meaning_and_none_of_the_engines_words(int status, string body, string meaning)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(EngineStep.Answer(status, body)));
        string said;
        try
        {
            var refusal = (await AskAsync(upstream, InferenceEndpoint.Messages, Messages())).Refusal!;
            said = $"{refusal.Reason} {refusal.Field}".Trim();
        }
        catch (InferenceException e)
        {
            e.Message.ShouldNotContain("words");
            said = e.Failure.ToString();
        }

        said.ShouldBe(meaning);
    }

    [Theory]
    [InlineData("""{"object":"response","status":"failed","error":{"code":"server_error","message":"m"},"model":"scripted","usage":{"input_tokens":1,"output_tokens":2}}""", true)]
    [InlineData("""{"object":"response","status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},"model":"scripted"}""", true)]
    [InlineData("""{"object":"response","status":"queued","error":null,"model":"scripted"}""", false)]
    [InlineData("""{"object":"response","status":"in_progress","model":"scripted"}""", false)]
    [InlineData("""{"object":"response","status":"completed","error":{"message":"m"},"model":"scripted"}""", false)]
    [InlineData("""{"object":"chat.completion","choices":[],"model":"scripted"}""", false)]
    public async Task A_whole_response_says_how_it_ended_or_is_none(string body, bool isAnswer)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(EngineStep.Answer(200, body)));
        if (isAnswer)
            (await AskAsync(upstream, InferenceEndpoint.Responses, Responses())).Parts.Single()
                .ShouldBe(body.Replace("scripted", "test-model", StringComparison.Ordinal));
        else
            await Should.ThrowAsync<InferenceException>(() => AskAsync(upstream, InferenceEndpoint.Responses, Responses()));
    }

    [Theory]
    [InlineData("response.completed")]
    [InlineData("response.incomplete")]
    [InlineData("response.failed")]
    public async Task Each_of_the_three_ends_of_a_response_is_one_and_what_follows_is_not_read(string end)
    {
        var reply = await StreamAsync(
            InferenceEndpoint.Responses, Named(Delta), EngineStep.Named(end, "\"response\":{\"usage\":{\"input_tokens\":4,\"output_tokens\":2}}"),
            Named(Delta), EngineStep.Of("done"));
        reply.Names.ShouldBe(["response.output_text.delta", end]);
        reply.Usage.ShouldBe(new Usage(4, 2));
    }

    // vLLM says so of an answer that ran into its bound (vllm-project/vllm#45386).
    [Fact]
    public async Task A_completed_event_with_the_status_incomplete_passes_as_it_is()
    {
        var end = """{"type":"response.completed","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":4,"output_tokens":2}}}""";
        (await StreamAsync(InferenceEndpoint.Responses, Named(Delta), Named(end))).Parts[^1].ShouldBe(end);
    }

    [Theory]
    [InlineData(InferenceEndpoint.Responses, "")]
    [InlineData(InferenceEndpoint.Responses, "done")]
    [InlineData(InferenceEndpoint.Messages, "")]
    [InlineData(InferenceEndpoint.Messages, "done")]
    [InlineData(InferenceEndpoint.Messages, "message_delta")]
    [InlineData(InferenceEndpoint.Messages, "message_stop")] // no stop_reason: engines write it after a fault
    [InlineData(InferenceEndpoint.Messages, "null")]
    [InlineData(InferenceEndpoint.Messages, "cut")]
    [InlineData(InferenceEndpoint.Responses, "cut")]
    public async Task A_stream_without_its_last_event_was_cut_off(InferenceEndpoint endpoint, string how)
    {
        EngineStep[] before = endpoint == InferenceEndpoint.Responses ? [Named(Delta)] : [Named(Start), Named(Block)];
        EngineStep[] after = how switch
        {
            "" => [],
            "message_delta" => [Named(Reason)],
            "message_stop" => [Named(Stop)],
            "null" => [Named("""{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}"""), Named(Stop)],
            "cut" => [new EngineStep { Do = "delay", Ms = 200 }, EngineStep.Of("cut")], // a reset can overtake what was sent
            _ => [EngineStep.Of(how)],
        };
        var (parts, failure, usage) = await FailsAsync(endpoint, [.. before, .. after]);
        parts.ShouldBeGreaterThanOrEqualTo(before.Length);
        failure.ShouldMatch("before its last event|broke off");
        (usage.CompletionTokens >= 1).ShouldBeTrue(); // what came is charged
    }

    [Theory]
    [InlineData("an error event", "error", """{"type":"error","error":{"type":"overloaded_error","message":"the engine's own words"}}""")]
    [InlineData("an error without a name", null, """{"type":"error","error":{"type":"overloaded_error","message":"the engine's own words"}}""")]
    [InlineData("a chunk", null, """{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}""")]
    [InlineData("another API's event", "response.output_text.delta", """{"type":"response.output_text.delta","delta":"a"}""")]
    [InlineData("a name that is not the type", "content_block_stop", """{"type":"content_block_delta","index":0}""")]
    [InlineData("no type", "content_block_delta", """{"index":0}""")]
    [InlineData("a type that is no text", "content_block_delta", """{"type":7}""")]
    [InlineData("a type with a line break", null, """{"type":"a\nb"}""")]
    [InlineData("a type with an escape", null, """{"type":"message_sto\u0070"}""")]
    [InlineData("an endless type", null, "{\"type\":\"LONG\"}")]
    [InlineData("no JSON", "content_block_delta", "the engine's own words")]
    [InlineData("half of it", "content_block_delta", """{"type":"content_block_delta",""")]
    public async Task What_is_no_event_of_its_API_breaks_a_stream_off_and_is_not_passed_on(string what, string? name, string data)
    {
        var odd = new EngineStep { Do = "event", Name = name, Text = data.Replace("LONG", new string('m', 129), StringComparison.Ordinal) };
        var (parts, failure, usage) = await FailsAsync(InferenceEndpoint.Messages, Named(Start), Named(Block), odd, Named(Reason), Named(Stop));
        parts.ShouldBe(2, what);
        failure.ShouldContain("broke its stream off");
        failure.ShouldNotContain("words");
        usage.ShouldBe(new Usage(7, 1));
    }

    [Theory]
    [InlineData("message_start", """{"type":"message_start","message":{}}""")]
    [InlineData(null, """{"type":"error","code":"server_error","message":"the engine's own words"}""")]
    [InlineData(null, """{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""")]
    public async Task A_response_does_not_go_on_with_events_of_another_API(string? name, string data)
    {
        var (parts, _, _) = await FailsAsync(
            InferenceEndpoint.Responses, Named(Delta), new EngineStep { Do = "event", Name = name, Text = data }, Named(Completed));
        parts.ShouldBe(1);
    }

    // sgl-project/sglang#9963: the stream of a response breaks with an error after its first event; litellm#4562: nobody looks for it.
    [Theory]
    [InlineData(true, "InvalidField body")]
    [InlineData(false, "Failed")]
    public async Task An_error_before_the_first_event_is_a_refusal_or_a_failure_with_nothing_to_charge(bool isCallers, string meaning)
    {
        var error = $$$"""{"type":"error","error":{"type":"{{{(isCallers ? "invalid_request_error" : "api_error")}}}","message":"the engine's own words"}}""";
        await using var upstream = await UpstreamUnderTest.StartAsync(
            EngineScript.Once(EngineStep.Head(), new EngineStep { Do = "event", Name = "error", Text = error }));
        if (isCallers)
        {
            var refusal = (await AskAsync(upstream, InferenceEndpoint.Messages, Messages(stream: true), stream: true)).Refusal!;
            $"{refusal.Reason} {refusal.Field}".ShouldBe(meaning);
        }
        else
        {
            var failed = await Should.ThrowAsync<InferenceException>(
                () => AskAsync(upstream, InferenceEndpoint.Messages, Messages(stream: true), stream: true));
            (failed.Failure.ToString(), failed.Usage).ShouldBe((meaning, default));
        }
    }

    [Fact]
    public async Task Pings_are_taken_out_a_missing_name_is_the_type_and_unknown_members_and_events_stay()
    {
        var odd = """{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a","model":"scripted"},"x":[1e400,{"y":"\u00e9"}]}""";
        var reply = await StreamAsync(
            InferenceEndpoint.Messages,
            new EngineStep { Do = "event", Name = "ping", Text = """{"type":"ping"}""" },
            EngineStep.Event("""{"type":"ping"}"""),
            EngineStep.Event(Start), EngineStep.Event(odd), Named("""{"type":"later_kind_of_event","z":1}"""),
            EngineStep.Event(Reason), EngineStep.Event(Stop));
        reply.Names.ShouldBe(["message_start", "content_block_delta", "later_kind_of_event", "message_delta", "message_stop"]);
        reply.Parts[1].ShouldBe(odd);
        reply.Parts[2].ShouldBe("""{"type":"later_kind_of_event","z":1}""");
    }

    [Theory]
    // cache tokens are of the prompt (ggml-org/llama.cpp#19361 takes them off input_tokens)
    [InlineData("""{"input_tokens":2,"cache_creation_input_tokens":3,"cache_read_input_tokens":5,"output_tokens":0}""", """{"output_tokens":4}""", 10, 4)]
    // zero at first, the truth at the end
    [InlineData("""{"input_tokens":0,"output_tokens":0}""", """{"input_tokens":9,"output_tokens":4}""", 9, 4)]
    [InlineData("""{"input_tokens":9,"output_tokens":1}""", """{"input_tokens":0,"output_tokens":4}""", 9, 4)]
    // missing, negative, text, absurd: no count. Two pieces came.
    [InlineData("""{"input_tokens":9,"output_tokens":1}""", "null", 9, 2)]
    [InlineData("""{"input_tokens":9,"output_tokens":0}""", """{"output_tokens":-4}""", 9, 2)]
    [InlineData("""{"input_tokens":9,"output_tokens":0}""", """{"output_tokens":"4"}""", 9, 2)]
    [InlineData("""{"input_tokens":9,"output_tokens":0}""", """{"output_tokens":9223372036854775807}""", 9, 2)]
    [InlineData("""{"input_tokens":9,"output_tokens":0}""", """{"output_tokens":1.5}""", 9, 2)]
    [InlineData("""{"input_tokens":1e99,"output_tokens":0}""", """{"output_tokens":4.0}""", 0, 4)]
    [InlineData("[1]", "7", 27, 2)]
    public async Task Usage_of_messages_is_the_largest_count_of_each_part_or_what_came(string first, string last, long prompt, long completion)
    {
        var reply = await StreamAsync(
            InferenceEndpoint.Messages,
            EngineStep.Named("message_start", $$"""
                "message":{"usage":{{first}}}
                """.Trim()),
            Named(Block), Named(Block), EngineStep.Named("message_delta", $$$"""
                "delta":{"stop_reason":"end_turn"},"usage":{{{last}}}
                """.Trim()),
            Named(Stop));
        reply.Usage.ShouldBe(new Usage(prompt, completion));
    }

    [Theory]
    [InlineData("""{"input_tokens":7,"output_tokens":5}""", 7, 5)]
    [InlineData("null", 15, 2)] // litellm#38067: completed, and no usage
    [InlineData("""{"input_tokens":-7,"output_tokens":5}""", 0, 5)]
    [InlineData("\"many\"", 15, 2)]
    [InlineData("""{"input_tokens":9999999999999,"output_tokens":9999999999999}""", 15, 2)]
    public async Task Usage_of_responses_is_that_of_the_last_event_or_what_came(string usage, long prompt, long completion)
    {
        var reply = await StreamAsync(
            InferenceEndpoint.Responses, Named(Delta), Named(Delta), EngineStep.Named("response.completed", $$$"""
                "response":{"usage":{{{usage}}}}
                """.Trim()));
        reply.Usage.ShouldBe(new Usage(prompt, completion));
    }

    [Fact]
    public async Task A_count_beyond_the_reservation_is_capped()
    {
        var reply = await StreamAsync(
            InferenceEndpoint.Responses, Named("""{"type":"response.completed","response":{"usage":{"input_tokens":100000,"output_tokens":100000}}}"""));
        reply.Usage.Units.ShouldBe(new ComputeUnits(8192));
    }

    [Theory]
    [InlineData(InferenceEndpoint.Responses, 4096, true)]
    [InlineData(InferenceEndpoint.Responses, 1_200_000, true)]
    [InlineData(InferenceEndpoint.Responses, 5_000_000, false)]
    [InlineData(InferenceEndpoint.Messages, 1_200_000, true)]
    [InlineData(InferenceEndpoint.Messages, 5_000_000, false)]
    public async Task A_huge_event_passes_up_to_the_bound_of_an_event(InferenceEndpoint endpoint, int size, bool passes)
    {
        var huge = new string('h', size);
        EngineStep[] steps = endpoint == InferenceEndpoint.Responses
            ? [Named(Delta), EngineStep.Named("response.function_call_arguments.done", $"\"arguments\":\"{huge}\""), Named(Completed)]
            : [Named(Start), EngineStep.Named("content_block_delta", $$"""
                "index":0,"delta":{"type":"input_json_delta","partial_json":"{{huge}}"}
                """.Trim()), Named(Reason), Named(Stop)];
        if (passes)
            (await StreamAsync(endpoint, steps)).Parts[1].Length.ShouldBeGreaterThan(size);
        else
            (await FailsAsync(endpoint, steps)).Failure.ShouldContain("more than is allowed");
    }

    [Theory]
    [InlineData(InferenceEndpoint.Responses, "\"max_output_tokens\":50000", "max_output_tokens", 8192)]
    [InlineData(InferenceEndpoint.Responses, "\"max_output_tokens\":100", "max_output_tokens", 100)]
    [InlineData(InferenceEndpoint.Responses, "\"max_output_tokens\":1e2", "max_output_tokens", 100)]
    [InlineData(InferenceEndpoint.Responses, "\"max_output_tokens\":null", "max_output_tokens", 8192)]
    [InlineData(InferenceEndpoint.Messages, "\"max_tokens\":50000", "max_tokens", 8192)]
    [InlineData(InferenceEndpoint.Messages, "\"max_tokens\":100.0", "max_tokens", 100)]
    public async Task The_completion_is_bounded_by_what_the_prompt_leaves(InferenceEndpoint endpoint, string member, string name, long most)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        var body = endpoint == InferenceEndpoint.Responses ? $$"""{"model":"test-model","input":"one",{{member}}}"""
            : $$"""{"model":"test-model","messages":[{"role":"user","content":"one"}],{{member}}}""";
        await AskAsync(upstream, endpoint, body);
        var bound = upstream.LastBody.GetProperty(name).GetInt64();
        if (most < 8192)
            bound.ShouldBe(most);
        else
            bound.ShouldBeInRange(8192 - body.Length, 8191); // where messages are counted, it is more
        (await AskAsync(upstream, endpoint, body, units: 10)).Refusal!.Reason.ShouldBe(InferenceRefusal.ContextTooLarge);
    }

    [Fact]
    public async Task A_prompt_that_may_not_fit_is_counted_by_the_engine_where_it_counts_messages()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        var words = string.Join(' ', Enumerable.Repeat("word", 2000));
        var body = $$"""{"model":"test-model","system":"{{words}}","messages":[{"role":"user","content":"one"}],"max_tokens":100}""";
        body.Length.ShouldBeGreaterThan(8192);
        (await AskAsync(upstream, InferenceEndpoint.Messages, body)).Usage.ShouldBe(new Usage(2001, 8));
        upstream.Engine.Requests.Select(request => request.Path).ShouldBe(["/v1/messages/count_tokens", "/v1/messages"]);
        upstream.Engine.Script = upstream.Engine.Script with { Paths = ["/v1/messages"] };
        await Waiting.UntilAsync( // once it was looked at
            async () => (await AskAsync(upstream, InferenceEndpoint.Messages, body)).Refusal?.Reason == InferenceRefusal.ContextTooLarge);
    }

    [Theory]
    [InlineData("\"previous_response_id\":\"resp_1\"", "previous_response_id")] // lmstudio-bug-tracker#1188: what another stored
    [InlineData("\"conversation\":{\"id\":\"conv_1\"}", "conversation")]
    [InlineData("\"conversation\":\"conv_1\"", "conversation")]
    [InlineData("\"background\":true", "background")]
    [InlineData("\"background\":1", "background")]
    [InlineData("\"background\":false", null)]
    [InlineData("\"background\":null,\"previous_response_id\":null,\"conversation\":null,\"prompt\":null", null)]
    [InlineData("\"prompt\":{\"id\":\"pmpt_1\"}", "prompt")]
    [InlineData("\"previous_response\":{}", "previous_response")]
    [InlineData("\"previous_input_messages\":[]", "previous_input_messages")]
    [InlineData("\"Previous_Response_Id\":\"resp_1\"", "previous_response_id")]
    [InlineData("\"store\":true", null)]
    [InlineData("\"store\":true,\"store\":true", "store")]
    [InlineData("\"Store\":true", "store")]
    [InlineData("\"messages\":[]", "messages")]
    [InlineData("\"max_tokens\":7", "max_tokens")]
    [InlineData("\"max_completion_tokens\":7", "max_completion_tokens")]
    [InlineData("\"n\":2", "n")]
    [InlineData("\"n_predict\":2", "n_predict")]
    [InlineData("\"max_output_tokens\":0", "max_output_tokens")]
    [InlineData("\"max_output_tokens\":\"many\"", "max_output_tokens")]
    [InlineData("\"tools\":[{\"type\":\"mcp\",\"server_label\":\"x\",\"server_url\":\"https://x.example\"}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"web_search\"}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}},{\"type\":\"file_search\",\"vector_store_ids\":[\"vs_1\"]}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"code_interpreter\",\"container\":\"c\"}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"function\",\"type\":\"mcp\"}]", "tools")]
    [InlineData("\"tools\":[{\"name\":\"f\"}]", "tools")]
    [InlineData("\"tools\":{\"type\":\"function\"}", "tools")]
    [InlineData("\"tools\":[7]", "tools")]
    [InlineData("\"tools\":[],\"tools\":[]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"properties\":{\"url\":{\"default\":\"https://x.example\"}}}},{\"type\":\"custom\",\"name\":\"g\"}]", null)]
    [InlineData("\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}},{\"type\":\"custom\",\"name\":\"g\"}]}]", null)]
    [InlineData("\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{\"type\":\"web_search\"}]}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{\"type\":\"namespace\",\"tools\":[]}]}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[],\"tools\":[{\"type\":\"mcp\"}]}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"Tools\":[{\"type\":\"mcp\"}],\"tools\":[]}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"namespace\",\"name\":\"n\"}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":{}}]", "tools")]
    [InlineData("\"chat_template_kwargs\":{\"chat_template\":\"x\"}", "chat_template_kwargs")]
    [InlineData("\"prompt_cache_key\":\"k\",\"cache_salt\":\"mine\",\"request_id\":\"r\",\"priority\":-1", null)]
    public async Task Of_responses_what_reaches_beyond_the_request_is_refused_by_name(string members, string? field)
    {
        var reply = await WithAsync(InferenceEndpoint.Responses, $$"""{"model":"test-model","input":"one",{{members}}}""");
        (reply.Refusal?.Field).ShouldBe(field);
    }

    [Theory]
    [InlineData("""[{"type":"item_reference","id":"msg_1"}]""", "input.item_reference")]
    [InlineData("""[{"id":"msg_1"}]""", "input.item_reference")]
    [InlineData("""[{"type":null,"id":"msg_1"}]""", "input.item_reference")]
    [InlineData("""["one"]""", "input")]
    [InlineData("""{"role":"user"}""", "input")]
    [InlineData("""[{"role":"user","content":[{"type":"input_image","image_url":"https://x.example/a.png"}]}]""", "input")]
    [InlineData("""[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}]""", null)]
    [InlineData("""[{"role":"user","content":[{"type":"input_image","file_id":"file_1"}]}]""", "input.file_id")]
    [InlineData("""[{"role":"user","content":[{"type":"input_image","file_id":null,"image_url":"data:,"}]}]""", null)]
    [InlineData("""[{"role":"user","content":[{"type":"input_file","file_url":"https://x.example/a.pdf"}]}]""", "input")]
    [InlineData("""[{"role":"user","content":[{"type":"input_file","file_data":"data:application/pdf;base64,AAAA","filename":"a"}]}]""", null)]
    [InlineData("""[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"http://169.254.169.254/"}]}]""", "input")]
    [InlineData("""[{"role":"assistant","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"https://x.example"}]}]}]""", null)]
    [InlineData("""[{"type":"function_call","call_id":"c","name":"fetch","arguments":"{\"url\":\"https://x.example\"}"},{"type":"function_call_output","call_id":"c","output":"one"}]""", null)]
    [InlineData("""[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"AAAA"},{"type":"message","role":"user","content":"one"}]""", null)]
    public async Task Of_the_items_of_a_response_none_leads_out_of_the_request(string input, string? field)
    {
        var reply = await WithAsync(InferenceEndpoint.Responses, $$"""{"model":"test-model","input":{{input}}}""");
        (reply.Refusal?.Field).ShouldBe(field);
    }

    [Theory]
    [InlineData("\"mcp_servers\":[{\"type\":\"url\",\"url\":\"https://x.example\"}]", "mcp_servers")]
    [InlineData("\"container\":\"c_1\"", "container")]
    [InlineData("\"prompt\":\"one\"", "prompt")]
    [InlineData("\"input\":\"one\"", "input")]
    [InlineData("\"max_output_tokens\":7", "max_output_tokens")]
    [InlineData("\"max_completion_tokens\":7", "max_completion_tokens")]
    [InlineData("\"n\":2", "n")]
    [InlineData("\"Max_Tokens\":7", "max_tokens")]
    [InlineData("\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"web_fetch_20250910\",\"name\":\"web_fetch\"}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"code_execution_20250825\",\"name\":\"c\"}]", "tools")]
    [InlineData("\"tools\":[{\"type\":\"mcp_toolset\",\"mcp_server_name\":\"x\"}]", "tools")]
    [InlineData("\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}},{\"type\":\"custom\",\"name\":\"g\",\"input_schema\":{}},{\"type\":\"bash_20250124\",\"name\":\"bash\"}]", null)]
    [InlineData("\"system\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}}]", null)]
    [InlineData("\"system\":[{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x.example\"}}]", "system")]
    [InlineData("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}}", null)]
    public async Task Of_messages_what_reaches_beyond_the_request_is_refused_by_name(string members, string? field)
    {
        foreach (var endpoint in (InferenceEndpoint[])[InferenceEndpoint.Messages, InferenceEndpoint.CountTokens])
        {
            var reply = await WithAsync(endpoint, $$"""{"model":"test-model","max_tokens":50,"messages":[{"role":"user","content":"one"}],{{members}}}""");
            (reply.Refusal?.Field).ShouldBe(field);
        }
    }

    [Theory]
    [InlineData("""[{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}}]""", "messages")]
    [InlineData("""[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]""", null)]
    [InlineData("""[{"type":"image","source":{"type":"file","file_id":"file_1"}}]""", "messages.file_id")]
    [InlineData("""[{"type":"container_upload","file_id":"file_1"}]""", "messages.file_id")]
    [InlineData("""[{"type":"document","source":{"type":"url","url":"http://169.254.169.254/"}}]""", "messages")]
    [InlineData("""[{"type":"tool_use","id":"t","name":"fetch","input":{"url":"https://x.example"}}]""", null)]
    [InlineData("""[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"https://x.example"}}]}]""", "messages")]
    [InlineData("""[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_use","input":{"url":"https://x.example"}}]}]""", "messages")]
    [InlineData("""[{"type":"text","text":"a","citations":[{"type":"web_search_result_location","url":"https://x.example"}]}]""", null)]
    [InlineData("""[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"a"}]""", null)]
    public async Task Of_the_blocks_of_messages_none_leads_out_of_the_request(string content, string? field)
    {
        var reply = await WithAsync(InferenceEndpoint.Messages, $$"""{"model":"test-model","max_tokens":50,"messages":[{"role":"user","content":{{content}}}]}""");
        (reply.Refusal?.Field).ShouldBe(field);
    }

    [Theory]
    [InlineData(InferenceEndpoint.Messages, """{"model":"test-model","messages":[{"role":"user","content":"one"}]}""", "max_tokens")]
    [InlineData(InferenceEndpoint.Messages, """{"model":"test-model","max_tokens":5}""", "messages")]
    [InlineData(InferenceEndpoint.CountTokens, """{"model":"test-model"}""", "messages")]
    [InlineData(InferenceEndpoint.Responses, """{"model":"test-model"}""", "input")]
    public async Task What_the_API_wants_is_missed_by_name(InferenceEndpoint endpoint, string body, string field) =>
        (await WithAsync(endpoint, body)).Refusal!.Field.ShouldBe(field);

    [Fact]
    public async Task What_is_not_named_reaches_the_engine_byte_for_byte()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        const string Kept = """
            "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],"tool_choice":{"type":"function","name":"f"},"text":{"format":{"type":"json_schema","name":"s","schema":{}}},"reasoning":{"effort":"low"},"include":["message.output_text.logprobs"],"top_logprobs":3,"metadata":{"a":"\u00e9"},"unheard_of":[1.50,1e400]
            """;
        await AskAsync(upstream, InferenceEndpoint.Responses, $$"""{"model":"test-model","input":"one",{{Kept.Trim()}},"store":true,"max_output_tokens":20}""");
        upstream.Engine.Requests[^1].Body.ShouldStartWith($$"""{"model":"scripted","input":"one",{{Kept.Trim()}},"store":false,"max_output_tokens":20,"cache_salt":""");
    }

    private static string Responses(bool stream = false) => $$"""{"model":"test-model","input":"one two three"{{(stream ? ",\"stream\":true" : "")}}}""";

    private static string Messages(bool stream = false) =>
        $$"""{"model":"test-model","max_tokens":50,"messages":[{"role":"user","content":"one two three"}]{{(stream ? ",\"stream\":true" : "")}}}""";

    private static EngineStep Named(string data) =>
        new() { Do = "event", Name = JsonDocument.Parse(data).RootElement.GetProperty("type").GetString(), Text = data };

    private static Task<Reply> AskAsync(
        UpstreamUnderTest upstream, InferenceEndpoint endpoint, string body, bool stream = false, long units = 8192) =>
        upstream.AskAsync(body, stream, endpoint, units);

    private static async Task<Reply> WithAsync(InferenceEndpoint endpoint, string body)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        return await AskAsync(upstream, endpoint, body);
    }

    private static async Task<Reply> StreamAsync(InferenceEndpoint endpoint, params EngineStep[] steps)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once([EngineStep.Head(), .. steps]));
        return await AskAsync(upstream, endpoint, BodyOf(endpoint), stream: true);
    }

    private static async Task<(int Parts, string Failure, Usage Usage)> FailsAsync(InferenceEndpoint endpoint, params EngineStep[] steps)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once([EngineStep.Head(), .. steps]));
        var request = UpstreamUnderTest.Request(BodyOf(endpoint), stream: true, endpoint);
        var start = await upstream.Backend.StartAsync(request, TestContext.Current.CancellationToken).Soon();
        await using var answer = ((InferenceStart.Started)start).Answer;
        var parts = 0;
        var failed = await Should.ThrowAsync<InferenceException>(async () =>
        {
            await foreach (var _ in answer.ReadPartsAsync(TestContext.Current.CancellationToken))
                parts++;
        });
        return (parts, failed.Message, answer.Usage);
    }

    private static string BodyOf(InferenceEndpoint endpoint) => endpoint == InferenceEndpoint.Responses ? Responses(stream: true) : Messages(stream: true);
}
