using System.Text;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Client.Tests;

/// <summary>A caller who has JSON and wants JSON: a proxy, a handler, or an application with types of its own.</summary>
public sealed class RawCallTests
{
    private const string Whole = """{"model":"tiny","messages":[{"role":"user","content":"x"}],"odd":{"b":1.50,"a":[null]},"stream":false}""";
    private const string Streamed = """{"model":"tiny","messages":[],"stream":true}""";

    [Fact]
    public async Task A_request_arrives_byte_for_byte_and_so_does_its_answer()
    {
        const string answer = """{ "odd" : 1.50, "choices":[ ],"a":"é" }""" + "\n";
        await using var gateway = await TestGateway.ThatAnswersAsync(answer);
        using var client = gateway.Client();
        await using var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Whole));
        (opened.ContentType, opened.IsStream, opened.Attempts).ShouldBe(("application/json", false, 1));
        Text(await opened.ReadWholeAsync()).ShouldBe(answer);
        gateway.Calls.Single().Plaintext.TrimEnd(' ', '\t').ShouldBe(Whole);
        Encoding.UTF8.GetString(gateway.Bodies.Single()).ShouldNotContain("\"odd\""); // base64 has no quotes
    }

    [Fact]
    public async Task A_stream_comes_event_by_event_and_byte_for_byte()
    {
        string[] chunks = ["""{ "choices":[{"index":0,"delta":{},"odd":1.0}]}""", """{"no":"chunk at all"}""", Chats.Chunk("b", "stop"), Chats.UsageChunk];
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(chunks));
        using var client = gateway.Client();
        await using var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed));
        (opened.ContentType, opened.IsStream).ShouldBe(("text/event-stream", true));
        var read = new List<string>();
        await foreach (var chunk in opened.ReadEventsAsync())
        {
            chunk.Name.ShouldBeNull();
            read.Add(Text(chunk.Data));
        }

        read.ShouldBe(chunks);
    }

    [Fact]
    public async Task What_was_opened_is_erased_when_the_next_is_asked_for_and_at_the_end()
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.Inner.Stream ? call.StreamAsync(Chats.Chunk(new string('a', 500)), "{}", Chats.Chunk("b", "stop")) : call.WholeAsync(Chats.Answer));
        using var client = gateway.Client();
        var kept = new List<ReadOnlyMemory<byte>>();
        await using (var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed)))
        {
            await foreach (var chunk in opened.ReadEventsAsync())
            {
                if (kept.Count > 0)
                    Text(kept[0]).ShouldNotContain("aaaa");
                kept.Add(chunk.Data);
            }
        }

        await using (var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Whole)))
            kept.Add(await opened.ReadWholeAsync());
        kept.Count.ShouldBe(4);
        foreach (var piece in kept)
            piece.Span.ContainsAnyExcept((byte)0).ShouldBeFalse();
    }

    [Theory]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}""")]
    [InlineData("""{"choices":[{"index":0,"finish_reason":"stop"},{"index":1}]}""")]
    [InlineData("""{"choices":[{"finish_reason":7}]}""")]
    [InlineData("""{"choices":[{"finish_reason":"stop" 7}""")]
    [InlineData("""{"finish_reason":"stop","choices":{"finish_reason":"stop"}}""")]
    [InlineData("""{"a":[{"choices":[{"finish_reason":"stop"}]}]}""")]
    public async Task A_stream_that_ends_before_every_choice_has_finished_is_truncated(string chunk)
    {
        await using var gateway = await TestGateway.StartAsync(call =>
        {
            call.BeginStream();
            return call.SendAsync($"data: {call.Event(chunk, isLast: true)}\n\n");
        });
        using var client = gateway.Client();
        await using var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed));
        var read = new List<string>();
        var fault = await Should.ThrowAsync<StreamTruncatedException>(async () =>
        {
            await foreach (var piece in opened.ReadEventsAsync())
                read.Add(Text(piece.Data));
        });
        (fault.Attempts, read.Single().TrimEnd()).ShouldBe((1, chunk.TrimEnd()));
    }

    [Theory]
    [InlineData("""{"model":"tiny","messages":[]}""", """{"stream":false,"model":"tiny","messages":[]}""")]
    [InlineData("""{ "model":"tiny","stream": null ,"messages":[]}""", """{ "model":"tiny","stream": false ,"messages":[]}""")]
    public async Task Chat_that_leaves_the_stream_to_the_default_is_served_whole(string json, string arrives)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync("{}");
        using var client = gateway.Client();
        await using var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(json));
        Text(await opened.ReadWholeAsync()).ShouldBe("{}");
        gateway.Calls.Single().Plaintext.TrimEnd(' ', '\t').ShouldBe(arrives);
    }

    [Fact]
    public async Task Every_endpoint_is_reached_and_nothing_is_added_where_it_need_not_be()
    {
        const string json = """{"model":"tiny"}""";
        await using var gateway = await TestGateway.ThatAnswersAsync("{}");
        using var client = gateway.Client();
        foreach (var endpoint in new[] { InferenceEndpoint.Completions, InferenceEndpoint.Embeddings, InferenceEndpoint.ImageGenerations })
            await using (var opened = await client.SendAsync(endpoint, Bytes(json)))
                Text(await opened.ReadWholeAsync()).ShouldBe("{}");
        gateway.Calls.ShouldAllBe(call => call.Plaintext.TrimEnd(' ', '\t') == json);
        gateway.Paths.Where(path => path != "/v1/nodes/lock").ShouldBe(
            ["/v1/confidential/completions", "/v1/confidential/embeddings", "/v1/confidential/images/generations"]);
    }

    [Theory]
    [InlineData(InferenceEndpoint.ChatCompletions, """{"model":"tiny","n":2,"max_tokens":1,"max_completion_tokens":9000}""", 18_000L)]
    [InlineData(InferenceEndpoint.ChatCompletions, """{"model":"tiny","max_tokens":1e4,"max_completion_tokens":null}""", 10_000L)]
    [InlineData(InferenceEndpoint.ChatCompletions, """{"model":"tiny","max_tokens":1e300}""", 1L << 40)]
    [InlineData(InferenceEndpoint.ChatCompletions, """{"model":"tiny","max_tokens":-9000,"n":-1}""", null)]
    [InlineData(InferenceEndpoint.ChatCompletions, """{"model":"tiny","max_tokens":"9000","messages":[{"max_tokens":9000}]}""", null)]
    [InlineData(InferenceEndpoint.Completions, """{"model":"tiny","max_tokens":5000,"best_of":3,"n":2}""", 15_000L)]
    [InlineData(InferenceEndpoint.Embeddings, """{"model":"tiny","max_tokens":50000}""", null)]
    [InlineData(InferenceEndpoint.ImageGenerations, """{"model":"tiny","n":2,"size":"2048x1024"}""", 4_194_304L)]
    public async Task A_call_reserves_what_the_request_may_compute(InferenceEndpoint endpoint, string json, long? units)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync("{}");
        using var client = gateway.Client();
        await using (await client.SendAsync(endpoint, Bytes(json)))
            (gateway.Calls.Single().Envelope.Units?.Value).ShouldBe(units);
        ((long?)gateway.Locks.Single()["max_num_tokens"]).ShouldBe(units);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("""{"model":"tiny" """)]
    [InlineData("""{"model":"tiny"}{}""")]
    [InlineData("""{"model":"tiny","x":tru}""")]
    [InlineData("""{}""")]
    [InlineData("""{"model":""}""")]
    [InlineData("""{"model":7}""")]
    [InlineData("""{"model":"\ud800"}""")]
    [InlineData("""{"model":"tiny","\u006dodel":"tiny"}""")]
    [InlineData("""{"model":"tiny","stream":false,"stream":true}""")]
    [InlineData("""{"model":"tiny","max_tokens":1,"max_tokens":9000}""")]
    [InlineData("""{"model":"tiny","stream":"yes"}""")]
    [InlineData("""{"model":"tiny","stream":1}""")]
    [InlineData("""{"model":"tiny","stream":"true"}""")]
    [InlineData("""{"model":"tiny","stream":[true]}""")]
    [InlineData("""{"model":"tiny","\u0073tream":true,"stream":false}""")]
    [InlineData("""{"model":"tiny","stream":null,"stream":true}""")]
    [InlineData("\ufeff{\"model\":\"tiny\"}")]
    [InlineData("{\"model\":\"tiny\"}\0")]
    [InlineData("{\"model\":\"tiny\",}")]
    [InlineData("{\"model\":\"tiny\"/**/}")]
    public async Task A_request_that_cannot_be_right_is_the_callers_mistake_and_nothing_is_sent(string json)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync("{}");
        using var client = gateway.Client();
        var fault = await Should.ThrowAsync<ArgumentException>(() => client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(json)));
        fault.Message.ShouldNotContain("tiny");
        gateway.Paths.ShouldBeEmpty();
    }

    [Fact]
    public async Task Neither_a_stream_of_embeddings_nor_broken_UTF_8_nor_a_bottomless_request_is_sent()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync("{}");
        using var client = gateway.Client();
        await Should.ThrowAsync<ArgumentException>(() => client.SendAsync(InferenceEndpoint.Embeddings, Bytes(Streamed)));
        await Should.ThrowAsync<ArgumentException>(
            () => client.SendAsync(InferenceEndpoint.ChatCompletions, (byte[])[.. "{\"model\":\"tiny\",\"x\":\""u8, 0xff, .. "\"}"u8]));
        await Should.ThrowAsync<ArgumentException>(
            () => client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes("{\"model\":\"tiny\",\"x\":" + new string('[', 300) + new string(']', 300) + "}")));
        gateway.Paths.ShouldBeEmpty();
    }

    [Fact]
    public async Task An_answer_is_read_once_and_as_what_it_is()
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.Inner.Stream ? call.StreamAsync(Chats.Chunk("a", "stop")) : call.WholeAsync(Chats.Answer));
        using var client = gateway.Client();
        await using var whole = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Whole));
        Should.Throw<InvalidOperationException>(() => whole.ReadEventsAsync());
        await whole.ReadWholeAsync();
        await Should.ThrowAsync<InvalidOperationException>(() => whole.ReadWholeAsync());
        await using var stream = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed));
        await Should.ThrowAsync<InvalidOperationException>(() => stream.ReadWholeAsync());
        (await stream.ReadEventsAsync().CountAsync()).ShouldBe(1);
        Should.Throw<InvalidOperationException>(() => stream.ReadEventsAsync());
    }

    [Fact]
    public async Task What_a_first_reader_of_a_stream_left_is_not_read_by_a_second()
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.StreamAsync(Chats.Chunk("a"), Chats.Chunk("b"), Chats.Chunk("c", "stop")));
        using var client = gateway.Client();
        await using var stream = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed));
        var events = stream.ReadEventsAsync();
        await foreach (var _ in events)
            break;
        await Should.ThrowAsync<InvalidOperationException>(async () => await events.CountAsync());
    }

    [Theory]
    [InlineData(Whole)]
    [InlineData(Streamed)]
    public async Task An_answer_that_is_disposed_of_twice_or_unread_harms_no_other_call_and_says_nothing_more(string json)
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.Inner.Stream ? call.StreamAsync(Chats.Chunk("a"), Chats.Chunk("b", "stop")) : call.WholeAsync(Chats.Answer));
        using var client = gateway.Client();
        for (var i = 0; i < 3; i++)
        {
            var unread = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(json));
            await unread.DisposeAsync();
            await unread.DisposeAsync();
            await Should.ThrowAsync<Exception>(async () =>
            {
                if (unread.IsStream)
                    await unread.ReadEventsAsync().CountAsync();
                else
                    await unread.ReadWholeAsync();
            });
            await client.ReadAsync();
            await client.ConfidentialChat.CreateAsync(Chats.Request);
        }
    }

    [Fact]
    public async Task A_reader_who_goes_in_mid_stream_may_dispose_of_the_answer_while_its_loop_still_stands()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(Chats.Chunk("a"), Chats.Chunk("b"), Chats.Chunk("c", "stop")));
        using var client = gateway.Client();
        var stream = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed));
        var events = stream.ReadEventsAsync().GetAsyncEnumerator(TestContext.Current.CancellationToken);
        (await events.MoveNextAsync()).ShouldBeTrue();
        await stream.DisposeAsync();
        await Should.ThrowAsync<Exception>(async () =>
        {
            while (await events.MoveNextAsync())
            {
            }
        });
        await events.DisposeAsync();
        await client.ReadAsync();
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("null")]
    public async Task An_answer_of_nothing_is_what_the_node_said(string answer)
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(answer);
        using var client = gateway.Client();
        await using var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Whole));
        Text(await opened.ReadWholeAsync()).ShouldBe(answer.TrimEnd());
    }

    [Fact]
    public async Task A_huge_answer_and_a_huge_request_arrive_byte_for_byte()
    {
        var text = string.Concat(Enumerable.Repeat("0123456789abcdef", 256 * 1024)); // 4 MiB
        var json = $$"""{"model":"tiny","messages":[],"x":"{{text}}"}""";
        await using var gateway = await TestGateway.StartAsync(call => call.WholeAsync(json));
        using var client = gateway.Client();
        await using var opened = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(json));
        Text(await opened.ReadWholeAsync()).ShouldBe(json);
        gateway.Calls.Single().Plaintext.Contains(text, StringComparison.Ordinal).ShouldBeTrue();
    }

    [Fact]
    public async Task A_refused_call_is_made_again_sealed_anew_and_tells_how_often()
    {
        var time = new WatchedTime();
        var refusals = 1;
        await using var gateway = await TestGateway.StartAsync(
            call => refusals-- > 0 ? call.Context.RefuseAsync(new Rejection(RequestError.TooManyRequests)) : call.WholeAsync(Chats.Answer));
        using var client = gateway.Client(options => options with { TimeProvider = time });
        var call = client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Whole), new CallOptions { Retries = RetryConfig.Default });
        await time.PassAsync();
        await using var opened = await call;
        opened.Attempts.ShouldBe(2);
        gateway.Calls.Select(made => made.Envelope.ClientKey).Distinct().Count().ShouldBe(2);
    }

    [Fact]
    public async Task An_answer_that_nobody_reads_on_stops_the_node_when_it_is_disposed_of()
    {
        var gone = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.HangAsync();
            gone.SetResult();
        });
        using var client = gateway.Client();
        await using (await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed)))
            gone.Task.IsCompleted.ShouldBeFalse();
        await gone.Task.WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task The_callers_cancellation_and_the_event_timeout_hold_while_the_answer_is_read()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.HangAsync();
        });
        var time = new WatchedTime();
        using var client = gateway.Client(options => options with { TimeProvider = time, EventTimeout = TimeSpan.FromSeconds(7) });
        using var cancellation = new CancellationTokenSource();
        await using var cancelled = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed), null, cancellation.Token);
        await Should.ThrowAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in cancelled.ReadEventsAsync())
                await cancellation.CancelAsync();
        });

        await using var late = await client.SendAsync(InferenceEndpoint.ChatCompletions, Bytes(Streamed));
        time.Advance(TimeSpan.FromDays(2)); // the caller's own time between two reads
        var read = 0;
        var reading = Should.ThrowAsync<CallTimeoutException>(async () =>
        {
            await foreach (var _ in late.ReadEventsAsync())
            {
                read++;
                time.Advance(TimeSpan.FromDays(2));
            }
        });
        while (!reading.IsCompleted)
        {
            await Task.Delay(20);
            time.Advance(TimeSpan.FromSeconds(1));
        }

        await reading;
        read.ShouldBe(1);
    }

    [Fact]
    public async Task Calls_one_after_the_other_go_over_one_kept_connection()
    {
        var connections = new HashSet<string>(StringComparer.Ordinal);
        await using var gateway = await TestGateway.StartAsync(call =>
        {
            connections.Add(call.Context.Connection.Id);
            return call.Inner.Stream ? call.StreamAsync(Chats.Chunk("a", "stop")) : call.WholeAsync(Chats.Answer);
        });
        using var client = gateway.Client();
        for (var i = 0; i < 3; i++)
        {
            await client.ConfidentialChat.CreateAsync(Chats.Request);
            await client.ReadAsync();
        }

        connections.Count.ShouldBe(1); // the lock's too, or there would be two
    }

    private static byte[] Bytes(string json) => Encoding.UTF8.GetBytes(json);

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
}
