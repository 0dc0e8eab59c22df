using System.Text.Json;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md section 6: streams as engines write them, not as the API has them.</summary>
public sealed class OddStreamTests
{
    private const string First = """{"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}""";
    private const string Last = """{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""";
    private const string Count = """{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}""";

    [Theory]
    [InlineData("\"\"")]
    [InlineData("\"null\"")]
    public async Task A_reason_that_says_nothing_is_null_to_the_caller_and_no_end(string reason)
    {
        var empty = $$$"""{"model":"scripted", "choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":{{{reason}}} },{"finish_reason":"stop","index":1}],"usage":{{{Count}}}}""";
        var reply = await StreamAsync(EngineStep.Event(empty), EngineStep.Event(Last), EngineStep.Of("done"));
        reply.Parts[0].ShouldBe("""{"model":"test-model", "choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null },{"finish_reason":"stop","index":1}]}""");
        reply.Usage.ShouldBe(new Usage(3, 2));
        (await FailsAsync(EngineStep.Event(empty))).ShouldContain("without a finish reason");
        (await FailsAsync(EngineStep.Event(empty), EngineStep.Of("done"))).ShouldContain("without a finish reason");
    }

    [Fact]
    public async Task A_reason_that_says_nothing_is_null_in_a_whole_answer_too()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(EngineStep.Answer(
            200, """{"error":false,"choices":[{"message":{"content":"Hi"},"finish_reason":""}],"model":"x"}""")));
        (await upstream.AskAsync(UpstreamUnderTest.Chat())).Parts.Single()
            .ShouldBe("""{"error":false,"choices":[{"message":{"content":"Hi"},"finish_reason":null}],"model":"test-model"}""");
    }

    [Fact]
    public async Task Two_usages_and_an_empty_reason_are_both_taken_out()
    {
        var reply = await StreamAsync(
            EngineStep.Event(
                """{"usage":U,"choices":[{"delta":{"content":"Hi"},"finish_reason":""}],"usage":U}""".Replace("U", Count, StringComparison.Ordinal)),
            EngineStep.Event(Last));
        reply.Parts[0].ShouldBe("""{"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}""");
    }

    [Fact]
    public async Task DONE_without_a_reason_is_an_answer_that_was_given_up()
    {
        (await FailsAsync(EngineStep.Event(First), EngineStep.Of("done"))).ShouldContain("without a finish reason");
        (await FailsAsync(EngineStep.Of("done"))).ShouldContain("without a finish reason");
    }

    [Theory]
    [InlineData("null", "null", true)]
    [InlineData("\"0\"", "0", true)]
    [InlineData("0.0", "0", true)]
    [InlineData("\"1\"", "0", false)]
    [InlineData("{}", "0", true)]
    public async Task An_index_is_a_number_however_it_is_written_or_the_place(string first, string last, bool isWhole)
    {
        EngineStep[] steps =
        [
            EngineStep.Event("""{"choices":[{"index":I,"delta":{"content":"Hi"}}]}""".Replace("I", first, StringComparison.Ordinal)),
            EngineStep.Event("""{"choices":[{"index":I,"delta":{},"finish_reason":"stop"}]}""".Replace("I", last, StringComparison.Ordinal)),
        ];
        if (isWhole)
            (await StreamAsync(steps)).Parts.Count.ShouldBe(2);
        else
            await FailsAsync(steps);
    }

    [Theory]
    [InlineData("data: \n\n")]
    [InlineData("data\n\n")]
    [InlineData("event: ping\ndata: {\"type\":\"ping\"}\n\n")]
    [InlineData("event: ping\r\ndata: not even JSON\r\n\r\n")]
    [InlineData(": keep-alive\n\n")]
    [InlineData("\uFEFF: keep-alive\n\n")]
    public async Task What_is_no_message_ends_no_stream_and_reaches_nobody(string between)
    {
        var rest = between.TrimStart('\uFEFF'); // a mark stands at the beginning or nowhere
        var text = $"{between}data: {First}\n\n{rest}{rest}data: {Last}\n\n{rest}data: [DONE] \n\n{rest}";
        (await StreamAsync(new EngineStep { Do = "body", Text = text })).Parts.ShouldBe([First, Last]);
        (await StreamAsync(new EngineStep { Do = "slow", Text = text })).Parts.ShouldBe([First, Last]);
    }

    [Fact]
    public async Task An_engine_that_pings_for_ever_does_not_answer()
    {
        var pings = new EngineStep { Do = "slow", Text = string.Concat(Enumerable.Repeat("event: ping\ndata: {}\n\ndata:\n\n", 1000)), Ms = 1 };
        await using var upstream = await UpstreamUnderTest.StartAsync(
            EngineScript.Once(EngineStep.Head(), EngineStep.Event(First), pings), options => options with { TokenTimeout = TimeSpan.FromMilliseconds(200) });
        (await Should.ThrowAsync<InferenceException>(() => upstream.AskAsync(UpstreamUnderTest.Chat(stream: true), stream: true))).Failure
            .ShouldBe(InferenceFailure.TimedOut);
    }

    [Theory]
    [InlineData("", false)]
    [InlineData(",\"choices\":null", false)]
    [InlineData(",\"choices\":[]", false)]
    [InlineData("", true)]
    public async Task A_chunk_of_usage_alone_reaches_who_asked_for_it_and_nobody_else(string choices, bool asks)
    {
        var usage = """{"id":"a"CHOICES,"usage":U}""".Replace("CHOICES", choices, StringComparison.Ordinal);
        var reply = await StreamAsync(
            asks ? ",\"stream_options\":{\"include_usage\":true}" : "",
            EngineStep.Event(First), EngineStep.Event(Last), EngineStep.Event(usage.Replace("U", Count, StringComparison.Ordinal)), EngineStep.Of("done"));
        reply.Parts.Count.ShouldBe(asks ? 3 : 2);
        reply.Usage.ShouldBe(new Usage(3, 2));
        if (asks)
            return;
        var unread = EngineStep.Event(usage.Replace("U", "{}", StringComparison.Ordinal)); // no count can be read of it
        (await StreamAsync(EngineStep.Event(First), EngineStep.Event(Last), unread)).Parts.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("Text/Event-Stream; Charset=UTF-8", true)]
    [InlineData("TEXT/EVENT-STREAM", true)]
    [InlineData("Application/JSON;charset=utf-8", false)]
    public async Task A_media_type_is_the_same_in_any_letter_case(string type, bool stream)
    {
        var body = stream ? $"data: {First}\n\ndata: {Last}\n\n" : """{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}""";
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(EngineStep.Answer(200, body, type)));
        (await upstream.AskAsync(UpstreamUnderTest.Chat(stream), stream)).Text.ShouldBe("Hi");
    }

    [Theory]
    [InlineData("false", true)]
    [InlineData("\"\"", true)]
    [InlineData("null", true)]
    [InlineData("true", false)]
    [InlineData("\"overloaded\"", false)]
    [InlineData("{}", false)]
    public async Task An_error_is_one_where_it_says_something(string error, bool isServed)
    {
        var chunk = EngineStep.Event(First.Replace("{\"choices", $"{{\"error\":{error},\"choices", StringComparison.Ordinal));
        if (isServed)
            (await StreamAsync(chunk, EngineStep.Event(Last))).Parts.Count.ShouldBe(2);
        else
            await FailsAsync(EngineStep.Event(First), chunk, EngineStep.Event(Last));
    }

    // ggml-org/llama.cpp 16104: until September 2025 a fault within a stream was a field of its own, which readers of events pass over.
    [Theory]
    [InlineData("error: {\"code\":400,\"message\":\"the request exceeds the available context size\",\"type\":\"invalid_request_error\"}\n\ndata: [DONE]\n\n", "ContextTooLarge ")]
    [InlineData(": ping\r\nerror:{\"code\":400,\"message\":\"no\",\"type\":\"invalid_request_error\"}\r\n\r\n", "InvalidField body")]
    [InlineData("error: {\"code\":500,\"message\":\"error: x\",\"type\":\"server_error\"}\n\ndata: [DONE]\n\n", "Failed")]
    [InlineData("errors: {\"code\":400}\n\ndata: [DONE]\n\n", "Failed")]
    public async Task A_fault_in_a_field_of_its_own_is_read_as_one(string text, string meaning)
    {
        foreach (var how in (string[])["body", "slow"]) // in one piece, and byte by byte
        {
            try
            {
                var reply = await StreamAsync(new EngineStep { Do = how, Text = text });
                $"{reply.Refusal!.Reason} {reply.Refusal.Field}".ShouldBe(meaning);
            }
            catch (InferenceException e)
            {
                e.Failure.ToString().ShouldBe(meaning);
            }

            await FailsAsync(EngineStep.Event(First), new EngineStep { Do = how, Text = text }); // something came before it
        }
    }

    // sgl-project/sglang 4097: a probability of nothing.
    [Theory]
    [InlineData("-Infinity")]
    [InlineData("NaN")]
    [InlineData("Infinity")]
    public async Task A_number_that_JSON_has_not_costs_no_answer(string number)
    {
        const string chunk = """{"choices":[{"index":0,"delta":{"content":"NaN -Infinity \\\" NaN"},"logprobs":{"content":[{"token":"a","logprob":X,"top_logprobs":[X, X]}]},"finish_reason":"stop"}]}""";
        var reply = await StreamAsync(EngineStep.Event(chunk.Replace("X", number, StringComparison.Ordinal)));
        reply.Parts.Single().ShouldBe(chunk.Replace("X", "null", StringComparison.Ordinal));
        await FailsAsync(EngineStep.Event(First), EngineStep.Event("{\"choices\":[{\"index\":0,\"delta\":{\"content\":NaNs}}]}"));
        await FailsAsync(EngineStep.Event(First), EngineStep.Event("{\"a\":NaN"));
        await FailsAsync(EngineStep.Event(First), EngineStep.Event("{\"a\":\"NaN"));
    }

    // microsoft/agent-framework 5734 and vllm-project/vllm 35705: a last chunk without a delta, and one that has the last words too.
    [Theory]
    [InlineData("""{"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}""", "Hi")]
    [InlineData("""{"choices":[{"index":0,"finish_reason":"stop"}]}""", "Hi")]
    [InlineData("""{"choices":[{"index":0,"delta":{"role":null,"content":" you"},"finish_reason":"length"}],"usage":null}""", "Hi you")]
    public async Task A_last_chunk_may_have_no_delta_or_the_last_words(string last, string text)
    {
        var reply = await StreamAsync(EngineStep.Event(First), EngineStep.Event(last), EngineStep.Of("done"), EngineStep.Of("done"));
        reply.Parts.Count.ShouldBe(2);
        var words = reply.Parts.Select(part => JsonElement.Parse(part).GetProperty("choices")[0])
            .Select(
                choice => choice.TryGetProperty("delta", out var delta) && delta.ValueKind == JsonValueKind.Object
                    && delta.TryGetProperty("content", out var content)
                    ? content.GetString()
                    : "");
        string.Concat(words).ShouldBe(text);
    }

    private static Task<Llama.Reply> StreamAsync(params EngineStep[] steps) => StreamAsync("", steps);

    private static async Task<Llama.Reply> StreamAsync(string members, params EngineStep[] steps)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once([EngineStep.Head(), .. steps]));
        return await upstream.AskAsync(UpstreamUnderTest.Chat(stream: true, members), stream: true);
    }

    private static async Task<string> FailsAsync(params EngineStep[] steps)
    {
        var failure = await Should.ThrowAsync<InferenceException>(() => StreamAsync(steps));
        failure.Failure.ShouldBe(InferenceFailure.Failed);
        return failure.Message;
    }
}
