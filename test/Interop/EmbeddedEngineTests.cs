using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

namespace ConfidentialChat.Interop.Tests;

/// <summary>The clients of JavaScript against <c>cchat up</c> with its own engine: chat and embeddings.</summary>
public sealed class EmbeddedEngineTests(RunningStack stack) : IClassFixture<RunningStack>
{
    [Fact]
    public async Task OpenAIs_client_asks_whole_and_streamed_and_has_vectors()
    {
        (await RunAsync("sidecar", "whole")).Text("text").ShouldBe(FixtureModel.Answer);
        var stream = await RunAsync("sidecar", "stream");
        (stream.Text("text"), stream.Text("finish")).ShouldBe((FixtureModel.Answer, "stop"));
        ShouldBeVectors(await RunAsync("sidecar", "embeddings"));
    }

    [Theory(Explicit = true)]
    [InlineData("ai")]
    [InlineData("lc")]
    public async Task So_do_the_Vercel_AI_SDK_and_LangChain(string library)
    {
        (await RunAsync("frameworks", $"{library}-whole", "chat")).Text("text").ShouldBe(FixtureModel.Answer);
        var stream = await RunAsync("frameworks", $"{library}-stream", "chat");
        stream.Text("text").ShouldBe(FixtureModel.Answer);
        stream.GetProperty("parts").GetInt32().ShouldBeGreaterThan(2);
        ShouldBeVectors(await RunAsync("frameworks", $"{library}-embeddings", "chat"));
    }

    [Theory(Explicit = true)]
    [InlineData("responses")]
    [InlineData("messages")]
    public async Task An_API_that_the_engine_lacks_is_a_refusal_that_says_what_it_has(string api)
    {
        var failure = await RunAsync("frameworks", "ai-whole", api);
        failure.GetProperty("status").GetInt32().ShouldBe(404, failure.ToString());
        failure.Text("text").ShouldContain("/v1/chat/completions");
    }

    private static void ShouldBeVectors(JsonElement list)
    {
        list.GetProperty("sizes").EnumerateArray().Select(size => size.GetInt32()).Distinct().Single().ShouldBeGreaterThan(1);
        list.GetProperty("numbers").GetBoolean().ShouldBeTrue();
    }

    private Task<JsonElement> RunAsync(string folder, params string[] scenario) => JavaScript.RunAsync(folder, stack.Sidecar!, stack.Model, scenario);
}
