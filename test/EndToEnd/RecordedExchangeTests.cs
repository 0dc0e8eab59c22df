using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Client;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>
/// The recorded exchanges of OpenAI's API, sealed to the node and back: what the engine gets, and what the caller gets, is what was recorded.
/// </summary>
public sealed class RecordedExchangeTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private static readonly (string Path, InferenceEndpoint Endpoint)[] Endpoints =
    [
        ("/v1/chat/completions", InferenceEndpoint.ChatCompletions), ("/v1/completions", InferenceEndpoint.Completions),
        ("/v1/embeddings", InferenceEndpoint.Embeddings),
        ("/v1/responses", InferenceEndpoint.Responses),
    ];

    [Fact]
    public async Task Recorded_exchanges_pass_both_ways_as_they_were()
    {
        using var client = stack.Client();
        var (whole, streams) = (0, 0);
        foreach (var file in Directory.GetFiles(Vectors.Locate("openai/recorded"), "*.json").Order(StringComparer.Ordinal))
        {
            var recorded = JsonNode.Parse(await File.ReadAllTextAsync(file))!;
            if (recorded["status"]!.GetValue<int>() != 200 || Find(recorded["uri"]!.GetValue<string>()) is not { } endpoint)
                continue;
            var request = recorded["request"]!.AsObject();
            request["model"] = ScriptedStack.Model;
            var name = Path.GetFileName(file);
            if (recorded["response"] is JsonValue text)
            {
                var events = text.GetValue<string>();
                stack.Next(new EngineStep { Do = "status", Headers = Typed("text/event-stream") }, new EngineStep { Do = "body", Text = events });
                await using var answer = await client.SendAsync(endpoint, Encoding.UTF8.GetBytes(request.ToJsonString()));
                var read = new List<(string?, string)>();
                await foreach (var one in answer.ReadEventsAsync())
                    read.Add((one.Name, Encoding.UTF8.GetString(one.Data.Span)));
                read.ShouldBe(EventsOf(events).Select(one => (one.Name, Named(one.Data, ModelOf(one.Data)))), name);
                streams++;
            }
            else
            {
                var body = recorded["response"]!.ToJsonString();
                var model = recorded["response"]!["model"]!.ToJsonString();
                stack.Next(EngineStep.Answer(200, body));
                await using var answer = await client.SendAsync(endpoint, Encoding.UTF8.GetBytes(request.ToJsonString()));
                Encoding.UTF8.GetString((await answer.ReadWholeAsync()).Span).TrimEnd(' ').ShouldBe(Named(body, model), name);
                whole++;
            }

            ShouldBeWhatWasAsked(JsonNode.Parse(stack.Engine.Requests[^1].Body)!.AsObject(), request, name);
        }

        whole.ShouldBeGreaterThanOrEqualTo(40); // the vectors may grow
        streams.ShouldBeGreaterThanOrEqualTo(3);
    }

    private static InferenceEndpoint? Find(string uri) =>
        Endpoints.Where(known => uri.EndsWith(known.Path, StringComparison.Ordinal)).Select(known => (InferenceEndpoint?)known.Endpoint).FirstOrDefault();

    // The node says its model's name in the place of the engine's: spec/inference.md.
    private static string Named(string json, string model) =>
        json.Replace($"\"model\":{model}", $"\"model\":\"{ScriptedStack.Model}\"", StringComparison.Ordinal);

    private static Dictionary<string, string> Typed(string type) => new(StringComparer.Ordinal) { ["Content-Type"] = type };

    private static IEnumerable<(string? Name, string Data)> EventsOf(string events) =>
        events.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(one => one.TrimEnd('\n').Split('\n'))
            .Select(lines => lines is [var name, var data] ? (name["event: ".Length..], data["data: ".Length..]) : ((string?)null, lines[0]["data: ".Length..]))
            .Where(one => one.Item2 != "[DONE]");

    // Of a response it stands in the response that an event carries.
    private static string ModelOf(string data) => (JsonNode.Parse(data)!["model"] ?? JsonNode.Parse(data)!["response"]?["model"])?.ToJsonString() ?? "none";

    // Nothing but what the node answers for may differ: spec/inference.md section 4.
    private static void ShouldBeWhatWasAsked(JsonObject sent, JsonObject asked, string name)
    {
        string[] nodes = ["stream_options", "cache_salt", "max_tokens", "max_completion_tokens", "max_output_tokens", "store", "stream"];
        foreach (var own in nodes)
        {
            sent.Remove(own);
            asked.Remove(own);
        }

        JsonNode.DeepEquals(sent, asked).ShouldBeTrue($"{name}: {sent.ToJsonString()}");
    }
}
