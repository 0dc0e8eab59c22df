using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Client.Tests;

/// <summary>What a user asks for, and gets.</summary>
public sealed class ChatTests
{
    [Fact]
    public async Task A_user_asks_and_reads_the_whole_answer()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        var answer = await client.ConfidentialChat.CreateAsync(Chats.Request);
        answer.Choices[0].Message.Content!.Text.ShouldBe(Chats.Secret);
        answer.Choices[0].FinishReason.ShouldBe("stop");
        answer.Usage!.TotalTokens.ShouldBe(3);
        var call = gateway.Calls.ShouldHaveSingleItem();
        call.Json.ToJsonString().ShouldBe($$"""{"model":"tiny","messages":[{"role":"user","content":"{{Chats.Prompt}}"}],"stream":false}""");
    }

    [Fact]
    public async Task A_user_reads_a_stream_as_it_comes_with_its_usage_at_the_end()
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.StreamAsync(Chats.Chunk("Hel"), Chats.Chunk("lo 🌍"), Chats.Chunk("", "stop"), Chats.UsageChunk));
        using var client = gateway.Client();
        var chunks = new List<ChatCompletionChunk>();
        await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Chats.Request))
            chunks.Add(chunk);
        string.Concat(chunks.SelectMany(chunk => chunk.Choices).Select(choice => choice.Delta!.Content)).ShouldBe("Hello 🌍");
        chunks[^1].Usage!.CompletionTokens.ShouldBe(2);
        gateway.Calls.ShouldHaveSingleItem().Inner.Stream.ShouldBeTrue();
    }

    [Fact]
    public async Task The_first_chunk_is_there_before_the_second_is_made()
    {
        var next = new TaskCompletionSource();
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync($": keep-alive\n\ndata: {call.Event(Chats.Chunk("a"))}\n\n: keep-alive\n\n");
            await next.Task;
            await call.SendAsync($"data: {call.Event(Chats.Chunk("b", "stop"), isLast: true)}\n\n");
        });
        using var client = gateway.Client();
        await using var chunks = client.ConfidentialChat.CreateStreamAsync(Chats.Request).GetAsyncEnumerator();
        (await chunks.MoveNextAsync()).ShouldBeTrue();
        next.SetResult();
        (await chunks.MoveNextAsync()).ShouldBeTrue();
        (await chunks.MoveNextAsync()).ShouldBeFalse();
    }

    [Fact]
    public async Task The_gateway_sees_the_model_the_stack_and_nothing_of_the_prompt()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(Chats.Request);
        var envelope = gateway.Calls.Single().Envelope;
        envelope.ModelName.ShouldBe("tiny");
        envelope.Stack.Value.ShouldBe(7);
        Encoding.Latin1.GetString(envelope.Ciphertext.Span).ShouldNotContain("prompt");
        gateway.Locks.Single().ToJsonString().ShouldBe("""{"model":"tiny","node_small_id":3}""");
        gateway.Calls.Single().Headers.ShouldBe(["Accept", "Host", "Authorization", "Content-Type", "Content-Length"], ignoreOrder: true);
    }

    [Theory]
    [InlineData(null, null, null, null)]
    [InlineData(100L, null, null, null)]
    [InlineData(8192L, null, 1, null)]
    [InlineData(8193L, null, null, 8193L)]
    [InlineData(null, 20000L, null, 20000L)]
    [InlineData(100L, 20000L, null, null)]
    [InlineData(5000L, null, 3, 15000L)]
    [InlineData(long.MaxValue, null, int.MaxValue, 1L << 40)]
    [InlineData(-1L, null, null, null)]
    public async Task Units_are_named_only_above_what_every_lock_holds_and_alike_in_lock_and_envelope(
        long? maxCompletionTokens, long? maxTokens, int? n, long? units)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        var request = Chats.Request;
        (request.MaxCompletionTokens, request.MaxTokens, request.N) = (maxCompletionTokens, maxTokens, n);
        await client.ConfidentialChat.CreateAsync(request);
        ((long?)gateway.Locks.Single()["max_num_tokens"]).ShouldBe(units);
        gateway.Calls.Single().Envelope.Units.ShouldBe(units is { } value ? new ComputeUnits(value) : null);
    }

    [Fact]
    public async Task Two_calls_have_two_locks_two_client_keys_and_two_hashes_and_leave_the_request_as_it_was()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        var request = Chats.Request;
        var before = request.ToJson();
        await client.ConfidentialChat.CreateAsync(request);
        await client.ConfidentialChat.CreateAsync(request);
        request.ToJson().ShouldBe(before);
        gateway.Locks.Count.ShouldBe(2);
        gateway.Calls.Select(call => call.Envelope.ClientKey).Distinct().Count().ShouldBe(2);
        gateway.Calls.Select(call => Convert.ToHexString(call.Envelope.PlaintextBodyHash.Span)).Distinct(StringComparer.Ordinal).Count().ShouldBe(2);
    }

    [Fact]
    public async Task A_user_holds_a_conversation_with_tools()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(
            """{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},"finish_reason":"tool_calls"}]}""");
        using var client = gateway.Client();
        var request = Chats.Request;
        request.Tools = [ChatTool.FromFunction("add", "Adds.", JsonElement.Parse("""{"type":"object"}"""))];
        request.ToolChoice = ChatToolChoice.Function("add");
        var answer = await client.ConfidentialChat.CreateAsync(request);
        var call = answer.Choices[0].Message.ToolCalls!.Single();
        request.Messages.Add(answer.Choices[0].Message);
        request.Messages.Add(ChatMessage.Tool(call.Id!, "2"));
        request.ToolChoice = ChatToolChoice.Auto;
        await client.ConfidentialChat.CreateAsync(request);
        gateway.Calls.First().Json["tool_choice"]!.ToJsonString().ShouldBe("""{"type":"function","function":{"name":"add"}}""");
        gateway.Calls.Last().Json["tool_choice"]!.ToJsonString().ShouldBe("\"auto\"");
        gateway.Calls.Last().Json["messages"]!.AsArray().Skip(1).Select(message => message!.ToJsonString()).ShouldBe(
        [
            """{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"add","arguments":"{\u0022a\u0022:1}"}}]}""",
            """{"role":"tool","content":"2","tool_call_id":"call_1"}""",
        ]);
    }

    [Fact]
    public async Task Text_of_every_script_arrives_as_it_was_sent()
    {
        const string text = "ä ß 漢字 العربية 🌍 \u0000 \u2028 \" \\ </script>";
        await using var gateway = await TestGateway.StartAsync(
            call => call.WholeAsync(new JsonObject
            {
                ["choices"] = new JsonArray(new JsonObject
                {
                    ["index"] = 0,
                    ["message"] = new JsonObject { ["role"] = "assistant", ["content"] = (string)call.Json["messages"]![0]!["content"]! },
                    ["finish_reason"] = "stop",
                }),
            }.ToJsonString()));
        using var client = gateway.Client();
        var request = new ChatCompletionRequest { Model = "tiny", Messages = [ChatMessage.User(text)] };
        (await client.ConfidentialChat.CreateAsync(request)).Choices[0].Message.Content!.Text.ShouldBe(text);
    }

    [Fact]
    public async Task Fifty_calls_at_once_on_one_client_each_get_their_own_answer()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.Inner.Stream
            ? call.StreamAsync(Chats.Chunk((string)call.Json["user"]!), Chats.Chunk("", "stop"))
            : call.WholeAsync(Chats.Answer.Replace(Chats.Secret, (string)call.Json["user"]!, StringComparison.Ordinal)));
        using var client = gateway.Client();
        await Task.WhenAll(Enumerable.Range(0, 50).Select(async i =>
        {
            var request = Chats.Request;
            request.User = $"user-{i}";
            if (i % 2 == 0)
            {
                (await client.ConfidentialChat.CreateAsync(request)).Choices[0].Message.Content!.Text.ShouldBe(request.User);
                return;
            }

            var text = "";
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(request))
                text += chunk.Choices[0].Delta!.Content;
            text.ShouldBe(request.User);
        }));
        gateway.Locks.Count.ShouldBe(50);
    }

    [Fact]
    public async Task A_user_lists_the_models_and_loses_no_member_of_them()
    {
        const string list = """{"object":"list","data":[{"id":"tiny","object":"model","created":1,"owned_by":"someone","price":{"per":1}}]}""";
        await using var gateway = await TestGateway.StartAsync(_ => Task.CompletedTask, models: context => context.JsonAsync(list));
        using var client = gateway.Client();
        var models = await client.Models.ListAsync();
        models.Data.Single().Id.ShouldBe("tiny");
        Encoding.UTF8.GetString(models.ToJson()).ShouldBe(list);
    }

    [Fact]
    public async Task A_foreign_gateways_DONE_ends_the_stream_like_its_end()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a", "stop"));
            await call.SendAsync("data: [DONE]\n\n");
        });
        using var client = gateway.Client();
        (await client.ReadAsync()).ShouldBe("a");
    }

    [Fact]
    public async Task Events_may_be_written_with_any_line_ends_and_the_name_that_all_have()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync($"\uFEFFevent: message\r\nid: 1\r\ndata:{call.Event(Chats.Chunk("a"))}\r\n\r\n");
            await call.SendAsync($"data: {call.Event(Chats.Chunk("b", "stop"), isLast: true)}\r\r");
        });
        using var client = gateway.Client();
        (await client.ReadAsync()).ShouldBe("ab");
    }

    [Fact]
    public async Task A_caller_who_names_the_stream_or_no_model_is_told_before_anything_is_sent()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        var request = Chats.Request;
        request.Extra = new Dictionary<string, JsonElement>(StringComparer.Ordinal) { ["stream"] = JsonElement.Parse("true") };
        await Should.ThrowAsync<ArgumentException>(() => client.ConfidentialChat.CreateAsync(request));
        Should.Throw<ArgumentException>(() => client.ConfidentialChat.CreateStreamAsync(new ChatCompletionRequest { Model = "", Messages = [] }));
        await Should.ThrowAsync<ArgumentNullException>(() => client.ConfidentialChat.CreateAsync(null!));
        gateway.Paths.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_request_read_from_JSON_with_a_stream_of_its_own_is_sent_as_the_method_says()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        await client.ConfidentialChat.CreateAsync(ChatCompletionRequest.Parse("""{"stream":true,"model":"tiny","messages":[]}"""u8));
        gateway.Calls.Single().Inner.Stream.ShouldBeFalse();
    }
}
