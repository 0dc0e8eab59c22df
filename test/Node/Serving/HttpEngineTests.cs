using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Node.Inference.Upstream;
using ConfidentialChat.Node.Tests.Upstream;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using ConfidentialChat.Scripting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>
/// A real node in front of an HTTP engine, over real sockets: every endpoint, and everything that goes wrong under load and at the end of life.
/// </summary>
public sealed class HttpEngineTests
{
    private const string Chunk = """{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}""";

    [Theory]
    [InlineData("/v1/confidential/chat/completions", """{"model":"test-model","stream":false,"messages":[{"role":"user","content":"one two"}]}""", "chat.completion", 10, "2 8 10")]
    [InlineData("/v1/confidential/completions", """{"model":"test-model","prompt":"one two"}""", "text_completion", 10, "2 8 10")]
    [InlineData("/v1/confidential/embeddings", """{"model":"test-model","input":["one","two"]}""", "embedding", 2, "2 0 2")]
    [InlineData("/v1/confidential/images/generations", """{"model":"test-model","prompt":"p","size":"64x32","n":2}""", "b64_json", 4096, "")]
    public async Task Every_endpoint_is_served_sealed_and_reported_in_its_units(string path, string body, string kind, long units, string outside)
    {
        await using var under = await ServedAsync();
        var call = under.Node.Seal(Encoding.UTF8.GetBytes(body));
        var token = under.Node.Gateway.Token();
        var response = await under.Node.PostToAsync(path, call, token);
        (await call.OpenAsync(response)).ShouldContain(kind);
        using var outer = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        var usage = outer.RootElement.TryGetProperty("usage", out var shown)
            ? $"{shown.GetProperty("prompt_tokens")} {shown.GetProperty("completion_tokens")} {shown.GetProperty("total_tokens")}"
            : "";
        usage.ShouldBe(outside);
        (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(units);
    }

    [Fact]
    public async Task Completions_stream_and_embeddings_and_images_do_not()
    {
        await using var under = await ServedAsync();
        var call = under.Node.Seal("""{"model":"test-model","prompt":"one","stream":true}"""u8.ToArray(), stream: true);
        using (var events = await EventStream.OpenAsync(call, await under.Node.PostToAsync("/v1/confidential/completions", call)))
            (await events.RestAsync()).Count.ShouldBe(9); // 8 tokens and the finish reason

        foreach (var path in (string[])["/v1/confidential/embeddings", "/v1/confidential/images/generations"])
        {
            var refused = under.Node.Seal("""{"model":"test-model","prompt":"one","input":"one","stream":true}"""u8.ToArray(), stream: true);
            (await (await under.Node.PostToAsync(path, refused)).Content.ReadAsStringAsync()).ShouldContain("\"INVALID_FIELD\",\"message\":\"stream: ");
        }

        under.Engine.Counters.Requests.ShouldBe(1);
    }

    [Fact]
    public async Task A_prompt_that_does_not_fit_the_reservation_is_refused_and_not_charged()
    {
        await using var under = await ServedAsync(new EngineScript { Tokenizer = false });
        var call = under.Chat();
        var token = under.Node.Gateway.Token(new ComputeUnits(20));
        await (await under.Node.PostAsync(call, token)).ShouldBeAsync(RequestError.ContextTooLarge);
        (await call.OpenAsync(await under.Node.PostAsync(call))).ShouldContain("chat.completion");
        (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(0);
        under.Engine.Counters.Requests.ShouldBe(1);
    }

    [Fact]
    public async Task A_failure_before_the_first_byte_is_not_charged_and_one_in_the_middle_is_cut_off_and_charged()
    {
        await using var under = await ServedAsync(EngineScript.Once(EngineStep.Answer(500, """{"error":{"message":"secret words"}}""")));
        var call = under.Chat();
        var token = under.Node.Gateway.Token();
        await (await under.Node.PostAsync(call, token)).ShouldBeAsync(RequestError.InferenceError);
        (await call.OpenAsync(await under.Node.PostAsync(call))).ShouldContain("chat.completion"); // the same bytes

        under.Engine.Script = EngineScript.Once(EngineStep.Head(), EngineStep.Event(Chunk), EngineStep.Wait(), EngineStep.Of("cut"));
        var streamed = under.Chat(stream: true);
        var second = under.Node.Gateway.Token();
        using var events = await EventStream.OpenAsync(streamed, await under.Node.PostAsync(streamed, second));
        await events.NextAsync();
        under.Engine.Open();
        await events.ShouldBreakOffAsync();
        (await under.Node.Gateway.ReportAsync(second.Request)).Usage.Units.Value.ShouldBeInRange(10, 100);
        (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(0);
        under.Node.Log.Text.ShouldNotContain("secret words");
        under.Node.Log.Text.ShouldContain("CUT_OFF");
    }

    [Fact]
    public async Task A_node_whose_engine_is_down_says_so_and_serves_the_same_bytes_once_it_is_up()
    {
        await using var under = await ServedAsync();
        await under.Engine.LeaveAsync();
        await under.Node.Gateway.HeartbeatAsync(beat => beat.State == NodeState.Draining);
        await (await under.Node.Client.GetAsync(new Uri(under.Node.Url, "/health/ready"))).ShouldBeAsync(RequestError.ServiceUnavailable);
        var call = under.Chat();
        await (await under.Node.PostAsync(call)).ShouldBeAsync(RequestError.InferenceError);

        await under.Engine.ReturnAsync();
        await under.Node.Gateway.HeartbeatAsync(beat => beat.State == NodeState.Ready);
        (await call.OpenAsync(await under.Node.PostAsync(call))).ShouldContain("chat.completion");
    }

    [Fact]
    public async Task A_full_engine_is_429_with_the_time_to_come_back_and_marks_nothing()
    {
        await using var under = await ServedAsync(EngineScript.Once(EngineStep.Wait(), EngineStep.Of("serve")), options => options with { MaxConcurrent = 1 });
        var served = under.Node.PostAsync(under.Chat());
        await under.Engine.ReachedAsync().Soon();
        var late = under.Chat();
        await (await under.Node.PostAsync(late)).ShouldBeAsync(RequestError.TooManyRequests);
        under.Engine.Open();
        (await served).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await late.OpenAsync(await under.Node.PostAsync(late))).ShouldContain("chat.completion");
    }

    [Theory]
    [InlineData(429, "7", 7)]
    [InlineData(503, "7", 7)]
    [InlineData(429, "0", 1)]
    [InlineData(429, "86400", 60)]
    [InlineData(429, "soon", 1)]
    [InlineData(429, "Wed, 21 Oct 2015 07:28:09 GMT", 9)]
    [InlineData(429, "Wed, 21 Oct 2015 07:27:00 GMT", 1)]
    [InlineData(429, null, 1)]
    public async Task A_busy_engine_says_within_reason_when_to_come_back(int status, string? after, int seconds)
    {
        (string, string)[] headers = after is null ? [] : [("Retry-After", after), ("Date", "Wed, 21 Oct 2015 07:28:00 GMT")];
        await using var under = await ServedAsync(EngineScript.Always(EngineStep.Answer(status, "{}", headers: headers)));
        var refused = await under.Node.PostAsync(under.Chat());
        await refused.ShouldBeAsync(RequestError.TooManyRequests);
        refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(seconds));
    }

    [Theory]
    [InlineData("chat/completions", "\"stream\":false,\"messages\":[],\"x\":")]
    [InlineData("chat/completions", "\"stream\":false,\"messages\":")]
    [InlineData("chat/completions", "\"stream\":false,\"n\":2,\"max_tokens\":100000,\"messages\":[],\"tools\":")] // counted
    [InlineData("completions", "\"prompt\":")]
    [InlineData("embeddings", "\"input\":")]
    public async Task A_request_of_256_levels_reaches_the_engine_and_a_deeper_one_is_refused_by_name(string endpoint, string members)
    {
        await using var under = await ServedAsync();
        foreach (var depth in (int[])[65, 256, 257, 10_000])
        {
            var deep = new string('[', depth - 1) + new string(']', depth - 1); // within the request itself
            var call = under.Node.Seal(Encoding.UTF8.GetBytes($$"""{"model":"test-model",{{members}}{{deep}}}"""));
            var response = await under.Node.PostToAsync($"/v1/confidential/{endpoint}", call, under.Node.Gateway.Token(new ComputeUnits(100_000)));
            if (depth <= 256)
            {
                response.StatusCode.ShouldBe(HttpStatusCode.OK);
                under.Engine.Requests[^1].Body.ShouldContain(":" + deep);
            }
            else
            {
                (await response.Content.ReadAsStringAsync()).ShouldBe("""{"error":{"code":"INVALID_FIELD","message":"body: is missing or not valid.","param":"body"}}""");
            }
        }

        under.Engine.Counters.Requests.ShouldBe(2);
    }

    [Theory]
    [InlineData("before the body")]
    [InlineData("in the body")]
    [InlineData("before the first token")]
    [InlineData("in the stream")]
    [InlineData("at the end")]
    public async Task A_client_who_is_gone_leaves_nothing_behind_wherever_it_goes(string where)
    {
        var reachesEngine = where is "before the first token" or "in the stream";
        await using var under = await ServedAsync(
            where switch
            {
                "before the first token" => EngineScript.Once(EngineStep.Head(), EngineStep.Wait()),
                "in the stream" => EngineScript.Once(EngineStep.Head(), EngineStep.Event(Chunk), EngineStep.Wait()),
                _ => new EngineScript(),
            });
        var call = under.Chat(stream: true);
        var token = under.Node.Gateway.Token();
        using var socket = await ConnectAsync(under.Node, call, token);
        if (where != "before the body")
            await socket.SendAsync(call.Body.AsMemory(0, where == "in the body" ? call.Body.Length / 2 : call.Body.Length));
        if (where is "before the body" or "in the body")
            await Waiting.UntilAsync(() => under.Inside == 1); // a reset throws away what was not read yet
        if (reachesEngine)
            await under.Engine.ReachedAsync().Soon();
        if (where == "in the stream")
            await socket.ReceiveAsync(new byte[1]);
        if (where == "at the end")
        {
            var received = new StringBuilder();
            var buffer = new byte[4096];
            while (!received.ToString().Contains("\r\n0\r\n\r\n", StringComparison.Ordinal))
                received.Append(Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer)));
        }

        socket.Close(timeout: 0);
        var units = (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value;
        var isComputed = where is "at the end" or "in the stream" or "before the first token"; // the prompt at the least
        units.ShouldBeInRange(isComputed ? 10 : 0, isComputed ? 100 : 0);
        await Waiting.UntilAsync(() => under.Engine.Counters.InFlight == 0 && under.Inside == 0);
        under.Engine.Counters.Cancelled.ShouldBe(reachesEngine ? 1 : 0);
        (await under.Chat().OpenFromAsync(under.Node)).ShouldContain("chat.completion");
    }

    [Theory]
    [InlineData("/v1/confidential/chat/completions", "\"stream\":false,\"n\":2,\"messages\":[{\"role\":\"user\",\"content\":\"one two\"}]", 20, 400)]
    [InlineData("/v1/confidential/chat/completions", "\"stream\":false,\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"one two\"}]", 20, 40)]
    [InlineData("/v1/confidential/embeddings", "\"input\":\"one two\"", 8, 20)]
    [InlineData("/v1/confidential/images/generations", "\"prompt\":\"p\",\"size\":\"64x32\",\"n\":2", 4096, 4096)]
    public async Task A_client_who_leaves_a_whole_answer_pays_for_what_the_engine_did(string path, string members, long least, long most)
    {
        await using var under = await ServedAsync(EngineScript.Once(EngineStep.Wait()));
        var call = under.Node.Seal(Encoding.UTF8.GetBytes($$"""{"model":"test-model",{{members}}}"""));
        var token = under.Node.Gateway.Token();
        using var socket = await ConnectAsync(under.Node, call, token, path);
        await socket.SendAsync(call.Body);
        await under.Engine.ReachedAsync().Soon();
        await Task.Delay(200); // time is what is charged
        socket.Close(timeout: 0);
        (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBeInRange(least, most);
        await Waiting.UntilAsync(() => under.Engine.Counters is { InFlight: 0, Cancelled: 1 } && under.Running == 0);
    }

    [Theory]
    [InlineData(true, 1, 8, 40)]
    [InlineData(false, 1, 20, 200)]
    [InlineData(false, 4, 80, 800)]
    public async Task An_engine_whose_time_is_up_before_it_answers_is_paid_for_what_it_did(bool stream, int choices, long least, long most)
    {
        await using var under = await ServedAsync(
            EngineScript.Once(EngineStep.Wait("never")),
            options => options with { FirstTokenTimeout = TimeSpan.FromSeconds(1), AnswerTimeout = TimeSpan.FromSeconds(1) });
        var call = under.Node.Seal(
            Encoding.UTF8.GetBytes($$"""{"model":"test-model","stream":{{(stream ? "true" : "false")}},"n":{{choices}},"messages":[{"role":"user","content":"one"}]}"""), stream);
        var token = under.Node.Gateway.Token();
        await (await under.Node.PostAsync(call, token)).ShouldBeAsync(RequestError.InferenceTimeout);
        (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBeInRange(least, most);
        await (await under.Node.PostAsync(call)).ShouldBeAsync(RequestError.Replay);
        await Waiting.UntilAsync(() => under.Engine.Counters is { InFlight: 0, Cancelled: 1 } && under.Running == 0);
    }

    [Fact]
    public async Task An_upload_that_is_slow_keeps_no_place_from_others_and_is_cut_off()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var under = await ServedAsync(
            node: options => options with { MaxConcurrent = 1, MaxQueued = 1, UploadTimeout = TimeSpan.FromSeconds(30) }, time: time);
        var call = under.Chat();
        using var socket = await ConnectAsync(under.Node, call, under.Node.Gateway.Token());
        await socket.SendAsync(call.Body.AsMemory(0, call.Body.Length - 1));
        await Waiting.UntilAsync(() => under.Inside == 1);
        var next = under.Chat();
        (await next.OpenAsync(await under.Node.PostAsync(next))).ShouldContain("chat.completion");
        await Waiting.UntilAsync(() => under.Inside == 1); // its answer is here before it has left
        while (!await Task.Run(() => socket.Poll(TimeSpan.FromMilliseconds(50), SelectMode.SelectRead)))
            time.Advance(TimeSpan.FromSeconds(4));

        var answer = new StringBuilder();
        var buffer = new byte[4096];
        int read;
        while ((read = await socket.ReceiveAsync(buffer).Soon()) > 0)
            answer.Append(Encoding.ASCII.GetString(buffer, 0, read));
        answer.ToString().ShouldStartWith("HTTP/1.1 500");
        answer.ToString().ShouldContain("INTERNAL_ERROR");
    }

    [Fact]
    public async Task A_reader_who_takes_nothing_is_cut_off_with_bounded_memory_and_what_was_computed_is_reported()
    {
        await using var under = await ServedAsync(
            EngineScript.Once(EngineStep.Head(), new EngineStep { Do = "stream", Events = 0, Bytes = 64 * 1024 }),
            upstream => upstream with { MaxAnswerBytes = 1L << 40 },
            options => options with { ReaderTimeout = TimeSpan.FromMilliseconds(500) });
        var call = under.Chat(stream: true);
        var token = under.Node.Gateway.Token();
        using var socket = await ConnectAsync(under.Node, call, token);
        await socket.SendAsync(call.Body);
        await socket.ReceiveAsync(new byte[1]);
        (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBeGreaterThan(0);
        await Waiting.UntilAsync(() => under.Engine.Counters is { InFlight: 0, Cancelled: 1 } && under.Running == 0);
        under.Engine.Counters.EventsSent.ShouldBeLessThan(1000); // 64 KiB each: what the buffers of two connections take
        under.Node.Log.Text.ShouldContain("READER_TOO_SLOW");
    }

    [Fact]
    public async Task Fifty_streams_run_through_rotations_and_none_is_lost()
    {
        await using var under = await ServedAsync(new EngineScript { Events = 30, DelayMs = 20 }, node: options => options with { MaxConcurrent = 50 });
        var tokens = Enumerable.Range(0, 50).Select(_ => under.Node.Gateway.Token()).ToList();
        var streams = tokens.Select(async token =>
        {
            var call = under.Chat(stream: true);
            using var events = await EventStream.OpenAsync(call, await under.Node.PostAsync(call, token));
            return await events.RestAsync();
        }).ToList();
        await Waiting.UntilAsync(() => under.Engine.Counters.InFlight == 50);
        for (var i = 0; i < 5; i++)
        {
            under.Node.Ring.TryRotate();
            await Task.Delay(50);
        }

        foreach (var parts in await Task.WhenAll(streams))
        {
            parts.Count(part => part.Contains("\"content\"", StringComparison.Ordinal)).ShouldBe(30);
            parts[^1].ShouldContain("\"finish_reason\":\"stop\"");
        }

        foreach (var token in tokens)
            (await under.Node.Gateway.ReportAsync(token.Request)).Usage.Units.Value.ShouldBe(32);
        under.Engine.Counters.PeakInFlight.ShouldBe(50);
    }

    [Fact]
    public async Task A_stopping_node_ends_its_streams_whole()
    {
        await using var under = await ServedAsync(new EngineScript { Events = 40, DelayMs = 10 });
        var call = under.Chat(stream: true);
        var token = under.Node.Gateway.Token();
        using var events = await EventStream.OpenAsync(call, await under.Node.PostAsync(call, token));
        await events.NextAsync();
        var stopped = under.Node.App.StopAsync();
        (await events.RestAsync())[^1].ShouldContain("\"finish_reason\":\"stop\"");
        await stopped.Soon();
        under.Node.Gateway.Reports.ShouldContain(report => report.Request == token.Request.Value && report.Usage.Units.Value == 42);
    }

    private static async Task<Served> ServedAsync(
        EngineScript? script = null, Func<UpstreamOptions, UpstreamOptions>? upstream = null, Func<NodeOptions, NodeOptions>? node = null,
        TimeProvider? time = null)
    {
        var under = await UpstreamUnderTest.StartAsync(script, upstream);
        return new Served(under, await NodeUnderTest.StartAsync(under.Backend, node, time));
    }

    private static async Task<Socket> ConnectAsync(NodeUnderTest node, EnvelopeCall call, RelayToken token, string path = NodeUnderTest.ChatPath)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 8 * 1024 };
        await socket.ConnectAsync(IPAddress.Loopback, node.Url.Port);
        var head = $"POST {path} HTTP/1.1\r\nHost: node\r\n{RelayToken.HeaderName}: {node.Gateway.Write(token, path, call)}\r\nContent-Length: {call.Body.Length}\r\n\r\n";
        await socket.SendAsync(Encoding.ASCII.GetBytes(head));
        return socket;
    }

    private sealed record Served(UpstreamUnderTest Upstream, NodeUnderTest Node) : IAsyncDisposable
    {
        public ScriptedEngine Engine => Upstream.Engine;

        public int Inside => Node.App.Services.GetRequiredService<ConfidentialChat.Node.Serving.Seating>().Inside;

        public int Running => Node.App.Services.GetRequiredService<ConfidentialChat.Node.Serving.Seating>().Running;

        public EnvelopeCall Chat(bool stream = false) =>
            Node.Seal(Encoding.UTF8.GetBytes(UpstreamUnderTest.Chat(stream).Replace(" three", "", StringComparison.Ordinal)), stream);

        public async ValueTask DisposeAsync()
        {
            await Node.DisposeAsync();
            await Upstream.DisposeAsync();
        }
    }
}

internal static class Calling
{
    public static async Task<string> OpenFromAsync(this EnvelopeCall call, NodeUnderTest node) => await call.OpenAsync(await node.PostAsync(call));
}
