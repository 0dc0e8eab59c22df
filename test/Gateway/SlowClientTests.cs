using System.Net.Sockets;
using System.Text;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Clients that send or read slowly, or leave in the middle: on sockets, where every byte can be held back.</summary>
public sealed class SlowClientTests
{
    private const string Chat = GatewayUnderTest.ChatPath;

    // Kestrel asks for 240 bytes a second after a grace of five.
    [Fact]
    public async Task A_slow_upload_is_cut_off_with_nothing_held()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("alice");
        using var user = gateway.Client(key);
        await LockedNode.LockAsync(user);
        using var socket = await ConnectAsync(gateway);
        await socket.SendAsync(Head(gateway, key, contentLength: 100_000));
        (await AnswerAsync(socket, "{"u8.ToArray(), TimeSpan.FromMilliseconds(500))).ShouldStartWith("HTTP/1.1 400 ");
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
        // Far above Kestrel's least rate.
        (await AnswerAsync(socket, new byte[1000], TimeSpan.FromMilliseconds(100))).ShouldStartWith("HTTP/1.1 400 ");
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
    private static async Task<string> AnswerAsync(Socket socket, byte[] piece, TimeSpan pause)
    {
        using var ended = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await Task.Run(() => socket.Poll(pause, SelectMode.SelectRead)))
            await socket.SendAsync(piece, ended.Token);
        var (answer, buffer, read) = (new StringBuilder(), new byte[4096], 0);
        do
        {
            read = await socket.ReceiveAsync(buffer, ended.Token);
            answer.Append(Encoding.ASCII.GetString(buffer, 0, read));
        }
        while (read > 0);
        return answer.ToString();
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
