using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.Fixtures;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Llama;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Node.Tests.Llama;

/// <summary>The real engine with the fixture model: the library from the user's cache, or fetched into it.</summary>
public sealed class Engine : IAsyncLifetime
{
    private static readonly Lazy<Task<LlamaLibrary>> Located = new(() => LlamaLibrary.LocateAsync(new LlamaLibrarySource()));

    public const int Sequences = 8;

    /// <summary>The library, located once for all tests.</summary>
    public static Task<LlamaLibrary> Library => Located.Value;

    public TemporaryFolder Folder { get; } = new();

    public LlamaBackend Backend { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        var model = Folder.File("fixture.gguf");
        FixtureModel.Write(model);
        Backend = LlamaBackend.Load(await Library, new LlamaBackendOptions { ModelPath = model, Sequences = Sequences });
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        Folder.Dispose();
    }

    /// <summary>Another engine with the same model.</summary>
    public async Task<LlamaBackend> StartAnotherAsync(int sequences = 2, int waitingMax = 0, int? contextTokens = null) =>
        LlamaBackend.Load(await Library, new LlamaBackendOptions
        {
            ModelPath = Folder.File("fixture.gguf"),
            Sequences = sequences,
            WaitingMax = waitingMax,
            ContextTokens = contextTokens,
        });

    public Task<Reply> AskAsync(string body, bool stream = false, long maxUnits = 8192) => Backend.AskAsync(body, stream, maxUnits);
}

/// <summary>A folder that goes when the test does.</summary>
public sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("cchat-test-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>What came of a request, read as a client would.</summary>
public sealed record Reply(InferenceStart.Refused? Refusal, IReadOnlyList<string> Parts, Usage Usage)
{
    /// <summary>Of each part the event's name.</summary>
    public IReadOnlyList<string?> Names { get; init; } = [];

    private IEnumerable<JsonElement> Objects => Parts.Select(part => JsonDocument.Parse(part).RootElement);

    private IEnumerable<JsonElement> Choices => Objects.SelectMany(part => part.GetProperty("choices").EnumerateArray());

    /// <summary>The text, whole or put together from the chunks.</summary>
    public string Text => string.Concat(Choices.Select(choice =>
        (choice.TryGetProperty("delta", out var delta) ? delta : choice.GetProperty("message")).TryGetProperty("content", out var content)
            ? content.GetString()
            : ""));

    public string? FinishReason => Choices.Last().GetProperty("finish_reason").GetString();
}

internal static class Asking
{
    /// <summary>A request with one user message, and members beside it.</summary>
    public static string Body(string content = "Hello", object? members = null, bool greedy = true)
    {
        var body = members is null ? new JsonObject() : JsonSerializer.SerializeToNode(members)!.AsObject();
        body["model"] = FixtureModel.Name;
        body["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = content });
        if (greedy && !body.ContainsKey("temperature"))
            body["temperature"] = 0;
        return body.ToJsonString();
    }

    /// <summary>A request that is answered without end.</summary>
    public static string Endless(object? members = null)
    {
        var body = JsonNode.Parse(Body("Go on", members))!.AsObject();
        body["logit_bias"] = new JsonObject { [FixtureModel.EndOfTurnTokenId.ToString(System.Globalization.CultureInfo.InvariantCulture)] = -100 };
        return body.ToJsonString();
    }

    public static InferenceRequest Request(string body, bool stream = false, long maxUnits = 8192) => new()
    {
        Endpoint = InferenceEndpoint.ChatCompletions,
        Model = FixtureModel.Name,
        Stream = stream,
        Body = System.Text.Encoding.UTF8.GetBytes(body),
        MaxUnits = new ComputeUnits(maxUnits),
    };

    public static async Task<InferenceAnswer> BeginAsync(
        this LlamaBackend backend, string body, bool stream = true, long maxUnits = 8192, CancellationToken cancellation = default) =>
        (await backend.StartAsync(Request(body, stream, maxUnits), cancellation)).ShouldBeOfType<InferenceStart.Started>().Answer;

    public static async Task<Reply> AskAsync(this LlamaBackend backend, string body, bool stream = false, long maxUnits = 8192)
    {
        var start = await backend.StartAsync(Request(body, stream, maxUnits), CancellationToken.None);
        if (start is InferenceStart.Refused refused)
            return new Reply(refused, [], default);
        await using var answer = ((InferenceStart.Started)start).Answer;
        return await answer.ReadAsync();
    }

    public static async Task<Reply> ReadAsync(this InferenceAnswer answer)
    {
        var (parts, names) = (new List<string>(), new List<string?>());
        await foreach (var part in answer.ReadPartsAsync(CancellationToken.None))
        {
            parts.Add(System.Text.Encoding.UTF8.GetString(part.Data.Span));
            names.Add(part.EventName);
        }

        return new Reply(null, parts, answer.Usage) { Names = names };
    }
}
