using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests.Policies;

/// <summary>spec/attestation.md section 10 rule 1: named sets of reference values.</summary>
public sealed class ReferenceSetTests
{
    private static readonly string[] Program = ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3"];

    [Fact]
    public void One_set_matches_whole_or_the_evidence_is_refused()
    {
        var platform = new IntelPlatform();
        var mrTd = Shown.Hex(platform.Body.AsSpan(136, 48));
        var zeros = new string('0', 96);
        var policy = $"""
            version = 1
            [tdx.reference.old]
            mr_td = "{new string('a', 96)}"
            rtmr0 = "{zeros}"
            rtmr1 = "any"
            rtmr2 = "{zeros}"
            rtmr3 = "{zeros}"
            [tdx.reference.new-1]
            mr_td = "{mrTd}"
            rtmr0 = "{zeros}"
            rtmr1 = "any"
            rtmr2 = "{zeros}"
            rtmr3 = "any"
            mr_owner = "{zeros}"
            """;
        platform.Policy = Policy.Parse(policy);
        var verdict = platform.Verify().Verdict;
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        verdict.Factors.Single(factor => factor.Name == TdxFactors.Reference).Found.ShouldBe("new-1");
        verdict.Factors.Where(factor => factor.Outcome == Outcome.Skip).Select(factor => factor.Name).ShouldContain(TdxFactors.Rtmr1);
        verdict.Factors.Single(factor => factor.Name == TdxFactors.MrTd).Outcome.ShouldBe(Outcome.Pass);

        platform.Register(3)[0] = 1;
        platform.Verify().Verdict.Refusals().ShouldBeEmpty("rtmr3 of that set is any");
        platform.Body[232] = 1; // mr_owner, which the other set leaves open
        var refused = platform.Verify().Verdict;
        Evidence.Only(refused, TdxFactors.Reference, RejectionCode.Mismatch);
        refused.Failures.Single().Found.ShouldBe("new-1 but for mr_owner");
        Policy.Parse(platform.Policy.ToToml()).ToToml().ShouldBe(platform.Policy.ToToml());
        Policy.Parse(platform.Policy.ToToml()).Tdx.References.Select(set => set.Name).ShouldBe(["old", "new-1"]);
    }

    [Fact]
    public void In_a_bundle_a_set_names_what_has_to_be_named()
    {
        var platform = new IntelPlatform();
        var values = Program.ToDictionary(name => name, _ => ReferenceValues.OneOf(new byte[48]));
        values["mr_td"] = ReferenceValues.OneOf(platform.Body.AsSpan(136, 48).ToArray());
        var policy = platform.TrustingPolicy();
        Refusals(policy).ShouldBe(Program.Select(name => $"tdx.{name}"));
        Refusals(policy with { Tdx = new TdxPolicy { References = [new ReferenceSet("one", values)] } }).ShouldBeEmpty();

        string[] Refusals(Policy under)
        {
            var findings = under.Begin(IntelPlatform.Now);
            new TdxCpuVerifier().Verify(
                new CpuEvidence { Type = CpuType.Tdx, Evidence = platform.Quote(), Collateral = platform.Collateral().ToNamed() }, under, findings);
            return findings.ToVerdict().Refusals();
        }
    }

    [Fact]
    public void A_set_of_SEV_SNP_matches_whole()
    {
        var chip = new EmulatedChip();
        var (measured, other) = (Enumerable.Repeat((byte)0x4E, 48).ToArray(), Enumerable.Repeat((byte)0x4F, 48).ToArray());
        var (zeros, ones) = (new byte[32], Enumerable.Repeat((byte)1, 32).ToArray());
        Verify(Set("one", measured, zeros), Set("two", other, ones)).Refusals().ShouldBeEmpty();
        Evidence.Only(Verify(Set("one", measured, ones), Set("two", other, zeros)), SevSnpFactors.Reference, RejectionCode.Mismatch);
        Verify(Set("two", other, zeros)).Refusals().ShouldBe(["snp.measurement", "snp.reference"]);

        Verdict Verify(params ReferenceSet[] sets) => chip.VerifyUnder(policy => policy with { References = sets });

        static ReferenceSet Set(string name, byte[] measurement, byte[] hostData) => new(
            name,
            new Dictionary<string, ReferenceValues> { ["measurement"] = ReferenceValues.OneOf(measurement), ["host_data"] = ReferenceValues.OneOf(hostData) });
    }

    [Fact]
    public void A_service_TD_that_the_policy_names_may_be_bound()
    {
        var platform = new IntelPlatform { Version = 5 };
        platform.Body = [.. platform.Body, .. new byte[64]];
        platform.Body[^1] = 1;
        Evidence.Only(platform.Verify().Verdict, TdxFactors.Migratable, RejectionCode.Forbidden);
        platform.Policy = Policy.Default with { Tdx = new TdxPolicy { MrServiceTd = ReferenceValues.OneOf(platform.Body[^48..]) } };
        platform.Verify().Verdict.Refusals().ShouldBeEmpty();
        platform.Policy = Policy.Default with { Tdx = new TdxPolicy { MrServiceTd = ReferenceValues.Any } };
        Evidence.Only(platform.Verify().Verdict, TdxFactors.Migratable, RejectionCode.Forbidden);
        platform.Policy = Policy.Default with { Tdx = new TdxPolicy { MrServiceTd = ReferenceValues.OneOf(platform.Body[^48..]) } };
        platform.Body[123] |= 0x20; // MIGRATABLE: to where, nobody verified
        Evidence.Only(platform.Verify().Verdict, TdxFactors.Migratable, RejectionCode.Forbidden);
    }

    [Fact]
    public void A_service_TD_may_be_bound_that_a_set_names_which_matches_whole()
    {
        var platform = new IntelPlatform { Version = 5 };
        platform.Body = [.. platform.Body, .. new byte[64]];
        platform.Body[^1] = 1;
        var service = ReferenceValues.OneOf(platform.Body[^48..]);
        Refusals(("mr_service_td", service)).ShouldBeEmpty();
        Refusals(("mr_service_td", ReferenceValues.Any)).ShouldBe(["tdx.migratable"]);
        Refusals(("mr_service_td", service), ("mr_owner", ReferenceValues.OneOf([.. Enumerable.Repeat((byte)1, 48)])))
            .ShouldBe(["tdx.migratable", "tdx.mr_owner", "tdx.reference"]);
        Refusals(("mr_owner", ReferenceValues.Any)).ShouldBe(["tdx.migratable"]);

        string[] Refusals(params (string Name, ReferenceValues Values)[] more)
        {
            var values = Program.ToDictionary(name => name, _ => ReferenceValues.Any);
            foreach (var (name, value) in more)
                values.Add(name, value);
            platform.Policy = Policy.Default with { Tdx = new TdxPolicy { References = [new ReferenceSet("one", values)] } };
            return platform.Verify().Verdict.Refusals();
        }
    }

    [Theory]
    [InlineData("[tdx.reference.one]\nmr_td = \"any\"")]
    [InlineData("[tdx.reference.one]\nmr_td = \"any\"\nrtmr0 = \"any\"\nrtmr1 = \"any\"\nrtmr2 = \"any\"\nrtmr3 = \"any\"\nrtmr4 = \"any\"")]
    [InlineData("[tdx.reference.one]\nmr_td = []\nrtmr0 = \"any\"\nrtmr1 = \"any\"\nrtmr2 = \"any\"\nrtmr3 = \"any\"")]
    [InlineData("[tdx.reference.\"a b\"]\nmr_td = \"any\"\nrtmr0 = \"any\"\nrtmr1 = \"any\"\nrtmr2 = \"any\"\nrtmr3 = \"any\"")]
    [InlineData("[tdx.reference]\none = \"any\"")]
    [InlineData("[sev_snp.reference.one]\nhost_data = \"any\"")]
    [InlineData("[sev_snp.reference.one]\nmeasurement = \"00\"")]
    public void A_set_that_says_something_else_is_refused(string text) => Should.Throw<PolicyException>(() => Policy.Parse($"version = 1\n{text}"));
}
