using System.Text;
using ConfidentialChat.Hosting.Bodies;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>What one user does can neither take the service from the others nor make it free.</summary>
public sealed class LimitTests
{
    private const string Chat = GatewayUnderTest.ChatPath;

    [Theory]
    [InlineData("Accept", "é")]
    [InlineData("Content-Type", "application/json; x=\"é\"")]
    public async Task A_poisoned_header_takes_no_node_out_of_service(string header, string value)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        var body = Encoding.Latin1.GetString(locked.Envelope());
        var raw = Encoding.UTF8.GetBytes(
            $"POST {Chat} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {user.DefaultRequestHeaders.Authorization}\r\n"
            + (header == "Content-Type" ? "" : "Content-Type: application/json\r\n") + $"{header}: {value}\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        using var connection = new System.Net.Sockets.TcpClient();
        await connection.ConnectAsync(gateway.Url.Host, gateway.Url.Port, TestContext.Current.CancellationToken);
        await connection.GetStream().WriteAsync(raw, TestContext.Current.CancellationToken);
        using var reader = new StreamReader(connection.GetStream());
        await reader.ReadToEndAsync(TestContext.Current.CancellationToken);

        (await gateway.ReadAsync(state => state.Nodes.SingleAsync())).Unreachable.ShouldBeFalse();
        await LockedNode.LockAsync(user);
    }

    [Fact]
    public async Task An_answer_that_takes_hours_keeps_its_units_and_is_charged_in_full()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { StackUnits = 20_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var begun = new TaskCompletionSource();
        var end = new TaskCompletionSource();
        node.Script = async context =>
        {
            context.Response.ContentType = "text/event-stream";
            await context.Response.WriteAsync("data: {}\n\n");
            await context.Response.Body.FlushAsync();
            begun.SetResult();
            await end.Task;
        };
        using var user = await gateway.UserAsync();
        var locked = await LockedNode.LockAsync(user);
        var answer = user.PostAsync(Chat, Http.Json(locked.Envelope()));
        await begun.Task;
        for (var hour = 0; hour < 3; hour++)
        {
            gateway.Clock.Advance(TimeSpan.FromMinutes(9)); // the sweeper comes every second; here, when it is called
            await gateway.SweepAsync();
        }

        var held = (await gateway.ReservationsAsync()).Single();
        held.State.ShouldBe("held");
        (await gateway.StackAsync()).Reserved.ShouldBe(held.Held);
        end.SetResult();
        await (await answer).Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        gateway.Clock.Advance(TimeSpan.FromMinutes(1));
        await gateway.SweepAsync();
        await node.ReportAsync(new Protocol.Relay.UsageReport(Guid.Parse(held.RequestId), GatewayUnderTest.Model, 4000, 4000, 0));
        (await gateway.StackAsync()).Used.ShouldBe(8000);
    }

    [Fact]
    public async Task One_user_has_no_more_than_so_many_requests_at_once_and_leaves_room_for_others()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxRelaysPerUser = 2 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var inside = new SemaphoreSlim(0);
        var end = new TaskCompletionSource();
        node.Script = async context =>
        {
            inside.Release();
            await end.Task;
            await ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        };
        using var greedy = await gateway.UserAsync();
        using var other = await gateway.UserAsync("bob");
        var running = new List<Task<HttpResponseMessage>>();
        for (var i = 0; i < 2; i++)
        {
            running.Add(greedy.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(greedy)).Envelope())));
            await inside.WaitAsync(TestContext.Current.CancellationToken);
        }

        var third = await greedy.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(greedy)).Envelope()), TestContext.Current.CancellationToken);
        await third.ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        third.Headers.RetryAfter.ShouldNotBeNull();
        running.Add(other.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(other)).Envelope())));
        await inside.WaitAsync(TestContext.Current.CancellationToken);

        end.SetResult();
        (await Task.WhenAll(running)).ShouldAllBe(answer => answer.IsSuccessStatusCode);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        (await greedy.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(greedy)).Envelope()), TestContext.Current.CancellationToken)).IsSuccessStatusCode
            .ShouldBeTrue();
    }

    [Fact]
    public async Task One_user_fills_no_more_than_a_quarter_of_the_room_for_bodies()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBodyBytes = 100_000, MaxBufferedBytes = 400_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("greedy");
        using var greedy = gateway.Client(key);
        using var other = await gateway.UserAsync("other");
        using var connection = new System.Net.Sockets.TcpClient();
        await connection.ConnectAsync(gateway.Url.Host, gateway.Url.Port, TestContext.Current.CancellationToken);
        var head = $"POST {Chat} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n";
        await connection.GetStream().WriteAsync((byte[])[.. Encoding.ASCII.GetBytes(head), .. new byte[80_000]], TestContext.Current.CancellationToken);
        var bodies = gateway.App.Services.GetRequiredService<BodyBudget>();
        for (var tries = 0; bodies.Taken < 80_000; tries++)
        {
            tries.ShouldBeLessThan(3000);
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        await (await greedy.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(greedy)).Envelope(20_000)))).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        (await other.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(other)).Envelope(20_000)))).IsSuccessStatusCode.ShouldBeTrue();
    }

    [Fact]
    public async Task Who_sends_giants_that_nodes_refuse_waits_for_them_to_be_forgotten_and_nobody_else_does()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var greedy = await gateway.UserAsync("greedy");
        using var other = await gateway.UserAsync("other");
        var giant = (await LockedNode.LockAsync(greedy)).Envelope(18 << 20); // 24 MiB in base64
        node.Script = context => ScriptedNode.RefuseAsync(context, 400, "CONTEXT_TOO_LARGE");
        for (var i = 0; i < 3; i++)
            await (await greedy.PostAsync(Chat, Http.Json(giant))).ShouldBeErrorAsync(400, "CONTEXT_TOO_LARGE"); // the lock comes back each time

        var waiting = await greedy.PostAsync(Chat, Http.Json(giant));
        await waiting.ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        waiting.Headers.RetryAfter!.Delta!.Value.TotalSeconds.ShouldBeInRange(1, 10);
        node.RequestsSeen.ShouldBe(3);
        node.Script = context => ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        (await other.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(other)).Envelope()))).IsSuccessStatusCode.ShouldBeTrue();

        gateway.Clock.Advance(waiting.Headers.RetryAfter.Delta.Value);
        (await greedy.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(greedy)).Envelope()))).IsSuccessStatusCode.ShouldBeTrue();
    }

    [Fact]
    public async Task Giants_that_the_gateway_itself_refuses_count_too_and_a_busy_node_is_nobodys_fault()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var greedy = await gateway.UserAsync("greedy");
        using var patient = await gateway.UserAsync("patient");
        var giant = new byte[24 << 20];
        giant.AsSpan().Fill((byte)' ');
        for (var i = 0; i < 3; i++)
            await (await greedy.PostAsync(Chat, Http.Json(giant))).ShouldBeErrorAsync(400, "INVALID_JSON");
        await (await greedy.PostAsync(Chat, Http.Json(giant))).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");

        node.Script = context => ScriptedNode.RefuseAsync(context, 503, "SERVICE_UNAVAILABLE");
        var body = (await LockedNode.LockAsync(patient)).Envelope(18 << 20);
        for (var i = 0; i < 5; i++)
            await (await patient.PostAsync(Chat, Http.Json(body))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
    }

    [Fact]
    public async Task A_body_that_came_without_its_length_holds_no_more_room_than_it_has()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBodyBytes = 10_000, MaxBufferedBytes = 48_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var (inside, end) = (new SemaphoreSlim(0), new TaskCompletionSource());
        node.Script = async context =>
        {
            inside.Release();
            await end.Task;
            await ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        };
        using var user = await gateway.UserAsync();
        var running = new List<Task<HttpResponseMessage>>();
        for (var i = 0; i < 3; i++)
        {
            var request = new HttpRequestMessage(HttpMethod.Post, Chat) { Content = Http.Json((await LockedNode.LockAsync(user)).Envelope(100)) };
            request.Headers.TransferEncodingChunked = true;
            running.Add(user.SendAsync(request));
            (await inside.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken)).ShouldBeTrue(await Told(running[^1]));
        }

        end.SetResult();
        (await Task.WhenAll(running)).ShouldAllBe(answer => answer.IsSuccessStatusCode);

        static async Task<string> Told(Task<HttpResponseMessage> answer) => answer.IsCompleted ? $"{(await answer).StatusCode}" : "no answer yet";
    }

    [Fact]
    public async Task Bodies_of_all_users_together_are_bounded()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBufferedBytes = 10_000 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await (await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope(8000)))).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        (await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope()), TestContext.Current.CancellationToken)).IsSuccessStatusCode
            .ShouldBeTrue();
    }

    [Fact]
    public async Task A_flood_of_locks_ends_in_429_and_leaves_no_rows_behind()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxOpenLocks = 5 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        for (var i = 0; i < 5; i++)
            await LockedNode.LockAsync(user);
        var reserved = (await gateway.StackAsync()).Reserved;
        await (await user.PostAsync("/v1/nodes/lock", Http.Json("""{"model":"test-model"}"""u8.ToArray()))).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        (await gateway.StackAsync()).Reserved.ShouldBe(reserved);

        gateway.Clock.Advance(TimeSpan.FromMinutes(2));
        await gateway.SweepAsync();
        (await gateway.StackAsync()).Reserved.ShouldBe(0);
        gateway.Clock.Advance(TimeSpan.FromHours(1));
        await gateway.SweepAsync();
        (await gateway.ReadAsync(state => state.Locks.CountAsync())).ShouldBe(0);
    }

    [Fact]
    public async Task A_lock_with_a_giant_body_and_a_stranger_with_one_are_not_read()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var user = await gateway.UserAsync();
        var giant = Encoding.UTF8.GetBytes("{\"x\":[" + new string('0', 20_000) + "]}");
        await (await user.PostAsync("/v1/nodes/lock", Http.Json(giant))).ShouldBeErrorAsync(413, "BODY_TOO_LARGE");

        using var stranger = gateway.Client();
        foreach (var path in (string[])["/v1/nodes/heartbeat", "/v2/usage-reports", "/v1/nodes/enrolment"])
            await (await stranger.PostAsync(path, Http.Json(giant))).ShouldBeErrorAsync(401, "AUTH_ERROR");
    }
}
