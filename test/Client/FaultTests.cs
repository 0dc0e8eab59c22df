using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Client.Transport;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Client.Tests;

/// <summary>What a broken or hostile gateway or node does, and what the user is told. No text of any fault holds key, prompt or answer.</summary>
public sealed class FaultTests
{
    [Fact]
    public async Task Every_error_of_the_table_comes_out_with_its_status_code_and_whether_to_try_again()
    {
        var rejection = new Rejection(RequestError.InternalError);
        await using var gateway = await TestGateway.StartAsync(call =>
        {
            call.Context.Response.Headers.RetryAfter = "7";
            call.Context.Response.Headers["X-Request-Id"] = "request-1";
            return call.Context.RefuseAsync(rejection);
        });
        using var client = gateway.Client();
        foreach (var row in RequestErrors.Table)
        {
            rejection = new Rejection(row.Error, row.Error == RequestError.InvalidField ? "temperature" : null);
            foreach (var call in new[] { () => client.ConfidentialChat.CreateAsync(Chats.Request), (Func<Task>)(() => client.ReadAsync()) })
            {
                var error = await FaultAsync<ApiException>(call);
                (error.Status, error.Code, error.IsRetryable, error.Param).ShouldBe((row.Status, row.Code, row.Retry is not Retry.No, rejection.Field));
                error.RequestId.ShouldBe("request-1");
                error.RetryAfter.ShouldBe(TimeSpan.FromSeconds(7));
                error.Message.ShouldContain(rejection.Message);
                error.Body.ShouldBe(Encoding.UTF8.GetString(rejection.ToJson()));
                error.Headers["content-type"].ShouldBe(["application/json"]);
            }
        }
    }

    [Theory]
    [InlineData(400, "text/plain", "Bad Request", false)]
    [InlineData(403, "text/html", "<html>no</html>", false)]
    [InlineData(418, "application/json", "{\"error\":\"" + Chats.Secret + "\"}", false)]
    [InlineData(429, "text/plain", "", true)]
    [InlineData(500, "application/json", "{", true)]
    [InlineData(502, "text/html", "<h1>Bad Gateway</h1>", true)]
    [InlineData(504, "text/plain", Chats.Prompt, true)]
    [InlineData(599, "application/json", "[[[", false)]
    public async Task An_error_that_is_no_JSON_of_ours_is_still_typed_and_its_words_stay_out_of_the_text(
        int status, string type, string body, bool retryable)
    {
        await using var gateway = await TestGateway.StartAsync(call => call.Context.TextAsync(body, type, status));
        using var client = gateway.Client();
        var error = await FaultAsync<ApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        (error.Status, error.Code, error.IsRetryable, error.Body).ShouldBe((status, null, retryable, body));
    }

    [Fact]
    public async Task A_peer_that_writes_the_key_into_code_and_message_gets_neither_into_the_text()
    {
        var body = $$$"""{"error":{"code":"{{{TestGateway.Key}}}","message":"{{{TestGateway.Key}}}","param":"{{{TestGateway.Key}}}"}}""";
        await using var gateway = await TestGateway.StartAsync(call => call.Context.JsonAsync(body, 400));
        using var client = gateway.Client();
        (await FaultAsync<ApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request))).Code.ShouldBe(TestGateway.Key);
    }

    [Fact]
    public async Task An_endless_error_body_is_read_to_64_KiB()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.Context.Response.StatusCode = 500;
            while (!call.Gone.IsCancellationRequested)
                await call.Context.Response.WriteAsync(new string('x', 10_000));
        });
        using var client = gateway.Client();
        var error = await FaultAsync<ApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        error.Body.Length.ShouldBe(GatewayConnection.MaxErrorSize);
    }

    [Fact]
    public async Task A_refused_lock_is_told_as_it_is_and_nothing_is_sent_after_it()
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.WholeAsync(Chats.Answer), context => context.RefuseAsync(new Rejection(RequestError.BalanceError)));
        using var client = gateway.Client();
        (await FaultAsync<ApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request))).Code.ShouldBe("BALANCE_ERROR");
        gateway.Paths.ShouldBe(["/v1/nodes/lock"]);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("junk")]
    [InlineData("""{"public_key":"AAAA","stack_small_id":7}""")]
    [InlineData("""{"public_key":null,"stack_small_id":7}""")]
    [InlineData("""{"public_key":"BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","stack_small_id":-7}""")]
    [InlineData("""{"public_key":"BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","stack_small_id":"7"}""")]
    [InlineData("""{"public_key":"BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","public_key":"CwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","stack_small_id":7}""")]
    public async Task A_lock_that_is_none_is_refused(string answer)
    {
        await using var gateway = await TestGateway.StartAsync(call => call.WholeAsync(Chats.Answer), context => context.JsonAsync(answer));
        using var client = gateway.Client();
        await FaultAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        gateway.Paths.ShouldBe(["/v1/nodes/lock"]);
    }

    [Theory]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    [InlineData("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    public async Task A_gateway_that_hands_out_a_low_order_key_gets_nothing_sealed_to_it_as_no_verified_node_has_it(string key)
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.WholeAsync(Chats.Answer), context => context.JsonAsync($$"""{"public_key":"{{key}}","node_small_id":3,"stack_small_id":7}"""));
        using var client = gateway.Client();
        await FaultAsync<AttestationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        gateway.Paths.ShouldBe(["/v1/nodes/lock"]);
    }

    [Fact]
    public async Task An_altered_answer_is_not_believed()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.Context.JsonAsync(Alter(call.Whole(Chats.Answer))));
        using var client = gateway.Client();
        await FaultAsync<AnswerAuthenticationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("junk")]
    [InlineData(Chats.Answer)]
    public async Task An_answer_that_is_not_sealed_is_not_believed(string answer)
    {
        await using var gateway = await TestGateway.StartAsync(call => call.Context.JsonAsync(answer));
        using var client = gateway.Client();
        await FaultAsync<AnswerAuthenticationException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Theory]
    [InlineData("")]
    [InlineData("7")]
    [InlineData("""{"error":{"message":"the-answer-that-nobody-may-see"}}""")]
    [InlineData("""{"choices":"the-answer-that-nobody-may-see"}""")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":{"the-answer-that-nobody-may-see":1}}}]}""")]
    [InlineData("""{"choices":[{"index":0,"message":null}]}""")]
    [InlineData("""{"choices":[{"index":0}]}""")]
    [InlineData("""{"choices":[null]}""")]
    public async Task An_authentic_answer_that_is_no_chat_completion_is_refused_without_a_word_of_it(string answer)
    {
        await using var gateway = await TestGateway.StartAsync(call => call.Inner.Stream ? call.StreamAsync(answer) : call.WholeAsync(answer));
        using var client = gateway.Client();
        await FaultAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        if (!answer.Contains('[', StringComparison.Ordinal)) // a chunk has no message that could be wrong
            await FaultAsync<InvalidAnswerException>(() => client.ReadAsync());
    }

    [Fact]
    public async Task An_altered_event_ends_the_stream_with_a_fault_after_what_was_authentic()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.SendAsync($"data: {Alter(call.Event(Chats.Chunk("b", "stop")))}\n\n");
        });
        await StreamFaultAsync<AnswerAuthenticationException>(gateway, "a");
    }

    [Fact]
    public async Task A_repeated_event_ends_the_stream_with_a_fault()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            var first = call.Event(Chats.Chunk("a"));
            await call.SendAsync($"data: {first}\n\ndata: {first}\n\ndata: {call.Event(Chats.Chunk("b", "stop"), isLast: true)}\n\n");
        });
        await StreamFaultAsync<AnswerAuthenticationException>(gateway, "a");
    }

    [Fact]
    public async Task An_event_in_clear_ends_the_stream_with_a_fault()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.SendAsync($"data: {Chats.Chunk("b", "stop")}\n\n");
        });
        await StreamFaultAsync<AnswerAuthenticationException>(gateway, "a");
    }

    [Theory]
    [InlineData(null)]
    [InlineData("stop")]
    public async Task A_stream_that_breaks_off_abnormally_is_truncated_even_after_its_finish_reason(string? finish)
    {
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a", finish));
            await read.Task;
            call.Context.Abort();
        });
        using var client = gateway.Client();
        await FaultAsync<StreamTruncatedException>(async () =>
        {
            await foreach (var chunk in client.ConfidentialChat.CreateStreamAsync(Chats.Request))
            {
                chunk.Choices.Single().Delta!.Content.ShouldBe("a");
                read.SetResult();
            }
        });
    }

    [Fact]
    public async Task A_stream_that_ends_cleanly_before_its_finish_reason_is_truncated()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(Chats.Chunk("a")));
        await StreamFaultAsync<StreamTruncatedException>(gateway, "a");
    }

    [Fact]
    public async Task A_DONE_before_the_finish_reason_does_not_make_a_stream_whole()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.SendAsync("data: [DONE]\n\n");
        });
        await StreamFaultAsync<StreamTruncatedException>(gateway, "a");
    }

    [Fact]
    public async Task A_stream_without_any_event_is_truncated()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync());
        await StreamFaultAsync<StreamTruncatedException>(gateway, "");
    }

    [Fact]
    public async Task A_stream_of_two_choices_is_whole_only_when_both_have_finished()
    {
        await using var gateway = await TestGateway.StartAsync(
            call => call.StreamAsync(Chats.Chunk("a"), Chats.Chunk("b", index: 1), Chats.Chunk("", "stop", index: 1)));
        await StreamFaultAsync<StreamTruncatedException>(gateway, "ab");
    }

    [Fact]
    public async Task A_last_event_that_is_cut_off_by_a_clean_end_is_missed()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.SendAsync($"data: {call.Event(Chats.Chunk("b", "stop"), isLast: true)}\n");
        });
        await StreamFaultAsync<StreamTruncatedException>(gateway, "a");
    }

    [Fact]
    public async Task A_whole_answer_that_breaks_off_is_a_broken_connection()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.Context.Response.ContentType = "application/json";
            call.Context.Response.ContentLength = 1000;
            await call.SendAsync(call.Whole(Chats.Answer)[..20]);
            call.Context.Abort();
        });
        using var client = gateway.Client();
        await FaultAsync<GatewayConnectionException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Fact]
    public async Task An_answer_of_the_wrong_type_is_refused_unread()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.Inner.Stream
            ? call.WholeAsync(Chats.Answer)
            : call.StreamAsync(Chats.Chunk("a", "stop")));
        using var client = gateway.Client();
        await FaultAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        await FaultAsync<InvalidAnswerException>(() => client.ReadAsync());
    }

    [Fact]
    public async Task An_event_without_end_is_cut_off_at_the_limit()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.SendAsync("data: ");
            while (!call.Gone.IsCancellationRequested)
                await call.SendAsync(new string('x', 1 << 20));
        });
        await StreamFaultAsync<InvalidAnswerException>(gateway, "a");
    }

    [Fact]
    public async Task A_whole_answer_without_end_is_cut_off_at_the_limit()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.Context.Response.ContentType = "application/json";
            while (!call.Gone.IsCancellationRequested)
                await call.SendAsync(new string(' ', 4 << 20));
        });
        using var client = gateway.Client();
        await FaultAsync<InvalidAnswerException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Theory]
    [InlineData(301)]
    [InlineData(302)]
    [InlineData(307)]
    [InlineData(308)]
    public async Task A_redirect_is_not_followed_with_the_key(int status)
    {
        await using var elsewhere = await TestGateway.ThatAnswersAsync(Chats.Answer);
        await using var gateway = await TestGateway.StartAsync(_ => Task.CompletedTask, context =>
        {
            context.Response.StatusCode = status;
            context.Response.Headers.Location = new Uri(elsewhere.Url, "v1/nodes/lock").ToString();
            return Task.CompletedTask;
        });
        using var client = gateway.Client();
        var error = await FaultAsync<ApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        error.Status.ShouldBe(status);
        error.Message.ShouldContain("hint:");
        elsewhere.Paths.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_node_that_never_answers_is_given_up_after_the_timeout()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.HangAsync());
        using var client = gateway.Client(options => options with { Timeout = TimeSpan.FromMilliseconds(300) });
        (await FaultAsync<CallTimeoutException>(() => client.ConfidentialChat.CreateAsync(Chats.Request))).InnerException.ShouldBeOfType<TimeoutException>();
        await FaultAsync<CallTimeoutException>(() => client.ReadAsync());
    }

    [Fact]
    public async Task A_node_that_falls_silent_is_given_up_even_if_comments_keep_the_connection_alive()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            while (!call.Gone.IsCancellationRequested)
            {
                await call.SendAsync(": keep-alive\n\n");
                await Task.Delay(20);
            }
        });
        using var client = gateway.Client(options => options with { EventTimeout = TimeSpan.FromMilliseconds(300) });
        await FaultAsync<CallTimeoutException>(() => client.ReadAsync());
    }

    [Fact]
    public async Task Comments_before_the_first_event_are_waited_through_for_as_long_as_the_call_may_take()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            for (var i = 0; i < 20; i++)
            {
                await call.SendAsync(": keep-alive\n\n");
                await Task.Delay(50); // in all longer than an event may take
            }

            await call.SendAsync($"data: {call.Event(Chats.Chunk("a", "stop"), isLast: true)}\n\n");
        });
        using var client = gateway.Client(options => options with { EventTimeout = TimeSpan.FromMilliseconds(300) });
        (await client.ConfidentialChat.CreateStreamAsync(Chats.Request).ToListAsync()).Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_node_that_sends_nothing_but_comments_is_given_up_after_the_calls_timeout()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            while (!call.Gone.IsCancellationRequested)
            {
                await call.SendAsync(": keep-alive\n\n");
                await Task.Delay(20);
            }
        });
        using var client = gateway.Client(options => options with { Timeout = TimeSpan.FromMilliseconds(600), EventTimeout = TimeSpan.FromMilliseconds(300) });
        await FaultAsync<CallTimeoutException>(() => client.ReadAsync());
    }

    [Fact]
    public async Task An_end_after_comments_alone_is_a_truncated_stream_and_is_not_made_again()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.BeginStream();
            await call.SendAsync(": keep-alive\n\n");
        });
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Backoff with { RetryConnectionErrors = true } });
        (await FaultAsync<StreamTruncatedException>(() => client.ReadAsync())).Attempts.ShouldBe(1);
        gateway.Calls.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_whole_answer_that_stops_half_way_is_given_up()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            call.Context.Response.ContentType = "application/json";
            await call.SendAsync("{");
            await call.HangAsync();
        });
        using var client = gateway.Client(options => options with { EventTimeout = TimeSpan.FromMilliseconds(300) });
        await FaultAsync<CallTimeoutException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
    }

    [Fact]
    public async Task The_time_that_the_reader_takes_is_not_the_nodes()
    {
        await using var gateway = await TestGateway.StartAsync(call => call.StreamAsync(Chats.Chunk("a"), Chats.Chunk("b", "stop")));
        using var client = gateway.Client(options => options with { EventTimeout = TimeSpan.FromMilliseconds(300) });
        var chunks = 0;
        await foreach (var _ in client.ConfidentialChat.CreateStreamAsync(Chats.Request))
        {
            chunks++;
            await Task.Delay(600);
        }

        chunks.ShouldBe(2);
    }

    [Fact]
    public async Task Cancelling_closes_the_connection_so_that_the_node_stops()
    {
        var asked = new TaskCompletionSource();
        var gone = new TaskCompletionSource();
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            if (call.Inner.Stream)
                await call.StreamAsync(Chats.Chunk("a"));
            asked.SetResult();
            await call.HangAsync();
            gone.SetResult();
        });
        using var client = gateway.Client();
        foreach (var call in new[]
        {
            token => client.ConfidentialChat.CreateAsync(Chats.Request, token), (Func<CancellationToken, Task>)(token => client.ReadAsync(null, token)),
        })
        {
            (asked, gone) = (new TaskCompletionSource(), new TaskCompletionSource());
            using var source = new CancellationTokenSource();
            var running = call(source.Token);
            await asked.Task;
            await source.CancelAsync();
            (await Should.ThrowAsync<OperationCanceledException>(() => running)).CancellationToken.ShouldBe(source.Token);
            await gone.Task.WaitAsync(TimeSpan.FromSeconds(5));
        }
    }

    [Fact]
    public async Task Breaking_out_of_a_stream_closes_the_connection_so_that_the_node_stops()
    {
        var gone = new TaskCompletionSource();
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            await call.StreamAsync(Chats.Chunk("a"));
            await call.HangAsync();
            gone.SetResult();
        });
        using var client = gateway.Client();
        await foreach (var _ in client.ConfidentialChat.CreateStreamAsync(Chats.Request))
            break;
        await gone.Task.WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task A_call_that_was_cancelled_before_it_began_sends_nothing()
    {
        await using var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer);
        using var client = gateway.Client();
        var cancelled = new CancellationToken(canceled: true);
        await Should.ThrowAsync<OperationCanceledException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, cancelled));
        await Should.ThrowAsync<OperationCanceledException>(() => client.ReadAsync(null, cancelled));
        gateway.Paths.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_gateway_that_is_not_there_is_a_broken_connection()
    {
        Uri url;
        await using (var gateway = await TestGateway.ThatAnswersAsync(Chats.Answer))
            url = gateway.Url;
        using var client = new ConfidentialChatClient(new ConfidentialChatOptions { BearerKey = TestGateway.Key, ServerUrl = url });
        await FaultAsync<GatewayConnectionException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        await FaultAsync<GatewayConnectionException>(() => client.Models.ListAsync());
    }

    private static async Task StreamFaultAsync<T>(TestGateway gateway, string authentic)
        where T : ConfidentialChatException
    {
        using var client = gateway.Client();
        var seen = new List<string>();
        await FaultAsync<T>(() => client.ReadAsync(seen));
        string.Concat(seen).ShouldBe(authentic);
    }

    private static async Task<T> FaultAsync<T>(Func<Task> call)
        where T : ConfidentialChatException
    {
        var fault = await Should.ThrowAsync<T>(call);
        foreach (var secret in new[] { TestGateway.Key, Chats.Prompt, Chats.Secret })
            fault.ToString().ShouldNotContain(secret);
        return fault;
    }

    private static string Alter(string sealedJson)
    {
        var json = JsonNode.Parse(sealedJson)!;
        var ciphertext = Convert.FromBase64String((string)json["ciphertext"]!);
        ciphertext[0] ^= 1;
        json["ciphertext"] = Convert.ToBase64String(ciphertext);
        return json.ToJsonString();
    }
}
