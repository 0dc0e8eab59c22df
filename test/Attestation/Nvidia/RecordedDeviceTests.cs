using System.Text.Json;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>Every recorded device of the shared vectors: what is read of it is what an independent checker read, and exactly these factors refuse it.</summary>
public sealed class RecordedDeviceTests
{
    private static readonly string[] WithChain =
    [
        "01-hopper-550.90.07", "02-hopper-535.86.09-with-rims", "03-hopper-580.159.03", "04-blackwell-gb100-575.32", "05-hopper-ppcie-8gpu-590.12",
        "06-nvswitch-ppcie-4x", "07-hopper-invalid-signature", "08-hopper-cert-hold-570.86.10", "09-atoma-8xhopper-570.124.06", "10-nvswitch-ls10-with-rim",
        "12-blackwell-rtxpro6000-595.58.03-v81", "13-blackwell-gb100-fsp-cmw",
    ];

    // The factors that refuse, and those that nobody could ask: of the RIM files and the OCSP answers there are none here.
    private static readonly Dictionary<string, (string Refusals, string Skipped)> Verdicts = new()
    {
        ["02-hopper-535.86.09-with-rims"] = ("", "nvidia.fwid"),
        ["06-nvswitch-ppcie-4x"] = ("", "nvidia.fwid"),
        ["07-hopper-invalid-signature"] = ("nvidia.signature nvidia.fwid", ""),
        ["10-nvswitch-ls10-with-rim"] = ("", "nvidia.fwid"),
        ["13-blackwell-gb100-fsp-cmw"] = ("nvidia.debug", "nvidia.opaque_data nvidia.fwid nvidia.mode"),
    };

    private static readonly FactorName[] AlwaysPassing =
        [NvidiaFactors.Report, NvidiaFactors.Path, NvidiaFactors.Architecture, NvidiaFactors.Signature, NvidiaFactors.Nonce, NvidiaFactors.Distinct];

    public static TheoryData<string> Sets => [.. WithChain];

    [Theory]
    [MemberData(nameof(Sets))]
    public void A_recorded_device_has_the_expected_verdict(string set)
    {
        var devices = Devices.Of($"gpu/{set}");
        var nonce = Devices.Facts($"gpu/{set}")[0].Hex("nonce");
        var (refusals, skipped) = Verdicts.GetValueOrDefault(set, ("", ""));
        var verdict = Devices.Verify(devices, nonce: nonce);
        verdict.Refusals().ShouldBe(Names(refusals), verdict.ToText());
        foreach (var name in AlwaysPassing.Where(name => !refusals.Contains(name.Value, StringComparison.Ordinal)))
            verdict.Factor(name).Outcome.ShouldBe(Outcome.Pass, verdict.ToText());
        foreach (var name in (FactorName[])[NvidiaFactors.OpaqueData, NvidiaFactors.Fwid, NvidiaFactors.Mode])
            (verdict.Factor(name).Outcome == Outcome.Skip).ShouldBe(Names(skipped).Contains(name.Value), name.Value);
        var expected = Devices.Expected($"gpu/{set}");
        (expected.TryGetProperty("expected", out var text) ? text : expected.GetProperty("verdict")).GetString()!
            .ShouldStartWith(refusals.Contains("signature", StringComparison.Ordinal) ? "reject" : "evidence authentic");
        foreach (var (facts, index) in Devices.Facts($"gpu/{set}").Select((facts, index) => (facts, index)))
        {
            var one = Devices.Verify([devices[index]], nonce: nonce);
            (one.Factor(NvidiaFactors.Signature).Outcome == Outcome.Pass).ShouldBe(facts.GetProperty("signature_valid").GetBoolean());
            (one.Factor(NvidiaFactors.Path).Outcome == Outcome.Pass).ShouldBe(facts.GetProperty("cert_chain_signatures_valid").GetBoolean());
            one.Factor(NvidiaFactors.Fwid).Outcome.ShouldBe(facts.GetProperty("fwid_match").ValueKind switch
            {
                JsonValueKind.True => Outcome.Pass,
                JsonValueKind.False => Outcome.Fail,
                _ => Outcome.Skip,
            });
        }
    }

    [Fact]
    public void No_recorded_set_is_left_out() =>
        Vectors.HaveRows("gpu", [.. WithChain, "11-hopper-chain-negatives", "14-nvdaod-transcript-no-chain"]);

    [Theory]
    [MemberData(nameof(Sets))]
    [InlineData("14-nvdaod-transcript-no-chain")]
    public void What_is_read_of_a_report_is_what_an_independent_checker_read(string set)
    {
        var all = Devices.Facts($"gpu/{set}");
        IReadOnlyList<ReadOnlyMemory<byte>> reports = File.Exists(Vectors.Locate($"gpu/{set}/report.bin"))
            ? [Evidence.Bytes($"gpu/{set}/report.bin")]
            : [.. Devices.Of($"gpu/{set}").Select(device => device.Report)];
        reports.Count.ShouldBe(all.Count);
        foreach (var (bytes, facts) in reports.Zip(all))
        {
            MeasurementReport.TryParse(bytes.Span, out var report).ShouldBeNull();
            report!.Nonce.ToArray().ShouldBe(facts.Hex("nonce"));
            var count = facts.TryGetProperty("measurement_blocks", out var blocks)
                ? blocks.GetInt32()
                : facts.GetProperty("spdm").GetProperty("number_of_blocks").GetInt32();
            report.Measurements.Count.ShouldBe(count);
            HasMeasurements(report, set, facts);
            if (report.OpaqueBytes.IsEmpty)
                continue;
            var isSwitch = set.Contains("nvswitch", StringComparison.Ordinal);
            OpaqueData.TryParse(report.OpaqueBytes, isSwitch, out var data).ShouldBeNull();
            HasEntries(data!, facts);
        }
    }

    [Fact]
    public void Versioned_opaque_data_is_read_and_a_report_without_a_chain_is_refused_for_it()
    {
        const string set = "gpu/14-nvdaod-transcript-no-chain";
        MeasurementReport.TryParse(Evidence.Bytes($"{set}/report.bin"), out var report).ShouldBeNull();
        OpaqueData.TryParse(report!.OpaqueBytes, isSwitch: false, out var data).ShouldBeNull();
        data!.IsVersioned.ShouldBeTrue();
        (data.DriverVersion, data.VbiosVersion, data.Mode).ShouldBe(("602.21", "96.00.D9.00.0F", DeviceMode.Cc));
        (data.Svn(37), data.Svn(36), data.Svn(38)).ShouldBe((0, null, null));
        data.VbiosRimId.ShouldBe("NV_GPU_VBIOS_G520_0201_884_9600D9000F");
        var verdict = Devices.Verify([new NvidiaEvidence { Report = Evidence.Bytes($"{set}/report.bin"), Certificates = default }]);
        Evidence.Only(verdict, NvidiaFactors.Path, RejectionCode.Malformed);
    }

    [Fact]
    public void A_report_of_the_FSP_says_nothing_of_driver_and_VBIOS_and_a_policy_that_pins_them_refuses_it()
    {
        var device = Devices.Of(Devices.Fsp);
        var debugging = Policy.Default with { DangerousAllowDebug = true };
        var verdict = Devices.Verify(device, policy: debugging);
        verdict.IsAccepted.ShouldBeTrue(verdict.ToText());
        foreach (var name in (FactorName[])
        [
            NvidiaFactors.Driver, NvidiaFactors.Vbios, NvidiaFactors.DriverRim, NvidiaFactors.VbiosRim, NvidiaFactors.Measurements,
        ])
            verdict.Factor(name).Outcome.ShouldBe(Outcome.Skip);
        Evidence.Only(
            Devices.Verify(device, policy: debugging with { Nvidia = new NvidiaPolicy { MinDriver = "570.0" } }), NvidiaFactors.Driver, RejectionCode.Missing);
        Evidence.Only(
            Devices.Verify(device, policy: debugging with { Nvidia = new NvidiaPolicy { MinVbios = ["97.00.00.00.00"] } }),
            NvidiaFactors.Vbios, RejectionCode.Missing);
    }

    private static void HasMeasurements(MeasurementReport report, string set, JsonElement facts)
    {
        if (facts.TryGetProperty("measurements", out var list) && list.ValueKind == JsonValueKind.Array)
        {
            report.Measurements.Select(block => (block.Index, block.ValueType, Hex(block.Value))).ShouldBe(list.EnumerateArray().Select(item => (
                item.GetProperty("index").GetInt32(), Convert.ToByte(item.String("dmtf_type"), 16), item.String("value"))));
        }
        else if (Devices.Expected($"gpu/{set}").TryGetProperty("measurements", out var named))
        {
            report.Measurements.Select(block => ($"{block.Index}", (int)block.ValueType, Hex(block.Value))).ShouldBe(named.EnumerateObject().Select(item => (
                item.Name, item.Value.GetProperty("type").GetInt32(), item.Value.String("value"))));
        }
    }

    private static void HasEntries(OpaqueData data, JsonElement facts)
    {
        if (facts.TryGetProperty("opaque_data", out var opaque))
        {
            data.IsVersioned.ShouldBe(opaque.String("format") == "versioned");
            var expected = opaque.GetProperty("entries").EnumerateArray().ToList();
            data.Entries.Select(entry => (entry.Type, entry.ValueType, entry.Value.Length)).ShouldBe(expected.Select(item => (
                item.GetProperty("type").GetInt32(), item.TryGetProperty("value_type", out var type) ? Convert.ToInt32(type.GetString(), 16) : (int?)null,
                item.GetProperty("size").GetInt32())));
            foreach (var (entry, item) in data.Entries.Zip(expected))
                Hex(entry.Value).ShouldStartWith(item.String("value").Split("...")[0]); // long ones are cut
            return;
        }

        var named = facts.GetProperty("opaque");
        Is("DRIVER_VERSION", data.DriverVersion);
        Is("PROJECT", data.Project);
        Is("PROJECT_SKU", data.ProjectSku);
        Is("CHIP_SKU", data.ChipSku);
        if (facts.TryGetProperty("vbios_version", out var vbios))
            data.VbiosVersion.ShouldBe(vbios.GetString());
        if (facts.TryGetProperty("vbios_rim_id", out var id))
            data.VbiosRimId.ShouldBe(id.GetString());
        (data.Fwid is { } fwid ? Hex(fwid) : null).ShouldBe(facts.GetProperty("fwid_in_report").GetString());
        if (named.TryGetProperty("PROTECTED_PCIE_STATUS", out var status))
            data.Mode.ShouldBe(status.GetString() == "aa" ? DeviceMode.ProtectedPcie : DeviceMode.Cc);

        void Is(string name, string? found)
        {
            if (named.TryGetProperty(name, out var value))
                (found ?? "").ShouldBe(value.GetString());
        }
    }

    private static string Hex(ReadOnlyMemory<byte> bytes) => Convert.ToHexStringLower(bytes.Span);

    private static string[] Names(string names) => names.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
