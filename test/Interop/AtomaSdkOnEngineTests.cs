using System.Text.Json;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Interop.Tests;

/// <summary>npm <c>atoma-sdk</c> 0.1.1, unmodified, with a node before an HTTP engine: retries, load, large prompts, leaving early.</summary>
public sealed class AtomaSdkOnEngineTests(ScriptedStack scripted) : IClassFixture<ScriptedStack>
{
    [Fact]
    public async Task It_computes_embeddings()
    {
        Serve();
        var answer = await RunAsync("embeddings");
        answer.GetProperty("sizes").EnumerateArray().Select(size => size.GetInt32()).Distinct().Single().ShouldBeGreaterThan(1);
        answer.GetProperty("sizes").GetArrayLength().ShouldBe(2);
        answer.GetProperty("usage").GetProperty("promptTokens").GetInt32().ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task It_has_images_made()
    {
        Serve();
        scripted.Next(EngineStep.Answer(200, """{"created":1767225600,"data":[{"url":"https://images.example/1.png"}]}""")); // this SDK asks for a URL
        (await RunAsync("images")).GetProperty("images").GetInt32().ShouldBe(1);
    }

    [Theory]
    [InlineData("retry", 429)]
    [InlineData("retry", 500)]
    [InlineData("retry-stream", 429)]
    [InlineData("retry-stream", 500)]
    public async Task Its_byte_identical_retry_is_served(string scenario, int status)
    {
        Serve();
        scripted.Next(EngineStep.Answer(status, "{}"));
        var before = scripted.Engine.Counters.Requests;
        var answer = await RunAsync(scenario);
        answer.GetProperty("text").GetString()!.ShouldNotBeEmpty();
        (scripted.Engine.Counters.Requests - before).ShouldBe(2);
        if (status == 429)
            answer.GetProperty("milliseconds").GetDouble().ShouldBeGreaterThan(1000); // Retry-After: 1
        await Ledger.SettledAsync(scripted.Stack);
        Ledger.Lost(scripted.Stack).ShouldBe(0);
    }

    [Fact]
    public async Task Fifty_streams_at_once_are_each_whole()
    {
        Serve(events: 30, delayMs: 10);
        var texts = (await RunAsync("fifty")).GetProperty("streams").EnumerateArray().Select(stream => stream.GetProperty("text").GetString()!).ToList();
        texts.Count.ShouldBe(50);
        texts.ShouldAllBe(text => text == texts[0] && text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length == 30);
    }

    [Fact]
    public async Task It_passes_over_the_comments_before_a_first_event_that_takes_long()
    {
        Serve();
        scripted.Next(EngineStep.Wait("late"), EngineStep.Of("serve"));
        var answer = RunAsync("stream");
        await scripted.Engine.ReachedAsync("late").WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        await Task.Delay(TimeSpan.FromSeconds(17), TestContext.Current.CancellationToken); // the 200 and a comment come after 15 s
        answer.IsCompleted.ShouldBeFalse();
        scripted.Engine.Open("late");
        (await answer).GetProperty("text").GetString()!.ShouldNotBeEmpty();
        (await answer).GetProperty("finish").GetString().ShouldBe("stop");
    }

    [Fact]
    public async Task Who_aborts_stops_the_engine()
    {
        Serve(events: 1000, delayMs: 50);
        var before = scripted.Engine.Counters.Cancelled;
        var answer = await RunAsync("abort");
        answer.GetProperty("chunks").GetInt32().ShouldBeLessThan(100);
        for (var tries = 0; scripted.Engine.Counters.Cancelled == before && tries < 1200; tries++)
            await Task.Delay(25, TestContext.Current.CancellationToken);
        scripted.Engine.Counters.Cancelled.ShouldBe(before + 1);
    }

    [Fact]
    public async Task A_prompt_of_two_hundred_kibibytes_is_answered()
    {
        Serve();
        (await RunAsync("large")).GetProperty("usage").GetProperty("promptTokens").GetInt32().ShouldBeGreaterThanOrEqualTo(40 * 1024);
    }

    private void Serve(int events = 8, int delayMs = 0) =>
        scripted.Engine.Script = scripted.Engine.Script with { Exchanges = [], Events = events, DelayMs = delayMs };

    private Task<JsonElement> RunAsync(string scenario) => AtomaSdk.RunAsync(scenario, scripted.Stack);
}
