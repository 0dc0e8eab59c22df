using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Attestation.Tests.SevSnp;

/// <summary>spec/attestation.md section 10, table [sev_snp].</summary>
public sealed class SevSnpPolicyTests
{
    [Fact]
    public void What_is_written_reads_back_as_the_same_policy()
    {
        CertificateList.TryParse(Reports.Root("genoa_ark"), out var root).ShouldBeNull();
        using (root)
        {
            var policy = Policy.Default with
            {
                SevSnp = new SevSnpPolicy
                {
                    AllowVlek = false,
                    AllowMaskedChipId = true,
                    AllowSmt = false,
                    AllowMigration = true,
                    AllowCxl = true,
                    RequireSingleSocket = true,
                    RequireCrl = true,
                    MaxVmpl = 1,
                    PlatformInfo = ["ecc", "alias_check_complete"],
                    Measurement = ReferenceValues.OneOf(new byte[48], [.. Enumerable.Range(0, 48).Select(i => (byte)i)]),
                    HostData = ReferenceValues.OneOf(new byte[32]),
                    IdKeyDigest = ReferenceValues.Any,
                    AuthorKeyDigest = ReferenceValues.OneOf(new byte[48]),
                    MilanFloor = new TcbFloor { Bootloader = 4, Snp = 24, Microcode = 219 },
                    GenoaFloor = new TcbFloor { Tee = 255 },
                    TurinFloor = new TcbFloor { Fmc = 1, Bootloader = 2, Tee = 3, Snp = 4, Microcode = 5 },
                },
                DangerousTestRoots = new TestRoots { Amd = root!.Items[0] },
            };
            var read = Policy.Parse(policy.ToToml());
            read.ToToml().ShouldBe(policy.ToToml());
            read.SevSnp.MilanFloor.ShouldBe(policy.SevSnp.MilanFloor);
            read.SevSnp.TurinFloor.ShouldBe(policy.SevSnp.TurinFloor);
            read.SevSnp.PlatformInfo.ShouldBe(policy.SevSnp.PlatformInfo);
            (read.SevSnp.AllowVlek, read.SevSnp.AllowMaskedChipId, read.SevSnp.AllowSmt, read.SevSnp.AllowMigration, read.SevSnp.AllowCxl)
                .ShouldBe((false, true, false, true, true));
            (read.SevSnp.RequireSingleSocket, read.SevSnp.RequireCrl, read.SevSnp.MaxVmpl).ShouldBe((true, true, 1));
            read.DangerousTestRoots!.Amd!.Der.ToArray().ShouldBe(root.Items[0].Der.ToArray());
        }
    }

    [Fact]
    public void What_is_for_few_is_written_and_reads_back()
    {
        var policy = new SevSnpPolicy
        {
            PlatformInfoForbidden = ["tsme"],
            Products = ["genoa"],
            CspIds = ["CN=cloud.example"],
            AllowProvisionalFirmware = false,
            Mitigations = [0, 63],
            ModelFloors = new Dictionary<string, TcbFloor> { ["19-a0"] = new() { Fmc = 1, Bootloader = 2, Tee = 3, Snp = 4, Microcode = 5 } },
        };
        var text = (Policy.Default with { SevSnp = policy }).ToToml();
        var read = Policy.Parse(text).SevSnp;
        read.PlatformInfoForbidden.ShouldBe(policy.PlatformInfoForbidden);
        read.Products.ShouldBe(policy.Products);
        read.CspIds.ShouldBe(policy.CspIds);
        read.AllowProvisionalFirmware.ShouldBeFalse();
        read.Mitigations.ShouldBe(policy.Mitigations);
        read.ModelFloors.ShouldBe(policy.ModelFloors);
        (read.AllowVlek, read.AllowSmt, read.RequireSingleSocket, read.RequireCrl, read.MaxVmpl).ShouldBe((true, true, false, false, 3));
        text.ShouldContain("[sev_snp.reference.NAME] is a release");
        text.ShouldContain("[sev_snp.models.FAMILY-MODEL]");
        foreach (var table in new[] { "sev_snp", "sev_snp.milan", "sev_snp.genoa", "sev_snp.turin", "sev_snp.models.19-a0" })
            text.ShouldContain($"\n[{table}]");
    }

    [Fact]
    public void Each_register_is_its_own()
    {
        var values = new[] { 1, 2, 3, 4 }.Select(value => (byte)value).ToList();
        var policy = new SevSnpPolicy
        {
            Measurement = One(values[0], 48),
            HostData = One(values[1], 32),
            IdKeyDigest = One(values[2], 48),
            AuthorKeyDigest = One(values[3], 48),
        };
        var read = Policy.Parse((Policy.Default with { SevSnp = policy }).ToToml()).SevSnp;
        var report = new byte[SevSnpReport.Size];
        (report[0], report[0x034]) = (3, 1);
        foreach (var (offset, size, value) in new[] { (0x090, 48, values[0]), (0x0C0, 32, values[1]), (0x0E0, 48, values[2]), (0x110, 48, values[3]) })
            report.AsSpan(offset, size).Fill(value);
        SevSnpReport.TryParse(report, out var parsed).ShouldBeNull();
        var registers = read.Registers(parsed!);
        registers.Select(register => register.Name).ShouldBe(["measurement", "host_data", "id_key_digest", "author_key_digest"]);
        registers.Select(register => register.Listed.Accepts(register.Value.Span)).ShouldBe([true, true, true, true]);
        registers.Select(register => register.IsProgram).ShouldBe([true, false, false, false]);

        static ReferenceValues One(byte value, int size) => ReferenceValues.OneOf([.. Enumerable.Repeat(value, size)]);
    }

    [Theory]
    [InlineData("19-A0")]
    [InlineData("19_a0")]
    [InlineData("19-a")]
    [InlineData("19-a00")]
    [InlineData("1g-a0")]
    public void A_model_of_another_spelling_is_refused(string model) =>
        Should.Throw<PolicyException>(() => Policy.Parse($"version = 1\n[sev_snp.models.\"{model}\"]\nsnp = 1")).Message.ShouldContain("is no model");

    [Fact]
    public void The_default_has_the_safe_restrictions()
    {
        var read = Policy.Parse("version = 1").SevSnp;
        (read.AllowMaskedChipId, read.AllowMigration, read.AllowCxl).ShouldBe((false, false, false));
        (read.AllowVlek, read.AllowSmt, read.AllowProvisionalFirmware, read.RequireSingleSocket, read.RequireCrl, read.MaxVmpl)
            .ShouldBe((true, true, true, false, false, 3));
        read.Products.ShouldBe(["milan", "genoa", "turin"]);
        read.Measurement.IsUnnamed.ShouldBeTrue();
        read.TurinFloor.ShouldBe(new TcbFloor());
    }

    [Theory]
    [InlineData("[sev_snp]\nmeasurments = []")]
    [InlineData("[sev_snp]\nmeasurement = [\"00\"]")]
    [InlineData("[sev_snp]\nhost_data = [\"" + "000000000000000000000000000000000000000000000000000000000000000000" + "\"]")]
    [InlineData("[sev_snp]\nmax_vmpl = 4")]
    [InlineData("[sev_snp]\nmax_vmpl = -1")]
    [InlineData("[sev_snp]\nplatform_info = [\"smt_enabled\"]")]
    [InlineData("[sev_snp]\nallow_vlek = 1")]
    [InlineData("[sev_snp]\nmilan = 1")]
    [InlineData("[sev_snp.milan]\nfmc = 1")]
    [InlineData("[sev_snp.milan]\nsnp = 256")]
    [InlineData("[sev_snp.turin]\nucode = 1")]
    [InlineData("[sev_snp.naples]\nsnp = 1")]
    [InlineData("[dangerous_test_roots]\namd = \"no certificate\"")]
    public void A_policy_that_says_something_else_is_refused_with_a_hint(string text) =>
        Should.Throw<PolicyException>(() => Policy.Parse("version = 1\n" + text)).Hint.ShouldNotBeNullOrEmpty();

    [Fact]
    public void A_refusal_names_the_table() =>
        Should.Throw<PolicyException>(() => Policy.Parse("version = 1\n[sev_snp.turin]\nucode = 1")).Message.ShouldContain("sev_snp.turin.ucode");
}
