using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Hosting.Connections;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>Whoever opens connections and says little on them keeps nobody out: spec/gateway.md section 8 rule 1.</summary>
public sealed class SilentConnectionTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task More_silent_connections_than_there_are_places_keep_nobody_out()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxConnections = 64 });
        var places = gateway.App.Services.GetRequiredService<ConnectionPlaces>();
        var silent = await RawConnection.OpenAsync(gateway.Url, 1);
        await TakenAsync(gateway, 1);
        gateway.Clock.Advance(TimeSpan.FromMilliseconds(1)); // who came at one time goes in any order
        silent.AddRange(await RawConnection.OpenAsync(gateway.Url, 298));
        await ClosedAsync(silent, 299 - 64);
        gateway.Clock.Advance(TimeSpan.FromMilliseconds(1));
        silent.Add(await RawConnection.OpenAsync(gateway.Url));
        await ClosedAsync(silent, 300 - 64);
        await using var node = await ScriptedNode.StartAsync(gateway);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var user = await gateway.UserAsync();
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user)).Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var checker = await RawConnection.OpenAsync(gateway.Url);
        (await checker.GetAsync("/health/ready")).ShouldBe(200);
        places.Taken.ShouldBeLessThanOrEqualTo(64);

        // Those who were silent for longest had to go, and are told apart from nobody else: the newest still finds an answer.
        (await silent[0].StatusAsync()).ShouldBe(0);
        (await silent[^1].GetAsync("/health")).ShouldBe(200);

        gateway.Log.Text.Split('\n').Count(line => line.Contains("silent ones closed", StringComparison.Ordinal)).ShouldBe(1);
        gateway.Clock.Advance(TimeSpan.FromSeconds(61));
        gateway.Log.Text.Split('\n').Last(line => line.Contains("silent ones closed", StringComparison.Ordinal)).ShouldContain("from 127.0.0.1.");
        gateway.Log.Text.ShouldNotContain("maximum number of concurrent connections");
        silent.ForEach(connection => connection.Dispose());
    }

    [Fact]
    public async Task Silence_before_the_first_byte_and_a_head_that_never_ends_are_closed_after_ten_seconds()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var silent = await RawConnection.OpenAsync(gateway.Url);
        using var slow = await RawConnection.OpenAsync(gateway.Url);
        await slow.SendAsync("GET /health HTTP/1.1\r\nHost: x\r\nX: a");
        await TakenAsync(gateway, 2);
        gateway.Clock.Advance(TimeSpan.FromSeconds(6));
        using var later = await RawConnection.OpenAsync(gateway.Url);
        await TakenAsync(gateway, 3);
        await slow.SendAsync("a");
        gateway.Clock.Advance(TimeSpan.FromSeconds(5));

        (await silent.StatusAsync()).ShouldBe(0);
        (await slow.StatusAsync()).ShouldBe(0);
        (await later.GetAsync("/health")).ShouldBe(200);
        gateway.Clock.Advance(TimeSpan.FromMinutes(1));
        (await later.GetAsync("/health")).ShouldBe(200); // kept, it may be silent for longer
        await later.SendAsync("GET /health HTTP/1.1\r\nHost"); // but not once it has begun
        (await later.StatusAsync()).ShouldBe(408);
    }

    [Fact]
    public async Task A_handshake_that_does_not_begin_and_one_without_a_request_are_closed_too()
    {
        var files = Directory.CreateTempSubdirectory("gateway-test-").FullName;
        var (certificate, key) = (Path.Combine(files, "chain.pem"), Path.Combine(files, "key.pem"));
        byte[] leaf;
        using (var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256))
        using (var made = new CertificateRequest("CN=localhost", pair, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1)))
        {
            leaf = made.RawData;
            await File.WriteAllTextAsync(certificate, made.ExportCertificatePem(), TestContext.Current.CancellationToken);
            await File.WriteAllTextAsync(key, pair.ExportPkcs8PrivateKeyPem(), TestContext.Current.CancellationToken);
        }

        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { TlsCertificate = certificate, TlsKey = key });
        using var mute = await RawConnection.OpenAsync(gateway.Url);
        using var wire = await RawConnection.OpenAsync(gateway.Url);
        await using var shaken = new SslStream(new System.Net.Sockets.NetworkStream(wire.Socket));
        await shaken.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "localhost",
                ApplicationProtocols = [SslApplicationProtocol.Http2],
                RemoteCertificateValidationCallback = (_, shown, _, _) => shown!.GetRawCertData().AsSpan().SequenceEqual(leaf),
            },
            TestContext.Current.CancellationToken);
        // Preface and settings, and then nothing.
        await shaken.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray(), TestContext.Current.CancellationToken);
        await TakenAsync(gateway, 2);
        gateway.Clock.Advance(TimeSpan.FromSeconds(11));

        (await mute.StatusAsync()).ShouldBe(0);
        await TakenAsync(gateway, 0);
        Directory.Delete(files, recursive: true);
    }

    [Fact]
    public async Task One_address_that_is_no_trusted_proxy_closes_only_its_own_silence()
    {
        // Ten silent ones for each.
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxConnections = 160, TrustedProxies = ["127.0.0.7"] });
        using var other = await RawConnection.OpenAsync(gateway.Url, "127.0.0.9");
        var proxied = await RawConnection.OpenAsync(gateway.Url, 30, "127.0.0.7");
        var known = await RawConnection.OpenAsync(gateway.Url, 8);
        var key = await gateway.KeyAsync();
        foreach (var connection in known)
            (await connection.GetAsync("/v1/models", $"Authorization: Bearer {key}\r\n")).ShouldBe(200);
        var silent = await RawConnection.OpenAsync(gateway.Url, 40);
        await ClosedAsync(silent, 30);

        var answered = 0;
        foreach (var connection in silent)
            answered += await connection.GetAsync("/health") == 200 ? 1 : 0;
        answered.ShouldBe(10);
        (await other.GetAsync("/health")).ShouldBe(200);
        foreach (var connection in proxied.Concat(known))
            (await connection.GetAsync("/health")).ShouldBe(200);
        proxied.Concat(known).Concat(silent).ToList().ForEach(connection => connection.Dispose());
    }

    [Fact]
    public async Task Requests_that_take_all_places_leave_some_for_nodes_and_health_checks()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with { MaxConnections = 32 }); // two are kept
        await using var node = await ScriptedNode.StartAsync(gateway);
        var finish = new TaskCompletionSource();
        node.Script = async context =>
        {
            await finish.Task;
            await ScriptedNode.AnswerAsync(context, 200, ScriptedNode.SealedAnswer);
        };
        using var user = await gateway.UserAsync();
        var envelopes = new List<byte[]>();
        for (var i = 0; i < 30; i++)
            envelopes.Add((await LockedNode.LockAsync(user)).Envelope());
        Task<HttpResponseMessage>[] running = [.. envelopes.Select(envelope => user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(envelope)))];
        while (node.RequestsSeen < 30)
            await Task.Delay(10, TestContext.Current.CancellationToken);

        using (var oneTooMany = gateway.Client())
            await (await oneTooMany.GetAsync("/v1/models")).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        gateway.Clock.Advance(TimeSpan.FromSeconds(2));
        using (var checker = gateway.Client())
            (await checker.GetAsync("/health")).StatusCode.ShouldBe(HttpStatusCode.OK);
        gateway.Clock.Advance(TimeSpan.FromSeconds(2));
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);

        finish.SetResult();
        foreach (var answer in await Task.WhenAll(running).WaitAsync(Patience, TestContext.Current.CancellationToken))
            answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await user.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("10.0.0.1/8")]
    [InlineData("proxy.example")]
    [InlineData("10.0.0.0/33")]
    [InlineData("::ffff:10.0.0.0/104")]
    [InlineData("")]
    public async Task A_trusted_proxy_that_is_no_network_is_refused_before_anything_listens(string odd)
    {
        var directory = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"));
        var refusal = await Should.ThrowAsync<GatewayOptionsException>(
            () => GatewayHost.CreateAsync(new GatewayOptions { DataDirectory = directory, Port = 0, TrustedProxies = ["10.0.0.0/8", odd] }));
        refusal.Message.ShouldContain($"'{odd}'");
        refusal.Hint.ShouldContain("--trusted-proxies");
        Directory.Exists(directory).ShouldBeFalse();
    }

    [Fact]
    public void A_home_with_IPv6_is_one_stranger_however_many_addresses_it_has()
    {
        AddressBlock.Of(IPAddress.Parse("2001:db8:0:1::1")).ShouldBe(AddressBlock.Of(IPAddress.Parse("2001:db8:0:1:ffff::2")));
        AddressBlock.Of(IPAddress.Parse("2001:db8:0:1::1")).ShouldNotBe(AddressBlock.Of(IPAddress.Parse("2001:db8:0:2::1")));
        AddressBlock.Of(IPAddress.Parse("::ffff:192.0.2.7")).ShouldBe(AddressBlock.Of(IPAddress.Parse("192.0.2.7")));
        AddressBlock.Of(IPAddress.Parse("0.0.0.1")).ShouldNotBe(AddressBlock.Of(IPAddress.Parse("0:0:0:1::")));

        var trusted = TrustedProxies.From(["10.0.0.0/8", "2001:db8::7", "::ffff:192.0.2.7"], out _)!;
        trusted.Holds(IPAddress.Parse("::ffff:10.1.2.3")).ShouldBeTrue();
        trusted.Holds(IPAddress.Parse("192.0.2.7")).ShouldBeTrue();
        trusted.Holds(IPAddress.Parse("2001:db8::8")).ShouldBeFalse();
        trusted.Holds(IPAddress.Loopback).ShouldBeFalse();
        TrustedProxies.Loopback.Holds(IPAddress.Parse("::ffff:127.0.0.1")).ShouldBeTrue();
    }

    [Fact]
    public async Task A_flood_at_two_addresses_is_let_in_no_further_than_one_at_one_address()
    {
        using var log = new CapturedLog();
        using var logs = new LoggerFactory([log]);
        var limits = ConnectionLimits.Within(
            100, TrustedProxies.Loopback, OpenFiles.For(ConnectionLimits.LeastMost), (message, _) => new InvalidOperationException(message));
        var gate = new AcceptGate(Options.Create(new SocketTransportOptions()), limits, logs, logs.CreateLogger<AcceptGate>());
        var room = limits.Most + ConnectionLimits.Coming;
        var accepted = new ConcurrentQueue<ConnectionContext>();
        IConnectionListener[] listeners =
            [await gate.BindAsync(new IPEndPoint(IPAddress.Loopback, 0)), await gate.BindAsync(new IPEndPoint(IPAddress.Loopback, 0))];
        log.Text.Split('\n').Count(line => line.Contains("There is room for", StringComparison.Ordinal)).ShouldBe(1);
        var accepting = listeners.Select(AcceptAllAsync).ToList();
        List<RawConnection> flood = [];
        foreach (var listener in listeners)
            flood.AddRange(await RawConnection.OpenAsync(new Uri($"http://{listener.EndPoint}"), room));

        await UntilAsync(room);
        await Task.Delay(100, TestContext.Current.CancellationToken);
        accepted.Count.ShouldBe(room);
        accepted.TryDequeue(out var gone).ShouldBeTrue();
        await gone!.DisposeAsync();
        await UntilAsync(room);

        foreach (var listener in listeners)
            await listener.UnbindAsync();
        await Task.WhenAll(accepting);
        foreach (var connection in accepted)
            await connection.DisposeAsync();
        foreach (var listener in listeners)
            await listener.DisposeAsync();
        flood.ForEach(connection => connection.Dispose());

        async Task AcceptAllAsync(IConnectionListener listener)
        {
            while (await listener.AcceptAsync() is { } connection)
                accepted.Enqueue(connection);
        }

        async Task UntilAsync(int count)
        {
            using var late = new CancellationTokenSource(Patience);
            while (accepted.Count < count)
                await Task.Delay(10, late.Token);
        }
    }

    private static async Task ClosedAsync(List<RawConnection> connections, int count)
    {
        using var late = new CancellationTokenSource(Patience);
        while (connections.Count(connection => connection.Socket.Poll(0, System.Net.Sockets.SelectMode.SelectRead)) < count)
            await Task.Delay(10, late.Token);
    }

    private static async Task TakenAsync(GatewayUnderTest gateway, int count)
    {
        var places = gateway.App.Services.GetRequiredService<ConnectionPlaces>();
        using var late = new CancellationTokenSource(Patience);
        while (places.Taken != count)
            await Task.Delay(10, late.Token);
    }
}
