using System.ComponentModel;
using System.Text.Json;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.Client;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Extensions.AI;
using ConfidentialChat.Scripting;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;

namespace ConfidentialChat.Clients.Tests;

/// <summary>Programs on Microsoft.Extensions.AI, against gateway, node and a scripted engine.</summary>
public sealed class ChatClientTests : IClassFixture<ScriptedStack>, IDisposable
{
    private const string Call =
        """
        {"id":"a1","object":"chat.completion","created":1767225600,"model":"x","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant",
        "content":null,"reasoning_content":"They want the weather.","tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]}}],
        "usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":4}}}
        """;

    private readonly ScriptedStack scripted;
    private readonly ConfidentialChatClient client;
    private readonly IChatClient chat;

    public ChatClientTests(ScriptedStack scripted)
    {
        this.scripted = scripted;
        scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [], Events = 8, DelayMs = 0 };
        client = scripted.Client();
        chat = client.AsIChatClient(ScriptedStack.Model);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => client.Dispose();

    [Fact]
    public async Task A_question_is_answered_and_the_answer_says_who_answered()
    {
        var response = await chat.GetResponseAsync($"{ScriptedStack.PromptCanary} two three", cancellationToken: Cancellation);
        response.Text.ShouldStartWith("......0 ");
        response.FinishReason.ShouldBe(ChatFinishReason.Stop);
        response.ModelId.ShouldBe(ScriptedStack.Model);
        response.ResponseId.ShouldBe("scripted-1");
        response.Usage!.InputTokenCount.ShouldBe(3);
        response.Usage.OutputTokenCount.ShouldBe(8);
        response.RawRepresentation.ShouldBeOfType<Client.Chat.ChatCompletion>();
        response.AdditionalProperties!["confidentialchat.node.id"].ShouldBe("1");
        response.Messages.Single().AdditionalProperties!["confidentialchat.node.tee"].ShouldBe("simulated");
        scripted.Stack.RecordedBytes.ShouldAllBe(bytes => !Needle.IsIn(bytes, ScriptedStack.PromptCanary));
    }

    [Fact]
    public void It_says_what_it_is()
    {
        var metadata = chat.GetService<ChatClientMetadata>()!;
        metadata.ProviderName.ShouldBe("confidentialchat");
        metadata.ProviderUri.ShouldBe(client.ServerUrl);
        metadata.DefaultModelId.ShouldBe(ScriptedStack.Model);
        chat.GetService<ConfidentialChatClient>().ShouldBeSameAs(client);
        chat.GetService<IChatClient>().ShouldBeSameAs(chat);
        chat.GetService<string>().ShouldBeNull();
        chat.Dispose(); // the client goes on
        client.ToString().ShouldContain(client.ServerUrl.Host);
    }

    [Fact]
    public async Task Every_option_that_the_API_has_reaches_the_engine_and_a_role_stays_what_it_was()
    {
        var options = new ChatOptions
        {
            Instructions = "Be short.",
            Temperature = 0.7f,
            TopP = 0.9f,
            TopK = 20,
            FrequencyPenalty = -0.5f,
            PresencePenalty = 0.25f,
            Seed = 7,
            MaxOutputTokens = 5,
            StopSequences = ["END"],
            Reasoning = new ReasoningOptions { Effort = ReasoningEffort.High },
            Tools = [AIFunctionFactory.Create(Weather, "weather")],
            ToolMode = ChatToolMode.RequireSpecific("weather"),
            AllowMultipleToolCalls = false,
        };
        List<ChatMessage> messages =
        [
            new(ChatRole.System, "A system's."), new(new ChatRole("developer"), "A developer's."), new(ChatRole.User, "Ask.") { AuthorName = "alice" },
            new(ChatRole.Assistant, "Answer.") { AuthorName = "not a name" },
            new(ChatRole.User, [new TextContent("See: "), new DataContent(new byte[] { 1, 2, 3 }, "image/png")]),
        ];
        await chat.GetResponseAsync(messages, options, Cancellation);
        var sent = LastRequest();
        sent.GetProperty("temperature").GetRawText().ShouldBe("0.7");
        sent.GetProperty("top_p").GetRawText().ShouldBe("0.9");
        sent.GetProperty("top_k").GetInt32().ShouldBe(20);
        sent.GetProperty("frequency_penalty").GetDouble().ShouldBe(-0.5);
        sent.GetProperty("presence_penalty").GetDouble().ShouldBe(0.25);
        sent.GetProperty("seed").GetInt32().ShouldBe(7);
        sent.GetProperty("max_completion_tokens").GetInt32().ShouldBe(5);
        sent.GetProperty("stop")[0].GetString().ShouldBe("END");
        sent.GetProperty("reasoning_effort").GetString().ShouldBe("high");
        sent.GetProperty("parallel_tool_calls").GetBoolean().ShouldBeFalse();
        sent.GetProperty("tool_choice").GetProperty("function").GetProperty("name").GetString().ShouldBe("weather");
        var function = sent.GetProperty("tools")[0].GetProperty("function");
        function.GetProperty("description").GetString().ShouldBe("The weather of a city.");
        function.GetProperty("parameters").GetProperty("properties").GetProperty("city").GetProperty("type").GetString().ShouldBe("string");
        var turns = sent.GetProperty("messages").EnumerateArray().ToList();
        turns.Select(turn => turn.GetProperty("role").GetString()).ShouldBe(["system", "system", "developer", "user", "assistant", "user"]);
        turns[0].GetProperty("content").GetString().ShouldBe("Be short.");
        turns[3].GetProperty("name").GetString().ShouldBe("alice");
        turns[4].TryGetProperty("name", out _).ShouldBeFalse();
        turns[5].GetProperty("content")[1].GetProperty("image_url").GetProperty("url").GetString().ShouldBe("data:image/png;base64,AQID");
    }

    [Fact]
    public async Task What_the_API_has_and_the_abstraction_does_not_goes_by_the_raw_request()
    {
        var options = new ChatOptions
        {
            Temperature = 1,
            RawRepresentationFactory = _ => new Client.Chat.ChatCompletionRequest
            {
                Model = "",
                Messages = [],
                Temperature = 0,
                Extra = new Dictionary<string, JsonElement> { ["min_p"] = JsonElement.Parse("0.1") },
            },
        };
        await chat.GetResponseAsync("a", options, Cancellation);
        LastRequest().GetProperty("min_p").GetDouble().ShouldBe(0.1);
        LastRequest().GetProperty("temperature").GetDouble().ShouldBe(0);
    }

    [Fact]
    public async Task A_call_of_a_tool_its_thoughts_and_its_result_go_both_ways()
    {
        Next(Call);
        var response = await chat.GetResponseAsync("How is the weather in Oslo?", cancellationToken: Cancellation);
        response.FinishReason.ShouldBe(ChatFinishReason.ToolCalls);
        response.CreatedAt.ShouldBe(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        response.Usage!.CachedInputTokenCount.ShouldBe(2);
        response.Usage.ReasoningTokenCount.ShouldBe(4);
        var message = response.Messages.Single();
        message.Contents.OfType<TextReasoningContent>().Single().Text.ShouldBe("They want the weather.");
        var call = message.Contents.OfType<FunctionCallContent>().Single();
        call.Name.ShouldBe("weather");
        call.Arguments!["city"]!.ToString().ShouldBe("Oslo");

        await chat.GetResponseAsync(
            [new(ChatRole.User, "How is it?"), message, new(ChatRole.Tool, [new FunctionResultContent("call_1", new { sky = "grey" }.sky)])],
            cancellationToken: Cancellation);
        var turns = LastRequest().GetProperty("messages");
        turns[1].GetProperty("tool_calls")[0].GetProperty("function").GetProperty("arguments").GetString().ShouldBe("""{"city":"Oslo"}""");
        turns[1].GetProperty("reasoning_content").GetString().ShouldBe("They want the weather.");
        turns[2].GetProperty("role").GetString().ShouldBe("tool");
        turns[2].GetProperty("tool_call_id").GetString().ShouldBe("call_1");
        turns[2].GetProperty("content").GetString().ShouldBe("grey");
    }

    [Fact]
    public async Task Functions_are_invoked_until_there_is_an_answer()
    {
        Next(Call);
        var asked = "";
        using var invoking = chat.AsBuilder().UseFunctionInvocation().Build();
        var response = await invoking.GetResponseAsync(
            "How is the weather?",
            new ChatOptions { Tools = [AIFunctionFactory.Create((string city) => (asked = city) + ": rain", "weather")] }, Cancellation);
        asked.ShouldBe("Oslo");
        response.Text.ShouldStartWith("......0 ");
        LastRequest().GetProperty("messages")[2].GetProperty("content").GetString().ShouldBe("Oslo: rain");
    }

    [Fact]
    public async Task Arguments_that_are_no_JSON_are_an_error_that_does_not_show_them()
    {
        Next(Call.Replace("""{\"city\":\"Oslo\"}""", "secret-words", StringComparison.Ordinal));
        var response = await chat.GetResponseAsync("a", cancellationToken: Cancellation);
        var call = response.Messages[0].Contents.OfType<FunctionCallContent>().Single();
        call.Exception.ShouldNotBeNull().ToString().ShouldNotContain("secret-words");
    }

    private sealed record Sum(int Value, string Words);

    [Fact]
    public async Task An_answer_has_the_type_that_was_asked_for()
    {
        Next("""{"id":"1","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"{\"value\":4,\"words\":\"four\"}"}}]}""");
        var response = await chat.GetResponseAsync<Sum>("2+2", cancellationToken: Cancellation);
        response.Result.ShouldBe(new Sum(4, "four"));
        var format = LastRequest().GetProperty("response_format");
        format.GetProperty("type").GetString().ShouldBe("json_schema");
        format.GetProperty("json_schema").GetProperty("schema").GetProperty("properties").TryGetProperty("words", out _).ShouldBeTrue();
    }

    [Fact]
    public async Task A_stream_comes_as_it_is_made_with_thoughts_whole_calls_and_the_usage()
    {
        scripted.Next(
            EngineStep.Head(), EngineStep.Event(Delta("""{"role":"assistant","reasoning":"Hm. "}""")), EngineStep.Wait("chat"),
            EngineStep.Event(Delta("""{"content":"I look."}""")),
            EngineStep.Event(Delta("""{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"ci"}}]}""")),
            EngineStep.Event(Delta("""{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"weather","arguments":""}}]}""")),
            EngineStep.Event(Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"ty\":\"Oslo\"}"}}]}""")),
            EngineStep.Event(Delta("{}", "\"tool_calls\"")), new EngineStep { Do = "usage", Events = 9 }, EngineStep.Of("done"));
        var updates = new List<ChatResponseUpdate>();
        await foreach (var update in chat.GetStreamingResponseAsync("go", cancellationToken: Cancellation))
        {
            updates.Add(update);
            if (updates.Count == 1)
                scripted.Engine.Open("chat");
        }

        updates.ShouldAllBe(update => update.MessageId == "s1" && update.ResponseId == "s1" && update.Role == ChatRole.Assistant); // also those with calls
        updates[0].Contents.OfType<TextReasoningContent>().Single().Text.ShouldBe("Hm. ");
        updates.TakeWhile(update => update.FinishReason is null).ShouldAllBe(update => !update.Contents.OfType<FunctionCallContent>().Any());
        var response = updates.ToChatResponse();
        var message = response.Messages.Single();
        message.Role.ShouldBe(ChatRole.Assistant);
        message.Text.ShouldBe("I look.");
        var calls = message.Contents.OfType<FunctionCallContent>().ToList();
        calls.Select(call => call.CallId).ShouldBe(["c1", "c2"]);
        calls[0].Arguments!["city"]!.ToString().ShouldBe("Oslo");
        calls[1].Arguments!.ShouldBeEmpty();
        response.FinishReason.ShouldBe(ChatFinishReason.ToolCalls);
        response.Usage!.OutputTokenCount.ShouldBe(9);
        message.AdditionalProperties!["confidentialchat.node.id"].ShouldBe("1");
    }

    [Fact]
    public async Task A_stream_that_is_cut_off_neither_ends_like_a_whole_one_nor_calls_a_tool()
    {
        scripted.Next(
            EngineStep.Head(), EngineStep.Event(Delta("""{"content":"one"}""")),
            EngineStep.Event(Delta("""{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":"{}"}}]}""")),
            EngineStep.Wait("cut"), EngineStep.Of("cut"));
        var contents = new List<AIContent>();
        var updates = 0;
        await Should.ThrowAsync<StreamTruncatedException>(async () =>
        {
            await foreach (var update in chat.GetStreamingResponseAsync("go", cancellationToken: Cancellation))
            {
                contents.AddRange(update.Contents);
                if (++updates == 2)
                    scripted.Engine.Open("cut"); // all of the call has come
            }
        });
        contents.Single().ShouldBeOfType<TextContent>().Text.ShouldBe("one");
    }

    [Fact]
    public async Task Who_cancels_is_told_so_and_stops_the_engine()
    {
        scripted.Engine.Script = scripted.Engine.Script with { Events = 1000, DelayMs = 50 };
        var before = scripted.Engine.Counters.Cancelled;
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        await Should.ThrowAsync<OperationCanceledException>(async () =>
        {
            await foreach (var update in chat.GetStreamingResponseAsync("go", cancellationToken: leaving.Token))
                await leaving.CancelAsync();
        });
        await Waiting.UntilAsync(() => scripted.Engine.Counters.Cancelled == before + 1);
    }

    [Fact]
    public async Task What_no_node_can_be_asked_is_refused_before_anything_is_sent()
    {
        var before = scripted.Engine.Counters.Requests;
        (ChatMessage Message, ChatOptions? Options)[] cases =
        [
            (new(ChatRole.User, [new UriContent("https://images.example/1.png", "image/png")]), null),
            (new(ChatRole.User, [new HostedFileContent("file-1")]), null),
            (new(ChatRole.User, "a"), new ChatOptions { ConversationId = "c" }),
            (new(ChatRole.User, "a"), new ChatOptions { Tools = [new HostedWebSearchTool()] }),
        ];
        foreach (var (message, options) in cases)
            await Should.ThrowAsync<NotSupportedException>(() => chat.GetResponseAsync([message], options, Cancellation));
        (await Should.ThrowAsync<InvalidOperationException>(() => client.AsIChatClient().GetResponseAsync("a", cancellationToken: Cancellation)))
            .Message.ShouldContain("ModelId");
        scripted.Engine.Counters.Requests.ShouldBe(before);
    }

    [Fact]
    public async Task Another_model_can_be_asked_and_an_unknown_one_is_answered_with_those_that_there_are()
    {
        (await client.AsIChatClient().GetResponseAsync("a", new ChatOptions { ModelId = ScriptedStack.Model }, Cancellation)).Text.ShouldNotBeEmpty();
        var failure = await Should.ThrowAsync<GatewayApiException>(() => chat.GetResponseAsync("a", new ChatOptions { ModelId = "typo" }, Cancellation));
        failure.Models.ShouldBe([ScriptedStack.Model]);
        failure.Message.ShouldContain($"hint: the gateway offers {ScriptedStack.Model}.");
    }

    [Fact]
    public async Task Texts_become_vectors_in_their_order()
    {
        scripted.Next(EngineStep.Answer(
            200,
            """{"object":"list","model":"x","data":[{"object":"embedding","index":1,"embedding":[2,2]},{"object":"embedding","index":0,"embedding":[1,0.5]}],"usage":{"prompt_tokens":2,"total_tokens":2}}"""));
        var generator = client.AsIEmbeddingGenerator(ScriptedStack.Model, dimensions: 2);
        var vectors = await generator.GenerateAsync(["one", "two"], cancellationToken: Cancellation);
        vectors.Select(vector => vector.Vector.ToArray()).ShouldBe([[1f, 0.5f], [2f, 2f]]);
        vectors.Usage!.InputTokenCount.ShouldBe(2);
        LastRequest().GetProperty("dimensions").GetInt32().ShouldBe(2);
        (await generator.GenerateAsync([], cancellationToken: Cancellation)).ShouldBeEmpty();
        generator.GetService<EmbeddingGeneratorMetadata>()!.DefaultModelDimensions.ShouldBe(2);
    }

    [Theory]
    [InlineData("""[{"index":0,"embedding":[1]}]""")]
    [InlineData("""[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]""")]
    [InlineData("""[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]""")]
    [InlineData("""[{"index":0,"embedding":[1]},{"index":1,"embedding":[null]}]""")]
    public async Task Vectors_that_are_not_one_for_each_text_are_no_answer(string data)
    {
        scripted.Next(EngineStep.Answer(200, $$"""{"object":"list","model":"x","data":{{data}},"usage":{"prompt_tokens":2,"total_tokens":2} }"""));
        var generator = client.AsIEmbeddingGenerator(ScriptedStack.Model);
        await Should.ThrowAsync<InvalidAnswerException>(() => generator.GenerateAsync(["one", "two"], cancellationToken: Cancellation));
    }

    [Fact]
    public async Task An_agent_of_Microsofts_framework_calls_its_tools_and_remembers()
    {
        Next(Call);
        var agent = chat.AsAIAgent(instructions: "You know the weather.", name: "weatherman", tools: [AIFunctionFactory.Create(Weather, "weather")]);
        var session = await agent.CreateSessionAsync(Cancellation);
        (await agent.RunAsync("How is the weather in Oslo?", session, cancellationToken: Cancellation)).Text.ShouldStartWith("......0 ");
        var turns = LastRequest().GetProperty("messages").EnumerateArray().Select(turn => turn.GetProperty("role").GetString());
        turns.ShouldBe(["system", "user", "assistant", "tool"]);

        var text = "";
        await foreach (var update in agent.RunStreamingAsync("And tomorrow?", session, cancellationToken: Cancellation))
            text += update.Text;
        text.ShouldStartWith("......0 ");
        LastRequest().GetProperty("messages").GetArrayLength().ShouldBe(6); // what was said before is there
    }

    [Fact]
    public async Task An_agent_keeps_its_history_where_it_is_told_to_for_no_node_keeps_one()
    {
        var history = new InMemoryChatHistoryProvider();
        var agent = chat.AsAIAgent(new ChatClientAgentOptions { Name = "historian", ChatHistoryProvider = history });
        var session = await agent.CreateSessionAsync(Cancellation);
        var first = await agent.RunAsync("One.", session, cancellationToken: Cancellation);
        first.AsChatResponse().ConversationId.ShouldBeNull();
        await foreach (var update in agent.RunStreamingAsync("Two.", session, cancellationToken: Cancellation))
            update.AsChatResponseUpdate().ConversationId.ShouldBeNull();
        history.GetMessages(session).Select(message => message.Role).ShouldBe([ChatRole.User, ChatRole.Assistant, ChatRole.User, ChatRole.Assistant]);
    }

    [Description("The weather of a city.")]
    private static string Weather(string city) => $"{city}: rain";

    private static string Delta(string delta, string reason = "null") =>
        $$"""{"id":"s1","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{{delta}},"finish_reason":{{reason}}}]}""";

    private void Next(string answer) => scripted.Next(EngineStep.Answer(200, answer));

    private JsonElement LastRequest() => JsonElement.Parse(scripted.Engine.Requests[^1].Body);
}
