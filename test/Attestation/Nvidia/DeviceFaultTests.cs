using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md sections 18 to 21: a constructed device, right but for one thing, is refused by the factor of that thing alone.</summary>
public sealed class DeviceFaultTests
{
    private static readonly byte[] Nonce = SHA256.HashData("nonce"u8);

    private static readonly Dictionary<string, (Action<Bench> Fault, string Refusals, RejectionCode Code)> Faults = new()
    {
        ["a report of SPDM 1.0"] = (bench => bench.Device.ChangeSigned = bytes => With(bytes, 37, 0x10), "nvidia.report", RejectionCode.Unsupported),
        ["an answer to another request"] = (bench => bench.Device.ChangeSigned = bytes => With(bytes, 38, 0x61), "nvidia.report", RejectionCode.Unsupported),
        ["a request of some measurements"] = (bench => bench.Device.ChangeSigned = bytes => With(bytes, 3, 0x01), "nvidia.report", RejectionCode.Unsupported),
        ["another certificate slot"] = (bench => bench.Device.ChangeSigned = bytes => With(bytes, 36, 0x01), "nvidia.report", RejectionCode.Unsupported),
        ["bytes behind the signature"] = (bench => bench.Device.ChangeReport = bytes => [.. bytes, 0], "nvidia.report", RejectionCode.Malformed),
        ["a measurement that stands twice"] = (bench => bench.Device.ChangeSigned = bytes => With(bytes, 45 + 55, 1), "nvidia.report", RejectionCode.Malformed),
        ["more measurements than there are"] = (bench => bench.Device.ChangeSigned = bytes => With(bytes, 41, 65), "nvidia.report", RejectionCode.Malformed),
        ["a leaf by a stranger"] = (bench => bench.Device.Leaf.ForeignSigner = EmulatedDevice.NewKey(), "nvidia.path", RejectionCode.Untrusted),
        ["a provisioner by a stranger"] = (bench => bench.Device.Provisioner.ForeignSigner = EmulatedDevice.NewKey(), "nvidia.path", RejectionCode.Untrusted),
        ["a provisioner of another name"] = (
            bench => bench.Device.Provisioner.Name = "CN=NVIDIA GB100 Provisioner ICA 1, O=NVIDIA Corporation", "nvidia.path", RejectionCode.BadCertificate),
        ["an identity of another name"] = (
            bench => bench.Device.Identity.Name = "CN=NVIDIA GB100 Identity, O=NVIDIA Corporation", "nvidia.path", RejectionCode.BadCertificate),
        ["a chip that may not sign"] = (bench => bench.Device.Brom.Usages = X509KeyUsageFlags.DigitalSignature, "nvidia.path", RejectionCode.BadCertificate),
        ["a chip that is no CA"] = (bench => bench.Device.Brom.IsAuthority = false, "nvidia.path", RejectionCode.BadCertificate),
        ["a path that is longer than allowed"] = (bench => bench.Device.Identity.PathLength = 1, "nvidia.path", RejectionCode.BadCertificate),
        ["a leaf that is a CA"] = (
            bench => (bench.Device.Leaf.IsAuthority, bench.Device.Leaf.Usages) = (true, X509KeyUsageFlags.DigitalSignature),
            "nvidia.path", RejectionCode.BadCertificate),
        ["a leaf that may not sign"] = (bench => bench.Device.Leaf.Usages = X509KeyUsageFlags.NonRepudiation, "nvidia.path", RejectionCode.BadCertificate),
        ["a critical extension that nobody knows"] = (
            bench => bench.Device.Provisioner.MoreExtensions.Add(new X509Extension("1.2.3.4", [5, 0], critical: true)),
            "nvidia.path", RejectionCode.BadCertificate),
        ["a leaf of yesterday"] = (bench => bench.Device.Leaf.NotAfter = EmulatedDevice.Now.AddDays(-1), "nvidia.path", RejectionCode.Expired),
        ["a leaf of tomorrow"] = (bench => bench.Device.Leaf.NotBefore = EmulatedDevice.Now.AddDays(1), "nvidia.path", RejectionCode.NotYetValid),
        ["a leaf of no device"] = (bench => bench.Device.Leaf.Name = "CN=HCC RIM L4 Signer, O=NVIDIA Corporation", "nvidia.path", RejectionCode.BadCertificate),
        ["a chip that comes later"] = (
            bench =>
                (bench.Device.Leaf.Name, bench.Device.Brom.Name) =
                    ("CN=GR100 A01 GSP FMC LF, O=NVIDIA Corporation", "CN=GR100 A01 GSP BROM, O=NVIDIA Corporation"),
            "nvidia.architecture", RejectionCode.Unsupported),
        ["another architecture than declared"] = (bench => bench.Device.Architecture = "BLACKWELL", "nvidia.architecture", RejectionCode.Mismatch),
        ["a report by another key"] = (
            bench => bench.Device.ChangeReport = bytes => With(bytes, bytes.Length - 1, (byte)(bytes[^1] ^ 1)), "nvidia.signature", RejectionCode.BadSignature),
        ["an entry that stands twice"] = (
            bench =>
            {
                bench.Device.Opaque.Add((3, 0x86, "999.0\0"u8.ToArray()));
                bench.HasRims = false;
            },
            "nvidia.opaque_data", RejectionCode.Malformed),
        ["an entry that ends early"] = (
            bench =>
            {
                bench.Device.ChangeSigned = bytes => With(bytes, bytes.Length - 4, 3);
                bench.HasRims = false;
            },
            "nvidia.opaque_data", RejectionCode.Malformed),
        ["no opaque data"] = (
            bench =>
            {
                bench.Device.Opaque.Clear();
                bench.HasRims = false;
            },
            "nvidia.opaque_data", RejectionCode.Missing),
        ["opaque data of version 3"] = (
            bench =>
            {
                bench.Device.IsVersioned = true;
                bench.Device.ChangeSigned = bytes => With(bytes, bytes.AsSpan().IndexOf("NVDAOD"u8) + 8, 3);
                bench.HasRims = false;
            },
            "nvidia.opaque_data", RejectionCode.Unsupported),
        ["opaque data of another profile"] = (
            bench =>
            {
                bench.Device.IsVersioned = true;
                bench.Device.ChangeSigned = bytes => With(bytes, bytes.AsSpan().IndexOf("NVDAOD"u8) + 6, 1);
                bench.HasRims = false;
            },
            "nvidia.opaque_data", RejectionCode.Unsupported),
        ["firmware that the leaf was not issued to"] = (bench => bench.Device.Replace(20, new byte[48]), "nvidia.fwid", RejectionCode.Mismatch),
        ["a nonce of yesterday"] = (bench => bench.Device.Nonce = new byte[32], "nvidia.nonce", RejectionCode.Mismatch),
        ["a device that is there twice"] = (bench => bench.Others.Add(bench.Device), "nvidia.distinct", RejectionCode.Mismatch),
        ["a key that is there twice"] = (
            bench =>
            {
                var other = bench.Other();
                other.Leaf.Key = bench.Device.Leaf.Key;
            },
            "nvidia.distinct", RejectionCode.Mismatch),
        ["a RIM file that is CoRIM"] = (bench => bench.Device.Documents.Add([0xD9, 0x01, 0xF5, 0xA0]), "nvidia.rim", RejectionCode.Unsupported),
        ["a RIM file that is none"] = (bench => bench.Device.Documents.Add("no XML"u8.ToArray()), "nvidia.rim", RejectionCode.Malformed),
        ["a signer of RIM files by a stranger"] = (
            bench => bench.Rims(() => bench.Device.RimSigner.ForeignSigner = EmulatedDevice.NewKey()), "nvidia.rim_path", RejectionCode.Untrusted),
        ["a signer of RIM files of yesterday"] = (
            bench => bench.Rims(() => bench.Device.RimSigner.NotAfter = EmulatedDevice.Now.AddDays(-1)), "nvidia.rim_path", RejectionCode.Expired),
        ["a signer of debug firmware"] = (
            bench => bench.Rims(() => bench.Device.RimIssuer.Name = "CN=NVIDIA Reference Value L3 GH100 001 Debug Only, O=NVIDIA Corporation"),
            "nvidia.rim_path", RejectionCode.BadCertificate),
        ["a RIM file by another key"] = (
            bench => bench.Rims(rim => rim.ForeignSigner = EmulatedDevice.NewKey()), "nvidia.rim_signature", RejectionCode.BadSignature),
        ["a RIM file that was changed"] = (
            bench => bench.Rims(rim => rim.ChangeSigned = text => text.Replace("name=\"Measurement_", "name=\"Measurement", StringComparison.Ordinal)),
            "nvidia.rim_signature", RejectionCode.BadSignature),
        ["a revoked chip"] = (bench => bench.Ocsp(reason: 1), "nvidia.revocation", RejectionCode.Revoked),
        ["a chip that is held"] = (bench => bench.Ocsp(reason: 6), "nvidia.revocation", RejectionCode.Revoked),
        ["a chip that is unknown to its issuer"] = (bench => bench.Ocsp(reason: -1), "nvidia.revocation", RejectionCode.Untrusted),
        ["an answer by a stranger"] = (
            bench => bench.Ocsp(change: plan => plan.ForeignSigner = EmulatedDevice.NewKey()), "nvidia.revocation", RejectionCode.BadSignature),
        ["an answer by a delegate of another purpose"] = (
            bench => bench.Ocsp(change: plan => plan.Delegate = new DevicePlan("CN=Responder", EmulatedDevice.NewKey())),
            "nvidia.revocation", RejectionCode.BadSignature),
        ["an answer past its next update"] = (
            bench => bench.Ocsp(change: plan => plan.NextUpdate = EmulatedDevice.Now.AddHours(-1)), "nvidia.revocation", RejectionCode.Expired),
        ["an answer of tomorrow"] = (
            bench => bench.Ocsp(change: plan => plan.ThisUpdate = EmulatedDevice.Now.AddHours(1)), "nvidia.revocation", RejectionCode.NotYetValid),
        ["an answer without an end"] = (bench => bench.Ocsp(change: plan => plan.NextUpdate = null), "nvidia.revocation", RejectionCode.Malformed),
        ["an answer that is none"] = (bench => bench.Ocsp(change: plan => plan.ResponseStatus = 6), "nvidia.revocation", RejectionCode.Unsupported),
        ["an answer about another chip"] = (
            bench => bench.Device.Documents.Add(new OcspPlan(bench.Device.Provisioner, bench.Device.Identity, new EmulatedDevice().Brom).ToBytes()),
            "nvidia.revocation", RejectionCode.Mismatch),
        ["an answer to another nonce"] = (
            bench =>
            {
                bench.OcspNonce = Nonce;
                bench.Ocsp(change: plan => plan.Nonce = new byte[32]);
            },
            "nvidia.revocation", RejectionCode.Mismatch),
        ["an answer without the nonce"] = (
            bench =>
            {
                bench.OcspNonce = Nonce;
                bench.Ocsp();
            },
            "nvidia.revocation", RejectionCode.Mismatch),
        ["no answer where the policy demands one"] = (
            bench => bench.Nvidia(policy => policy with { RequireOcsp = true }), "nvidia.revocation", RejectionCode.Missing),
        ["a leaf that says debug"] = (bench => bench.Become("GB100", device => device.Flags = [0x10, 0, 0, 0]), "nvidia.debug", RejectionCode.Forbidden),
        ["a leaf that says recovery"] = (bench => bench.Become("GB100", device => device.Flags = [0x20, 0, 0, 0]), "nvidia.debug", RejectionCode.Forbidden),
        ["a leaf that says not secure"] = (bench => bench.Become("GB100", device => device.Flags = [0x40, 0, 0, 0]), "nvidia.debug", RejectionCode.Forbidden),
        ["a switch in the place of another"] = (
            bench => bench.Machine(machine => machine[1].Replace(22, new byte[8])), "nvidia.topology", RejectionCode.Mismatch),
        ["a switch that was left out"] = (bench => bench.Machine(machine => machine.RemoveAt(1)), "nvidia.topology", RejectionCode.Mismatch),
        ["a GPU that was left out"] = (bench => bench.Machine(machine => machine.RemoveAt(0)), "nvidia.topology", RejectionCode.Mismatch),
        ["a GPU that is linked with a switch elsewhere"] = (
            bench => bench.Machine(machine => machine[0].Replace(22, [.. machine[0].Opaque.Find(entry => entry.Type == 22).Value, 1, 2, 3, 4, 5, 6, 7, 8])),
            "nvidia.topology", RejectionCode.Mismatch),
        ["a GPU of another mode beside them"] = (
            bench => bench.Machine(machine => machine[0].Opaque.RemoveAll(entry => entry.Type is 21 or 22 or 36)), "nvidia.topology", RejectionCode.Mismatch),
        ["a switch that is not locked"] = (bench => bench.Machine(machine => machine[1].Replace(25, [0, 0])), "nvidia.mode", RejectionCode.Forbidden),
        ["a mode that nobody knows"] = (bench => bench.Device.Replace(36, [9, 0]), "nvidia.mode", RejectionCode.Unsupported),
        ["two modes"] = (bench => bench.Device.Replace(36, [2, 0]), "nvidia.mode", RejectionCode.Unsupported),
        ["a mode that the policy does not accept"] = (
            bench => bench.Nvidia(policy => policy with { Modes = [DeviceMode.MultiGpu] }), "nvidia.mode", RejectionCode.Forbidden),
        ["an architecture that the policy does not accept"] = (
            bench => bench.Nvidia(policy => policy with { Architectures = ["blackwell"] }), "nvidia.devices", RejectionCode.Forbidden),
        ["fewer GPUs than the policy demands"] = (bench => bench.Nvidia(policy => policy with { MinGpus = 2 }), "nvidia.devices", RejectionCode.Missing),
        ["a driver that is too old"] = (bench => bench.Nvidia(policy => policy with { MinDriver = "570.124.07" }), "nvidia.driver", RejectionCode.OutOfDate),
        ["a VBIOS that is too old"] = (bench => bench.Nvidia(policy => policy with { MinVbios = ["96.00.9F.00.02"] }), "nvidia.vbios", RejectionCode.OutOfDate),
        ["a VBIOS of another line"] = (bench => bench.Nvidia(policy => policy with { MinVbios = ["97.00.00.00.00"] }), "nvidia.vbios", RejectionCode.OutOfDate),
        ["a RIM file of another driver"] = (
            bench => bench.Rims(rim => rim.Version = rim.Version == "570.124.06" ? "570.124.07" : rim.Version), "nvidia.driver_rim", RejectionCode.Mismatch),
        ["two RIM files of one driver"] = (
            bench =>
            {
                var rim = bench.Device.Rim(vbios: false);
                rim.Lines.RemoveAt(0);
                bench.Device.Documents.Add(rim.ToBytes());
            },
            "nvidia.driver_rim", RejectionCode.Malformed),
        ["a RIM file of another VBIOS"] = (
            bench => bench.Rims(rim => rim.Version = rim.Version == "570.124.06" ? rim.Version : "96.00.9F.00.02"), "nvidia.vbios_rim", RejectionCode.Mismatch),
        ["a RIM file of another product"] = (
            bench => bench.Rims(rim => rim.Product = rim.Version == "570.124.06" ? rim.Product : "GB100"), "nvidia.vbios_rim", RejectionCode.Mismatch),
        ["a RIM file of a switch"] = (
            bench => bench.Rims(rim => rim.Edition = rim.Version == "570.124.06" ? rim.Edition : "SWITCH"), "nvidia.vbios_rim", RejectionCode.Mismatch),
        ["a RIM file that is too old"] = (
            bench => bench.Nvidia(policy => policy with { MaxRimAge = TimeSpan.FromDays(30) }), "nvidia.rim_age", RejectionCode.Expired),
        ["firmware that nobody published"] = (bench => bench.Device.Measurements[22] = new byte[48], "nvidia.measurements", RejectionCode.Mismatch),
        ["a measurement that is missing"] = (bench => bench.Device.Measurements.Remove(22), "nvidia.measurements", RejectionCode.Mismatch),
        ["an index in two RIM files"] = (
            bench => bench.Rims(rim => rim.Lines.AddRange(rim.Version == "570.124.06" ? [EmulatedDevice.Line(5, bench.Device.Measurements[6])] : [])),
            "nvidia.measurements", RejectionCode.Malformed),
        ["a security version below the minimum"] = (bench => bench.Minimum(svn: [6, 0], least: 7), "nvidia.min_svn", RejectionCode.OutOfDate),
        ["a minimum beyond what a version can be"] = (
            bench => bench.Minimum(svn: [255, 255], least: ulong.MaxValue), "nvidia.min_svn", RejectionCode.OutOfDate),
        ["a security version of another size"] = (bench => bench.Minimum(svn: [9, 0, 0, 0], least: 7), "nvidia.min_svn", RejectionCode.Mismatch),
        ["a security version of another kind"] = (bench => bench.Minimum(svn: [9, 0], least: 7, valueType: 0x83), "nvidia.min_svn", RejectionCode.Mismatch),
        ["a security version in the older layout"] = (
            bench => bench.Minimum(svn: [9, 0], least: 7, isVersioned: false), "nvidia.min_svn", RejectionCode.Mismatch),
        ["no security version"] = (bench => bench.Minimum(svn: null, least: 0), "nvidia.min_svn", RejectionCode.Mismatch),
        ["a minimum in two RIM files"] = (bench => bench.Minimum(svn: [9, 0], least: 7, inBoth: true), "nvidia.min_svn", RejectionCode.Malformed),
    };

    public static TheoryData<string> Names => [.. Faults.Keys];

    public static TheoryData<string> Chips => ["GH100", "GB100", "GB20X"];

    [Theory]
    [MemberData(nameof(Chips))]
    public void A_device_without_a_fault_is_accepted_with_all_its_firmware_as_published(string chip)
    {
        var bench = new Bench();
        bench.Become(chip, _ => { });
        var verdict = bench.Verify();
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        verdict.IsAccepted.ShouldBeTrue();
        foreach (var name in (FactorName[])
        [
            NvidiaFactors.Debug, NvidiaFactors.Measurements, NvidiaFactors.DriverRim, NvidiaFactors.VbiosRim, NvidiaFactors.Nonce,
        ])
            verdict.Factor(name).Outcome.ShouldBe(Outcome.Pass, verdict.ToText());
        verdict.Factor(NvidiaFactors.Revocation).Outcome.ShouldBe(Outcome.Skip);
        verdict.Factor(PolicyFactors.TestRoots).Outcome.ShouldBe(Outcome.Fail, "the roots are a test's");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void One_fault_is_refused_by_its_factor(string name)
    {
        var (fault, refusals, code) = Faults[name];
        var bench = new Bench();
        fault(bench);
        var verdict = bench.Verify();
        verdict.Refusals().ShouldBe(refusals.Split(' '), verdict.ToText());
        verdict.Failures.First().Code.ShouldBe(code);
    }

    [Fact]
    public void Every_factor_is_refused_by_some_fault_alone() =>
        Faults.Values.Select(fault => fault.Refusals).Distinct().ShouldBe(NvidiaFactors.All.Select(name => name.Value), ignoreOrder: true);

    [Fact]
    public void Machines_in_protected_PCIe_are_accepted_whole()
    {
        var bench = new Bench();
        bench.Machine(_ => { });
        var verdict = bench.Verify();
        verdict.IsAccepted.ShouldBeTrue(verdict.ToText());
        verdict.Factor(NvidiaFactors.Topology).Outcome.ShouldBe(Outcome.Pass);
    }

    [Fact]
    public void A_good_answer_passes_by_issuer_and_by_delegate_and_with_grace()
    {
        var bench = new Bench();
        bench.Ocsp(change: plan => plan.Hash = HashAlgorithmName.SHA1);
        bench.Verify().Factor(NvidiaFactors.Revocation).Outcome.ShouldBe(Outcome.Pass);

        bench = new Bench { OcspNonce = Nonce };
        bench.Ocsp(change: plan =>
        {
            plan.Nonce = Nonce;
            plan.Delegate = new DevicePlan("CN=Responder", EmulatedDevice.NewKey());
            plan.Delegate.MoreExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.9")], critical: true));
        });
        bench.Verify().Factor(NvidiaFactors.Revocation).Outcome.ShouldBe(Outcome.Pass);

        bench = new Bench();
        bench.Ocsp(change: plan => plan.NextUpdate = EmulatedDevice.Now.AddHours(-1));
        bench.Nvidia(policy => policy with { OcspGrace = TimeSpan.FromHours(2) });
        bench.Verify().Factor(NvidiaFactors.Revocation).Outcome.ShouldBe(Outcome.Pass);
    }

    [Fact]
    public void A_certificate_that_is_held_passes_where_the_policy_says_so_and_a_revoked_one_never()
    {
        foreach (var (reason, refusals) in ((int, string[])[])[(6, []), (1, ["nvidia.revocation"]), (8, ["nvidia.revocation"])])
        {
            var bench = new Bench();
            bench.Ocsp(reason: reason);
            bench.Nvidia(policy => policy with { AllowCertificateHold = true });
            bench.Verify().Refusals().ShouldBe(refusals);
        }
    }

    [Fact]
    public void All_answers_that_a_policy_demands_are_those_about_chip_provisioner_identity_and_the_signers_of_RIM_files()
    {
        var bench = new Bench();
        bench.Nvidia(policy => policy with { RequireOcsp = true });
        var device = bench.Device;
        (DevicePlan Subject, DevicePlan Issuer, DevicePlan Above)[] links =
        [
            (device.Brom, device.Provisioner, device.Identity), (device.Provisioner, device.Identity, device.Root), (device.Identity, device.Root, device.Root),
            (device.RimSigner, device.RimIssuer, device.RimCa), (device.RimIssuer, device.RimCa, device.RimRoot),
            (device.RimCa, device.RimRoot, device.RimRoot),
        ];
        foreach (var (subject, issuer, above) in links)
        {
            bench.Verify().Refusals().ShouldBe(["nvidia.revocation"]);
            device.Documents.Add(new OcspPlan(issuer, above, subject).ToBytes());
        }

        bench.Verify().Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_security_version_that_equals_the_minimum_passes()
    {
        var bench = new Bench();
        bench.Minimum(svn: [7, 0], least: 7);
        var verdict = bench.Verify();
        verdict.IsAccepted.ShouldBeTrue(verdict.ToText());
        verdict.Factor(NvidiaFactors.MinSvn).Outcome.ShouldBe(Outcome.Pass);
    }

    [Fact]
    public void The_decoders_measurement_counts_only_where_the_decoder_is_on()
    {
        var bench = new Bench();
        bench.Device.Measurements[36] = new byte[48];
        bench.Verify().Refusals().ShouldBe(["nvidia.measurements"]);
        bench.Device.Replace(11, [0x55]);
        bench.Verify().Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_debugged_device_passes_only_where_the_policy_says_it_is_dangerous()
    {
        var bench = new Bench();
        bench.Become("GB100", device => device.Flags = [0x10, 0, 0, 0]);
        bench.Policy = bench.Policy with { DangerousAllowDebug = true };
        bench.Verify().Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void The_second_root_is_not_trusted_by_its_name()
    {
        var bench = new Bench();
        bench.Device.Root = new DevicePlan("CN=NVIDIA Device Identity CA (New), O=NVIDIA", EmulatedDevice.NewKey()) { IsAuthority = true };
        bench.Verify().Refusals().ShouldBeEmpty("under a policy of the test");
        var verdict = NvidiaVerifier.Verify([bench.Device.ToEvidence()], Policy.Default, EmulatedDevice.Now).Verdict;
        verdict.Refusals().ShouldBe(["nvidia.path", "nvidia.rim_path"]);
        verdict.CodeOf(NvidiaFactors.Path).ShouldBe(RejectionCode.Untrusted);
    }

    [Fact]
    public void What_devices_share_is_said_once_and_the_first_that_differs_is_named()
    {
        var bench = new Bench();
        var other = bench.Other();
        other.Replace(20, new byte[48]);
        var factor = bench.Verify().Factor(NvidiaFactors.Fwid);
        factor.Found.ShouldStartWith("device[1]: ");
        Encoding.ASCII.GetString(Encoding.ASCII.GetBytes(factor.Found)).ShouldBe(factor.Found);
    }

    private static byte[] With(byte[] bytes, int offset, byte value)
    {
        var copy = bytes.ToArray();
        copy[offset] = value;
        return copy;
    }

    /// <summary>A device with the RIM files of its driver and VBIOS, and what is asked of it.</summary>
    internal sealed class Bench
    {
        private Action<RimPlan> changeRim = _ => { };
        private bool hasMade;

        public EmulatedDevice Device { get; private set; } = new();

        public List<EmulatedDevice> Others { get; } = [];

        public Policy Policy { get; set; } = Policy.Default;

        public byte[]? OcspNonce { get; set; }

        public bool HasRims { get; set; } = true;

        public void Become(string chip, Action<EmulatedDevice> change)
        {
            Device = new EmulatedDevice(chip);
            change(Device);
        }

        public void Rims(Action before) => before();

        public void Rims(Action<RimPlan> change) => changeRim = change;

        public void Nvidia(Func<NvidiaPolicy, NvidiaPolicy> change) => Policy = Policy with { Nvidia = change(Policy.Nvidia) };

        public void Ocsp(int? reason = null, Action<OcspPlan>? change = null)
        {
            var plan = new OcspPlan(Device.Provisioner, Device.Identity, Device.Brom) { Reason = reason };
            change?.Invoke(plan);
            Device.Documents.Add(plan.ToBytes());
        }

        public void Minimum(byte[]? svn, ulong least, int valueType = 0x87, bool isVersioned = true, bool inBoth = false)
        {
            Device.IsVersioned = isVersioned;
            if (svn is not null)
                Device.Opaque.Add((37, valueType, svn));
            changeRim = rim => rim.Lines.AddRange(inBoth || rim.Version == "570.124.06" ? [EmulatedDevice.Minimum(37, least)] : []);
        }

        /// <summary>Another device with the same documents.</summary>
        public EmulatedDevice Other()
        {
            var other = new EmulatedDevice();
            Others.Add(other);
            return other;
        }

        /// <summary>Two GPUs and two switches, each linked with all of the others; without RIM files.</summary>
        public void Machine(Action<List<EmulatedDevice>> change)
        {
            HasRims = false;
            EmulatedDevice[] gpus = [new(), new()];
            EmulatedDevice[] switches = [new("LS_10", isSwitch: true), new("LS_10", isSwitch: true)];
            foreach (var gpu in gpus)
            {
                gpu.Opaque.RemoveAll(entry => entry.Type is 21 or 36);
                gpu.Opaque.Add((21, 0x85, [0xAA]));
                gpu.Opaque.Add((22, 0x82, [.. switches.SelectMany(device => Convert.FromHexString(device.Id).Reverse()), .. new byte[8]]));
                gpu.Opaque.Add((36, 0x85, [2, 0]));
            }

            foreach (var device in switches)
                device.Opaque.Add((26, 0x82, [.. gpus.SelectMany(gpu => Convert.FromHexString(gpu.Id)), .. Enumerable.Repeat((byte)0xFF, 48), 9, 9]));
            List<EmulatedDevice> machine = [gpus[0], switches[0], gpus[1], switches[1]];
            change(machine);
            Device = machine[0];
            Others.AddRange(machine.Skip(1));
        }

        public Verdict Verify()
        {
            if (HasRims && !hasMade)
            {
                foreach (var vbios in (bool[])[false, true])
                {
                    var rim = Device.Rim(vbios);
                    changeRim(rim);
                    Device.Documents.Add(rim.ToBytes());
                }

                hasMade = true;
                foreach (var other in Others.Where(other => !ReferenceEquals(other, Device)))
                    other.Documents.AddRange(Device.Documents);
            }

            return Device.Verify(Policy, Nonce, OcspNonce, [.. Others]);
        }
    }
}
