using System.Security.Cryptography;
using ConfidentialChat.Hosting;
using ConfidentialChat.Node.Enrolment;
using ConfidentialChat.Node.Relay;
using ConfidentialChat.Node.Tests.Serving;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Primitives;
using ConfidentialChat.Protocol.Relay;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ConfidentialChat.Node.Tests.Enrolment;

/// <summary>Only the enrolled gateway's fresh token lets a request in, and only once.</summary>
public sealed class RelayTokenTests : IDisposable
{
    private const string Path = "/v1/confidential/chat/completions";

    private readonly Ed25519PrivateKey gatewayKey = Ed25519PrivateKey.Generate(out _);
    private readonly RelayKey relayKey = new(RandomNumberGenerator.GetBytes(RelayKey.Size));
    private readonly SettableClock time = new(DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.ToUnixTimeSeconds())); // as tokens count
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("cchat-node-");
    private readonly GatewayEnrolment enrolment;
    private readonly CapturedLog log = new();
    private readonly RelayTokenCheck check;

    public RelayTokenTests()
    {
        enrolment = new GatewayEnrolment(new NodeOptions { DataDirectory = directory.FullName, GatewayUrl = new Uri("http://127.0.0.1:1") });
        enrolment.Set(new EnrolledGateway(new Uri("http://127.0.0.1:1"), new NodeId(7), gatewayKey.PublicKey, relayKey));
        check = Check(enrolment);
    }

    private RelayTokenCheck Check(GatewayEnrolment of) =>
        new(of, time, new Seldom(time, NullLogger<Seldom>.Instance), LoggerFactory.Create(logging => logging.AddProvider(log)).CreateLogger<RelayTokenCheck>());

    public void Dispose()
    {
        gatewayKey.Dispose();
        relayKey.Dispose();
        directory.Delete(recursive: true);
    }

    [Fact]
    public void A_fresh_token_lets_its_request_in_once()
    {
        var text = Token().Write(relayKey);
        check.TryAccept(text, Path, out var token).ShouldBeTrue();
        token!.Units.ShouldBe(new ComputeUnits(100));
        check.TryAccept(text, Path, out _).ShouldBeFalse();
    }

    [Fact]
    public void A_second_token_for_the_same_request_is_refused_until_none_could_hold_any_more()
    {
        var token = Token();
        check.TryAccept(token.Write(relayKey), Path, out _).ShouldBeTrue();
        check.TryAccept((token with { Units = new ComputeUnits(1_000_000) }).Write(relayKey), Path, out _).ShouldBeFalse();
        time.Advance(TimeSpan.FromSeconds(60));
        check.TryAccept((token with { Expires = time.GetUtcNow().AddSeconds(60) }).Write(relayKey), Path, out _).ShouldBeFalse();
    }

    // As long as a token may hold, and what clocks may differ at either end: the longest that a second token for it could be good.
    [Theory]
    [InlineData(-1, false)]
    [InlineData(0, false)]
    [InlineData(1, true)]
    public void A_request_is_remembered_for_as_long_as_any_token_for_it_can_hold(long ticks, bool isForgotten)
    {
        var token = Token() with { Expires = time.GetUtcNow() + RelayToken.MaxLifetime + ClockTolerance.Most };
        check.TryAccept(token.Write(relayKey), Path, out _).ShouldBeTrue();
        time.Advance(RelayToken.MaxLifetime + (2 * ClockTolerance.Most) + TimeSpan.FromTicks(ticks));
        check.TryAccept(token.Write(relayKey), Path, out _).ShouldBeFalse("it has been here, or it is past");
        check.TryAccept((token with { Expires = token.Expires.AddSeconds(30) }).Write(relayKey), Path, out _).ShouldBe(isForgotten);
    }

    [Fact]
    public void No_token_and_junk_are_refused()
    {
        foreach (var text in (string?[])[null, "", ".", "a.b", "!!.??", new string('A', 100_000), Token().Write(relayKey) + "A"])
            check.TryAccept(text, Path, out _).ShouldBeFalse(text);
    }

    [Fact]
    public void Another_gateways_token_is_refused()
    {
        using var other = new RelayKey(RandomNumberGenerator.GetBytes(RelayKey.Size));
        check.TryAccept(Token().Write(other), Path, out _).ShouldBeFalse();
    }

    [Fact]
    public void Another_nodes_token_is_refused() =>
        check.TryAccept((Token() with { Node = new NodeId(8) }).Write(relayKey), Path, out _).ShouldBeFalse();

    [Theory]
    [InlineData("/v1/confidential/completions")]
    [InlineData("/V1/confidential/chat/completions")]
    [InlineData("")]
    public void A_token_for_another_path_is_refused(string endpoint) =>
        check.TryAccept((Token() with { Endpoint = endpoint }).Write(relayKey), Path, out _).ShouldBeFalse();

    [Theory]
    [InlineData(-60)]
    [InlineData(-3600)]
    [InlineData(121)]
    [InlineData(3600)]
    public void A_token_that_is_past_or_ahead_by_more_than_clocks_may_differ_is_refused_and_the_log_says_clock(int seconds)
    {
        check.TryAccept((Token() with { Expires = time.GetUtcNow().AddSeconds(seconds) }).Write(relayKey), Path, out _).ShouldBeFalse();
        log.Text.ShouldContain($"ends in {seconds} s by this node's clock");
    }

    // The gateway's clock is this far from the node's, and its tokens live for a minute.
    [Theory]
    [InlineData(-60)]
    [InlineData(-10)]
    [InlineData(-6)]
    [InlineData(10)]
    [InlineData(60)]
    public void A_fresh_token_of_a_gateway_whose_clock_is_near_enough_lets_its_request_in(int seconds)
    {
        var ages = seconds == -60 ? [TimeSpan.Zero, TimeSpan.FromSeconds(59)] : (TimeSpan[])[TimeSpan.Zero, TimeSpan.FromSeconds(59.9)];
        foreach (var age in ages)
            check.TryAccept(
                (Token() with { Request = RequestId.New(), Expires = time.GetUtcNow().AddSeconds(seconds + 60) - age }).Write(relayKey),
                Path, out _).ShouldBeTrue($"{age}");
        log.Text.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(600)]
    [InlineData(-600)]
    public void A_clock_that_is_set_and_set_back_lets_no_token_in_twice(int seconds)
    {
        var text = Token().Write(relayKey);
        check.TryAccept(text, Path, out _).ShouldBeTrue();
        time.SetBy = TimeSpan.FromSeconds(seconds);
        check.TryAccept((Token() with { Request = RequestId.New(), Expires = time.GetUtcNow().AddSeconds(60) }).Write(relayKey), Path, out _)
            .ShouldBeTrue("others come meanwhile");
        check.TryAccept(text, Path, out _).ShouldBeFalse();
        time.SetBy = default;
        check.TryAccept(text, Path, out _).ShouldBeFalse();
    }

    [Fact]
    public void A_node_that_is_not_enrolled_serves_nobody()
    {
        var stranger = new GatewayEnrolment(
            new NodeOptions { DataDirectory = System.IO.Path.Combine(directory.FullName, "other"), GatewayUrl = new Uri("http://127.0.0.1:1") });
        Check(stranger).TryAccept(Token().Write(relayKey), Path, out _).ShouldBeFalse();
    }

    [Fact]
    public void An_enrolment_is_kept_and_belongs_to_one_gateway()
    {
        var options = new NodeOptions { DataDirectory = directory.FullName, GatewayUrl = new Uri("http://127.0.0.1:1") };
        var kept = new GatewayEnrolment(options);
        kept.Current!.Node.ShouldBe(new NodeId(7));
        kept.Current.GatewayKey.ShouldBe(gatewayKey.PublicKey);
        kept.Current.RelayKey.Export().ShouldBe(relayKey.Export());
        kept.IsOutdated.ShouldBeFalse();
        new GatewayEnrolment(options with { GatewayUrl = new Uri("http://127.0.0.1:2") }).Current.ShouldBeNull();
    }

    [Fact]
    public void An_enrolment_from_before_relay_keys_counts_as_none_and_is_told_apart()
    {
        File.WriteAllText(
            System.IO.Path.Combine(directory.FullName, "enrolment.json"),
            $$"""{"Gateway":"http://127.0.0.1:1","NodeId":7,"GatewayKey":"{{gatewayKey.PublicKey}}"}""");
        var old = new GatewayEnrolment(new NodeOptions { DataDirectory = directory.FullName, GatewayUrl = new Uri("http://127.0.0.1:1") });
        (old.Current, old.IsOutdated).ShouldBe((null, true));
    }

    [Theory]
    [InlineData("")]
    [InlineData("AAAA")]
    public void A_relay_key_of_another_size_counts_as_no_enrolment(string key)
    {
        File.WriteAllText(
            System.IO.Path.Combine(directory.FullName, "enrolment.json"),
            $$"""{"Gateway":"http://127.0.0.1:1","NodeId":7,"GatewayKey":"{{gatewayKey.PublicKey}}","RelayKey":"{{key}}"}""");
        new GatewayEnrolment(new NodeOptions { DataDirectory = directory.FullName, GatewayUrl = new Uri("http://127.0.0.1:1") }).Current.ShouldBeNull();
    }

    [Fact]
    public void A_damaged_enrolment_counts_as_none()
    {
        File.WriteAllText(System.IO.Path.Combine(directory.FullName, "enrolment.json"), "{\"Gateway\":");
        new GatewayEnrolment(new NodeOptions { DataDirectory = directory.FullName, GatewayUrl = new Uri("http://127.0.0.1:1") }).Current.ShouldBeNull();
    }

    private RelayToken Token() => new()
    {
        Request = RequestId.New(),
        Node = new NodeId(7),
        KeySet = default,
        Endpoint = Path,
        Model = "m",
        Units = new ComputeUnits(100),
        Expires = time.GetUtcNow().AddSeconds(60),
    };
}
