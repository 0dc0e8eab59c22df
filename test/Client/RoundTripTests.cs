using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Embeddings;

namespace ConfidentialChat.Client.Tests;

/// <summary>Whatever an application or an engine writes passes through the types without loss: unknown members, nulls, odd kinds.</summary>
public sealed class RoundTripTests
{
    [Fact]
    public void Every_recorded_chat_request_and_answer_is_written_as_it_was_read()
    {
        var ran = 0;
        foreach (var file in Vectors.Files("openai/recorded", "Chat*.json").Concat(Vectors.Files("openai/spec", "chat-completions.*.json")))
        {
            var exchange = JsonNode.Parse(File.ReadAllText(file))!;
            if (exchange["request"] is JsonObject request)
            {
                RoundTrips<ChatCompletionRequest>(request.ToJsonString(), file);
                ran++;
            }

            if (exchange["response"] is JsonObject { } answer && answer.ContainsKey("choices"))
            {
                RoundTrips<ChatCompletion>(answer.ToJsonString(), file);
                ran++;
            }
        }

        ran.ShouldBeGreaterThan(60);
    }

    [Fact]
    public void Every_recorded_chunk_is_written_as_it_was_read()
    {
        var recorded = JsonNode.Parse(Vectors.Text("openai/recorded/ChatTests.TokenLogProbabilitiesStreaming_False.json"))!["response"]!.GetValue<string>();
        var specified = JsonNode.Parse(Vectors.Text("openai/spec/chat-completions.post.streaming.json"))!["response"]!.GetValue<string>();
        var chunks = (recorded + "\n" + Vectors.Text("openai/constructed/stream-with-usage.sse") + "\n" + specified).Split('\n')
            .Select(line => line.StartsWith("data: ", StringComparison.Ordinal) ? line[6..] : line)
            .Where(line => line.StartsWith('{'))
            .ToList();
        chunks.Count.ShouldBeGreaterThan(100);
        foreach (var chunk in chunks)
            RoundTrips<ChatCompletionChunk>(chunk, "chunk");
    }

    [Fact]
    public void The_specified_list_of_models_is_written_as_it_was_read()
    {
        var example = JsonNode.Parse(Vectors.Text("openai/spec/models.get.default.json"))!["response"]!.GetValue<string>();
        var list = JsonNode.Parse(example, documentOptions: new JsonDocumentOptions { AllowTrailingCommas = true })!; // the example has one
        RoundTrips<ModelList>(list.ToJsonString(), "models");
    }

    [Theory]
    [InlineData("""{"model":"m","messages":[],"stop":"x","tool_choice":{"type":"allowed_tools","more":[1]},"logit_bias":{"50256":-100,"1":0.5}}""")]
    [InlineData("""{"model":"m","messages":[],"stop":["x","y"],"tool_choice":"auto","seed":-9223372036854775808,"n":2}""")]
    [InlineData("""{"model":"m","messages":[],"stop":[],"temperature":0,"top_p":1e-3,"response_format":{"type":"grammar","grammar":"x"}}""")]
    [InlineData("""{"model":"m","messages":[],"stop":null,"tool_choice":null,"max_tokens":null,"tools":null,"response_format":null,"stream":null}""")]
    [InlineData("""{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}""")]
    [InlineData("""{"model":"m","messages":[],"a_future_field":{"deep":[null,{"x":1.0e5}]},"another":null}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:,x","detail":"low","more":1}}]}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","content":null,"refusal":null,"name":null,"audio":{"id":"a"},"tool_calls":[{"id":"c","type":"custom","custom":{"name":"x","input":"y"}}]},{"role":"someone_new","content":""}]}""")]
    [InlineData("""{"model":"m","messages":[],"tools":[{"type":"custom","custom":{"name":"x"}},{"type":"function","function":{"name":"f","parameters":null,"strict":null}}]}""")]
    public void Odd_and_future_requests_are_written_as_they_were_read(string json) => RoundTrips<ChatCompletionRequest>(json, json);

    [Theory]
    [InlineData("""{"choices":[]}""")]
    [InlineData("""{"id":null,"created":null,"choices":[],"usage":null,"system_fingerprint":null,"timings":{"predicted_ms":1.25}}""")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":"x","reasoning_content":"y","annotations":[{"type":"url_citation"}]},"finish_reason":"new_reason","stop_reason":128009,"logprobs":{"content":[{"token":"x","logprob":-0.5,"bytes":null,"top_logprobs":[]}],"refusal":null}}]}""")]
    [InlineData("""{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":0,"new_tokens":1},"cost":0.1}}""")]
    public void Odd_and_future_answers_are_written_as_they_were_read(string json)
    {
        RoundTrips<ChatCompletion>(json, json);
        RoundTrips<ChatCompletionChunk>(json.Replace("\"message\"", "\"delta\"", StringComparison.Ordinal), json);
    }

    [Theory]
    [InlineData("""{"future":1,"model":"m","another":null,"messages":[{"content":"x","role":"user","odd":{}}],"temperature":0}""")]
    [InlineData("""{"stream":true,"messages":[],"n":null,"model":"m","logit_bias":{"9":1,"1":2}}""")]
    public void Members_are_written_in_the_order_in_which_they_stood(string json) => RoundTrips<ChatCompletionRequest>(json, json);

    [Fact]
    public void What_is_added_to_a_request_that_was_read_comes_after_it()
    {
        var request = ChatCompletionRequest.Parse("""{"future":1,"messages":[],"model":"m","seed":1,"top_p":1}"""u8);
        (request.Seed, request.N, request.Model, request.TopP) = (null, 2, "other", null);
        request.Extra!["later"] = JsonElement.Parse("{}");
        Encoding.UTF8.GetString(request.ToJson()).ShouldBe("""{"future":1,"messages":[],"model":"other","n":2,"later":{}}""");
    }

    [Fact]
    public void A_number_that_was_absent_stays_absent_until_it_is_set()
    {
        var usage = OpenAIJson.TryRead<EmbeddingList>("""{"data":[{"embedding":[]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"""u8)!;
        Encoding.UTF8.GetString(usage.ToJson()).ShouldBe("""{"data":[{"embedding":[]}],"usage":{"prompt_tokens":3,"total_tokens":3}}""");
        usage.Usage!.CompletionTokens = 1;
        Encoding.UTF8.GetString(usage.Usage.ToJson()).ShouldBe("""{"prompt_tokens":3,"total_tokens":3,"completion_tokens":1}""");
        Encoding.UTF8.GetString(new ChatChunkChoice().ToJson()).ShouldBe("""{"index":0}""");
    }

    [Fact]
    public void A_member_that_stands_twice_counts_as_it_stands_last_and_is_written_once()
    {
        var request = ChatCompletionRequest.Parse("""{"model":"m","messages":[],"seed":1,"x":1,"seed":null,"x":2}"""u8);
        Encoding.UTF8.GetString(request.ToJson()).ShouldBe("""{"model":"m","messages":[],"seed":null,"x":2}""");
    }

    [Fact]
    public void A_null_that_was_read_gives_way_to_a_value_that_is_set()
    {
        var request = ChatCompletionRequest.Parse("""{"model":"m","messages":[],"seed":null}"""u8);
        request.Seed = 7;
        Encoding.UTF8.GetString(request.ToJson()).ShouldBe("""{"model":"m","messages":[],"seed":7}""");
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"model":"m"}""")]
    [InlineData("""{"model":null,"messages":[]}""")]
    [InlineData("""{"model":"m","messages":[{"content":"no role"}]}""")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":7}]}""")]
    public void What_is_no_request_is_refused_without_a_word_of_it(string json) =>
        Should.Throw<JsonException>(() => ChatCompletionRequest.Parse(Encoding.UTF8.GetBytes(json))).Message
            .ShouldBe("The JSON is no chat completion request.");

    [Fact]
    public void No_text_of_a_request_or_an_answer_shows_what_is_in_it()
    {
        foreach (var shown in new object[] { Chats.Request, Chats.Request.Messages[0], Chats.Request.Messages[0].Content! })
            shown.ToString()!.ShouldNotContain(Chats.Prompt);
    }

    private static void RoundTrips<T>(string json, string from)
        where T : OpenAIObject
    {
        var read = OpenAIJson.TryRead<T>(Encoding.UTF8.GetBytes(json));
        read.ShouldNotBeNull(from);
        var written = Encoding.UTF8.GetString(read.ToJson());
        written.ShouldBeSameJson(json, from);
    }
}
