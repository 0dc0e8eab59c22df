using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using ConfidentialChat.Protocol.V1;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ConfidentialChat.Node.Tests.Serving;

/// <summary>spec/gateway.md sections 2 and 3: how a node joins its gateway, stays with it, and what it does when it is sent away.</summary>
public sealed class GatewayLinkTests : IDisposable
{
    public void Dispose() => Environment.ExitCode = 0; // what a node that gives up has set

    [Fact]
    public async Task A_node_announces_where_it_is_what_it_serves_and_its_key()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var enrolment = await node.Gateway.EnrolmentAsync();
        enrolment.Address.ShouldBe(node.Url);
        enrolment.TlsPin.ShouldBeNull();
        enrolment.Status.State.ShouldBe(NodeState.Ready);
        enrolment.Status.Models.ShouldBe([ScriptedBackend.Model]);
        enrolment.Status.KeySets.ShouldHaveSingleItem().X25519.ShouldBe(node.Ring.Current.X25519.ToString());
    }

    [Fact]
    public async Task A_rotation_is_told_at_once_with_the_new_key_first()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var before = node.Ring.Current.X25519.ToString();
        node.Ring.TryRotate();
        var beat = await node.Gateway.HeartbeatAsync(); // the next one by schedule is a minute away
        beat.KeySets.Select(key => key.X25519).ShouldBe([node.Ring.Current.X25519.ToString(), before]);
    }

    [Fact]
    public async Task A_key_that_was_retired_by_hand_is_erased_when_its_grace_ends_and_not_at_the_next_rotation()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), time: time);
        node.Ring.TryRotate();
        (await node.Gateway.HeartbeatAsync()).KeySets.Count.ShouldBe(2);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        time.Advance(TimeSpan.FromMinutes(10));
        while (node.Ring.KeySets.Count != 1)
        {
            await Task.Delay(5, patience.Token);
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        (await node.Gateway.HeartbeatAsync(beat => beat.KeySets.Count == 1)).KeySets[0].X25519.ShouldBe(node.Ring.Current.X25519.ToString());
    }

    [Fact]
    public async Task A_node_waits_for_a_gateway_that_is_not_there_yet_and_serves_nobody_until_then()
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes());
        await node.Gateway.LeaveAsync();
        await node.App.StartAsync();
        var ready = NodeHost.WhenReadyAsync(node.App, CancellationToken.None);
        await (await node.PostAsync(node.Seal())).ShouldBeAsync(RequestError.AuthError);
        await (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).ShouldBeAsync(RequestError.ServiceUnavailable);
        ready.IsCompleted.ShouldBeFalse();

        await node.Gateway.ReturnAsync();
        await ready.Soon();
        await node.Gateway.EnrolmentAsync();
    }

    [Fact]
    public async Task A_node_that_its_gateway_has_forgotten_enrols_anew_with_its_token()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var first = await node.Gateway.EnrolmentAsync();
        var (identity, relayKey) = (node.Gateway.Identity, node.Gateway.RelayKey.Export());
        node.Gateway.Fault = http => Task.FromResult(Forgotten(http));
        node.Ring.TryRotate();
        var second = await node.Gateway.EnrolmentAsync();
        node.Gateway.Identity.ShouldBe(identity);
        second.AgreementKey.ShouldNotBe(first.AgreementKey); // for one exchange alone
        node.Gateway.RelayKey.Export().ShouldNotBe(relayKey);
        node.Gateway.Fault = null;
        node.Ring.TryRotate();
        await node.Gateway.HeartbeatAsync();
        var call = node.Seal();
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Fact]
    public async Task A_node_without_a_token_that_its_gateway_has_forgotten_stops_with_its_own_exit_code()
    {
        string? kept = null;
        await using (var enrolled = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes()))
            kept = await File.ReadAllTextAsync(Path.Combine(enrolled.DataDirectory, "enrolment.json"));

        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes(), options => options with { EnrolmentToken = null });
        kept = kept.Replace(kept.Split('"')[3], node.Gateway.Url.ToString(), StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(node.DataDirectory, "enrolment.json"), kept);
        node.Gateway.Fault = http => Task.FromResult(Forgotten(http));
        await node.RestartAsync();
        await ShouldGiveUpAsync(node);
    }

    [Fact]
    public async Task An_enrolment_is_kept_with_its_relay_key_for_the_next_start()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        new GatewayEnrolment(new NodeOptions { DataDirectory = node.DataDirectory, GatewayUrl = node.Gateway.Url })
            .Current!.RelayKey.Export().ShouldBe(node.Gateway.RelayKey.Export());
    }

    [Fact]
    public async Task A_node_that_was_enrolled_before_there_were_relay_keys_says_so_and_enrols_anew()
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes());
        await File.WriteAllTextAsync(
            Path.Combine(node.DataDirectory, "enrolment.json"),
            $$"""{"Gateway":"{{node.Gateway.Url}}","NodeId":7,"GatewayKey":"{{node.Gateway.Key.PublicKey}}"}""");
        await node.RestartAsync();
        await node.App.StartAsync();
        await NodeHost.WhenReadyAsync(node.App, TestContext.Current.CancellationToken).Soon();
        await node.Gateway.EnrolmentAsync();
        node.Log.Text.ShouldContain("has to enrol anew. hint: at the gateway: cchat nodes token");
        var call = node.Seal();
        (await call.OpenAsync(await node.PostAsync(call))).ShouldBe(ScriptedBackend.Whole);
    }

    [Theory]
    [InlineData("none")]
    [InlineData("junk")]
    [InlineData("another key's")]
    [InlineData("another request's")]
    [InlineData("another answer's")]
    public async Task An_enrolment_that_the_gateway_did_not_sign_is_not_kept(string signature)
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes());
        using var other = Ed25519PrivateKey.Generate(out _);
        var key = node.Gateway.Key;
        node.Gateway.SignAnswer = (request, answer) => signature switch
        {
            "none" => null,
            "junk" => "junk",
            "another key's" => EnrolmentSignature.Sign(other, request, answer),
            "another request's" => EnrolmentSignature.Sign(key, [.. request, (byte)' '], answer),
            _ => EnrolmentSignature.Sign(key, request, [.. answer, (byte)' ']),
        };
        await ShouldNotBeEnrolledAsync(node);
    }

    [Theory]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")] // a low-order point: everyone would know the relay key
    [InlineData("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    [InlineData("AAAA")]
    [InlineData("")]
    public async Task An_enrolment_without_a_key_to_agree_with_is_not_kept(string agreementKey)
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes());
        node.Gateway.SpellAgreementKey = _ => agreementKey;
        await ShouldNotBeEnrolledAsync(node);
    }

    [Theory]
    [InlineData("cce_wrong", "hint: make a token at the gateway")]
    [InlineData(null, "hint: at the gateway: cchat nodes token")]
    public async Task A_node_that_no_gateway_takes_stops_with_its_own_exit_code(string? token, string hint)
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes(), options => options with { EnrolmentToken = token });
        await ShouldGiveUpAsync(node, hint);
    }

    [Fact]
    public async Task A_node_that_starts_again_says_where_it_is_before_it_says_how_it_is()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        (await node.Gateway.AddressAsync()).Address.ShouldBe(node.Url); // just enrolled, and to be tried
        var first = node.Url;
        await node.RestartAsync();
        var messages = new List<string>();
        node.Gateway.Fault = http =>
        {
            messages.Add(http.Request.Path);
            return Task.FromResult(false);
        };
        await node.App.StartAsync();
        await NodeHost.WhenReadyAsync(node.App, CancellationToken.None).Soon();
        var announced = await node.Gateway.AddressAsync();
        (announced.Address, announced.TlsPin).ShouldBe((node.Url, null));
        announced.Address.ShouldNotBe(first);
        messages.ShouldBe([NodePaths.Address, NodePaths.Heartbeat]);
    }

    // Started a second time within a second: where it was is reached no more, and a heartbeat says nothing of where it is.
    [Fact]
    public async Task A_node_whose_gateway_has_no_time_to_look_for_it_is_not_ready_until_it_has()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await node.Gateway.AddressAsync();
        await node.RestartAsync();
        var hasTime = false;
        node.Gateway.Fault = http =>
        {
            var isRefused = !hasTime && http.Request.Path == NodePaths.Address;
            if (isRefused)
                http.Response.StatusCode = StatusCodes.Status429TooManyRequests;
            return Task.FromResult(isRefused);
        };
        await node.App.StartAsync();
        await node.Gateway.HeartbeatAsync();
        NodeHost.WhenReadyAsync(node.App, CancellationToken.None).IsCompleted.ShouldBeFalse();
        await (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).ShouldBeAsync(RequestError.ServiceUnavailable);

        hasTime = true;
        await NodeHost.WhenReadyAsync(node.App, CancellationToken.None).Soon();
        (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_node_that_its_gateway_does_not_reach_is_not_ready_names_the_address_and_asks_until_it_is_reached()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await node.Gateway.AddressAsync();
        var old = new Uri("http://127.0.0.1:9/");
        node.Gateway.Look = _ => new NodeReach(false, old);
        node.Ring.TryRotate(); // the next heartbeat by schedule is a minute away
        for (var asked = 0; asked < 2; asked++)
            await node.Gateway.AddressAsync();
        (await node.Gateway.HeartbeatAsync(beat => beat.State == NodeState.Ready)).KeySets.Count.ShouldBe(2); // it is heard all the while
        node.Log.Text.ShouldContain($"{node.Gateway.Url} does not reach this node at {node.Url}, and sends its requests to {old}");
        await (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).ShouldBeAsync(RequestError.ServiceUnavailable);
        (await node.Client.GetAsync(new Uri(node.Url, "/health/live"))).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);

        node.Gateway.Look = address => new NodeReach(true, address);
        await Waiting.UntilAsync(() => node.App.Services.GetRequiredService<GatewayLink>().IsReady);
        (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
    }

    // Its database is from yesterday, or a copy of this node has started elsewhere.
    [Fact]
    public async Task A_gateway_that_has_the_node_elsewhere_is_told_where_it_is()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        await node.Gateway.AddressAsync();
        node.Gateway.Look = _ => new NodeReach(true, new Uri("http://127.0.0.1:9/"));
        node.Ring.TryRotate();
        await node.Gateway.HeartbeatAsync();
        node.Gateway.Look = address => new NodeReach(true, address);
        (await node.Gateway.AddressAsync()).Address.ShouldBe(node.Url);
    }

    [Fact]
    public async Task A_gateway_from_before_addresses_were_announced_is_served_as_ever()
    {
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes());
        node.Gateway.Look = null;
        await node.App.StartAsync();
        await NodeHost.WhenReadyAsync(node.App, CancellationToken.None).Soon();
        node.Ring.TryRotate();
        (await node.Gateway.HeartbeatAsync()).KeySets.Count.ShouldBe(2);
        (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
    }

    [Fact]
    public async Task Another_tls_key_on_the_disk_is_told_to_the_gateway_at_once()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes(), options => options with { Tls = true });
        var before = (await node.Gateway.EnrolmentAsync()).TlsPin;
        (await node.Gateway.AddressAsync()).TlsPin.ShouldBe(before);
        using (var key = ECDsa.Create(ECCurve.NamedCurves.nistP256))
        using (var made = new CertificateRequest("CN=renewed", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(900)))
            await File.WriteAllBytesAsync(
                Path.Combine(node.DataDirectory, "tls.p12"), made.Export(X509ContentType.Pkcs12), TestContext.Current.CancellationToken);
        node.App.Services.GetRequiredService<Reload>().Ask();
        var pin = node.App.Services.GetRequiredService<NodeIdentity>().TlsPin;
        pin.ShouldNotBe(before);
        (await node.Gateway.AddressAsync()).TlsPin.ShouldBe(pin); // the next heartbeat by schedule is a minute away
    }

    [Fact]
    public async Task A_node_shows_itself_to_its_gateway_and_to_nobody_else()
    {
        await using var node = await NodeUnderTest.StartAsync(ScriptedBackend.ThatServes());
        var relayKey = node.Gateway.RelayKey;
        using var other = new RelayKey(new byte[RelayKey.Size]);
        var asked = NodeProof.Ask(ScriptedGateway.Node);
        var elsewhere = NodeProof.Ask(new Protocol.NodeId(8));
        using var proven = await AskAsync(asked.ChallengeText, asked.WriteChallenge(relayKey));
        proven.StatusCode.ShouldBe(System.Net.HttpStatusCode.NoContent);
        asked.IsProvenBy(relayKey, proven.Headers.GetValues(NodeProof.CodeHeaderName).Single()).ShouldBeTrue();
        (string? Challenge, string? Code)[] strange =
        [
            (null, null),
            (asked.ChallengeText, null),
            (asked.ChallengeText, "AAAA"),
            (asked.ChallengeText, asked.WriteChallenge(other)),
            (asked.ChallengeText, asked.Write(relayKey)), // a proof is no challenge
            (NodeProof.Ask(ScriptedGateway.Node).ChallengeText, asked.WriteChallenge(relayKey)),
            (elsewhere.ChallengeText, elsewhere.WriteChallenge(relayKey)),
            (Convert.ToBase64String(new byte[31]), asked.WriteChallenge(relayKey)),
        ];
        foreach (var (challenge, code) in strange)
        {
            using var answer = await AskAsync(challenge, code);
            await answer.ShouldBeAsync(RequestError.AuthError);
            answer.Headers.Contains(NodeProof.CodeHeaderName).ShouldBeFalse();
        }

        async Task<HttpResponseMessage> AskAsync(string? challenge, string? code)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(node.Url, NodePaths.Proof));
            if (challenge is not null)
                request.Headers.Add(NodeProof.ChallengeHeaderName, challenge);
            if (code is not null)
                request.Headers.Add(NodeProof.CodeHeaderName, code);
            return await node.Client.SendAsync(request, TestContext.Current.CancellationToken);
        }
    }

    [Theory]
    [InlineData(-600, "600 s ahead of")]
    [InlineData(90, "90 s behind")]
    public async Task A_node_whose_clock_is_too_far_away_says_so_waits_until_it_is_set_and_stops_for_nothing(int gatewayAhead, string words)
    {
        var time = new SettableClock(DateTimeOffset.UtcNow);
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes(), time: time);
        node.Gateway.Clock = () => time.GetUtcNow() - time.SetBy + TimeSpan.FromSeconds(gatewayAhead);
        await node.App.StartAsync();
        await Waiting.UntilAsync(() => node.Log.Text.Contains($"The clock of this node is {words} that of {node.Gateway.Url}", StringComparison.Ordinal));
        await (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).ShouldBeAsync(RequestError.ServiceUnavailable);
        NodeHost.WhenReadyAsync(node.App, CancellationToken.None).IsCompleted.ShouldBeFalse();

        time.SetBy = TimeSpan.FromSeconds(gatewayAhead); // somebody sets it
        await NodeHost.WhenReadyAsync(node.App, CancellationToken.None).Soon();
        (await node.Client.GetAsync(new Uri(node.Url, "/health/ready"))).StatusCode.ShouldBe(System.Net.HttpStatusCode.OK);
        Environment.ExitCode.ShouldBe(0);

        // And away again, now that it is enrolled: reports and heartbeats are refused, and nothing is given up.
        time.SetBy = default;
        node.Ring.TryRotate();
        await Waiting.UntilAsync(() => !node.App.Services.GetRequiredService<GatewayLink>().IsReady);
        await Task.Delay(TimeSpan.FromSeconds(6), TestContext.Current.CancellationToken); // more refusals than it takes from a gateway that does not know it
        time.SetBy = TimeSpan.FromSeconds(gatewayAhead);
        await Waiting.UntilAsync(() => node.App.Services.GetRequiredService<GatewayLink>().IsReady);
    }

    [Theory]
    [InlineData(-30)]
    [InlineData(-3600)]
    public async Task A_node_goes_on_when_all_clocks_are_set_back(int seconds)
    {
        var time = new SettableClock(DateTimeOffset.UtcNow);
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes(), time: time);
        node.Gateway.Clock = time.GetUtcNow;
        await node.App.StartAsync();
        await NodeHost.WhenReadyAsync(node.App, CancellationToken.None).Soon();
        time.SetBy = TimeSpan.FromSeconds(seconds);
        if (seconds < -60)
            node.Gateway.Forget(); // what was stored lies ahead of any time that counts
        node.Ring.TryRotate();
        (await node.Gateway.HeartbeatAsync()).KeySets.Count.ShouldBe(2);
    }

    // As after a restart: the last time that it signed is in the gateway's memory alone.
    [Fact]
    public async Task A_node_that_starts_with_its_clock_set_back_a_little_goes_on_after_the_time_that_the_gateway_has()
    {
        var time = new SettableClock(DateTimeOffset.UtcNow);
        await using var node = await NodeUnderTest.CreateAsync(ScriptedBackend.ThatServes(), time: time);
        node.Gateway.Clock = time.GetUtcNow;
        node.Gateway.Heard(time.GetUtcNow().AddSeconds(40));
        await node.App.StartAsync();
        await NodeHost.WhenReadyAsync(node.App, CancellationToken.None).Soon();
        (await node.Gateway.EnrolmentAsync()).Status.State.ShouldBe(NodeState.Ready);
    }

    private static async Task ShouldNotBeEnrolledAsync(NodeUnderTest node)
    {
        await node.App.StartAsync();
        await node.Gateway.EnrolmentAsync();
        await node.Gateway.EnrolmentAsync(); // it asks again, so the first answer was read and thrown away
        node.Log.Text.ShouldContain("is not one that it signed");
        File.Exists(Path.Combine(node.DataDirectory, "enrolment.json")).ShouldBeFalse();
        await (await node.PostAsync(node.Seal())).ShouldBeAsync(RequestError.AuthError);
    }

    private static async Task ShouldGiveUpAsync(NodeUnderTest node, string hint = "hint: make a token at the gateway")
    {
        await node.App.StartAsync();
        await node.App.WaitForShutdownAsync(TestContext.Current.CancellationToken).Soon();
        Environment.ExitCode.ShouldBe(NodeExitCode.NotEnrolled);
        node.Log.Text.ShouldContain(hint);
    }

    private static bool Forgotten(HttpContext http)
    {
        http.Response.StatusCode = 401;
        return http.Request.Path.Value is NodePaths.Heartbeat or NodePaths.Address;
    }
}
