using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>spec/attestation.md section 2: what a verdict says to who reads it.</summary>
public sealed class VerdictTests
{
    [Fact]
    public void What_nobody_asked_for_is_no_PASS_beside_a_value_that_is_not_the_expected_one()
    {
        var chip = new EmulatedChip { Content = report => report[0x00A] |= 0x24 }; // MIGRATE_MA, CXL_ALLOW
        var verdict = chip.VerifyUnder(policy => policy with { AllowMigration = true, AllowCxl = true });
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        foreach (var name in new[]
        {
            SevSnpFactors.Smt, SevSnpFactors.Migration, SevSnpFactors.Cxl, SevSnpFactors.SingleSocket, SevSnpFactors.Vlek, SevSnpFactors.Vmpl,
            SevSnpFactors.PlatformInfo, SevSnpFactors.TcbFloor,
        })
            verdict.NotChecked.Select(factor => factor.Name).ShouldContain(name);
        verdict.ToText().ShouldContain("SKIP  snp.smt                     SMT 1 (not demanded)");
        chip.VerifyUnder(policy => policy with { AllowMigration = true, AllowCxl = true, MilanFloor = new TcbFloor { Snp = 24 } })
            .Factors.Single(factor => factor.Name == SevSnpFactors.TcbFloor).Outcome.ShouldBe(Outcome.Pass);
    }

    [Fact]
    public void What_nobody_asked_for_of_a_TD_is_no_PASS()
    {
        var platform = new IntelPlatform
        {
            Policy = Policy.Parse("version = 1\ndangerous_allow_debug = true\n[tdx]\nallow_perfmon = true\nallow_migration = true\nmin_tcb_evaluation_data_number = 0"),
        };
        (platform.Body[120], platform.Body[127]) = (1, 0x80);
        var tdx = platform.Verify().Verdict;
        tdx.Refusals().ShouldBeEmpty(tdx.ToText());
        foreach (var name in new[] { TdxFactors.Debug, TdxFactors.Perfmon, TdxFactors.Migratable, TdxFactors.TcbEvaluation, TdxFactors.SeptVeDisable })
            tdx.NotChecked.Select(factor => factor.Name).ShouldContain(name);
    }

    [Fact]
    public void Which_security_version_is_too_low_is_said_against_which_level()
    {
        var platform = new IntelPlatform { PceSvn = 7 };
        (platform.Components[0], platform.Body[0], platform.QeReport[258]) = (2, 3, 3);
        var verification = platform.Verify();
        verification.Verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus).Found.ShouldBe(
            "OutOfDate (platform OutOfDate, module OutOfDate, QE OutOfDate); below the first level: sgxtcbcomponents[0] 2 of 3, pcesvn 7 of 11, the TDX module's isvsvn 3 of 5, the QE's isvsvn 3 of 4");
        verification.Tcb!.Status.ShouldBe(TcbStatus.OutOfDate);
        verification.Tcb.TooLow.Count.ShouldBe(4);
    }

    [Fact]
    public void Which_version_of_a_chip_is_too_low_is_said_against_which_floor()
    {
        var chip = new EmulatedChip { Content = report => report[0x1E0 + 6]-- };
        chip.VerifyUnder(policy => policy with { MilanFloor = new TcbFloor { Snp = 24 } }).Failures.Single().Found
            .ShouldBe("committed_tcb: snp 23 is below 24");
    }

    [Fact]
    public void What_Intels_documents_say_is_there_as_values()
    {
        var platform = new IntelPlatform();
        platform.TcbInfo["tcbLevels"] = new System.Text.Json.Nodes.JsonArray(
            IntelPlatform.Level(11, 3, "SWHardeningNeeded", [.. Enumerable.Range(100, 12).Select(number => $"INTEL-SA-00{number}")]));
        var tcb = platform.Verify().Tcb.ShouldNotBeNull();
        (tcb.Status, tcb.PlatformStatus, tcb.ModuleStatus, tcb.QeStatus)
            .ShouldBe((TcbStatus.SWHardeningNeeded, TcbStatus.SWHardeningNeeded, TcbStatus.UpToDate, TcbStatus.UpToDate));
        tcb.Advisories.Count.ShouldBe(12);
        tcb.TooLow.ShouldBeEmpty();
        Shown.Hex(tcb.Fmspc.Span).ShouldBe("b0c06f000000");
        (tcb.TcbInfoEvaluation, tcb.QeIdentityEvaluation).ShouldBe((20, 20));
        tcb.PlatformDate.ShouldBe(Evidence.Time("2026-01-01T00:00:00Z"));
        (tcb.TcbInfoIssued, tcb.TcbInfoNextUpdate).ShouldBe((Evidence.Time("2026-05-20T00:00:00Z"), Evidence.Time("2026-06-20T00:00:00Z")));
        Json(tcb with { Advisories = ["INTEL-SA-00100"], TooLow = ["pcesvn 7 of 11"] }).Replace('"', '\'').ShouldBe(
            "{'tcb':{'status':'SWHardeningNeeded','platform_status':'SWHardeningNeeded','module_status':'UpToDate','qe_status':'UpToDate',"
            + "'advisories':['INTEL-SA-00100'],'below_first_level':['pcesvn 7 of 11'],'fmspc':'b0c06f000000','tcb_date':'2026-01-01T00:00:00Z',"
            + "'tcb_info_evaluation':20,'qe_identity_evaluation':20,'tcb_info_issued':'2026-05-20T00:00:00Z',"
            + "'tcb_info_next_update':'2026-06-20T00:00:00Z','qe_identity_issued':'2026-05-20T00:00:00Z','qe_identity_next_update':'2026-06-20T00:00:00Z'}}");
        // Within a bundle likewise.
        var policy = platform.TrustingPolicy();
        new TdxCpuVerifier().Verify(
            new CpuEvidence { Type = CpuType.Tdx, Evidence = platform.Quote(), Collateral = platform.Collateral().ToNamed() },
            policy, policy.Begin(IntelPlatform.Now))!
            .Platform.ShouldBeOfType<TdxTcb>().Status.ShouldBe(TcbStatus.SWHardeningNeeded);
        platform.TcbInfo["version"] = 2;
        platform.Verify().Tcb.ShouldBeNull();
    }

    [Fact]
    public void Whose_key_signed_a_report_is_there_as_values()
    {
        var vek = Vek(new EmulatedChip());
        (vek.Product, vek.Kind, vek.CspId).ShouldBe((SevSnpProduct.Milan, VekKind.Vcek, null));
        Json(vek).ShouldBe(
            $$$"""{"vek":{"kind":"vcek","product":"milan","product_name":"Milan","hwid":"{{{Shown.Hex(new EmulatedChip().Hwid)}}}","csp_id":null}}""");
        Json(Vek(new EmulatedChip { Kind = VekKind.Vlek })).ShouldBe(
            """{"vek":{"kind":"vlek","product":"milan","product_name":"Milan","hwid":null,"csp_id":"CN=cloud.example"}}""");
        SevSnpVerifier.Verify(new EmulatedChip().Report(), new SevSnpCollateral(), Policy.Default, EmulatedChip.At).Vek.ShouldBeNull();

        static Vek Vek(EmulatedChip chip)
        {
            var (policy, evidence) = (chip.Policy, new CpuEvidence { Type = CpuType.SevSnp, Evidence = chip.Report(), Collateral = chip.Collateral.ToNamed() });
            var said = SevSnpVerifier.Verify(evidence.Evidence.Span, chip.Collateral, policy, EmulatedChip.At).Vek.ShouldNotBeNull();
            // Within a bundle likewise.
            new SevSnpCpuVerifier().Verify(evidence, policy, policy.Begin(EmulatedChip.At))!.Platform.ShouldBeOfType<Vek>()
                .ProductName.ShouldBe(said.ProductName);
            return said;
        }
    }

    [Fact]
    public void The_JSON_of_a_verdict_has_its_window_and_its_failures_as_values()
    {
        var platform = new IntelPlatform();
        platform.Body[127] |= 0x80;
        var json = JsonElement.Parse(platform.Verify().Verdict.ToJson());
        json.GetProperty("failures").EnumerateArray().Select(name => name.GetString()).ShouldBe(["tdx.perfmon"]);
        json.GetProperty("warnings").EnumerateArray().Select(name => name.GetString()).ShouldBe(["policy.test_roots"]);
        json.String("valid_from").ShouldBe("2026-05-22T12:00:00Z");
        json.String("valid_before").ShouldBe("2026-06-12T00:00:00Z");
        var none = JsonElement.Parse(TdxVerifier.Verify([], new TdxCollateral(), Policy.Default, IntelPlatform.Now).Verdict.ToJson());
        none.GetProperty("valid_before").ValueKind.ShouldBe(JsonValueKind.Null);
    }

    [Theory]
    [InlineData(0UL, "no bit")]
    [InlineData(1UL << 28 | 1UL << 63, "bits 28, 63")]
    public void Bits_are_shown_by_their_numbers_whatever_the_order_of_bytes(ulong bits, string shown) => Shown.Bits(bits).ShouldBe(shown);

    private static string Json(IPlatformFacts facts)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteStartObject(facts.Name);
            facts.WriteMembers(json);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }
}
