using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests.Bundles;

/// <summary>spec/attestation.md sections 11, 12, 15 and 17: members that nobody asked for, and verdicts that are of another bundle.</summary>
public sealed class BundleEdgeTests
{
    [Fact]
    public void A_kept_verdict_is_of_its_bundle_and_of_its_challenge()
    {
        var (one, other) = (new BundleTests.NodeBundle(), new BundleTests.NodeBundle());
        other.Statement = other.Statement with { Node = 8, Keys = one.Statement.Keys };
        var (bundle, others) = (Parsed(one), Parsed(other)); // each is signed anew when it is written
        var kept = new KeptVerdicts(new BundleVerifier(), one.Policy(), capacity: 8);
        var first = kept.Verify(bundle, one.At, one.Challenge);
        first.Verified!.Statement.Node.ShouldBe(7);
        kept.Verify(bundle, one.At, new byte[32]).Verified.ShouldBeNull();
        kept.Verify(bundle, one.At, one.Challenge).ShouldBeSameAs(first);
        kept.Verify(others, one.At, one.Challenge).ShouldNotBeSameAs(first);
        kept.Verify(bundle, one.At).ShouldNotBeSameAs(first);
        kept.Verify(bundle, one.At, one.Challenge, new DocumentSet(new byte[1])).ShouldBeSameAs(first, "a bundle without devices names no documents");
    }

    [Fact]
    public void The_oldest_kept_verdict_goes_first()
    {
        var node = new BundleTests.NodeBundle();
        var bundle = Parsed(node);
        var kept = new KeptVerdicts(new BundleVerifier(), node.Policy(), capacity: 2);
        var first = kept.Verify(bundle, node.At, Challenge(1));
        var second = kept.Verify(bundle, node.At, Challenge(2));
        kept.Verify(bundle, node.At, Challenge(1)).ShouldBeSameAs(first);
        kept.Verify(bundle, node.At, Challenge(2)).ShouldBeSameAs(second);
        kept.Verify(bundle, node.At, Challenge(3));
        kept.Verify(bundle, node.At, Challenge(2)).ShouldBeSameAs(second);
        kept.Verify(bundle, node.At, Challenge(1)).ShouldNotBeSameAs(first);
        Should.Throw<ArgumentOutOfRangeException>(() => new KeptVerdicts(new BundleVerifier(), node.Policy(), capacity: 0));

        static byte[] Challenge(byte value) => [.. Enumerable.Repeat(value, 32)];
    }

    [Fact]
    public void A_digest_is_of_all_the_bytes_and_of_documents_in_any_order()
    {
        var (digest, other) = (Digest32.Of("a"u8), Digest32.Of("b"u8));
        digest.ShouldNotBe(other);
        Convert.FromHexString("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")
            .ShouldBe([.. Convert.FromHexString($"{digest.High:x32}{digest.Low:x32}")]);
        new DocumentSet(new byte[] { 1 }, new byte[] { 2 }).Digest.ShouldBe(new DocumentSet(new byte[] { 2 }, new byte[] { 1 }, new byte[] { 2 }).Digest);
        new DocumentSet(new byte[] { 1 }).Digest.ShouldNotBe(new DocumentSet(new byte[] { 2 }).Digest);
        new DocumentSet(new byte[] { 1 }, new byte[] { 1 }).Documents.Count.ShouldBe(1);
        DocumentSet.Empty.Documents.ShouldBeEmpty();
    }

    [Fact]
    public void Members_that_nobody_asked_for_are_refused_by_the_format()
    {
        var node = new BundleTests.NodeBundle();
        node.Devices.Add(new DeviceEvidence { Architecture = "A", Evidence = new byte[1], Certificates = new byte[1] });
        Refusal(_ => { }).ShouldNotBe("bundle.format");
        Refusal(json => json["devices"]![0]!["more"] = 1).ShouldBe("bundle.format");
        Refusal(json => json["cpu"]!["more"] = 1).ShouldBe("bundle.format");
        Refusal(json => Collateral(json, 16)).ShouldBe("bundle.tee");
        Refusal(json => Collateral(json, 17)).ShouldBe("bundle.format");

        static void Collateral(JsonNode json, int count) =>
            json["cpu"]!["collateral"] = new JsonObject(Enumerable.Range(0, count).Select(i => KeyValuePair.Create<string, JsonNode?>($"n{i}", "")));

        string Refusal(Action<JsonNode> change)
        {
            node.ChangeJson = change;
            return node.Verify().Verdict.Refusals().First();
        }
    }

    [Fact]
    public void One_wrong_letter_of_a_digest_and_one_wrong_challenge_of_many_are_refused()
    {
        var json = Encoding.UTF8.GetString(new BundleTests.NodeBundle().Statement.ToBytes());
        BundleStatement.TryParse(Encoding.UTF8.GetBytes(json), out _).ShouldBeNull();
        var digest = new string('a', 64);
        BundleStatement.TryParse(Encoding.UTF8.GetBytes(json.Replace(digest, digest[..63] + "A", StringComparison.Ordinal)), out _).ShouldNotBeNull();
        BundleStatement.TryParse(Encoding.UTF8.GetBytes(json.Replace(digest, digest[..63], StringComparison.Ordinal)), out _).ShouldNotBeNull();
        Should.Throw<ArgumentException>(() => new ChallengeTree([new byte[32], new byte[31]]));
    }

    [Fact]
    public void A_bundle_may_be_sealed_to_from_its_first_moment_to_before_its_last()
    {
        var node = new BundleTests.NodeBundle();
        var verified = node.Verify().Verified!;
        verified.IsValidAt(verified.ValidFrom).ShouldBeTrue();
        verified.IsValidAt(verified.ValidFrom.AddTicks(-1)).ShouldBeFalse();
        verified.IsValidAt(verified.ValidBefore.AddTicks(-1)).ShouldBeTrue();
        verified.IsValidAt(verified.ValidBefore).ShouldBeFalse();
        VerifiedBundle.SealingMargin.ShouldBe(TimeSpan.FromSeconds(60));
    }

    [Fact]
    public void Two_hours_are_not_too_long_and_keys_may_end_as_they_begin()
    {
        var node = new BundleTests.NodeBundle();
        node.Statement = node.Statement with { NotAfter = node.Statement.IssuedAt.AddHours(2) };
        node.Verify().Verdict.Refusals().ShouldBeEmpty();
        node.Statement = node.Statement with { IssuedAt = node.At, NotAfter = node.At };
        node.Verify().Verdict.Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void Simulated_evidence_of_another_size_or_key_gives_no_claims()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var right = Simulated(key.ExportSubjectPublicKeyInfo());
        Claims(right).ShouldNotBeNull().ReportData.ToArray().ShouldBe(Enumerable.Repeat((byte)7, 64));
        for (var length = 0; length < right.Length; length += length < 110 ? 1 : 31)
            Claims(right[..length]).ShouldBeNull($"{length} bytes");
        Claims([.. right, 0]).ShouldBeNull();
        Claims([(byte)(right[0] ^ 1), .. right[1..]]).ShouldBeNull();
        Claims([.. right[..^1], (byte)(right[^1] ^ 1)]).ShouldBeNull();
        using var larger = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        Claims(Simulated(larger.ExportSubjectPublicKeyInfo())).ShouldBeNull();

        byte[] Simulated(byte[] publicKey)
        {
            byte[] signed =
                [
                    .. "ConfidentialChat simulated evidence v1"u8, .. Enumerable.Repeat((byte)7, 64),
                    (byte)(publicKey.Length >> 8), (byte)publicKey.Length, .. publicKey,
                ];
            return [.. signed, .. key.SignData(signed, HashAlgorithmName.SHA256)];
        }

        static CpuClaims? Claims(byte[] evidence)
        {
            var findings = new Findings(IntelPlatform.Now, new HashSet<string>());
            var claims = new SimulatedCpuVerifier().Verify(new CpuEvidence { Type = CpuType.Simulated, Evidence = evidence }, Policy.Default, findings);
            findings.ToVerdict().Factors.Count.ShouldBe(2);
            (findings.ToVerdict().Factors[0].Outcome == Outcome.Pass).ShouldBe(claims is not null);
            return claims;
        }
    }

    [Fact]
    public void A_verdict_says_what_of_a_bundle_was_accepted()
    {
        var node = new BundleTests.NodeBundle();
        Found(PolicyFactors.DangerousOptions).ShouldBe("none; none");
        Found(PolicyFactors.Upstream).ShouldBe("an engine within the process; an engine within the process");
        Found(BundleFactors.Statement).ShouldBe("a statement; node 7");
        Found(BundleFactors.DevicesBound).ShouldBe("0 devices as the statement has them; 0 devices");
        Found(PolicyFactors.Devices).ShouldBe("verified devices; no devices");
        Found(PolicyFactors.Tee).ShouldBe("tdx, sev-snp; tdx");
        node.Platform.Policy = node.Platform.Policy with { AllowSimulated = true, DangerousOptions = ["a"], Upstreams = ["b"] };
        node.Statement = node.Statement with { Configuration = new NodeConfiguration(["b"], ["a"], "info", []) };
        Found(PolicyFactors.DangerousOptions).ShouldBe("a; a");
        Found(PolicyFactors.Upstream).ShouldBe("b; b");
        Found(PolicyFactors.Tee).ShouldBe("tdx, sev-snp, simulated; tdx");
        node.Devices.Add(new DeviceEvidence { Architecture = "A", Evidence = new byte[1], Certificates = new byte[1] });
        Found(BundleFactors.DevicesBound).ShouldBe("0 devices as the statement has them; others");
        Found(PolicyFactors.Devices).ShouldBe("; 1 devices (the policy ignores them)");

        string Found(FactorName name)
        {
            var factor = node.Verify().Verdict.Factors.Single(factor => factor.Name == name);
            return $"{factor.Expected}; {factor.Found}";
        }
    }

    [Fact]
    public void What_is_not_given_is_the_callers_mistake()
    {
        var node = new BundleTests.NodeBundle();
        var bundle = Parsed(node);
        var verifier = new BundleVerifier();
        Should.Throw<ArgumentNullException>(() => verifier.Verify((EvidenceBundle)null!, Policy.Default, node.At)).ParamName.ShouldBe("bundle");
        Should.Throw<ArgumentNullException>(() => verifier.Verify(bundle, null!, node.At)).ParamName.ShouldBe("policy");
        Should.Throw<ArgumentNullException>(() => verifier.Verify(node.ToBytes(), null!, node.At)).ParamName.ShouldBe("policy");
        Should.Throw<ArgumentNullException>(() => new KeptVerdicts(null!, Policy.Default, 1)).ParamName.ShouldBe("verifier");
        Should.Throw<ArgumentNullException>(() => new KeptVerdicts(verifier, null!, 1)).ParamName.ShouldBe("policy");
        Should.Throw<ArgumentNullException>(() => new KeptVerdicts(verifier, Policy.Default, 1).Verify(null!, node.At)).ParamName.ShouldBe("bundle");
        Should.Throw<ArgumentNullException>(() => BundleStatement.DeviceNonce(null!, node.At, [])).ParamName.ShouldBe("keys");
        Should.Throw<ArgumentNullException>(() => EvidenceBundle.Write([], null!, [])).ParamName.ShouldBe("cpu");
        Should.Throw<ArgumentNullException>(() => EvidenceBundle.Write([], bundle.Cpu, null!)).ParamName.ShouldBe("devices");
        Should.Throw<ArgumentNullException>(() => new ChallengeTree(null!)).ParamName.ShouldBe("challenges");
        Should.Throw<ArgumentNullException>(() => ChallengeTree.RootOf(new byte[32], 0, 1, null!)).ParamName.ShouldBe("path");
        Should.Throw<ArgumentNullException>(() => new LiveAnswers([], null!)).ParamName.ShouldBe("tree");
        Should.Throw<ArgumentNullException>(() => new DocumentSet(null!)).ParamName.ShouldBe("documents");
    }

    private static EvidenceBundle Parsed(BundleTests.NodeBundle node)
    {
        EvidenceBundle.TryParse(node.ToBytes(), out var bundle).ShouldBeNull();
        return bundle!;
    }
}
