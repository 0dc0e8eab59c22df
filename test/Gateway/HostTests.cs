using System.Net;
using System.Text;
using ConfidentialChat.Gateway.Tests.Postgres;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;

namespace ConfidentialChat.Gateway.Tests;

public sealed class HostTests
{
    [Fact]
    public async Task Health_is_for_everyone()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var client = gateway.Client();
        foreach (var path in (string[])["/health", "/health/live", "/health/ready"])
            (await (await client.GetAsync(path)).Content.ReadAsStringAsync()).ShouldBe("""{"message":"ok"}""");
        await (await client.PostAsync("/health", null)).ShouldBeErrorAsync(405, "METHOD_NOT_ALLOWED");
    }

    [Fact]
    public async Task A_load_balancer_that_asks_for_the_head_of_a_health_path_gets_what_GET_says_without_a_body()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        using var client = gateway.Client();
        foreach (var path in (string[])["/health", "/health/live", "/health/ready"])
        {
            var (head, get) = (await client.SendAsync(new HttpRequestMessage(HttpMethod.Head, path)), await client.GetAsync(path));
            (head.StatusCode, head.Content.Headers.ContentLength, head.Content.Headers.ContentType)
                .ShouldBe((get.StatusCode, get.Content.Headers.ContentLength, get.Content.Headers.ContentType));
            (await head.Content.ReadAsByteArrayAsync()).ShouldBeEmpty();
        }
    }

    [Fact]
    public async Task Plain_http_for_the_whole_network_is_refused_before_anything_listens()
    {
        var directory = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"));
        var options = new GatewayOptions { DataDirectory = directory, ListenAddress = "0.0.0.0", Port = 0 };
        var refusal = await Should.ThrowAsync<GatewayOptionsException>(() => GatewayHost.CreateAsync(options));
        refusal.Hint.ShouldContain("TlsCertificate");
        await Should.ThrowAsync<GatewayOptionsException>(
            () => GatewayHost.CreateAsync(options with { TlsCertificate = "/absent.pem", TlsKey = "/absent.pem" }));
        await Should.ThrowAsync<GatewayOptionsException>(() => GatewayHost.CreateAsync(options with { TlsCertificate = "/absent.pem" }));
        await Should.ThrowAsync<GatewayOptionsException>(() => GatewayHost.CreateAsync(options with { ListenAddress = "localhost" }));
        Directory.Exists(directory).ShouldBeFalse();
    }

    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1")]
    [InlineData("::1", "[::1]")]
    [InlineData("::", "[::1] 127.0.0.1 localhost")]
    [InlineData("localhost", "127.0.0.1 localhost [::1]")]
    public async Task A_gateway_is_reached_by_every_address_that_it_was_told_to_listen_on(string listen, string hosts)
    {
        if (!System.Net.Sockets.Socket.OSSupportsIPv6 && listen.Contains(':', StringComparison.Ordinal))
            return;
        await using var gateway = await GatewayUnderTest.StartAsync(options => options with
        {
            ListenAddress = listen,
            Port = listen == "localhost" ? Random.Shared.Next(10_000, 32_000) : 0, // below those that the system gives out
            DangerousPlainHttp = listen == "::",
        });
        gateway.Url.IsAbsoluteUri.ShouldBeTrue();
        using var client = new HttpClient();
        foreach (var host in hosts.Split(' ').Where(host => System.Net.Sockets.Socket.OSSupportsIPv6 || host != "[::1]"))
            (await client.GetAsync(new Uri($"http://{host}:{gateway.Url.Port}/health"))).StatusCode.ShouldBe(HttpStatusCode.OK, host);
    }

    [Fact]
    [OfSqliteFile]
    public async Task Other_users_of_the_machine_read_neither_key_nor_database()
    {
        if (OperatingSystem.IsWindows())
            return;
        await using var gateway = await GatewayUnderTest.StartAsync();
        File.GetUnixFileMode(gateway.DataDirectory).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var files = Directory.GetFiles(gateway.DataDirectory);
        files.Select(Path.GetFileName).ShouldBe(
            ["gateway.db", "gateway.db-shm", "gateway.db-wal", "gateway.key", "gateway.lock", "gateway.pid"], ignoreOrder: true);
        foreach (var file in files)
            File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite, file);
    }

    [Fact]
    public async Task Nothing_secret_is_in_the_database_or_the_log()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var key = await gateway.KeyAsync("alice");
        using var user = gateway.Client(key);
        var hash = Convert.ToBase64String(Encoding.ASCII.GetBytes("plaintext-hash-in-thirty-two-by."));
        var body = (await LockedNode.LockAsync(user))
            .Envelope(64, ("ciphertext", Encoding.ASCII.GetBytes("ciphertext-that-no-row-holds....")), ("plaintext_body_hash", hash));
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.OK);
        var token = (await node.SeenAsync()).Headers["Confidential-Relay-Token"].ToString();

        var kept = new StringBuilder(gateway.Log.Text);
        if (gateway.Postgres is { } server)
            kept.Append(PostgresUnderTest.ExecuteAt(server, "SET xmlbinary = base64; SELECT schema_to_xml('public', TRUE, FALSE, '')::text"));
        foreach (var file in Directory.GetFiles(gateway.DataDirectory, "gateway.db*"))
        {
            await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            var bytes = new byte[stream.Length];
            await stream.ReadExactlyAsync(bytes);
            kept.Append(Encoding.Latin1.GetString(bytes));
        }

        var text = kept.ToString();
        text.ShouldContain("alice"); // the files were read
        string[] secrets =
        [
            key[12..], hash, "plaintext-hash-in", "ciphertext-that-no", Convert.ToBase64String("ciphertext-that-no-row-holds...."u8)[..20], token, token[..60],
            Encoding.Latin1.GetString(node.RelayKey!.Export()), Convert.ToBase64String(node.RelayKey!.Export())[..40],
        ];
        foreach (var secret in secrets)
            text.Contains(secret, StringComparison.Ordinal).ShouldBeFalse();
    }

    [Fact]
    public async Task The_key_and_the_state_outlive_the_process()
    {
        var directory = Directory.CreateTempSubdirectory("gateway-test-").FullName;
        var options = new GatewayOptions { DataDirectory = directory, Port = 0 };
        var gatewayOperator = await GatewayOperator.OpenAsync(directory);
        var key = (await gatewayOperator.CreateUserAsync("alice"))!.Text;
        byte[]? seed = null;
        for (var i = 0; i < 2; i++)
        {
            await using var app = await GatewayHost.CreateAsync(options);
            await app.StartAsync();
            using var client = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
            client.DefaultRequestHeaders.Authorization = new("Bearer", key);
            (await client.GetAsync("/v1/models")).StatusCode.ShouldBe(HttpStatusCode.OK);
            var now = await File.ReadAllBytesAsync(Path.Combine(directory, "gateway.key"));
            (seed ??= now).ShouldBe(now);
            await app.StopAsync();
        }

        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task A_gateway_that_stops_lets_answers_end_and_takes_no_new_requests()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var arrived = new TaskCompletionSource();
        var finish = new TaskCompletionSource();
        node.Script = async context =>
        {
            context.Response.ContentType = "text/event-stream";
            await context.Response.WriteAsync("data: 1\n\n");
            await context.Response.Body.FlushAsync();
            arrived.SetResult();
            await finish.Task;
            await context.Response.WriteAsync("data: 2\n\n");
        };
        using var user = await gateway.UserAsync();
        var request = new HttpRequestMessage(HttpMethod.Post, GatewayUnderTest.ChatPath) { Content = Http.Json((await LockedNode.LockAsync(user)).Envelope()) };
        using var response = await user.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await arrived.Task;

        var stopping = new TaskCompletionSource();
        gateway.App.Lifetime.ApplicationStopping.Register(stopping.SetResult);
        var stopped = gateway.App.StopAsync();
        await stopping.Task;
        using var late = gateway.Client();
        try
        {
            await (await late.GetAsync("/health/ready")).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        }
        catch (HttpRequestException)
        {
            // the port is closed already
        }

        finish.SetResult();
        (await response.Content.ReadAsStringAsync()).ShouldBe("data: 1\n\ndata: 2\n\n");
        await stopped;
    }
}
