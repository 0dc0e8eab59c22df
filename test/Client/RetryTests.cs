using System.Text.Json.Nodes;
using ConfidentialChat.Client.Embeddings;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Client.Tests;

/// <summary>What is made again, after how long, and what never is. The time is the test's; the connections are real.</summary>
public sealed class RetryTests
{
    private static readonly RetryConfig Exact = RetryConfig.Backoff with { Jitter = TimeSpan.Zero };
    private static readonly RetryConfig Everything = Exact with { RetryConnectionErrors = true };

    public static TheoryData<RequestError, bool, bool> Rows() =>
        [.. RequestErrors.Table.Select(row => (row.Error, IsFree(row), IsFree(row) || row.Status is 408 or 500))];

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task Of_the_table_of_errors_these_are_made_again(RequestError error, bool byDefault, bool withBackoff)
    {
        foreach (var (config, expected) in new[] { (RetryConfig.None, false), (RetryConfig.Default, byDefault), (RetryConfig.Backoff, withBackoff) })
        {
            var time = new WatchedTime();
            await using var gateway = await ThatRefusesAsync(1, call => call.Context.RefuseAsync(new Rejection(error)));
            using var client = gateway.Client(options => options with { Retries = config, TimeProvider = time });
            foreach (var stream in new[] { false, true })
            {
                var calls = gateway.Calls.Count;
                var call = stream ? client.ReadAsync() : (Task)client.ConfidentialChat.CreateAsync(Chats.Request);
                if (expected)
                {
                    await time.PassAsync();
                    await call;
                    (gateway.Calls.Count - calls).ShouldBe(2);
                }
                else
                {
                    var refusal = await Should.ThrowAsync<ApiException>(() => call);
                    (refusal.Code, refusal.Attempts, gateway.Calls.Count - calls).ShouldBe((error.Row().Code, 1, 1));
                }
            }
        }
    }

    [Theory]
    [InlineData(408, false, true)]
    [InlineData(423, false, false)]
    [InlineData(425, true, true)]
    [InlineData(429, true, true)]
    [InlineData(500, false, true)]
    [InlineData(501, false, false)]
    [InlineData(502, false, true)]
    [InlineData(503, true, true)]
    [InlineData(504, false, true)]
    public async Task Of_statuses_without_a_code_these_are_made_again_with_a_new_lock(int status, bool byDefault, bool withBackoff)
    {
        foreach (var (config, expected) in new[] { (RetryConfig.Default, byDefault), (RetryConfig.Backoff, withBackoff) })
        {
            var time = new WatchedTime();
            await using var gateway = await ThatRefusesAsync(1, call => call.Context.TextAsync("<html>", "text/html", status));
            using var client = gateway.Client(options => options with { Retries = config, TimeProvider = time });
            var call = client.ConfidentialChat.CreateAsync(Chats.Request);
            if (expected)
            {
                await time.PassAsync();
                await call;
                gateway.Locks.Count.ShouldBe(2); // a proxy's word says nothing about the lock
            }
            else
            {
                (await Should.ThrowAsync<ApiException>(() => call)).Attempts.ShouldBe(1);
            }
        }
    }

    [Fact]
    public async Task Every_attempt_is_sealed_anew_under_the_lock_that_the_refusal_gave_back()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(3, Busy);
        using var client = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        for (var i = 0; i < 3; i++)
            await time.PassAsync();
        (await call).Choices[0].Message.Content!.Text.ShouldBe(Chats.Secret);
        gateway.Locks.Count.ShouldBe(1);
        var envelopes = gateway.Calls.Select(made => made.Envelope).ToList();
        envelopes.Count.ShouldBe(4);
        envelopes.Select(envelope => envelope.ClientKey).Distinct().Count().ShouldBe(4);
        envelopes.Select(envelope => Convert.ToHexString(envelope.Nonce.Span)).Distinct(StringComparer.Ordinal).Count().ShouldBe(4);
        envelopes.Select(envelope => Convert.ToHexString(envelope.PlaintextBodyHash.Span)).Distinct(StringComparer.Ordinal).Count().ShouldBe(4);
        gateway.Calls.Select(made => made.Json.ToJsonString()).Distinct(StringComparer.Ordinal).Count().ShouldBe(1);
    }

    public static TheoryData<RequestError, int> LocksOfTheTable() =>
        [.. RequestErrors.Table.Where(row => row.Status is 408 or 425 or 429 or 500 or 503 || row.Error == RequestError.UnknownNodeKey)
            .Select(row => (row.Error, row.Code is "BODY_TOO_SLOW" or "TOO_MANY_REQUESTS" or "INFERENCE_ERROR" or "SERVICE_UNAVAILABLE" ? 1 : 2))];

    [Theory]
    [MemberData(nameof(LocksOfTheTable))]
    public async Task A_lock_that_a_refusal_gave_back_is_used_again_and_no_other(RequestError error, int locks)
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, call => call.Context.RefuseAsync(new Rejection(error)));
        using var client = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        await time.PassAsync();
        await call;
        (gateway.Locks.Count, gateway.Calls.Count).ShouldBe((locks, 2));
    }

    [Theory]
    [InlineData(RequestError.UnavailableStack)]
    [InlineData(RequestError.UnknownNodeKey)]
    public async Task A_lock_that_is_gone_is_replaced_after_a_wait_and_at_once_where_it_was_one_that_was_given_back(RequestError gone)
    {
        var time = new WatchedTime();
        var answers = new Queue<RequestError?>([gone, RequestError.TooManyRequests, gone, null]);
        await using var gateway = await TestGateway.StartAsync(
            call => answers.Dequeue() is { } error ? call.Context.RefuseAsync(new Rejection(error)) : call.WholeAsync(Chats.Answer));
        using var client = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        await time.PassAsync(); // first lock: gone
        await time.PassAsync(); // second lock: too many requests, and given back; third attempt: gone, third lock, answer
        await call;
        (gateway.Locks.Count, gateway.Calls.Count).ShouldBe((3, 4));
    }

    [Fact]
    public async Task A_lock_that_was_given_back_too_long_ago_is_not_used_again()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, call =>
        {
            call.Context.Response.Headers.RetryAfter = "20";
            return Busy(call);
        });
        using var client = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        (await time.PassAsync()).ShouldBe(TimeSpan.FromSeconds(20));
        await call;
        gateway.Locks.Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_refused_lock_is_asked_for_again()
    {
        var time = new WatchedTime();
        var refused = false;
        TestGateway? gateway = null;
        gateway = await TestGateway.StartAsync(call => call.WholeAsync(Chats.Answer), context =>
        {
            if (refused)
                return context.JsonAsync($$"""{"public_key":"{{gateway!.NodeKey.PublicKey}}","node_small_id":3,"stack_small_id":7}""");
            refused = true;
            return context.RefuseAsync(new Rejection(RequestError.ServiceUnavailable));
        });
        await using var _ = gateway;
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Default, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        await time.PassAsync();
        await call;
        gateway.Paths.ShouldBe(["/v1/nodes/lock", "/v1/nodes/lock", "/v1/confidential/chat/completions"]);
    }

    [Fact]
    public async Task Waits_grow_by_the_exponent_up_to_the_maximum()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(7, Busy);
        var config = Exact with { MaxInterval = TimeSpan.FromSeconds(3) };
        using var client = gateway.Client(options => options with { Retries = config, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        var waits = new List<double>();
        for (var i = 0; i < 7; i++)
            waits.Add((await time.PassAsync()).TotalMilliseconds);
        await call;
        waits.ShouldBe([500, 750, 1125, 1687, 2531, 3000, 3000]); // timers count whole milliseconds
    }

    [Fact]
    public void Jitter_is_added_within_its_bound_and_never_beyond_the_maximum()
    {
        var waits = Enumerable.Range(0, 2000).Select(_ => RetryConfig.Backoff.Wait(0).TotalMilliseconds).ToList();
        waits.Min().ShouldBeInRange(500, 600);
        waits.Max().ShouldBeInRange(1400, 1500);
        RetryConfig.Backoff.Wait(1000).ShouldBe(TimeSpan.FromSeconds(60));
        RetryConfig.Backoff.Wait(int.MaxValue).ShouldBe(TimeSpan.FromSeconds(60));
        (RetryConfig.Backoff with { InitialInterval = TimeSpan.Zero, Jitter = TimeSpan.Zero }).Wait(5).ShouldBe(TimeSpan.Zero);
        (RetryConfig.Backoff with { InitialInterval = TimeSpan.Zero, Jitter = TimeSpan.Zero }).Wait(int.MaxValue)
            .ShouldBeInRange(TimeSpan.Zero, TimeSpan.FromSeconds(60));
        (RetryConfig.Backoff with { MaxInterval = TimeSpan.MaxValue }).Wait(int.MaxValue).ShouldBe(TimeSpan.MaxValue);
    }

    [Theory]
    [InlineData("7", null, 7)]
    [InlineData("0", null, 40)] // "at once" is not followed: the formula is
    [InlineData("Thu, 01 Jan 2026 00:00:09 GMT", "Thu, 01 Jan 2026 00:00:00 GMT", 9)]
    [InlineData("Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:09 GMT", 40)]
    public async Task Retry_After_wins_over_the_formula_in_seconds_and_as_a_date_on_the_peers_clock(string after, string? date, int seconds)
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, call =>
        {
            call.Context.Response.Headers.RetryAfter = after;
            if (date is not null)
                call.Context.Response.Headers.Date = date;
            return Busy(call);
        });
        using var client = gateway.Client(options => options with { Retries = Exact with { InitialInterval = TimeSpan.FromSeconds(40) }, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        (await time.PassAsync()).ShouldBe(TimeSpan.FromSeconds(seconds));
        await call;
        gateway.Calls.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData(0, 9_000)]
    [InlineData(8_500, 500)]
    [InlineData(8_501, 40_000)] // too little: "at once", said by a proxy to everybody, would be a loop without a pause
    [InlineData(9_001, 40_000)]
    public async Task A_Retry_After_date_of_a_peer_that_says_no_date_of_its_own_is_measured_on_our_clock(int late, int wait)
    {
        var time = new WatchedTime();
        var date = time.GetUtcNow().AddSeconds(9).ToString("R");
        time.Advance(TimeSpan.FromMilliseconds(late));
        await using var gateway = await ThatRefusesAsync(1, call =>
        {
            call.Context.Response.Headers.RetryAfter = date;
            return Busy(call);
        });
        using var http = new HttpClient(new WithoutDate());
        var config = Exact with { InitialInterval = TimeSpan.FromSeconds(40) };
        using var client = gateway.Client(options => options with { HttpClient = http, Retries = config, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        (await time.PassAsync()).ShouldBe(TimeSpan.FromMilliseconds(wait));
        await call;
        gateway.Calls.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("31", 10 * 60, 30)]
    [InlineData("31", 31, 60 * 60)]
    [InlineData("86401", -1, int.MaxValue)]
    public async Task A_wait_that_reaches_beyond_the_calls_time_is_not_begun(string after, int timeout, int maxElapsed)
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, call =>
        {
            call.Context.Response.Headers.RetryAfter = after;
            return Busy(call);
        });
        using var client = gateway.Client(options => options with
        {
            TimeProvider = time,
            Timeout = timeout < 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromSeconds(timeout),
            Retries = Exact with { MaxElapsed = TimeSpan.FromSeconds(maxElapsed) },
        });
        var refusal = await Should.ThrowAsync<ApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        (refusal.Status, refusal.Attempts, refusal.RetryAfter).ShouldBe((429, 1, TimeSpan.FromSeconds(int.Parse(after))));
    }

    // The maximum elapsed time bounds when an attempt begins; the call's timeout bounds it too, and leaves none at its very end.
    [Theory]
    [InlineData(60, 30, true)]
    [InlineData(30, 60, false)]
    public async Task A_wait_that_ends_with_the_maximum_elapsed_time_is_made_and_one_that_ends_with_the_calls_timeout_is_not(
        int timeout, int maxElapsed, bool isMade)
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, call =>
        {
            call.Context.Response.Headers.RetryAfter = "30";
            return Busy(call);
        });
        using var client = gateway.Client(options => options with
        {
            TimeProvider = time,
            Timeout = TimeSpan.FromSeconds(timeout),
            Retries = Exact with { MaxElapsed = TimeSpan.FromSeconds(maxElapsed) },
        });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        if (isMade)
        {
            (await time.PassAsync()).ShouldBe(TimeSpan.FromSeconds(30));
            await call;
        }
        else
        {
            (await Should.ThrowAsync<ApiException>(() => call)).Attempts.ShouldBe(1);
        }

        gateway.Calls.Count.ShouldBe(isMade ? 2 : 1);
    }

    [Fact]
    public async Task After_the_maximum_elapsed_time_the_caller_gets_the_last_refusal_and_how_often_it_was_tried()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(int.MaxValue, Busy);
        using var client = gateway.Client(options => options with { Retries = Exact with { MaxElapsed = TimeSpan.FromSeconds(3) }, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        for (var i = 0; i < 3; i++) // 500, 750 and 1125 ms; the next would end after 4.06 s
            await time.PassAsync();
        var refusal = await Should.ThrowAsync<ApiException>(() => call);
        (refusal.Code, refusal.Attempts, refusal.IsRetryable, gateway.Calls.Count).ShouldBe(("TOO_MANY_REQUESTS", 4, true, 4));
    }

    [Fact]
    public async Task The_calls_timeout_bounds_all_attempts_together()
    {
        var time = new WatchedTime();
        var hangs = new TaskCompletionSource();
        await using var gateway = await ThatRefusesAsync(1, Busy, async call =>
        {
            hangs.SetResult();
            await call.HangAsync();
        });
        using var client = gateway.Client(options => options with { Retries = Everything, TimeProvider = time, Timeout = TimeSpan.FromSeconds(10) });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        await time.PassAsync();
        await hangs.Task;
        time.Advance(TimeSpan.FromSeconds(9.5));
        (await Should.ThrowAsync<CallTimeoutException>(() => call)).Attempts.ShouldBe(2);
    }

    [Fact]
    public async Task An_engine_that_timed_out_is_paid_so_it_is_asked_again_only_where_the_caller_says_so_and_then_with_a_new_lock()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, call => call.Context.RefuseAsync(new Rejection(RequestError.InferenceTimeout)));
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Default, TimeProvider = time });
        (await Should.ThrowAsync<ApiException>(() => client.ConfidentialChat.CreateAsync(Chats.Request))).Attempts.ShouldBe(1);
        await client.ConfidentialChat.CreateAsync(Chats.Request); // served: the script refuses every second one

        var call = client.ConfidentialChat.CreateAsync(Chats.Request, new CallOptions { Retries = Exact });
        await time.PassAsync();
        await call;
        (gateway.Calls.Count, gateway.Locks.Count).ShouldBe((4, 4));
    }

    [Fact]
    public async Task Cancelling_ends_the_wait()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, Busy);
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Backoff, TimeProvider = time });
        using var source = new CancellationTokenSource();
        var call = client.ConfidentialChat.CreateAsync(Chats.Request, source.Token);
        await time.WaitAsync();
        await source.CancelAsync();
        (await Should.ThrowAsync<OperationCanceledException>(() => call)).CancellationToken.ShouldBe(source.Token);
        gateway.Calls.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_broken_connection_is_tried_again_only_where_the_caller_says_so_and_then_with_a_new_lock()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(2, call =>
        {
            call.Context.Abort();
            return Task.CompletedTask;
        });
        using var client = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        (await Should.ThrowAsync<GatewayConnectionException>(() => client.ConfidentialChat.CreateAsync(Chats.Request))).Attempts.ShouldBe(1);
        var call = client.ConfidentialChat.CreateAsync(Chats.Request, new CallOptions { Retries = Everything });
        await time.PassAsync();
        await call;
        (gateway.Calls.Count, gateway.Locks.Count).ShouldBe((3, 3));
    }

    [Fact]
    public async Task A_lock_whose_refused_request_was_lost_after_it_is_not_used_a_third_time()
    {
        var time = new WatchedTime();
        var step = 0;
        await using var gateway = await TestGateway.StartAsync(call =>
        {
            switch (step++)
            {
                case 0:
                    return Busy(call);
                case 1:
                    call.Context.Abort();
                    return Task.CompletedTask;
                default:
                    return call.WholeAsync(Chats.Answer);
            }
        });
        using var client = gateway.Client(options => options with { Retries = Everything, TimeProvider = time });
        var call = client.ConfidentialChat.CreateAsync(Chats.Request);
        await time.PassAsync();
        await time.PassAsync();
        await call;
        (gateway.Calls.Count, gateway.Locks.Count).ShouldBe((3, 2));
    }

    [Fact]
    public async Task A_given_HttpClient_that_gives_up_is_tried_again_only_where_the_caller_says_so()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(2, call => call.HangAsync());
        using var http = new HttpClient { Timeout = TimeSpan.FromMilliseconds(500) };
        using var client = gateway.Client(options => options with { HttpClient = http, Retries = Exact, TimeProvider = time });
        await Should.ThrowAsync<CallTimeoutException>(() => client.ConfidentialChat.CreateAsync(Chats.Request));
        var call = client.ConfidentialChat.CreateAsync(Chats.Request, new CallOptions { Retries = Everything });
        await time.PassAsync();
        await call;
    }

    [Fact]
    public async Task Nothing_is_made_again_once_a_whole_answer_has_begun()
    {
        var begun = new TaskCompletionSource();
        Func<NodeCall, Task>[] faults =
        [
            async call =>
            {
                call.Context.Response.ContentType = "application/json";
                call.Context.Response.ContentLength = 1000;
                await call.SendAsync("{");
                await begun.Task;
                call.Context.Abort();
            },
            call => call.Context.JsonAsync("{}"),
            call => call.WholeAsync("7"),
            call => call.Context.TextAsync("x", "text/plain"),
        ];
        foreach (var fault in faults)
        {
            await using var gateway = await TestGateway.StartAsync(fault);
            using var http = new HttpClient(new HeadWatch(begun));
            using var client = gateway.Client(options => options with { HttpClient = http, Retries = Everything, TimeProvider = new WatchedTime() });
            (await Should.ThrowAsync<ConfidentialChatException>(() => client.ConfidentialChat.CreateAsync(Chats.Request))).Attempts.ShouldBe(1);
            begun = new TaskCompletionSource();
            using var again = new HttpClient(new HeadWatch(begun));
            using var other = gateway.Client(options => options with { HttpClient = again, Retries = Everything, TimeProvider = new WatchedTime() });
            (await Should.ThrowAsync<ConfidentialChatException>(
                () => other.ConfidentialEmbeddings.CreateAsync(new EmbeddingRequest { Model = "tiny", Input = "x" }))).Attempts.ShouldBe(1);
            gateway.Calls.Count.ShouldBe(2);
        }
    }

    [Fact]
    public async Task Nothing_is_made_again_once_a_stream_has_begun()
    {
        TaskCompletionSource begun = null!;
        Func<NodeCall, Task>[] faults =
        [
            call => call.StreamAsync(),
            call => call.StreamAsync(Chats.Chunk("a")),
            call => call.Context.TextAsync("data: {}\n\n", "text/event-stream"),
            async call =>
            {
                await call.StreamAsync(Chats.Chunk("a"));
                await begun.Task;
                call.Context.Abort();
            },
        ];
        foreach (var fault in faults)
        {
            begun = new TaskCompletionSource();
            var time = new WatchedTime();
            await using var gateway = await ThatRefusesAsync(1, Busy, fault);
            using var http = new HttpClient(new HeadWatch(begun));
            using var client = gateway.Client(options => options with { HttpClient = http, Retries = Everything, TimeProvider = time });
            var call = client.ReadAsync();
            await time.PassAsync();
            (await Should.ThrowAsync<ConfidentialChatException>(() => call)).Attempts.ShouldBe(2);
            gateway.Calls.Count.ShouldBe(2);
        }
    }

    [Fact]
    public async Task A_call_has_its_own_say()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, Busy);
        using var patient = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        (await Should.ThrowAsync<ApiException>(
            () => patient.ConfidentialChat.CreateAsync(Chats.Request, new CallOptions { Retries = RetryConfig.None }))).Attempts.ShouldBe(1);
        var stream = patient.ConfidentialChat.CreateStreamAsync(
            Chats.Request, new CallOptions { Retries = Exact with { InitialInterval = TimeSpan.FromSeconds(3) } });
        var call = stream.ToListAsync().AsTask();
        (await time.PassAsync()).ShouldBe(TimeSpan.FromSeconds(3));
        await call;
    }

    [Fact]
    public async Task A_call_has_its_own_timeouts()
    {
        await using var gateway = await TestGateway.StartAsync(async call =>
        {
            if (call.Inner.Stream)
                await call.StreamAsync(Chats.Chunk("a"));
            await call.HangAsync();
        });
        using var client = gateway.Client(options => options with { Timeout = Timeout.InfiniteTimeSpan, EventTimeout = Timeout.InfiniteTimeSpan });
        var options = new CallOptions { Timeout = TimeSpan.FromMilliseconds(500), EventTimeout = TimeSpan.FromMilliseconds(300) };
        await Should.ThrowAsync<CallTimeoutException>(() => client.ConfidentialChat.CreateAsync(Chats.Request, options));
        await Should.ThrowAsync<CallTimeoutException>(
            async () => await client.ConfidentialChat.CreateStreamAsync(Chats.Request, options with { Timeout = null }).ToListAsync());
    }

    [Fact]
    public async Task A_sealed_request_of_the_callers_is_repeated_byte_for_byte_and_its_lost_lock_is_the_callers()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, call => call.Context.RefuseAsync(new Rejection(RequestError.ServiceUnavailable)));
        using var client = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        using var request = gateway.Seal("""{"model":"tiny","messages":[],"stream":false}""", stream: false);
        var call = client.ConfidentialChat.CreateAsync(SealedFields.From(request.Envelope));
        await time.PassAsync();
        request.Answer.TryOpen(await call, out _).ShouldBeTrue();
        gateway.Bodies.Select(Convert.ToHexString).Distinct(StringComparer.Ordinal).Count().ShouldBe(1);
        gateway.Bodies.Count.ShouldBe(2);

        foreach (var lost in new[] { RequestError.UnavailableStack, RequestError.UnknownNodeKey })
        {
            await using var other = await TestGateway.StartAsync(made => made.Context.RefuseAsync(new Rejection(lost)));
            using var otherClient = other.Client(options => options with { Retries = Exact, TimeProvider = time });
            using var sealedRequest = other.Seal("""{"model":"tiny","messages":[],"stream":false}""", stream: false);
            (await Should.ThrowAsync<ApiException>(
                () => otherClient.ConfidentialChat.CreateAsync(SealedFields.From(sealedRequest.Envelope)))).Attempts.ShouldBe(1);
        }
    }

    [Fact]
    public async Task The_list_of_models_is_asked_for_again()
    {
        var time = new WatchedTime();
        var answers = new Queue<Func<HttpContext, Task>>(
        [
            context => context.RefuseAsync(new Rejection(RequestError.TooManyRequests)),
            context => context.JsonAsync("""{"data":[]}"""),
            context => context.JsonAsync("[]"),
        ]);
        await using var gateway = await TestGateway.StartAsync(_ => Task.CompletedTask, models: context => answers.Dequeue()(context));
        using var client = gateway.Client(options => options with { Retries = RetryConfig.Default, TimeProvider = time });
        var call = client.Models.ListAsync();
        await time.PassAsync();
        (await call).Data.ShouldBeEmpty();
        (await Should.ThrowAsync<InvalidAnswerException>(() => client.Models.ListAsync())).Attempts.ShouldBe(1);
    }

    [Fact]
    public async Task What_the_caller_changes_while_the_client_waits_is_for_the_next_call()
    {
        var time = new WatchedTime();
        await using var gateway = await ThatRefusesAsync(1, Busy);
        using var client = gateway.Client(options => options with { Retries = Exact, TimeProvider = time });
        var request = Chats.Request;
        var call = client.ConfidentialChat.CreateAsync(request);
        await time.WaitAsync();
        request.User = "someone";
        time.Advance(TimeSpan.FromSeconds(1));
        await call;
        gateway.Calls.Last().Json["user"].ShouldBeNull();
    }

    [Fact]
    public void A_config_that_cannot_be_right_is_the_callers_mistake()
    {
        foreach (var mistake in new Func<RetryConfig>[]
        {
            () => new RetryConfig { InitialInterval = TimeSpan.FromTicks(-1) },
            () => new RetryConfig { MaxInterval = TimeSpan.FromTicks(-1) },
            () => new RetryConfig { MaxElapsed = TimeSpan.FromTicks(-1) },
            () => new RetryConfig { Jitter = TimeSpan.FromTicks(-1) },
            () => new RetryConfig { Exponent = 0.99 },
            () => new RetryConfig { Exponent = double.NaN },
            () => new RetryConfig { Exponent = double.PositiveInfinity },
        })
            Should.Throw<ArgumentOutOfRangeException>(mistake);
    }

    [Fact]
    public void The_numbers_are_the_origins_and_the_default_is_what_is_free()
    {
        var backoff = RetryConfig.Backoff;
        backoff.ShouldBe(new RetryConfig());
        (backoff.InitialInterval, backoff.MaxInterval, backoff.Exponent, backoff.MaxElapsed, backoff.RetryConnectionErrors)
            .ShouldBe((TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(60), 1.5, TimeSpan.FromHours(1), false));
        new ConfidentialChatOptions().Retries.ShouldBe(RetryConfig.Default);
        (RetryConfig.Default.RetryServerErrors, RetryConfig.Default.RetryConnectionErrors, RetryConfig.Default.MaxElapsed)
            .ShouldBe((false, false, TimeSpan.FromSeconds(30)));
    }

    // A real answer, and a header less: Kestrel writes none without.
    private sealed class WithoutDate() : DelegatingHandler(new SocketsHttpHandler())
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = await base.SendAsync(request, cancellationToken);
            response.Headers.Date = null;
            return response;
        }
    }

    private static Task Busy(NodeCall call) => call.Context.RefuseAsync(new Rejection(RequestError.TooManyRequests));

    private static bool IsFree(RequestErrorRow row) => row.Status is 412 or 425 or 429 or 503 || row.Error == RequestError.UnknownNodeKey;

    // So many requests are refused, then one is served, and so on; whole answers and streams count for themselves.
    private static Task<TestGateway> ThatRefusesAsync(int times, Func<NodeCall, Task> refuse, Func<NodeCall, Task>? then = null)
    {
        var seen = new Dictionary<bool, int>();
        return TestGateway.StartAsync(call =>
        {
            var made = seen[call.Inner.Stream] = seen.GetValueOrDefault(call.Inner.Stream) + 1;
            return (made - 1) % (times == int.MaxValue ? times : times + 1) < times ? refuse(call)
                : then is not null ? then(call)
                : call.Inner.Stream ? call.StreamAsync(Chats.Chunk("a", "stop")) : call.WholeAsync(Chats.Answer);
        });
    }
}
