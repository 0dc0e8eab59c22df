using System.Net;
using System.Net.Sockets;
using System.Text;
using ConfidentialChat.Protocol.Relay;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

public sealed class RelayTests
{
    private const string Chat = GatewayUnderTest.ChatPath;

    [Fact]
    public async Task The_node_gets_the_body_byte_for_byte_and_no_header_of_the_client()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = context =>
        {
            context.Response.Headers["X-Node-Secret"] = "1";
            context.Response.Headers.SetCookie = "a=b";
            return ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        };
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        byte[] body = [.. "  "u8, .. locked.Envelope(100), .. "\n\t"u8];
        var request = new HttpRequestMessage(HttpMethod.Post, Chat) { Content = Http.Json(body) };
        request.Headers.TryAddWithoutValidation("Cookie", "session=1");
        request.Headers.TryAddWithoutValidation("User-Agent", "speakeasy-sdk/typescript");
        request.Headers.TryAddWithoutValidation("Accept", "application/json");
        request.Headers.TryAddWithoutValidation("X-User-Id", "7");
        request.Headers.TryAddWithoutValidation("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request.Headers.TryAddWithoutValidation("Confidential-Relay-Token", "forged");

        var response = await user.SendAsync(request);

        (await response.Content.ReadAsStringAsync()).ShouldBe(ScriptedNode.SealedAnswer);
        response.Headers.CacheControl!.ToString().ShouldBe("no-store, no-transform");
        response.Headers.Select(header => header.Key)
            .ShouldBe(["Cache-Control", "X-Accel-Buffering", "X-Request-ID", "Date", "Transfer-Encoding"], ignoreOrder: true);
        var seen = await node.SeenAsync();
        seen.Body.ShouldBe(body);
        seen.Path.ShouldBe(Chat);
        seen.Headers.Keys.ShouldBe(["Host", "Content-Type", "Content-Length", "Confidential-Relay-Token"], ignoreOrder: true);
        var token = seen.Token();
        (token.Node.Value, token.KeySet, token.Endpoint, token.Model, token.Units.Value)
            .ShouldBe((node.Id, node.KeySets[0].Digest, GatewayUnderTest.ChatPath, "test-model", 8192 + 100));
        (token.Expires - gateway.Clock.GetUtcNow()).ShouldBeInRange(TimeSpan.FromSeconds(58), TimeSpan.FromSeconds(60));
        (await gateway.LastLockAsync()).State.ShouldBe("spent");
    }

    [Theory]
    [InlineData("ciphertext")]
    [InlineData("nonce")]
    [InlineData("salt")]
    [InlineData("client_dh_public_key")]
    [InlineData("node_dh_public_key")]
    [InlineData("plaintext_body_hash")]
    [InlineData("model_name")]
    [InlineData("stack_small_id")]
    public async Task A_missing_or_mistyped_member_is_named_and_the_lock_stays(string member)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        object?[] faults = [new LockedNode.Missing(), null, true, "AA=", new object()];
        foreach (var fault in faults.Where(fault => (member, fault) is not ("model_name", "AA=")))
            await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, (member, fault))))).ShouldBeErrorAsync(400, "INVALID_FIELD", member);
        (await gateway.LastLockAsync()).State.ShouldBe("open");
        node.RequestsSeen.ShouldBe(0);
    }

    [Fact]
    public async Task Faults_around_the_envelope_have_their_own_codes()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        await (await user.PostAsync(Chat, Http.Json("["))).ShouldBeErrorAsync(400, "INVALID_JSON");
        await (await user.PostAsync(Chat, new ByteArrayContent(locked.Envelope()))).ShouldBeErrorAsync(415, "UNSUPPORTED_MEDIA_TYPE");
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, ("stream", "yes"))))).ShouldBeErrorAsync(400, "INVALID_FIELD", "stream");
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, ("num_compute_units", 0)))))
            .ShouldBeErrorAsync(400, "INVALID_FIELD", "num_compute_units");
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, ("model_name", "other"))))).ShouldBeErrorAsync(400, "MODEL_MISMATCH");
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, ("node_dh_public_key", ScriptedNode.NewKey())))))
            .ShouldBeErrorAsync(400, "UNKNOWN_NODE_KEY");
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope(64, ("stack_small_id", 999))))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK");
        await (await user.GetAsync(Chat)).ShouldBeErrorAsync(405, "METHOD_NOT_ALLOWED");
        await (await user.GetAsync("/v1/elsewhere")).ShouldBeErrorAsync(404, "NOT_FOUND");
        node.RequestsSeen.ShouldBe(0);
    }

    [Fact]
    public async Task Another_users_lock_is_answered_like_none()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var alice = await gateway.UserAsync("alice");
        using var mallory = await gateway.UserAsync("mallory");
        var locked = await LockedNode.LockAsync(alice);
        await LockedNode.LockAsync(mallory);
        await (await mallory.PostAsync(Chat, Http.Json(locked.Envelope()))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK");
        (await alice.PostAsync(Chat, Http.Json(locked.Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task An_expired_lock_and_a_spent_one_are_gone()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        gateway.Clock.Advance(TimeSpan.FromSeconds(5));
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope()))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK");
        await gateway.SweepAsync();
        (await gateway.StackAsync()).Reserved.ShouldBe(0);

        locked = await LockedNode.LockAsync(user);
        (await user.PostAsync(Chat, Http.Json(locked.Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope()))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK");
    }

    [Fact]
    public async Task Fifty_requests_race_for_one_lock_and_one_reaches_the_node()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        var body = locked.Envelope();

        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => user.PostAsync(Chat, Http.Json(body))));

        answers.Count(answer => answer.StatusCode is HttpStatusCode.OK).ShouldBe(1);
        answers.Count(answer => (int)answer.StatusCode == 425).ShouldBe(49);
        node.RequestsSeen.ShouldBe(1);
    }

    [Fact]
    public async Task A_request_too_large_for_its_stack_leaves_the_lock_open()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { StackUnits = 9_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        await (await user.PostAsync(Chat, Http.Json(locked.Envelope(2000)))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK");
        (await gateway.LastLockAsync()).State.ShouldBe("open");
        (await user.PostAsync(Chat, Http.Json(locked.Envelope(100)))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData(400, "INVALID_JSON")]
    [InlineData(400, "INVALID_KEY")]
    [InlineData(400, "UNKNOWN_NODE_KEY")]
    [InlineData(400, "DECRYPTION_FAILED")]
    [InlineData(400, "MODEL_MISMATCH")]
    [InlineData(400, "STREAM_MISMATCH")]
    [InlineData(400, "CONTEXT_TOO_LARGE")]
    [InlineData(409, "REPLAY")]
    [InlineData(429, "TOO_MANY_REQUESTS")]
    [InlineData(500, "INFERENCE_ERROR")]
    [InlineData(500, "INTERNAL_ERROR")]
    [InlineData(503, "SERVICE_UNAVAILABLE")]
    public async Task A_nodes_refusal_passes_by_its_code_and_the_same_bytes_work_again(int status, string code)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = context => ScriptedNode.RefuseAsync(context, status, code);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        var body = locked.Envelope();

        var response = await user.PostAsync(Chat, Http.Json(body));
        await response.ShouldBeErrorAsync(status, code);
        (await response.Content.ReadAsStringAsync()).ShouldNotContain("own words");
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("released");
        (await gateway.StackAsync()).Reserved.ShouldBe(8192);

        gateway.Clock.Advance(TimeSpan.FromSeconds(29));
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        (await user.PostAsync(Chat, Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task An_engine_that_timed_out_has_worked_its_lock_is_spent_and_its_report_is_charged()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = context => ScriptedNode.RefuseAsync(context, 500, "INFERENCE_TIMEOUT");
        using var user = await gateway.UserAsync();
        var body = (await LockedNode.LockAsync(user)).Envelope(100);

        await (await user.PostAsync(Chat, Http.Json(body))).ShouldBeErrorAsync(500, "INFERENCE_TIMEOUT");
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("held");
        await (await user.PostAsync(Chat, Http.Json(body))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK"); // once for a lock
        node.RequestsSeen.ShouldBe(1);

        await node.ReportAsync(new UsageReport((await node.SeenAsync()).Request, GatewayUnderTest.Model, 60, 900, 0));
        var stack = await gateway.StackAsync();
        (stack.Used, stack.Reserved, (await gateway.LastLockAsync()).State).ShouldBe((960, 0, "spent"));
    }

    [Fact]
    public async Task A_timeout_that_is_never_reported_frees_its_units_at_the_deadline()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = context => ScriptedNode.RefuseAsync(context, 500, "INFERENCE_TIMEOUT");
        using var user = await gateway.UserAsync();
        await (await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope()))).ShouldBeErrorAsync(500, "INFERENCE_TIMEOUT");
        gateway.Clock.Advance(TimeSpan.FromMinutes(11));
        await gateway.SweepAsync();
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("unreported");
        (await gateway.StackAsync()).Reserved.ShouldBe(0);
    }

    [Fact]
    public async Task Comments_before_the_first_event_pass_at_once_and_an_end_after_them_is_abnormal_and_costs_nothing()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var isRead = new TaskCompletionSource();
        node.Script = async context =>
        {
            context.Response.ContentType = "text/event-stream";
            await context.Response.WriteAsync(": keep-alive\n\n");
            await context.Response.Body.FlushAsync();
            await isRead.Task;
            context.Abort();
        };
        using var user = await gateway.UserAsync();
        var request = new HttpRequestMessage(HttpMethod.Post, Chat) { Content = Http.Json((await LockedNode.LockAsync(user)).Envelope()) };
        using var response = await user.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await using var stream = await response.Content.ReadAsStreamAsync();
        var buffer = new byte[64];
        Encoding.UTF8.GetString(buffer, 0, await stream.ReadAsync(buffer)).ShouldBe(": keep-alive\n\n");
        isRead.SetResult();
        await Should.ThrowAsync<Exception>(() => stream.ReadExactlyAsync(buffer, 0, 1).AsTask());

        await node.ReportAsync(new UsageReport((await node.SeenAsync()).Request, GatewayUnderTest.Model, 0, 0, 0)); // refused after all
        var stack = await gateway.StackAsync();
        (stack.Used, stack.Reserved, (await gateway.LastLockAsync()).State).ShouldBe((0, 0, "spent"));
    }

    [Fact]
    public async Task A_lock_that_was_given_back_lives_thirty_seconds_and_no_more()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = context => ScriptedNode.RefuseAsync(context, 503, "SERVICE_UNAVAILABLE");
        using var user = await gateway.UserAsync();
        var body = (await LockedNode.LockAsync(user)).Envelope();
        await (await user.PostAsync(Chat, Http.Json(body))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");

        gateway.Clock.Advance(TimeSpan.FromSeconds(31));

        await (await user.PostAsync(Chat, Http.Json(body))).ShouldBeErrorAsync(425, "UNAVAILABLE_STACK");
    }

    [Theory]
    [InlineData("7", 7)]
    [InlineData("1", 1)]
    [InlineData("2", 2)]
    [InlineData("3600", 3600)]
    [InlineData("3601", 1)]
    [InlineData("0", 1)]
    [InlineData("1.5", 1)]
    [InlineData("-1", 1)]
    [InlineData("soon", 1)]
    [InlineData("99999999999", 1)]
    public async Task Retry_after_passes_where_it_is_sane(string sent, int expected)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = context =>
        {
            context.Response.Headers.RetryAfter = sent;
            return ScriptedNode.RefuseAsync(context, 429, "TOO_MANY_REQUESTS");
        };
        using var user = await gateway.UserAsync();
        var response = await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope()));
        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(expected));
    }

    [Theory]
    [InlineData(401, "application/json", """{"error":{"code":"AUTH_ERROR","message":"x"}}""")]
    [InlineData(403, "application/json", """{"error":{"code":"AUTH_ERROR","message":"x"}}""")]
    [InlineData(402, "application/json", """{"error":{"code":"BALANCE_ERROR","message":"x"}}""")]
    [InlineData(425, "application/json", """{"error":{"code":"UNAVAILABLE_STACK","message":"x"}}""")]
    [InlineData(408, "application/json", """{"error":{"code":"BODY_TOO_SLOW","message":"x"}}""")]
    [InlineData(405, "application/json", """{"error":{"code":"METHOD_NOT_ALLOWED","message":"x"}}""")]
    [InlineData(400, "application/json", """{"error":{"code":"MADE_UP","message":"x"}}""")]
    [InlineData(500, "text/html", "<script>alert(1)</script>")]
    [InlineData(302, "text/plain", "")]
    [InlineData(204, null, "")]
    [InlineData(200, "text/html", "<script>alert(1)</script>")]
    [InlineData(400, "application/json", """{"error":[[[[[[[[[[[[]]]]]]]]]]]]}""")]
    public async Task Junk_of_a_node_is_an_internal_error(int status, string? contentType, string body)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = async context =>
        {
            context.Response.StatusCode = status;
            context.Response.ContentType = contentType;
            context.Response.Headers.Location = "http://127.0.0.1:1/";
            if (body.Length > 0)
                await context.Response.WriteAsync(body);
        };
        using var user = await gateway.UserAsync();
        var response = await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope()));
        await response.ShouldBeErrorAsync(500, "INTERNAL_ERROR");
        response.Headers.Location.ShouldBeNull();
        if (status == 401)
            gateway.Log.Text.ShouldContain("refuses the gateway's relay tokens");
        (await gateway.LastLockAsync()).State.ShouldBe(status == 200 ? "spent" : "returned");
    }

    [Fact]
    public async Task A_node_that_is_gone_is_503_and_gets_no_locks_until_it_is_reached()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        await node.StopAsync();

        await (await user.PostAsync(Chat, Http.Json(locked.Envelope()))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");

        (await gateway.LastLockAsync()).State.ShouldBe("returned");
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("released");
        await node.BeatAsync();
        await (await user.PostAsync("/v1/nodes/lock", Http.Json("""{"model":"test-model"}"""))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        await node.MoveAsync();
        await node.AnnounceAsync();
        await LockedNode.LockAsync(user);
    }

    [Fact]
    public async Task A_node_whose_host_drops_packets_is_503_and_gets_no_locks_until_it_is_reached()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();

        // Once nobody accepts and the queue is full, the kernel drops what else would connect.
        using var deaf = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        deaf.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        deaf.Listen(1);
        var waiting = new List<Socket>();
        for (var i = 0; i < 8; i++)
        {
            waiting.Add(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false });
            Should.Throw<SocketException>(() => waiting[^1].Connect(deaf.LocalEndPoint!)).SocketErrorCode.ShouldBe(SocketError.WouldBlock);
        }

        var there = node.Address;
        node.Address = $"http://{deaf.LocalEndPoint}";
        await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text);
        await node.BeatAsync();

        await (await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope()))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");

        (await gateway.LastLockAsync()).State.ShouldBe("returned");
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("released");
        await node.BeatAsync();
        await (await user.PostAsync("/v1/nodes/lock", Http.Json("""{"model":"test-model"}"""))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        node.Address = there;
        await node.AnnounceAsync();
        await LockedNode.LockAsync(user);
        waiting.ForEach(socket => socket.Dispose());
    }

    [Fact]
    public async Task A_node_that_dies_before_its_answer_keeps_the_reservation_and_gives_the_lock_back()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.Script = context =>
        {
            context.Abort();
            return Task.CompletedTask;
        };
        using var user = await gateway.UserAsync();
        var body = (await LockedNode.LockAsync(user)).Envelope(100);
        await (await user.PostAsync(Chat, Http.Json(body))).ShouldBeErrorAsync(500, "INTERNAL_ERROR");
        (await gateway.LastLockAsync()).State.ShouldBe("returned");
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("held");
        (await gateway.StackAsync()).Reserved.ShouldBe(8192 + 100 + 8192);

        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        (await user.PostAsync(Chat, Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_node_that_dies_in_mid_stream_never_looks_like_a_clean_end()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var firstIsRead = new TaskCompletionSource();
        node.Script = async context =>
        {
            context.Response.ContentType = "text/event-stream";
            await context.Response.WriteAsync("data: {}\n\n");
            await context.Response.Body.FlushAsync();
            await firstIsRead.Task;
            context.Abort();
        };
        using var user = await gateway.UserAsync();
        var request = new HttpRequestMessage(HttpMethod.Post, Chat) { Content = Http.Json((await LockedNode.LockAsync(user)).Envelope()) };
        using var response = await user.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        response.Headers.CacheControl!.NoStore.ShouldBeTrue();
        await using var stream = await response.Content.ReadAsStreamAsync();

        // The event is here while the node is still answering: nothing holds it back.
        var buffer = new byte[64];
        Encoding.UTF8.GetString(buffer, 0, await stream.ReadAsync(buffer)).ShouldBe("data: {}\n\n");
        firstIsRead.SetResult();

        await Should.ThrowAsync<Exception>(() => stream.ReadExactlyAsync(buffer, 0, 1).AsTask());
        (await gateway.LastLockAsync()).State.ShouldBe("spent");
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("held");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_that_hangs_up_cancels_the_node_at_once(bool inMidStream)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var arrived = new TaskCompletionSource();
        var cancelled = new TaskCompletionSource();
        node.Script = async context =>
        {
            if (inMidStream)
            {
                context.Response.ContentType = "text/event-stream";
                await context.Response.WriteAsync("data: {}\n\n");
                await context.Response.Body.FlushAsync();
            }

            using var gone = context.RequestAborted.Register(cancelled.SetResult);
            arrived.SetResult();
            await cancelled.Task;
        };
        using var user = gateway.Client(await gateway.KeyAsync("alice"), hangsUpAtOnce: true);
        using var hangUp = new CancellationTokenSource();
        var request = new HttpRequestMessage(HttpMethod.Post, Chat) { Content = Http.Json((await LockedNode.LockAsync(user)).Envelope()) };
        var answer = user.SendAsync(request, inMidStream ? HttpCompletionOption.ResponseHeadersRead : HttpCompletionOption.ResponseContentRead, hangUp.Token);
        await arrived.Task;
        if (inMidStream)
            (await answer).Dispose();
        else
            await hangUp.CancelAsync();

        await cancelled.Task.WaitAsync(TimeSpan.FromSeconds(1.5));

        // The node may have computed: its report settles the units. Who left before the answer's head may come again with the lock.
        var state = inMidStream ? "spent" : "returned";
        for (var tries = 0; tries < 200 && (await gateway.LastLockAsync()).State != state; tries++)
            await Task.Delay(25);
        (await gateway.LastLockAsync()).State.ShouldBe(state);
        (await gateway.ReservationsAsync()).Single().State.ShouldBe("held");
    }

    [Fact]
    public async Task A_body_above_the_limit_is_413_with_and_without_its_length()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBodyBytes = 20_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("alice");
        using var user = gateway.Client(key);
        var body = (await LockedNode.LockAsync(user)).Envelope(20_000);
        await (await user.PostAsync(Chat, Http.Json(body))).ShouldBeErrorAsync(413, "BODY_TOO_LARGE");

        using var second = gateway.Client(key); // the first one's connection is closed
        var chunked = new HttpRequestMessage(HttpMethod.Post, Chat) { Content = Http.Json(body) };
        chunked.Headers.TransferEncodingChunked = true;
        await (await second.SendAsync(chunked)).ShouldBeErrorAsync(413, "BODY_TOO_LARGE");
        node.RequestsSeen.ShouldBe(0);
    }

    [Fact]
    public async Task A_promise_of_a_large_body_is_refused_before_any_of_it_is_sent()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var key = await gateway.KeyAsync("alice");
        using var socket = new TcpClient();
        await socket.ConnectAsync(IPAddress.Loopback, gateway.Url.Port);
        await using var stream = socket.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"POST {Chat} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"));
        using var reader = new StreamReader(stream);
        (await reader.ReadLineAsync()).ShouldBe("HTTP/1.1 413 Payload Too Large");
    }
}
