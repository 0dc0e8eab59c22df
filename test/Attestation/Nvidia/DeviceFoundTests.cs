using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 2, for devices: what a factor expected and found is what is demanded and what is there, however it went.</summary>
public sealed class DeviceFoundTests
{
    // Outcome and name: expected | found; long values by their beginnings.
    private const string OfAGpu = """
        Pass nvidia.report: an SPDM 1.1 report | 64 measurements
        Pass nvidia.path: a path to the pinned NVIDIA Device Identity CA | a path to the pinned NVIDIA Device Identity CA
        Pass nvidia.architecture: HOPPER | HOPPER, GH100
        Pass nvidia.signature: signed by the leaf | signed by the leaf
        Pass nvidia.opaque_data: entries, each once | 9 entries
        Pass nvidia.fwid: bbf7… | bbf7…
        Pass nvidia.nonce: 7837… | 7837…
        Pass nvidia.distinct: each device once | each device once
        Pass nvidia.rim: a RIM file | 2 of 2
        Pass nvidia.rim_path: a path to the pinned NVIDIA CoRIM signing Root CA | a path to the pinned NVIDIA CoRIM signing Root CA
        Pass nvidia.rim_signature: signed by the file's signer | signed by the file's signer
        Skip nvidia.revocation:  | no OCSP answer was given
        Pass nvidia.debug: firmware that cannot be debugged | the measurements of released firmware
        Skip nvidia.topology:  | no device names another
        Pass nvidia.mode: cc, multi-gpu, ppcie | cc
        Pass nvidia.devices: at least 0 GPUs | 1 GPUs, 0 switches
        Skip nvidia.driver:  | 570.124.06 (any is accepted)
        Skip nvidia.vbios:  | 96.00.9F.00.01 (any is accepted)
        Pass nvidia.driver_rim: the RIM file of GH100 570.124.06 | the RIM file of GH100 570.124.06
        Pass nvidia.vbios_rim: the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001
        Skip nvidia.rim_age:  | 2025-06-01T12:00:00Z (any is accepted)
        Pass nvidia.measurements: measurements as published | 33 measurements as published
        Skip nvidia.min_svn:  | no RIM file names one
        Fail policy.test_roots: the vendors' roots | roots of a test
        """;

    [Fact]
    public void A_GPU_with_its_RIM_files_is_shown_whole() => string.Join('\n', Lines(new DeviceFaultTests.Bench().Verify())).ShouldBe(OfAGpu);

    [Fact]
    public void A_GPU_of_which_nothing_else_is_given_is_shown_with_what_nobody_could_ask()
    {
        var bench = new DeviceFaultTests.Bench { HasRims = false };
        Differs(bench.Verify(), """
            Skip nvidia.rim:  | no RIM file was given
            Skip nvidia.rim_path:  | no RIM file was given
            Skip nvidia.rim_signature:  | no RIM file was given
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Skip nvidia.driver_rim:  | the RIM file of GH100 570.124.06 was not given
            Skip nvidia.vbios_rim:  | the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 was not given
            Skip nvidia.measurements:  | 64 measurements (no RIM file)
            """);
        bench.Device.Opaque.RemoveAll(entry => entry.Type is 3 or 6);
        Differs(bench.Verify(), """
            Pass nvidia.opaque_data: entries, each once | 7 entries
            Skip nvidia.rim:  | no RIM file was given
            Skip nvidia.rim_path:  | no RIM file was given
            Skip nvidia.rim_signature:  | no RIM file was given
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Skip nvidia.driver:  | the report does not say
            Skip nvidia.vbios:  | the report does not say
            Skip nvidia.driver_rim:  | the report does not say
            Skip nvidia.vbios_rim:  | the report does not say
            Skip nvidia.measurements:  | 64 measurements (no RIM file)
            """);
    }

    [Fact]
    public void A_switch_is_shown_as_one()
    {
        var device = new EmulatedDevice("LS_10", isSwitch: true);
        device.Documents.Add(device.Rim(vbios: true).ToBytes());
        Differs(device.Verify(), """
            Pass nvidia.architecture: LS10 | LS10, LS_10
            Pass nvidia.opaque_data: entries, each once | 3 entries
            Skip nvidia.fwid:  | bbf7… in the leaf (the report names none)
            Skip nvidia.nonce:  | 7837… (nothing expected)
            Pass nvidia.rim: a RIM file | LS10 SWITCH 96.10.73.00.01
            Skip nvidia.topology:  | 0 GPUs were not given
            Pass nvidia.mode: a locked switch | locked
            Pass nvidia.devices: at least 0 GPUs | 0 GPUs, 1 switches
            Skip nvidia.vbios:  | 96.10.73.00.01 (any is accepted)
            Pass nvidia.vbios_rim: the RIM file of LS10 96.10.73.00.01 | the RIM file of LS10 96.10.73.00.01
            Pass nvidia.measurements: measurements as published | 13 measurements as published
            """);
        device.Replace(25, [0, 0]);
        device.Documents.Clear();
        Differs(device.Verify(), """
            Pass nvidia.architecture: LS10 | LS10, LS_10
            Pass nvidia.opaque_data: entries, each once | 3 entries
            Skip nvidia.fwid:  | bbf7… in the leaf (the report names none)
            Skip nvidia.nonce:  | 7837… (nothing expected)
            Skip nvidia.rim:  | no RIM file was given
            Skip nvidia.rim_path:  | no RIM file was given
            Skip nvidia.rim_signature:  | no RIM file was given
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Skip nvidia.topology:  | 0 GPUs were not given
            Fail nvidia.mode: a locked switch | not locked
            Pass nvidia.devices: at least 0 GPUs | 0 GPUs, 1 switches
            Skip nvidia.vbios:  | 96.10.73.00.01 (any is accepted)
            Skip nvidia.vbios_rim:  | the RIM file of LS10 96.10.73.00.01 was not given
            Skip nvidia.measurements:  | 64 measurements (no RIM file)
            """);
    }

    [Fact]
    public void A_GPU_is_shown_beside_what_is_demanded()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Become("GB100", device => device.Flags = [0x10, 0, 0, 0]);
        bench.Minimum(svn: [6, 0], least: 7);
        bench.Nvidia(policy => policy with
        {
            MinGpus = 2,
            Architectures = ["hopper"],
            Modes = [DeviceMode.MultiGpu, DeviceMode.ProtectedPcie],
            MinDriver = "570.124.07",
            MinVbios = ["97.00.9F.00.01", "96.00.9F.00.02"],
        });
        Differs(bench.Verify(), """
            Pass nvidia.architecture: BLACKWELL | BLACKWELL, GB100
            Pass nvidia.opaque_data: entries, each once | 10 entries, versioned
            Fail nvidia.debug: firmware that cannot be debugged | the leaf's flags say debug
            Fail nvidia.mode: multi-gpu, ppcie | cc
            Fail nvidia.devices: hopper | BLACKWELL
            Fail nvidia.driver: at least 570.124.07 | 570.124.06
            Fail nvidia.vbios: at least 97.00.9F.00.01, 96.00.9F.00.02 | 96.00.9F.00.01
            Pass nvidia.driver_rim: the RIM file of GB100 570.124.06 | the RIM file of GB100 570.124.06
            Pass nvidia.vbios_rim: the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001
            Fail nvidia.min_svn: FSP_UCODE_SVN at least 7 | 6
            """);
        bench.Policy = bench.Policy with { DangerousAllowDebug = true };
        bench.Nvidia(policy => policy with
        {
            MinGpus = 1,
            Architectures = ["blackwell"],
            MinDriver = "570.124.06",
            MinVbios = ["97.00.9F.00.01", "96.00.9F.00.01"],
            MaxRimAge = TimeSpan.FromDays(400),
        });
        Differs(bench.Verify(), """
            Pass nvidia.architecture: BLACKWELL | BLACKWELL, GB100
            Pass nvidia.opaque_data: entries, each once | 10 entries, versioned
            Pass nvidia.debug: firmware that cannot be debugged | the leaf's flags say debug
            Fail nvidia.mode: multi-gpu, ppcie | cc
            Pass nvidia.devices: at least 1 GPUs | 1 GPUs, 0 switches
            Pass nvidia.driver: at least 570.124.06 | 570.124.06
            Pass nvidia.vbios: at least 97.00.9F.00.01, 96.00.9F.00.01 | 96.00.9F.00.01
            Pass nvidia.driver_rim: the RIM file of GB100 570.124.06 | the RIM file of GB100 570.124.06
            Pass nvidia.vbios_rim: the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001
            Pass nvidia.rim_age: young enough | 2025-06-01T12:00:00Z
            Fail nvidia.min_svn: FSP_UCODE_SVN at least 7 | 6
            """);
    }

    [Fact]
    public void Firmware_that_cannot_be_debugged_is_said_by_the_leaf()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Become("GB100", _ => { });
        Differs(bench.Verify(), """
            Pass nvidia.architecture: BLACKWELL | BLACKWELL, GB100
            Pass nvidia.debug: firmware that cannot be debugged | firmware that cannot be debugged
            Pass nvidia.driver_rim: the RIM file of GB100 570.124.06 | the RIM file of GB100 570.124.06
            Pass nvidia.vbios_rim: the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001
            """);
    }

    [Fact]
    public void A_path_of_other_names_and_an_extension_of_another_size_are_shown()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Device.Provisioner.Name = "CN=NVIDIA GB100 Provisioner ICA 1, O=NVIDIA Corporation";
        bench.Device.Fwid = new byte[47];
        Differs(bench.Verify(), """
            Fail nvidia.path: GH100 A01 GSP BROM, a provisioner of it, NVIDIA GH100 Identity | GH100 A01 GSP BROM, NVIDIA GB100 Provisioner ICA 1, NVIDIA GH100 Identity
            Fail nvidia.fwid: an FWID of SHA-384 | another
            """);
    }

    [Fact]
    public void A_device_or_a_key_that_is_there_twice_is_named()
    {
        var bench = new DeviceFaultTests.Bench { HasRims = false };
        bench.Others.Add(bench.Device);
        var id = bench.Device.Id;
        Distinct(bench).ShouldBe($"Fail nvidia.distinct: each device once | {id} twice");
        bench = new DeviceFaultTests.Bench { HasRims = false };
        bench.Other().Leaf.Key = bench.Device.Leaf.Key;
        Distinct(bench).ShouldBe("Fail nvidia.distinct: each device once | one key twice");

        static string Distinct(DeviceFaultTests.Bench bench) =>
            Lines(bench.Verify()).Single(line => line.Contains("nvidia.distinct", StringComparison.Ordinal));
    }

    [Fact]
    public void Of_several_the_first_that_differs_is_named()
    {
        var bench = new DeviceFaultTests.Bench();
        var other = bench.Other();
        other.Architecture = "BLACKWELL";
        other.Opaque.Clear();
        Differs(bench.Verify(), """
            Fail nvidia.architecture: HOPPER | device[1]: BLACKWELL
            Fail nvidia.opaque_data: opaque data | device[1]: nothing
            Skip nvidia.fwid:  | device[1]: bbf7… in the leaf (the report names none)
            Skip nvidia.mode:  | device[1]: the report does not say
            Pass nvidia.devices: at least 0 GPUs | 2 GPUs, 0 switches
            Skip nvidia.driver:  | device[0]: 570.124.06 (any is accepted)
            Skip nvidia.vbios:  | device[0]: 96.00.9F.00.01 (any is accepted)
            Fail nvidia.driver_rim: a version in the report | device[1]: none
            Fail nvidia.vbios_rim: a version in the report | device[1]: none
            Skip nvidia.rim_age:  | device[0]: 2025-06-01T12:00:00Z (any is accepted)
            Skip nvidia.min_svn:  | device[0]: no RIM file names one
            """);
    }

    [Fact]
    public void Firmware_that_is_not_named_is_said_to_be_missing_where_it_is_demanded()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Device.Opaque.RemoveAll(entry => entry.Type is 3 or 6);
        Differs(bench.Verify(), """
            Pass nvidia.opaque_data: entries, each once | 7 entries
            Skip nvidia.driver:  | the report does not say
            Skip nvidia.vbios:  | the report does not say
            Fail nvidia.driver_rim: a version in the report | none
            Fail nvidia.vbios_rim: a version in the report | none
            """);
        bench.Nvidia(policy => policy with { MinDriver = "570.124.06", MinVbios = ["96.00.9F.00.01"] });
        Differs(bench.Verify(), """
            Pass nvidia.opaque_data: entries, each once | 7 entries
            Fail nvidia.driver: at least 570.124.06 | no version in the report
            Fail nvidia.vbios: at least 96.00.9F.00.01 | no version in the report
            Fail nvidia.driver_rim: a version in the report | none
            Fail nvidia.vbios_rim: a version in the report | none
            """);
        bench.Device.Opaque.Add((3, 0x86, "r570\0"u8.ToArray()));
        Differs(bench.Verify(), """
            Pass nvidia.opaque_data: entries, each once | 8 entries
            Fail nvidia.driver: at least 570.124.06 | r570
            Fail nvidia.vbios: at least 96.00.9F.00.01 | no version in the report
            Fail nvidia.driver_rim: the RIM file of GH100 r570 | GH100 GPU 570.124.06
            Fail nvidia.vbios_rim: a version in the report | none
            """);
    }

    [Fact]
    public void A_bundles_devices_have_the_RIM_files_that_its_policy_demands()
    {
        var device = new EmulatedDevice();
        Differs(InBundle(Policy.Default, device), """
            Skip nvidia.nonce:  | 7837… (nothing expected)
            Skip nvidia.rim:  | no RIM file was given
            Skip nvidia.rim_path:  | no RIM file was given
            Skip nvidia.rim_signature:  | no RIM file was given
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Fail nvidia.driver_rim: the RIM file of GH100 570.124.06 | nothing
            Fail nvidia.vbios_rim: the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | nothing
            Skip nvidia.measurements:  | 64 measurements (no RIM file)
            """);
        Differs(InBundle(Policy.Default with { Nvidia = new NvidiaPolicy { RequireRims = false } }, device), """
            Skip nvidia.nonce:  | 7837… (nothing expected)
            Skip nvidia.rim:  | no RIM file was given
            Skip nvidia.rim_path:  | no RIM file was given
            Skip nvidia.rim_signature:  | no RIM file was given
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Skip nvidia.driver_rim:  | the RIM file of GH100 570.124.06 was not given
            Skip nvidia.vbios_rim:  | the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 was not given
            Skip nvidia.measurements:  | 64 measurements (no RIM file)
            """);
    }

    [Fact]
    public void Of_RIM_files_of_other_versions_each_is_named_and_one_alone_is_held_against_the_device()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Rims(rim => rim.Version = rim.Version == "570.124.06" ? "570.124.07" : rim.Version);
        Differs(bench.Verify(), """
            Fail nvidia.driver_rim: the RIM file of GH100 570.124.06 | GH100 GPU 570.124.07
            """);
        var more = bench.Device.Rim(vbios: false);
        more.Version = "570.124.08";
        bench.Device.Documents.Add(more.ToBytes());
        Differs(bench.Verify(), """
            Pass nvidia.rim: a RIM file | 3 of 3
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Fail nvidia.driver_rim: the RIM file of GH100 570.124.06 | GH100 GPU 570.124.07, GH100 GPU 570.124.08
            Pass nvidia.measurements: measurements as published | 13 measurements as published
            """);
        bench = new DeviceFaultTests.Bench();
        more = bench.Device.Rim(vbios: false);
        more.Version = "570.124.08";
        bench.Device.Documents.Add(more.ToBytes());
        Differs(bench.Verify(), """
            Pass nvidia.rim: a RIM file | 3 of 3
            """);
    }

    [Fact]
    public void Measurements_that_differ_are_named()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Device.Measurements[22] = new byte[48];
        bench.Device.Measurements.Remove(3);
        Differs(bench.Verify(), """
            Pass nvidia.report: an SPDM 1.1 report | 63 measurements
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Fail nvidia.measurements: 33 measurements as published | 2 others, at 21, 2
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Rims(rim => rim.Lines.Clear());
        Differs(bench.Verify(), """
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Fail nvidia.measurements: measurements that count | none
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Rims(rim => rim.Lines.AddRange(rim.Version == "570.124.06" ? [EmulatedDevice.Line(5, bench.Device.Measurements[6])] : []));
        Differs(bench.Verify(), """
            Skip nvidia.debug:  | neither certificate nor RIM files say
            Fail nvidia.measurements: each index in one RIM file | in two: 5
            """);
    }

    [Fact]
    public void Minimums_are_named()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Minimum(svn: [7, 0], least: 7);
        Differs(bench.Verify(), """
            Pass nvidia.opaque_data: entries, each once | 10 entries, versioned
            Pass nvidia.min_svn: security versions as published | 1 security versions
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Minimum(svn: null, least: 0);
        Differs(bench.Verify(), """
            Pass nvidia.opaque_data: entries, each once | 9 entries, versioned
            Fail nvidia.min_svn: FSP_UCODE_SVN at least 0 | no such security version
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Minimum(svn: [7, 0], least: 7, inBoth: true);
        Differs(bench.Verify(), """
            Pass nvidia.opaque_data: entries, each once | 10 entries, versioned
            Fail nvidia.min_svn: each minimum in one RIM file | one in two
            """);
        foreach (var (type, name) in new[] { (37, "OTHER"), (38, "FSP_UCODE_SVN") })
        {
            bench = new DeviceFaultTests.Bench();
            bench.Minimum(svn: [7, 0], least: 7);
            bench.Rims(rim => rim.Lines.Add(rim.Version == "570.124.06" ? EmulatedDevice.Minimum(37, 7) : EmulatedDevice.Minimum(type, 7, name)));
            bench.Verify().Factor(NvidiaFactors.MinSvn).Found.ShouldBe("one in two");
        }
    }

    [Fact]
    public void Machines_are_shown_whole_and_in_part()
    {
        Machine(_ => { }, inBundle: false).ShouldBe("""
            Pass nvidia.topology: GPUs and switches that name each other | 2 GPUs and 2 switches that name each other
            Pass nvidia.devices: at least 0 GPUs | 2 GPUs, 2 switches
            """);
        Machine(machine => machine.RemoveAll(device => device.IsSwitch), inBundle: false).ShouldBe("""
            Skip nvidia.topology:  | 2 switches were not given
            Pass nvidia.devices: at least 0 GPUs | 2 GPUs, 0 switches
            """);
        Machine(machine => machine.RemoveAll(device => !device.IsSwitch), inBundle: false).ShouldBe("""
            Skip nvidia.topology:  | 2 GPUs were not given
            Pass nvidia.devices: at least 0 GPUs | 0 GPUs, 2 switches
            """);
        Machine(machine => machine.RemoveAll(device => device.IsSwitch), inBundle: true).ShouldBe("""
            Fail nvidia.topology: the 2 GPUs and 0 switches that are given, each linked with all of the others | GPUs name switch-1, switch-3; switches name none
            Pass nvidia.devices: at least 0 GPUs | 2 GPUs, 0 switches
            """);
        Machine(machine => machine.RemoveAll(device => !device.IsSwitch), inBundle: true).ShouldBe("""
            Fail nvidia.topology: the 0 GPUs and 2 switches that are given, each linked with all of the others | GPUs name none; switches name GPU-0, GPU-2
            Pass nvidia.devices: at least 0 GPUs | 0 GPUs, 2 switches
            """);
        Machine(
            machine =>
            {
                machine.RemoveAt(3);
                foreach (var gpu in machine.Where(device => !device.IsSwitch))
                    gpu.Replace(22, [.. Convert.FromHexString(machine[1].Id).Reverse(), .. new byte[8]]);
            },
            inBundle: true).ShouldBe("""
            Pass nvidia.topology: GPUs and switches that name each other | 2 GPUs and 1 switches that name each other
            Pass nvidia.devices: at least 0 GPUs | 2 GPUs, 1 switches
            """);
        Machine(machine => machine[1].Replace(22, new byte[8]), inBundle: false).ShouldBe("""
            Fail nvidia.topology: switch switch-1 | a switch that calls itself nothing
            Pass nvidia.devices: at least 0 GPUs | 2 GPUs, 2 switches
            """);

        static string Machine(Action<List<EmulatedDevice>> change, bool inBundle)
        {
            var bench = new DeviceFaultTests.Bench();
            var known = new List<(string Id, string Name)>();
            bench.Machine(whole =>
            {
                known.AddRange(whole.Select((device, index) => (device.Id, $"{(device.IsSwitch ? "switch" : "GPU")}-{index}")));
                change(whole);
            });
            EmulatedDevice[] machine = [bench.Device, .. bench.Others];
            var verdict = inBundle ? InBundle(Policy.Default with { Nvidia = new NvidiaPolicy { RequireRims = false } }, machine) : bench.Verify();
            var said = string.Join('\n', Lines(verdict).Where(line => line.Split(' ')[1] is "nvidia.topology:" or "nvidia.devices:"));
            return known.Aggregate(said, (text, device) => text.Replace(device.Id, device.Name, StringComparison.Ordinal));
        }
    }

    private static Verdict InBundle(Policy policy, params EmulatedDevice[] devices)
    {
        var trusting = devices[0].Trusting(policy);
        var findings = trusting.Begin(EmulatedDevice.Now);
        NvidiaVerifier.Check([.. devices.Select(device => device.ToEvidence())], trusting, findings, isRaw: false, nonce: null);
        return findings.ToVerdict();
    }

    // What a verdict says that the other does not.
    private static void Differs(Verdict verdict, string expected) => string.Join('\n', Lines(verdict).Except(OfAGpu.Split('\n'))).ShouldBe(expected);

    private static IEnumerable<string> Lines(Verdict verdict) => verdict.Factors.Zip(verdict.Said(), (factor, said) => $"{factor.Outcome} {said}");
}
