using ConfidentialChat.Attestation.Nvidia;

namespace ConfidentialChat.Attestation.Tests.Nvidia;

/// <summary>spec/attestation.md section 18, "The report" and "Opaque data", at the edges of each of their rules.</summary>
public sealed class ReportFormTests
{
    private static readonly byte[] Digest = [.. Enumerable.Range(1, 48).Select(i => (byte)i)];

    [Fact]
    public void A_report_is_read_as_it_stands()
    {
        MeasurementReport.TryParse(Report([.. Block(1, 1, Digest), .. Block(254, 0x81, [7])], 2, [9, 8]), out var report).ShouldBeNull();
        report!.Nonce.ToArray().ShouldBe(Enumerable.Repeat((byte)0x4E, 32));
        report.OpaqueBytes.ToArray().ShouldBe([9, 8]);
        report.Measurements.Select(block => (block.Index, block.IsDigest)).ShouldBe([(1, true), (254, false)]);
        report.Measurement(254)!.Value.ToArray().ShouldBe([7]);
        report.Measurement(1)!.Value.ToArray().ShouldBe(Digest);
        report.Measurement(2).ShouldBeNull();
        report.Signed.Length.ShouldBe(report.Bytes.Length - 96);
        report.Signature.ToArray().ShouldBe(Enumerable.Repeat((byte)0x5A, 96));
        MeasurementReport.TryParse(Report([], 0, []), out report).ShouldBeNull();
        report!.Measurements.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(36)]
    [InlineData(37)]
    [InlineData(38)]
    [InlineData(39)]
    [InlineData(40)]
    public void Another_message_is_refused_by_its_own_byte(int at)
    {
        var bytes = Report(Block(1, 1, Digest), 1, []);
        bytes[at] ^= 0x40;
        MeasurementReport.TryParse(bytes, out var report)!.Code.ShouldBe(RejectionCode.Unsupported);
        report.ShouldBeNull();
    }

    [Fact]
    public void Sizes_of_three_bytes_are_read_whole_and_what_is_too_large_or_too_short_is_refused()
    {
        // 1,100 measurements cannot be: the record is one of a large raw value.
        var large = Report(Block(1, 0x83, new byte[60_000]), 1, []);
        MeasurementReport.TryParse(large, out var report).ShouldBeNull();
        report!.Measurements.Single().Value.Length.ShouldBe(60_000);
        large[44] = 1; // the third byte of the record's size
        MeasurementReport.TryParse(large, out _)!.Code.ShouldBe(RejectionCode.Malformed);
        MeasurementReport.TryParse(new byte[Bounds.SpdmReport + 1], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        MeasurementReport.TryParse(new byte[Bounds.SpdmReport], out _)!.Code.ShouldBe(RejectionCode.Unsupported);
        MeasurementReport.TryParse(new byte[44], out _)!.Code.ShouldBe(RejectionCode.Malformed);
        MeasurementReport.TryParse(new byte[45], out _)!.Code.ShouldBe(RejectionCode.Unsupported);
        var whole = Report(Block(1, 1, Digest), 1, [1, 2, 3]);
        for (var length = 0; length < whole.Length; length++)
            MeasurementReport.TryParse(whole.AsSpan(0, length), out _)!.Code.ShouldBe(RejectionCode.Malformed, $"{length} bytes");
        MeasurementReport.TryParse([.. whole, 0], out _)!.Found.ShouldBe("1 bytes more");
        MeasurementReport.TryParse(whole.AsSpan(0, whole.Length - 1), out _)!.Found.ShouldBe("too few bytes");
    }

    [Fact]
    public void A_measurement_in_another_form_is_refused_by_what_is_wrong_with_it()
    {
        Found(Block(0, 1, Digest), 1).ShouldBe("index 0");
        Found(Block(255, 1, Digest), 1).ShouldBe("index 255");
        Found([.. Block(2, 1, Digest), .. Block(2, 1, Digest)], 2).ShouldBe("index 2");
        Found([.. Block(2, 1, Digest), .. Block(1, 1, Digest)], 2).ShouldBe("index 1");
        Found(Block(1, 1, Digest[..47]), 1).ShouldBe("47 bytes at index 1");
        Found(Block(1, 0x7F, Digest[..47]), 1).ShouldBe("47 bytes at index 1");
        var other = Block(1, 1, Digest);
        other[1] = 2;
        Found(other, 1).ShouldBe("specification 2, 51 bytes of which 48 are the value");
        other = Block(1, 1, Digest);
        other[2]++;
        Found(other, 1).ShouldBe("specification 1, 52 bytes of which 48 are the value");
        Found(Block(1, 1, Digest), 2).ShouldBe("too few bytes");
        Found(Block(1, 1, Digest), 0).ShouldBe("55 bytes more");
        Found(Block(1, 1, Digest)[..^1], 1).ShouldBe("too few bytes");

        static string Found(byte[] record, int count)
        {
            var rejection = MeasurementReport.TryParse(Report(record, count, []), out var report)!;
            report.ShouldBeNull();
            rejection.Code.ShouldBe(RejectionCode.Malformed);
            return rejection.Found;
        }
    }

    [Fact]
    public void Entries_are_read_in_both_layouts()
    {
        var plain = Read(Entry(3, "570.124.06\0"u8), Entry(200, [1]))!;
        (plain.IsVersioned, plain.DriverVersion, plain.Entries.Count).ShouldBe((false, "570.124.06", 2));
        plain.Entry(200)!.ValueType.ShouldBeNull();
        plain.Entry(201).ShouldBeNull();
        plain.Svn(200).ShouldBeNull();
        OpaqueData.TryParse(
            Versioned(0, 2, [.. VersionedEntry(3, 0x86, "570.1"u8), .. VersionedEntry(37, 0x87, [1, 2])]), false, out var versioned).ShouldBeNull();
        (versioned!.IsVersioned, versioned.DriverVersion, versioned.Svn(37), versioned.Svn(3), versioned.Svn(1)).ShouldBe((true, "570.1", 513, null, null));
        OpaqueData.TryParse(Versioned(0, 0, VersionedEntry(37, 0x87, [1, 2, 3])), false, out versioned).ShouldBeNull();
        versioned!.Svn(37).ShouldBeNull();
        OpaqueData.TryParse(Versioned(1, 2, []), false, out _)!.Code.ShouldBe(RejectionCode.Unsupported);
        OpaqueData.TryParse(Versioned(0, 3, []), false, out _)!.Code.ShouldBe(RejectionCode.Unsupported);
        OpaqueData.TryParse(Versioned(0, 2, []), false, out versioned).ShouldBeNull();
        versioned!.IsVersioned.ShouldBeTrue();
        // Less than a header is of the other layout, in which it is an entry that ends early.
        OpaqueData.TryParse(Versioned(0, 2, []).AsMemory(0, 11), false, out _)!.Code.ShouldBe(RejectionCode.Malformed);
        OpaqueData.TryParse(Array.Empty<byte>(), false, out var none).ShouldBeNull();
        (none!.IsVersioned, none.Mode, none.VbiosRimId, none.SwitchId, none.IsLocked).ShouldBe((false, DeviceMode.Cc, null, null, null));
        var whole = Entry(3, "570.124.06\0"u8);
        for (var length = 1; length < whole.Length; length++)
            OpaqueData.TryParse(whole.AsMemory(0, length), false, out _)!.Found.ShouldBe("one that ends early", $"{length} bytes");
        OpaqueData.TryParse((byte[])[.. whole, .. whole], false, out _)!.Found.ShouldBe("type 3 twice");
    }

    [Fact]
    public void A_VBIOS_has_a_name_at_NVIDIAs_service_where_all_parts_of_it_are_there()
    {
        byte[][] all = [Entry(6, [0x00, 0x9F, 0x00, 0x96, 0x01, 0, 0, 0]), Entry(15, "882\0"u8), Entry(17, "1010\0"u8), Entry(18, "0200\0"u8)];
        var data = Read(all)!;
        data.VbiosRimId.ShouldBe("NV_GPU_VBIOS_1010_0200_882_96009F0001");
        (data.VbiosVersion, data.Project, data.ProjectSku, data.ChipSku).ShouldBe(("96.00.9F.00.01", "1010", "0200", "882"));
        for (var left = 0; left < all.Length; left++)
            Read([.. all[..left], .. all[(left + 1)..]])!.VbiosRimId.ShouldBeNull();
        Read(Entry(17, [0]))!.Project.ShouldBeNull();
    }

    [Theory]
    [InlineData(3, "2020")] // a blank
    [InlineData(3, "7F")]
    [InlineData(3, "410041")] // something behind the end
    [InlineData(3, "0041")]
    [InlineData(6, "009F009601000001")]
    [InlineData(6, "009F00960100000000")]
    [InlineData(6, "009F0096010000")]
    [InlineData(20, "00")]
    [InlineData(11, "00")]
    [InlineData(11, "55AA")]
    [InlineData(11, "")]
    [InlineData(22, "01020304050607")]
    [InlineData(26, "0000000000000000")]
    public void An_entry_of_a_GPU_in_another_form_is_refused(int type, string value) =>
        OpaqueData.TryParse(Entry(type, Convert.FromHexString(value)), false, out _)!.Code.ShouldBe(RejectionCode.Malformed);

    [Fact]
    public void Texts_are_printable_and_short()
    {
        Read(Entry(3, "!~"u8))!.DriverVersion.ShouldBe("!~");
        Read(Entry(3, "A\0\0"u8))!.DriverVersion.ShouldBe("A");
        Read(Entry(3, System.Text.Encoding.ASCII.GetBytes(new string('x', 64))))!.DriverVersion!.Length.ShouldBe(64);
        Read(Entry(3, System.Text.Encoding.ASCII.GetBytes(new string('x', 65)))).ShouldBeNull();
        Read(Entry(20, Digest))!.Fwid!.Value.ToArray().ShouldBe(Digest);
        (Read(Entry(11, [0x55]))!.IsNvdec0Disabled, Read(Entry(11, [0xAA]))!.IsNvdec0Disabled, Read()!.IsNvdec0Disabled).ShouldBe((true, false, false));
    }

    [Theory]
    [InlineData("", "", DeviceMode.Cc)]
    [InlineData("55", "", DeviceMode.Cc)]
    [InlineData("AA", "", DeviceMode.ProtectedPcie)]
    [InlineData("", "0000", DeviceMode.Cc)]
    [InlineData("", "0100", DeviceMode.MultiGpu)]
    [InlineData("", "0200", DeviceMode.ProtectedPcie)]
    [InlineData("55", "0000", DeviceMode.Cc)]
    [InlineData("55", "0100", DeviceMode.MultiGpu)]
    [InlineData("AA", "0200", DeviceMode.ProtectedPcie)]
    [InlineData("55", "0200", null)]
    [InlineData("AA", "0000", null)]
    [InlineData("AA", "0100", null)]
    [InlineData("00", "", null)]
    [InlineData("55AA", "", null)]
    [InlineData("", "0300", null)]
    [InlineData("", "00", null)]
    [InlineData("00", "0100", null)]
    [InlineData("55", "0001", null)]
    public void The_mode_is_what_both_entries_say(string status, string flag, DeviceMode? mode) =>
        Read([.. status.Length > 0 ? [Entry(21, Convert.FromHexString(status))] : Array.Empty<byte[]>(),
            .. flag.Length > 0 ? [Entry(36, Convert.FromHexString(flag))] : Array.Empty<byte[]>()])!.Mode.ShouldBe(mode);

    [Fact]
    public void Links_are_read_the_way_that_each_side_writes_them()
    {
        byte[] id = [1, 2, 3, 4, 5, 6, 7, 8];
        byte[] links = [.. id, .. new byte[8], .. Enumerable.Repeat((byte)0xFF, 8), .. id, .. Enumerable.Repeat((byte)9, 8)];
        var gpu = Read(Entry(22, links), Entry(25, [1, 0]), Entry(26, new byte[64]))!;
        gpu.Switches.ShouldBe(["0807060504030201", "0909090909090909"]);
        (gpu.SwitchId, gpu.IsLocked, gpu.Gpus.Count).ShouldBe((null, null, 0));

        byte[] gpus = [.. id, .. Enumerable.Repeat((byte)0xFF, 48), .. Enumerable.Repeat((byte)7, 8), .. Enumerable.Repeat((byte)6, 8)]; // more than its links
        OpaqueData.TryParse(
            (byte[])[.. Entry(22, id), .. Entry(25, [1, 0]), .. Entry(26, gpus), .. Entry(6, "96.10.73.00.01"u8)], true, out var other).ShouldBeNull();
        (other!.SwitchId, other.IsLocked, other.VbiosVersion, other.Switches.Count).ShouldBe(("0102030405060708", true, "96.10.73.00.01", 0));
        other.Gpus.ShouldBe(["0102030405060708", "0707070707070707"]);
        OpaqueData.TryParse(Entry(25, [1, 1]), true, out other).ShouldBeNull();
        other!.IsLocked.ShouldBe(false);
        OpaqueData.TryParse(Entry(22, [.. id, .. id]), true, out _)!.Code.ShouldBe(RejectionCode.Malformed);
        OpaqueData.TryParse(Entry(6, "96.10.73.00"u8), true, out _)!.Code.ShouldBe(RejectionCode.Malformed);
        OpaqueData.TryParse(Entry(6, " "u8), true, out _)!.Code.ShouldBe(RejectionCode.Malformed);
    }

    [Theory]
    [InlineData("96.00.9F.00.01", true)]
    [InlineData("96.00.9f.00.01", false)]
    [InlineData("96.00.9F.00", false)]
    [InlineData("96.00.9F.00.01.02", false)]
    [InlineData("96.00.9F.00.1", false)]
    [InlineData("96.00.9F.00.001", false)]
    [InlineData("96.00.9G.00.01", false)]
    public void A_version_of_a_VBIOS_has_five_groups_of_two(string text, bool isOne) => FirmwareVersion.IsVbios(text).ShouldBe(isOne);

    [Theory]
    [InlineData("570.124.06", true)]
    [InlineData("570.1", true)]
    [InlineData("1.2.3.4", true)]
    [InlineData("12345.1", true)]
    [InlineData("570", false)]
    [InlineData("1.2.3.4.5", false)]
    [InlineData("123456.1", false)]
    [InlineData("570..1", false)]
    [InlineData("570.x", false)]
    [InlineData("570.1x", false)]
    public void A_version_of_a_driver_has_two_to_four_groups(string text, bool isOne) => FirmwareVersion.IsDriver(text).ShouldBe(isOne);

    [Theory]
    [InlineData("570.124.06", "570.124.06", true)]
    [InlineData("570.124.06", "570.124.7", false)]
    [InlineData("570.124.10", "570.124.9", true)]
    [InlineData("571.0", "570.124.06", true)]
    [InlineData("570.124", "570.124.0", true)]
    [InlineData("570.124", "570.124.1", false)]
    [InlineData("570.124.1", "570.124", true)]
    [InlineData("96.00.9F.00.0A", "96.00.9F.00.09", true)]
    [InlineData("96.00.9F.00.09", "96.00.A0.00.00", false)]
    public void Versions_are_compared_group_by_group(string found, string least, bool isAtLeast) =>
        FirmwareVersion.IsAtLeast(found, least).ShouldBe(isAtLeast);

    [Theory]
    [InlineData("NVIDIA GH100 Provisioner ICA 1", true)]
    [InlineData("NVIDIA GH100 Provisioner ICA 12345678", true)]
    [InlineData("NVIDIA GH100 Provisioner ICA 123456789", false)]
    [InlineData("NVIDIA GH100 Provisioner ICA ", false)]
    [InlineData("NVIDIA GH100 Provisioner ICA x", false)]
    [InlineData("NVIDIA GB100 Provisioner ICA 1", false)]
    [InlineData("nvidia GH100 Provisioner ICA 1", false)]
    public void A_provisioner_is_named_for_its_chip_and_a_number(string name, bool isOne) => DeviceArchitecture.OfChip("GH100")!.IsIca(name).ShouldBe(isOne);

    [Fact]
    public void Chips_are_known_by_their_own_names()
    {
        DeviceArchitecture.OfChip("GR100").ShouldBeNull();
        var workstation = DeviceArchitecture.OfChip("GB20X")!;
        foreach (var chip in new[] { "GB202", "GB203", "GB205", "GB206", "GB207", "GB20X" })
            workstation.IsIca($"NVIDIA {chip} Provisioner ICA 3").ShouldBeTrue();
        workstation.IsIca("NVIDIA GB204 Provisioner ICA 3").ShouldBeFalse();
        (workstation.ToString(), workstation.Identity, workstation.IsSwitch).ShouldBe(("GB20X", "NVIDIA GB20X Identity", false));
        DeviceArchitecture.Names.ShouldBe(["hopper", "blackwell", "ls10"]);
        DeviceArchitecture.All.Select(known => (known.Name, known.Product, known.Fwid, known.IsSwitch)).ShouldBe(
        [
            ("HOPPER", "GH100", FwidPlace.CompositeDeviceId, false), ("BLACKWELL", "GB100", FwidPlace.TcbInfo, false),
            ("BLACKWELL", "GB20X", FwidPlace.TcbInfo, false), ("LS10", "LS10", FwidPlace.CompositeDeviceId, true),
        ]);
    }

    private static OpaqueData? Read(params byte[][] entries)
    {
        var rejection = OpaqueData.TryParse((byte[])[.. entries.SelectMany(entry => entry)], false, out var data);
        (rejection is null).ShouldBe(data is not null);
        return data;
    }

    private static byte[] Report(byte[] record, int count, byte[] opaque) =>
    [
        0x11, 0xE0, 0x01, 0xFF, .. Enumerable.Repeat((byte)0x4E, 32), 0,
        0x11, 0x60, 0, 0, (byte)count, (byte)record.Length, (byte)(record.Length >> 8), (byte)(record.Length >> 16), .. record,
        .. new byte[32], .. UInt16(opaque.Length), .. opaque, .. Enumerable.Repeat((byte)0x5A, 96),
    ];

    private static byte[] Block(byte index, byte type, byte[] value) =>
        [index, 1, .. UInt16(value.Length + 3), type, .. UInt16(value.Length), .. value];

    private static byte[] Entry(int type, ReadOnlySpan<byte> value) => [.. UInt16(type), .. UInt16(value.Length), .. value];

    private static byte[] VersionedEntry(int type, int valueType, ReadOnlySpan<byte> value) =>
        [.. UInt16(type), .. UInt16(valueType), .. UInt16(value.Length), .. value];

    private static byte[] Versioned(byte profile, byte major, byte[] entries) => [.. "NVDAOD"u8, profile, 0, major, 0, 0, 0, .. entries];

    private static byte[] UInt16(int value) => [(byte)value, (byte)(value >> 8)];
}
