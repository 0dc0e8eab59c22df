using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>The mutations of the manifest, and every flipped bit and cut of what a device signs.</summary>
public sealed class DeviceMutationTests
{
    private static readonly string[] Bases = [Devices.Hopper, Devices.Blackwell, Devices.Switch, Devices.RtxPro];

    public static TheoryData<string, string> Mutations =>
        new(Vectors.Json("gpu/mutations.json").GetProperty("cases").EnumerateArray().Select(item => (item.String("base"), item.String("id"))));

    public static TheoryData<string> Sets => [.. Bases];

    [Theory]
    [MemberData(nameof(Mutations))]
    public void An_altered_report_is_refused_by_a_factor(string path, string id)
    {
        var item = Vectors.Json("gpu/mutations.json")
            .GetProperty("cases").EnumerateArray().Single(item => item.String("base") == path && item.String("id") == id);
        var folder = path[..path.LastIndexOf('/')];
        var verdict = Devices.Verify([Devices.Of(folder)[0] with { Report = Evidence.Mutate(Evidence.Bytes(path), item.GetProperty("operations")) }]);
        var first = verdict.Failures.First().Name;
        ((FactorName[])[NvidiaFactors.Report, NvidiaFactors.Signature]).ShouldContain(first, verdict.ToText());
        if (id is "req-nonce" or "meas-value" or "meas-late" or "sig-r" or "sig-s" or "sig-zero")
            Evidence.Only(verdict, NvidiaFactors.Signature, RejectionCode.BadSignature);
    }

    [Theory]
    [InlineData("cert_chain_case2.pem", RejectionCode.Untrusted)]
    [InlineData("cert_chain_case3.pem", RejectionCode.Untrusted)]
    [InlineData("cert_chain_case4.pem", RejectionCode.BadCertificate)]
    public void A_broken_chain_is_refused(string file, RejectionCode code)
    {
        Vectors.Json("gpu/11-hopper-chain-negatives/expected.json").GetProperty("cases").GetProperty(file).GetString()!.ShouldStartWith("reject");
        var verdict = Devices.Verify([Devices.Of(Devices.Hopper)[0] with { Certificates = Evidence.Bytes($"gpu/11-hopper-chain-negatives/{file}") }]);
        verdict.Failures.First().Name.ShouldBe(NvidiaFactors.Path, verdict.ToText());
        verdict.CodeOf(NvidiaFactors.Path).ShouldBe(code);
    }

    [Fact]
    public void The_chain_of_another_device_is_refused_by_signature_and_FWID()
    {
        var verdict = Devices.Verify([Devices.Of(Devices.Hopper)[0] with { Certificates = Evidence.Bytes($"{Devices.Hopper580}/cert_chain.pem") }]);
        verdict.Refusals().ShouldBe(["nvidia.signature", "nvidia.fwid"], verdict.ToText());
    }

    [Fact]
    public void A_chain_whose_order_is_another_is_refused_and_one_without_its_root_is_not()
    {
        var device = Devices.Of(Devices.Hopper)[0];
        CertificateList.TryParse(device.Certificates.Span, 5, out var list).ShouldBeNull();
        using (list)
        {
            byte[] Joined(params int[] order) => [.. order.SelectMany(i => list!.Items[i].Der.ToArray())];
            foreach (var order in (int[][])[[1, 0, 2, 3, 4], [0, 2, 1, 3, 4], [0, 1, 3, 2, 4], [2, 0, 1, 3, 4]])
                Devices.Verify([device with { Certificates = Joined(order) }]).Failures.First().Name.ShouldBe(NvidiaFactors.Path);
            Devices.Verify([device with { Certificates = Joined(0, 1, 2, 3) }]).IsAccepted.ShouldBeTrue();
            Devices.Verify([device with { Certificates = Joined(0, 1, 2) }]).Refusals().ShouldBe(["nvidia.path"]);
            Devices.Verify([device with { Certificates = Joined(0) }]).Refusals().ShouldBe(["nvidia.path"]);
            Devices.Verify([device with { Certificates = Joined(0, 1, 2, 3, 4, 4) }]).CodeOf(NvidiaFactors.Path).ShouldBe(RejectionCode.TooLarge);
        }
    }

    [Fact]
    public void A_root_of_the_right_name_is_refused()
    {
        var device = new EmulatedDevice();
        Evidence.Only(NvidiaVerifier.Verify([device.ToEvidence()], Policy.Default, EmulatedDevice.Now).Verdict, NvidiaFactors.Path, RejectionCode.Untrusted);
    }

    [Fact]
    public void A_device_that_is_listed_twice_is_refused()
    {
        var devices = Devices.Of(Devices.Atoma);
        Devices.Verify(devices).Refusals().ShouldBeEmpty();
        Evidence.Only(Devices.Verify([.. devices.Take(7), devices[3]]), NvidiaFactors.Distinct, RejectionCode.Mismatch);
    }

    [Fact]
    public void An_architecture_that_is_declared_wrongly_is_refused() =>
        Evidence.Only(Devices.Verify([Devices.Of(Devices.Hopper)[0] with { Architecture = "BLACKWELL" }]), NvidiaFactors.Architecture, RejectionCode.Mismatch);

    [Fact]
    public void A_replayed_report_is_refused_by_its_nonce() =>
        Evidence.Only(Devices.Verify(Devices.Of(Devices.Atoma), nonce: new byte[32]), NvidiaFactors.Nonce, RejectionCode.Mismatch);

    [Fact]
    public void Recorded_GPUs_and_switches_of_one_machine_name_each_other_and_one_that_is_left_out_is_missed()
    {
        var (gpus, switches) = (Devices.Of(Devices.ProtectedPcie), Devices.Of(Devices.Switches));
        var whole = Devices.Verify([.. gpus, .. switches]);
        whole.IsAccepted.ShouldBeTrue(whole.ToText());
        whole.Factor(NvidiaFactors.Topology).Outcome.ShouldBe(Outcome.Pass, whole.ToText());
        Devices.Verify(gpus).Factor(NvidiaFactors.Topology).Outcome.ShouldBe(Outcome.Skip);
        Evidence.Only(Devices.Verify([.. gpus.Skip(1), .. switches]), NvidiaFactors.Topology, RejectionCode.Mismatch);
        Evidence.Only(Devices.Verify([.. gpus, .. switches.Take(3)]), NvidiaFactors.Topology, RejectionCode.Mismatch);
        Evidence.Only(Devices.Verify([.. gpus, .. switches.Take(3), Devices.Of(Devices.Switch)[0]]), NvidiaFactors.Topology, RejectionCode.Mismatch);
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void A_report_with_one_bit_turned_is_refused(string set)
    {
        var device = Devices.Of(set)[0];
        var bytes = device.Report.ToArray();
        foreach (var i in Daily.Of(bytes.Length, 50))
        {
            var copy = bytes.ToArray();
            copy[i] ^= (byte)(1 << (i % 8));
            var verdict = Devices.Verify([device with { Report = copy }]);
            ((FactorName[])[NvidiaFactors.Report, NvidiaFactors.Signature]).ShouldContain(verdict.Failures.First().Name, $"byte {i}");
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void A_report_cut_at_any_byte_is_refused_by_its_form(string set)
    {
        var device = Devices.Of(set)[0];
        foreach (var length in Daily.Of(device.Report.Length, 20))
            Devices.Verify([device with { Report = device.Report[..length] }]).Refusals().ShouldBe(["nvidia.report"]);
    }

    [Theory]
    [TimeLimit(300)]
    [MemberData(nameof(Sets))]
    public void A_chain_with_one_bit_turned_is_refused(string set)
    {
        var device = Devices.Of(set)[0];
        CertificateList.TryParse(device.Certificates.Span, 5, out var list).ShouldBeNull();
        byte[] bytes;
        using (list)
            bytes = [.. list!.Items.SelectMany(certificate => certificate.Der.ToArray())];
        foreach (var i in Daily.Of(bytes.Length, 40))
        {
            var copy = bytes.ToArray();
            copy[i] ^= (byte)(1 << (i % 8));
            Devices.Verify([device with { Certificates = copy }]).IsAccepted.ShouldBeFalse($"byte {i}");
        }
    }

    [Fact]
    public void An_OCSP_answer_with_one_bit_turned_or_cut_breaks_nothing_and_is_never_good()
    {
        var device = new EmulatedDevice();
        var plan = new OcspPlan(device.Provisioner, device.Identity, device.Brom)
        {
            Nonce = new byte[32],
            Delegate = new DevicePlan("CN=Responder", EmulatedDevice.NewKey()),
        };
        plan.Delegate.MoreExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.9")], critical: true));
        var bytes = plan.ToBytes();
        var (evidence, policy) = (device.ToEvidence(), device.Trusting());
        Factor(bytes).Outcome.ShouldBe(Outcome.Pass);
        foreach (var i in Daily.Of(bytes.Length, 10))
        {
            var copy = bytes.ToArray();
            copy[i] ^= (byte)(1 << (i % 8));
            Factor(copy).Outcome.ShouldNotBe(Outcome.Pass, $"byte {i}");
            Factor(bytes[..i]).Outcome.ShouldNotBe(Outcome.Pass, $"{i} bytes");
        }

        Factor Factor(byte[] answer) =>
            NvidiaVerifier.Verify([evidence with { Documents = [answer] }], policy, EmulatedDevice.Now).Verdict.Factor(NvidiaFactors.Revocation);
    }

    [Fact]
    public void Opaque_data_of_any_bytes_breaks_nothing()
    {
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = new byte[random.Next(64)];
            random.NextBytes(bytes);
            if (i % 2 == 0)
                "NVDAOD\0\0"u8[..Math.Min(8, bytes.Length)].CopyTo(bytes);
            OpaqueData.TryParse(bytes, isSwitch: i % 3 == 0, out _);
        }
    }
}
