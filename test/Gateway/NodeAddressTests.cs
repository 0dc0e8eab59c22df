using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using ConfidentialChat.Gateway.Nodes;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>spec/gateway.md section 3, "The address": a node that moved, one that says so and did not, and one that is not reached.</summary>
public sealed class NodeAddressTests
{
    private const string LockBody = $$"""{"model":"{{GatewayUnderTest.Model}}"}""";

    [Fact]
    public async Task A_node_that_came_back_at_another_port_is_served_there_when_it_has_said_so()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var before = node.Address;
        await node.MoveAsync();

        // The caller who is first meets nobody. That the node is heard is no sign that it is reached.
        await (await AskAsync(user)).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        for (var beats = 0; beats < 3; beats++)
            (await ReachAsync(await node.BeatAsync())).ShouldBe(new NodeReach(false, new Uri(before)));
        await (await user.PostAsync("/v1/nodes/lock", Http.Json(LockBody))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        (await gateway.Operator.ListNodesAsync()).Single().State.ShouldBe(NodeCondition.Unreachable);

        (await ReachAsync(await node.AnnounceAsync())).ShouldBe(new NodeReach(true, new Uri(node.Address)));
        (await AskAsync(user)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await ReachAsync(await node.BeatAsync())).ShouldBe(new NodeReach(true, new Uri(node.Address)));
        var listed = (await gateway.Operator.ListNodesAsync()).Single();
        (listed.State, listed.Address).ShouldBe((NodeCondition.Ready, new Uri(node.Address).AbsoluteUri));
        gateway.Log.Text.ShouldContain($"Node 1 has moved from {before} to {node.Address}");
    }

    [Fact]
    public async Task A_node_that_a_caller_did_not_reach_once_is_well_when_the_gateway_has_reached_it_where_it_was()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await MarkAsync(gateway, node, node.Address);
        await (await user.PostAsync("/v1/nodes/lock", Http.Json(LockBody))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        (await ReachAsync(await node.AnnounceAsync())).Reached.ShouldBeTrue();
        (await AskAsync(user)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_request_that_failed_where_the_node_was_says_nothing_of_where_it_is()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var before = node.Address;
        await node.MoveAsync();
        (await ReachAsync(await node.AnnounceAsync())).Reached.ShouldBeTrue();
        await MarkAsync(gateway, node, before); // it was under way
        (await AskAsync(user)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("nobody")]
    [InlineData("another node")]
    [InlineData("no proof")]
    [InlineData("an echo")]
    [InlineData("another status")]
    [InlineData("a redirect")]
    public async Task A_place_where_the_node_does_not_answer_is_not_taken_and_it_is_served_where_it_was(string who)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await using var other = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        other.Models = ["another"];
        (await other.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        other.Proof = who switch
        {
            "no proof" => context => ScriptedNode.AnswerAsync(context, 204, ""),
            "an echo" => EchoAsync,
            "another status" => Another200Async,
            "a redirect" => RedirectAsync,
            _ => null,
        };
        var there = who == "nobody" ? $"http://127.0.0.1:{FreePort()}" : other.Address;

        (await ReachAsync(await node.AnnounceAsync(there))).ShouldBe(new NodeReach(false, new Uri(node.Address)));

        (await ReachAsync(await node.BeatAsync())).ShouldBe(new NodeReach(true, new Uri(node.Address)));
        (await AskAsync(user)).StatusCode.ShouldBe(HttpStatusCode.OK);
        node.RequestsSeen.ShouldBe(1);
        gateway.Log.Text.ShouldContain($"Node 1 says that it is at {there}, and does not answer there as itself. Its requests go to {node.Address}, where it answers.");

        Task EchoAsync(HttpContext context)
        {
            context.Response.StatusCode = 204;
            context.Response.Headers[NodeProof.CodeHeaderName] = context.Request.Headers[NodeProof.CodeHeaderName];
            return Task.CompletedTask;
        }

        async Task Another200Async(HttpContext context)
        {
            await node.ProveAsync(context);
            context.Response.StatusCode = 200;
        }

        Task RedirectAsync(HttpContext context)
        {
            context.Response.StatusCode = 307;
            context.Response.Headers.Location = node.Address + NodePaths.Proof;
            return Task.CompletedTask;
        }
    }

    [Fact]
    public async Task A_node_that_is_neither_where_it_says_nor_where_it_was_gets_no_caller()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        await node.StopAsync();
        (await ReachAsync(await node.AnnounceAsync($"http://127.0.0.1:{FreePort()}"))).Reached.ShouldBeFalse();
        (await ReachAsync(await node.BeatAsync())).Reached.ShouldBeFalse();
        await (await user.PostAsync("/v1/nodes/lock", Http.Json(LockBody))).ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
    }

    [Fact]
    public async Task A_new_tls_key_is_taken_with_the_pin_that_it_has_and_with_no_other()
    {
        using var first = Certificate();
        using var second = Certificate();
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway, first, enrol: false);
        node.TlsPin = Pin(first);
        (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var user = await gateway.UserAsync();
        (await AskAsync(user)).StatusCode.ShouldBe(HttpStatusCode.OK);

        await node.MoveAsync(second);
        (await ReachAsync(await node.AnnounceAsync())).Reached.ShouldBeFalse(); // under the pin that it had
        gateway.Clock.Advance(NodeProbe.LeastInterval);
        node.TlsPin = Pin(second);
        (await ReachAsync(await node.AnnounceAsync())).Reached.ShouldBeTrue();
        (await AskAsync(user)).StatusCode.ShouldBe(HttpStatusCode.OK);

        // And it does not leave TLS, where the gateway's own machine would be open to it.
        gateway.Clock.Advance(NodeProbe.LeastInterval);
        node.TlsPin = null;
        await (await node.AnnounceAsync($"http://127.0.0.1:{FreePort()}")).ShouldBeErrorAsync(400, "INVALID_FIELD", "address");
    }

    [Theory]
    [InlineData("http://192.0.2.1:8080", null, "address")]
    [InlineData("https://node.example", null, "tls_pin")]
    [InlineData("https://node.example/path", "pin", "address")]
    [InlineData("https://user@node.example", "pin", "address")]
    [InlineData("ftp://127.0.0.1", null, "address")]
    [InlineData("file:///etc/passwd", null, "address")]
    public async Task Nobody_is_tried_at_an_address_that_no_enrolment_may_name(string address, string? pin, string param)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        node.TlsPin = pin == "pin" ? Convert.ToBase64String(new byte[32]) : pin;
        await (await node.AnnounceAsync(address)).ShouldBeErrorAsync(400, "INVALID_FIELD", param);
    }

    [Fact]
    public async Task A_recorded_announcement_takes_no_node_back_to_where_it_was()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var (before, time) = (node.Address, node.NextTime());
        (await ReachAsync(await node.AnnounceAsync(timeMs: time))).Reached.ShouldBeTrue();
        gateway.Clock.Advance(NodeProbe.LeastInterval);
        await (await node.AnnounceAsync(before, timeMs: time)).ShouldBeErrorAsync(401, "AUTH_ERROR");
    }

    [Fact]
    public async Task A_recorded_announcement_does_not_use_the_nodes_own_turn()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var (before, time) = (node.Address, node.NextTime());
        (await ReachAsync(await node.AnnounceAsync(timeMs: time))).Reached.ShouldBeTrue();
        gateway.Clock.Advance(NodeProbe.LeastInterval);
        await (await node.AnnounceAsync(before, timeMs: time)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        (await ReachAsync(await node.AnnounceAsync())).Reached.ShouldBeTrue();
        await (await node.AnnounceAsync()).ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
    }

    // A silent place, as a firewall or a service that waits makes it.
    [Fact]
    public async Task A_place_that_says_nothing_costs_seconds_and_one_turn_and_keeps_no_heartbeat_waiting()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var there = $"http://127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}";
        var watch = Stopwatch.StartNew();
        var waiting = node.AnnounceAsync(there);
        using var met = await silent.AcceptSocketAsync(TestContext.Current.CancellationToken);

        var again = await node.AnnounceAsync(there);
        await again.ShouldBeErrorAsync(429, "TOO_MANY_REQUESTS");
        again.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        watch.Elapsed.ShouldBeLessThan(NodeProbe.Timeout);

        (await ReachAsync(await waiting)).Reached.ShouldBeFalse();
        watch.Elapsed.ShouldBeLessThan(2 * NodeProbe.Timeout);
        var sent = new byte[4096];
        var head = System.Text.Encoding.ASCII.GetString(sent, 0, await met.ReceiveAsync(sent));
        head.ShouldStartWith($"POST {NodePaths.Proof} HTTP/1.1\r\n");
        head.ShouldEndWith("\r\n\r\n"); // no body
    }

    [Fact]
    public async Task Addresses_are_tried_few_at_once_and_each_node_waits_its_turn()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var probe = gateway.App.Services.GetRequiredService<NodeProbe>();
        var turns = Enumerable.Range(1, NodeProbe.MaxAtOnce).Select(node => probe.TryBegin(new NodeId(node)).ShouldNotBeNull()).ToList();
        turns[0].Count();
        probe.TryBegin(new NodeId(99)).ShouldBeNull();
        turns[0].Dispose();
        probe.TryBegin(new NodeId(1)).ShouldBeNull(); // once a second
        probe.TryBegin(new NodeId(99)).ShouldNotBeNull();
        turns[1].Dispose();
        gateway.Clock.Advance(NodeProbe.LeastInterval);
        probe.TryBegin(new NodeId(1)).ShouldNotBeNull();
    }

    [Fact]
    public async Task An_enrolment_that_comes_while_an_address_is_tried_is_what_holds()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await using var place = await ScriptedNode.StartAsync(gateway, enrol: false);
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var relayKey = node.RelayKey!;
        place.Proof = async context =>
        {
            asked.SetResult();
            await go.Task;
            var headers = context.Request.Headers;
            context.Response.StatusCode = 204;
            context.Response.Headers[NodeProof.CodeHeaderName] =
                NodeProof.FromHeaders(
                    new NodeId(node.Id), relayKey, headers[NodeProof.ChallengeHeaderName], headers[NodeProof.CodeHeaderName])!.Write(relayKey);
        };
        var announcing = node.AnnounceAsync(place.Address);
        await asked.Task;
        (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        go.SetResult();
        (await announcing).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await gateway.Operator.ListNodesAsync()).Single().Address.ShouldBe(new Uri(node.Address).AbsoluteUri);
    }

    private static async Task<HttpResponseMessage> AskAsync(HttpClient user) =>
        await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user)).Envelope()));

    private static async Task<NodeReach> ReachAsync(HttpResponseMessage answer)
    {
        answer.StatusCode.ShouldBe(HttpStatusCode.OK, await answer.Content.ReadAsStringAsync());
        return JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), NodeMessageJson.Default.NodeReach)!;
    }

    private static Task MarkAsync(GatewayUnderTest gateway, ScriptedNode node, string address) =>
        gateway.App.Services.GetRequiredService<KnownNodes>().MarkUnreachableAsync(new NodeAddress(new NodeId(node.Id), new Uri(address), null));

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private static X509Certificate2 Certificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var made = new CertificateRequest("CN=node", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }

    private static string Pin(X509Certificate2 certificate) => Convert.ToBase64String(SHA256.HashData(certificate.PublicKey.ExportSubjectPublicKeyInfo()));
}
