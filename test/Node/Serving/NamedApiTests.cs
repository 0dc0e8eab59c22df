using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Node.Tests.Upstream;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V2;
using ConfidentialChat.Scripting;

using static ConfidentialChat.Node.Tests.Serving.SealedCalling;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/inference.md section 8 and spec/envelope-v2.md section 6: responses and messages, sealed to a real node before a scripted engine.</summary>
public sealed class NamedApiTests : IDisposable
{
    private const string Responses = """{"model":"test-model","input":"one two three"}""";
    private const string Messages = """{"model":"test-model","max_tokens":50,"messages":[{"role":"user","content":"one two three"}]}""";

    private readonly SimulatedPlatform platform = new();

    public void Dispose() => platform.Dispose();

    [Theory]
    [InlineData("/v1/responses", Responses, "response.created", "response.completed")]
    [InlineData("/v1/messages", Messages, "message_start", "message_stop")]
    public async Task A_stream_is_named_events_to_its_last_without_a_DONE_and_is_counted(string path, string body, string first, string last)
    {
        await using var served = await ServeAsync();
        var (answer, token) = await AskAsync(served, path, Streamed(body));
        answer.ContentType.ShouldBe("text/event-stream");
        var events = Unpadded(answer.Text).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        events[0].ShouldStartWith($"event: {first}\ndata: {{\"type\":\"{first}\"");
        events[^1].ShouldStartWith($"event: {last}\ndata: {{\"type\":\"{last}\"");
        events.ShouldAllBe(one => one.StartsWith("event: ", StringComparison.Ordinal));
        answer.Text.ShouldNotContain("[DONE]");
        answer.Text.ShouldContain("\n:~"); // the filler is inside the event, behind its data
        (await served.Node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(new Usage(3, 8));
    }

    [Theory]
    [InlineData("/v1/responses", Responses, "output")]
    [InlineData("/v1/messages", Messages, "content")]
    [InlineData("/v1/messages/count_tokens", Messages, "input_tokens")]
    public async Task A_whole_answer_is_the_engines(string path, string body, string member)
    {
        await using var served = await ServeAsync();
        var (answer, token) = await AskAsync(served, path, body);
        (answer.Status, answer.ContentType).ShouldBe((200, "application/json"));
        JsonDocument.Parse(answer.Text).RootElement.TryGetProperty(member, out _).ShouldBeTrue();
        (await served.Node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(path.EndsWith("tokens", StringComparison.Ordinal) ? default : new Usage(3, 8));
    }

    [Theory]
    [InlineData("/v1/responses", Responses)]
    [InlineData("/v1/messages", Messages)]
    [InlineData("/v1/messages/count_tokens", Messages)]
    public async Task An_engine_that_lacks_it_is_404_inside_in_its_own_shape_and_says_what_there_is(string path, string body)
    {
        await using var served = await ServeAsync(new EngineScript { Paths = ["/v1/chat/completions", "/v1/embeddings"] });
        var (answer, token) = await AskAsync(served, path, body);
        answer.Status.ShouldBe(404);
        ShouldBeError(answer, path, "not_found_error", "invalid_request_error", "ENDPOINT_NOT_SERVED", null).ShouldBe(
            "The model's engine does not serve this endpoint. It has /v1/chat/completions, /v1/embeddings.");
        (await served.Node.Gateway.ReportAsync(token.Request)).Usage.ShouldBe(default);
    }

    [Theory]
    [InlineData("/v1/responses", """{"model":"test-model","input":"one","previous_response_id":"resp_1"}""", "INVALID_FIELD", "previous_response_id")]
    [InlineData("/v1/responses", """{"model":"test-model","input":"one","stream":"yes"}""", "INVALID_FIELD", "stream")]
    [InlineData("/v1/responses", """{"model":"another","input":"one"}""", "MODEL_MISMATCH", null)]
    [InlineData("/v1/responses", """{"input":"one"}""", "INVALID_FIELD", "model")]
    [InlineData("/v1/messages", """{"model":"test-model","messages":[]}""", "INVALID_FIELD", "max_tokens")]
    [InlineData("/v1/messages", """{"model":"test-model","max_tokens":5,"messages":[],"stream":1}""", "INVALID_FIELD", "stream")]
    [InlineData("/v1/messages", """{"model":"test-model","max_tokens":5,"messages":[],"mcp_servers":[{}]}""", "INVALID_FIELD", "mcp_servers")]
    [InlineData("/v1/messages", """{"model":"another","max_tokens":5,"messages":[]}""", "MODEL_MISMATCH", null)]
    [InlineData("/v1/messages", "[]", "INVALID_JSON", null)]
    [InlineData("/v1/messages/count_tokens", """{"model":"test-model","messages":[],"stream":true}""", "INVALID_FIELD", "stream")]
    public async Task A_refusal_has_the_shape_of_its_API_and_names_what_is_at_fault(string path, string body, string code, string? param)
    {
        await using var served = await ServeAsync();
        var (answer, _) = await AskAsync(served, path, body);
        answer.Status.ShouldBe(400);
        ShouldBeError(answer, path, "invalid_request_error", "invalid_request_error", code, param);
        served.Engine.Counters.Requests.ShouldBe(0);
    }

    [Fact]
    public async Task No_path_below_them_is_served_and_none_by_another_method()
    {
        await using var served = await ServeAsync();
        foreach (var path in (string[])["/v1/responses/resp_1", "/v1/responses/", "/v1/messages/batches", "/v1/messages?beta=true", "/v1/files"])
            (await AskAsync(served, path, Responses)).Answer.Status.ShouldBe(404, path);
        var (answer, _) = await AskAsync(served, "/v1/messages", Messages, inner => inner with { Method = "DELETE" });
        answer.Status.ShouldBe(405);
        ShouldBeError(answer, "/v1/messages", "invalid_request_error", "", "METHOD_NOT_ALLOWED", null);
    }

    [Theory]
    [InlineData("content-type", "multipart/form-data; boundary=x", "content_type")]
    [InlineData("anthropic-version", "a\u00e9", "anthropic_version")]
    [InlineData("anthropic-beta", "", "anthropic_beta")]
    [InlineData("anthropic-dangerous-direct-browser-access", "true", "header")]
    [InlineData("x-api-key", "sk-1", "header")]
    [InlineData("confidential-paced", "?0", "paced")]
    public async Task A_field_that_has_no_place_in_it_is_refused(string name, string value, string param)
    {
        await using var served = await ServeAsync();
        var token = Token(served.Node);
        using var call = SealRaw(await served.VerifiedAsync(), Inner(token, body: Messages) with { Path = "/v1/messages" }, name, value);
        var answer = await OpenAsync(call, await PostAsync(served.Node, call, token));
        answer.Status.ShouldBe(400);
        Rejection.TryParse(Encoding.UTF8.GetBytes(answer.Text), out var rejection).ShouldBeTrue();
        (rejection!.Error, rejection.Field).ShouldBe((RequestError.InvalidField, param));
    }

    [Fact]
    public async Task The_two_headers_of_messages_reach_the_engine_there_and_nowhere_else()
    {
        await using var served = await ServeAsync();
        foreach (var path in (string[])["/v1/messages", "/v1/messages/count_tokens", "/v1/responses"])
        {
            var (body, passes) = path == "/v1/responses" ? (Responses, false) : (Messages, true);
            (await AskAsync(served, path, body, inner => inner with { AnthropicVersion = "2023-06-01", AnthropicBeta = "x-1" })).Answer.Status.ShouldBe(200);
            var headers = served.Engine.Requests[^1].Headers;
            (headers.ContainsKey("anthropic-version"), headers.ContainsKey("anthropic-beta")).ShouldBe((passes, passes), path);
        }
    }

    [Theory]
    [InlineData("/v1/responses", Responses, "response.output_text.delta", "\"delta\":\"a\"")]
    [InlineData("/v1/messages", Messages, "content_block_delta", "\"index\":0")]
    public async Task An_engine_that_breaks_off_in_a_named_event_leaves_a_stream_without_its_end(string path, string body, string name, string members)
    {
        await using var served = await ServeAsync(EngineScript.Once(
            EngineStep.Head(), EngineStep.Named(name, members), EngineStep.Wait(), new EngineStep { Do = "body", Text = $"event: {name}\ndata: {{\"type\":" }));
        var token = Token(served.Node);
        using var call = Seal(await served.VerifiedAsync(), Inner(token, body: Streamed(body)) with { Path = path });
        using var response = await PostAsync(served.Node, call, token);
        using var reader = call.Open(PipeReader.Create(await response.Content.ReadAsStreamAsync()));
        (await reader.ReadHeadAsync(default)).Status.ShouldBe(200);
        Encoding.UTF8.GetString((await reader.ReadContentAsync(default)).Span).ShouldStartWith($"event: {name}\n");
        served.Engine.Open();
        (await Should.ThrowAsync<IOException>(async () => await reader.ReadContentAsync(default).AsTask().Soon())).ShouldNotBeNull();
        (await served.Node.Gateway.ReportAsync(token.Request)).Usage.CompletionTokens.ShouldBe(1);
        served.Node.Log.Text.ShouldContain($"{token.Request}: CUT_OFF");
    }

    [Fact]
    public async Task Nothing_of_either_is_mapped_in_envelope_v1()
    {
        await using var served = await ServeAsync();
        foreach (var path in (string[])["/v1/confidential/responses", "/v1/confidential/messages", "/v1/confidential/messages/count_tokens"])
            ((int)(await served.Node.Client.PostAsync(new Uri(served.Node.Url, path), null)).StatusCode).ShouldBe(404, path);
        var plain = await served.Node.Client.PostAsync(new Uri(served.Node.Url, "/v1/messages"), null);
        (await plain.Content.ReadAsStringAsync()).ShouldStartWith("""{"type":"error","error":{"message":"This is a node""");
    }

    private static string Streamed(string body) => body.Replace("{\"model\"", "{\"stream\":true,\"model\"", StringComparison.Ordinal);

    private static string Unpadded(string text) =>
        string.Concat(text.Split('\n').Where(line => line is not [':', '~', ..]).Select(line => line + "\n"))[..^1];

    // The message.
    private static string ShouldBeError(Opened answer, string path, string anthropicType, string openAIType, string code, string? param)
    {
        var root = JsonDocument.Parse(answer.Text).RootElement;
        var isMessages = path.StartsWith("/v1/messages", StringComparison.Ordinal);
        root.TryGetProperty("type", out var outer).ShouldBe(isMessages);
        if (isMessages)
            outer.GetString().ShouldBe("error");
        var error = root.GetProperty("error");
        error.GetProperty("type").GetString().ShouldBe(isMessages ? anthropicType : openAIType);
        error.GetProperty("code").GetString().ShouldBe(code);
        error.GetProperty("param").GetString().ShouldBe(param);
        return error.GetProperty("message").GetString()!;
    }

    private static async Task<(Opened Answer, RelayToken Token)> AskAsync(Served served, string path, string body, Func<InnerCall, InnerCall>? change = null)
    {
        var token = Token(served.Node);
        var inner = Inner(token, body: body) with { Path = path };
        using var call = Seal(await served.VerifiedAsync(), change?.Invoke(inner) ?? inner);
        return (await OpenAsync(call, await PostAsync(served.Node, call, token)), token);
    }

    private async Task<Served> ServeAsync(EngineScript? script = null)
    {
        var upstream = await UpstreamUnderTest.StartAsync(script);
        return new Served(upstream, await NodeUnderTest.StartAsync(upstream.Backend, evidence: platform));
    }

    private sealed record Served(UpstreamUnderTest Upstream, NodeUnderTest Node) : IAsyncDisposable
    {
        public ScriptedEngine Engine => Upstream.Engine;

        public async Task<VerifiedBundle> VerifiedAsync() => new BundleVerifier().Verify(
            await Node.Client.GetByteArrayAsync(new Uri(Node.Url, $"/v2/evidence/{Node.Ring.Current.Digest}")),
            Policy.Default with { AllowSimulated = true, Upstreams = [Engine.Url.ToString()] }, DateTimeOffset.UtcNow, null).Verified.ShouldNotBeNull();

        public async ValueTask DisposeAsync()
        {
            await Node.DisposeAsync();
            await Upstream.DisposeAsync();
        }
    }
}
