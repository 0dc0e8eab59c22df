using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 2, for devices: what a factor expected and found is what is demanded and what is there, however it went.</summary>
public sealed class DeviceFoundTests
{
    // Name: expected | found; long values by their beginnings.
    private const string OfAGpu = """
        nvidia.report: an SPDM 1.1 report | 64 measurements
        nvidia.path: a path to the pinned NVIDIA Device Identity CA | a path to the pinned NVIDIA Device Identity CA
        nvidia.architecture: HOPPER | HOPPER, GH100
        nvidia.signature: signed by the leaf | signed by the leaf
        nvidia.opaque_data: entries, each once | 9 entries
        nvidia.fwid: bbf7… | bbf7…
        nvidia.nonce: 7837… | 7837…
        nvidia.distinct: each device once | each device once
        nvidia.rim: a RIM file | 2 of 2
        nvidia.rim_path: a path to the pinned NVIDIA CoRIM signing Root CA | a path to the pinned NVIDIA CoRIM signing Root CA
        nvidia.rim_signature: signed by the file's signer | signed by the file's signer
        nvidia.revocation:  | no OCSP answer was given
        nvidia.debug: firmware that cannot be debugged | the measurements of released firmware
        nvidia.topology:  | no device names another
        nvidia.mode: cc, multi-gpu, ppcie | cc
        nvidia.devices: at least 0 GPUs | 1 GPUs, 0 switches
        nvidia.driver:  | 570.124.06 (any is accepted)
        nvidia.vbios:  | 96.00.9F.00.01 (any is accepted)
        nvidia.driver_rim: the RIM file of GH100 570.124.06 | the RIM file of GH100 570.124.06
        nvidia.vbios_rim: the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001
        nvidia.rim_age:  | 2025-06-01T12:00:00Z (any is accepted)
        nvidia.measurements: measurements as published | 33 measurements as published
        nvidia.min_svn:  | no RIM file names one
        policy.test_roots: the vendors' roots | roots of a test
        """;

    [Fact]
    public void A_GPU_with_its_RIM_files_is_shown_whole() => string.Join('\n', new DeviceFaultTests.Bench().Verify().Said()).ShouldBe(OfAGpu);

    [Fact]
    public void A_GPU_of_which_nothing_else_is_given_is_shown_with_what_nobody_could_ask()
    {
        Differs(new DeviceFaultTests.Bench { HasRims = false }.Verify(), """
            nvidia.rim:  | no RIM file was given
            nvidia.rim_path:  | no RIM file was given
            nvidia.rim_signature:  | no RIM file was given
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.driver_rim:  | the RIM file of GH100 570.124.06 was not given
            nvidia.vbios_rim:  | the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 was not given
            nvidia.measurements:  | 64 measurements (no RIM file)
            """);
    }

    [Fact]
    public void A_switch_is_shown_as_one()
    {
        var device = new EmulatedDevice("LS_10", isSwitch: true);
        device.Documents.Add(device.Rim(vbios: true).ToBytes());
        Differs(device.Verify(), """
            nvidia.architecture: LS10 | LS10, LS_10
            nvidia.opaque_data: entries, each once | 3 entries
            nvidia.fwid:  | bbf7… in the leaf (the report names none)
            nvidia.nonce:  | 7837… (nothing expected)
            nvidia.rim: a RIM file | LS10 SWITCH 96.10.73.00.01
            nvidia.topology:  | 0 GPUs were not given
            nvidia.mode: a locked switch | locked
            nvidia.devices: at least 0 GPUs | 0 GPUs, 1 switches
            nvidia.vbios:  | 96.10.73.00.01 (any is accepted)
            nvidia.vbios_rim: the RIM file of LS10 96.10.73.00.01 | the RIM file of LS10 96.10.73.00.01
            nvidia.measurements: measurements as published | 13 measurements as published
            """);
        device.Replace(25, [0, 0]);
        device.Documents.Clear();
        Differs(device.Verify(), """
            nvidia.architecture: LS10 | LS10, LS_10
            nvidia.opaque_data: entries, each once | 3 entries
            nvidia.fwid:  | bbf7… in the leaf (the report names none)
            nvidia.nonce:  | 7837… (nothing expected)
            nvidia.rim:  | no RIM file was given
            nvidia.rim_path:  | no RIM file was given
            nvidia.rim_signature:  | no RIM file was given
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.topology:  | 0 GPUs were not given
            nvidia.mode: a locked switch | not locked
            nvidia.devices: at least 0 GPUs | 0 GPUs, 1 switches
            nvidia.vbios:  | 96.10.73.00.01 (any is accepted)
            nvidia.vbios_rim:  | the RIM file of LS10 96.10.73.00.01 was not given
            nvidia.measurements:  | 64 measurements (no RIM file)
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
            nvidia.architecture: BLACKWELL | BLACKWELL, GB100
            nvidia.opaque_data: entries, each once | 10 entries, versioned
            nvidia.debug: firmware that cannot be debugged | the leaf's flags say debug
            nvidia.mode: multi-gpu, ppcie | cc
            nvidia.devices: hopper | BLACKWELL
            nvidia.driver: at least 570.124.07 | 570.124.06
            nvidia.vbios: at least 97.00.9F.00.01, 96.00.9F.00.02 | 96.00.9F.00.01
            nvidia.driver_rim: the RIM file of GB100 570.124.06 | the RIM file of GB100 570.124.06
            nvidia.vbios_rim: the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001
            nvidia.min_svn: FSP_UCODE_SVN at least 7 | 6
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
            nvidia.architecture: BLACKWELL | BLACKWELL, GB100
            nvidia.opaque_data: entries, each once | 10 entries, versioned
            nvidia.debug: firmware that cannot be debugged | the leaf's flags say debug
            nvidia.mode: multi-gpu, ppcie | cc
            nvidia.devices: at least 1 GPUs | 1 GPUs, 0 switches
            nvidia.driver: at least 570.124.06 | 570.124.06
            nvidia.vbios: at least 97.00.9F.00.01, 96.00.9F.00.01 | 96.00.9F.00.01
            nvidia.driver_rim: the RIM file of GB100 570.124.06 | the RIM file of GB100 570.124.06
            nvidia.vbios_rim: the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | the RIM file of GB100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001
            nvidia.rim_age: young enough | 2025-06-01T12:00:00Z
            nvidia.min_svn: FSP_UCODE_SVN at least 7 | 6
            """);
    }

    [Fact]
    public void Of_several_the_first_that_differs_is_named()
    {
        var bench = new DeviceFaultTests.Bench();
        var other = bench.Other();
        other.Architecture = "BLACKWELL";
        other.Opaque.Clear();
        Differs(bench.Verify(), """
            nvidia.architecture: HOPPER | device[1]: BLACKWELL
            nvidia.opaque_data: opaque data | device[1]: nothing
            nvidia.fwid:  | device[1]: bbf7… in the leaf (the report names none)
            nvidia.mode:  | device[1]: the report does not say
            nvidia.devices: at least 0 GPUs | 2 GPUs, 0 switches
            nvidia.driver:  | device[0]: 570.124.06 (any is accepted)
            nvidia.vbios:  | device[0]: 96.00.9F.00.01 (any is accepted)
            nvidia.driver_rim: a version in the report | device[1]: none
            nvidia.vbios_rim: a version in the report | device[1]: none
            nvidia.rim_age:  | device[0]: 2025-06-01T12:00:00Z (any is accepted)
            nvidia.min_svn:  | device[0]: no RIM file names one
            """);
    }

    [Fact]
    public void Firmware_that_is_not_named_is_said_to_be_missing_where_it_is_demanded()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Device.Opaque.RemoveAll(entry => entry.Type is 3 or 6);
        Differs(bench.Verify(), """
            nvidia.opaque_data: entries, each once | 7 entries
            nvidia.driver:  | the report does not say
            nvidia.vbios:  | the report does not say
            nvidia.driver_rim: a version in the report | none
            nvidia.vbios_rim: a version in the report | none
            """);
        bench.Nvidia(policy => policy with { MinDriver = "570.124.06", MinVbios = ["96.00.9F.00.01"] });
        Differs(bench.Verify(), """
            nvidia.opaque_data: entries, each once | 7 entries
            nvidia.driver: at least 570.124.06 | no version in the report
            nvidia.vbios: at least 96.00.9F.00.01 | no version in the report
            nvidia.driver_rim: a version in the report | none
            nvidia.vbios_rim: a version in the report | none
            """);
        bench.Device.Opaque.Add((3, 0x86, "of today\0"u8.ToArray()));
        Differs(bench.Verify(), """
            nvidia.opaque_data: a text in entry 3 | something else
            nvidia.fwid:  | bbf7… in the leaf (the report names none)
            nvidia.mode:  | the report does not say
            nvidia.driver: at least 570.124.06 | no version in the report
            nvidia.vbios: at least 96.00.9F.00.01 | no version in the report
            nvidia.driver_rim: a version in the report | none
            nvidia.vbios_rim: a version in the report | none
            """);
    }

    [Fact]
    public void A_bundles_devices_have_the_RIM_files_that_its_policy_demands()
    {
        var device = new EmulatedDevice();
        Differs(InBundle(Policy.Default, device), """
            nvidia.nonce:  | 7837… (nothing expected)
            nvidia.rim:  | no RIM file was given
            nvidia.rim_path:  | no RIM file was given
            nvidia.rim_signature:  | no RIM file was given
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.driver_rim: the RIM file of GH100 570.124.06 | nothing
            nvidia.vbios_rim: the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 | nothing
            nvidia.measurements:  | 64 measurements (no RIM file)
            """);
        Differs(InBundle(Policy.Default with { Nvidia = new NvidiaPolicy { RequireRims = false } }, device), """
            nvidia.nonce:  | 7837… (nothing expected)
            nvidia.rim:  | no RIM file was given
            nvidia.rim_path:  | no RIM file was given
            nvidia.rim_signature:  | no RIM file was given
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.driver_rim:  | the RIM file of GH100 570.124.06 was not given
            nvidia.vbios_rim:  | the RIM file of GH100 96.00.9F.00.01, NV_GPU_VBIOS_1010_0200_882_96009F0001 was not given
            nvidia.measurements:  | 64 measurements (no RIM file)
            """);
    }

    [Fact]
    public void Of_RIM_files_of_other_versions_each_is_named_and_one_alone_is_held_against_the_device()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Rims(rim => rim.Version = rim.Version == "570.124.06" ? "570.124.07" : rim.Version);
        Differs(bench.Verify(), """
            nvidia.driver_rim: the RIM file of GH100 570.124.06 | GH100 GPU 570.124.07
            """);
        var more = bench.Device.Rim(vbios: false);
        more.Version = "570.124.08";
        bench.Device.Documents.Add(more.ToBytes());
        Differs(bench.Verify(), """
            nvidia.rim: a RIM file | 3 of 3
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.driver_rim: the RIM file of GH100 570.124.06 | GH100 GPU 570.124.07, GH100 GPU 570.124.08
            nvidia.measurements: measurements as published | 13 measurements as published
            """);
    }

    [Fact]
    public void Measurements_that_differ_are_named()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Device.Measurements[22] = new byte[48];
        bench.Device.Measurements.Remove(3);
        Differs(bench.Verify(), """
            nvidia.report: an SPDM 1.1 report | 63 measurements
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.measurements: 33 measurements as published | 2 others, at 21, 2
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Rims(rim => rim.Lines.Clear());
        Differs(bench.Verify(), """
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.measurements: measurements that count | none
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Rims(rim => rim.Lines.AddRange(rim.Version == "570.124.06" ? [EmulatedDevice.Line(5, bench.Device.Measurements[6])] : []));
        Differs(bench.Verify(), """
            nvidia.debug:  | neither certificate nor RIM files say
            nvidia.measurements: each index in one RIM file | in two: 5
            """);
    }

    [Fact]
    public void Minimums_are_named()
    {
        var bench = new DeviceFaultTests.Bench();
        bench.Minimum(svn: [7, 0], least: 7);
        Differs(bench.Verify(), """
            nvidia.opaque_data: entries, each once | 10 entries, versioned
            nvidia.min_svn: security versions as published | 1 security versions
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Minimum(svn: null, least: 0);
        Differs(bench.Verify(), """
            nvidia.opaque_data: entries, each once | 9 entries, versioned
            nvidia.min_svn: FSP_UCODE_SVN at least 0 | no such security version
            """);
        bench = new DeviceFaultTests.Bench();
        bench.Minimum(svn: [7, 0], least: 7, inBoth: true);
        Differs(bench.Verify(), """
            nvidia.opaque_data: entries, each once | 10 entries, versioned
            nvidia.min_svn: each minimum in one RIM file | one in two
            """);
    }

    [Fact]
    public void Machines_are_shown_whole_and_in_part()
    {
        Machine(_ => { }, inBundle: false).ShouldBe("""
            nvidia.topology: GPUs and switches that name each other | 2 GPUs and 2 switches that name each other
            nvidia.devices: at least 0 GPUs | 2 GPUs, 2 switches
            """);
        Machine(machine => machine.RemoveAll(device => device.IsSwitch), inBundle: false).ShouldBe("""
            nvidia.topology:  | 2 switches were not given
            nvidia.devices: at least 0 GPUs | 2 GPUs, 0 switches
            """);
        Machine(machine => machine.RemoveAll(device => !device.IsSwitch), inBundle: false).ShouldBe("""
            nvidia.topology:  | 2 GPUs were not given
            nvidia.devices: at least 0 GPUs | 0 GPUs, 2 switches
            """);
        Machine(machine => machine.RemoveAll(device => device.IsSwitch), inBundle: true).ShouldBe("""
            nvidia.topology: the 2 GPUs and 0 switches that are given, each linked with all of the others | GPUs name switch-1, switch-3; switches name none
            nvidia.devices: at least 0 GPUs | 2 GPUs, 0 switches
            """);
        Machine(machine => machine.RemoveAll(device => !device.IsSwitch), inBundle: true).ShouldBe("""
            nvidia.topology: the 0 GPUs and 2 switches that are given, each linked with all of the others | GPUs name none; switches name GPU-0, GPU-2
            nvidia.devices: at least 0 GPUs | 0 GPUs, 2 switches
            """);
        Machine(machine => machine[1].Replace(22, new byte[8]), inBundle: false).ShouldBe("""
            nvidia.topology: switch switch-1 | a switch that calls itself nothing
            nvidia.devices: at least 0 GPUs | 2 GPUs, 2 switches
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
            var said = string.Join('\n', verdict.Said().Where(line => line.Split(':')[0] is "nvidia.topology" or "nvidia.devices"));
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
    private static void Differs(Verdict verdict, string expected) => string.Join('\n', verdict.Said().Except(OfAGpu.Split('\n'))).ShouldBe(expected);
}
