using System.Security.Cryptography;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 19: which checks follow from which, and what is asked of devices that come in a bundle.</summary>
public sealed class DeviceCheckTests
{
    [Fact]
    public void Of_a_path_that_does_not_stand_no_answers_are_demanded()
    {
        var bench = new DeviceFaultTests.Bench { HasRims = false };
        bench.Nvidia(policy => policy with { RequireOcsp = true });
        bench.Device.Leaf.ForeignSigner = EmulatedDevice.NewKey();
        bench.Verify().Refusals().ShouldBe(["nvidia.path"]);
    }

    [Fact]
    public void What_is_wrong_with_a_path_is_said_before_the_name_of_its_leaf()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Device.Leaf.Name = "CN=HCC RIM L4 Signer, O=NVIDIA Corporation";
        bench.Device.Leaf.ForeignSigner = EmulatedDevice.NewKey();
        bench.Verify().CodeOf(NvidiaFactors.Path).ShouldBe(RejectionCode.Untrusted);
    }

    [Fact]
    public void A_certificate_that_was_signed_with_another_hash_is_refused_wherever_it_stands()
    {
        foreach (var plan in new Func<EmulatedDevice, DevicePlan>[] { device => device.Leaf, device => device.Brom, device => device.Provisioner })
        {
            var bench = new DeviceFaultTests.Bench();
            plan(bench.Device).Hash = HashAlgorithmName.SHA256;
            var verdict = bench.Verify();
            verdict.Refusals().ShouldBe(["nvidia.path"]);
            verdict.CodeOf(NvidiaFactors.Path).ShouldBe(RejectionCode.Untrusted);
        }
    }

    [Fact]
    public void Of_devices_that_cannot_be_read_nothing_is_said_together()
    {
        var bench = new DeviceFaultTests.Bench { HasRims = false };
        bench.Device.ChangeReport = bytes => [.. bytes, 0];
        var verdict = bench.Verify();
        verdict.Refusals().ShouldBe(["nvidia.report"]);
        verdict.Factors.ShouldNotContain(factor => factor.Name == NvidiaFactors.Distinct || factor.Name == NvidiaFactors.Devices);
    }

    [Theory]
    [InlineData("SERIALNUMBER=4112345678ABCDEF01", "12345678abcdef01")]
    [InlineData("SERIALNUMBER=41123456789ABCDEFG", null)] // no hexadecimal digit
    [InlineData("SERIALNUMBER=4112345678ABCDEF0", null)]
    [InlineData("SERIALNUMBER=4112345678ABCDEF012", null)]
    [InlineData("SERIALNUMBER=4112345678ABCDEF01, OU=00112233445566778899", "12345678abcdef01")]
    [InlineData("OU=001122334455667788, SERIALNUMBER=4112345678ABCDEF01, L=001122334455667788", "12345678abcdef01")] // as long as one
    [InlineData("OU=001122334455667788", null)]
    public void A_chips_id_is_its_serial_number_and_nothing_else_of_its_name(string parts, string? id)
    {
        var device = new EmulatedDevice();
        device.Brom.Name = $"CN=GH100 A01 GSP BROM, {parts}, O=NVIDIA Corporation";
        var verification = NvidiaVerifier.Verify([device.ToEvidence()], device.Trusting(), EmulatedDevice.Now);
        verification.Devices.Single().Id.ShouldBe(id);
        verification.Verdict.Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void Devices_are_between_one_and_their_bound()
    {
        var evidence = new EmulatedDevice().ToEvidence();
        Code(0).ShouldBe(RejectionCode.TooLarge);
        Code(1).ShouldBeNull();
        Code(Bounds.DeviceCount).ShouldBeNull();
        Code(Bounds.DeviceCount + 1).ShouldBe(RejectionCode.TooLarge);
        Should.Throw<ArgumentNullException>(() => NvidiaVerifier.Verify(null!, Policy.Default, EmulatedDevice.Now)).ParamName.ShouldBe("devices");
        Should.Throw<ArgumentNullException>(() => NvidiaVerifier.Verify([evidence], null!, EmulatedDevice.Now)).ParamName.ShouldBe("policy");

        RejectionCode? Code(int count) => NvidiaVerifier.Verify([.. Enumerable.Repeat(evidence, count)], Policy.Default, EmulatedDevice.Now)
            .Verdict.Factors.Single(factor => factor.Name == NvidiaFactors.Report).Code;
    }

    [Fact]
    public void A_bundle_brings_its_devices_documents_by_digest_and_has_to_bring_their_RIM_files()
    {
        var device = new EmulatedDevice();
        var rims = new[] { device.Rim(vbios: false).ToBytes(), device.Rim(vbios: true).ToBytes() };
        Refusals(rims, named: 2).ShouldBeEmpty();
        Refusals(rims, named: 1).ShouldBe(["nvidia.vbios_rim"]);
        Refusals(rims, named: 0).ShouldBe(["nvidia.driver_rim", "nvidia.vbios_rim"]);
        Refusals(rims[..1], named: 2).ShouldBe(["nvidia.vbios_rim"]); // named, and not there

        string[] Refusals(byte[][] given, int named)
        {
            var policy = device.Trusting();
            var findings = policy.Begin(EmulatedDevice.Now);
            var evidence = new DeviceEvidence
            {
                Architecture = "HOPPER",
                Evidence = device.Report(),
                Certificates = (byte[])[.. device.Path().SelectMany(der => der)],
                Collateral = [.. rims[..named].Select(rim => SHA256.HashData(rim))],
            };
            new NvidiaDeviceVerifier().Verify([evidence], new DocumentSet([.. given.Select(rim => (ReadOnlyMemory<byte>)rim)]), device.Nonce, policy, findings);
            return findings.ToVerdict().Refusals();
        }
    }
}
