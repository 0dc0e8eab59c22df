using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 19, checks 9 to 12 and 21: what is said of the documents of all devices together, and who may sign RIM files.</summary>
public sealed class DeviceDocumentTests
{
    [Fact]
    public void As_many_documents_as_their_bound_are_read()
    {
        var bench = new DeviceFaultTests.Bench { HasRims = false };
        for (var i = 0; i < Bounds.DeviceDocuments; i++)
            bench.Ocsp();
        bench.Verify().IsAccepted.ShouldBeTrue();
        bench.Ocsp();
        bench.Ocsp();
        var verdict = bench.Verify();
        verdict.Refusals().ShouldBe(["nvidia.rim"]);
        verdict.CodeOf(NvidiaFactors.Rim).ShouldBe(RejectionCode.TooLarge);
        verdict.Factor(NvidiaFactors.Rim).Found.ShouldBe("more"); // said once, and the rest is left unread
    }

    [Fact]
    public void Where_no_RIM_file_is_given_that_is_said_of_each_check()
    {
        FactorName[] names = [NvidiaFactors.Rim, NvidiaFactors.RimPath, NvidiaFactors.RimSignature];
        var bench = new DeviceFaultTests.Bench { HasRims = false };
        foreach (var documents in new[] { 0, 1 })
        {
            var verdict = bench.Verify();
            names.ShouldAllBe(name => verdict.Factor(name).Outcome == Outcome.Skip && verdict.Factor(name).Found == "no RIM file was given", $"{documents}");
            bench.Ocsp(); // an answer is none
        }

        bench.Device.Documents.Add("no XML"u8.ToArray());
        var refused = bench.Verify();
        refused.Refusals().ShouldBe(["nvidia.rim"]);
        refused.Factors.ShouldNotContain(factor => factor.Name == NvidiaFactors.RimPath || factor.Name == NvidiaFactors.RimSignature);

        var accepted = new DeviceFaultTests.Bench().Verify();
        names.ShouldAllBe(name => accepted.Factor(name).Outcome == Outcome.Pass);
    }

    [Fact]
    public void Any_age_of_a_RIM_file_is_said_to_be_accepted_where_the_policy_has_none()
    {
        var factor = new DeviceFaultTests.Bench().Verify().Factor(NvidiaFactors.RimAge);
        (factor.Outcome, factor.Found.EndsWith(" (any is accepted)", StringComparison.Ordinal)).ShouldBe((Outcome.Skip, true));
    }

    [Fact]
    public void A_path_that_was_given_without_its_root_is_asked_about_as_one_with_it()
    {
        foreach (var omitRoot in new[] { false, true })
        {
            var bench = new DeviceFaultTests.Bench { HasRims = false };
            var device = bench.Device;
            device.OmitRoot = omitRoot;
            bench.Nvidia(policy => policy with { RequireOcsp = true });
            bench.Ocsp();
            device.Documents.Add(new OcspPlan(device.Identity, device.Root, device.Provisioner).ToBytes());
            bench.Verify().CodeOf(NvidiaFactors.Revocation).ShouldBe(RejectionCode.Missing);
            device.Documents.Add(new OcspPlan(device.Root, device.Root, device.Identity).ToBytes());
            bench.Verify().Refusals().ShouldBeEmpty();
        }
    }

    [Theory]
    [InlineData(8, 16)]
    [InlineData(32, 64)]
    [InlineData(40, 64)]
    public void Of_a_nonce_that_is_another_32_bytes_are_shown(int size, int shown)
    {
        var bench = new DeviceFaultTests.Bench { OcspNonce = new byte[32] };
        bench.Ocsp(change: plan => plan.Nonce = [.. Enumerable.Repeat((byte)7, size)]);
        bench.Verify().Factor(NvidiaFactors.Revocation).Found.ShouldEndWith($": {string.Concat(Enumerable.Repeat("07", shown / 2))}");
    }

    [Theory]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 002", "HCC RIM L4 Signer", true)]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 002", "NVIDIA Reference Value L4 GH100", true)]
    [InlineData("NVIDIA Reference Value GH CA", "NVIDIA Reference Value L3 GH 1", "HCC RIM L4 Signer", true)]
    [InlineData("NVIDIA Reference Value GH1000000000 CA", "NVIDIA Reference Value L3 GH1000000000 12345678", "HCC RIM L4 Signer", true)]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 002", "NVIDIA Reference Value L4 GB100", false)]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GB100 002", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 123456789", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 00a", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 a00", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value G CA", "NVIDIA Reference Value L3 G 002", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH10000000000 CA", "NVIDIA Reference Value L3 GH10000000000 002", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH 100 CA", "NVIDIA Reference Value L3 GH 100 002", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH100", "NVIDIA Reference Value L3 GH100 002", "HCC RIM L4 Signer", false)]
    [InlineData("VIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 002", "HCC RIM L4 Signer", false)]
    [InlineData("XVIDIA Reference Value GH100 CA", "NVIDIA Reference Value L3 GH100 002", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value CA", "NVIDIA Reference Value L3 GH100 002", "HCC RIM L4 Signer", false)]
    [InlineData("CA", "NVIDIA Reference Value L3 GH100 002", "HCC RIM L4 Signer", false)]
    [InlineData("NVIDIA Reference Value GH100 XX", "NVIDIA Reference Value L3 GH100 002", "HCC RIM L4 Signer", false)]
    public void A_RIM_file_is_signed_in_the_names_of_one_chip(string authority, string issuer, string signer, bool isAccepted)
    {
        var bench = new DeviceFaultTests.Bench();
        foreach (var (plan, name) in new[] { (bench.Device.RimCa, authority), (bench.Device.RimIssuer, issuer), (bench.Device.RimSigner, signer) })
            plan.Name = $"CN={name}, O=NVIDIA Corporation";
        var verdict = bench.Verify();
        verdict.IsAccepted.ShouldBe(isAccepted, verdict.ToText());
        if (isAccepted)
            return;
        verdict.Refusals().ShouldBe(["nvidia.rim_path"]);
        verdict.CodeOf(NvidiaFactors.RimPath).ShouldBe(RejectionCode.BadCertificate);
        new[] { authority, issuer, signer }.ShouldAllBe(name => verdict.Factor(NvidiaFactors.RimPath).Found.Contains(name, StringComparison.Ordinal));
    }
}
