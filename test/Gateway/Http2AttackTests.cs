using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>HTTP/2 frames as nobody's library sends them: each flood ends with its connection, costs little, and the others are served meanwhile.</summary>
public sealed class Http2AttackTests : IDisposable
{
    private const byte Data = 0, Headers = 1, Reset = 3, Settings = 4, Ping = 6, GoAway = 7, WindowUpdate = 8, Continuation = 9;
    private const byte EndStream = 1, EndHeaders = 4;
    private const int Connections = 4;

    /// <summary>GET /health of https://x: three of HPACK's own table, one name of it with a path, one with an authority.</summary>
    private static readonly byte[] Get = [0x82, 0x87, 0x04, 7, .. "/health"u8, 0x01, 1, .. "x"u8];

    private readonly TestCertificates certificates = new(DateTimeOffset.UtcNow);
    private byte[] leaf = [];

    public void Dispose() => certificates.Dispose();

    [Theory]
    [InlineData("rapid reset")]
    [InlineData("continuation")]
    [InlineData("empty continuation")]
    [InlineData("settings")]
    [InlineData("ping")]
    [InlineData("empty data")]
    public async Task A_flood_of_frames_ends_its_connection_costs_little_and_keeps_nobody_waiting(string what)
    {
        await using var gateway = await StartAsync();
        using var other = new HttpClient(new SocketsHttpHandler
        {
            SslOptions = { RemoteCertificateValidationCallback = (_, shown, _, _) => shown!.GetRawCertData().AsSpan().SequenceEqual(leaf) },
        })
        {
            BaseAddress = gateway.Url,
        };
        (await other.GetAsync("/health", TestContext.Current.CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
        var (memory, processor) = (GC.GetTotalMemory(forceFullCollection: true), Process.GetCurrentProcess().TotalProcessorTime);

        var floods = Enumerable.Range(0, Connections).Select(_ => Task.Run(() => FloodAsync(gateway, what))).ToList();
        var (longest, asked, grown) = (TimeSpan.Zero, 0, 0L);
        var began = Stopwatch.GetTimestamp();
        for (var isLate = false; asked < 5 || !floods.TrueForAll(flood => flood.IsCompleted); asked++)
        {
            var before = Stopwatch.GetTimestamp();
            (await other.GetAsync("/health", TestContext.Current.CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
            var took = Stopwatch.GetElapsedTime(before);
            longest = took > longest ? took : longest;
            await Task.Delay(20, TestContext.Current.CancellationToken);
            if (isLate || Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(1))
                continue;

            // Whoever has said nothing whole until then is closed, however much was said.
            isLate = true;
            grown = (GC.GetTotalMemory(forceFullCollection: true) - memory) / 1024 / 1024;
            gateway.Clock.Advance(TimeSpan.FromSeconds(11));
        }

        var sent = await Task.WhenAll(floods);
        TestContext.Current.SendDiagnosticMessage(
            $"{what}: {string.Join(", ", sent.Select(flood => $"{flood.Frames} frames, {(flood.IsClosed ? "closed" : "open")}"))}; "
            + $"others asked {asked} times, longest {longest.TotalMilliseconds:0} ms; grown by {grown} MiB, "
            + $"processor {(Process.GetCurrentProcess().TotalProcessorTime - processor).TotalSeconds:0.0} s with the attacker");
        longest.ShouldBeLessThan(TimeSpan.FromSeconds(5)); // with two cores that other work has too
        grown.ShouldBeLessThan(64);
        if (what != "empty data") // its request was whole, and has been answered: what comes after costs its bandwidth
            sent.ShouldAllBe(flood => flood.IsClosed);
    }

    /// <summary>What a connection can make the gateway hold unread is in its windows (RFC 9113 sections 5.2 and 6.9.2).</summary>
    [Fact]
    public async Task Only_so_much_may_be_sent_before_it_is_read()
    {
        await using var gateway = await StartAsync();
        await using var stream = await ConnectAsync(gateway);

        var (ofStream, ofConnection) = (65535, 65535);
        for (var isUpdated = false; !isUpdated;)
        {
            var (kind, payload) = await ReadFrameAsync(stream);
            for (var i = 0; kind == Settings && i < payload.Length; i += 6)
            {
                if (BinaryPrimitives.ReadUInt16BigEndian(payload.AsSpan(i)) == 4) // SETTINGS_INITIAL_WINDOW_SIZE
                    ofStream = BinaryPrimitives.ReadInt32BigEndian(payload.AsSpan(i + 2));
            }

            isUpdated = kind == WindowUpdate;
            if (isUpdated)
                ofConnection += BinaryPrimitives.ReadInt32BigEndian(payload);
        }

        ofStream.ShouldBe(256 * 1024);
        ofConnection.ShouldBe(512 * 1024);
    }

    private async Task<GatewayUnderTest> StartAsync()
    {
        var pair = certificates.Issue();
        certificates.Write(pair);
        using (var certificate = X509Certificate2.CreateFromPem(pair.Certificate))
            leaf = certificate.RawData;
        return await GatewayUnderTest.StartAsync(options =>
            options with { TlsCertificate = certificates.CertificateFile, TlsKey = certificates.KeyFile });
    }

    // A connection on which HTTP/2 has begun.
    private async Task<SslStream> ConnectAsync(GatewayUnderTest gateway)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync("127.0.0.1", gateway.Url.Port, TestContext.Current.CancellationToken);
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        await stream.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "gateway.example",
                ApplicationProtocols = [SslApplicationProtocol.Http2],
                RemoteCertificateValidationCallback = (_, shown, _, _) => shown!.GetRawCertData().AsSpan().SequenceEqual(leaf),
            },
            TestContext.Current.CancellationToken);
        stream.NegotiatedApplicationProtocol.ShouldBe(SslApplicationProtocol.Http2);
        await stream.WriteAsync((byte[])[.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, .. Frame(Settings, 0, 0, [])]);
        return stream;
    }

    // Until the gateway closes, or six seconds are over.
    private async Task<(long Frames, bool IsClosed)> FloodAsync(GatewayUnderTest gateway, string what)
    {
        await using var stream = await ConnectAsync(gateway);
        var reading = ReadToEndAsync(stream);
        long frames = 0;
        var began = Stopwatch.GetTimestamp();
        try
        {
            if (what.EndsWith("continuation", StringComparison.Ordinal))
                await stream.WriteAsync(Frame(Headers, EndStream, 1, Get));
            if (what == "empty data")
                await stream.WriteAsync(Frame(Headers, EndHeaders, 1, [0x83, .. Get.AsSpan(1)]));
            var id = 1;
            while (Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(6) && !reading.IsCompleted)
            {
                var batch = new List<byte>();
                for (var i = 0; i < 100; i++, frames++)
                {
                    switch (what)
                    {
                        case "rapid reset":
                            batch.AddRange(Frame(Headers, EndHeaders | EndStream, id, Get));
                            batch.AddRange(Frame(Reset, 0, id, [0, 0, 0, 8]));
                            id += 2;
                            break;
                        case "continuation":
                            batch.AddRange(Frame(Continuation, 0, 1, [0x00, 1, (byte)'a', 100, .. new byte[100].Select(_ => (byte)'b')]));
                            break;
                        case "empty continuation":
                            batch.AddRange(Frame(Continuation, 0, 1, []));
                            break;
                        case "settings":
                            batch.AddRange(Frame(Settings, 0, 0, [0, 3, 0, 0, 0, 100]));
                            break;
                        case "ping":
                            batch.AddRange(Frame(Ping, 0, 0, new byte[8]));
                            break;
                        default:
                            batch.AddRange(Frame(Data, 0, 1, []));
                            break;
                    }
                }

                await stream.WriteAsync(batch.ToArray());
            }
        }
        catch (IOException)
        {
            // It has been closed.
        }

        return (frames, await Task.WhenAny(reading, Task.Delay(TimeSpan.FromSeconds(1))) == reading);
    }

    private static async Task ReadToEndAsync(SslStream stream)
    {
        try
        {
            while ((await ReadFrameAsync(stream)).Kind != GoAway)
            {
                // what others say is of no interest
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // closed
        }
    }

    private static async Task<(byte Kind, byte[] Payload)> ReadFrameAsync(SslStream stream)
    {
        var head = new byte[9];
        await stream.ReadExactlyAsync(head);
        var payload = new byte[(head[0] << 16) | (head[1] << 8) | head[2]];
        await stream.ReadExactlyAsync(payload);
        return (head[3], payload);
    }

    private static byte[] Frame(byte kind, byte flags, int stream, ReadOnlySpan<byte> payload)
    {
        var frame = new byte[9 + payload.Length];
        (frame[0], frame[1], frame[2], frame[3], frame[4]) = ((byte)(payload.Length >> 16), (byte)(payload.Length >> 8), (byte)payload.Length, kind, flags);
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), stream);
        payload.CopyTo(frame.AsSpan(9));
        return frame;
    }
}
