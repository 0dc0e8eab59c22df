using System.Net;
using System.Net.Sockets;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Node.Tests.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Scripting;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Upstream;

/// <summary>spec/inference.md section 7: an engine that refuses, fails, lies or falls silent, at every point where it can.</summary>
public sealed class FaultTests
{
    private const string Secret = "the engine's own words";
    private const string Chunk = """{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}""";
    private const string Finish = """{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""";

    public static TheoryData<int, string, string> Refusals => new()
    {
        { 400, """{"error":{"message":"the engine's own words","param":"temperature"}}""", "InvalidField temperature" },
        { 422, """{"error":{"message":"the engine's own words","param":"temperature"}}""", "InvalidField temperature" },
        { 400, """{"object":"error","message":"the engine's own words","param":"temperature","code":400}""", "InvalidField temperature" },
        { 400, """{"error":{"message":"the engine's own words","param":"messages[0].content"}}""", "InvalidField messages" },
        { 400, """{"error":{"message":"the engine's own words","param":"messages.0.content"}}""", "InvalidField messages" },
        { 400, """{"error":{"message":"the engine's own words","param":"max_tokens"}}""", "Failed" }, // the node wrote it, not the caller
        { 400, """{"error":{"message":"the engine's own words","param":"cache_salt"}}""", "Failed" },
        { 400, """{"error":{"message":"the engine's own words","param":"max_tokens","code":400}}""", "Failed" },
        { 400, """{"error":{"message":"the engine's own words","param":"the engine's own words"}}""", "InvalidField body" },
        { 400, """{"error":{"message":"the engine's own words","param":null}}""", "InvalidField body" },
        { 400, """{"error":{"message":"bad","type":"BadRequestError","param":"top_p","code":400}}""", "InvalidField body" }, // the caller wrote none
        { 422, """{"detail":[{"loc":["body","messages"],"msg":"the engine's own words"}]}""", "InvalidField body" },
        { 400, """{"error":{"message":"This model's maximum context length is 5 tokens.","code":"context_length_exceeded"}}""", "ContextTooLarge" },
        { 400, """{"error":{"message":"This model's maximum context length is 5 tokens.","param":"temperature"}}""", "ContextTooLarge" },
        { 400, """{"error":{"code":400,"message":"x","type":"exceed_context_size_error","n_prompt_tokens":9}}""", "ContextTooLarge" },
        { 413, """{"message":"`inputs` must have less than 512 tokens","type":"Validation"}""", "ContextTooLarge" },
        { 400, "the engine's own words", "InvalidField body" },
        { 400, "", "InvalidField body" },
        { 401, """{"error":{"message":"the engine's own words"}}""", "Failed" },
        { 403, "", "Failed" },
        { 404, """{"error":{"message":"The model `x` does not exist."}}""", "Failed" },
        { 404, """{"error":{"message":"no such name","code":"model_not_found"}}""", "Failed" },
        { 404, """{"error":"model 'x' not found"}""", "Failed" },
        { 404, """{"detail":"Not Found"}""", "InvalidField model" },
        { 404, "the engine's own words", "InvalidField model" },
        { 404, "", "InvalidField model" },
        { 405, "", "InvalidField model" },
        { 501, """{"error":{"message":"the engine's own words"}}""", "InvalidField model" },
        { 408, "", "TimedOut" },
        { 504, "", "TimedOut" },
        { 429, """{"error":{"message":"the engine's own words"}}""", "Busy" },
        { 503, "", "Busy" },
        { 500, """{"error":{"message":"the engine's own words"}}""", "Failed" },
        { 502, "<html>the engine's own words</html>", "Failed" },
        { 418, "", "Failed" },
        { 301, "", "Failed" },
        { 307, "", "Failed" },
        { 200, """{"error":{"message":"the engine's own words","code":500}}""", "Failed" },
        { 200, """{"error":{"message":"the engine's own words","param":"temperature"}}""", "InvalidField temperature" },
        { 200, """{"error":{"message":"the engine's own words","code":400}}""", "InvalidField body" },
        { 200, """{"error":{"message":"the engine's own words","type":"BadRequestError","param":null}}""", "InvalidField body" },
        { 200, """{"error":{"message":"the engine's own words","code":400,"param":"cache_salt"}}""", "Failed" },
        { 200, "the engine's own words", "Failed" },
        { 200, "", "Failed" },
        { 200, "[]", "Failed" },
        { 200, "{} {}", "Failed" },
        { 200, "{\"choices\":[\"\\", "Failed" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public async Task Each_answer_of_an_engine_has_one_meaning_and_none_of_its_words(int status, string body, string meaning)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(
            EngineScript.Once(EngineStep.Answer(status, body, headers: ("Location", "/v1/elsewhere"))));
        (await MeaningAsync(upstream, stream: false)).ShouldBe(meaning);
        upstream.Engine.Counters.Requests.ShouldBe(1); // never followed, never repeated
        (await upstream.AskAsync(UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop"); // its place was given back
    }

    [Theory]
    [InlineData(413, true, "ContextTooLarge")]
    [InlineData(413, false, "ContextTooLarge")]
    [InlineData(422, true, "InvalidField body")]
    [InlineData(429, true, "Busy")]
    [InlineData(408, true, "TimedOut")]
    public async Task An_answer_that_comes_before_the_engine_has_read_eight_megabytes_is_read(int status, bool closes, string meaning)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        using var over = new CancellationTokenSource();
        listener.Start();
        var engine = new Uri($"http://{listener.LocalEndpoint}");
        var serving = ServeAsync();
        await using (var backend = await UpstreamUnderTest.OpenAsync(
            options => options with { Kind = EngineKind.Vllm, HealthInterval = TimeSpan.FromHours(1) }, engine))
        {
            var large = UpstreamUnderTest.Chat(stream: true, $",\"stop\":\"{new string('x', 8 << 20)}\"");
            if (meaning == "TimedOut")
            {
                // It got half of it, and computed nothing that could be charged.
                var failed = await Should.ThrowAsync<InferenceException>(() => UpstreamUnderTest.AskAsync(backend, large, stream: true, units: 1L << 30));
                (failed.Failure, failed.Usage).ShouldBe((InferenceFailure.TimedOut, default));
                await over.CancelAsync();
                await serving;
                return;
            }

            var reply = await UpstreamUnderTest.AskAsync(backend, large, stream: true, units: 1L << 30);
            $"{reply.Refusal!.Reason} {reply.Refusal.Field}".Trim().ShouldBe(meaning);
        }

        await over.CancelAsync();
        await serving;

        async Task ServeAsync()
        {
            try
            {
                while (true)
                {
                    using var connection = await listener.AcceptTcpClientAsync(over.Token);
                    var head = new byte[16 * 1024];
                    var read = await connection.GetStream().ReadAsync(head, over.Token);
                    var isQuestion = System.Text.Encoding.ASCII.GetString(head, 0, read).StartsWith("POST", StringComparison.Ordinal);
                    await connection.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes(
                        isQuestion
                            ? $"HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
                            : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"));
                    if (isQuestion && !closes)
                        await connection.GetStream().CopyToAsync(Stream.Null, over.Token); // lingers, as it should
                }
            }
            catch (Exception e) when (e is OperationCanceledException or IOException) // the test is over, or the node has hung up
            {
            }
        }
    }

    [Theory]
    [InlineData(InferenceEndpoint.ChatCompletions, "\"stream\":true,\"messages\":[]")]
    [InlineData(InferenceEndpoint.Completions, "\"prompt\":\"a\"")]
    [InlineData(InferenceEndpoint.Embeddings, "\"input\":\"a\"")]
    [InlineData(InferenceEndpoint.ImageGenerations, "\"prompt\":\"a\"")]
    public async Task A_path_that_the_engine_has_not_is_the_models_fault(InferenceEndpoint endpoint, string members)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Always(EngineStep.Answer(404, """{"detail":"Not Found"}""")));
        var refused = await upstream.AskAsync(
            $$"""{"model":"test-model",{{members}}}""", members.Contains("stream", StringComparison.Ordinal), endpoint, units: 1024 * 1024);
        refused.Refusal.ShouldBe(new InferenceStart.Refused(InferenceRefusal.InvalidField, "model"));
    }

    [Theory]
    [InlineData("text/html", false)]
    [InlineData("text/event-stream", false)]
    [InlineData("application/json", true)]
    [InlineData("", true)]
    public async Task Another_content_type_is_a_failure(string type, bool stream)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Always(EngineStep.Answer(200, "{}", type)));
        (await MeaningAsync(upstream, stream)).ShouldBe("Failed");
    }

    public static TheoryData<string, EngineStep[], bool> Streams
    {
        get
        {
            var data = new TheoryData<string, EngineStep[], bool>();
            EngineStep[][] ends =
            [
                [EngineStep.Event("""{"error":{"message":"the engine's own words","code":500}}""")],
                [new() { Do = "body", Text = "event: error\ndata: {\"message\":\"the engine's own words\"}\n\n" }],
                [EngineStep.Event("the engine's own words")],
                [EngineStep.Event("[]")],
                [EngineStep.Event("{\"choices\":[")],
                [EngineStep.Of("cut")],
                [EngineStep.Of("reset")],
                [], // a clean end without a finish reason
                [new() { Do = "huge", Bytes = 200_000 }],
                [new() { Do = "body", Text = "data: " + new string('x', 200_000) }],
                [new() { Do = "body", Text = string.Concat(Enumerable.Repeat(": ping\n", 40_000)) }],
            ];
            var i = 0;
            foreach (var end in ends)
            {
                data.Add($"first {i}", [EngineStep.Head(), .. end], false);
                data.Add($"middle {i++}", [EngineStep.Head(), EngineStep.Event(Chunk), EngineStep.Wait(), .. end], true);
            }

            data.Add("empty with a sentinel", [EngineStep.Head(), EngineStep.Of("done")], false);
            data.Add("reset at once", [EngineStep.Of("reset")], false);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Streams))]
    public async Task A_stream_that_goes_wrong_is_a_failure_and_never_a_clean_end(string what, EngineStep[] steps, bool isBegun)
    {
        _ = what;
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(steps), options => options with { MaxEventBytes = 100_000 });
        var request = UpstreamUnderTest.Request(UpstreamUnderTest.Chat(stream: true), stream: true);
        if (!isBegun)
        {
            (await MeaningAsync(upstream, stream: true)).ShouldBe("Failed");
        }
        else
        {
            var start = await upstream.Backend.StartAsync(request, CancellationToken.None).Soon();
            await using var answer = start.ShouldBeOfType<InferenceStart.Started>().Answer;
            await using var parts = answer.ReadPartsAsync(CancellationToken.None).GetAsyncEnumerator();
            (await parts.MoveNextAsync().AsTask().Soon()).ShouldBeTrue();
            upstream.Engine.Open(); // only now: a reset throws away what was not read yet
            var failure = await Should.ThrowAsync<InferenceException>(async () => await parts.MoveNextAsync().AsTask().Soon());
            failure.Failure.ShouldBe(InferenceFailure.Failed);
            failure.ToString().ShouldNotContain(Secret);
            answer.Usage.CompletionTokens.ShouldBe(1);
        }

        (await upstream.AskAsync(UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
    }

    [Theory]
    [InlineData("0", false)]
    [InlineData("1", false)]
    [InlineData("0 0", false)]
    [InlineData("0 1", true)]
    [InlineData("1 0", true)]
    [InlineData("0 done", false)] // which engines write after a fault too
    [InlineData("0 1 done", true)]
    public async Task A_stream_of_several_choices_ends_when_each_that_began_has_its_finish_reason(string ends, bool isWhole)
    {
        EngineStep[] steps =
        [
            EngineStep.Head(), EngineStep.Event(Choice(0, "null")), EngineStep.Event(Choice(1, "null")),
            .. ends.Split(' ').Select(
                end =>
                    end == "done"
                        ? EngineStep.Of("done")
                        : EngineStep.Event(Choice(int.Parse(end, System.Globalization.CultureInfo.InvariantCulture), "\"stop\""))),
        ];
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(steps));
        (await MeaningAsync(upstream, stream: true)).ShouldBe(isWhole ? "served" : "Failed");

        static string Choice(int index, string reason) => $$$"""{"choices":[{"delta":{"content":"a"},"finish_reason":{{{reason}}},"index":{{{index}}}}]}""";
    }

    [Fact]
    public async Task Several_choices_in_one_chunk_are_told_apart()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Always(
            EngineStep.Head(), EngineStep.Event("""{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"},{"index":1,"delta":{"content":"a"}}]}""")));
        (await MeaningAsync(upstream, stream: true)).ShouldBe("Failed");
    }

    [Fact]
    public async Task A_reader_who_takes_long_is_not_taken_for_an_engine_that_does()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var token = TimeSpan.FromSeconds(60);
        await using var upstream = await UpstreamUnderTest.StartAsync(
            EngineScript.Once(EngineStep.Head(), EngineStep.Event(Chunk), EngineStep.Wait("second"), EngineStep.Event(Chunk), EngineStep.Wait("third")),
            options => options with { Time = time, TokenTimeout = token, HealthInterval = TimeSpan.FromDays(1) });
        var start = await upstream.Backend.StartAsync(UpstreamUnderTest.Request(UpstreamUnderTest.Chat(stream: true), stream: true), CancellationToken.None)
            .Soon();
        await using var answer = start.ShouldBeOfType<InferenceStart.Started>().Answer;
        await using var parts = answer.ReadPartsAsync(CancellationToken.None).GetAsyncEnumerator();
        (await parts.MoveNextAsync().AsTask().Soon()).ShouldBeTrue();
        time.Advance(2 * token);
        upstream.Engine.Open("second");
        (await parts.MoveNextAsync().AsTask().Soon()).ShouldBeTrue();
        time.Advance(2 * token);

        var third = parts.MoveNextAsync().AsTask(); // from here on it is the engine's time
        time.Advance(token - TimeSpan.FromMilliseconds(1));
        await upstream.Engine.ReachedAsync("third").Soon();
        third.IsCompleted.ShouldBeFalse();
        time.Advance(TimeSpan.FromMilliseconds(1));
        (await Should.ThrowAsync<InferenceException>(() => third.Soon())).Failure.ShouldBe(InferenceFailure.TimedOut);
    }

    [Fact]
    public async Task A_stream_that_begins_with_the_callers_mistake_is_a_refusal()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(
            EngineStep.Head(), EngineStep.Event("""{"error":{"message":"maximum context length"}}"""), EngineStep.Of("done")));
        (await MeaningAsync(upstream, stream: true)).ShouldBe("ContextTooLarge");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_answer_that_is_too_large_is_cut_off(bool stream)
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(
            stream
                ? EngineScript.Always(EngineStep.Head(), new EngineStep { Do = "stream", Events = 0, Bytes = 1000 })
                : new EngineScript { Events = 10_000, Bytes = 100 },
            options => options with { MaxAnswerBytes = 100_000 });
        await Should.ThrowAsync<InferenceException>(() => upstream.AskAsync(UpstreamUnderTest.Chat(stream), stream, units: 100_000));
        if (stream)
            await Waiting.UntilAsync(() => upstream.Engine.Counters is { Cancelled: 1, InFlight: 0 });
    }

    [Theory]
    [InlineData("first", true)]
    [InlineData("next", true)]
    [InlineData("pings", true)]
    [InlineData("whole", true)]
    [InlineData("whole", false)]
    public async Task An_engine_that_is_silent_for_too_long_is_a_timeout_and_is_stopped(string when, bool stream)
    {
        var ping = new EngineStep { Do = "slow", Text = string.Concat(Enumerable.Repeat(": ping\n\n", 1000)), Ms = 2 };
        EngineStep[] steps = when switch
        {
            "first" => [EngineStep.Head(), EngineStep.Wait()],
            "next" => [EngineStep.Head(), EngineStep.Event(Chunk), EngineStep.Wait()],
            "pings" => [EngineStep.Head(), EngineStep.Event(Chunk), ping],
            _ when stream => [EngineStep.Head(), new EngineStep { Do = "stream", Events = 0, Ms = 20 }],
            _ => [EngineStep.Wait()],
        };
        var soon = TimeSpan.FromMilliseconds(300);
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(steps), options => when switch
        {
            "first" => options with { FirstTokenTimeout = soon },
            "whole" => options with { AnswerTimeout = soon },
            _ => options with { TokenTimeout = soon },
        });
        (await Should.ThrowAsync<InferenceException>(() => upstream.AskAsync(UpstreamUnderTest.Chat(stream), stream))).Failure
            .ShouldBe(InferenceFailure.TimedOut);
        await Waiting.UntilAsync(() => upstream.Engine.Counters is { Cancelled: 1, InFlight: 0 });
        (await upstream.AskAsync(UpstreamUnderTest.Chat())).FinishReason.ShouldBe("stop");
    }

    [Fact]
    public async Task Slow_bytes_are_no_fault()
    {
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(
            EngineStep.Head(), new EngineStep { Do = "slow", Text = $"data: {Chunk}\n\ndata: {Finish}\n\ndata: [DONE]\n\n", Ms = 1 }));
        (await upstream.AskAsync(UpstreamUnderTest.Chat(stream: true), stream: true)).Parts.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("queued")]
    [InlineData("head")]
    [InlineData("middle")]
    public async Task A_caller_who_leaves_stops_the_engine_at_once(string when)
    {
        EngineStep[] steps = when switch
        {
            "queued" => [EngineStep.Wait()],
            "head" => [EngineStep.Head(), EngineStep.Wait()],
            _ => [EngineStep.Head(), EngineStep.Event(Chunk), EngineStep.Wait()],
        };
        await using var upstream = await UpstreamUnderTest.StartAsync(EngineScript.Once(steps));
        using var caller = new CancellationTokenSource();
        var start = upstream.Backend.StartAsync(UpstreamUnderTest.Request(UpstreamUnderTest.Chat(stream: true), stream: true), caller.Token);
        await upstream.Engine.ReachedAsync().Soon();
        if (when == "middle")
        {
            await using var answer = (await start.Soon()).ShouldBeOfType<InferenceStart.Started>().Answer;
        }
        else
        {
            await caller.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(start);
        }

        await Waiting.UntilAsync(() => upstream.Engine.Counters is { Cancelled: 1, InFlight: 0 });
    }

    private static async Task<string> MeaningAsync(UpstreamUnderTest upstream, bool stream)
    {
        try
        {
            var reply = await upstream.AskAsync(UpstreamUnderTest.Chat(stream, ",\"temperature\":1"), stream);
            return reply.Refusal is { } refusal ? $"{refusal.Reason} {refusal.Field}".Trim() : "served";
        }
        catch (InferenceException e)
        {
            e.ToString().ShouldNotContain(Secret);
            return e.Failure.ToString();
        }
    }
}
