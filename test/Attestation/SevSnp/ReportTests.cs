using System.Security.Cryptography;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Attestation.Tests.SevSnp;

/// <summary>spec/attestation.md, AMD SEV-SNP: reports of chips of our own, wrong in one way each, and what a policy says of them.</summary>
public sealed class ReportTests
{
    private static readonly EmulatedChip Chip = new();

    public static TheoryData<string, VekKind, int> Chips
    {
        get
        {
            var data = new TheoryData<string, VekKind, int>();
            foreach (var product in SevSnpProduct.All)
            {
                for (var version = 2; version <= 5; version++)
                {
                    data.Add(product.Name, VekKind.Vcek, version);
                    data.Add(product.Name, VekKind.Vlek, version);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Chips))]
    public void An_honest_chip_is_accepted_and_its_root_is_shown_as_a_tests(string product, VekKind kind, int version)
    {
        var chip = new EmulatedChip { Product = SevSnpProduct.All.Single(candidate => candidate.Name == product), Kind = kind, Version = version };
        var verdict = chip.Verify(reportData: Enumerable.Repeat((byte)0xDA, 64).ToArray());
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        verdict.Warnings.Select(factor => factor.Name).ShouldBe([PolicyFactors.TestRoots]);
        chip.Verify(Policy.Default).Refusals().ShouldBe(["snp.vek_path"]);
    }

    // The report's own form.

    [Fact]
    public void A_report_that_its_version_does_not_define_is_refused()
    {
        foreach (var (version, offset) in new[]
        {
            (3, 0x04B), (3, 0x04C), (3, 0x04F), (2, 0x188), (2, 0x18A), (3, 0x18B), (3, 0x19F), (3, 0x1EB), (3, 0x1EF), (3, 0x1F8), (3, 0x200), (4, 0x208),
            (5, 0x208), (5, 0x29F),
        })
            Evidence.Only(
                (Chip with { Version = version, Content = report => report[offset] |= 0x80 }).Verify(), SevSnpFactors.Report, RejectionCode.Malformed);
        foreach (var offset in new[] { 0x2D0, 0x2E7, 0x318, 0x32F, 0x330, 0x49F })
        {
            var report = Chip.Report();
            report[offset] = 1;
            Evidence.Only(SevSnpVerifier.Verify(report, Chip.Collateral, Chip.Policy, EmulatedChip.At).Verdict, SevSnpFactors.Report, RejectionCode.Malformed);
        }

        foreach (var version in new[] { 4, 5 })
            (Chip with { Version = version, Content = report => report.AsSpan(0x1F8, 16).Fill(0x0B) }).Verify().Refusals().ShouldBeEmpty($"version {version}");
    }

    [Theory]
    [InlineData(0x000, 0)]
    [InlineData(0x000, 1)]
    [InlineData(0x000, 6)]
    [InlineData(0x034, 0)]
    [InlineData(0x034, 2)]
    [InlineData(0x030, 4)]
    [InlineData(0x033, 0xFF)]
    public void Unknown_versions_algorithms_and_levels_are_refused_by_name(int offset, byte value)
    {
        var verdict = (Chip with { Content = report => report[offset] = value }).Verify();
        Evidence.Only(verdict, SevSnpFactors.Report, RejectionCode.Unsupported);
        verdict.Failures.Single().Found.ShouldNotBeEmpty();
    }

    [Fact]
    public void A_report_that_the_host_asked_for_is_refused_by_name() =>
        (Chip with { Content = report => report.AsSpan(0x030, 4).Fill(0xFF) }).Verify().Failures.Single().Found.ShouldBe("one that the host asked for");

    [Fact]
    public void A_level_that_does_not_exist_is_named() =>
        (Chip with { Content = report => report[0x030] = 4 }).Verify().Failures.Single().Found.ShouldBe("VMPL 4");

    // The report against the VEK.

    [Fact]
    public void A_report_that_names_another_signing_key_is_refused()
    {
        foreach (var keyInfo in new[] { 1 << 2, 2 << 2, 7 << 2, 0b10 })
            Evidence.Only((Chip with { Content = report => report[0x048] = (byte)keyInfo }).Verify(), SevSnpFactors.SigningKey, RejectionCode.Mismatch);
        Evidence.Only((Chip with { Kind = VekKind.Vlek, Content = report => report[0x048] = 0 }).Verify(), SevSnpFactors.SigningKey, RejectionCode.Mismatch);
    }

    [Fact]
    public void A_report_that_another_key_signed_is_refused()
    {
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        var report = (Chip with { VekKey = other }).Report();
        Evidence.Only(
            SevSnpVerifier.Verify(report, Chip.Collateral, Chip.Policy, EmulatedChip.At).Verdict, SevSnpFactors.ReportSignature, RejectionCode.BadSignature);
    }

    [Theory]
    [InlineData("Milan", VekKind.Vcek)]
    [InlineData("Milan", VekKind.Vlek)]
    [InlineData("Turin", VekKind.Vcek)]
    [InlineData("Turin", VekKind.Vlek)]
    public void A_report_of_a_TCB_version_that_is_not_the_certificates_is_refused(string product, VekKind kind)
    {
        var chip = Chip with { Product = SevSnpProduct.All.Single(candidate => candidate.Name == product), Kind = kind };
        for (var i = 0; i < 8; i++)
        {
            foreach (var change in new[] { 1, -1 })
            {
                var changed = chip with
                {
                    Content = report =>
                    {
                        report[0x180 + i] = (byte)(report[0x180 + i] + change);
                        report[0x038 + i] = Math.Max(report[0x038 + i], report[0x180 + i]); // nothing is above what is current
                    },
                };
                Evidence.Only(changed.Verify(), SevSnpFactors.Tcb, RejectionCode.Mismatch);
            }
        }
    }

    [Fact]
    public void The_order_of_security_versions_is_the_products()
    {
        // Milan's bytes read in Turin's order would be equal here and there, and say something else.
        SevSnpReport.TryParse((Chip with { Product = SevSnpProduct.Turin }).Report(), out var report).ShouldBeNull();
        report!.ReportedTcb.ToString(SevSnpProduct.Turin).ShouldBe("fmc 1, bootloader 2, tee 3, snp 4, microcode 72");
        report.ReportedTcb.ToString(SevSnpProduct.Milan).ShouldBe("bootloader 1, tee 2, snp 0, microcode 72");
        report.ReportedTcb.Of(TcbComponent.Fmc, SevSnpProduct.Milan).ShouldBeNull();
    }

    [Fact]
    public void A_version_is_at_most_another_where_none_of_its_bytes_is_above()
    {
        var middle = new TcbVersion(0x8080_8080_8080_8080);
        middle.IsAtMost(middle).ShouldBeTrue();
        for (var i = 0; i < 8; i++)
        {
            var (below, above) = (new TcbVersion(middle.Value - (1UL << (8 * i))), new TcbVersion(middle.Value + (1UL << (8 * i))));
            (below.IsAtMost(middle), middle.IsAtMost(above)).ShouldBe((true, true), $"byte {i}");
            (above.IsAtMost(middle), middle.IsAtMost(below)).ShouldBe((false, false), $"byte {i}");
        }
    }

    [Fact]
    public void The_least_ABI_of_a_policy_is_its_two_lowest_bytes() => new GuestPolicy(0x3_0137).LeastAbi.ShouldBe((0x01, 0x37));

    [Theory]
    [InlineData(0x19, 0x11)]
    [InlineData(0x19, 0xA0)]
    [InlineData(0x1A, 0x02)]
    [InlineData(0x19, 0x10)]
    [InlineData(0x17, 0x01)]
    [InlineData(0x00, 0x00)]
    public void A_report_of_another_product_than_its_chains_is_refused(byte family, byte model) =>
        Evidence.Only((Chip with { Cpuid = new Cpuid(family, model, 1) }).Verify(), SevSnpFactors.Product, RejectionCode.Mismatch);

    [Fact]
    public void Models_of_each_product_are_known()
    {
        foreach (var (product, family, models) in new (SevSnpProduct, byte, byte[])[]
        {
            (SevSnpProduct.Milan, 0x19, [0x00, 0x01, 0x0F]), (SevSnpProduct.Genoa, 0x19, [0x10, 0x11, 0x1F, 0xA0, 0xAF]),
            (SevSnpProduct.Turin, 0x1A, [0x00, 0x02, 0x11, 0x1F]),
        })
        {
            foreach (var model in models)
                SevSnpProduct.All.Single(candidate => candidate.Includes(new Cpuid(family, model, 0))).ShouldBe(product);
        }

        foreach (var model in new byte[] { 0x20, 0x9F, 0xB0 })
            SevSnpProduct.All.ShouldNotContain(candidate => candidate.Includes(new Cpuid(0x19, model, 0)));
        SevSnpProduct.Turin.Includes(new Cpuid(0x1A, 0x20, 0)).ShouldBeFalse();
    }

    [Theory]
    [InlineData("Genoa")]
    [InlineData("milan")]
    [InlineData("Milan2")]
    [InlineData("")]
    public void A_VEK_whose_product_is_not_its_paths_is_refused(string name) =>
        Evidence.Only(
            (Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "2"] = EmulatedChip.Text(name) }).Verify(),
            SevSnpFactors.Product, RejectionCode.Mismatch);

    [Fact]
    public void A_report_of_another_chip_is_refused()
    {
        foreach (var product in SevSnpProduct.All)
        {
            var chip = Chip with { Product = product };
            foreach (var offset in new[] { 0, product.HwidSize - 1 })
                Evidence.Only((chip with { Content = report => report[0x1A0 + offset] ^= 0x80 }).Verify(), SevSnpFactors.ChipId, RejectionCode.Mismatch);
        }
    }

    [Fact]
    public void A_masked_chip_is_refused_unless_the_policy_allows_it_and_keeps_its_platform_id()
    {
        var masked = Chip with { Content = report => report.AsSpan(0x1A0, 64).Clear() };
        Evidence.Only(masked.Verify(), SevSnpFactors.ChipId, RejectionCode.Forbidden);
        var policy = masked.Policy with { SevSnp = new SevSnpPolicy { AllowMaskedChipId = true }, Platforms = [Shown.Hex(Chip.Hwid)] };
        masked.Verify(policy).Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_VLEKs_report_names_any_chip()
    {
        var vlek = Chip with { Kind = VekKind.Vlek };
        vlek.Verify().Factors.Single(factor => factor.Name == SevSnpFactors.ChipId).Outcome.ShouldBe(Outcome.Skip);
        (vlek with { Content = report => report[0x1A0] = 7 }).Verify().Refusals().ShouldBeEmpty();
        Evidence.Only(vlek.VerifyUnder(policy => policy with { AllowVlek = false }), SevSnpFactors.Vlek, RejectionCode.Forbidden);
        Chip.VerifyUnder(policy => policy with { AllowVlek = false }).Refusals().ShouldBeEmpty();
    }

    // The policy.

    [Fact]
    public void A_debug_guest_is_refused_even_where_everything_is_advisory()
    {
        var debug = Chip with { Content = report => report[0x00A] |= 0x08 };
        var advisory = FactorNames.All.Where(name => name.Kind == FactorKind.Policy).Select(name => name.Value).ToHashSet();
        Evidence.Only(debug.Verify(debug.Policy with { Advisory = advisory }), SevSnpFactors.Debug, RejectionCode.Forbidden);
        debug.Verify(debug.Policy with { DangerousAllowDebug = true }).Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_guest_policy_with_unknown_bits_or_without_its_reserved_bit_is_refused()
    {
        Evidence.Only((Chip with { Content = report => report[0x00A] &= 0xFD }).Verify(), SevSnpFactors.GuestPolicy, RejectionCode.Unsupported);
        foreach (var bit in new[] { 26, 27, 31, 32, 62, 63 })
            Evidence.Only(
                (Chip with { Content = report => report[0x008 + (bit / 8)] |= (byte)(1 << (bit % 8)) }).Verify(),
                SevSnpFactors.GuestPolicy, RejectionCode.Unsupported);
        foreach (var bit in new[] { 0, 9, 20, 22, 23, 24, 25 })
            (Chip with { Content = report => SetBit(report, bit) }).Verify().Refusals().ShouldBeEmpty();

        // Its firmware is of the ABI that bits 0 and 9 demand.
        static void SetBit(byte[] report, int bit)
        {
            report[0x008 + (bit / 8)] |= (byte)(1 << (bit % 8));
            (report[0x1E9], report[0x1EA], report[0x1ED], report[0x1EE]) = (55, 2, 55, 2);
        }
    }

    [Fact]
    public void A_guest_that_may_migrate_or_has_a_migration_agent_is_refused_unless_allowed()
    {
        foreach (var guest in new[] { Chip with { Content = report => report[0x00A] |= 0x04 }, Chip with { Content = report => report[0x17F] = 0xFE } })
        {
            Evidence.Only(guest.Verify(), SevSnpFactors.Migration, RejectionCode.Forbidden);
            guest.VerifyUnder(policy => policy with { AllowMigration = true }).Refusals().ShouldBeEmpty();
        }
    }

    [Fact]
    public void Each_restriction_of_the_policy_refuses_alone()
    {
        Evidence.Only(Chip.VerifyUnder(policy => policy with { AllowSmt = false }), SevSnpFactors.Smt, RejectionCode.Forbidden);
        (Chip with { Content = report => report[0x00A] &= 0xFE }).VerifyUnder(policy => policy with { AllowSmt = false }).Refusals().ShouldBeEmpty();

        var cxl = Chip with { Content = report => report[0x00A] |= 0x20 };
        Evidence.Only(cxl.Verify(), SevSnpFactors.Cxl, RejectionCode.Forbidden);
        cxl.VerifyUnder(policy => policy with { AllowCxl = true }).Refusals().ShouldBeEmpty();

        Evidence.Only(Chip.VerifyUnder(policy => policy with { RequireSingleSocket = true }), SevSnpFactors.SingleSocket, RejectionCode.Forbidden);
        (Chip with { Content = report => report[0x00A] |= 0x10 }).VerifyUnder(policy => policy with { RequireSingleSocket = true }).Refusals().ShouldBeEmpty();

        var low = Chip with { Content = report => report[0x030] = 2 };
        low.Verify().Refusals().ShouldBeEmpty();
        low.VerifyUnder(policy => policy with { MaxVmpl = 2 }).Refusals().ShouldBeEmpty();
        Evidence.Only(low.VerifyUnder(policy => policy with { MaxVmpl = 1 }), SevSnpFactors.Vmpl, RejectionCode.Forbidden);

        var machine = Chip with { Content = report => report[0x040] = 0x24 };
        machine.VerifyUnder(policy => policy with { PlatformInfo = ["ecc", "alias_check_complete"] }).Refusals().ShouldBeEmpty();
        Evidence.Only(
            machine.VerifyUnder(policy => policy with { PlatformInfo = ["ecc", "ciphertext_hiding"] }), SevSnpFactors.PlatformInfo, RejectionCode.Forbidden);
    }

    [Theory]
    [InlineData(0x180)]
    [InlineData(0x1E0)]
    [InlineData(0x1F0)] // of the current version alone, snp.tcb_order already says it
    public void A_TCB_version_below_the_floor_is_refused_wherever_it_stands(int offset)
    {
        var floor = new TcbFloor { Bootloader = 4, Snp = 24, Microcode = 219 };
        Chip.VerifyUnder(policy => policy with { MilanFloor = floor, GenoaFloor = new TcbFloor { Snp = 255 }, TurinFloor = new TcbFloor { Snp = 255 } })
            .Refusals().ShouldBeEmpty();
        foreach (var byteOfTcb in new[] { 0, 6, 7 })
        {
            var old = Convert.FromHexString("04000000000018db");
            old[byteOfTcb]--;
            // A certificate of that version where it is the reported one: an honest chip that is out of date.
            var chip = offset == 0x180
                ? Chip with { Tcb = Convert.ToHexString(old) }
                : Chip with { Content = report => report[offset + byteOfTcb]-- };
            chip.Verify().Refusals().ShouldBeEmpty();
            Evidence.Only(chip.VerifyUnder(policy => policy with { MilanFloor = floor }), SevSnpFactors.TcbFloor, RejectionCode.OutOfDate);
        }
    }

    [Fact]
    public void The_floor_of_Turin_reads_Turins_order()
    {
        var turin = Chip with { Product = SevSnpProduct.Turin };
        turin.VerifyUnder(policy => policy with { TurinFloor = new TcbFloor { Fmc = 1, Bootloader = 2, Tee = 3, Snp = 4, Microcode = 72 } }).Refusals()
            .ShouldBeEmpty();
        foreach (var floor in new TcbFloor[] { new() { Fmc = 2 }, new() { Bootloader = 3 }, new() { Tee = 4 }, new() { Snp = 5 }, new() { Microcode = 73 } })
            Evidence.Only(turin.VerifyUnder(policy => policy with { TurinFloor = floor }), SevSnpFactors.TcbFloor, RejectionCode.OutOfDate);
    }

    [Fact]
    public void Each_reference_value_refuses_alone()
    {
        var right = ReferenceValues.OneOf(Enumerable.Repeat((byte)0x4E, 48).ToArray());
        var wrong = ReferenceValues.OneOf(new byte[48], Enumerable.Repeat((byte)0x4F, 48).ToArray());
        var met = Chip.VerifyUnder(policy => policy with
        {
            Measurement = right,
            HostData = ReferenceValues.OneOf(new byte[32]),
            IdKeyDigest = ReferenceValues.OneOf(new byte[48]),
            AuthorKeyDigest = ReferenceValues.Any,
        });
        met.Refusals().ShouldBeEmpty();
        Evidence.Only(Chip.VerifyUnder(policy => policy with { Measurement = wrong }), SevSnpFactors.Measurement, RejectionCode.Mismatch);
        Evidence.Only(
            Chip.VerifyUnder(policy => policy with { HostData = ReferenceValues.OneOf(Enumerable.Repeat((byte)1, 32).ToArray()) }),
            SevSnpFactors.HostData, RejectionCode.Mismatch);
        Evidence.Only(Chip.VerifyUnder(policy => policy with { IdKeyDigest = right }), SevSnpFactors.IdKeyDigest, RejectionCode.Mismatch);
        Evidence.Only(Chip.VerifyUnder(policy => policy with { AuthorKeyDigest = right }), SevSnpFactors.AuthorKeyDigest, RejectionCode.Mismatch);
    }

    [Fact]
    public void Another_platform_or_other_report_data_is_refused()
    {
        var (policy, id) = (Chip.Policy, Shown.Hex(Chip.Hwid));
        Chip.Verify(policy with { Platforms = ["00", id] }).Refusals().ShouldBeEmpty();
        Evidence.Only(Chip.Verify(policy with { Platforms = ["00"] }), SevSnpFactors.Platform, RejectionCode.Forbidden);
        // A VLEK's host that hides its chip is on no list, not even on one that names zeros.
        Evidence.Only(
            (Chip with { Kind = VekKind.Vlek }).Verify(policy with { Platforms = [new string('0', 128)] }), SevSnpFactors.Platform, RejectionCode.Forbidden);
        foreach (var at in new[] { 0, 31, 32, 63 })
        {
            var other = Enumerable.Repeat((byte)0xDA, 64).ToArray();
            other[at] ^= 1;
            Evidence.Only(Chip.Verify(reportData: other), SevSnpFactors.ReportData, RejectionCode.Mismatch);
        }

        foreach (var size in new[] { 0, 32, 63, 65 })
            Evidence.Only(Chip.Verify(reportData: Enumerable.Repeat((byte)0xDA, size).ToArray()), SevSnpFactors.ReportData, RejectionCode.Mismatch);
    }

    [Fact]
    public void A_policy_without_SEV_SNP_refuses_it() =>
        Chip.Verify(Chip.Policy with { Tees = [CpuType.Tdx] }).Refusals().ShouldBe(["bundle.tee"]);

    // Within a bundle.

    [Fact]
    public void In_a_bundle_the_measurement_has_to_be_named()
    {
        var verifier = new SevSnpCpuVerifier();
        verifier.Type.ShouldBe("sev-snp");
        var evidence = new CpuEvidence { Type = verifier.Type, Evidence = Chip.Report(), Collateral = Chip.Collateral.ToNamed() };
        evidence.Collateral.Keys.ShouldBeSubsetOf(verifier.CollateralNames);
        var (policy, claims) = Run(Chip.Policy);
        Evidence.Only(policy, SevSnpFactors.Measurement, RejectionCode.NoReference);
        Evidence.Only(
            Run(Chip.Policy with { Advisory = new HashSet<string> { "snp.measurement" } }).Verdict, SevSnpFactors.Measurement, RejectionCode.NoReference);
        claims!.ReportData.ToArray().ShouldBe(Enumerable.Repeat((byte)0xDA, 64));
        claims.Measurements.Keys.ShouldBe(["measurement"]);

        Run(Chip.Policy with { MeasurementsAny = true }).Verdict.Refusals().ShouldBeEmpty();
        var pinned = Run(Chip.Policy with { SevSnp = new SevSnpPolicy { Measurement = ReferenceValues.OneOf(claims.Measurements["measurement"].ToArray()) } });
        pinned.Verdict.Refusals().ShouldBeEmpty();
        pinned.Verdict.Factors.ShouldNotContain(factor => factor.Name == SevSnpFactors.ReportData); // the bundle's own check makes it
        evidence = evidence with { Evidence = new byte[7] };
        Run(Chip.Policy).Claims.ShouldBeNull();

        (Verdict Verdict, CpuClaims? Claims) Run(Policy under)
        {
            var findings = under.Begin(EmulatedChip.At);
            var found = verifier.Verify(evidence, under, findings);
            return (findings.ToVerdict(), found);
        }
    }
}
