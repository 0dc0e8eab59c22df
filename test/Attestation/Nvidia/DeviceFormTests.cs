using System.Formats.Asn1;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md sections 18 and 19: paths, extensions, lists and factors of devices at the edges of each of their rules.</summary>
public sealed class DeviceFormTests
{
    private const string CompositeDeviceId = "2.23.133.5.4.1";
    private const string TcbInfo = "2.23.133.5.4.1.1";
    private static readonly byte[] Digest = [.. Enumerable.Range(1, 48).Select(i => (byte)i)];

    [Fact]
    public void One_factor_says_what_came_of_all_devices()
    {
        Written(on => on.Report(NvidiaFactors.Path, "", null, "it", "that").ShouldBeTrue()).ShouldBe("Pass it; that");
        Written(on => Both(on, "that", "that")).ShouldBe("Pass it; that");
        Written(on => Both(on, "that", "this")).ShouldBe("Pass it; 2 of 2");
        Written(on =>
        {
            Both(on, "that", "that");
            on.Skip(NvidiaFactors.Path, "device[2]", "nothing");
        }).ShouldBe("Skip ; device[2]: nothing");
        Written(on => on.Skip(NvidiaFactors.Path, "", "nothing")).ShouldBe("Skip ; nothing");
        Written(on =>
        {
            on.Skip(NvidiaFactors.Path, "device[0]", "nothing");
            on.Check(NvidiaFactors.Path, "device[1]", false, RejectionCode.Mismatch, "it", "that").ShouldBeFalse();
            on.Check(NvidiaFactors.Path, "device[2]", true, RejectionCode.Mismatch, "it", "that").ShouldBeTrue();
        }).ShouldBe("Fail Mismatch it; device[1]: that");
        Written(on =>
        {
            foreach (var whose in new[] { "device[1]", "device[2]", "device[3]" })
                on.Report(NvidiaFactors.Path, whose, new Rejection(RejectionCode.Expired, whose, "that"), "", "").ShouldBeFalse();
        }).ShouldBe("Fail Expired device[1]; device[1]: that; 2 more");
        Written(on =>
        {
            foreach (var whose in new[] { "device[1]", "device[2]" })
                on.Report(NvidiaFactors.Path, whose, new Rejection(RejectionCode.Expired, whose, "that"), "", "");
        }).ShouldBe("Fail Expired device[1]; device[1]: that; 1 more");

        static void Both(DeviceFindings on, string first, string second)
        {
            on.Report(NvidiaFactors.Path, "device[0]", null, "it", first);
            on.Report(NvidiaFactors.Path, "device[1]", null, "it", second);
        }

        static string Written(Action<DeviceFindings> collect)
        {
            var findings = new Findings(EmulatedDevice.Now, new HashSet<string>());
            var on = new DeviceFindings(findings);
            collect(on);
            on.Write();
            var factor = findings.ToVerdict().Factors.Single();
            return $"{factor.Outcome} {(factor.Code is { } code ? $"{code} " : "")}{factor.Expected}; {factor.Found}";
        }
    }

    [Fact]
    public void An_FWID_is_read_from_its_place()
    {
        Read(CompositeDeviceId, FwidPlace.CompositeDeviceId, Composite()).ShouldBe((null, null, true));
        Read(CompositeDeviceId, FwidPlace.TcbInfo, Composite()).Code.ShouldBe(RejectionCode.Missing);
        Read(CompositeDeviceId, FwidPlace.CompositeDeviceId, Composite(version: 2)).Code.ShouldBe(RejectionCode.Malformed);
        Read(CompositeDeviceId, FwidPlace.CompositeDeviceId, Composite(digest: Digest[..32])).Code.ShouldBe(RejectionCode.Malformed);
        Read(CompositeDeviceId, FwidPlace.CompositeDeviceId, Composite(algorithm: "2.16.840.1.101.3.4.2.1")).Code.ShouldBe(RejectionCode.Malformed);
        Read(CompositeDeviceId, FwidPlace.CompositeDeviceId, Composite(more: writer => writer.WriteNull())).Code.ShouldBe(RejectionCode.Malformed);
        Read(CompositeDeviceId, FwidPlace.CompositeDeviceId, [.. Composite(), 5, 0]).Code.ShouldBe(RejectionCode.Malformed);
        Read(CompositeDeviceId, FwidPlace.CompositeDeviceId, [5, 0]).Code.ShouldBe(RejectionCode.Malformed);
    }

    [Theory]
    [InlineData(0x80, 0x00, false)]
    [InlineData(0x40, 0x00, true)] // not secure
    [InlineData(0x20, 0x00, true)] // recovery
    [InlineData(0x10, 0x00, true)] // debug
    [InlineData(0x0F, 0xFF, false)]
    [InlineData(0x8F, 0xFF, false)]
    public void A_leaf_says_debug_by_any_of_three_bits(byte first, byte second, bool isDebug) =>
        Read(TcbInfo, FwidPlace.TcbInfo, Tcb(flags: [first, second])).ShouldBe((null, isDebug, true));

    [Fact]
    public void A_list_of_FWIDs_is_held_by_its_first_and_read_to_its_end()
    {
        Read(TcbInfo, FwidPlace.TcbInfo, Tcb(flags: null)).ShouldBe((null, null, true));
        Read(TcbInfo, FwidPlace.TcbInfo, Tcb(flags: [])).ShouldBe((null, false, true));
        Read(TcbInfo, FwidPlace.TcbInfo, Tcb(fwids: [Digest, new byte[48]])).ShouldBe((null, null, true));
        Read(TcbInfo, FwidPlace.TcbInfo, Tcb(fwids: [new byte[47], Digest])).Code.ShouldBe(RejectionCode.Malformed);
        Read(TcbInfo, FwidPlace.TcbInfo, Tcb(fwids: [])).Code.ShouldBe(RejectionCode.Malformed);
        Read(TcbInfo, FwidPlace.TcbInfo, Encoded(writer => writer.WriteOctetString([1], Tag(0)))).Code.ShouldBe(RejectionCode.Malformed);
        Read(TcbInfo, FwidPlace.TcbInfo, Encoded(writer => writer.WriteInteger(1))).Code.ShouldBe(RejectionCode.Malformed); // no member of it
        // One that stands twice, and two whose order is another.
        Read(TcbInfo, FwidPlace.TcbInfo, Encoded(writer =>
        {
            Fwids(writer, [Digest]);
            Fwids(writer, [new byte[48]]);
        })).Code.ShouldBe(RejectionCode.Malformed);
        Read(TcbInfo, FwidPlace.TcbInfo, Encoded(writer =>
        {
            writer.WriteBitString([0x80], 0, Tag(7));
            Fwids(writer, [Digest]);
        })).Code.ShouldBe(RejectionCode.Malformed);
    }

    [Fact]
    public void A_path_is_as_long_as_it_has_to_be_with_its_root_or_without()
    {
        var device = new EmulatedDevice();
        var whole = Certificates(device);
        try
        {
            Fault(whole, 5, whole[^1]).ShouldBeNull();
            Fault(whole[..4], 5, whole[^1]).ShouldBeNull();
            Fault(whole[..3], 5, whole[^1])!.Found.ShouldBe("3");
            Fault(whole, 4, whole[^1])!.Found.ShouldBe("5");
            Fault(whole, 3, whole[^1])!.Found.ShouldBe("5");
            Fault(whole, 5, whole[^1], isRoot: _ => false)!.Found.ShouldStartWith("another root, named ");
        }
        finally
        {
            foreach (var certificate in whole)
                certificate.Dispose();
        }
    }

    [Fact]
    public void A_certificate_of_another_use_is_refused_wherever_it_stands()
    {
        Refusal(device => device.Leaf.IsAuthority = true).ShouldBe("a CA");
        Refusal(device => device.Leaf.Usages = X509KeyUsageFlags.NonRepudiation).ShouldBe("another usage");
        foreach (var plan in new Func<EmulatedDevice, DevicePlan>[] { device => device.Brom, device => device.Provisioner, device => device.Identity })
        {
            Refusal(device => plan(device).IsAuthority = false).ShouldNotBeNull();
            Refusal(device => plan(device).Usages = X509KeyUsageFlags.CrlSign).ShouldNotBeNull();
        }

        Refusal(device => device.Brom.PathLength = 0).ShouldBeNull();
        Refusal(device => device.Provisioner.PathLength = 0).ShouldNotBeNull();
        Refusal(device => device.Provisioner.PathLength = 1).ShouldBeNull();
        Refusal(device => device.Identity.PathLength = 1).ShouldNotBeNull();
        Refusal(device => device.Identity.PathLength = 2).ShouldBeNull();
        Refusal(device => device.Brom.MoreExtensions.Add(new X509Extension("1.2.3.4", [5, 0], critical: false))).ShouldBeNull();
        Refusal(device => device.Brom.MoreExtensions.Add(new X509Extension("1.2.3.4", [5, 0], critical: true)))!.ShouldStartWith("1.2.3.4 of ");
        Refusal(device => device.Brom.MoreExtensions.Add(new X509Extension("2.5.29.30", [0x30, 0], critical: false)))!.ShouldStartWith("2.5.29.30 of ");
        Refusal(device => device.Identity.NotAfter = EmulatedDevice.Now.AddDays(-1)).ShouldNotBeNull();
        Refusal(device => device.Brom.NotBefore = EmulatedDevice.Now.AddDays(1)).ShouldNotBeNull();

        static string? Refusal(Action<EmulatedDevice> change)
        {
            var device = new EmulatedDevice();
            change(device);
            var path = Certificates(device);
            var found = Fault(path, 5, path[^1])?.Found;
            foreach (var certificate in path)
                certificate.Dispose();
            return found;
        }
    }

    [Fact]
    public void All_dates_of_a_path_are_learnt_even_where_the_first_has_passed()
    {
        var device = new EmulatedDevice();
        device.Leaf.NotAfter = EmulatedDevice.Now.AddDays(-1);
        device.Identity.NotAfter = EmulatedDevice.Now.AddDays(2);
        var path = Certificates(device);
        var findings = new Findings(EmulatedDevice.Now, new HashSet<string>());
        using (var paths = new VendorPath())
            paths.Fault(path, 5, _ => true, path[^1], findings)!.Code.ShouldBe(RejectionCode.Expired);
        findings.ToVerdict().ValidBefore.ShouldBe(EmulatedDevice.Now.AddDays(2).AddTicks(1));
        foreach (var certificate in path)
            certificate.Dispose();
    }

    [Fact]
    public void A_list_is_read_in_each_of_its_forms()
    {
        const string item = "\"evidence\":\"AQI=\",\"certificate\":\"AwQAAA==\"";
        var plain = Devices($"[{{\"arch\":\"HOPPER\",{item}}},{{{item}}}]");
        plain.Select(device => device.Architecture).ShouldBe(["HOPPER", null]);
        plain.ShouldAllBe(
            device => device.Report.ToArray().SequenceEqual(new byte[] { 1, 2 }) && device.Certificates.ToArray().SequenceEqual(new byte[] { 3, 4 }));
        foreach (var name in new[] { "evidence_list", "evidences" })
            Devices($"{{\"arch\":\"LS10\",\"{name}\":[{{{item}}},{{\"arch\":\"HOPPER\",{item}}}]}}")
                .Select(device => device.Architecture).ShouldBe(["LS10", "HOPPER"]);
        var collected = Devices(
            "{\"__cmwc_t\":\"x\",\"a\":{\"evidence\":[\"application/vnd.nvidia.spdm-measurement-transcript\",\"_-8\"],"
            + "\"certificate\":[\"application/vnd.nvidia.pem-cert-chain\",\"AwQ\"]},\"more\":1}");
        collected.Single().Report.ToArray().ShouldBe([0xFF, 0xEF]);
        Devices($"[{{\"evidence\":\"/+8=\",\"certificate\":\"\"}}]").Single().Report.ToArray().ShouldBe([0xFF, 0xEF]);
        Devices($"[{string.Join(',', Enumerable.Repeat($"{{{item}}}", Bounds.DeviceCount))}]").Count.ShouldBe(Bounds.DeviceCount);
    }

    [Theory]
    [InlineData("{\"evidence_list\":{}}")]
    [InlineData("{\"evidence_list\":[]}")]
    [InlineData("[{\"evidence\":\"AQI=\"}]")]
    [InlineData("[{\"certificate\":\"AQI=\"}]")]
    [InlineData("[{\"evidence\":1,\"certificate\":\"AQI=\"}]")]
    [InlineData("[{\"evidence\":\"A\",\"certificate\":\"AQI=\"}]")]
    [InlineData("[{\"evidence\":\"AQI=\",\"certificate\":\"A*\"}]")]
    [InlineData("[{\"evidence\":\"AQI=\",\"certificate\":\"AQI=\"},1]")]
    [InlineData("{\"__cmwc_t\":\"x\",\"a\":{}}")]
    [InlineData("{\"__cmwc_t\":\"x\",\"a\":{\"evidence\":[\"other\",\"AQI\"],\"certificate\":[\"application/vnd.nvidia.pem-cert-chain\",\"AQI\"]}}")]
    [InlineData("{\"__cmwc_t\":\"x\",\"a\":{\"evidence\":[\"application/vnd.nvidia.spdm-measurement-transcript\",\"AQI\",1],\"certificate\":[\"application/vnd.nvidia.pem-cert-chain\",\"AQI\"]}}")]
    [InlineData("{\"__cmwc_t\":\"x\",\"a\":{\"evidence\":[\"application/vnd.nvidia.spdm-measurement-transcript\",1],\"certificate\":[\"application/vnd.nvidia.pem-cert-chain\",\"AQI\"]}}")]
    [InlineData("{\"__cmwc_t\":\"x\",\"a\":{\"evidence\":[\"application/vnd.nvidia.spdm-measurement-transcript\",\"AQI\"],\"certificate\":\"AQI\"}}")]
    [InlineData("1")]
    [InlineData("")]
    public void What_is_no_list_is_refused_whole(string json)
    {
        DeviceList.TryParse(Encoding.UTF8.GetBytes(json), out var devices)!.Code.ShouldBe(RejectionCode.Malformed);
        devices.ShouldBeNull();
    }

    [Fact]
    public void A_list_beyond_its_bounds_is_refused()
    {
        DeviceList.TryParse(new byte[Bounds.DeviceList + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        var blanks = Encoding.ASCII.GetBytes("[{\"evidence\":\"\",\"certificate\":\"\"}]".PadRight(Bounds.DeviceList));
        DeviceList.TryParse(blanks, out var devices).ShouldBeNull();
        devices!.Count.ShouldBe(1);
        // Tokens: the list's two, the object's two, two names and two values; and what else stands in it.
        Tokens(4096 - 9).ShouldBeNull();
        Tokens(4096 - 8)!.Expected.ShouldBe("at most 4096 tokens of JSON");

        static Rejection? Tokens(int more) => DeviceList.TryParse(
            JsonSerializer.SerializeToUtf8Bytes(
                new object[] { new { evidence = "", certificate = "", more = Enumerable.Repeat(1, more - 2).ToArray() } }),
            out _);
    }

    private static IReadOnlyList<NvidiaEvidence> Devices(string json)
    {
        DeviceList.TryParse(Encoding.UTF8.GetBytes(json), out var devices).ShouldBeNull();
        return devices!;
    }

    private static Certificate[] Certificates(EmulatedDevice device) =>
        [.. device.Path().Select(der => Certificate.TryParse(der, out var certificate) is null ? certificate! : throw new InvalidOperationException())];

    private static Rejection? Fault(Certificate[] path, int size, Certificate root, Func<Certificate, bool>? isRoot = null)
    {
        using var paths = new VendorPath();
        return paths.Fault(path, size, isRoot ?? (_ => true), root, new Findings(EmulatedDevice.Now, new HashSet<string>()));
    }

    private static (RejectionCode? Code, bool? IsDebug, bool IsRead) Read(string oid, FwidPlace place, byte[] content)
    {
        var plan = new DevicePlan("CN=leaf", EmulatedDevice.NewKey());
        plan.MoreExtensions.Add(new X509Extension(oid, content, critical: false));
        Certificate.TryParse(plan.Make(plan).RawData, out var certificate).ShouldBeNull();
        using (certificate)
        {
            var rejection = DeviceExtension.TryRead(certificate!, place, out var extension);
            extension?.Fwid.ToArray().ShouldBe(Digest);
            return (rejection?.Code, extension?.IsDebug, extension is not null);
        }
    }

    private static byte[] Composite(int version = 1, byte[]? digest = null, string algorithm = "2.16.840.1.101.3.4.2.2", Action<AsnWriter>? more = null) =>
        Encoded(writer =>
        {
            writer.WriteInteger(version);
            using (writer.PushSequence())
                writer.WriteNull();
            using (writer.PushSequence())
            {
                writer.WriteObjectIdentifier(algorithm);
                writer.WriteOctetString(digest ?? Digest);
            }

            more?.Invoke(writer);
        });

    private static byte[] Tcb(byte[][]? fwids = null, byte[]? flags = null) => Encoded(writer =>
    {
        writer.WriteCharacterString(UniversalTagNumber.UTF8String, "NVIDIA", Tag(0));
        Fwids(writer, fwids ?? [Digest]);
        if (flags is not null)
            writer.WriteBitString(flags, 0, Tag(7));
        writer.WriteOctetString([1], Tag(9));
    });

    private static void Fwids(AsnWriter writer, byte[][] fwids)
    {
        using (writer.PushSequence(Tag(6)))
        {
            foreach (var digest in fwids)
            {
                using (writer.PushSequence())
                {
                    writer.WriteObjectIdentifier("2.16.840.1.101.3.4.2.2");
                    writer.WriteOctetString(digest);
                }
            }
        }
    }

    private static byte[] Encoded(Action<AsnWriter> write)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
            write(writer);
        return writer.Encode();
    }

    private static Asn1Tag Tag(int value) => new(TagClass.ContextSpecific, value);
}
