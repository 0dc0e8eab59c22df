using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>The devices within providers' own bundles, and the lists that tools write.</summary>
public sealed class ProviderDeviceTests
{
    public static TheoryData<string> Sets => NrasTests.Sets;

    [Theory]
    [MemberData(nameof(Sets))]
    public void Every_device_of_a_providers_bundle_has_the_expected_verdict(string set)
    {
        var attestation = Vectors.Json($"bundles/{set}/attestation.json");
        var expected = Vectors.Json($"bundles/{set}/expected.json").GetProperty("gpu_devices").EnumerateArray().ToList();
        expected.ShouldNotBeEmpty();
        // One machine has one nonce: those of one machine are verified together.
        foreach (var machine in expected.GroupBy(item => item.String("nonce")))
        {
            var devices = machine.Select(item => Device(attestation, item.String("path"))).ToList();
            var verification = NvidiaVerifier.Verify(devices, Attestation.Policies.Policy.Default, Devices.Later, Convert.FromHexString(machine.Key));
            verification.Verdict.IsAccepted.ShouldBeTrue(verification.Verdict.ToText());
            verification.Verdict.Factor(NvidiaFactors.Fwid).Outcome.ShouldBe(Outcome.Pass);
            foreach (var (device, item) in verification.Devices.Zip(machine))
            {
                item.GetProperty("signature_valid").GetBoolean().ShouldBeTrue();
                (device.Architecture!.Name, device.OpaqueData!.DriverVersion, device.OpaqueData.VbiosRimId)
                    .ShouldBe((item.String("arch"), item.String("driver"), item.String("vbios_rim_id")));
            }

            Evidence.Only(
                NvidiaVerifier.Verify(devices, Attestation.Policies.Policy.Default, Devices.Later, new byte[32]).Verdict,
                NvidiaFactors.Nonce, RejectionCode.Mismatch);
            verification.Devices.Select(device => device.Id).ShouldBeUnique();
        }
    }

    [Fact]
    public void Lists_are_read_as_tools_write_them()
    {
        DeviceList.TryParse(Evidence.Bytes($"{Devices.ProtectedPcie}/evidence.json"), out var devices).ShouldBeNull();
        devices!.Count.ShouldBe(8);
        devices.ShouldAllBe(device => device.Architecture == "HOPPER");
        var nearai = Vectors.Json("bundles/02-nearai-direct-tdx-8gpu/attestation.json").String("nvidia_payload");
        DeviceList.TryParse(Encoding.UTF8.GetBytes(nearai), out devices).ShouldBeNull();
        Devices.Verify(devices!, Devices.Later).IsAccepted.ShouldBeTrue();
        var tinfoil = Vectors.Json("bundles/01-tinfoil-direct-tdx-1gpu/attestation.json").GetProperty("gpu").GetRawText();
        DeviceList.TryParse(Encoding.UTF8.GetBytes(tinfoil), out devices).ShouldBeNull();
        Devices.Verify(devices!, Devices.Later).IsAccepted.ShouldBeTrue();
        DeviceList.TryParse(Evidence.Bytes($"{Devices.Fsp}/evidence.cmw.json"), out devices).ShouldBeNull();
        devices!.Single().Report.ToArray().ShouldBe(Evidence.Bytes($"{Devices.Fsp}/report.bin"));
        Devices.Verify(devices!).Refusals().ShouldBe(["nvidia.debug"]);
    }

    [Fact]
    public void What_is_no_list_is_refused()
    {
        var item = "{\"arch\":\"HOPPER\",\"evidence\":\"AA==\",\"certificate\":\"AA==\"}";
        string[] texts =
        [
            "", "{}", "[]", "1", "[1]", "[{}]", "[{\"evidence\":\"AA==\"}]", "{\"evidences\":1}", "{\"__cmwc_t\":\"x\"}",
            "{\"__cmwc_t\":\"x\",\"a\":{\"evidence\":[1,2]}}", $"[{string.Join(",", Enumerable.Repeat(item, 17))}]",
            "[{\"arch\":\"A\",\"arch\":\"B\",\"evidence\":\"AA==\",\"certificate\":\"AA==\"}]", "[{\"evidence\":\"!\",\"certificate\":\"AA==\"}]",
            new string('[', 100), $"[{string.Join(",", Enumerable.Repeat("1", 5000))}]", "\"\\uD800\"", "[{\"evidence\":\"\\uD800\",\"certificate\":\"AA==\"}]",
        ];
        foreach (var text in texts)
            DeviceList.TryParse(Encoding.UTF8.GetBytes(text), out _).ShouldNotBeNull(text.Length < 200 ? text : text[..200]);
        DeviceList.TryParse(Encoding.UTF8.GetBytes($"[{item}]"), out var devices).ShouldBeNull();
        Devices.Verify(devices!).Refusals().ShouldBe(["nvidia.report"]);
    }

    // A path of slashes; "(json)" behind a member says that it is a text of JSON.
    private static NvidiaEvidence Device(JsonElement root, string path)
    {
        var element = root;
        foreach (var part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (part.EndsWith("(json)", StringComparison.Ordinal))
                element = JsonElement.Parse(element.String(part[..^6]));
            else
                element = element.ValueKind == JsonValueKind.Array ? element[int.Parse(part)] : element.GetProperty(part);
        }

        DeviceList.TryParse(Encoding.UTF8.GetBytes($"[{element.GetRawText()}]"), out var devices).ShouldBeNull();
        return devices!.Single();
    }
}
