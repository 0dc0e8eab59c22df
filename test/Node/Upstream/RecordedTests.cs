using System.Text.Json.Nodes;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md section 6: what OpenAI's own service once answered, from an engine that answers the same.</summary>
public sealed class RecordedTests
{
    private const string Stream = "openai/recorded/ChatTests.TokenLogProbabilitiesStreaming_False.json";
    private const string Constructed = "openai/constructed/stream-with-usage.sse";

    [Fact]
    public async Task Every_recorded_answer_passes_member_for_member_but_for_the_models_name()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync();
        var passed = 0;
        foreach (var file in Vectors.Files("openai/recorded", "*.json"))
        {
            var recorded = JsonNode.Parse(File.ReadAllText(file))!;
            if (recorded["request"] is not JsonObject request || recorded["response"] is not JsonObject expected || (int?)recorded["status"] != 200)
                continue;
            var endpoint = request["messages"] is not null ? InferenceEndpoint.ChatCompletions
                : Path.GetFileName(file).StartsWith("Embeddings", StringComparison.Ordinal) ? InferenceEndpoint.Embeddings
                : Path.GetFileName(file).StartsWith("Responses", StringComparison.Ordinal) ? InferenceEndpoint.Responses
                : (InferenceEndpoint?)null;
            if (endpoint is not { } asked)
                continue; // of another API
            upstream.Engine.Script = EngineScript.Once(new EngineStep { Do = "recorded", File = file });
            request["model"] = "test-model";
            var reply = await upstream.AskAsync(request.ToJsonString(), endpoint: asked, units: 1_000_000);
            expected["model"]!.GetValue<string>().ShouldNotBe("test-model");
            expected["model"] = "test-model";
            JsonNode.DeepEquals(JsonNode.Parse(reply.Parts.Single()), expected).ShouldBeTrue(Path.GetFileName(file));
            reply.Usage.ShouldBe(Counted(expected["usage"]!), Path.GetFileName(file));
            passed++;
        }

        passed.ShouldBeGreaterThanOrEqualTo(39);
    }

    [Theory]
    [InlineData(Stream, true)]
    [InlineData(Stream, false)]
    [InlineData(Constructed, true)]
    [InlineData(Constructed, false)]
    public async Task A_recorded_stream_passes_member_for_member_but_for_the_models_name_and_a_usage_that_nobody_asked_for(string file, bool wantsUsage)
    {
        var isRecorded = file.EndsWith(".json", StringComparison.Ordinal);
        var events = isRecorded ? JsonNode.Parse(Vectors.Text(file))!["response"]!.GetValue<string>() : Vectors.Text(file);
        var expected = events.Split('\n')
            .Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonNode.Parse(line["data: ".Length..])!.AsObject()).ToList();
        var used = Counted(expected[^1]["usage"]!);
        foreach (var chunk in expected)
        {
            chunk["model"] = "test-model";
            if (!wantsUsage)
                chunk.Remove("usage");
        }

        if (!wantsUsage)
            expected.RemoveAt(expected.Count - 1); // there for the usage alone

        await using var upstream = await UpstreamUnderTest.StartAsync(
            isRecorded
                ? EngineScript.Once(new EngineStep { Do = "recorded", File = Vectors.Locate(file) })
                : EngineScript.Once(EngineStep.Head(), new EngineStep { Do = "body", Text = events }));
        var options = wantsUsage ? ",\"stream_options\":{\"include_usage\":true}" : "";
        var reply = await upstream.AskAsync(UpstreamUnderTest.Chat(stream: true, options), stream: true);
        reply.Parts.Count.ShouldBe(expected.Count);
        foreach (var (part, chunk) in reply.Parts.Zip(expected))
            JsonNode.DeepEquals(JsonNode.Parse(part), chunk).ShouldBeTrue(part);
        reply.Usage.ShouldBe(used);
    }

    private static Usage Counted(JsonNode usage) => usage["input_tokens"] is { } input
        ? new Usage((long)input, (long)usage["output_tokens"]!)
        : new Usage((long)usage["prompt_tokens"]!, (long?)usage["completion_tokens"] ?? 0);
}
