using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>Whoever has shown no relay token keeps the gateway out neither by silence nor by bodies: spec/gateway.md section 8 rules 1 and 2.</summary>
public sealed class StrangerTests
{
    [Fact]
    public async Task More_silent_connections_than_there_are_places_keep_the_gateway_and_health_checks_in()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { MaxConnections = 64 });
        var silent = new List<Socket>();
        for (var i = 0; i < 300; i++)
            silent.Add(await ConnectAsync(node));
        var call = node.Seal();
        (await node.PostAsync(call)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await node.Client.GetAsync(new Uri(node.Url, "/health/ready")).Soon()).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await ReadAsync(silent[0])).ShouldBe("");
        node.Log.Text.ShouldContain("silent ones closed");
        silent.ForEach(socket => socket.Dispose());
    }

    [Fact]
    public async Task Silence_and_a_head_that_never_ends_are_closed_after_ten_seconds()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), time: time);
        using var silent = await ConnectAsync(node);
        using var slow = await ConnectAsync(node);
        await slow.SendAsync("POST "u8.ToArray());
        Task<string>[] ends = [ReadAsync(silent), ReadAsync(slow)];
        while (!ends.All(end => end.IsCompleted)) // a connection that the node has not seen yet has its time still before it
        {
            time.Advance(TimeSpan.FromSeconds(6));
            await Task.WhenAny(Task.WhenAll(ends), Task.Delay(100, TestContext.Current.CancellationToken));
        }

        (await Task.WhenAll(ends)).ShouldBe(["", ""]);
    }

    [Theory]
    [InlineData(NodeUnderTest.ChatPath, 401)]
    [InlineData("/health", 405)]
    [InlineData("/control/rotate", 404)]
    [InlineData("/nowhere", 404)]
    public async Task A_large_body_of_a_stranger_is_neither_waited_for_nor_taken(string path, int status)
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        using var socket = await ConnectAsync(node);
        await socket.SendAsync(Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 33554432\r\n\r\n"));
        (await ReadAsync(socket)).ShouldStartWith($"HTTP/1.1 {status} ");
        long sent = 0;
        try
        {
            while (sent < 32 * 1024 * 1024)
                sent += await socket.SendAsync(new byte[65536]);
        }
        catch (SocketException)
        {
        }

        sent.ShouldBeLessThan(16 * 1024 * 1024); // the buffers of two sockets
    }

    private static async Task<Socket> ConnectAsync(NodeUnderTest node)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(node.Url.Host, node.Url.Port);
        return socket;
    }

    // What came first; nothing where the connection has been closed.
    private static async Task<string> ReadAsync(Socket socket)
    {
        var buffer = new byte[4096];
        try
        {
            return Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer).Soon());
        }
        catch (SocketException)
        {
            return "";
        }
    }
}
