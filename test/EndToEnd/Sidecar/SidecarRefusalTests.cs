using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Cli.Stack;
using ConfidentialChat.EndToEnd.Tests.Running;
using ConfidentialChat.Scripting;
using ConfidentialChat.Sidecar;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using static ConfidentialChat.EndToEnd.Tests.Sidecar.SidecarUnderTest;

namespace ConfidentialChat.EndToEnd.Tests.Sidecar;

/// <summary>spec/sidecar.md sections 1, 5 and 7: what goes wrong has the right status, in the words of the API that was asked, and sends nothing.</summary>
public sealed class SidecarRefusalTests(ScriptedStack stack) : IClassFixture<ScriptedStack>
{
    private const string ChatPath = "/v1/chat/completions";

    private static readonly string Good = Chat(ScriptedStack.Model);

    private Task<SidecarUnderTest> StartAsync(Func<SidecarOptions, SidecarOptions>? with = null) => SidecarUnderTest.StartAsync(stack.Stack.Options(), with);

    [Theory]
    [InlineData("/chat/completions", 404, "NOT_FOUND")]
    [InlineData("/v1/v1/chat/completions", 404, "NOT_FOUND")]
    [InlineData("/v1/audio/speech", 404, "NOT_FOUND")]
    [InlineData("/v1/models", 405, "METHOD_NOT_ALLOWED")]
    public async Task An_endpoint_that_is_not_there_is_told_what_is(string path, int status, string code)
    {
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.PostAsync(path, Good);

        var error = await ErrorAsync(answer);
        (error.Status, error.Code).ShouldBe((status, code));
        error.Message.ShouldContain(ChatPath);
        answer.Headers.GetValues("x-should-retry").ShouldBe(["false"]);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("{\"messages\":[]}")]
    [InlineData("{\"model\":\"a\",\"model\":\"b\"}")]
    [InlineData("{\"model\":\"a\",\"stream\":\"quillfeather-4c1f\"}")]
    public async Task A_body_that_is_no_request_is_refused_before_anything_is_sent(string json)
    {
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.PostAsync(ChatPath, json);

        var error = await ErrorAsync(answer);
        (error.Status, error.Code).ShouldBe((400, "INVALID_REQUEST"));
        error.Message.ShouldNotContain("Parameter");
        error.Message.ShouldNotContain("quillfeather");
    }

    [Fact]
    public async Task A_model_that_nobody_serves_is_refused_with_those_that_there_are()
    {
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.PostAsync(ChatPath, Chat("gpt-4o"));

        var error = await ErrorAsync(answer);
        (error.Status, error.Code).ShouldBe((404, "MODEL_NOT_FOUND"));
        error.Message.ShouldContain(ScriptedStack.Model);
    }

    [Fact]
    public async Task The_nodes_own_refusal_comes_as_the_node_wrote_it()
    {
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model, more: ",\"max_tokens\":-1"));

        var error = await ErrorAsync(answer);
        error.Status.ShouldBe(400);
        error.Code.ShouldBe("INVALID_FIELD");
    }

    [Fact]
    public async Task A_gateway_that_is_down_is_named_as_what_is_missing()
    {
        await using var sidecar = await SidecarUnderTest.StartAsync(stack.Stack.Options() with { ServerUrl = new Uri("http://127.0.0.1:1") });
        using var answer = await sidecar.PostAsync(ChatPath, Good);
        var error = await ErrorAsync(answer);
        (error.Status, error.Code).ShouldBe((502, "GATEWAY_UNREACHABLE"));
        error.Message.ShouldContain("--gateway");
        answer.Headers.Contains("x-should-retry").ShouldBeFalse();

        using var ready = await sidecar.GetAsync("/health/ready");
        ((int)ready.StatusCode).ShouldBe(503);
        (await sidecar.GetAsync("/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_gateway_that_does_not_know_the_key_is_told_from_a_wrong_local_key()
    {
        await using var sidecar = await SidecarUnderTest.StartAsync(stack.Stack.Options("cc_aaaaaaaa_unknown"));
        using var answer = await sidecar.PostAsync(ChatPath, Good);
        var error = await ErrorAsync(answer);
        (error.Status, error.Code).ShouldBe((401, "AUTH_ERROR"));
        error.Message.ShouldContain("sidecar's API key");
        error.Message.ShouldNotContain("cc_aaaaaaaa");
    }

    [Fact]
    public async Task Where_the_policy_accepts_no_node_nothing_is_sent_and_the_failing_check_is_named()
    {
        var before = stack.Engine.Counters.Requests;
        await using var sidecar = await SidecarUnderTest.StartAsync(stack.Stack.Options() with { Policy = Policy.Default });
        using var answer = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model, stream: true));

        var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!["error"]!;
        ((int)answer.StatusCode).ShouldBe(502);
        ((string?)body["code"], (string?)body["type"]).ShouldBe(("ATTESTATION_FAILED", "attestation_error"));
        ((string)body["message"]!).ShouldContain("bundle.tee");
        ((string)body["message"]!).ShouldContain("--policy");
        ((string?)body["nodes"]![0]!["factors"]![0]!["factor"]).ShouldBe("bundle.tee");
        answer.Headers.GetValues("x-should-retry").ShouldBe(["false"]);
        stack.Engine.Counters.Requests.ShouldBe(before);
        using var shown = await sidecar.GetAsync("/v1/attestation");
        (await ErrorAsync(shown)).Code.ShouldBe("ATTESTATION_FAILED");
        using var ready = await sidecar.GetAsync("/health/ready");
        ((int)ready.StatusCode).ShouldBe(503);
    }

    [Fact]
    public async Task A_client_of_Anthropics_reads_its_own_shape()
    {
        await using var sidecar = await StartAsync();
        using var answer = await sidecar.PostAsync("/v1/nothing", Good, ("anthropic-version", "2023-06-01"));
        var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
        ((string?)body["type"]).ShouldBe("error");
        ((string?)body["error"]!["type"]).ShouldBe("invalid_request_error");
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("reset")]
    [InlineData("done")]
    public async Task A_stream_that_breaks_off_ends_in_an_error_and_never_as_a_whole_one_does(string how)
    {
        await using var sidecar = await StartAsync();
        stack.Next(EngineStep.Head(), new EngineStep { Do = "stream", Events = 3, Ms = 20 }, new EngineStep { Do = "delay", Ms = 100 }, EngineStep.Of(how));
        using var answer = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model, stream: true));
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        var (text, isWhole) = await ReadAsync(answer);

        text.ShouldNotContain("[DONE]");
        isWhole.ShouldBeFalse();
        var last = JsonNode.Parse(text.Split("data: ", StringSplitOptions.RemoveEmptyEntries)[^1])!["error"]!;
        ((string?)last["code"]).ShouldBe("STREAM_TRUNCATED");
        (await sidecar.Http.GetStringAsync("/metrics", TestContext.Current.CancellationToken)).ShouldContain("status=\"cut\"} 1");
    }

    [Fact]
    public async Task A_program_that_leaves_stops_the_engine()
    {
        await using var sidecar = await StartAsync();
        var before = stack.Engine.Counters.Cancelled;
        stack.Next(EngineStep.Head(), new EngineStep { Do = "stream", Events = 0, Ms = 20 });
        using (var answer = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model, stream: true)))
        {
            await using var body = await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken);
            (await body.ReadAsync(new byte[64], TestContext.Current.CancellationToken)).ShouldBeGreaterThan(0);
        }

        await Waiting.UntilAsync(() => stack.Engine.Counters.Cancelled > before);
        await Waiting.UntilAsync(async () =>
            (await sidecar.Http.GetStringAsync("/metrics", TestContext.Current.CancellationToken)).Contains("status=\"gone\"} 1", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_program_that_leaves_before_a_whole_answer_stops_the_engine_too()
    {
        await using var sidecar = await StartAsync();
        var before = stack.Engine.Counters.Cancelled;
        stack.Next(EngineStep.Wait("never"), EngineStep.Of("serve"));
        using var leaving = new CancellationTokenSource();
        using var content = new StringContent(Good, Encoding.UTF8, "application/json");
        var asked = sidecar.Http.PostAsync(ChatPath, content, leaving.Token);
        await stack.Engine.ReachedAsync("never").Soon();
        await leaving.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => asked);
        await Waiting.UntilAsync(() => stack.Engine.Counters.Cancelled > before);
    }

    [Fact]
    public async Task What_localhost_is_to_a_program_is_the_sidecar_by_either_address()
    {
        var port = FixedPort.Find();
        await using var sidecar = await StartAsync(options => options with { Port = port });
        foreach (var address in sidecar.App.Urls)
            (await sidecar.Http.GetAsync(new Uri($"{address}/health/live"), TestContext.Current.CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
        sidecar.App.Urls.Count.ShouldBe(Directory.Exists("/proc/sys/net/ipv6/conf/lo") ? 2 : 1);
        Should.Throw<SidecarOptionsException>(() => SidecarHost.Create(new SidecarOptions { Client = stack.Stack.Options(), Port = port }))
            .Message.ShouldContain("in use");
    }

    [Fact]
    public async Task An_extension_of_a_browser_is_let_in_by_its_name()
    {
        const string extension = "chrome-extension://bpoadfkcbjbfhfodiogcnhhhpibjhbnh";
        await using var sidecar = await StartAsync(options => options with { CorsOrigins = [extension] });
        using var answer = await sidecar.PostAsync(ChatPath, Good, ("Origin", extension), ("Sec-Fetch-Site", "none"));
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        answer.Headers.GetValues("Access-Control-Allow-Origin").ShouldBe([extension]);
    }

    [Theory]
    [InlineData("*")]
    [InlineData("https://app.example/path")]
    [InlineData("app.example")]
    [InlineData("null")]
    public void Any_page_at_all_is_no_origin(string origin) =>
        Should.Throw<SidecarOptionsException>(
            () => SidecarHost.Create(new SidecarOptions { Client = stack.Stack.Options(), Port = 0, CorsOrigins = [origin] }));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Messages_that_break_off_end_in_an_error_event_and_never_in_message_stop(bool stopsEarly)
    {
        await using var sidecar = await StartAsync();
        EngineStep[] last = stopsEarly ? [Named("message_stop", """{"type":"message_stop"}""")] : [];
        stack.Next(
        [
            EngineStep.Head(),
            Named("message_start", """{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"scripted","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"""),
            Named("content_block_start", """{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"""),
            Named("content_block_delta", """{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"""),
            new EngineStep { Do = "delay", Ms = 100 }, .. last, EngineStep.Of("cut"),
        ]);
        using var answer = await sidecar.PostAsync(
            "/v1/messages?beta=true", $$"""{"model":"{{ScriptedStack.Model}}","max_tokens":16,"stream":true,"messages":[{"role":"user","content":"Hi"}]}""",
            ("anthropic-version", "2023-06-01"), ("anthropic-beta", "one-2025-01-01"), ("anthropic-beta", "two-2025-01-01"));
        var (text, isWhole) = await ReadAsync(answer);

        answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
        isWhole.ShouldBeFalse();
        text.ShouldContain("\"text\":\"Hi\"");
        text.ShouldNotContain("message_stop");
        text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)[^1].ShouldStartWith("event: error\ndata: {\"type\":\"error\",\"error\":{");
    }

    [Fact]
    public async Task Told_to_stop_it_takes_nothing_new_and_lets_answers_end()
    {
        await using var sidecar = await StartAsync();
        stack.Next(EngineStep.Wait("drain"), EngineStep.Of("serve"));
        var asked = sidecar.PostAsync(ChatPath, Good);
        await stack.Engine.ReachedAsync("drain").Soon();
        var stopping = sidecar.App.StopAsync(TestContext.Current.CancellationToken);
        await Waiting.UntilAsync(() => sidecar.App.Lifetime.ApplicationStopping.IsCancellationRequested);
        stopping.IsCompleted.ShouldBeFalse();
        stack.Engine.Open("drain");

        (await asked).StatusCode.ShouldBe(HttpStatusCode.OK);
        await stopping.Soon();
    }

    [Fact]
    public async Task The_local_key_is_read_again_and_a_bad_file_changes_nothing()
    {
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, "first\n", TestContext.Current.CancellationToken);
            await using var sidecar = await StartAsync(options => options with { LocalKeyFile = file });
            var reload = sidecar.App.Services.GetRequiredService<Hosting.Reload>();
            (await StatusAsync("first")).ShouldBe(200);
            await File.WriteAllTextAsync(file, "second\n", TestContext.Current.CancellationToken);
            (await StatusAsync("second")).ShouldBe(401);
            reload.Ask();
            (await StatusAsync("second")).ShouldBe(200);
            await File.WriteAllTextAsync(file, "", TestContext.Current.CancellationToken);
            reload.Ask();
            (await StatusAsync("second")).ShouldBe(200);
            (await StatusAsync("")).ShouldBe(401);

            async Task<int> StatusAsync(string key)
            {
                using var answer = await sidecar.GetAsync("/v1/models", ("Authorization", $"Bearer {key}"));
                return (int)answer.StatusCode;
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Nothing_that_a_program_or_an_engine_said_is_in_the_log()
    {
        var log = new SaidLog();
        await using var sidecar = await SidecarUnderTest.StartAsync(stack.Stack.Options(), options => options with { LogRequests = true }, log);
        var canary = ScriptedStack.PromptCanary;
        stack.Next(EngineStep.Head(), new EngineStep { Do = "stream", Events = 3, Ms = 20 }, EngineStep.Event(canary), EngineStep.Of("cut"));
        foreach (var json in (string[])[Chat(ScriptedStack.Model, canary, stream: true), Chat(ScriptedStack.Model, canary), Chat(canary), canary])
        {
            using var answer = await sidecar.PostAsync(ChatPath, json, ("Authorization", canary), ("x-api-key", canary), ("User-Agent", canary));
            _ = await ReadAsync(answer);
        }

        using var lost = await sidecar.GetAsync("/v1/" + canary, ("Host", canary), ("Origin", canary));
        await Waiting.UntilAsync(() => log.Lines.Count >= 6);
        var said = string.Join('\n', log.Lines);
        said.ShouldContain("STREAM_TRUNCATED");
        said.ShouldContain("answered");
        said.ShouldContain("HOST_REFUSED");
        said.ShouldNotContain(canary);
    }

    [Theory]
    [InlineData("Origin", "https://evil.example", 403, "ORIGIN_REFUSED")]
    [InlineData("Origin", "null", 403, "ORIGIN_REFUSED")]
    [InlineData("Origin", "http://127.0.0.1:9999", 403, "ORIGIN_REFUSED")]
    [InlineData("Sec-Fetch-Site", "cross-site", 403, "ORIGIN_REFUSED")]
    [InlineData("Sec-Fetch-Site", "same-site", 403, "ORIGIN_REFUSED")]
    [InlineData("Host", "evil.example", 421, "HOST_REFUSED")]
    [InlineData("Host", "evil.example:8787", 421, "HOST_REFUSED")]
    [InlineData("Host", "127.0.0.1.evil.example", 421, "HOST_REFUSED")]
    [InlineData("Host", "localhost.evil.example", 421, "HOST_REFUSED")]
    [InlineData("Host", "192.0.2.7", 421, "HOST_REFUSED")]
    public async Task A_web_page_gets_nothing(string header, string value, int status, string code)
    {
        await using var sidecar = await StartAsync();
        var before = stack.Engine.Counters.Requests;
        foreach (var path in (string[])["/metrics", "/v1/models", "/v1/attestation", "/health/ready"])
        {
            using var looked = await sidecar.GetAsync(path, (header, value));
            ((int)looked.StatusCode).ShouldBe(status);
        }

        using var answer = await sidecar.PostAsync(ChatPath, Good, (header, value));
        (await ErrorAsync(answer)).Code.ShouldBe(code);
        answer.Headers.Contains("Access-Control-Allow-Origin").ShouldBeFalse();
        stack.Engine.Counters.Requests.ShouldBe(before);
    }

    [Theory]
    [InlineData("localhost")]
    [InlineData("LOCALHOST:8787")]
    [InlineData("127.0.0.1")]
    [InlineData("[::1]:8787")]
    [InlineData("host.docker.internal:8787")]
    public async Task A_program_that_names_this_machine_is_let_in(string host)
    {
        await using var sidecar = await StartAsync(options => options with { HostNames = ["host.docker.internal"] });
        using var answer = await sidecar.GetAsync("/v1/models", ("Host", host), ("Sec-Fetch-Site", "none"));
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_page_that_the_user_let_in_asks_and_its_preflight_needs_no_key()
    {
        await using var sidecar = await StartAsync(options => options with { CorsOrigins = ["https://app.example"], LocalKey = "local" });
        using var preflight = await sidecar.SendAsync(
            HttpMethod.Options, ChatPath, null, ("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,x-stainless-os"), ("Access-Control-Request-Private-Network", "true"));
        preflight.StatusCode.ShouldBe(HttpStatusCode.NoContent);
        preflight.Headers.GetValues("Access-Control-Allow-Origin").ShouldBe(["https://app.example"]);
        preflight.Headers.GetValues("Access-Control-Allow-Private-Network").ShouldBe(["true"]);

        using var answer = await sidecar.PostAsync(
            ChatPath, Good, ("Origin", "https://app.example"), ("Sec-Fetch-Site", "cross-site"), ("Authorization", "Bearer local"));
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        answer.Headers.GetValues("Access-Control-Allow-Origin").ShouldBe(["https://app.example"]);
        using var other = await sidecar.PostAsync(ChatPath, Good, ("Origin", "https://app.example.evil"), ("Authorization", "Bearer local"));
        ((int)other.StatusCode).ShouldBe(403);
    }

    [Theory]
    [InlineData(null, null, 401)]
    [InlineData("Authorization", "Bearer wrong", 401)]
    [InlineData("Authorization", "local-key", 401)]
    [InlineData("x-api-key", "local-ke", 401)]
    [InlineData("Authorization", "Bearer local-key", 200)]
    [InlineData("authorization", "bearer  local-key", 200)]
    [InlineData("x-api-key", "local-key", 200)]
    public async Task The_local_key_opens_as_either_apis_key(string? header, string? value, int status)
    {
        await using var sidecar = await StartAsync(options => options with { LocalKey = "local-key" });
        (string, string)[] shown = header is null ? [] : [(header, value!)];
        using var answer = await sidecar.GetAsync("/v1/models", shown);
        ((int)answer.StatusCode).ShouldBe(status);
        if (status == 401)
            (await ErrorAsync(answer)).Code.ShouldBe("LOCAL_KEY_WRONG");
        (await sidecar.GetAsync("/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var metrics = await sidecar.GetAsync("/metrics", shown);
        ((int)metrics.StatusCode).ShouldBe(status);
    }

    [Fact]
    public async Task Untyped_bodies_and_codings_that_nobody_knows_are_refused()
    {
        await using var sidecar = await StartAsync();
        foreach (var encoding in (string[])["compress", "gzip, br", "dcz", "gzip,identity"])
        {
            var content = new StringContent(Good, Encoding.UTF8, "application/json");
            content.Headers.TryAddWithoutValidation("Content-Encoding", encoding).ShouldBeTrue();
            using var answer = await sidecar.SendAsync(HttpMethod.Post, ChatPath, content);
            (await ErrorAsync(answer)).Code.ShouldBe("UNSUPPORTED_MEDIA_TYPE");
            answer.Headers.GetValues("Accept-Encoding").SelectMany(value => value.Split(", ")).ShouldContain("zstd");
        }

        using var form = await sidecar.SendAsync(HttpMethod.Post, ChatPath, new StringContent(Good, Encoding.UTF8, "application/x-www-form-urlencoded"));
        ((int)form.StatusCode).ShouldBe(415);
        using var text = await sidecar.SendAsync(HttpMethod.Post, ChatPath, new StringContent(Good, Encoding.UTF8, "text/plain"));
        ((int)text.StatusCode).ShouldBe(415);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_body_that_is_too_large_is_counted_by_what_came(bool isChunked)
    {
        await using var sidecar = await StartAsync(options => options with { MaxBodyBytes = 200_000 });
        HttpContent content = new StringContent(Chat(ScriptedStack.Model, new string('a', 300_000)), Encoding.UTF8, "application/json");
        if (isChunked)
            content.Headers.ContentLength = null;
        var request = new HttpRequestMessage(HttpMethod.Post, ChatPath) { Content = content };
        request.Headers.TransferEncodingChunked = isChunked;
        request.Headers.ExpectContinue = !isChunked;
        using var answer = await sidecar.Http.SendAsync(request, TestContext.Current.CancellationToken);
        (await ErrorAsync(answer)).Code.ShouldBe("BODY_TOO_LARGE");

        using var fits = await sidecar.PostAsync(ChatPath, Chat(ScriptedStack.Model, new string('a', 150_000)));
        fits.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Who_expects_100_is_told_to_go_on_and_who_may_not_ask_is_not()
    {
        await using var sidecar = await StartAsync();
        (await SayAsync(sidecar, "127.0.0.1", Good)).ShouldStartWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
        (await SayAsync(sidecar, "evil.example", Good)).ShouldStartWith("HTTP/1.1 421 ");
    }

    [Fact]
    public async Task More_requests_than_there_are_places_for_are_told_to_wait()
    {
        await using var sidecar = await StartAsync(options => options with { MaxRequests = 1 });
        stack.Next(EngineStep.Wait("place"), EngineStep.Of("serve"));
        var first = sidecar.PostAsync(ChatPath, Good);
        await stack.Engine.ReachedAsync("place").Soon();
        using var second = await sidecar.PostAsync(ChatPath, Good);
        (await ErrorAsync(second)).Code.ShouldBe("TOO_MANY_REQUESTS");
        second.Headers.RetryAfter.ShouldNotBeNull();
        stack.Engine.Open("place");
        using var answer = await first;
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Gateways_that_lie_are_no_models_word()
    {
        await using var gateway = await LyingGateway.StartAsync("""{"choices":[{"message":{"content":"quillfeather"}}]}""");
        await using var sidecar = await SidecarUnderTest.StartAsync(stack.Stack.Options() with { ServerUrl = gateway.Url });
        using var answer = await sidecar.PostAsync(ChatPath, Good);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        ((int)answer.StatusCode).ShouldBe(502, text);
        text.ShouldNotContain("quillfeather");
    }

    private sealed class SaidLog : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue($"{formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }

    private static EngineStep Named(string name, string data) => new() { Do = "body", Text = $"event: {name}\ndata: {data}\n\n" };

    private static async Task<string> SayAsync(SidecarUnderTest sidecar, string host, string body)
    {
        using var connection = new TcpClient();
        await connection.ConnectAsync(sidecar.Url.Host, sidecar.Url.Port, TestContext.Current.CancellationToken);
        await using var wire = connection.GetStream();
        await wire.WriteAsync(Encoding.ASCII.GetBytes(
            $"POST {ChatPath} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"));
        var buffer = new byte[1024];
        var said = Encoding.ASCII.GetString(buffer, 0, await wire.ReadAsync(buffer, TestContext.Current.CancellationToken));
        if (!said.StartsWith("HTTP/1.1 100", StringComparison.Ordinal))
            return said;
        await wire.WriteAsync(Encoding.ASCII.GetBytes(body));
        using var reader = new StreamReader(wire);
        return said + await reader.ReadToEndAsync(TestContext.Current.CancellationToken);
    }
}
