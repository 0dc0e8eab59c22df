using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Fixtures;

[assembly: AssemblyFixture(typeof(RunningStack))]

namespace ConfidentialChat.Interop.Tests;

/// <summary>npm <c>atoma-sdk</c> 0.1.1, unmodified, against gateway, node and engine in processes of their own.</summary>
public sealed class AtomaSdkTests(RunningStack stack)
{
    [Fact]
    public async Task The_atoma_sdk_asks_and_reads_a_whole_answer()
    {
        var answer = await RunAsync("whole");

        answer.GetProperty("text").GetString().ShouldBe(FixtureModel.Answer);
        answer.GetProperty("finish").GetString().ShouldBe("stop");
        answer.GetProperty("usage").GetProperty("completionTokens").GetInt32().ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task The_atoma_sdk_reads_the_same_text_as_a_stream()
    {
        var answer = await RunAsync("stream");

        answer.GetProperty("text").GetString().ShouldBe(FixtureModel.Answer);
        answer.GetProperty("finish").GetString().ShouldBe("stop");
        answer.GetProperty("chunks").GetInt32().ShouldBeGreaterThan(10);
    }

    [Fact]
    public async Task The_atoma_sdk_reads_twenty_streams_at_once()
    {
        var answer = await RunAsync("parallel");

        var texts = answer.GetProperty("streams").EnumerateArray().Select(stream => stream.GetProperty("text").GetString()).ToList();
        texts.Count.ShouldBe(20);
        texts.ShouldAllBe(text => text == FixtureModel.Answer);
    }

    // The SDK wraps a failed lock in an error of its own whose status is 200; the true one stands in its text.
    [Theory]
    [InlineData("wrong-key", "401", "AUTH_ERROR")]
    [InlineData("wrong-key-stream", "401", "AUTH_ERROR")]
    [InlineData("unknown-model", "404", "MODEL_NOT_FOUND")]
    public async Task The_atoma_sdk_shows_a_refused_lock(string scenario, string status, string code)
    {
        var failure = await RunAsync(scenario);

        failure.GetProperty("failed").GetBoolean().ShouldBeTrue();
        failure.GetProperty("text").GetString()!.ShouldContain($"Status {status}");
        failure.GetProperty("text").GetString()!.ShouldContain(code);
    }

    [Fact]
    public async Task The_atoma_sdk_computes_embeddings_on_the_embedded_engine()
    {
        var answer = await RunAsync("embeddings");

        answer.GetProperty("sizes").EnumerateArray().Select(size => size.GetInt32()).Distinct().Single().ShouldBeGreaterThan(8);
    }

    private Task<JsonElement> RunAsync(string scenario) => AtomaSdk.RunAsync(scenario, stack);
}
