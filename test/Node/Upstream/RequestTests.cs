using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md section 4: what reaches an engine of what a caller sealed.</summary>
public sealed class RequestTests
{
    [Fact]
    public void What_the_node_does_not_answer_for_passes_byte_for_byte()
    {
        const string Body = """
            {"model":"test-model", "stream" : true,"messages":[ {"role":"user","content":"a\u0000\ud83d\ude00 \/ b"}], "big":1e400,"id":12345678901234567890123,
             "neg":-0.0,"x_\u0066uture":{"deep":[[[{"a":null}]]],"a":1,"a":2},"": [ ], "seed":9007199254740993 }
            """;
        var sent = Write(Body, stream: true, kind: EngineKind.LlamaServer);
        sent.ShouldBe(
            """{"model":"scripted","stream" : true,"messages":[ {"role":"user","content":"a\u0000\ud83d\ude00 \/ b"}],"big":1e400,"id":12345678901234567890123,"neg":-0.0,"x_\u0066uture":{"deep":[[[{"a":null}]]],"a":1,"a":2},"": [ ],"seed":9007199254740993,"stream_options":{"include_usage":true},"max_tokens":100,"max_completion_tokens":100,"cache_prompt":false}""");
    }

    [Fact]
    public void Every_recorded_and_every_specified_body_passes_without_loss()
    {
        var passed = 0;
        foreach (var file in Directory.GetFiles(Vectors.Locate("openai"), "*.json", SearchOption.AllDirectories))
        {
            var recorded = JsonNode.Parse(File.ReadAllText(file))!;
            var body = (recorded["request"] ?? recorded["body"] ?? recorded["request_body"]) as JsonObject;
            var endpoint = body?["messages"] is not null ? InferenceEndpoint.ChatCompletions
                : body?["prompt"] is not null ? InferenceEndpoint.Completions
                : body?["input"] is not null && file.Contains("mbedding", StringComparison.Ordinal) ? InferenceEndpoint.Embeddings
                : (InferenceEndpoint?)null;
            if (body?["model"] is null || endpoint is not { } asked)
                continue;
            var stream = body["stream"]?.GetValueKind() == JsonValueKind.True;
            var text = body.ToJsonString();
            if (Path.GetFileName(file) == "chat-completions.post.image-input.json")
            {
                UpstreamRequest.Read(UpstreamUnderTest.Request(text, stream, asked), null, out var refused).ShouldBeNull(); // an image of another host's
                (refused?.Field).ShouldBe("messages");
                continue;
            }

            var sent = JsonNode.Parse(Write(text, stream, endpoint: asked, kind: EngineKind.Vllm, maxTokens: null))!.AsObject();

            // Put back what was to change, and nothing else may differ.
            sent["model"] = body["model"]!.DeepClone();
            sent.Remove("cache_salt");
            if (body.ContainsKey("store"))
                sent["store"] = body["store"]?.DeepClone();
            if (stream)
            {
                sent["stream_options"]!["include_usage"]!.GetValue<bool>().ShouldBeTrue();
                sent.Remove("stream_options");
                body.Remove("stream_options");
            }

            JsonNode.DeepEquals(sent, body).ShouldBeTrue(Path.GetFileName(file));
            passed++;
        }

        passed.ShouldBeGreaterThan(30);
    }

    [Theory]
    [InlineData("""{"include_usage":false}""")]
    [InlineData("""{"include_usage":null,"x":1e400}""")]
    [InlineData("""{"include_usage":true,"include_usage":false}""")]
    [InlineData("""{"Include_Usage":false}""")]
    [InlineData("null")]
    public void The_usage_of_a_stream_is_asked_for_whatever_the_caller_says(string options)
    {
        var sent = Write(Chat($",\"stream_options\":{options}", stream: true), stream: true, kind: EngineKind.LlamaServer);
        sent.ShouldContain("\"include_usage\":true");
        sent.Split("nclude_").Length.ShouldBe(2);
        sent.Split("stream_options").Length.ShouldBe(2);
        if (options.Contains("1e400", StringComparison.Ordinal))
            sent.ShouldContain("\"x\":1e400");
    }

    [Fact]
    public void Nothing_of_the_caller_reaches_anothers_cache_slot_session_or_request()
    {
        string[] members =
        [
            "cache_salt", "cache_prompt", "id_slot", "slot_id", "n_cache_reuse", "extra_key", "session_id", "session_params", "request_id", "rid",
            "kv_transfer_params", "bootstrap_host", "bootstrap_port", "bootstrap_room", "prompt_cache_key",
            "prompt_cache_retention", "priority", "vllm_xargs",
        ];
        foreach (var kind in Enum.GetValues<EngineKind>())
        {
            var body = JsonNode.Parse(Chat())!.AsObject();
            foreach (var member in members)
                body[member] = "the caller's";
            body["store"] = true;
            var sent = JsonNode.Parse(Write(body.ToJsonString(), kind: kind))!;
            sent.ToJsonString().ShouldNotContain("the caller's");
            sent["store"]!.GetValue<bool>().ShouldBeFalse();
            (sent["cache_salt"] is not null).ShouldBe(kind is EngineKind.Vllm or EngineKind.Sglang);
            (sent["cache_prompt"]?.GetValue<bool>()).ShouldBe(kind == EngineKind.LlamaServer ? false : null);
        }

        JsonNode.Parse(Write(Chat(), kind: EngineKind.Vllm))!["cache_salt"]!.GetValue<string>().Length.ShouldBe(43);
        JsonNode.Parse(Write(Chat(), kind: EngineKind.Vllm))!["cache_salt"]!.GetValue<string>()
            .ShouldNotBe(JsonNode.Parse(Write(Chat(), kind: EngineKind.Vllm))!["cache_salt"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("\"Max_Tokens\":100000", "max_tokens")]
    [InlineData("\"MODEL\":\"another\"", "model")]
    [InlineData("\"\\u004d\\u006fdel\":\"another\"", "model")]
    [InlineData("\"\u212Av\":1,\"cache_\u017Falt\":\"x\"", "cache_salt")]
    [InlineData("\"max_tokens\":1,\"max_tokens\":100000", "max_tokens")]
    [InlineData("\"n\":1,\"n\":100", "n")]
    [InlineData("\"n_predict\":100000", "n_predict")]
    [InlineData("\"chat_template\":\"{% for i in range(1000000) %}a{% endfor %}\"", "chat_template")]
    [InlineData("\"max_tokens\":0", "max_tokens")]
    [InlineData("\"max_tokens\":-1", "max_tokens")]
    [InlineData("\"max_tokens\":1.5", "max_tokens")]
    [InlineData("\"max_tokens\":1e-2", "max_tokens")]
    [InlineData("\"max_tokens\":1e99", "max_tokens")]
    [InlineData("\"max_tokens\":0.0", "max_tokens")]
    [InlineData("\"n\":1.29e2", "n")]
    [InlineData("\"max_completion_tokens\":\"9\"", "max_completion_tokens")]
    [InlineData("\"n\":0", "n")]
    [InlineData("\"n\":129", "n")]
    [InlineData("\"best_of\":true", "best_of")]
    [InlineData("\"messages\":[]", "messages")]
    [InlineData("\"prompt_embeds\":\"AAAA\"", "prompt_embeds")]
    [InlineData("\"prompt\":\"x\"", "prompt")]
    [InlineData("\"input\":\"x\"", "input")]
    [InlineData("\"chat_template_kwargs\":[]", "chat_template_kwargs")]
    [InlineData("\"chat_template_kwargs\":\"{}\"", "chat_template_kwargs")]
    [InlineData("\"chat_template_kwargs\":{\"chat_template\":\"{% for i in range(1000000) %}a{% endfor %}\"}", "chat_template_kwargs")]
    [InlineData("\"chat_template_kwargs\":{\"\\u0063hat_template\":null}", "chat_template_kwargs")]
    [InlineData("\"chat_template_kwargs\":{\"Toolſ\":[]}", "chat_template_kwargs")]
    [InlineData("\"chat_template_kwargs\":{\"conversation\":[]}", "chat_template_kwargs")]
    [InlineData("\"chat_template_kwargs\":{\"return_tensors\":\"pt\"}", "chat_template_kwargs")]
    [InlineData("\"chat_template_kwargs\":{\"thinking\":true,\"Thinking\":false}", "chat_template_kwargs")]
    [InlineData("\"Chat_Template_Kwargs\":{}", "chat_template_kwargs")]
    public void What_an_engine_could_read_otherwise_than_the_node_is_refused_by_name(string members, string field)
    {
        UpstreamRequest.Read(UpstreamUnderTest.Request(Chat("," + members)), null, out var refused).ShouldBeNull();
        (refused?.Field).ShouldBe(field);
    }

    [Theory]
    [InlineData("16.0", "16")]
    [InlineData("1e2", "100")]
    [InlineData("1.6E+1", "16")]
    [InlineData("16", "16")]
    [InlineData("1e15", "8192")] // more than is left of the reservation
    public void An_integer_is_one_however_it_is_written_and_reaches_the_engine_as_all_read_it(string number, string sent)
    {
        Write(Chat($",\"max_tokens\":{number},\"seed\":1e2"), maxTokens: 8192).ShouldContain($",\"max_tokens\":{sent},\"seed\":1e2,");
        Write(Chat(",\"n\":2.0,\"best_of\":0.2e1")).ShouldContain(",\"n\":2,\"best_of\":2,");
    }

    [Theory]
    [InlineData("""{"role":"assistant","content":"See [1].","annotations":[{"type":"url_citation","url_citation":{"url":"https://example.com/","title":"x"}}]}""", true)]
    [InlineData("""{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"open","arguments":{"url":"https://example.com/","image":["a"]}}}]}""", true)]
    [InlineData("""{"role":"assistant","content":null,"function_call":{"name":"open","arguments":{"url":"https://example.com/"}}}""", true)]
    [InlineData("""{"role":"tool","tool_call_id":"c","content":"{\"url\":\"https://example.com/\"}"}""", true)]
    [InlineData("""{"role":"assistant","content":[{"annotations":[{"type":"image_url","image_url":{"url":"https://example.com/"}}]}]}""", false)]
    [InlineData("""{"role":"assistant","content":[{"tool_calls":[{"url":"https://example.com/"}]}]}""", false)]
    [InlineData("""{"role":"user","Tool_Calls":[{"url":"https://example.com/"}],"content":"x"}""", false)]
    [InlineData("""{"role":"user","content":"x","images":[{"url":"https://example.com/"}]}""", false)]
    public void A_replayed_answer_may_say_what_it_cites_and_calls(string message, bool passes)
    {
        var body = $$"""{"model":"test-model","messages":[{{message}}]}""";
        (UpstreamRequest.Read(UpstreamUnderTest.Request(body), null, out var refused) is not null).ShouldBe(passes);
        (refused?.Field).ShouldBe(passes ? null : "messages");
        if (passes)
            Write(body).ShouldContain(message);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"enable_thinking":false,"thinking":true,"reasoning_effort":"low"}""")]
    public void A_template_may_be_given_arguments_that_are_its_own(string arguments) =>
        Write(Chat($",\"chat_template_kwargs\":{arguments}")).ShouldContain($"\"chat_template_kwargs\":{arguments}");

    [Theory]
    [InlineData("""{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}""", false)]
    [InlineData("""{"type":"image_url","image_url":{"URL":"http://169.254.169.254/"}}""", false)]
    [InlineData("""{"type":"image_url","image_url":{"\u0075rl":"file:///etc/passwd"}}""", false)]
    [InlineData("""{"type":"image_url","image_url":{"url":" data:image/png;base64,AA=="}}""", false)]
    [InlineData("""{"type":"image_url","image_url":{"url":""}}""", false)]
    [InlineData("""{"type":"input_image","image_url":"https://example.com/a.png"}""", false)]
    [InlineData("""{"type":"image","Image":"/etc/passwd"}""", false)]
    [InlineData("""{"type":"video","video":["https://example.com/a.png"]}""", false)]
    [InlineData("""{"type":"video_url","video_url":{"x":[{"url":"https://example.com/a.mp4"}]}}""", false)]
    [InlineData("""{"type":"audio_url","audio_url":"https://example.com/a.wav"}""", false)]
    [InlineData("""{"type":"file","file_url":"https://example.com/a.pdf"}""", false)]
    [InlineData("""{"type":"image_url","image_url":{"url":"data:image\/png;base64,AA==","detail":"low"}}""", true)]
    [InlineData("""{"type":"image_url","image_url":"DATA:image/png;base64,AA=="}""", true)]
    [InlineData("""{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}""", true)]
    [InlineData("""{"type":"text","text":"https://example.com/"}""", true)]
    public void No_engine_is_sent_to_fetch_what_a_prompt_names(string part, bool passes)
    {
        var body = $$"""{"model":"test-model","messages":[{"role":"user","content":[{{part}}]}]}""";
        (UpstreamRequest.Read(UpstreamUnderTest.Request(body), null, out var refused) is not null).ShouldBe(passes);
        (refused?.Field).ShouldBe(passes ? null : "messages");
        if (passes)
            Write(body).ShouldContain(part);
    }

    [Theory]
    [InlineData(InferenceEndpoint.Completions, "\"prompt\":\"p\",\"messages\":[]", "messages")]
    [InlineData(InferenceEndpoint.Completions, "\"prompt\":\"p\",\"input\":\"p\"", "input")]
    [InlineData(InferenceEndpoint.Completions, "\"prompt\":\"p\",\"prompt_embeds\":\"AAAA\"", "prompt_embeds")]
    [InlineData(InferenceEndpoint.Embeddings, "\"input\":\"p\",\"messages\":[]", "messages")]
    [InlineData(InferenceEndpoint.Embeddings, "\"input\":\"p\",\"prompt\":\"p\"", "prompt")]
    [InlineData(InferenceEndpoint.ImageGenerations, "\"prompt\":\"p\",\"messages\":[]", "messages")]
    public void A_second_prompt_beside_the_endpoints_own_is_refused(InferenceEndpoint endpoint, string members, string field)
    {
        UpstreamRequest.Read(UpstreamUnderTest.Request($$"""{"model":"test-model",{{members}}}""", endpoint: endpoint), null, out var refused).ShouldBeNull();
        (refused?.Field).ShouldBe(field);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("{\"model\":\"m\"} x")]
    [InlineData("{\"model\":\"m\",\"messages\":")]
    public void A_body_that_is_no_request_is_refused(string body) =>
        UpstreamRequest.Read(UpstreamUnderTest.Request(body), null, out _).ShouldBeNull();

    [Theory]
    [InlineData(1021, true)] // beside model, stream and messages
    [InlineData(1022, false)]
    [InlineData(500_000, false)]
    public void A_body_of_too_many_members_is_refused_before_they_are_kept(int count, bool passes)
    {
        var many = Chat(string.Concat(Enumerable.Repeat(",\"a\":1", count)));
        var before = GC.GetAllocatedBytesForCurrentThread();
        var request = UpstreamUnderTest.Request(many);
        var body = GC.GetAllocatedBytesForCurrentThread() - before;
        (UpstreamRequest.Read(request, null, out var refused) is not null).ShouldBe(passes);
        (refused?.Field).ShouldBeNull();
        (GC.GetAllocatedBytesForCurrentThread() - before - body).ShouldBeLessThan(1_000_000);
    }

    [Fact]
    public void A_long_name_is_compared_and_not_kept_and_an_escaped_one_is_seen()
    {
        var name = new string('n', 10_000_000);
        var request = UpstreamUnderTest.Request(Chat($",\"{name}\":1"));
        var before = GC.GetAllocatedBytesForCurrentThread();
        UpstreamRequest.Read(request, null, out _).ShouldNotBeNull();
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(1_000_000);

        var escaped = string.Concat("prompt_cache_retention".Select(letter => $"\\u{(int)letter:x4}"));
        Write(Chat($",\"{escaped}\":\"24h\"")).ShouldNotContain("24h");
    }

    [Fact]
    public void A_very_deep_body_is_refused_at_once()
    {
        var deep = Chat(",\"x\":" + new string('[', 100_000) + new string(']', 100_000));
        UpstreamRequest.Read(UpstreamUnderTest.Request(deep), null, out var refused).ShouldBeNull();
        refused!.Field.ShouldBeNull();
    }

    [Theory]
    [InlineData("", 8192, null, 7000, 8100)] // the rest of the reservation, by the bytes of the request
    [InlineData(",\"max_tokens\":5", 8192, 5, 5, 5)]
    [InlineData(",\"max_completion_tokens\":5", 8192, 5, 5, 5)]
    [InlineData(",\"max_tokens\":100000", 8192, 100_000, 8000, 8192)] // does not fit by the bytes: counted, and capped
    [InlineData(",\"n\":4", 8192, null, 1900, 2047)]
    [InlineData(",\"n\":4,\"max_tokens\":100000", 8192, 100_000, 1900, 2048)]
    public async Task The_completion_is_capped_by_what_the_reservation_leaves(string members, long units, int? asked, int least, int most)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        (await upstream.AskAsync(UpstreamUnderTest.Chat(members: members), units: units)).Refusal.ShouldBeNull();
        var name = members.Contains("max_completion", StringComparison.Ordinal) ? "max_completion_tokens" : "max_tokens";
        upstream.LastBody.GetProperty(name).GetInt64().ShouldBeInRange(least, most);
        upstream.Engine.Counters.Tokenized.ShouldBe(asked > 1000 ? 1 : 0);
    }

    [Theory]
    [InlineData(EngineKind.Vllm, "", 100, null)]
    [InlineData(EngineKind.Vllm, ",\"max_completion_tokens\":5", null, 5)]
    [InlineData(EngineKind.Sglang, ",\"max_completion_tokens\":500", null, 100)]
    [InlineData(EngineKind.LlamaServer, "", 100, 100)]
    [InlineData(EngineKind.LlamaServer, ",\"max_completion_tokens\":5", 5, 5)]
    [InlineData(EngineKind.LlamaServer, ",\"max_completion_tokens\":500,\"max_tokens\":null", 100, 100)]
    [InlineData(EngineKind.Unknown, ",\"max_tokens\":5", 5, 5)]
    [InlineData(EngineKind.Ollama, ",\"max_tokens\":500", 100, 100)]
    public void A_completion_is_bounded_by_the_name_that_the_engine_knows(EngineKind kind, string members, int? total, int? completion)
    {
        var sent = JsonNode.Parse(Write(Chat(members), kind: kind))!;
        ((int?)sent["max_tokens"], (int?)sent["max_completion_tokens"]).ShouldBe((total, completion));
        var plain = JsonNode.Parse(Write($$"""{"model":"test-model","prompt":"p"{{members}}}""", endpoint: InferenceEndpoint.Completions, kind: kind))!;
        ((int?)plain["max_tokens"]).ShouldBe(total ?? completion);
    }

    [Fact]
    public async Task A_prompt_that_does_not_fit_by_its_bytes_is_counted_by_the_engines_tokenizer()
    {
        foreach (var engine in (string[])["vllm", "llamacpp"])
        {
            await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Engine = engine });
            // Three words and a token at the least; of the rest of the request each byte counts.
            var body = UpstreamUnderTest.Chat(members: ",\"max_tokens\":2");
            var rest = body.Length - JsonNode.Parse(body)!["messages"]!.ToJsonString().Length;
            (await upstream.AskAsync(body, units: rest + 4)).Refusal.ShouldBeNull();
            var refused = await upstream.AskAsync(body, units: rest + 3);
            refused.Refusal!.Reason.ShouldBe(InferenceRefusal.ContextTooLarge);
            upstream.Engine.Counters.Requests.ShouldBe(1);
        }
    }

    [Fact]
    public async Task Without_a_tokenizer_the_bytes_are_the_bound()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { Tokenizer = false });
        var body = UpstreamUnderTest.Chat();
        (await upstream.AskAsync(body + new string(' ', 128), units: body.Length + 1)).Refusal.ShouldBeNull();
        (await upstream.AskAsync(body, units: body.Length)).Refusal!.Reason.ShouldBe(InferenceRefusal.ContextTooLarge);
        upstream.Engine.Counters.Requests.ShouldBe(1);
    }

    [Fact]
    public async Task The_models_own_context_is_left_to_the_engine_where_it_is_the_smaller()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(new EngineScript { MaxModelLen = 4096 });
        await upstream.AskAsync(UpstreamUnderTest.Chat());
        upstream.LastBody.TryGetProperty("max_tokens", out _).ShouldBeFalse();
        await upstream.AskAsync(UpstreamUnderTest.Chat(members: ",\"n\":2"));
        upstream.LastBody.GetProperty("max_tokens").GetInt64().ShouldBeInRange(3900, 4096);
    }

    [Theory]
    [InlineData("vllm", true, 64, 61)] // counted: three words
    [InlineData("vllm", true, 128, 125)]
    [InlineData("vllm", false, 64, 4047)] // nobody counts, and the bytes say nothing of the context: what the reservation leaves
    [InlineData("sglang", true, 64, 4047)] // has no tokenizer that is asked
    [InlineData("vllm", false, 128, 30)] // by the bytes, which fit
    public async Task Several_choices_have_what_the_context_leaves_as_far_as_that_is_known(string engine, bool tokenizer, long context, long most)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(
            new EngineScript { Engine = engine, DisableRadixCache = true, MaxModelLen = context, Tokenizer = tokenizer });
        var body = UpstreamUnderTest.Chat(members: ",\"n\":2");
        body.Length.ShouldBe(98);
        (await upstream.AskAsync(body)).Refusal.ShouldBeNull();
        upstream.LastBody.GetProperty("max_tokens").GetInt64().ShouldBe(most);
    }

    [Theory]
    [InlineData("""{"model":"test-model","prompt":"p"}""", 1, 16)]
    [InlineData("""{"model":"test-model","prompt":["a","b"],"max_tokens":100000}""", 2, 4096)]
    [InlineData("""{"model":"test-model","prompt":[1,2,3],"max_tokens":100000}""", 1, 8192)]
    [InlineData("""{"model":"test-model","prompt":[[1],[2]],"n":2,"best_of":4,"max_tokens":100000}""", 8, 1024)]
    public async Task Completions_count_each_prompt_and_each_choice(string body, int choices, int most)
    {
        _ = choices;
        await using var upstream = await UpstreamUnderTest.StartAsync();
        (await upstream.AskAsync(body, endpoint: InferenceEndpoint.Completions)).Refusal.ShouldBeNull();
        upstream.LastBody.GetProperty("max_tokens").GetInt64().ShouldBeInRange(most * 9 / 10, most);
    }

    [Theory]
    [InlineData("", 1024 * 1024)]
    [InlineData(",\"size\":\"auto\"", 1024 * 1024)]
    [InlineData(",\"size\":\"256x512\",\"n\":3", 256 * 512 * 3)]
    public async Task Images_are_counted_in_pixels(string members, long pixels)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        var body = $$"""{"model":"test-model","prompt":"p"{{members}}}""";
        var reply = await upstream.AskAsync(body, endpoint: InferenceEndpoint.ImageGenerations, units: pixels);
        reply.Usage.ShouldBe(new Usage(0, 0) { Pixels = pixels });
        upstream.LastBody.GetProperty("size").GetString().ShouldBe(members.Contains("256", StringComparison.Ordinal) ? "256x512" : "1024x1024");
        (await upstream.AskAsync(body, endpoint: InferenceEndpoint.ImageGenerations, units: pixels - 1)).Refusal!.Reason
            .ShouldBe(InferenceRefusal.ContextTooLarge);
    }

    [Theory]
    [InlineData("\"size\":\"0x5\"", "size")]
    [InlineData("\"size\":\"1024\"", "size")]
    [InlineData("\"size\":\"99999x99999\"", "size")]
    [InlineData("\"size\":\"-1x5\"", "size")]
    [InlineData("\"size\":7", "size")]
    [InlineData("\"width\":4096", "width")]
    [InlineData("\"n\":1000", "n")]
    public void Images_of_no_known_size_are_refused(string members, string field)
    {
        UpstreamRequest.Read(
            UpstreamUnderTest.Request($$"""{"model":"test-model","prompt":"p",{{members}}}""", endpoint: InferenceEndpoint.ImageGenerations),
            null, out var refused).ShouldBeNull();
        (refused?.Field).ShouldBe(field);
    }

    private static string Chat(string members = "", bool stream = false) => UpstreamUnderTest.Chat(stream, members);

    private static string Write(
        string body, bool stream = false, InferenceEndpoint endpoint = InferenceEndpoint.ChatCompletions, EngineKind kind = EngineKind.Unknown,
        long? maxTokens = 100)
    {
        var request = UpstreamRequest.Read(UpstreamUnderTest.Request(body, stream, endpoint), null, out var refused);
        request.ShouldNotBeNull(refused?.Field);
        return Encoding.UTF8.GetString(JsonMembers.Join(request.Write(new UpstreamState(IsUp: true, kind), "scripted", sharesCache: false, maxTokens)));
    }
}
