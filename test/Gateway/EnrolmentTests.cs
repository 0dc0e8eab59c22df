using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Relay;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Tests;

public class EnrolmentTests
{
    [Fact]
    public async Task A_token_enrols_one_node_once_however_many_try_at_the_same_time()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        var nodes = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => ScriptedNode.StartAsync(gateway, enrol: false)));
        var answers = await Task.WhenAll(nodes.Select(node => node.EnrolAsync(token)));
        answers.Count(answer => answer.StatusCode is HttpStatusCode.OK).ShouldBe(1);
        answers.Count(answer => answer.StatusCode is HttpStatusCode.Unauthorized).ShouldBe(4);
        (await gateway.ReadAsync(state => state.Nodes.CountAsync())).ShouldBe(1);
        foreach (var node in nodes)
            await node.DisposeAsync();
    }

    [Fact]
    public async Task An_expired_token_enrols_nobody()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        gateway.Clock.Advance(TimeSpan.FromHours(1));
        await (await node.EnrolAsync(token)).ShouldBeErrorAsync(401, "AUTH_ERROR");
    }

    [Fact]
    public async Task A_node_that_enrols_again_keeps_its_number()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var other = await ScriptedNode.StartAsync(gateway);
        await using var node = await ScriptedNode.StartAsync(gateway);
        var number = node.Id;
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        (await node.EnrolAsync(token)).StatusCode.ShouldBe(HttpStatusCode.OK);
        node.Id.ShouldBe(number);
    }

    [Fact]
    public async Task A_node_that_lost_the_answer_to_its_enrolment_is_not_heard_until_it_enrols_anew()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var kept = node.RelayKey;
        (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        node.RelayKey = kept;

        // Every relay token would be refused: such a node is not well, whatever it signs.
        await (await node.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await node.PostReportsAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
        (await node.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_node_whose_row_cannot_be_read_hides_no_other()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var first = await ScriptedNode.StartAsync(gateway);
        await using var second = await ScriptedNode.StartAsync(gateway);
        await gateway.ReadAsync(state => state.Database.ExecuteSqlRawAsync("UPDATE nodes SET address = 'https://./' WHERE id = 2"));
        await gateway.NoticeAsync();
        (await first.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await second.BeatAsync()).ShouldBeErrorAsync(401, "AUTH_ERROR");
        (await second.EnrolAsync((await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await second.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Key_sets_that_are_announced_no_more_leave_no_rows()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        for (var i = 0; i < 5; i++)
        {
            node.KeySets = [ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1))];
            (await node.BeatAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
        }

        (await gateway.ReadAsync(state => state.NodeKeySets.CountAsync())).ShouldBe(1);
    }

    [Theory]
    [InlineData("http://192.0.2.1:8080", null, "address")]
    [InlineData("https://\u202e.", "pin", "address")]
    [InlineData("http://\u202e80", null, "address")]
    [InlineData("https://node.example", null, "tls_pin")]
    [InlineData("https://node.example", "AAAA", "tls_pin")]
    [InlineData("https://node.example/path", "pin", "address")]
    [InlineData("https://node.example/?query", "pin", "address")]
    [InlineData("https://user@node.example", "pin", "address")]
    [InlineData("ftp://127.0.0.1", null, "address")]
    [InlineData("file:///etc/passwd", null, "address")]
    public async Task A_doubtful_address_is_named_and_the_token_stays_good(string address, string? pin, string param)
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway, enrol: false);
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        var good = node.Address;
        (node.Address, node.TlsPin) = (address, pin == "pin" ? Convert.ToBase64String(new byte[32]) : pin);
        await (await node.EnrolAsync(token)).ShouldBeErrorAsync(400, "INVALID_FIELD", param);
        (node.Address, node.TlsPin) = (good, null);
        (await node.EnrolAsync(token)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_message_that_the_node_did_not_sign_is_refused()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        await using var other = await ScriptedNode.StartAsync(gateway);
        var json = JsonSerializer.Serialize(node.Status(), NodeMessageJson.Default.NodeStatus);
        await (await node.PostAsync(NodePaths.Heartbeat, json, signedBody: json + " ")).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await node.PostAsync(NodePaths.Heartbeat, json, asNode: other.Id)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await node.PostAsync(NodePaths.Heartbeat, json, asNode: 999)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        await (await node.PostAsync(NodePaths.Heartbeat, json, asNode: -1)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        (await node.PostAsync(NodePaths.Heartbeat, json)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_recorded_heartbeat_brings_no_old_key_back()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var (recorded, time) = (node.Status(), node.NextTime());
        (await node.BeatAsync(recorded, time)).StatusCode.ShouldBe(HttpStatusCode.OK);
        var newKey = ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1));
        node.KeySets = [newKey];
        await node.BeatAsync();

        await (await node.BeatAsync(recorded, time)).ShouldBeErrorAsync(401, "AUTH_ERROR");

        using var user = await gateway.UserAsync();
        (await LockedNode.LockAsync(user)).PublicKey.ShouldBe(newKey.X25519.ToString());
    }

    [Fact]
    public async Task The_newest_heartbeat_is_not_heard_twice()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var (newest, time) = (node.Status(), node.NextTime());
        (await node.BeatAsync(newest, time)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await node.BeatAsync(newest, time)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        // Nor is another one of the same time.
        await (await node.BeatAsync(newest with { Running = 1 }, time)).ShouldBeErrorAsync(401, "AUTH_ERROR");
        (await node.BeatAsync(newest, time + 1)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_key_in_grace_is_served_and_one_that_is_announced_no_more_is_not()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        using var user = await gateway.UserAsync();
        var first = await LockedNode.LockAsync(user);
        var second = await LockedNode.LockAsync(user);
        var newKey = ScriptedNode.NewKeySet(gateway.Clock.GetUtcNow().AddHours(1));
        node.KeySets = [newKey, node.KeySets[0]];
        await node.BeatAsync();
        (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(first.Envelope()))).StatusCode.ShouldBe(HttpStatusCode.OK);

        node.KeySets = [newKey];
        await node.BeatAsync();
        await (await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json(second.Envelope()))).ShouldBeErrorAsync(400, "UNKNOWN_NODE_KEY");
    }

    [Fact]
    public async Task A_faulty_status_is_named()
    {
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway);
        var keys = node.Status().KeySets[0];
        AnnouncedKeySet[] faulty =
        [
            keys with { X25519 = "AAAA" }, keys with { X25519 = ScriptedNode.NewKey() }, keys with { Digest = "AAAA" },
            keys with { Expires = long.MaxValue }, keys with { Expires = -1 }, keys with { Bundle = "AAAA" },
            keys with { Digest = new KeySetDigest(new byte[32]).ToString() },
        ];
        foreach (var fault in faulty)
            await (await node.BeatAsync(node.Status() with { KeySets = [fault] })).ShouldBeErrorAsync(400, "INVALID_FIELD", "key_sets");
        await (await node.BeatAsync(node.Status() with { KeySets = [.. Enumerable.Repeat(keys, 129)] })).ShouldBeErrorAsync(400, "INVALID_FIELD", "key_sets");
        await (await node.BeatAsync(node.Status() with { Models = [""] })).ShouldBeErrorAsync(400, "INVALID_FIELD", "models");
        await (await node.BeatAsync(node.Status() with { Models = [.. Enumerable.Range(0, 65).Select(i => $"m{i}")] }))
            .ShouldBeErrorAsync(400, "INVALID_FIELD", "models");
        await (await node.BeatAsync(node.Status() with { Running = -1 })).ShouldBeErrorAsync(400, "INVALID_FIELD", "running");
        await (await node.PostAsync(NodePaths.Heartbeat, """{"unknown":1}""")).ShouldBeErrorAsync(400, "INVALID_JSON");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_nodes_tls_key_is_pinned_whoever_signed_it(bool rightPin)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=node", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        await using var gateway = await GatewayUnderTest.StartAsync();
        await using var node = await ScriptedNode.StartAsync(gateway, certificate, enrol: false);
        var pin = SHA256.HashData(certificate.PublicKey.ExportSubjectPublicKeyInfo());
        pin[0] ^= rightPin ? (byte)0 : (byte)1;
        node.TlsPin = Convert.ToBase64String(pin);
        var token = (await gateway.Operator.CreateEnrolmentTokenAsync(TimeSpan.FromHours(1))).Text;
        (await node.EnrolAsync(token)).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var user = await gateway.UserAsync();

        var response = await user.PostAsync(GatewayUnderTest.ChatPath, Http.Json((await LockedNode.LockAsync(user)).Envelope()));

        if (rightPin)
        {
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            return;
        }

        await response.ShouldBeErrorAsync(503, "SERVICE_UNAVAILABLE");
        node.RequestsSeen.ShouldBe(0);
    }
}
