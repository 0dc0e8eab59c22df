using System.Text.Json;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary><c>spec/tools/devices.mjs</c> reads every recorded report and RIM file as we do, and finds the same signatures good.</summary>
public sealed class SecondReadingTests
{
    public static TheoryData<string> Reports =>
    [
        Devices.Hopper, Devices.WithRims, Devices.Hopper580, Devices.Blackwell, Devices.ProtectedPcie, Devices.Switches, "gpu/07-hopper-invalid-signature",
        "gpu/08-hopper-cert-hold-570.86.10", Devices.Atoma, Devices.Switch, Devices.RtxPro, Devices.Fsp,
    ];

    public static TheoryData<string> RimFiles =>
    [
        "rim/driver_GH100_550.144.03.xml", "rim/driver_GH100_550.144.03_bad_signature.xml", "rim/vbios_GH100_96005E0003.swidtag",
        "rim/wrong_root_GB100_debug_ca.xml", $"{Devices.Hopper}/driver_rim_545.00_other_version.swidtag", $"{Devices.WithRims}/vbios_rim_96005E0001.swidtag",
        $"{Devices.WithRims}/driver_rim_mismatch_and_tampered.xml", $"{Devices.WithRims}/vbios_rim_mismatch.xml",
        $"{Devices.Hopper580}/vbios_rim_9600740020.swidtag", $"{Devices.Switch}/switch_bios_rim_9610550001.xml",
        $"{Devices.Switch}/switch_bios_rim_mismatch.xml",
    ];

    [Theory]
    [MemberData(nameof(Reports))]
    public async Task A_recorded_report_says_the_same_to_both(string set)
    {
        var devices = Devices.Of(set);
        var isList = File.Exists(Vectors.Locate($"{set}/evidence.json"));
        var read = isList ? await ReadAsync("list", Vectors.Locate($"{set}/evidence.json"))
            : await ReadAsync("report", Vectors.Locate($"{set}/report.bin"), Vectors.Locate($"{set}/cert_chain.pem"));
        JsonElement[] others = isList ? [.. read.EnumerateArray()] : [read];
        others.Length.ShouldBe(devices.Count);
        foreach (var (device, other) in devices.Zip(others))
        {
            MeasurementReport.TryParse(device.Report.Span, out var report).ShouldBeNull();
            OpaqueData.TryParse(report!.OpaqueBytes, isSwitch: set is Devices.Switches or Devices.Switch, out var opaque).ShouldBeNull();
            var ours = JsonSerializer.SerializeToElement(new
            {
                nonce = Hex(report.Nonce),
                measurements = report.Measurements.Select(block => new { index = block.Index, type = block.ValueType, value = Hex(block.Value) }),
                versioned = opaque!.IsVersioned,
                opaque = opaque.Entries.Select(entry => new { type = entry.Type, value_type = entry.ValueType, value = Hex(entry.Value) }),
                signed = Devices.Verify([device]).Factor(NvidiaFactors.Signature).Outcome == Outcome.Pass,
            });
            other.GetRawText().ShouldBe(ours.GetRawText());
        }
    }

    [Theory]
    [MemberData(nameof(RimFiles))]
    public async Task A_RIM_file_says_the_same_to_both(string file)
    {
        var other = await ReadAsync("rim", Vectors.Locate(file));
        RimFile.TryParse(Evidence.Bytes(file), out var rim).ShouldBeNull();
        using (rim)
        {
            rim!.Product.ShouldBe(other.String("product"));
            rim.Edition.ShouldBe(other.String("edition"));
            rim.Version.ShouldBe(other.String("version"));
            other.GetProperty("measurements").EnumerateArray().Where(measurement => measurement.GetProperty("active").GetBoolean())
                .Select(measurement => (Index: measurement.GetProperty("index"), Hashes: measurement.GetProperty("hashes").EnumerateArray()))
                .Select(measurement => $"{measurement.Index}: {string.Join(' ', measurement.Hashes.Select(hash => hash.GetString()))}")
                .ShouldBe(rim.Measurements.Select(measurement =>
                    $"{measurement.Index}: {string.Join(' ', measurement.Alternatives.Select(digest => Convert.ToHexStringLower(digest)))}"));
            (rim.SignatureFault() is null).ShouldBe(other.GetProperty("signed").GetBoolean());
        }
    }

    private static string Hex(ReadOnlyMemory<byte> bytes) => Convert.ToHexStringLower(bytes.Span);

    private static async Task<JsonElement> ReadAsync(params string[] arguments) =>
        JsonElement.Parse(await SpecTools.RunAsync("devices.mjs", "", arguments));
}
