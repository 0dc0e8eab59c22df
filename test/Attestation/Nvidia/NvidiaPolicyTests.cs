using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 10, table [nvidia], and the bounds of section 18.</summary>
public sealed class NvidiaPolicyTests
{
    [Fact]
    public void A_policy_is_read_as_it_is_written()
    {
        var policy = Policy.Default with
        {
            Nvidia = new NvidiaPolicy
            {
                MinGpus = 8,
                Architectures = ["hopper"],
                Modes = [DeviceMode.ProtectedPcie, DeviceMode.MultiGpu],
                MinDriver = "570.124.06",
                MinVbios = ["96.00.9F.00.01", "97.00.00.00.00"],
                RequireRims = false,
                MaxRimAge = TimeSpan.FromDays(90),
                RequireOcsp = true,
                OcspGrace = TimeSpan.FromHours(12),
                AllowCertificateHold = true,
            },
        };
        var read = Policy.Parse(policy.ToToml());
        read.ToToml().ShouldBe(policy.ToToml());
        (read.Nvidia.MinGpus, read.Nvidia.MinDriver, read.Nvidia.OcspGrace, read.Nvidia.MaxRimAge)
            .ShouldBe((8, "570.124.06", TimeSpan.FromHours(12), TimeSpan.FromDays(90)));
        read.Nvidia.MinVbios.ShouldBe(policy.Nvidia.MinVbios);
        read.Nvidia.Modes.ShouldBe(policy.Nvidia.Modes);
        read.Nvidia.Architectures.ShouldBe(policy.Nvidia.Architectures);
        (read.Nvidia.RequireRims, read.Nvidia.RequireOcsp, read.Nvidia.AllowCertificateHold).ShouldBe((false, true, true));
        Policy.Parse("version = 1\n[nvidia]\nmax_rim_age = \"unlimited\"\n").Nvidia.MaxRimAge.ShouldBeNull();
    }

    [Fact]
    public void A_policy_that_says_nothing_demands_RIM_files_and_allows_no_certificate_that_is_held()
    {
        foreach (var policy in new[] { Policy.Parse("version = 1").Nvidia, new NvidiaPolicy() })
            (policy.RequireRims, policy.RequireOcsp, policy.AllowCertificateHold).ShouldBe((true, false, false));
    }

    [Theory]
    [InlineData("min_driver = \"570\"")]
    [InlineData("min_driver = \"570.x\"")]
    [InlineData("min_driver = \"570.124.06.1.2\"")]
    [InlineData("min_vbios = [\"96.00.9f.00.01\"]")]
    [InlineData("min_vbios = [\"96.00.9F.00\"]")]
    [InlineData("architectures = [\"ampere\"]")]
    [InlineData("modes = [\"off\"]")]
    [InlineData("ocsp_grace = \"unlimited\"")]
    [InlineData("require_rim = true")]
    [InlineData("min_gpus = -1")]
    public void What_a_policy_says_wrongly_is_no_permission(string line) =>
        Should.Throw<PolicyException>(() => Policy.Parse($"version = 1\n[nvidia]\n{line}\n"));

    [Fact]
    public void What_decides_over_devices_may_be_advisory_and_what_proves_them_may_not()
    {
        var advisory = Policy.Parse("version = 1\nadvisory = [\"nvidia.measurements\", \"nvidia.driver_rim\"]\n");
        var verdict = Devices.Verify(Devices.Of(Devices.Hopper, "driver_rim_545.00_other_version.swidtag"), policy: advisory);
        verdict.IsAccepted.ShouldBeTrue(verdict.ToText());
        verdict.Warnings.Select(factor => factor.Name).ShouldBe([NvidiaFactors.DriverRim, NvidiaFactors.Measurements]);
        foreach (var name in NvidiaFactors.All.Where(name => name.Kind != FactorKind.Policy))
            Should.Throw<PolicyException>(() => Policy.Parse($"version = 1\nadvisory = [\"{name}\"]\n"));
    }

    [Theory]
    [InlineData("570.124.06", "570.124.06", true)]
    [InlineData("570.124.6", "570.124.06", true)]
    [InlineData("570.124.05", "570.124.06", false)]
    [InlineData("1000.0", "570.124.06", true)]
    [InlineData("570.124", "570.124.0", true)]
    [InlineData("96.00.9F.00.01", "96.00.9E.FF.FF", true)]
    [InlineData("96.00.0A.00.01", "96.00.10.00.00", false)]
    public void Versions_are_compared_group_by_group(string found, string least, bool holds) => FirmwareVersion.IsAtLeast(found, least).ShouldBe(holds);

    [Fact]
    public void Devices_and_documents_beyond_their_bounds_are_refused()
    {
        var device = Devices.Of(Devices.Hopper)[0];
        Evidence.Only(Devices.Verify([]), NvidiaFactors.Report, RejectionCode.TooLarge);
        Evidence.Only(Devices.Verify([.. Enumerable.Repeat(device, 17)]), NvidiaFactors.Report, RejectionCode.TooLarge);
        Evidence.Only(Devices.Verify([device with { Report = new byte[Bounds.SpdmReport + 1] }]), NvidiaFactors.Report, RejectionCode.TooLarge);
        var many = Enumerable.Range(0, 65).Select(i => (ReadOnlyMemory<byte>)new byte[] { (byte)'<', (byte)i }).ToList();
        Devices.Verify([device with { Documents = many }]).Refusals().ShouldBe(["nvidia.rim"]);
        Devices.Verify([device with { Documents = [default(ReadOnlyMemory<byte>)] }]).Refusals().ShouldBe(["nvidia.rim"]);
        Devices.Verify([device with { Documents = [new byte[] { 0x30 }] }]).Refusals().ShouldBe(["nvidia.revocation"]);
    }
}
