using System.Net.Sockets;
using System.Text;
using ConfidentialChat.Hosting.Bodies;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Clients that send or read slowly, or leave in the middle: on sockets, where every byte can be held back.</summary>
public sealed class SlowClientTests
{
    private const string Chat = GatewayUnderTest.ChatPath;

    [Fact]
    public async Task A_slow_upload_is_cut_off_with_nothing_held()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("alice");
        using var user = gateway.Client(key);
        await LockedNode.LockAsync(user, $$"""{"model":"{{GatewayUnderTest.Model}}","timeout":60}""");
        using var socket = await ConnectAsync(gateway);
        await socket.SendAsync(Head(gateway, key, contentLength: 100_000));
        var left = 20; // seconds: a lock lives longer
        (await AnswerAsync(socket, "{"u8.ToArray(), TimeSpan.FromMilliseconds(200), () => gateway.Clock.Advance(TimeSpan.FromSeconds(left-- > 0 ? 1 : 0))))
            .ShouldStartWith("HTTP/1.1 408 ");
        node.RequestsSeen.ShouldBe(0);
        (await gateway.LastLockAsync()).State.ShouldBe("open");
        (await gateway.ReservationsAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task An_upload_that_is_steady_but_takes_for_ever_is_cut_off_too()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { UploadTimeout = TimeSpan.FromSeconds(1) });
        var key = await gateway.KeyAsync("alice");
        using var socket = await ConnectAsync(gateway);
        await socket.SendAsync(Head(gateway, key, contentLength: 30_000_000));
        var answer = await AnswerAsync(socket, new byte[60_000], TimeSpan.FromSeconds(1), () => gateway.Clock.Advance(TimeSpan.FromMilliseconds(500)));
        answer.ShouldStartWith("HTTP/1.1 408 ");
        answer.ShouldContain("BODY_TOO_SLOW");
        answer.ShouldContain("Connection: close");
    }

    [Fact]
    public async Task A_body_that_promises_32_MiB_and_drips_is_cut_off_in_seconds_however_long_an_upload_may_take()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { UploadTimeout = TimeSpan.FromHours(1) });
        var key = await gateway.KeyAsync("alice");
        using var socket = await ConnectAsync(gateway);
        await socket.SendAsync(Head(gateway, key, contentLength: 32 * 1024 * 1024));
        var began = gateway.Clock.GetUtcNow();
        (await AnswerAsync(socket, new byte[300], TimeSpan.FromMilliseconds(500), () => gateway.Clock.Advance(TimeSpan.FromSeconds(1))))
            .ShouldStartWith("HTTP/1.1 408 ");
        // 5; the rest for a machine that lets the answer wait.
        (gateway.Clock.GetUtcNow() - began).ShouldBeInRange(TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(60));
    }

    [Fact]
    public async Task An_honest_upload_of_64_KiB_a_second_arrives()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("alice");
        using var user = gateway.Client(key);
        var body = (await LockedNode.LockAsync(user, $$"""{"model":"{{GatewayUnderTest.Model}}","timeout":60}""")).Envelope(2_000_000); // 41 s
        using var socket = await ConnectAsync(gateway);
        await socket.SendAsync(Head(gateway, key, body.Length));
        for (var sent = 0; sent < body.Length; sent += 64 * 1024)
        {
            await socket.SendAsync(body.AsMemory(sent, Math.Min(64 * 1024, body.Length - sent)));
            await BufferedAsync(gateway, bytes => bytes >= Math.Min(sent + (64 * 1024), body.Length - 1) || node.RequestsSeen == 1);
            gateway.Clock.Advance(TimeSpan.FromSeconds(1));
        }

        var buffer = new byte[4096];
        Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer, TestContext.Current.CancellationToken)).ShouldStartWith("HTTP/1.1 200 ");
        (await node.SeenAsync()).Body.ShouldBe(body);
    }

    [Fact]
    public async Task Accounts_that_promise_32_MiB_each_and_send_nothing_leave_the_room_to_others()
    {
        // Half of what is promised.
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBufferedBytes = 256 * 1024 * 1024 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var sockets = new List<Socket>();
        var keys = new List<string>();
        foreach (var name in (string[])["a", "b", "c", "d"])
            keys.Add(await gateway.KeyAsync(name));
        foreach (var key in keys)
        {
            for (var i = 0; i < 4; i++)
            {
                sockets.Add(await ConnectAsync(gateway));
                await sockets[^1].SendAsync(Head(gateway, key, contentLength: 32 * 1024 * 1024));
                await sockets[^1].SendAsync("{"u8.ToArray());
            }
        }

        await BufferedAsync(gateway, bytes => bytes == sockets.Count * 4096); // a page each
        using var user = gateway.Client(await gateway.KeyAsync("alice"));
        foreach (var size in (int[])[500, 1_000_000])
            (await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope(size)))).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
        sockets.ForEach(socket => socket.Dispose());
        await BufferedAsync(gateway, bytes => bytes == 0);
    }

    [Fact]
    public async Task Large_bodies_that_fill_their_part_of_the_room_leave_the_small_ones_theirs()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBodyBytes = 512 * 1024, MaxBufferedBytes = 1024 * 1024 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var sockets = new List<Socket>();
        foreach (var name in (string[])["a", "b"])
        {
            sockets.Add(await ConnectAsync(gateway));
            await sockets[^1].SendAsync(Head(gateway, await gateway.KeyAsync(name), contentLength: 480 * 1024));
            await sockets[^1].SendAsync(new byte[(480 * 1024) - 1]);
        }

        await BufferedAsync(gateway, bytes => bytes == 960 * 1024); // all but a sixteenth
        using var user = gateway.Client(await gateway.KeyAsync("alice"));
        // 80 KB of JSON.
        await (await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope(60_000)))).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        (await user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope(20_000)))).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
        sockets.ForEach(socket => socket.Dispose());
        await BufferedAsync(gateway, bytes => bytes == 0);
    }

    [Fact]
    public async Task A_body_without_length_that_finds_no_more_room_on_its_way_is_turned_away_and_leaves_nothing_behind()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxBufferedBytes = 1024 * 1024 });
        var key = await gateway.KeyAsync("alice");
        using var socket = await ConnectAsync(gateway);
        await socket.SendAsync(Encoding.ASCII.GetBytes(
            $"POST {Chat} HTTP/1.1\r\nHost: {gateway.Url.Authority}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"));
        await socket.SendAsync((byte[])[.. "F0001\r\n"u8, .. new byte[0xF0001]]); // one byte more than large bodies may take
        var answer = new byte[4096];
        var read = await socket.ReceiveAsync(answer, TestContext.Current.CancellationToken)
            .AsTask().WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Encoding.ASCII.GetString(answer, 0, read).ShouldStartWith("HTTP/1.1 429 ");
        await BufferedAsync(gateway, bytes => bytes == 0);
    }

    [Fact]
    public async Task The_gateway_keeps_no_body_while_its_answer_is_being_made()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var (inside, end) = (new TaskCompletionSource(), new TaskCompletionSource());
        node.Script = async context =>
        {
            inside.SetResult();
            await end.Task;
            await ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        };
        using var user = await gateway.UserAsync();
        var answer = user.PostAsync(Chat, Http.Json((await LockedNode.LockAsync(user)).Envelope(1_000_000)));
        await inside.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        await BufferedAsync(gateway, bytes => bytes == 0);
        end.SetResult();
        (await answer).IsSuccessStatusCode.ShouldBeTrue();
    }

    [Fact]
    public async Task A_client_that_leaves_in_mid_upload_leaves_its_place_and_its_lock()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxRelaysPerUser = 1 });
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("alice");
        using var user = gateway.Client(key);
        var locked = await LockedNode.LockAsync(user);
        for (var isInPlace = false; !isInPlace;)
        {
            using var socket = await ConnectAsync(gateway);
            await using var wire = new NetworkStream(socket);
            await wire.WriteAsync(Head(gateway, key, contentLength: 100_000));
            await wire.WriteAsync(new byte[1000]);

            // Who asks may have had the user's one place just then: the half request was refused in its turn, and is sent anew.
            while (!isInPlace && socket.Available == 0)
                isInPlace = (await user.PostAsync(Chat, Http.Json("{}"))).StatusCode is System.Net.HttpStatusCode.TooManyRequests;
            socket.LingerState = new LingerOption(true, 0);
        }

        System.Net.Http.HttpResponseMessage answer;
        while ((answer = await user.PostAsync(Chat, Http.Json(locked.Envelope()))).StatusCode is System.Net.HttpStatusCode.TooManyRequests)
            await Task.Delay(10, TestContext.Current.CancellationToken);
        answer.StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
        node.RequestsSeen.ShouldBe(1);
    }

    [Fact]
    public async Task Who_does_not_read_is_not_buffered_for_and_is_cut_off()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        long sent = 0;
        var cancelled = new TaskCompletionSource();
        node.Script = async context =>
        {
            context.Response.ContentType = "text/event-stream";
            var events = Encoding.ASCII.GetBytes($"data: {{\"ciphertext\":\"{new string('A', 60_000)}\"}}\n\n");
            try
            {
                while (!context.RequestAborted.IsCancellationRequested)
                {
                    await context.Response.Body.WriteAsync(events, context.RequestAborted);
                    Interlocked.Add(ref sent, events.Length);
                }
            }
            catch (OperationCanceledException)
            {
            }

            cancelled.SetResult();
        };
        var key = await gateway.KeyAsync("alice");
        using var user = gateway.Client(key);
        var body = (await LockedNode.LockAsync(user)).Envelope();
        using var socket = await ConnectAsync(gateway);
        socket.ReceiveBufferSize = 16 * 1024;
        await using var wire = new NetworkStream(socket);
        await wire.WriteAsync(Head(gateway, key, body.Length));
        await wire.WriteAsync(body);

        long taken = 0;
        while (!cancelled.Task.IsCompleted)
        {
            // The gateway's clock moves only while nothing does.
            var before = Interlocked.Read(ref sent);
            await Task.Delay(200, TestContext.Current.CancellationToken);
            if (before == 0 || Interlocked.Read(ref sent) != before)
                continue;
            taken = before;
            gateway.Clock.Advance(TimeSpan.FromSeconds(31));
            break;
        }

        await cancelled.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        taken.ShouldBeInRange(1, 32 * 1024 * 1024); // the sockets' buffers on the way, and not what the node could say
    }

    /// <summary>
    /// Sends a piece after each pause until the answer comes, however busy the machine is: what is sent to a connection that has been
    /// closed resets it, and may take an answer away that nobody has read yet.
    /// </summary>
    private static async Task<string> AnswerAsync(Socket socket, byte[] piece, TimeSpan pause, Action? after = null)
    {
        using var ended = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await Task.Run(() => socket.Poll(pause, SelectMode.SelectRead)))
        {
            await socket.SendAsync(piece, ended.Token);
            after?.Invoke();
        }

        var (answer, buffer, read) = (new StringBuilder(), new byte[4096], 0);
        do
        {
            try
            {
                read = await socket.ReceiveAsync(buffer, ended.Token);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionReset && answer.Length > 0)
            {
                break; // what it had not read was thrown away with the connection, after its answer
            }

            answer.Append(Encoding.ASCII.GetString(buffer, 0, read));
        }
        while (read > 0);
        return answer.ToString();
    }

    /// <summary>Waits until the bodies in memory are as many bytes as they should be.</summary>
    private static async Task BufferedAsync(GatewayUnderTest gateway, Func<long, bool> isRight)
    {
        var bodies = gateway.App.Services.GetRequiredService<BodyBudget>();
        for (var tries = 0; !isRight(bodies.Taken); tries++)
        {
            tries.ShouldBeLessThan(3000, $"{bodies.Taken} bytes are taken");
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }
    }

    private static async Task<Socket> ConnectAsync(GatewayUnderTest gateway)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(gateway.Url.Host, gateway.Url.Port);
        return socket;
    }

    private static byte[] Head(GatewayUnderTest gateway, string key, int contentLength) => Encoding.ASCII.GetBytes(
        $"POST {Chat} HTTP/1.1\r\nHost: {gateway.Url.Authority}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {contentLength}\r\n\r\n");
}
