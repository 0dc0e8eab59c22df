using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Cli;
using ConfidentialChat.EndToEnd.Tests.Running;

namespace ConfidentialChat.EndToEnd.Tests;

/// <summary>A gateway with few files, or little memory: it serves what it can, or does not start and says why.</summary>
[TimeLimit(300)] // processes that start one after the other
public sealed class ScarcityTests : IDisposable
{
    private readonly string data = Directory.CreateTempSubdirectory("cchat-scarce-").FullName;

    public void Dispose() => Directory.Delete(data, recursive: true);

    [Fact]
    public async Task A_flood_of_connections_does_not_end_a_gateway_that_may_open_few_files()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the limit is read from /proc");
        using var gateway = Start("ulimit -n 640");
        var errors = gateway.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var line = await gateway.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        line.ShouldNotBeNull(line is null ? await errors : "");
        var url = new Uri(JsonElement.Parse(line).GetProperty("gateway").GetString()!);

        // More than there are files, and each with a request.
        var flood = new List<Socket>();
        try
        {
            for (var i = 0; i < 900; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                flood.Add(socket);
                using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));
                try
                {
                    await socket.ConnectAsync(IPAddress.Loopback, url.Port, patience.Token);
                    await socket.SendAsync("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), patience.Token);
                }
                catch (Exception e) when (e is OperationCanceledException or SocketException)
                {
                    break; // the system's queue is full
                }
            }

            flood.Count.ShouldBeGreaterThan(500);
            Directory.GetFiles($"/proc/{gateway.Id}/fd").Length.ShouldBeLessThan(640 - 64);
        }
        finally
        {
            flood.ForEach(socket => socket.Dispose());
        }

        using var client = new HttpClient { BaseAddress = url, Timeout = TimeSpan.FromSeconds(30) };
        await Waiting.UntilAsync(() => IsReadyAsync(client)); // what is left of the flood may still come before it
        await RunningStack.SignalAsync(gateway.Id, "TERM");
        await gateway.WaitForExitAsync(TestContext.Current.CancellationToken);
        gateway.ExitCode.ShouldBe(0, await errors);
        (await errors).ShouldMatch("room for 88 connections and not for 4096: .* 640 files .*hint: .*8656");
    }

    private static async Task<bool> IsReadyAsync(HttpClient client)
    {
        try
        {
            using var response = await client.GetAsync(new Uri("/health/ready", UriKind.Relative), TestContext.Current.CancellationToken);
            return response.StatusCode == HttpStatusCode.OK;
        }
        catch (HttpRequestException)
        {
            return false; // its connection went for a later one
        }
    }

    // By the default of before, a cgroup's killer ended the gateway.
    [Fact]
    public async Task Bodies_take_no_more_than_a_little_memory_leaves_them()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the limit is read from /proc");
        using var gateway = Start("export DOTNET_GCHeapHardLimit=0x8000000"); // 128 MiB: a quarter is one body of 20 MiB and not two
        var errors = gateway.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var line = await gateway.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        var url = new Uri(JsonElement.Parse(line.ShouldNotBeNull()).GetProperty("gateway").GetString()!);
        var key = (await InProcess.RunAsync("keys", "create", "--data", data)).Output.Trim();
        using (var first = await UploadAsync(url, key))
        using (var second = await UploadAsync(url, key))
        {
            await ShouldAnswerAsync(second, 429);
            await first.SendAsync("x"u8.ToArray());
            await ShouldAnswerAsync(first, 400); // whole, and no envelope
        }

        using (var third = await UploadAsync(url, key))
        {
            await third.SendAsync("x"u8.ToArray());
            await ShouldAnswerAsync(third, 400); // its room is free again
        }

        await RunningStack.SignalAsync(gateway.Id, "TERM");
        await gateway.WaitForExitAsync(TestContext.Current.CancellationToken);
        gateway.ExitCode.ShouldBe(0, await errors);
        (await errors).ShouldMatch("room for 30 MiB of request bodies.* up to 32 MiB.*hint: .*--max-buffered-mib");
    }

    // All of a body of 20 MiB but its last byte, or as much of it as is taken.
    private static async Task<Socket> UploadAsync(Uri url, string key)
    {
        const int size = 20 << 20;
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, url.Port, TestContext.Current.CancellationToken);
        var head = $"POST /v1/confidential/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            + $"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n";
        await socket.SendAsync(Encoding.ASCII.GetBytes(head), TestContext.Current.CancellationToken);
        try
        {
            for (var (rest, piece) = (size - 1, new byte[65536]); rest > 0;)
                rest -= await socket.SendAsync(piece.AsMemory(..Math.Min(rest, piece.Length)), TestContext.Current.CancellationToken);
        }
        catch (SocketException)
        {
            // refused before its end
        }

        return socket;
    }

    private static async Task ShouldAnswerAsync(Socket socket, int status)
    {
        var answer = new byte[64];
        var count = await socket.ReceiveAsync(answer, TestContext.Current.CancellationToken);
        Encoding.ASCII.GetString(answer, 0, count).ShouldStartWith($"HTTP/1.1 {status} ");
    }

    [Theory]
    [InlineData("ulimit -n 300", "300 files")]
    [InlineData("export DOTNET_GCHeapHardLimit=0x1000000", "16 MiB")]
    public async Task A_gateway_that_could_not_serve_does_not_start(string scarcity, string mentions)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the limit is read from /proc");
        using var gateway = Start(scarcity);
        var errors = await gateway.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await gateway.WaitForExitAsync(TestContext.Current.CancellationToken);
        gateway.ExitCode.ShouldBe(ExitCode.Usage, errors);
        errors.ShouldMatch(string.Create(CultureInfo.InvariantCulture, $"^error: .*{mentions}.*\nhint: .*\n$"));
    }

    private Process Start(string scarcity) => Process.Start(new ProcessStartInfo(
        "sh", ["-c", $"{scarcity}; exec \"$@\"", "sh", Path.Combine(AppContext.BaseDirectory, "cchat"), "gateway", "--data", data, "--port", "0", "--json"])
    {
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;
}
