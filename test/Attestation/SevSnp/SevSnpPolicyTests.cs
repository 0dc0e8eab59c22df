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
    public void The_default_has_the_safe_restrictions()
    {
        var read = Policy.Parse("version = 1").SevSnp;
        (read.AllowMaskedChipId, read.AllowMigration, read.AllowCxl).ShouldBe((false, false, false));
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
