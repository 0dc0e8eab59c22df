using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;
using static ConfidentialChat.EndToEnd.Tests.Sidecar.SidecarUnderTest;

namespace ConfidentialChat.EndToEnd.Tests.Sidecar;

/// <summary>spec/sidecar.md sections 2 to 4 and 6, before a gateway and a node in processes of their own and an engine that does what a test says.</summary>
public sealed class SidecarAnswerTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private const string ChatPath = "/v1/chat/completions";

    private Task<SidecarUnderTest> StartAsync() => SidecarUnderTest.StartAsync(stack.Stack.Options());

    [Fact]
    public async Task A_whole_answer_is_the_engines_with_node_verdict_and_request_beside_it()
    {
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model));

        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        answer.Content.Headers.ContentType!.MediaType.ShouldBe("application/json");
        ((string?)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["choices"]![0]!["finish_reason"]).ShouldBe("stop");
        Header(answer, "confidential-node").ShouldBe("1");
        Header(answer, "confidential-tee").ShouldBe("simulated");
        Header(answer, "confidential-verdict").ShouldBe("accepted");
        DateTimeOffset.Parse(Header(answer, "confidential-verdict-until"), null).ShouldBeGreaterThan(DateTimeOffset.UtcNow);
        RequestId.TryParse(Header(answer, "x-request-id"), out var id).ShouldBeTrue();
        Header(answer, "request-id").ShouldBe(id.ToString());
    }

    [Fact]
    public async Task A_stream_comes_event_by_event_and_ends_in_DONE()
    {
        await using var sidecar = await StartAsync();
        stack.Next(
            EngineStep.Head(), Chunk("first", null), EngineStep.Wait("second"), Chunk("second", null), Chunk("", "stop"), EngineStep.Of("done"));
        using var answer = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model, stream: true));
        await using var body = await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken);
        using var reader = new StreamReader(body);

        answer.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        (await reader.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().Soon())!.ShouldContain("first"); // the second waits at its gate
        stack.Engine.Open("second");
        var rest = await reader.ReadToEndAsync(TestContext.Current.CancellationToken);

        rest.ShouldContain("second");
        rest.ShouldEndWith("data: [DONE]\n\n");
        rest.Split("[DONE]").Length.ShouldBe(2);
        rest.ShouldNotContain("\n:"); // the filler stays here
    }

    [Fact]
    public async Task Every_endpoint_that_is_carried_is_answered()
    {
        await using var sidecar = await StartAsync();
        foreach (var row in InferenceEndpoints.Table)
        {
            using var answer = await sidecar.PostAsync(
                row.Path,
                $$"""{"model":"{{ScriptedStack.Model}}","messages":[{"role":"user","content":"Hi"}],"prompt":"Hi","input":"Hi","max_tokens":16}""");
            var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);

            // an engine may refuse what it does not do, in its API's shape
            JsonNode.Parse(text).ShouldBeOfType<JsonObject>(row.Path).ContainsKey("error").ShouldBe(!answer.IsSuccessStatusCode, $"{row.Path}: {text}");
            answer.Headers.Contains("x-request-id").ShouldBeTrue();
        }
    }

    [Fact]
    public async Task Keys_and_headers_of_a_program_reach_nobody()
    {
        const string canary = "sk-quillfeather-key";
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.PostAsync(
            ChatPath + "?api-version=1", Chat(ScriptedStack.Model), ("Authorization", $"Bearer {canary}"), ("x-api-key", canary), ("Cookie", canary),
            ("User-Agent", canary));

        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        foreach (var bytes in stack.Stack.RecordedBytes)
            Encoding.Latin1.GetString(bytes).ShouldNotContain(canary);
        var seen = stack.Engine.Requests[^1];
        $"{seen.Authorization} {seen.Body}".ShouldNotContain(canary);
    }

    [Fact]
    public async Task Models_are_listed_and_found_by_name()
    {
        await using var sidecar = await StartAsync();
        var list = JsonNode.Parse(await sidecar.Http.GetStringAsync("/v1/models", TestContext.Current.CancellationToken))!;
        ((string?)list["data"]![0]!["id"]).ShouldBe(ScriptedStack.Model);
        var one = JsonNode.Parse(await sidecar.Http.GetStringAsync($"/v1/models/{ScriptedStack.Model}", TestContext.Current.CancellationToken))!;
        ((string?)one["object"]).ShouldBe("model");

        using var unknown = await sidecar.GetAsync("/v1/models/some%2Fother");
        var (status, code, message) = await ErrorAsync(unknown);
        (status, code).ShouldBe((404, "MODEL_NOT_FOUND"));
        message.ShouldContain(ScriptedStack.Model);
    }

    [Fact]
    public async Task The_verdict_is_shown_with_every_check()
    {
        await using var sidecar = await StartAsync();
        var shown = JsonNode.Parse(await sidecar.Http.GetStringAsync("/v1/attestation", TestContext.Current.CancellationToken))!; // nothing is kept yet

        ((string?)shown["model"]).ShouldBe(ScriptedStack.Model);
        var node = shown["nodes"]!.AsArray().Single()!;
        ((string?)node["tee"]).ShouldBe("simulated");
        ((bool)node["verdict"]!["accepted"]!).ShouldBeTrue();
        node["verdict"]!["factors"]!.AsArray().Select(factor => (string?)factor!["factor"]).ShouldContain("bundle.report_data");
        DateTimeOffset.Parse((string)node["sealed_to_until"]!, null).ShouldBeGreaterThan(DateTimeOffset.UtcNow);
    }

    [Fact]
    public async Task It_lives_and_is_ready_and_counts()
    {
        await using var sidecar = await StartAsync();
        (await sidecar.GetAsync("/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await sidecar.GetAsync("/health/ready")).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var _ = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model, ScriptedStack.PromptCanary));
        await sidecar.GetAsync("/v1/" + ScriptedStack.PromptCanary);
        var metrics = await sidecar.Http.GetStringAsync("/metrics", TestContext.Current.CancellationToken);

        metrics.ShouldContain("""confidentialchat_sidecar_requests_total{endpoint="/v1/chat/completions",status="2xx"} 1""");
        metrics.ShouldContain("""confidentialchat_sidecar_requests_total{endpoint="other",status="4xx"} 1""");
        metrics.ShouldContain("""confidentialchat_sidecar_first_byte_seconds_count{endpoint="/v1/chat/completions"} 1""");
        metrics.ShouldNotContain("verdict_end_timestamp_seconds 0\n");
        metrics.ShouldNotContain(ScriptedStack.PromptCanary);
    }

    [Fact]
    public async Task An_agent_that_looks_whether_anybody_is_there_finds_somebody()
    {
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.SendAsync(HttpMethod.Head, "/", null);
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    private static EngineStep Chunk(string text, string? finish) => EngineStep.Event(
        $$"""{"id":"c","object":"chat.completion.chunk","created":1,"model":"scripted","choices":[{"index":0,"delta":{"content":"{{text}}"},"finish_reason":{{(finish is null ? "null" : $"\"{finish}\"")}}}]}""");

    private static string Header(HttpResponseMessage answer, string name) => answer.Headers.GetValues(name).Single();
}
