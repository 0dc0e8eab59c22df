using System.Runtime.InteropServices;
using System.Text.Json;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>spec/inference.md section 1: what the embedded engine does beside chat.</summary>
public sealed class EndpointTests(Engine engine) : IClassFixture<Engine>
{
    [Fact]
    public async Task A_prompt_is_continued_as_it_stands()
    {
        var whole = await AskAsync(InferenceEndpoint.Completions, """{"prompt":"Hello","temperature":0,"max_tokens":200}""");
        var json = JsonDocument.Parse(whole.Parts.Single()).RootElement;
        (json.GetProperty("object").GetString(), json.GetProperty("id").GetString()![..5], json.GetProperty("system_fingerprint").ValueKind)
            .ShouldBe(("text_completion", "cmpl-", JsonValueKind.String));
        var choice = json.GetProperty("choices")[0];
        (choice.GetProperty("text").GetString(), choice.GetProperty("finish_reason").GetString(), choice.GetProperty("logprobs").ValueKind)
            .ShouldBe((FixtureModel.Answer, "stop", JsonValueKind.Null));
        json.GetProperty("usage").GetProperty("total_tokens").GetInt64().ShouldBe(whole.Usage.TotalTokens);

        var streamed = await AskAsync(
            InferenceEndpoint.Completions, """{"prompt":"Hello","temperature":0,"max_tokens":200,"stream":true,"stream_options":{"include_usage":true}}""", stream: true);
        string.Concat(
            streamed.Parts.SelectMany(part => JsonDocument.Parse(part).RootElement.GetProperty("choices").EnumerateArray())
                .Select(part => part.GetProperty("text").GetString()))
            .ShouldBe(FixtureModel.Answer);
        streamed.Parts[^1].ShouldContain("\"choices\":[],\"usage\"");
        streamed.Usage.ShouldBe(whole.Usage);
    }

    [Fact]
    public async Task A_completion_has_sixteen_tokens_unless_more_are_asked_for_and_never_more_than_reserved()
    {
        (await AskAsync(InferenceEndpoint.Completions, """{"prompt":"Hello","temperature":0}""")).Usage.CompletionTokens.ShouldBe(16);
        (await AskAsync(InferenceEndpoint.Completions, """{"prompt":"Hello","temperature":0,"max_tokens":100}""", units: 10)).Usage.TotalTokens.ShouldBe(10);
        (await AskAsync(InferenceEndpoint.Completions, """{"prompt":"Hello Hello Hello Hello Hello Hello"}""", units: 3)).Refusal!.Reason
            .ShouldBe(InferenceRefusal.ContextTooLarge);
    }

    [Theory]
    [InlineData("{}", "prompt")]
    [InlineData("""{"prompt":["a"]}""", "prompt")]
    [InlineData("""{"prompt":[1]}""", "prompt")]
    [InlineData("""{"prompt":7}""", "prompt")]
    [InlineData("""{"prompt":""}""", "prompt")]
    [InlineData("""{"prompt":"a","echo":true}""", "echo")]
    [InlineData("""{"prompt":"a","suffix":"b"}""", "suffix")]
    [InlineData("""{"prompt":"a","logprobs":0}""", "logprobs")]
    [InlineData("""{"prompt":"a","n":2}""", "n")]
    [InlineData("""{"prompt":"a","best_of":2}""", "best_of")]
    [InlineData("""{"prompt":"a","max_tokens":0}""", "max_tokens")]
    public async Task What_a_completion_cannot_have_is_refused_by_name(string body, string field) =>
        (await AskAsync(InferenceEndpoint.Completions, body)).Refusal.ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField, field));

    [Fact]
    public async Task Embeddings_have_length_one_and_are_the_same_for_text_and_tokens_alone_and_together_in_both_encodings()
    {
        var text = string.Join(' ', Enumerable.Repeat("This is the fixture model", 200)); // more than one batch
        var reply = await AskAsync(InferenceEndpoint.Embeddings, JsonSerializer.Serialize(new { input = new[] { "This is", text, "This is" } }));
        var vectors = Vectors(reply);
        vectors.Count.ShouldBe(3);
        foreach (var vector in vectors)
            vector.Sum(value => (double)value * value).ShouldBe(1, 1e-4);
        vectors[2].ShouldBe(vectors[0]);
        vectors[1].ShouldNotBe(vectors[0]);
        reply.Usage.CompletionTokens.ShouldBe(0);
        reply.Usage.PromptTokens.ShouldBeGreaterThan(1000);

        Vectors(await AskAsync(InferenceEndpoint.Embeddings, """{"input":"This is"}""")).Single().ShouldBe(vectors[0]);
        var base64 = await AskAsync(InferenceEndpoint.Embeddings, """{"input":"This is","encoding_format":"base64"}""");
        var bytes = JsonDocument.Parse(base64.Parts.Single()).RootElement.GetProperty("data")[0].GetProperty("embedding").GetBytesFromBase64();
        MemoryMarshal.Cast<byte, float>(bytes).ToArray().ShouldBe(vectors[0]);
        Vectors(await AskAsync(InferenceEndpoint.Embeddings, """{"input":[5,6]}""")).Count.ShouldBe(1);
        Vectors(await AskAsync(InferenceEndpoint.Embeddings, """{"input":[[5,6],[7]]}""")).Count.ShouldBe(2);
    }

    [Fact]
    public async Task Embeddings_that_do_not_fit_the_reservation_are_refused_and_many_at_once_are_served_in_turn()
    {
        (await AskAsync(InferenceEndpoint.Embeddings, """{"input":[5,6,7]}""", units: 3)).Usage.TotalTokens.ShouldBe(3);
        (await AskAsync(InferenceEndpoint.Embeddings, """{"input":[5,6,7]}""", units: 2)).Refusal!.Reason.ShouldBe(InferenceRefusal.ContextTooLarge);
        (await AskAsync(InferenceEndpoint.Embeddings, """{"input":[[5,6],[7]]}""", units: 2)).Refusal!.Reason.ShouldBe(InferenceRefusal.ContextTooLarge);
        var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => AskAsync(InferenceEndpoint.Embeddings, """{"input":"This is"}""")));
        replies.ShouldAllBe(reply => reply.Parts.Count == 1 && reply.Parts[0] == replies[0].Parts[0]);
        (await engine.AskAsync(Asking.Body())).Text.ShouldBe(FixtureModel.Answer); // chat goes on beside it
    }

    [Theory]
    [InlineData("{}", "input")]
    [InlineData("""{"input":""}""", "input")]
    [InlineData("""{"input":[]}""", "input")]
    [InlineData("""{"input":[""]}""", "input")]
    [InlineData("""{"input":[[]]}""", "input")]
    [InlineData("""{"input":[1,"a"]}""", "input")]
    [InlineData("""{"input":["a",1]}""", "input")]
    [InlineData("""{"input":[-1]}""", "input")]
    [InlineData("""{"input":[99999999]}""", "input")]
    [InlineData("""{"input":{}}""", "input")]
    [InlineData("""{"input":"\ud800"}""", "input")]
    [InlineData("""{"input":"a","dimensions":8}""", "dimensions")]
    [InlineData("""{"input":"a","encoding_format":"int8"}""", "encoding_format")]
    public async Task What_embeddings_cannot_have_is_refused_by_name(string body, string field) =>
        (await AskAsync(InferenceEndpoint.Embeddings, body)).Refusal.ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField, field));

    [Fact]
    public async Task Images_are_not_this_models_to_make() =>
        (await AskAsync(InferenceEndpoint.ImageGenerations, """{"prompt":"a"}""")).Refusal
            .ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField, "model"));

    [Theory]
    [InlineData(InferenceEndpoint.Responses, """{"model":"x","input":"a"}""")]
    [InlineData(InferenceEndpoint.Messages, """{"model":"x","max_tokens":5,"messages":[]}""")]
    [InlineData(InferenceEndpoint.CountTokens, """{"model":"x","messages":[]}""")]
    public async Task Responses_and_messages_are_not_its_own_and_what_it_has_is_said(InferenceEndpoint endpoint, string body)
    {
        var refusal = (await AskAsync(endpoint, body)).Refusal!;
        refusal.Reason.ShouldBe(InferenceRefusal.NotServed);
        refusal.Served.ShouldBe([InferenceEndpoint.ChatCompletions, InferenceEndpoint.Completions, InferenceEndpoint.Embeddings]);
    }

    private async Task<Reply> AskAsync(InferenceEndpoint endpoint, string body, bool stream = false, long units = 8192)
    {
        var request = Asking.Request(body, stream) with { Endpoint = endpoint, MaxUnits = new ComputeUnits(units) };
        var start = await engine.Backend.StartAsync(request, CancellationToken.None);
        if (start is InferenceStart.Refused refused)
            return new Reply(refused, [], default);
        await using var answer = ((InferenceStart.Started)start).Answer;
        return await answer.ReadAsync();
    }

    private static List<float[]> Vectors(Reply reply) =>
        [.. JsonDocument.Parse(reply.Parts.Single()).RootElement.GetProperty("data").EnumerateArray()
            .Select(item => item.GetProperty("embedding").EnumerateArray().Select(value => value.GetSingle()).ToArray())];
}
