using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Client.Completions;
using ConfidentialChat.Client.Embeddings;
using ConfidentialChat.Client.Images;

namespace ConfidentialChat.Client.Tests;

/// <summary>Completions, embeddings and pictures, as a user asks for them.</summary>
public sealed class EndpointTests
{
    private const string Chunk = """{"id":"cmpl-1","object":"text_completion","created":1,"model":"tiny","choices":[{"text":"TEXT","index":0,"logprobs":null,"finish_reason":END}]}""";

    [Fact]
    public async Task A_user_has_a_text_completed()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Piece(Chats.Secret, "stop"));
        using var client = gateway.Client();
        var answer = await client.ConfidentialCompletions.CreateAsync(
            new CompletionRequest { Model = "tiny", Prompt = "Say this", MaxTokens = 7, Stop = "\n" });
        answer.Choices.Single().Text.ShouldBe(Chats.Secret);
        Encoding.UTF8.GetString(answer.ToJson()).ShouldBe(Piece(Chats.Secret, "stop"));
        gateway.Calls.Single().Json.ToJsonString().ShouldBe("""{"model":"tiny","prompt":"Say this","max_tokens":7,"stop":"\n","stream":false}""");
        gateway.Paths.ShouldBe(["/v1/nodes/lock", "/v1/confidential/completions"]);
    }

    [Fact]
    public async Task A_user_reads_a_completion_as_it_comes()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(Piece("Hel"), Piece("lo"), Piece("", "length"), Chats.UsageChunk));
        using var client = gateway.Client();
        var pieces = await client.ConfidentialCompletions.CreateStreamAsync(new CompletionRequest { Model = "tiny", Prompt = new[] { "a", "b" } })
            .ToListAsync();
        string.Concat(pieces.SelectMany(piece => piece.Choices).Select(choice => choice.Text)).ShouldBe("Hello");
        pieces[^1].Usage!.TotalTokens.ShouldBe(3);
        gateway.Calls.Single().Json.ToJsonString().ShouldBe("""{"model":"tiny","prompt":["a","b"],"stream":true}""");
    }

    [Fact]
    public async Task A_completion_that_ends_without_a_finish_reason_is_truncated()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(Piece("a")));
        using var client = gateway.Client();
        await Should.ThrowAsync<StreamTruncatedException>(async () =>
            await client.ConfidentialCompletions.CreateStreamAsync(new CompletionRequest { Model = "tiny", Prompt = "x" }).ToListAsync());
    }

    [Fact]
    public async Task Breaking_out_of_a_completion_stops_the_node()
    {
        var gone = new TaskCompletionSource();
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Piece("a"));
            await call.HangAsync();
            gone.SetResult();
        });
        using var client = gateway.Client();
        await foreach (var _ in client.ConfidentialCompletions.CreateStreamAsync(new CompletionRequest { Model = "tiny", Prompt = "x" }))
            break;
        await gone.Task.WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Theory]
    [InlineData("""[0.5,-1.25,3e-5]""")]
    [InlineData("\"AAAAPwAAoL+CqPs3\"")]
    public async Task A_user_gets_the_vectors_of_texts_from_either_encoding(string vector)
    {
        var list = $$$"""{"object":"list","data":[{"object":"embedding","index":0,"embedding":{{{vector}}}}],"model":"tiny","usage":{"prompt_tokens":2,"total_tokens":2}}""";
        await using var gateway = await TestGateway.ThatAnswersAsync(list);
        using var client = gateway.Client();
        var answer = await client.ConfidentialEmbeddings.CreateAsync(new EmbeddingRequest { Model = "tiny", Input = Chats.Prompt });
        answer.Data.Single().Vector.ToFloats().ShouldBe([0.5f, -1.25f, 3e-5f]);
        Encoding.UTF8.GetString(answer.ToJson()).ShouldBe(list);
        gateway.Calls.Single().Json.ToJsonString().ShouldBe($$"""{"model":"tiny","input":"{{Chats.Prompt}}"}""");
        gateway.Locks.Single().ToJsonString().ShouldBe("""{"model":"tiny","node_small_id":3}""");
        gateway.Calls.Single().Envelope.Stream.ShouldBe(false);
        gateway.Paths.ShouldBe(["/v1/nodes/lock", "/v1/confidential/embeddings"]);
    }

    [Fact]
    public async Task Texts_to_embed_can_be_tokens()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync("""{"data":[]}""");
        using var client = gateway.Client();
        int[] tokens = [1, 2];
        await client.ConfidentialEmbeddings.CreateAsync(new EmbeddingRequest { Model = "tiny", Input = TextInput.FromTokens(tokens) });
        await client.ConfidentialEmbeddings.CreateAsync(new EmbeddingRequest { Model = "tiny", Input = TextInput.FromTokens([tokens, [3]]) });
        gateway.Calls.Select(call => call.Json["input"]!.ToJsonString()).ShouldBe(["[1,2]", "[[1,2],[3]]"]);
    }

    [Theory]
    [InlineData("""["x"]""")]
    [InlineData("[[1]]")]
    [InlineData("\"AAAA\"")]
    [InlineData("\"no base64\"")]
    public async Task A_vector_that_is_none_is_told_when_it_is_read(string vector)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync($$$"""{"data":[{"embedding":{{{vector}}}}]}""");
        using var client = gateway.Client();
        var answer = await client.ConfidentialEmbeddings.CreateAsync(new EmbeddingRequest { Model = "tiny", Input = "x" });
        Should.Throw<InvalidAnswerException>(() => answer.Data.Single().Vector.ToFloats());
    }

    [Theory]
    [InlineData("""{"data":[{"embedding":7}]}""")]
    [InlineData("""{"data":[{"index":0}]}""")]
    [InlineData("""{"data":null}""")]
    [InlineData("""{"choices":[]}""")]
    public async Task An_answer_without_vectors_is_refused(string answer)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(answer);
        using var client = gateway.Client();
        await Should.ThrowAsync<InvalidAnswerException>(() => client.ConfidentialEmbeddings.CreateAsync(new EmbeddingRequest { Model = "tiny", Input = "x" }));
    }

    [Fact]
    public async Task A_user_has_a_picture_made()
    {
        const string list = """{"created":1,"data":[{"b64_json":"AAAA","revised_prompt":"better"},{"url":"https://x.example/1.png"}],"usage":{"total_tokens":9}}""";
        await using var gateway = await TestGateway.ThatAnswersAsync(list);
        using var client = gateway.Client();
        var answer = await client.ConfidentialImages.GenerateAsync(new ImageRequest { Model = "tiny", Prompt = Chats.Prompt, ResponseFormat = "b64_json" });
        (answer.Data[0].B64Json, answer.Data[0].RevisedPrompt, answer.Data[1].Url).ShouldBe(("AAAA", "better", "https://x.example/1.png"));
        Encoding.UTF8.GetString(answer.ToJson()).ShouldBe(list);
        gateway.Calls.Single().Json.ToJsonString().ShouldBe($$"""{"model":"tiny","prompt":"{{Chats.Prompt}}","response_format":"b64_json"}""");
        gateway.Paths.ShouldBe(["/v1/nodes/lock", "/v1/confidential/images/generations"]);
    }

    [Theory]
    [InlineData(null, null, 1L << 20)]
    [InlineData("auto", 1, 1L << 20)]
    [InlineData("256x256", 1, 1L << 20)]
    [InlineData("1792x1024", 1, 1792L * 1024)]
    [InlineData("1024x1024", 3, 3L << 20)]
    [InlineData("1792x1024x9", 0, 1L << 20)]
    [InlineData("2147483647x2147483647", int.MaxValue, 1L << 40)]
    public async Task A_picture_reserves_its_pixels_in_lock_and_envelope(string? size, int? n, long units)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync("""{"data":[]}""");
        using var client = gateway.Client();
        await client.ConfidentialImages.GenerateAsync(new ImageRequest { Model = "tiny", Prompt = "x", Size = size, N = n });
        ((long)gateway.Locks.Single()["max_num_tokens"]!).ShouldBe(units);
        gateway.Calls.Single().Envelope.Units!.Value.Value.ShouldBe(units);
    }

    [Theory]
    [InlineData(8192L, 1, 1, null)]
    [InlineData(5000L, 2, 1, 10_000L)]
    [InlineData(5000L, 2, 5, 25_000L)]
    [InlineData(null, 9, 9, null)]
    public async Task A_completion_reserves_what_it_may_compute(long? maxTokens, int? n, int? bestOf, long? units)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Piece("", "stop"));
        using var client = gateway.Client();
        await client.ConfidentialCompletions.CreateAsync(new CompletionRequest { Model = "tiny", Prompt = "x", MaxTokens = maxTokens, N = n, BestOf = bestOf });
        ((long?)gateway.Locks.Single()["max_num_tokens"]).ShouldBe(units);
        gateway.Calls.Single().Envelope.Units?.Value.ShouldBe(units!.Value);
    }

    [Fact]
    public void Requests_of_other_clients_are_read_and_what_is_none_is_refused_without_a_word_of_it()
    {
        CompletionRequest.Parse("""{"model":"m","prompt":[1,2],"stream":true,"future":1}"""u8).Extra!.Keys.ShouldBe(["future"]);
        EmbeddingRequest.Parse("""{"model":"m","input":"x","encoding_format":null}"""u8).EncodingFormat.ShouldBeNull();
        ImageRequest.Parse("""{"model":"m","prompt":"x","size":"auto"}"""u8).Size.ShouldBe("auto");
        Should.Throw<JsonException>(() => CompletionRequest.Parse("""{"model":"m","prompt":7}"""u8)).Message.ShouldBe("The JSON is no completion request.");
        Should.Throw<JsonException>(() => EmbeddingRequest.Parse("""{"model":"m"}"""u8)).Message.ShouldBe("The JSON is no embeddings request.");
        Should.Throw<JsonException>(() => ImageRequest.Parse("[]"u8)).Message.ShouldBe("The JSON is no image generation request.");
    }

    [Fact]
    public void No_text_of_a_request_shows_what_is_in_it()
    {
        TextInput input = Chats.Prompt;
        foreach (var shown in new object[]
        {
            input, new EmbeddingRequest { Model = "m", Input = input }, new ImageRequest { Model = "m", Prompt = Chats.Prompt },
        })
            shown.ToString()!.ShouldNotContain(Chats.Prompt);
    }

    private static string Piece(string text, string? finish = null) =>
        Chunk.Replace("TEXT", text, StringComparison.Ordinal).Replace("END", finish is null ? "null" : $"\"{finish}\"", StringComparison.Ordinal);
}
