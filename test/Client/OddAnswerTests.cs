using System.Text;
using System.Text.Json;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Completions;

namespace ConfidentialChat.Client.Tests;

/// <summary>
/// Answers as engines write them, not as the API has them: what was finished and paid for reaches its caller, and what cannot be read is
/// kept as it came.
/// </summary>
public sealed class OddAnswerTests
{
    private const string Choice = """{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}""";

    [Theory]
    [InlineData("1720688079.5", 1720688079L)]
    [InlineData("1720688079.0", 1720688079L)]
    [InlineData("1.72e9", 1720000000L)]
    [InlineData("\"1720688079\"", 1720688079L)]
    [InlineData("\"2023-10-20T17:02:14+00:00\"", null)]
    [InlineData("{}", null)]
    [InlineData("1e300", null)]
    public async Task A_time_of_another_kind_is_read_as_far_as_it_can_be_and_kept_as_it_came(string created, long? read)
    {
        var answer = await WholeAsync($$"""{"created":{{created}},"choices":[{{Choice}}],"system_fingerprint":7}""");
        (answer.Created, answer.SystemFingerprint, answer.Choices[0].Message.Content!.Text).ShouldBe((read, null, "Hi"));
        answer.Extra!["system_fingerprint"].GetInt32().ShouldBe(7);
        Json(answer).ShouldBe(created is "1720688079.0" or "1.72e9"
            ? $$"""{"created":{{read}},"choices":[{{Choice}}],"system_fingerprint":7}"""
            : $$"""{"created":{{created}},"choices":[{{Choice}}],"system_fingerprint":7}""");
        answer.Created = 5;
        Json(answer).ShouldStartWith("""{"created":5,""");
    }

    [Theory]
    [InlineData("null", 0)]
    [InlineData("\"2\"", 2)]
    [InlineData("2.0", 2)]
    public async Task A_count_of_another_kind_costs_no_answer(string count, long read)
    {
        var answer = await WholeAsync($$"""{"usage":{"prompt_tokens":3,"completion_tokens":{{count}},"total_tokens":5},"choices":[{{Choice}}]}""");
        (answer.Usage!.PromptTokens, answer.Usage.CompletionTokens, answer.Usage.TotalTokens).ShouldBe((3, read, 5));
        (await WholeAsync($$"""{"choices":[{{Choice}}],"usage":"none"}""")).Usage.ShouldBeNull();
    }

    [Theory]
    [InlineData("\"index\":null,", 0, 1)]
    [InlineData("", 0, 1)]
    [InlineData("\"index\":\"5\",", 5, 5)]
    [InlineData("\"index\":{},", 0, 1)]
    public async Task An_index_that_is_none_is_the_place_in_the_list(string index, int first, int second)
    {
        var json = """{"choices":[{INDEX"message":{"role":"assistant","content":"Hi"}},{INDEX"message":{"role":"assistant","content":"Ho"}}]}"""
            .Replace("INDEX", index, StringComparison.Ordinal);
        var answer = await WholeAsync(json);
        answer.Choices.Select(choice => choice.Index).ShouldBe([first, second]);
        Json(answer).ShouldBe(json);
    }

    [Fact]
    public async Task A_message_without_a_role_is_the_assistants_and_can_be_sent_again()
    {
        var answer = await WholeAsync("""{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}""");
        answer.Choices[0].Message.Role.ShouldBe("assistant");
        Encoding.UTF8.GetString(answer.Choices[0].Message.ToJson()).ShouldBe("""{"content":"Hi","role":"assistant"}""");
    }

    [Fact]
    public async Task Arguments_that_are_an_object_are_its_text_and_are_sent_again_as_they_came()
    {
        const string message = """{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":{"a": 1}}}]}""";
        var answer = await WholeAsync($$"""{"choices":[{"index":0,"message":{{message}},"finish_reason":"tool_calls"}]}""");
        answer.Choices[0].Message.ToolCalls!.Single().Function!.Arguments.ShouldBe("""{"a": 1}""");
        Encoding.UTF8.GetString(answer.Choices[0].Message.ToJson()).ShouldBeSameJson(message, "message");
    }

    // ollama/ollama 7881 and continuedev/continue 13225: calls that an engine streams without an index, or without an id.
    [Fact]
    public async Task A_piece_of_a_call_without_an_index_has_none_and_is_not_the_first_calls()
    {
        const string two = """{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","index":null,"function":{"name":"g","arguments":{"x":1}}}]}}]}""";
        var read = await StreamAsync(
            two,
            """{"choices":[{"index":0,"delta":{"tool_calls":[{"index":"1","function":{"arguments":"{"}}]}}]}""",
            """{"choices":[{"index":0,"delta":{"tool_calls":"none"},"finish_reason":"tool_calls"}]}""");
        read[0].Choices[0].Delta!.ToolCalls!.Select(call => (call.Index, call.Id, call.Function!.Arguments))
            .ShouldBe([(null, "a", "{}"), (null, "b", """{"x":1}""")]);
        read[1].Choices[0].Delta!.ToolCalls![0].Index.ShouldBe(1);
        read[2].Choices[0].Delta!.ToolCalls.ShouldBeNull();
        Json(read[0]).ShouldBe(two);
    }

    // predibase/lorax 692 and OpenRouterTeam/ai-sdk-provider 3: probabilities that are null, or of the other endpoint's shape.
    [Theory]
    [InlineData("""{"content":[{"token":"Hi","logprob":null,"bytes":[72,"x"],"top_logprobs":null}]}""")]
    [InlineData("""{"tokens":null,"token_logprobs":[-0.5],"top_logprobs":null,"text_offset":null}""")]
    [InlineData("""{"content":[{"logprob":-1}]}""")]
    [InlineData("[]")]
    public async Task Probabilities_of_any_shape_cost_no_answer(string logprobs)
    {
        var json = """{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"logprobs":LOGPROBS,"finish_reason":"stop"}]}"""
            .Replace("LOGPROBS", logprobs, StringComparison.Ordinal);
        var answer = await WholeAsync(json);
        answer.Choices[0].Message.Content!.Text.ShouldBe("Hi");
        Json(answer).ShouldBe(json);
    }

    [Theory]
    [InlineData("\"\"")]
    [InlineData("\"null\"")]
    [InlineData("null")]
    [InlineData("7")]
    public async Task A_reason_that_is_none_is_null(string reason)
    {
        var answer = await WholeAsync(
            """{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":REASON}]}""".Replace("REASON", reason, StringComparison.Ordinal));
        answer.Choices[0].FinishReason.ShouldBeNull();
        Json(answer).ShouldContain($"\"finish_reason\":{reason}");
    }

    [Theory]
    [InlineData("\"\"")]
    [InlineData("\"null\"")]
    public async Task An_answer_that_is_cut_off_while_its_reasons_are_empty_is_truncated(string reason)
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(
                """{"choices":[{"index":0,"delta":{"content":"Yes, "},"finish_reason":REASON}]}""".Replace("REASON", reason, StringComparison.Ordinal));
            await call.SendAsync("data: [DONE]\n\n");
        });
        using var client = gateway.Client();
        var seen = new List<string>();
        await Should.ThrowAsync<StreamTruncatedException>(() => client.ReadAsync(seen));
        seen.ShouldBe(["Yes, "]);
    }

    [Fact]
    public async Task A_sign_that_an_engine_cut_in_two_is_whole_in_the_joined_text_and_each_half_survives()
    {
        string[] chunks =
        [
            """{"choices":[{"index":0,"delta":{"content":"A \ud83d","more":"\ud83d"}}]}""",
            """{"choices":[{"index":0,"delta":{"content":"\uDE00 \u0042\n\"","\ud800":1}}]}""",
            """{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""",
        ];
        var read = await StreamAsync(chunks);
        string.Concat(read.Select(chunk => chunk.Choices[0].Delta!.Content)).ShouldBe("A 😀 B\n\"");
        Json(read[0]).ShouldBe(chunks[0]);
        OpenAIJson.TryRead<ChatCompletionChunk>(read[1].ToJson())!.Choices[0].Delta!.Content.ShouldBe("\uDE00 B\n\"");
        (await WholeAsync("""{"choices":[{"message":{"role":"assistant","content":"\ud83d"}}]}""")).Choices[0].Message.Content!.Text.ShouldBe("\uD83D");
    }

    [Fact]
    public async Task The_text_of_parts_reaches_who_reads_text_and_the_parts_are_kept()
    {
        const string thinking = """{"choices":[{"index":0,"delta":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}""";
        var read = await StreamAsync(
            thinking,
            """{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"Hi"},{"text":" you"},7]}}]}""",
            """{"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}""");
        string.Concat(read.Select(chunk => chunk.Choices[0].Delta?.Content)).ShouldBe("Hi you");
        Json(read[0]).ShouldBe(thinking);
        (await WholeAsync("""{"choices":[{"message":{"content":[{"type":"thinking","thinking":[]},{"text":"Hi"}]}}]}""")).Choices[0].Message.Content!.Text
            .ShouldBe("Hi");
    }

    [Theory]
    [InlineData("")]
    [InlineData(",\"choices\":null")]
    [InlineData(",\"choices\":[]")]
    public async Task A_chunk_without_choices_has_none(string choices)
    {
        var usage = """{"id":"a"CHOICES,"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"""
            .Replace("CHOICES", choices, StringComparison.Ordinal);
        var read = await StreamAsync(Chats.Chunk("Hi", "stop"), usage);
        (read[1].Choices.Count, read[1].Usage!.TotalTokens, Json(read[1])).ShouldBe((0, 5, usage));
    }

    [Fact]
    public async Task A_whole_answer_without_choices_is_none()
    {
        await Should.ThrowAsync<InvalidAnswerException>(() => WholeAsync("""{"id":"a"}"""));
        await using var gateway = await TestGateway.ThatAnswersAsync("""{"id":"a"}""");
        using var client = gateway.Client();
        await Should.ThrowAsync<InvalidAnswerException>(
            () => client.ConfidentialCompletions.CreateAsync(new CompletionRequest { Model = "tiny", Prompt = "x" }));
    }

    [Theory]
    [InlineData("false", false)]
    [InlineData("null", false)]
    [InlineData("\"\"", false)]
    [InlineData("true", true)]
    [InlineData("\"overloaded\"", true)]
    [InlineData("{\"code\":500}", true)]
    public async Task An_error_is_one_where_it_says_something(string error, bool isError)
    {
        var json = $$"""{"error":{{error}},"choices":[{{Choice}}]}""";
        if (isError)
            await Should.ThrowAsync<InvalidAnswerException>(() => WholeAsync(json));
        else
            (await WholeAsync(json)).Choices[0].Message.Content!.Text.ShouldBe("Hi");
    }

    [Theory]
    [InlineData("data: \n\n")]
    [InlineData("data\n\n")]
    [InlineData("event: ping\ndata: {\"type\":\"ping\"}\n\n")]
    [InlineData("event: ping\r\ndata\r\n\r\n")]
    [InlineData(": keep-alive\n\n")]
    public async Task What_is_no_message_ends_no_stream(string between)
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.Context.Response.ContentType = "Text/Event-Stream; Charset=UTF-8";
            await call.SendAsync(between + $"data: {call.Event(Chats.Chunk("a"))}\n\n" + between);
            await call.SendAsync(between + $"data: {call.Event(Chats.Chunk("b", "stop"), isLast: true)}\n\n" + between + "data: [DONE] \n\ndata: after\n\n");
        });
        using var client = gateway.Client();
        (await client.ReadAsync()).ShouldBe("ab");
    }

    private static async Task<ChatCompletion> WholeAsync(string json)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(json);
        using var client = gateway.Client();
        return await client.ConfidentialChat.CreateAsync(Chats.Request, TestContext.Current.CancellationToken);
    }

    private static async Task<List<ChatCompletionChunk>> StreamAsync(params string[] chunks)
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(chunks));
        using var client = gateway.Client();
        return await client.ConfidentialChat.CreateStreamAsync(Chats.Request, TestContext.Current.CancellationToken).ToListAsync();
    }

    private static string Json(OpenAIObject answer) => Encoding.UTF8.GetString(answer.ToJson());
}
