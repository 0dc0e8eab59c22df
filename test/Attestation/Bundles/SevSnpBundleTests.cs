using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tests.SevSnp;

namespace ConfidentialChat.Attestation.Tests.Bundles;

/// <summary>spec/attestation.md sections 9, 11 and 12: a bundle whose processor is a SEV-SNP chip, of our own or recorded.</summary>
public sealed class SevSnpBundleTests
{
    private static readonly byte[] Measurement = Enumerable.Repeat((byte)0x4E, 48).ToArray();

    private static readonly BundleStatement Statement = new()
    {
        Node = 9,
        Keys = new NodeKeys
        {
            Ohttp = RandomNumberGenerator.GetBytes(40),
            X25519 = RandomNumberGenerator.GetBytes(32),
            Signing = RandomNumberGenerator.GetBytes(32),
        },
        IssuedAt = EmulatedChip.At.AddMinutes(-5),
        NotAfter = EmulatedChip.At.AddMinutes(55),
        Nonce = new byte[32],
        Software = new NodeSoftware("node", "1"),
        Models = [],
        Configuration = new NodeConfiguration([], [], "information", []),
    };

    private static readonly EmulatedChip Chip = new() { Content = report => BundleStatement.ReportData(Statement.ToBytes()).CopyTo(report, 0x050) };

    private static Policy Naming => Chip.Policy with { SevSnp = new SevSnpPolicy { Measurement = ReferenceValues.OneOf(Measurement) } };

    [Fact]
    public void A_bundle_of_SEV_SNP_is_accepted_under_a_policy_that_names_its_measurement()
    {
        var verification = Verify(Chip.Report(), Chip.Collateral, Naming);
        verification.Verdict.Refusals().ShouldBeEmpty(verification.Verdict.ToText());
        var verified = verification.Verified.ShouldNotBeNull();
        verified.Type.ShouldBe(CpuType.SevSnp);
        verified.Keys.Digest().ShouldBe(Statement.Keys.Digest());
        verified.Claims.Measurements["measurement"].ToArray().ShouldBe(Measurement);
        verified.ValidBefore.ShouldBe(Statement.NotAfter.AddSeconds(60).AddTicks(1));
        verification.Verdict.NotChecked.Select(factor => factor.Name.Value).ShouldContain("snp.crl");
    }

    [Fact]
    public void A_bundle_of_SEV_SNP_whose_measurement_nobody_named_is_refused()
    {
        Evidence.Only(Verify(Chip.Report(), Chip.Collateral, Chip.Policy).Verdict, SevSnpFactors.Measurement, RejectionCode.NoReference);
        Evidence.Only(
            Verify(
                Chip.Report(), Chip.Collateral, Chip.Policy with { SevSnp = new SevSnpPolicy { Measurement = ReferenceValues.OneOf(new byte[48]) } }).Verdict,
            SevSnpFactors.Measurement, RejectionCode.Mismatch);
    }

    [Fact]
    public void A_report_that_binds_another_statement_is_refused()
    {
        var other = Chip with { Content = report => BundleStatement.ReportData((Statement with { Node = 10 }).ToBytes()).CopyTo(report, 0x050) };
        var verification = Verify(other.Report(), other.Collateral, Naming);
        Evidence.Only(verification.Verdict, BundleFactors.ReportData, RejectionCode.Mismatch);
        verification.Verified.ShouldBeNull();
    }

    [Fact]
    public void A_VEK_that_is_not_in_the_bundle_is_missed()
    {
        var verdict = Verify(Chip.Report(), new SevSnpCollateral(), Naming).Verdict;
        Evidence.Only(verdict, SevSnpFactors.VekPath, RejectionCode.Missing);
        // That check ends those of the type; the bundle's own are made nevertheless.
        verdict.Factors.Select(factor => factor.Name.Value).ShouldBe(
        [
            "bundle.format", "bundle.statement", "bundle.tee", "snp.report", "snp.vek_path", "bundle.report_data", "bundle.devices_bound", "bundle.devices",
            "bundle.nonce", "bundle.time", "bundle.dangerous_options", "bundle.upstream", "policy.test_roots",
        ]);
    }

    [Fact]
    public void A_revocation_list_in_the_bundle_is_used()
    {
        var (from, until) = (EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddMinutes(1));
        var demanding = Naming with { SevSnp = Naming.SevSnp with { RequireCrl = true } };
        Evidence.Only(Verify(Chip.Report(), Chip.Collateral, demanding).Verdict, SevSnpFactors.Crl, RejectionCode.Missing);
        var listed = Verify(Chip.Report(), Chip.Collateral with { Crl = Chip.Crl(from, until) }, demanding);
        listed.Verdict.Refusals().ShouldBeEmpty(listed.Verdict.ToText());
        listed.Verified!.ValidBefore.ShouldBe(until.AddTicks(1), "the list ends before the keys");
        Evidence.Only(
            Verify(Chip.Report(), Chip.Collateral with { Crl = Chip.Crl(from, until, [1, 0, 1]) }, Naming).Verdict, SevSnpFactors.Crl, RejectionCode.Revoked);
    }

    [Fact]
    public void Intels_names_in_the_collateral_of_SEV_SNP_are_refused()
    {
        var json = JsonNode.Parse(Bundle(Chip.Report(), Chip.Collateral))!;
        json["cpu"]!["collateral"]!["pck_crl"] = "";
        Evidence.Only(
            new BundleVerifier().Verify(Encoding.UTF8.GetBytes(json.ToJsonString()), Naming, EmulatedChip.At).Verdict,
            PolicyFactors.Tee, RejectionCode.Malformed);
    }

    [Fact]
    public void A_recorded_report_in_a_bundle_is_authentic_and_binds_no_statement_of_ours()
    {
        var at = EmulatedChip.At;
        var verification = Verify(
            Evidence.Bytes($"{Reports.Genoa}/report.bin"), Reports.Vek($"{Reports.Genoa}/vcek.der"), Policy.Default with { MeasurementsAny = true });
        at.ShouldBeInRange(verification.Verdict.ValidFrom, verification.Verdict.ValidBefore);
        Evidence.Only(verification.Verdict, BundleFactors.ReportData, RejectionCode.Mismatch);
    }

    private static BundleVerification Verify(byte[] report, SevSnpCollateral collateral, Policy policy) =>
        new BundleVerifier().Verify(Bundle(report, collateral), policy, EmulatedChip.At);

    private static byte[] Bundle(byte[] report, SevSnpCollateral collateral) =>
        EvidenceBundle.Write(Statement.ToBytes(), new CpuEvidence { Type = CpuType.SevSnp, Evidence = report, Collateral = collateral.ToNamed() }, []);
}
