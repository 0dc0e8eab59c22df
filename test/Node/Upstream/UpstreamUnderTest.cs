using System.Text;
using System.Text.Json;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Node.Tests.Llama;
using ConfidentialChat.Node.Tests.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>The node's client of HTTP engines, and a scripted engine at the other end of a real socket.</summary>
internal sealed class UpstreamUnderTest : IAsyncDisposable
{
    private UpstreamUnderTest(ScriptedEngine engine, UpstreamBackend backend)
    {
        Engine = engine;
        Backend = backend;
    }

    public ScriptedEngine Engine { get; }

    public UpstreamBackend Backend { get; }

    /// <summary>The last body that the engine got.</summary>
    public JsonElement LastBody => JsonDocument.Parse(Engine.Requests[^1].Body).RootElement;

    public static async Task<UpstreamUnderTest> StartAsync(EngineScript? script = null, Func<UpstreamOptions, UpstreamOptions>? change = null)
    {
        var engine = await ScriptedEngine.StartAsync(script);
        try
        {
            return new UpstreamUnderTest(engine, await OpenAsync(change, engine.Url));
        }
        catch
        {
            await engine.DisposeAsync();
            throw;
        }
    }

    public static Task<UpstreamBackend> OpenAsync(Func<UpstreamOptions, UpstreamOptions>? change, params Uri[] urls)
    {
        var options = new UpstreamOptions
        {
            Model = ScriptedBackend.Model,
            EngineModel = "scripted",
            Urls = urls,
            HealthInterval = TimeSpan.FromMilliseconds(50),
        };
        return UpstreamBackend.OpenAsync(change?.Invoke(options) ?? options, TestContext.Current.CancellationToken);
    }

    public static string Chat(bool stream = false, string members = "") =>
        $$"""{"model":"test-model","stream":{{(stream ? "true" : "false")}},"messages":[{"role":"user","content":"one two three"}]{{members}}}""";

    public static InferenceRequest Request(
        string body, bool stream = false, InferenceEndpoint endpoint = InferenceEndpoint.ChatCompletions, long units = 8192) =>
        new()
        {
            Endpoint = endpoint,
            Model = ScriptedBackend.Model,
            Stream = stream,
            Body = Encoding.UTF8.GetBytes(body),
            MaxUnits = new ComputeUnits(units),
        };

    public Task<Reply> AskAsync(string body, bool stream = false, InferenceEndpoint endpoint = InferenceEndpoint.ChatCompletions, long units = 8192) =>
        AskAsync(Backend, body, stream, endpoint, units);

    public static async Task<Reply> AskAsync(
        UpstreamBackend backend, string body, bool stream = false, InferenceEndpoint endpoint = InferenceEndpoint.ChatCompletions, long units = 8192)
    {
        var start = await backend.StartAsync(Request(body, stream, endpoint, units), TestContext.Current.CancellationToken).Soon();
        if (start is InferenceStart.Refused refused)
            return new Reply(refused, [], default);
        await using var answer = ((InferenceStart.Started)start).Answer;
        return await answer.ReadAsync().Soon();
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        await Engine.DisposeAsync();
    }
}
