using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;

namespace ConfidentialChat.Interop.Tests;

/// <summary>
/// The Vercel AI SDK (npm <c>ai</c>, over each of its packages) and LangChain (npm <c>@langchain/openai</c>), unmodified, against the sidecar that
/// <c>cchat up</c> runs. In the slow run: they are 100 MB.
/// </summary>
public sealed class FrameworkTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private const string City = "Łódź";

    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static TheoryData<string, string> Streams => new()
    {
        { "ai-stream", "chat" }, { "ai-stream", "responses" }, { "ai-stream", "messages" }, { "lc-stream", "chat" }, { "lc-stream", "responses" },
    };

    [Theory(Explicit = true)]
    [InlineData("ai-whole", "chat")]
    [InlineData("ai-whole", "responses")]
    [InlineData("ai-whole", "messages")]
    [InlineData("lc-whole", "chat")]
    [InlineData("lc-whole", "responses")]
    public async Task A_question_is_answered(string scenario, string api)
    {
        Then(ApiAnswers.Text(api, "It rains."));
        var answer = await RunAsync(scenario, api);
        answer.Text("text").ShouldBe("It rains.");
        answer.GetProperty("tokens").GetInt32().ShouldBe(2);
        if (scenario == "ai-whole")
            (answer.Text("finish"), answer.Text("node")).ShouldBe(("stop", "1"));
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Streams))]
    public async Task A_stream_is_read_piece_by_piece_to_its_end(string scenario, string api)
    {
        Then(ApiAnswers.TextInPieces(api, "It ", "rains."));
        var answer = await RunAsync(scenario, api);
        answer.Text("text").ShouldBe("It rains.");
        answer.GetProperty("parts").GetInt32().ShouldBeGreaterThan(1);
        answer.GetProperty("tokens").GetInt32().ShouldBe(2);
        if (scenario == "ai-stream")
            answer.Text("finish").ShouldBe("stop");
    }

    [Theory(Explicit = true)]
    [InlineData("ai-tools", "chat")]
    [InlineData("ai-tools", "responses")]
    [InlineData("ai-tools", "messages")]
    [InlineData("ai-tools-stream", "chat")]
    [InlineData("ai-tools-stream", "responses")]
    [InlineData("ai-tools-stream", "messages")]
    [InlineData("lc-tools", "chat")]
    [InlineData("lc-tools", "responses")]
    [InlineData("lc-tools", "chat", "stream")]
    [InlineData("lc-tools", "responses", "stream")]
    public async Task A_tool_is_called_and_its_result_is_read(string scenario, string api, string how = "")
    {
        var streams = scenario == "ai-tools-stream" || how == "stream";
        if (streams)
            Then(ApiAnswers.CallInPieces(api), ApiAnswers.TextInPieces(api, "In Łódź ", "it rains."));
        else
            Then(ApiAnswers.Call(api), ApiAnswers.Text(api, "In Łódź it rains."));
        var answer = await RunAsync(scenario, api, how);
        answer.GetProperty("calls").EnumerateArray().Select(city => city.GetString()).ShouldBe([City]);
        answer.Text("text").ShouldBe("In Łódź it rains.");
        var sent = Spoken(stack.Engine.Requests[^1].Body);
        sent.ShouldContain($"{City}: rain");
        if (scenario == "ai-tools-stream" && api == "messages")
        {
            answer.Text("thoughts").ShouldBe("They want the weather.");
            sent.ShouldContain("a-signature"); // thoughts go back as they were signed
        }
    }

    [Theory(Explicit = true)]
    [InlineData("ai-structured", "chat")]
    [InlineData("ai-structured", "responses")]
    [InlineData("lc-structured", "chat")]
    [InlineData("lc-structured", "responses")]
    public async Task An_answer_has_the_structure_that_was_asked_for(string scenario, string api)
    {
        Then(ApiAnswers.Text(api, """{"n":42}"""));
        (await RunAsync(scenario, api)).GetProperty("parsed").GetProperty("n").GetInt32().ShouldBe(42);
        stack.Engine.Requests[^1].Body.ShouldContain("json_schema");
    }

    [Fact(Explicit = true)]
    public async Task Anthropics_structure_is_a_tool_or_a_format_of_its_own()
    {
        // The package asks by the tool "json", or by output_config, as it knows of the model's name.
        Then(EngineStep.Answer(200, ApiAnswers.Message("""{"type":"tool_use","id":"toolu_1","name":"json","input":{"n":42}}""", "tool_use")));
        (await RunAsync("ai-structured", "messages")).GetProperty("parsed").GetProperty("n").GetInt32().ShouldBe(42);
    }

    [Theory(Explicit = true)]
    [InlineData("ai-embeddings", "chat")]
    [InlineData("ai-embeddings", "responses")]
    [InlineData("lc-embeddings", "chat")]
    public async Task Texts_become_vectors(string scenario, string api)
    {
        Then();
        var list = await RunAsync(scenario, api);
        list.GetProperty("sizes").EnumerateArray().Select(size => size.GetInt32()).ShouldBe([8, 8]);
        list.GetProperty("numbers").GetBoolean().ShouldBeTrue();
    }

    [Theory(Explicit = true)]
    [InlineData("ai-unknown-model", "chat", "AI_APICallError")]
    [InlineData("ai-unknown-model", "responses", "AI_APICallError")]
    [InlineData("ai-unknown-model", "messages", "AI_APICallError")]
    [InlineData("lc-unknown-model", "chat", "NotFoundError")]
    [InlineData("lc-unknown-model", "responses", "NotFoundError")]
    public async Task A_refusal_is_the_librarys_own_error_and_is_not_asked_again(string scenario, string api, string kind)
    {
        var before = await RefusedAsync();
        var failure = await RunAsync(scenario, api);
        (failure.GetProperty("status").GetInt32(), failure.GetProperty("isTyped").GetBoolean()).ShouldBe((404, true), failure.ToString());
        failure.Text("text").ShouldContain(ScriptedStack.Model); // which there is
        failure.Text("kind").ShouldBe(kind);
        (await RefusedAsync() - before).ShouldBe(1);
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Streams))]
    public async Task A_stream_that_is_cut_off_is_never_taken_for_a_whole_one(string scenario, string api)
    {
        Then([.. ApiAnswers.Unfinished(api, "It ", "rains."), new EngineStep { Do = "delay", Ms = 100 }, EngineStep.Of("cut")]);
        var answer = await RunAsync(scenario == "ai-stream" ? "ai-truncated" : "lc-truncated", api);
        if (scenario == "ai-stream")
        {
            answer.Text("errors").ShouldContain("before its end"); // in the sidecar's words
            answer.GetProperty("seen").EnumerateArray().Select(part => part.GetString()).ShouldNotContain("finish");
        }
        else
        {
            answer.TryGetProperty("failed", out _).ShouldBeTrue(answer.ToString());
        }
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Streams))]
    public async Task Who_aborts_stops_the_engine(string scenario, string api)
    {
        var before = stack.Engine.Counters.Cancelled;
        Then([.. ApiAnswers.Unfinished(api, "It ", "rains."), EngineStep.Wait("never")]);
        (await RunAsync(scenario == "ai-stream" ? "ai-abort" : "lc-abort", api)).GetProperty("aborted").GetBoolean().ShouldBeTrue();
        await Waiting.UntilAsync(() => stack.Engine.Counters.Cancelled > before);
    }

    [Theory(Explicit = true)]
    [InlineData("ai-turns", "chat")]
    [InlineData("ai-turns", "messages")]
    [InlineData("ai-turns-unstored", "responses")]
    [InlineData("lc-turns", "chat")]
    [InlineData("lc-turns", "responses")]
    public async Task What_was_said_before_goes_along(string scenario, string api)
    {
        Then(ApiAnswers.Text(api, "It rains."), ApiAnswers.Text(api, "It still does."));
        var answer = await RunAsync(scenario, api);
        answer.TryGetProperty("failed", out _).ShouldBeFalse(answer.ToString());
        answer.Text("text").ShouldBe("It still does.");
        Spoken(stack.Engine.Requests[^1].Body).ShouldContain("It rains.");
    }

    [Fact(Explicit = true)]
    public async Task Who_counts_on_stored_responses_is_told_that_none_are()
    {
        Then(ApiAnswers.Text("responses", "It rains."));
        var failure = await RunAsync("ai-turns", "responses"); // refers to its first answer where it does not say "store": false
        failure.GetProperty("status").GetInt32().ShouldBe(400);
        failure.Text("text").ShouldContain("input.item_reference");
    }

    // As text, whatever the escapes of its JSON.
    private static string Spoken(string json) => JsonNode.Parse(json)!.ToJsonString(Readable);

    private void Then(params EngineStep[][] answers) =>
        stack.Engine.Script = stack.Engine.Script with { Exchanges = [.. answers.Select(steps => new EngineExchange { Steps = steps })] };

    private async Task<int> RefusedAsync()
    {
        using var http = new HttpClient();
        var metrics = await http.GetStringAsync(new Uri(stack.Stack.Sidecar!, "/metrics"), TestContext.Current.CancellationToken);
        return metrics.Split('\n').Where(line => line.Contains("requests_total", StringComparison.Ordinal) && line.Contains("4xx", StringComparison.Ordinal))
            .Sum(line => int.Parse(line[(line.LastIndexOf(' ') + 1)..], System.Globalization.CultureInfo.InvariantCulture));
    }

    private Task<JsonElement> RunAsync(params string[] scenario) =>
        JavaScript.RunAsync("frameworks", stack.Stack.Sidecar!, ScriptedStack.Model, scenario);
}
