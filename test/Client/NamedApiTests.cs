using System.Net;
using System.Text;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Oblivious.BinaryHttp;
using ConfidentialChat.Protocol.V2;

namespace ConfidentialChat.Client.Tests;

/// <summary>spec/inference.md section 8, the client's side: responses and messages by the raw door and by the handler, and paced streams.</summary>
public sealed class NamedApiTests
{
    private const string Responses = """{"model":"tiny","input":"the-prompt-that-nobody-may-see","stream":true}""";
    private const string Messages = """{"model":"tiny","max_tokens":9,"messages":[],"stream":true}""";
    private const string Reason = """{"type":"message_delta","delta":{"stop_reason":"end_turn"}}""";
    private const string Stop = """{"type":"message_stop"}""";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Named_events_come_with_their_names_and_pings_are_none()
    {
        await using var gateway = await RelayGateway.StartAsync(call => EventsAsync(
            call, ("message_start", """{"type":"message_start"}"""), ("ping", """{"type":"ping"}"""), ("message_delta", Reason), ("message_stop", Stop)));
        using var client = gateway.Client();
        await using var answer = await client.SendAsync(InferenceEndpoint.Messages, Utf8(Messages), cancellation: Cancellation);
        (await ReadAsync(answer)).ShouldBe([("message_start", """{"type":"message_start"}"""), ("message_delta", Reason), ("message_stop", Stop)]);
        gateway.Calls.Single().Inner.Path.ShouldBe("/v1/messages");
    }

    [Theory]
    [InlineData(InferenceEndpoint.Responses, """{"type":"response.completed"}""", true)]
    [InlineData(InferenceEndpoint.Responses, """{"type":"response.incomplete"}""", true)]
    [InlineData(InferenceEndpoint.Responses, """{"type":"response.failed"}""", true)]
    [InlineData(InferenceEndpoint.Responses, """{"type":"response.output_text.delta"}""", false)]
    [InlineData(InferenceEndpoint.Responses, """{"choices":[{"index":0,"finish_reason":"stop"}]}""", false)]
    [InlineData(InferenceEndpoint.Messages, Stop, false)] // without a reason
    [InlineData(InferenceEndpoint.Messages, Reason, false)]
    public async Task A_stream_without_the_end_of_its_API_is_truncated_however_cleanly_it_ends(InferenceEndpoint endpoint, string last, bool isWhole)
    {
        await using var gateway = await RelayGateway.StartAsync(call => EventsAsync(call, ("x", """{"type":"x"}"""), (null, last)));
        using var client = gateway.Client();
        await using var answer = await client.SendAsync(
            endpoint, Utf8(endpoint == InferenceEndpoint.Responses ? Responses : Messages), cancellation: Cancellation);
        if (isWhole)
            (await ReadAsync(answer)).Count.ShouldBe(2);
        else
            await Should.ThrowAsync<StreamTruncatedException>(() => ReadAsync(answer));
    }

    [Fact]
    public async Task A_named_stream_that_breaks_off_is_truncated_by_both_doors()
    {
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.BeginStream();
            call.Writer.WriteEvents("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"u8);
            call.Writer.WriteEvents("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"u8);
            await call.FlushAsync();
        });
        using var client = gateway.Client();
        await using var answer = await client.SendAsync(InferenceEndpoint.Messages, Utf8(Messages), cancellation: Cancellation);
        (await Should.ThrowAsync<ConfidentialChatException>(() => ReadAsync(answer))).ShouldBeOfType<StreamTruncatedException>();
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var request = Post("/v1/messages", Messages);
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
        await using var body = await response.Content.ReadAsStreamAsync(Cancellation);
        using var reader = new StreamReader(body);
        await Should.ThrowAsync<StreamTruncatedException>(() => reader.ReadToEndAsync(Cancellation));
    }

    [Theory]
    [InlineData(InferenceEndpoint.Responses, """{"model":"tiny","input":"x","max_output_tokens":20000}""", 32768)]
    [InlineData(InferenceEndpoint.Responses, """{"model":"tiny","input":"x","max_tokens":20000}""", 16384)] // another API's
    [InlineData(InferenceEndpoint.Responses, """{"model":"tiny","input":"x"}""", 16384)]
    [InlineData(InferenceEndpoint.Messages, """{"model":"tiny","messages":[],"max_tokens":20000}""", 32768)]
    [InlineData(InferenceEndpoint.Messages, """{"model":"tiny","messages":[],"max_tokens":100}""", 16384)]
    [InlineData(InferenceEndpoint.CountTokens, """{"model":"tiny","messages":[]}""", 16384)]
    public async Task The_units_are_those_of_the_APIs_own_bound(InferenceEndpoint endpoint, string json, long units)
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        await using var answer = await client.SendAsync(endpoint, Utf8(json), cancellation: Cancellation);
        gateway.Calls.Single().Inner.MaxUnits.Value.ShouldBe(units);
        gateway.Calls.Single().Json.ShouldBe(json);
    }

    [Fact]
    public async Task What_is_none_that_can_be_sealed_is_sent_nowhere()
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var client = gateway.Client();
        await Should.ThrowAsync<ArgumentException>( // it streams
            () => client.SendAsync(InferenceEndpoint.CountTokens, Utf8(Messages), cancellation: Cancellation));
        await Should.ThrowAsync<ArgumentException>(() => client.SendAsync(
            InferenceEndpoint.Responses, Utf8("""{"model":"tiny","input":"x","max_output_tokens":1,"max_output_tokens":2}"""), cancellation: Cancellation));
        CallOptions[] odd = [new() { AnthropicVersion = "a\nb" }, new() { AnthropicBeta = "" }, new() { AnthropicBeta = new string('b', 1025) }];
        foreach (var options in odd)
            await Should.ThrowAsync<ArgumentException>(() => client.SendAsync(InferenceEndpoint.Messages, Utf8(Messages), options, Cancellation));
        await Should.ThrowAsync<ArgumentException>(
            () => client.SendAsync(InferenceEndpoint.Responses, Utf8(Responses), new CallOptions { AnthropicVersion = "2023-06-01" }, Cancellation));
        using var first = gateway.Client(options => options with { Envelope = EnvelopeVersion.V1 });
        await Should.ThrowAsync<ArgumentException>(() => first.SendAsync(InferenceEndpoint.Messages, Utf8(Messages), cancellation: Cancellation));
        await Should.ThrowAsync<ArgumentException>(
            () => first.SendAsync(InferenceEndpoint.ChatCompletions, Utf8("""{"model":"tiny"}"""), new CallOptions { PacedStreams = true }, Cancellation));
        gateway.Asked.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("/v1/responses", Responses, "/v1/responses")]
    [InlineData("/v1/messages", Messages, "/v1/messages")]
    [InlineData("/v1/messages?beta=true", Messages, "/v1/messages")]
    [InlineData("/v1/messages/count_tokens?beta=true", """{"model":"tiny","messages":[]}""", "/v1/messages/count_tokens")]
    public async Task A_program_that_knows_either_API_gets_the_events_as_the_engine_wrote_them(string path, string json, string inner)
    {
        const string Events = "event: message_delta\ndata: {\"type\":\"message_delta\"}\n\nevent: x\ndata: {\ndata: }\n\n";
        await using var gateway = await RelayGateway.StartAsync(async call =>
        {
            call.BeginStream();
            call.Writer.WriteEvents(Utf8(Events));
            call.Writer.EndStream();
            await call.FlushAsync();
        });
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var request = Post(path, json);
        request.Headers.Add("x-api-key", "sk-of-somebody-else");
        request.Headers.Add("anthropic-version", "2023-06-01");
        request.Headers.Add("anthropic-beta", ["one-1", "two-2"]);
        request.Headers.Add("anthropic-dangerous-direct-browser-access", "true");
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
        (await response.Content.ReadAsStringAsync(Cancellation)).ShouldBe(Events);
        var call = gateway.Calls.Single().Inner;
        var isMessages = inner.StartsWith("/v1/messages", StringComparison.Ordinal);
        (call.Path, call.AnthropicVersion, call.AnthropicBeta).ShouldBe((inner, isMessages ? "2023-06-01" : null, isMessages ? "one-1,two-2" : null));
    }

    [Theory]
    [InlineData("/v1/responses?beta=true")]
    [InlineData("/v1/messages?beta=false")]
    [InlineData("/v1/messages?beta=true&x=1")]
    [InlineData("/v1/chat/completions?beta=true")]
    [InlineData("/v1/messages/batches")]
    [InlineData("/v1/responses/resp_1")]
    public async Task What_has_no_place_in_the_table_is_sent_nowhere(string path)
    {
        await using var gateway = await RelayGateway.StartAsync();
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var request = Post(path, Messages);
        (await Should.ThrowAsync<NotSupportedException>(() => http.SendAsync(request, Cancellation))).Message.ShouldContain("/v1/messages/count_tokens");
        gateway.Asked.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_nodes_refusal_in_the_words_of_messages_keeps_its_code_and_is_shown_as_it_came()
    {
        var rejection = new Rejection(RequestError.InvalidField, "mcp_servers");
        await using var gateway = await RelayGateway.StartAsync(
            call => call.WholeAsync(Encoding.UTF8.GetString(rejection.ToJson(InferenceApi.Messages)), 400));
        using var client = gateway.Client();
        var refused = await Should.ThrowAsync<NodeApiException>(
            () => client.SendAsync(InferenceEndpoint.Messages, Utf8(Messages), cancellation: Cancellation));
        (refused.Status, refused.Code, refused.Param).ShouldBe((400, "INVALID_FIELD", "mcp_servers"));
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options));
        using var request = Post("/v1/messages", Messages);
        using var response = await http.SendAsync(request, Cancellation);
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await response.Content.ReadAsStringAsync(Cancellation)).ShouldBe(
            """{"type":"error","error":{"type":"invalid_request_error","message":"mcp_servers: is missing or not valid.","param":"mcp_servers","code":"INVALID_FIELD"}}""");
    }

    [Theory]
    [InlineData(true, null, true)]
    [InlineData(false, true, true)]
    [InlineData(true, false, false)]
    [InlineData(false, null, false)]
    public async Task A_stream_is_asked_to_be_paced_by_the_client_or_by_the_call_and_a_whole_answer_never(bool ofClient, bool? ofCall, bool isPaced)
    {
        await using var gateway = await RelayGateway.StartAsync(call =>
            call.Inner.Path == "/v1/messages" ? PacedAsync(call, 3) : call.WholeAsync(Chats.Answer));
        using var client = gateway.Client(options => options with { PacedStreams = ofClient });
        var options = new CallOptions { PacedStreams = ofCall };
        await using var answer = await client.SendAsync(InferenceEndpoint.Messages, Utf8(Messages), options, Cancellation);
        (await ReadAsync(answer)).Count.ShouldBe(2);
        await using var whole = await client.SendAsync(InferenceEndpoint.ChatCompletions, Utf8("""{"model":"tiny"}"""), options, Cancellation);
        gateway.Calls.Select(call => call.Inner.IsPaced).ShouldBe([isPaced, false]);
    }

    // 17 MB of filler before the first event and between two: more than an event with its comments may have.
    [Fact]
    public async Task A_long_silence_of_a_paced_stream_is_no_large_event()
    {
        await using var gateway = await RelayGateway.StartAsync(call => PacedAsync(call, 4200));
        using var client = gateway.Client(options => options with { PacedStreams = true });
        await using var answer = await client.SendAsync(InferenceEndpoint.Messages, Utf8(Messages), cancellation: Cancellation);
        (await ReadAsync(answer)).ShouldBe([("message_delta", Reason), ("message_stop", Stop)]);
    }

    [Fact]
    public async Task A_program_behind_the_handler_sees_no_filler_of_a_paced_stream()
    {
        await using var gateway = await RelayGateway.StartAsync(call => PacedAsync(call, 5));
        using var http = new HttpClient(new ConfidentialHttpHandler(gateway.Options with { PacedStreams = true }));
        using var request = Post("/v1/messages", Messages);
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
        (await response.Content.ReadAsStringAsync(Cancellation)).ShouldBe($"event: message_delta\ndata: {Reason}\n\nevent: message_stop\ndata: {Stop}\n\n");
        gateway.Calls.Single().Inner.IsPaced.ShouldBeTrue();
    }

    private static async Task EventsAsync(RelayedCall call, params (string? Name, string Data)[] events)
    {
        call.BeginStream();
        foreach (var (name, data) in events)
            call.Writer.WriteEvents(Utf8($"{(name is null ? "" : $"event: {name}\n")}data: {data}\n\n"));
        call.Writer.EndStream();
        await call.FlushAsync();
    }

    private static async Task PacedAsync(RelayedCall call, int silent)
    {
        call.Writer.BeginStream(FieldSection.Create([new Field("content-type", "text/event-stream")]), isPaced: true);
        call.Writer.WriteEvents(Utf8($"event: message_delta\ndata: {Reason}\n\n"));
        call.Writer.WriteTick();
        for (var i = 0; i < silent; i++)
        {
            call.Writer.WriteTick();
            if (i % 64 == 0)
                await call.FlushAsync();
        }

        call.Writer.WriteEvents(Utf8($"event: message_stop\ndata: {Stop}\n\n"));
        call.Writer.WriteTick();
        call.Writer.EndStream();
        await call.FlushAsync();
    }

    private static async Task<List<(string? Name, string Data)>> ReadAsync(OpenedAnswer answer)
    {
        var events = new List<(string?, string)>();
        await foreach (var one in answer.ReadEventsAsync())
            events.Add((one.Name, Encoding.UTF8.GetString(one.Data.Span)));
        return events;
    }

    private static HttpRequestMessage Post(string path, string json) => new(HttpMethod.Post, $"https://api.example{path}")
    {
        Content = new StringContent(json, Encoding.UTF8, "application/json"),
    };

    private static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);
}
