using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Attestation.Tests.SevSnp;

/// <summary>spec/attestation.md sections 8 and 9: what a report says of its firmware, its processor and who runs it.</summary>
public sealed class FirmwareTests
{
    private static readonly EmulatedChip Chip = new();

    [Fact]
    public void Committed_or_reported_firmware_above_the_current_one_is_refused()
    {
        foreach (var offset in new[] { 0x1E0, 0x038 })
        {
            // A committed version one above the current; a current one below both others.
            var chip = Chip with { Content = report => report[offset + 7] = (byte)(offset == 0x1E0 ? report[offset + 7] + 1 : report[offset + 7] - 1) };
            Evidence.Only(chip.Verify(), SevSnpFactors.TcbOrder, RejectionCode.Mismatch);
        }

        var reported = Chip with
        {
            Content = report =>
            {
                report[0x038 + 7]--;
                report[0x1E0 + 7]--;
            },
        };
        Evidence.Only(reported.Verify(), SevSnpFactors.TcbOrder, RejectionCode.Mismatch);
        foreach (var at in new[] { 0x1EC, 0x1ED, 0x1EE })
            Evidence.Only((Chip with { Content = report => report[at] = 1 }).Verify(), SevSnpFactors.TcbOrder, RejectionCode.Mismatch);
        // Component by component: a higher one does not make up for a lower one.
        Evidence.Only(
            (Chip with { Content = report => (report[0x038 + 7], report[0x038 + 6]) = ((byte)(report[0x038 + 7] + 9), (byte)(report[0x038 + 6] - 1)) })
                .Verify(),
            SevSnpFactors.TcbOrder, RejectionCode.Mismatch);
    }

    [Fact]
    public void Provisional_firmware_is_refused_where_the_policy_wants_it_committed()
    {
        foreach (var at in new[] { 0x038 + 7, 0x1E8, 0x1E9 })
        {
            var chip = Chip with { Content = report => report[at]++ };
            chip.Verify().Refusals().ShouldBeEmpty();
            Evidence.Only(chip.VerifyUnder(policy => policy with { AllowProvisionalFirmware = false }), SevSnpFactors.Provisional, RejectionCode.Forbidden);
        }

        Chip.VerifyUnder(policy => policy with { AllowProvisionalFirmware = false }).Refusals().ShouldBeEmpty();
    }

    [Theory]
    [InlineData(0, 51, 0, 50, true)]
    [InlineData(0, 51, 0, 51, true)]
    [InlineData(0, 51, 0, 52, false)]
    [InlineData(1, 51, 0, 52, true)]
    [InlineData(0, 255, 1, 0, false)]
    public void Firmware_of_an_older_ABI_than_the_guest_demands_is_refused(byte major, byte minor, byte leastMajor, byte leastMinor, bool accepted)
    {
        var verdict = (Chip with
        {
            Content = report =>
            {
                (report[0x1EA], report[0x1EE]) = (major, major);
                (report[0x1E9], report[0x1ED]) = (minor, minor);
                (report[0x009], report[0x008]) = (leastMajor, leastMinor);
            },
        }).Verify();
        if (accepted)
            verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        else
            Evidence.Only(verdict, SevSnpFactors.Abi, RejectionCode.OutOfDate);
    }

    [Fact]
    public void A_mitigation_has_to_be_in_both_vectors()
    {
        foreach (var (launch, current, accepted) in new[] { (0x0B, 0x0B, true), (0x0B, 0x03, false), (0x03, 0x0B, false), (0xFF, 0x0F, true) })
        {
            var chip = Chip with { Version = 5, Content = report => (report[0x1F8], report[0x200]) = ((byte)launch, (byte)current) };
            chip.Verify().Refusals().ShouldBeEmpty();
            var verdict = chip.VerifyUnder(policy => policy with { Mitigations = [0, 3] });
            if (accepted)
                verdict.Refusals().ShouldBeEmpty();
            else
                Evidence.Only(verdict, SevSnpFactors.Mitigations, RejectionCode.OutOfDate);
        }

        Evidence.Only(Chip.VerifyUnder(policy => policy with { Mitigations = [0] }), SevSnpFactors.Mitigations, RejectionCode.OutOfDate);
        Evidence.Only((Chip with { Version = 3, Content = report => report[0x1F8] = 1 }).Verify(), SevSnpFactors.Report, RejectionCode.Malformed);
    }

    [Fact]
    public void Mitigation_vectors_are_read_as_recorded()
    {
        SevSnpReport.TryParse(Evidence.Bytes("snp/09-turin-v5-mitigation/report.bin"), out var turin).ShouldBeNull();
        (turin!.LaunchMitigations, turin.CurrentMitigations).ShouldBe((0x3FUL, 0x3FUL));
        Verify(0, 1, 2, 3, 4, 5).ShouldBeEmpty();
        Verify(6).ShouldBe(["snp.mitigations"]);
        SevSnpReport.TryParse(Evidence.Bytes("../faults/snp/snp-v4-turin-mit.bin"), out var four).ShouldBeNull();
        (four!.Version, four.LaunchMitigations, four.CurrentMitigations).ShouldBe((4, 0x0BUL, 0x0BUL));
        SevSnpReport.TryParse(Evidence.Bytes("snp/11-milan-v4-gcp-no-vcek/report.bin"), out var milan).ShouldBeNull();
        (milan!.LaunchMitigations, milan.CurrentMitigations).ShouldBe((0UL, 0UL));

        static string[] Verify(params int[] bits) => SevSnpVerifier.Verify(
            Evidence.Bytes("snp/09-turin-v5-mitigation/report.bin"), Reports.Vek("snp/09-turin-v5-mitigation/vcek.der"),
            Policy.Default with { SevSnp = new SevSnpPolicy { Mitigations = bits } }, Reports.At).Verdict.Refusals();
    }

    [Fact]
    public void Another_providers_VLEK_is_refused_where_the_policy_names_one()
    {
        var vlek = Chip with { Kind = VekKind.Vlek };
        vlek.VerifyUnder(policy => policy with { CspIds = ["CN=cloud.example"] }).Refusals().ShouldBeEmpty();
        Evidence.Only(vlek.VerifyUnder(policy => policy with { CspIds = ["CN=other.example"] }), SevSnpFactors.CspId, RejectionCode.Forbidden);
        Chip.VerifyUnder(policy => policy with { CspIds = ["CN=other.example"] }).Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_product_whose_seed_is_published_can_be_excluded()
    {
        foreach (var product in SevSnpProduct.All)
        {
            var verdict = (Chip with { Product = product }).VerifyUnder(policy => policy with { Products = ["genoa", "turin"] });
            if (product == SevSnpProduct.Milan)
                Evidence.Only(verdict, SevSnpFactors.Products, RejectionCode.Forbidden);
            else
                verdict.Refusals().ShouldBeEmpty();
        }
    }

    [Fact]
    public void A_bit_of_PLATFORM_INFO_that_is_forbidden_refuses()
    {
        var machine = Chip with { Content = report => report[0x040] = 0x25 };
        Evidence.Only(machine.VerifyUnder(policy => policy with { PlatformInfoForbidden = ["smt"] }), SevSnpFactors.PlatformInfo, RejectionCode.Forbidden);
        machine.VerifyUnder(policy => policy with { PlatformInfo = ["ecc"], PlatformInfoForbidden = ["tio_enabled", "tsme"] }).Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_floor_of_a_model_stands_in_the_place_of_its_products()
    {
        var floors = new Dictionary<string, TcbFloor> { ["19-01"] = new() { Snp = 25 }, ["19-11"] = new() { Snp = 255 } };
        Evidence.Only(Chip.VerifyUnder(policy => policy with { ModelFloors = floors }), SevSnpFactors.TcbFloor, RejectionCode.OutOfDate);
        (Chip with { Cpuid = new Cpuid(0x19, 0x00, 0) }).VerifyUnder(policy => policy with { ModelFloors = floors }).Refusals().ShouldBeEmpty();
        var models = new Dictionary<string, TcbFloor> { ["19-01"] = new() { Snp = 24 } };
        Chip.VerifyUnder(policy => policy with { ModelFloors = models, MilanFloor = new TcbFloor { Snp = 255 } }).Refusals().ShouldBeEmpty();
        // A report of version 2 does not say its model: it cannot choose the kindest.
        Evidence.Only((Chip with { Version = 2 }).VerifyUnder(policy => policy with { ModelFloors = floors }), SevSnpFactors.TcbFloor, RejectionCode.OutOfDate);
    }

    [Theory]
    [InlineData("Siena-B0", 0xA0, true)]
    [InlineData("Bergamo", 0xAF, true)]
    [InlineData("Siena", 0x11, false)]
    [InlineData("Bergamo-A1", 0x9F, false)]
    [InlineData("Sienas", 0xA0, false)]
    [InlineData("Genoa", 0xA0, true)]
    public void Siena_and_Bergamo_are_of_Genoas_line_by_name_and_CPUID(string name, byte model, bool accepted)
    {
        var verdict = (Chip with
        {
            Product = SevSnpProduct.Genoa,
            Cpuid = new Cpuid(0x19, model, 2),
            Extensions = extensions => extensions[EmulatedChip.Arc + "2"] = EmulatedChip.Text(name),
        }).Verify();
        if (accepted)
            verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        else
            Evidence.Only(verdict, SevSnpFactors.Product, RejectionCode.Mismatch);
    }

    [Fact]
    public void Siena_under_Milans_root_is_refused() =>
        Evidence.Only(
            (Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "2"] = EmulatedChip.Text("Siena") }).Verify(),
            SevSnpFactors.Product, RejectionCode.Mismatch);

    [Theory]
    [InlineData("SEV-Venice")]
    [InlineData("SEV-VLEK-Venice")]
    public void Venice_is_refused_by_name(string issuer)
    {
        var verdict = (Chip with { IssuerName = issuer, RootName = "ARK-Venice" }).Verify();
        Evidence.Only(verdict, SevSnpFactors.VekPath, RejectionCode.Unsupported);
        verdict.Failures.Single().Found.ShouldContain("Venice");
    }

    [Fact]
    public void A_masked_chip_is_named_as_such()
    {
        var masked = Chip with { Content = report => report.AsSpan(0x1A0, 64).Clear() };
        Found(masked.Verify()).ShouldStartWith("masked by the host; the VCEK names ");
        Found(masked.VerifyUnder(policy => policy with { AllowMaskedChipId = true })).ShouldStartWith("masked by the host; the VCEK names ");
        Found((masked with { Kind = VekKind.Vlek }).Verify()).ShouldBe("masked by the host, and a VLEK names no chip");

        static string Found(Verdict verdict) => verdict.Factors.Single(factor => factor.Name == SevSnpFactors.ChipId).Found;
    }

    [Fact]
    public void The_policys_text_has_all_of_it()
    {
        const string text = """
            version = 1
            [tdx]
            min_tee_tcb_svn = "05010200000000000000000000000000"
            out_of_date_grace = "30d"
            [sev_snp]
            platform_info_forbidden = ["smt"]
            products = ["genoa"]
            csp_ids = ["CN=cloud.example"]
            allow_provisional_firmware = false
            mitigations = [0, 3]
            [sev_snp.models.19-a0]
            snp = 25
            fmc = 1
            """;
        var policy = Policy.Parse(text);
        Policy.Parse(policy.ToToml()).ToToml().ShouldBe(policy.ToToml());
        policy.SevSnp.ModelFloors["19-a0"].ShouldBe(new TcbFloor { Snp = 25, Fmc = 1 });
        (policy.SevSnp.AllowProvisionalFirmware, policy.SevSnp.Products.Single(), policy.Tdx.OutOfDateGrace).ShouldBe((false, "genoa", TimeSpan.FromDays(30)));
        foreach (var wrong in new[]
        {
            "mitigations = [64]", "mitigations = [\"0\"]", "products = [\"venice\"]", "platform_info_forbidden = [\"x\"]", "models = { 19-A0 = {} }",
            "models = { milan = {} }", "models = { 19-a0 = { x = 1 } }",
        })
            Should.Throw<PolicyException>(() => Policy.Parse($"version = 1\n[sev_snp]\n{wrong}"), wrong);
    }
}
