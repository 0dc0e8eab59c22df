// spec/attestation.md section 18, "Opaque data".
using System.Buffers.Binary;
using System.Text;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>An entry of the opaque data.</summary>
/// <param name="Type">As NVIDIA numbers them.</param>
/// <param name="ValueType">What kind of value it is, in the versioned layout; else null.</param>
/// <param name="Value">The entry's bytes.</param>
public sealed record OpaqueEntry(int Type, int? ValueType, ReadOnlyMemory<byte> Value);

/// <summary>In which mode a device protects its links.</summary>
public enum DeviceMode
{
    /// <summary>One GPU: what leaves it is encrypted.</summary>
    Cc,

    /// <summary>Several GPUs whose links are encrypted.</summary>
    MultiGpu,

    /// <summary>Protected PCIe: links between GPUs and switches are in the clear, and all of them have to be trusted.</summary>
    ProtectedPcie,
}

/// <summary>What a device says of itself beside its measurements, in either layout. Signed with the report; whether that holds, the verifier says.</summary>
public sealed class OpaqueData
{
    private const int VersionedHeaderSize = 12;
    private const int PdiSize = 8;
    private const int SwitchGpuCount = 8;
    private const int SvnValueType = 0x87; // raw, security version number

    private const int DriverVersionType = 3;
    private const int VbiosVersionType = 6;
    private const int Nvdec0Type = 11;
    private const int ChipSkuType = 15;
    private const int ProjectType = 17;
    private const int ProjectSkuType = 18;
    private const int FwidType = 20;
    private const int ProtectedPcieType = 21;
    private const int SwitchPdiType = 22;
    private const int LockType = 25;
    private const int GpuPdiType = 26;
    private const int FeatureFlagType = 36;

    private OpaqueData(bool isVersioned, IReadOnlyList<OpaqueEntry> entries)
    {
        IsVersioned = isVersioned;
        Entries = entries;
    }

    /// <summary>The layout that drivers since CUDA 13.5 write.</summary>
    public bool IsVersioned { get; }

    /// <summary>As they stand; no type twice. Unknown types are kept.</summary>
    public IReadOnlyList<OpaqueEntry> Entries { get; }

    /// <summary>As NVIDIA writes it, 570.124.06 for example; null where there is none.</summary>
    public string? DriverVersion { get; private init; }

    /// <summary>As NVIDIA writes it, 96.00.9F.00.01 for example; null where there is none.</summary>
    public string? VbiosVersion { get; private init; }

    /// <summary>The board, with <see cref="ProjectSku"/> and <see cref="ChipSku"/> the name under which its VBIOS is published.</summary>
    public string? Project { get; private init; }

    public string? ProjectSku { get; private init; }

    public string? ChipSku { get; private init; }

    /// <summary>48 bytes: the firmware that the leaf certificate was issued to; null where the device does not say.</summary>
    public ReadOnlyMemory<byte>? Fwid { get; private init; }

    /// <summary>Null where the device says two things, or what this verifier does not know.</summary>
    public DeviceMode? Mode { get; private init; }

    /// <summary>The video decoder is off: measurement 35 of a RIM is then not compared.</summary>
    public bool IsNvdec0Disabled { get; private init; }

    /// <summary>Of a switch: nothing can be changed in it any more. Null where it does not say.</summary>
    public bool? IsLocked { get; private init; }

    /// <summary>Of a GPU: the switches that its links lead to, as their certificates write them; each once.</summary>
    public IReadOnlyList<string> Switches { get; private init; } = [];

    /// <summary>Of a switch: its own id.</summary>
    public string? SwitchId { get; private init; }

    /// <summary>Of a switch: the GPUs at its links, as their certificates write them; each once.</summary>
    public IReadOnlyList<string> Gpus { get; private init; } = [];

    /// <summary>The name of the VBIOS at NVIDIA's service of RIM files; null where the device does not say enough.</summary>
    public string? VbiosRimId => VbiosVersion is null || Project is null || ProjectSku is null || ChipSku is null
        ? null
        : $"NV_GPU_VBIOS_{Project}_{ProjectSku}_{ChipSku}_{VbiosVersion.Replace(".", "", StringComparison.Ordinal)}";

    /// <summary>Reads opaque data of either layout.</summary>
    /// <param name="bytes">As they stand in the report; may be empty, as in reports of an FSP.</param>
    /// <param name="isSwitch">A switch writes some entries otherwise.</param>
    /// <param name="data">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlyMemory<byte> bytes, bool isSwitch, out OpaqueData? data)
    {
        data = null;
        var isVersioned = bytes.Length >= VersionedHeaderSize && bytes.Span.StartsWith("NVDAOD"u8);
        var reader = new ByteReader(bytes);
        if (isVersioned)
        {
            reader.Take(6);
            var (profile, major) = (reader.UInt16(), reader.UInt8());
            reader.Take(3); // minor, patch, padding
            if (profile != 0)
                return new Rejection(RejectionCode.Unsupported, "profile 0 of the opaque data", $"{profile}");
            if (major > 2)
                return new Rejection(RejectionCode.Unsupported, "opaque data of version 0 to 2", $"version {major}");
        }

        var entries = new List<OpaqueEntry>();
        var types = new HashSet<int>();
        while (reader.Remaining > 0)
        {
            var type = reader.UInt16();
            int? valueType = isVersioned ? reader.UInt16() : null;
            var value = reader.Take(reader.UInt16());
            if (reader.HasFailed)
                return Rejection.Malformed("entries that fill the opaque data", "one that ends early");
            if (!types.Add(type))
                return Rejection.Malformed("each entry once", $"type {type} twice");
            entries.Add(new OpaqueEntry(type, valueType, value));
        }

        return Read(isVersioned, entries, isSwitch, out data);
    }

    /// <summary>An entry, or null where there is none of the type.</summary>
    public OpaqueEntry? Entry(int type) => Entries.FirstOrDefault(entry => entry.Type == type);

    /// <summary>A security version, or null where there is none, or one of another kind or size.</summary>
    public int? Svn(int type) =>
        Entry(type) is { ValueType: SvnValueType, Value.Length: 2 } entry ? BinaryPrimitives.ReadUInt16LittleEndian(entry.Value.Span) : null;

    private static Rejection? Read(bool isVersioned, List<OpaqueEntry> entries, bool isSwitch, out OpaqueData? data)
    {
        data = null;
        var texts = new string?[4];
        foreach (var (place, type) in ((int, int)[])[(0, DriverVersionType), (1, ProjectType), (2, ProjectSkuType), (3, ChipSkuType)])
        {
            if (Find(type) is not { } value)
                continue;
            if (Text(value.Span) is not { } text)
                return Rejection.Malformed($"a text in entry {type}", "something else");
            texts[place] = text;
        }

        string? vbios = null;
        if (Find(VbiosVersionType) is { } version && (vbios = isSwitch ? SwitchBios(version.Span) : Vbios(version.Span)) is null)
            return Rejection.Malformed("a VBIOS version", "something else");
        if (Find(FwidType) is { Length: not 48 } fwid)
            return Rejection.Malformed("an FWID of 48 bytes", $"{fwid.Length} bytes");
        if (Find(Nvdec0Type) is { } nvdec && nvdec.Span is not [0x55] and not [0xAA])
            return Rejection.Malformed("aa or 55 of NVDEC0", Shown.Hex(nvdec.Span[..Math.Min(8, nvdec.Length)]));
        if (Find(SwitchPdiType) is { } pdis && (pdis.Length % PdiSize != 0 || (isSwitch && pdis.Length != PdiSize)))
            return Rejection.Malformed($"ids of {PdiSize} bytes", $"{pdis.Length} bytes");
        if (Find(GpuPdiType) is { } gpus && gpus.Length < SwitchGpuCount * PdiSize)
            return Rejection.Malformed($"ids of {SwitchGpuCount} GPUs", $"{gpus.Length} bytes");

        data = new OpaqueData(isVersioned, entries)
        {
            DriverVersion = Named(texts[0]),
            Project = Named(texts[1]),
            ProjectSku = Named(texts[2]),
            ChipSku = Named(texts[3]),
            VbiosVersion = vbios,
            Fwid = Find(FwidType),
            Mode = ReadMode(Find(ProtectedPcieType), Find(FeatureFlagType)),
            IsNvdec0Disabled = Find(Nvdec0Type) is { } decoder && decoder.Span is [0x55],
            IsLocked = isSwitch && Find(LockType) is { } locked ? (bool?)(locked.Span is [1, 0]) : null,
            // A GPU writes a switch's id backwards.
            Switches = isSwitch ? [] : Ids(Find(SwitchPdiType), int.MaxValue, isReversed: true),
            SwitchId = isSwitch ? Ids(Find(SwitchPdiType), 1, isReversed: false).FirstOrDefault() : null,
            Gpus = isSwitch ? Ids(Find(GpuPdiType), SwitchGpuCount, isReversed: false) : [],
        };
        return null;

        ReadOnlyMemory<byte>? Find(int type) => entries.Find(entry => entry.Type == type) is { } entry ? (ReadOnlyMemory<byte>?)entry.Value : null;
    }

    // The two entries are of different ages and have to agree. Without either the driver is of a time that knew no other mode.
    private static DeviceMode? ReadMode(ReadOnlyMemory<byte>? protectedPcie, ReadOnlyMemory<byte>? flag)
    {
        const DeviceMode unknown = (DeviceMode)(-1);
        DeviceMode? byStatus = protectedPcie is not { } status ? null : status.Span switch
        {
            [0xAA] => DeviceMode.ProtectedPcie,
            [0x55] => DeviceMode.Cc,
            _ => unknown,
        };
        DeviceMode? byFlag = flag is not { } feature ? null : feature.Span switch
        {
            [0, 0] => DeviceMode.Cc,
            [1, 0] => DeviceMode.MultiGpu,
            [2, 0] => DeviceMode.ProtectedPcie,
            _ => unknown,
        };
        if (byStatus == unknown || byFlag == unknown)
            return null;
        if (byStatus is { } said && byFlag is { } flagged && (said == DeviceMode.ProtectedPcie) != (flagged == DeviceMode.ProtectedPcie))
            return null;
        return byFlag ?? byStatus ?? DeviceMode.Cc;
    }

    private static string[] Ids(ReadOnlyMemory<byte>? bytes, int most, bool isReversed)
    {
        var ids = new List<string>();
        for (var rest = bytes ?? default; rest.Length >= PdiSize && most > 0; rest = rest[PdiSize..], most--)
        {
            var id = rest.Span[..PdiSize].ToArray();
            // Nothing is at that link.
            if (!id.AsSpan().ContainsAnyExcept((byte)0) || !id.AsSpan().ContainsAnyExcept((byte)0xFF))
                continue;
            if (isReversed)
                Array.Reverse(id);
            ids.Add(Shown.Hex(id));
        }

        return [.. ids.Distinct(StringComparer.Ordinal)];
    }

    private static string? Named(string? text) => string.IsNullOrEmpty(text) ? null : text;

    // Printable, then nothing but NULs.
    private static string? Text(ReadOnlySpan<byte> value)
    {
        var end = value.IndexOf((byte)0);
        var text = end < 0 ? value : value[..end];
        return text.ContainsAnyExceptInRange((byte)0x21, (byte)0x7E) || (end >= 0 && value[end..].ContainsAnyExcept((byte)0)) || text.Length > 64
            ? null
            : Encoding.ASCII.GetString(text);
    }

    // Four bytes backwards, one of the maker of the board, three of nothing.
    private static string? Vbios(ReadOnlySpan<byte> value) =>
        value.Length == 8 && !value[5..].ContainsAnyExcept((byte)0) ? $"{value[3]:X2}.{value[2]:X2}.{value[1]:X2}.{value[0]:X2}.{value[4]:X2}" : null;

    private static string? SwitchBios(ReadOnlySpan<byte> value) => Text(value) is { } text && FirmwareVersion.IsVbios(text) ? text : null;
}
