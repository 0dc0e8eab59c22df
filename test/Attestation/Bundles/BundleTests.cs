using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Simulated;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests.Bundles;

/// <summary>spec/attestation.md sections 11, 12 and 14: a node's bundle, right but for one thing.</summary>
public sealed class BundleTests
{
    private static readonly byte[] Nonce = RandomNumberGenerator.GetBytes(32);

    private static readonly Dictionary<string, (Action<NodeBundle> Fault, string Refusals, RejectionCode Code)> Faults = new()
    {
        ["a type that nobody knows"] = (node => node.ChangeJson = json => json["cpu"]!["type"] = "sgx", "bundle.tee", RejectionCode.Forbidden),
        ["a log beside a type that has none"] = (
            node =>
            {
                node.EventLog = "[]"u8.ToArray();
                node.ChangeJson = json => json["cpu"]!["type"] = "sev-snp";
            },
            "bundle.format", RejectionCode.Malformed),
        ["a type that the policy does not accept"] = (
            node => node.Platform.Policy = node.Platform.Policy with { Tees = [CpuType.SevSnp] }, "bundle.tee", RejectionCode.Forbidden),
        ["collateral of an unknown name"] = (node => node.ChangeJson = json => json["cpu"]!["collateral"]!["more"] = "", "bundle.tee", RejectionCode.Malformed),
        ["a statement that was changed by one byte"] = (
            node => node.ChangeStatement = bytes => [.. bytes, (byte)' '], "bundle.report_data", RejectionCode.Mismatch),
        ["a statement that is no JSON"] = (node => node.ChangeStatement = bytes => bytes[..^1], "bundle.statement", RejectionCode.Malformed),
        ["a device that the statement does not name"] = (node => node.Devices.Add(Device("x")), "bundle.devices_bound", RejectionCode.Mismatch),
        ["a device in the place of another"] = (
            node =>
            {
                node.Devices.Add(Device("x"));
                node.Statement = node.Statement with { Devices = [SHA256.HashData("y"u8)] };
            },
            "bundle.devices_bound", RejectionCode.Mismatch),
        ["a device that was left out"] = (
            node => node.Statement = node.Statement with { Devices = [SHA256.HashData("y"u8)] }, "bundle.devices_bound", RejectionCode.Mismatch),
        ["devices that nobody verifies"] = (
            node =>
            {
                node.Devices.Add(Device("x"));
                node.Statement = node.Statement with { Devices = [SHA256.HashData("x"u8)] };
                node.Platform.Policy = node.Platform.Policy with { IgnoreDevices = false };
            },
            "bundle.devices", RejectionCode.Unsupported),
        ["another challenge"] = (node => node.Challenge = new byte[32], "bundle.nonce", RejectionCode.Mismatch),
        ["no challenge where the policy wants one"] = (
            node =>
            {
                node.Challenge = null;
                node.Platform.Policy = node.Platform.Policy with { RequireNonce = true };
            },
            "bundle.nonce", RejectionCode.Missing),
        ["keys that were erased"] = (node => node.At = node.Statement.NotAfter.AddSeconds(61), "bundle.time", RejectionCode.Expired),
        ["a statement of the future"] = (node => node.At = node.Statement.IssuedAt.AddSeconds(-61), "bundle.time", RejectionCode.NotYetValid),
        ["keys that live too long"] = (
            node => node.Statement = node.Statement with { NotAfter = node.Statement.IssuedAt.AddHours(2).AddSeconds(1) },
            "bundle.time", RejectionCode.Forbidden),
        ["keys that end before they begin"] = (
            node => node.Statement = node.Statement with { NotAfter = node.Statement.IssuedAt.AddSeconds(-1) }, "bundle.time", RejectionCode.Malformed),
        ["a dangerous option"] = (
            node => node.Statement = node.Statement with { Configuration = node.Statement.Configuration with { Dangerous = ["plain-http", "log-prompts"] } },
            "bundle.dangerous_options", RejectionCode.Forbidden),
        ["an engine elsewhere"] = (
            node => node.Statement = node.Statement with { Configuration = node.Statement.Configuration with { Upstreams = ["http://10.0.0.1:8000"] } },
            "bundle.upstream", RejectionCode.Forbidden),
        ["a program that the policy does not name"] = (
            node => node.Platform.Policy = node.Platform.Policy with { MeasurementsAny = false },
            "tdx.mr_td tdx.rtmr0 tdx.rtmr1 tdx.rtmr2 tdx.rtmr3", RejectionCode.NoReference),
        ["a program that the policy does not name, with everything advisory"] = (
            node => node.Platform.Policy = node.Platform.Policy with
            {
                MeasurementsAny = false,
                Advisory = FactorNames.All.Where(name => name.Kind == FactorKind.Policy).Select(name => name.Value).ToHashSet(),
            },
            "tdx.mr_td tdx.rtmr0 tdx.rtmr1 tdx.rtmr2 tdx.rtmr3", RejectionCode.NoReference),
        ["a log of other events"] = (
            node => node.EventLog = Encoding.ASCII.GetBytes($"[{{\"imr\":2,\"event_type\":1,\"digest\":\"{new string('1', 96)}\"}}]"),
            "tdx.event_log", RejectionCode.Mismatch),
        ["collateral that is missing"] = (
            node => node.ChangeJson = json => json["cpu"]!["collateral"]!.AsObject().Remove("pck_crl"), "tdx.pck_crl", RejectionCode.Missing),
        ["evidence that is none"] = (node => node.ChangeJson = json => json["cpu"]!["evidence"] = "", "tdx.quote bundle.report_data", RejectionCode.Malformed),
    };

    public static TheoryData<string> Names => [.. Faults.Keys];

    [Fact]
    public void A_bundle_without_a_fault_is_accepted_and_gives_the_witness()
    {
        var node = new NodeBundle();
        var verification = node.Verify();
        verification.Verdict.Refusals().ShouldBeEmpty(verification.Verdict.ToText());
        var verified = verification.Verified.ShouldNotBeNull();
        verified.Keys.Digest().ShouldBe(node.Statement.Keys.Digest());
        verified.Statement.ToBytes().ShouldBe(node.Statement.ToBytes());
        verified.Type.ShouldBe(CpuType.Tdx);
        verified.ValidBefore.ShouldBe(node.Statement.NotAfter.AddSeconds(60).AddTicks(1));
        verified.IsValidAt(node.At).ShouldBeTrue();
        verified.IsValidAt(verified.ValidBefore).ShouldBeFalse();
        verified.SealBefore.ShouldBe(node.Statement.NotAfter.AddSeconds(-60));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void One_fault_is_refused_by_its_factor(string name)
    {
        var (fault, refusals, code) = Faults[name];
        var node = new NodeBundle();
        fault(node);
        var verification = node.Verify();
        verification.Verdict.Refusals().ShouldBe(refusals.Split(' '), verification.Verdict.ToText());
        verification.Verdict.Failures.First().Code.ShouldBe(code);
        verification.Verified.ShouldBeNull();
    }

    [Fact]
    public void The_skew_of_clocks_is_forgiven_to_the_second()
    {
        var node = new NodeBundle();
        node.At = node.Statement.NotAfter.AddSeconds(60);
        node.Verify().Verified.ShouldNotBeNull();
        node.At = node.Statement.IssuedAt.AddSeconds(-60);
        node.Verify().Verified.ShouldNotBeNull();
    }

    [Fact]
    public void A_verified_bundle_never_outlives_its_keys_even_where_time_is_advisory()
    {
        var node = new NodeBundle();
        node.Platform.Policy = node.Platform.Policy with { Advisory = new HashSet<string> { "bundle.time" } };
        var end = node.Statement.NotAfter.AddSeconds(60).AddTicks(1);
        node.Verify().Verified!.ValidBefore.ShouldBe(end);

        // A lifetime that is too long is shown, and its end is known nevertheless.
        node.Statement = node.Statement with { NotAfter = node.Statement.IssuedAt.AddDays(2) };
        var verified = node.Verify().Verified.ShouldNotBeNull();
        verified.ValidBefore.ShouldBe(node.Statement.NotAfter.AddSeconds(60).AddTicks(1));
        verified.ValidFrom.ShouldBe(node.Statement.IssuedAt.AddSeconds(-60));

        // Beyond its end it is shown as expired, and gives a witness that is good for no time at all.
        node.At = node.Statement.NotAfter.AddSeconds(61);
        var late = node.Verify();
        late.Verdict.CodeOf(PolicyFactors.Time).ShouldBe(RejectionCode.Forbidden);
        verified = late.Verified.ShouldNotBeNull();
        verified.ValidBefore.ShouldBe(node.Statement.NotAfter.AddSeconds(60).AddTicks(1));
        verified.IsValidAt(node.At).ShouldBeFalse();
        verified.IsValidAt(node.Statement.NotAfter).ShouldBeFalse();
    }

    [Fact]
    public void Policies_that_allow_it_accept_what_the_default_refuses()
    {
        var node = new NodeBundle();
        node.Statement = node.Statement with
        {
            Configuration = new NodeConfiguration(["http://10.0.0.1:8000"], ["plain-http"], "info", ["--n-gpu-layers", "99"]),
        };
        node.Platform.Policy = node.Platform.Policy with { DangerousOptions = ["plain-http"], Upstreams = ["http://10.0.0.1:8000"] };
        node.Verify().Verified.ShouldNotBeNull();
    }

    [Fact]
    public void The_default_policy_accepts_no_real_node()
    {
        var node = new NodeBundle();
        var bytes = node.ToBytes();
        new BundleVerifier().Verify(bytes, Policy.Default, node.At).Verified.ShouldBeNull();
    }

    [Fact]
    public void Pinned_measurements_are_accepted_and_others_are_not()
    {
        var node = new NodeBundle();
        var claims = node.Verify().Claims!;
        ReferenceValues One(string name) => ReferenceValues.OneOf(claims.Measurements[name].ToArray());
        node.Platform.Policy = node.Platform.Policy with
        {
            MeasurementsAny = false,
            Tdx = new TdxPolicy { MrTd = One("mr_td"), Rtmr0 = One("rtmr0"), Rtmr1 = One("rtmr1"), Rtmr2 = One("rtmr2"), Rtmr3 = One("rtmr3") },
        };
        node.Verify().Verified.ShouldNotBeNull();
        node.Platform.Register(1)[0] ^= 1;
        node.Verify().Verdict.Refusals().ShouldBe(["tdx.rtmr1"]);
        node.Platform.Policy = node.Platform.Policy with { Advisory = new HashSet<string> { "tdx.rtmr1" } };
        node.Verify().Verdict.Warnings.Select(factor => factor.Name.Value).ShouldContain("tdx.rtmr1");
        node.Verify().Verified.ShouldNotBeNull("a mismatch with a value that is given may be advisory");
    }

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"\",\"collateral\":{}},\"devices\":[],\"more\":1}")]
    [InlineData("{\"statement\":\"\",\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"\",\"collateral\":{}},\"devices\":[]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"\",\"collateral\":{},\"more\":1},\"devices\":[]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"AA\",\"collateral\":{}},\"devices\":[]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"AB==\",\"collateral\":{}},\"devices\":[]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"AA==\\n\",\"collateral\":{}},\"devices\":[]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"\",\"collateral\":{\"a\":\"\",\"a\":\"\"}},\"devices\":[]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":1,\"evidence\":\"\",\"collateral\":{}},\"devices\":[]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"\",\"collateral\":{}},\"devices\":{}}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"\",\"collateral\":{}},\"devices\":[{}]}")]
    [InlineData("{\"statement\":\"\",\"cpu\":{\"type\":\"tdx\",\"evidence\":\"\",\"collateral\":{}},\"devices\":[]}x")]
    public void What_is_no_bundle_is_refused_by_its_format(string json)
    {
        var verdict = new BundleVerifier().Verify(Encoding.UTF8.GetBytes(json), Policy.Default, IntelPlatform.Now).Verdict;
        verdict.Refusals().ShouldBe(["bundle.format"], verdict.ToText());
        verdict.Factors.Count.ShouldBe(1);
    }

    [Fact]
    public void A_bundle_beyond_its_bounds_is_refused()
    {
        Refusal(new byte[Bounds.Bundle + 1]).ShouldBe(RejectionCode.TooLarge);
        Refusal(Encoding.UTF8.GetBytes(new string('[', 1 << 20))).ShouldBe(RejectionCode.Malformed);
        var node = new NodeBundle();
        for (var i = 0; i < Bounds.DeviceCount + 1; i++)
            node.Devices.Add(Device("x"));
        Refusal(node.ToBytes()).ShouldBe(RejectionCode.Malformed);
        node = new NodeBundle
        {
            ChangeJson = json =>
                json["cpu"]!["collateral"] = new JsonObject(Enumerable.Range(0, 17).Select(i => KeyValuePair.Create<string, JsonNode?>($"n{i}", ""))),
        };
        Refusal(node.ToBytes()).ShouldBe(RejectionCode.Malformed);

        static RejectionCode? Refusal(byte[] json) => new BundleVerifier().Verify(json, Policy.Default, IntelPlatform.Now).Verdict.Failures.Single().Code;
    }

    [Theory]
    [InlineData("version", "2")]
    [InlineData("version", "\"1\"")]
    [InlineData("node", "-1")]
    [InlineData("node", "1.5")]
    [InlineData("issued_at", "1e400")]
    [InlineData("not_after", "253402300800")]
    [InlineData("nonce", "\"AAAA\"")]
    [InlineData("keys", "{\"ohttp\":\"\",\"x25519\":\"\",\"signing\":\"\"}")]
    [InlineData("software", "{\"name\":\"a\",\"version\":\"b\",\"weights\":\"ABCD\"}")]
    [InlineData("software", "{\"name\":\"a\"}")]
    [InlineData("models", "{}")]
    [InlineData("models", "[1]")]
    [InlineData("models", "[{\"name\":\"a\"}]")]
    [InlineData("models", "[{\"name\":\"a\",\"weights\":\"ABCD\"}]")]
    [InlineData("models", "[{\"name\":\"a\",\"weights\":null,\"more\":1}]")]
    [InlineData("models", "[{\"name\":\"a\",\"weights\":null},{\"name\":\"a\",\"weights\":null}]")]
    [InlineData("config", "{\"upstreams\":[],\"dangerous\":[1],\"log_level\":\"\",\"engine_arguments\":[]}")]
    [InlineData("devices", "[\"00\"]")]
    [InlineData("more", "1")]
    public void A_statement_that_says_something_else_is_refused(string member, string value)
    {
        var json = JsonNode.Parse(new NodeBundle().Statement.ToBytes())!.AsObject();
        json[member] = JsonNode.Parse(value);
        BundleStatement.TryParse(Encoding.UTF8.GetBytes(json.ToJsonString()), out var statement).ShouldNotBeNull();
        statement.ShouldBeNull();
        json = JsonNode.Parse(new NodeBundle().Statement.ToBytes())!.AsObject();
        if (json.Remove(member))
            BundleStatement.TryParse(Encoding.UTF8.GetBytes(json.ToJsonString()), out _).ShouldNotBeNull("a member may not be left out");
    }

    [Fact]
    public void The_binding_is_the_one_of_the_specification()
    {
        // Computed apart from the product's code: length-prefixed, big endian, under their domains.
        var keys = new NodeKeys
        {
            Ohttp = new byte[] { 1, 2 },
            X25519 = Enumerable.Repeat((byte)3, 32).ToArray(),
            Signing = Enumerable.Repeat((byte)4, 32).ToArray(),
        };
        byte[] keySet = SHA256.HashData(
            [.. "ConfidentialChat attestation v1 key set"u8, 0, 0, 0, 2, 1, 2, 0, 0, 0, 32, .. keys.X25519.Span, 0, 0, 0, 32, .. keys.Signing.Span]);
        keys.Digest().ShouldBe(keySet);
        BundleStatement.ReportData("{}"u8).ShouldBe(SHA512.HashData([.. "ConfidentialChat attestation v1 report data"u8, 0, 0, 0, 2, .. "{}"u8]));
        BundleStatement.DeviceNonce(keys, DateTimeOffset.FromUnixTimeSeconds(0x0102030405), Nonce)
            .ShouldBe(SHA256.HashData([.. "ConfidentialChat attestation v1 device nonce"u8, .. keySet, 0, 0, 0, 1, 2, 3, 4, 5, .. Nonce]));
    }

    [Fact]
    public void Simulated_evidence_is_refused_unless_the_policy_names_it_and_then_warns()
    {
        using var platform = new SimulatedPlatform();
        var statement = new NodeBundle().Statement;
        var bytes = EvidenceBundle.Write(statement.ToBytes(), platform.Sign(BundleStatement.ReportData(statement.ToBytes())), []);
        var allowing = Policy.Parse("version = 1\nallow_simulated = true");
        var verifier = new BundleVerifier();
        verifier.Verify(bytes, Policy.Default, IntelPlatform.Now).Verdict.CodeOf(PolicyFactors.Tee).ShouldBe(RejectionCode.Forbidden);
        var accepted = verifier.Verify(bytes, allowing, IntelPlatform.Now);
        accepted.Verified!.Type.ShouldBe(CpuType.Simulated);
        accepted.Verdict.Warnings.Single().Found.ShouldContain("NOTHING IS PROTECTED");
        // Its signature is checked nevertheless, and its binding, in each of its bytes.
        foreach (var at in Enumerable.Range(0, BundleStatement.ReportDataSize))
        {
            var other = BundleStatement.ReportData(statement.ToBytes());
            other[at] ^= 1;
            verifier.Verify(EvidenceBundle.Write(statement.ToBytes(), platform.Sign(other), []), allowing, IntelPlatform.Now)
                .Verdict.Refusals().ShouldBe(["bundle.report_data"], $"byte {at}");
        }

        foreach (var bit in Daily.Of(platform.Sign(new byte[64]).Evidence.Length * 8, 10))
        {
            var evidence = platform.Sign(BundleStatement.ReportData(statement.ToBytes())).Evidence.ToArray();
            evidence[bit / 8] ^= (byte)(1 << (bit % 8));
            verifier.Verify(
                EvidenceBundle.Write(statement.ToBytes(), new CpuEvidence { Type = CpuType.Simulated, Evidence = evidence }, []), allowing, IntelPlatform.Now)
                .Verified.ShouldBeNull($"bit {bit}");
        }
    }

    [Fact]
    public void A_simulated_key_on_a_curve_that_is_written_out_is_refused()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var written = ECDsa.Create(key.ExportExplicitParameters(includePrivateParameters: true));
        Outcomes(key).ShouldBe(Outcome.Pass);
        Outcomes(written).ShouldBe(Outcome.Fail);

        static Outcome Outcomes(ECDsa key)
        {
            var publicKey = key.ExportSubjectPublicKeyInfo();
            byte[] signed =
                [.. "ConfidentialChat simulated evidence v1"u8, .. new byte[64], (byte)(publicKey.Length >> 8), (byte)publicKey.Length, .. publicKey];
            var findings = new Findings(IntelPlatform.Now, new HashSet<string>());
            new SimulatedCpuVerifier().Verify(
                new CpuEvidence { Type = CpuType.Simulated, Evidence = (byte[])[.. signed, .. key.SignData(signed, HashAlgorithmName.SHA256)] },
                Policy.Default, findings);
            return findings.ToVerdict().Factors[0].Outcome;
        }
    }

    [Fact]
    public void Simulated_factors_are_those_of_the_specification() =>
        new[] { SimulatedCpuVerifier.Evidence.Value, SimulatedCpuVerifier.Protection.Value }.ShouldBe(["simulated.evidence", "simulated.protection"]);

    [Fact]
    public void A_kept_verdict_is_given_between_its_dates_and_made_anew_beyond_them()
    {
        var node = new NodeBundle();
        EvidenceBundle.TryParse(node.ToBytes(), out var bundle).ShouldBeNull();
        var kept = new KeptVerdicts(new BundleVerifier(), node.Policy(), capacity: 2);
        var first = kept.Verify(bundle!, node.At, Nonce);
        first.Verified.ShouldNotBeNull();
        kept.Verify(bundle!, node.At.AddMinutes(30), Nonce).ShouldBeSameAs(first);
        kept.Verify(bundle!, first.Verdict.ValidBefore.AddTicks(-1), Nonce).ShouldBeSameAs(first);
        kept.Verify(bundle!, first.Verdict.ValidBefore, Nonce).Verified.ShouldBeNull();
        kept.Verify(bundle!, node.At, new byte[32]).Verified.ShouldBeNull("another challenge is another question");
        kept.Verify(bundle!, node.At).Verified.ShouldNotBeNull();
        kept.Verify(bundle!, first.Verdict.ValidFrom.AddTicks(-1), Nonce).Verified.ShouldBeNull();
    }

    private static DeviceEvidence Device(string evidence) =>
        new() { Architecture = "NOBODYS", Evidence = Encoding.ASCII.GetBytes(evidence), Certificates = Array.Empty<byte>() };

    /// <summary>A node's bundle before it is written.</summary>
    internal sealed class NodeBundle
    {
        public NodeBundle() => Platform.Policy = Platform.Policy with { MeasurementsAny = true, IgnoreDevices = true };

        public IntelPlatform Platform { get; } = new();

        public DateTimeOffset At { get; set; } = IntelPlatform.Now;

        public ReadOnlyMemory<byte>? Challenge { get; set; } = Nonce;

        public byte[]? EventLog { get; set; }

        public List<DeviceEvidence> Devices { get; } = [];

        public Func<byte[], byte[]> ChangeStatement { get; set; } = bytes => bytes;

        public Action<JsonNode>? ChangeJson { get; set; }

        public BundleStatement Statement { get; set; } = new()
        {
            Node = 7,
            Keys = new NodeKeys
            {
                Ohttp = RandomNumberGenerator.GetBytes(1220),
                X25519 = RandomNumberGenerator.GetBytes(32),
                Signing = RandomNumberGenerator.GetBytes(32),
            },
            IssuedAt = IntelPlatform.Now.AddMinutes(-5),
            NotAfter = IntelPlatform.Now.AddMinutes(65),
            Nonce = Nonce,
            Software = new NodeSoftware("node", "0.1.0"),
            Models = [new NodeModel("llama", new string('a', 64)), new NodeModel("remote", null)],
            Configuration = new NodeConfiguration([], [], "information", []),
        };

        public Policy Policy() => Platform.TrustingPolicy();

        public byte[] ToBytes()
        {
            var statement = Statement.ToBytes();
            BundleStatement.ReportData(statement).CopyTo(Platform.Body.AsSpan(520));
            var cpu = new CpuEvidence
            {
                Type = CpuType.Tdx,
                Evidence = Platform.Quote(),
                Collateral = Platform.Collateral().ToNamed(),
                EventLog = EventLog is null ? null : (ReadOnlyMemory<byte>?)EventLog,
            };
            var bytes = EvidenceBundle.Write(ChangeStatement(statement), cpu, Devices);
            if (ChangeJson is null)
                return bytes;
            var json = JsonNode.Parse(bytes)!;
            ChangeJson(json);
            return Encoding.UTF8.GetBytes(json.ToJsonString());
        }

        public BundleVerification Verify() => new BundleVerifier().Verify(ToBytes(), Policy(), At, Challenge);
    }
}
