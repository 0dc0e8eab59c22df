using System.Text.Json;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md sections 5 and 6: what a caller sees of an engine's answer, and what is counted.</summary>
public sealed class AnswerTests
{
    private const string FirstChunk = """{"id":"x","object":"chat.completion.chunk","created":1,"model":"ours","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}""";
    private const string LastChunk = """{"model":"ours","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""";

    [Theory]
    [InlineData("vllm", "")]
    [InlineData("vllm", ",\"stream_options\":{\"include_usage\":true}")]
    [InlineData("vllm", ",\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}")]
    [InlineData("llamacpp", "")]
    [InlineData("llamacpp", ",\"stream_options\":{\"include_usage\":true}")]
    [InlineData("llamacpp", ",\"stream_options\":{\"include_usage\":false}")]
    public async Task A_stream_shows_its_usage_to_who_asked_and_is_counted_for_who_did_not(string engine, string members)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Engine = engine, Events = 5 });
        var reply = await upstream.AskAsync(UpstreamUnderTest.Chat(stream: true, members), stream: true);
        reply.Usage.ShouldBe(new Usage(3, 5));
        reply.FinishReason.ShouldBe("stop");
        reply.Text.ShouldBe("......0 ......1 ......2 ......3 ......4 ");
        var asks = members.Contains("include_usage\":true", StringComparison.Ordinal);
        var always = members.Contains("continuous", StringComparison.Ordinal);
        reply.Parts.Count.ShouldBe(asks ? 7 : 6);
        reply.Parts.Count(part => part.Contains("\"usage\"", StringComparison.Ordinal)).ShouldBe(always ? 7 : asks ? 1 : 0);
        reply.Parts.ShouldAllBe(part => part.Contains("\"model\":\"test-model\"", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_whole_answer_has_its_usage_and_the_callers_name_of_the_model()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Events = 5 });
        var reply = await upstream.AskAsync(UpstreamUnderTest.Chat());
        reply.Usage.ShouldBe(new Usage(3, 5));
        var answer = JsonDocument.Parse(reply.Parts.Single()).RootElement;
        answer.GetProperty("model").GetString().ShouldBe("test-model");
        answer.GetProperty("usage").GetProperty("total_tokens").GetInt64().ShouldBe(8);
        upstream.LastBody.GetProperty("model").GetString().ShouldBe("scripted");
    }

    [Fact]
    public async Task What_is_unknown_in_an_answer_passes_byte_for_byte()
    {
        const string Answer = """
            {"id":"x",
             "choices":[{"index":0,"message":{"role":"assistant","content":"\u00e9","future":1e400,"tool_calls":[{"id":"c"}]},"finish_reason":"stop"}],
             "usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":null},"x":[1,1.0,-0e1]}
            """;
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(EngineStep.Answer(200, Answer)));
        var reply = await upstream.AskAsync(UpstreamUnderTest.Chat());
        reply.Parts.Single().ShouldBe(Answer.ReplaceLineEndings(" "));
    }

    [Theory]
    [InlineData("""{"usage":U,"choices":C,"x":1}""", """{"choices":C,"x":1}""")]
    [InlineData("""{ "usage" : U , "choices":C}""", """{  "choices":C}""")]
    [InlineData("""{"choices":C,"usage":U,"x":1}""", """{"choices":C,"x":1}""")]
    [InlineData("""{"choices":C,"x":1,"usage":U}""", """{"choices":C,"x":1}""")]
    [InlineData("""{"model":"scripted","usage":U,"choices":C}""", """{"model":"test-model","choices":C}""")]
    [InlineData("""{"usage":U,"model":"scripted","choices":C,"model":"scripted"}""", """{"model":"test-model","choices":C,"model":"test-model"}""")]
    [InlineData("""{"usage":U,"usage":U,"choices":C}""", """{"choices":C}""")]
    [InlineData("""{"choices":C,"usage":null,"x":1,"usage":U}""", """{"choices":C,"x":1}""")]
    [InlineData("""{"\u0075sage":U,"choices":C,"mode\u006c":"scripted"}""", """{"choices":C,"mode\u006c":"test-model"}""")]
    [InlineData("""{"choices":C,"\ud800":1,"error":null,"usage":U}""", """{"choices":C,"\ud800":1,"error":null}""")]
    public async Task The_usage_that_only_the_node_asked_for_is_taken_out_wherever_it_stands(string chunk, string expected)
    {
        const string choices = """[{"index":0,"delta":{"content":"a","\ud800":1},"finish_reason":"stop"}]""";
        const string count = """{"prompt_tokens":30,"completion_tokens":1,"total_tokens":31}""";
        await using var upstream = await UpstreamUnderTest.StartAsync(
            EngineScript.Once(EngineStep.Head(), EngineStep.Event(Fill(chunk)), EngineStep.Of("done")));
        var reply = await upstream.AskAsync(UpstreamUnderTest.Chat(stream: true), stream: true);
        reply.Parts.Single().ShouldBe(Fill(expected));
        reply.Usage.ShouldBe(new Usage(30, 1));

        static string Fill(string text) =>
            text.Replace(":U", ":" + count, StringComparison.Ordinal)
                .Replace(": U", ": " + count, StringComparison.Ordinal).Replace(":C", ":" + choices, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("done")]
    [InlineData("delay")] // nothing more
    public async Task A_stream_may_end_with_or_without_the_sentinel_once_it_has_a_finish_reason(string end)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(
            EngineScript.Once(EngineStep.Head(), EngineStep.Event(FirstChunk), EngineStep.Event(LastChunk), EngineStep.Of(end)));
        var reply = await upstream.AskAsync(UpstreamUnderTest.Chat(stream: true), stream: true);
        reply.Parts.Count.ShouldBe(2);
        reply.Parts.ShouldNotContain("[DONE]");
    }

    [Fact]
    public async Task Comments_other_events_and_events_of_several_lines_are_read_as_the_standard_says()
    {
        var steps = new List<EngineStep> { EngineStep.Head() };
        steps.Add(new EngineStep { Do = "body", Text = ": ping\n\nretry: 5\nid: 7\ndata: {\"choices\":[{\"delta\":\r\ndata:  {\"content\":\"a\"}}]}\r\n\r\n" });
        steps.Add(EngineStep.Event(LastChunk));
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once([.. steps]));
        var reply = await upstream.AskAsync(UpstreamUnderTest.Chat(stream: true), stream: true);
        reply.Parts[0].ShouldBe("""{"choices":[{"delta":  {"content":"a"}}]}""");
    }

    [Fact]
    public async Task Usage_beyond_the_reservation_is_reported_as_the_reservation()
    {
        const string Answer = """{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":900000,"completion_tokens":900000,"total_tokens":1800000}}""";
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Always(EngineStep.Answer(200, Answer)));
        (await upstream.AskAsync(UpstreamUnderTest.Chat(), units: 1000)).Usage.ShouldBe(new Usage(1000, 0));
    }

    [Theory]
    [InlineData("""{"prompt_tokens":-5,"completion_tokens":-5}""")]
    [InlineData("""{"prompt_tokens":9223372036854775807,"completion_tokens":9223372036854775807}""")]
    [InlineData("""{"prompt_tokens":"3"}""")]
    [InlineData("null")]
    [InlineData("[]")]
    public async Task An_answer_without_a_credible_count_is_counted_by_its_size(string usage)
    {
        var answer = $$"""{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{{usage}}}""";
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Always(EngineStep.Answer(200, answer)));
        var used = (await upstream.AskAsync(UpstreamUnderTest.Chat())).Usage;
        used.PromptTokens.ShouldBeInRange(20, 30);
        used.CompletionTokens.ShouldBeInRange(10, 50);
    }

    [Fact]
    public async Task A_stream_that_is_left_is_counted_as_far_as_it_came()
    {
        foreach (var (engine, prompt) in ((string, long)[])[("vllm", 3), ("llamacpp", 23)])
        {
            await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Engine = engine, Events = 1000, DelayMs = 5 });
            var start = await upstream.Backend.StartAsync(
                UpstreamUnderTest.Request(UpstreamUnderTest.Chat(stream: true), stream: true), CancellationToken.None);
            var answer = start.ShouldBeOfType<InferenceStart.Started>().Answer;
            var read = 0;
            await foreach (var part in answer.ReadPartsAsync(CancellationToken.None))
            {
                part.Data.Length.ShouldBeGreaterThan(0);
                if (++read == 4)
                    break;
            }

            await answer.DisposeAsync();
            await answer.DisposeAsync();
            answer.Usage.ShouldBe(new Usage(prompt, 4));
        }
    }

    [Theory]
    [InlineData("float")]
    [InlineData("base64")]
    public async Task Embeddings_pass_in_both_encodings(string encoding)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        var reply = await upstream.AskAsync(
            $$"""{"model":"test-model","input":["one two","three"],"encoding_format":"{{encoding}}","dimensions":8}""", endpoint: InferenceEndpoint.Embeddings);
        reply.Usage.ShouldBe(new Usage(3, 0));
        var data = JsonDocument.Parse(reply.Parts.Single()).RootElement.GetProperty("data");
        data.GetArrayLength().ShouldBe(2);
        data[0].GetProperty("embedding").ValueKind.ShouldBe(encoding == "float" ? JsonValueKind.Array : JsonValueKind.String);
        upstream.LastBody.GetProperty("dimensions").GetInt32().ShouldBe(8);
        upstream.LastBody.TryGetProperty("max_tokens", out _).ShouldBeFalse();
    }

    [Theory]
    [InlineData("""{"data":[{"embedding":[0.5,-1,2e0],"index":0},{"index":1,"embedding":[]}]}""", """{"data":[{"embedding":"AAAAPwAAgL8AAABA","index":0},{"index":1,"embedding":""}]}""")]
    [InlineData("""{"data":[{"embedding":"AAAAPw==","index":0}]}""", """{"data":[{"embedding":"AAAAPw==","index":0}]}""")]
    [InlineData("""{"data":[{"embedding":[0.5,NaN]},{"embedding":[1]}]}""", """{"data":[{"embedding":[0.5,null]},{"embedding":"AACAPw=="}]}""")]
    [InlineData("""{"data":[{"embedding":[[1],[2]]},7,{"embedding":[1e99]}]}""", """{"data":[{"embedding":[[1],[2]]},7,{"embedding":[1e99]}]}""")]
    [InlineData("""{"embedding":[1],"more":{"data":[{"embedding":[1]}]},"data":{"embedding":[1]}}""", """{"embedding":[1],"more":{"data":[{"embedding":[1]}]},"data":{"embedding":[1]}}""")]
    [InlineData("""{"data":[{"\u0065mbedding":[1],"\ud800":[2]}]}""", """{"data":[{"\u0065mbedding":"AACAPw==","\ud800":[2]}]}""")]
    public async Task Vectors_come_in_base64_where_it_was_asked_for_and_the_engine_knows_numbers_alone(string engine, string expected)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Always(EngineStep.Answer(200, engine)));
        foreach (var (asked, answer) in ((string, string)[])[("base64", expected), ("float", engine.Replace("NaN", "null", StringComparison.Ordinal))])
        {
            var reply = await upstream.AskAsync(
                $$"""{"model":"test-model","input":"one","encoding_format":"{{asked}}"}""", endpoint: InferenceEndpoint.Embeddings);
            reply.Parts.Single().ShouldBe(answer);
            upstream.LastBody.GetProperty("encoding_format").GetString().ShouldBe(asked);
        }
    }
}
