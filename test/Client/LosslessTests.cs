using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Client.Chat;
using ConfidentialChat.Client.Completions;
using ConfidentialChat.Client.Embeddings;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Client.Tests;

/// <summary>
/// Every recorded and every specified exchange of the OpenAI API goes through the real client to a node that really opens and seals:
/// what the node reads, and what the caller gets, is what was recorded, member for member and in order.
/// </summary>
public sealed class LosslessTests
{
    private int requests;
    private int answers;
    private int chunks;
    private int refusals;

    [Fact]
    public async Task Every_recorded_and_specified_exchange_passes_both_ways_without_loss()
    {
        foreach (var file in Vectors.Files("openai/recorded", "*.json").Concat(Vectors.Files("openai/spec", "*.json")))
        {
            var exchange = JsonNode.Parse(File.ReadAllText(file))!;
            if (exchange["request"] is JsonObject)
                await PassAsync(exchange, Path.GetFileName(file));
        }

        // So many are there; a vector that was passed over would be missing here.
        (requests, answers, chunks, refusals).ShouldBe((63, 52, 761, 4));
    }

    [Fact]
    public async Task The_constructed_stream_passes_chunk_for_chunk_with_its_usage()
    {
        var exchange = new JsonObject
        {
            ["uri"] = "/v1/chat/completions",
            ["request"] = JsonNode.Parse("""{"stream":true,"messages":[],"model":"m","stream_options":{"include_usage":true}}"""),
            ["response"] = Vectors.Text("openai/constructed/stream-with-usage.sse"),
        };
        await PassAsync(exchange, "stream-with-usage.sse");
        chunks.ShouldBe(6);
    }

    [Fact]
    public async Task A_list_of_completions_passes_sealed_though_no_type_knows_it()
    {
        var list = JsonNode.Parse(Vectors.Text("openai/spec/chat-completions.get.default.json"))!["response"]!.ToJsonString();
        await using var gateway = await TestGateway.ThatAnswersAsync(list);
        using var client = gateway.Client();
        (await RawAsync(gateway, client, """{"model":"m"}""", stream: false)).Single().ShouldBeSameJson(list, "list");
    }

    private async Task PassAsync(JsonNode exchange, string from)
    {
        var sent = exchange["request"]!.AsObject();
        var stream = (bool?)sent["stream"] ?? false;
        var status = (int?)exchange["status"] ?? 200;
        var answered = Answer(exchange["response"]);
        await using var gateway = await TestGateway.StartAsync(call =>
            status != 200 ? call.Context.JsonAsync(answered.Single(), status)
            : stream ? call.StreamAsync(answered) : call.WholeAsync(answered.FirstOrDefault() ?? "{}"));
        using var client = gateway.Client();

        IReadOnlyList<string> got = [];
        if (status != 200)
        {
            var refusal = await Should.ThrowAsync<ApiException>(() => ReadAsync());
            (refusal.Status, refusal.Body).ShouldBe((status, answered.Single()), from);
            refusals++;
        }
        else if (answered.Count == 0)
        {
            await Should.ThrowAsync<ConfidentialChatException>(() => ReadAsync()); // an example whose answer is no JSON: the request counts
        }
        else
        {
            await ReadAsync();
            got.Count.ShouldBe(answered.Count, from);
            foreach (var (written, expected) in got.Zip(answered))
                written.ShouldBeSameJson(expected, from);
            if (stream)
                chunks += got.Count;
            else
                answers++;
        }

        // The method says whether it streams; in a request that says nothing, that comes last. Elsewhere nothing is added.
        var wanted = sent.DeepClone().AsObject();
        if (!wanted.ContainsKey("stream") && TypeOf(exchange) is "/chat/completions" or "/completions")
            wanted["stream"] = false;
        gateway.Calls.ShouldHaveSingleItem().Json.ToJsonString().ShouldBeSameJson(wanted.ToJsonString(), from);
        requests++;

        async Task ReadAsync() => got = await SendAsync(gateway, client, TypeOf(exchange), sent.ToJsonString(), stream);
    }

    private static async Task<IReadOnlyList<string>> SendAsync(
        TestGateway gateway, ConfidentialChatClient client, string type, string json, bool stream)
    {
        var utf8 = Encoding.UTF8.GetBytes(json);
        switch (type, stream)
        {
            case ("/chat/completions", false):
                return [Text(await client.ConfidentialChat.CreateAsync(ChatCompletionRequest.Parse(utf8)))];
            case ("/chat/completions", true):
                return await client.ConfidentialChat.CreateStreamAsync(ChatCompletionRequest.Parse(utf8)).Select(Text).ToListAsync();
            case ("/completions", false):
                return [Text(await client.ConfidentialCompletions.CreateAsync(CompletionRequest.Parse(utf8)))];
            case ("/completions", true):
                return await client.ConfidentialCompletions.CreateStreamAsync(CompletionRequest.Parse(utf8)).Select(Text).ToListAsync();
            case ("/embeddings", _):
                return [Text(await client.ConfidentialEmbeddings.CreateAsync(EmbeddingRequest.Parse(utf8)))];
            default:
                return await RawAsync(gateway, client, json, stream); // /responses: no endpoint of ours, and so no type
        }
    }

    // Sealed and opened here, and only carried by the client.
    private static async Task<IReadOnlyList<string>> RawAsync(TestGateway gateway, ConfidentialChatClient client, string json, bool stream)
    {
        using var request = gateway.Seal(json, stream, (string)JsonNode.Parse(json)!["model"]!);
        var fields = SealedFields.From(request.Envelope);
        var (opened, order) = (new List<string>(), new EventOrder());
        if (stream)
        {
            await foreach (var answer in client.ConfidentialCompletions.CreateStreamAsync(fields))
                Open(answer);
        }
        else
        {
            Open(await client.ConfidentialCompletions.CreateAsync(fields));
        }

        return opened;

        void Open(SealedAnswer answer)
        {
            request.Answer.TryOpen(answer, out var plaintext).ShouldBeTrue();
            var start = 0;
            if (stream)
                order.Take(plaintext, out start).ShouldBe(EventTurn.Next);
            opened.Add(Encoding.UTF8.GetString(plaintext.AsSpan(start)));
        }
    }

    private static string TypeOf(JsonNode exchange) => ((string?)exchange["uri"] ?? (string)exchange["path"]!).Split("/v1")[^1];

    // A whole answer is one object. A stream is server-sent events, or, in the specification, one object a line. Some of its examples
    // are no JSON ("..."): they have no answer.
    private static List<string> Answer(JsonNode? response)
    {
        if (response is JsonObject whole)
            return [whole.ToJsonString()];
        return
        [
            .. ((string?)response ?? "").Split('\n')
                .Select(line => line.StartsWith("data: ", StringComparison.Ordinal) ? line[6..] : line)
                .Where(line => line.StartsWith('{') && line.Length > 1),
        ];
    }

    private static string Text(OpenAIObject answer) => Encoding.UTF8.GetString(answer.ToJson());
}
