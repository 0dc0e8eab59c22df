// spec/attestation.md section 8.
using System.Buffers.Binary;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>An attestation report, version 2 to 5, with nothing in it that its version does not define. Parsed, not verified. Sizes in bytes.</summary>
public sealed class SevSnpReport
{
    public const int Size = 1184;

    private const int SignedSize = 0x2A0;
    private const int ComponentSize = 72; // r and s, little endian, of which P-384 needs 48
    private const uint EcdsaP384Sha384 = 1;
    private const int LowestLevel = 3;

    private SevSnpReport(ReadOnlyMemory<byte> bytes) => Bytes = bytes;

    /// <summary>All of it.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>2 to 5.</summary>
    public int Version => (int)UInt32(0x000);

    /// <summary>The guest's own security version, as its ID block has it.</summary>
    public uint GuestSvn => UInt32(0x004);

    /// <summary>What the guest allowed the host when it was launched.</summary>
    public GuestPolicy GuestPolicy => new(UInt64(0x008));

    /// <summary>16.</summary>
    public ReadOnlyMemory<byte> FamilyId => Bytes.Slice(0x010, 16);

    /// <summary>16.</summary>
    public ReadOnlyMemory<byte> ImageId => Bytes.Slice(0x020, 16);

    /// <summary>The privilege level that asked for the report: 0, the highest, to 3.</summary>
    public int Vmpl => (int)UInt32(0x030);

    /// <summary>Of the firmware that runs.</summary>
    public TcbVersion CurrentTcb => new(UInt64(0x038));

    public PlatformInfo PlatformInfo => new(UInt64(0x040));

    /// <summary>The author's key signed the ID key.</summary>
    public bool HasAuthorKey => (UInt32(0x048) & 1) != 0;

    /// <summary>The host told the firmware to sign nothing.</summary>
    public bool IsKeyMasked => (UInt32(0x048) & 2) != 0;

    /// <summary>0 VCEK, 1 VLEK, 7 none.</summary>
    public int SigningKey => (int)(UInt32(0x048) >> 2) & 7;

    /// <summary>64.</summary>
    public ReadOnlyMemory<byte> ReportData => Bytes.Slice(0x050, 64);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> Measurement => Bytes.Slice(0x090, 48);

    /// <summary>32.</summary>
    public ReadOnlyMemory<byte> HostData => Bytes.Slice(0x0C0, 32);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> IdKeyDigest => Bytes.Slice(0x0E0, 48);

    /// <summary>48.</summary>
    public ReadOnlyMemory<byte> AuthorKeyDigest => Bytes.Slice(0x110, 48);

    /// <summary>32.</summary>
    public ReadOnlyMemory<byte> ReportId => Bytes.Slice(0x140, 32);

    /// <summary>32. All 0xFF where the guest has no migration agent.</summary>
    public ReadOnlyMemory<byte> ReportIdMa => Bytes.Slice(0x160, 32);

    /// <summary>The one that the signing key was derived from.</summary>
    public TcbVersion ReportedTcb => new(UInt64(0x180));

    /// <summary>Family, model and stepping; null in version 2, which does not say.</summary>
    public Cpuid? Cpuid => Version < 3 ? null : new Cpuid(Bytes.Span[0x188], Bytes.Span[0x189], Bytes.Span[0x18A]);

    /// <summary>64. Zeros where the host masks it.</summary>
    public ReadOnlyMemory<byte> ChipId => Bytes.Slice(0x1A0, 64);

    public bool IsChipMasked => !ChipId.Span.ContainsAnyExcept((byte)0);

    /// <summary>Below which the firmware cannot be rolled back.</summary>
    public TcbVersion CommittedTcb => new(UInt64(0x1E0));

    /// <summary>3: build, minor, major.</summary>
    public ReadOnlyMemory<byte> CurrentVersion => Bytes.Slice(0x1E8, 3);

    /// <summary>3: build, minor, major.</summary>
    public ReadOnlyMemory<byte> CommittedVersion => Bytes.Slice(0x1EC, 3);

    /// <summary>When the guest was launched.</summary>
    public TcbVersion LaunchTcb => new(UInt64(0x1F0));

    /// <summary>Which vulnerabilities were mitigated when the guest was launched, a bit each; zero before version 4.</summary>
    public ulong LaunchMitigations => UInt64(0x1F8);

    /// <summary>Which are now.</summary>
    public ulong CurrentMitigations => UInt64(0x200);

    /// <summary>What the signature is over.</summary>
    internal ReadOnlySpan<byte> Signed => Bytes.Span[..SignedSize];

    /// <summary>Reads a report; unknown versions and algorithms are refused by name.</summary>
    /// <param name="bytes">Exactly 1184; copied.</param>
    /// <param name="report">Null where it is refused.</param>
    public static Rejection? TryParse(ReadOnlySpan<byte> bytes, out SevSnpReport? report)
    {
        report = null;
        if (bytes.Length > Size)
            return Rejection.TooLarge(Size, bytes.Length);
        if (bytes.Length < Size)
            return Rejection.Malformed($"{Size} bytes", $"{bytes.Length}");
        var parsed = new SevSnpReport(bytes.ToArray());
        var version = parsed.UInt32(0x000);
        if (version is < 2 or > 5)
            return new Rejection(RejectionCode.Unsupported, "report version 2 to 5", $"{version}");
        if (parsed.UInt32(0x034) is not EcdsaP384Sha384 and var algorithm)
            return new Rejection(RejectionCode.Unsupported, "signature_algo 1, ECDSA P-384", $"{algorithm}");
        if (parsed.UInt32(0x030) is > LowestLevel and var level)
            return new Rejection(
                RejectionCode.Unsupported, "a report that the guest asked for, at VMPL 0 to 3",
                level == uint.MaxValue ? "one that the host asked for" : $"VMPL {level}");
        if ((parsed.UInt32(0x048) >> 5) != 0)
            return Rejection.Malformed("zeros in the reserved bits at 0x048", "others");
        foreach (var (from, to) in Reserved((int)version))
        {
            if (bytes[from..to].ContainsAnyExcept((byte)0))
                return Rejection.Malformed($"zeros in the reserved bytes at 0x{from:x3}", "others");
        }

        report = parsed;
        return null;
    }

    /// <summary>Writes r ‖ s, 48 bytes each, big endian.</summary>
    internal void CopySignature(Span<byte> signature)
    {
        for (var i = 0; i < 2; i++)
        {
            var component = signature.Slice(i * 48, 48);
            Bytes.Span.Slice(SignedSize + (i * ComponentSize), 48).CopyTo(component);
            component.Reverse();
        }
    }

    private static (int From, int To)[] Reserved(int version) =>
    [
        (0x04C, 0x050),
        (version < 3 ? 0x188 : 0x18B, 0x1A0),
        (0x1EB, 0x1EC),
        (0x1EF, 0x1F0),
        (version < 4 ? 0x1F8 : 0x208, SignedSize),
        (SignedSize + 48, SignedSize + ComponentSize),
        (SignedSize + ComponentSize + 48, SignedSize + (2 * ComponentSize)),
        (SignedSize + (2 * ComponentSize), Size),
    ];

    private uint UInt32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(Bytes.Span[offset..]);

    private ulong UInt64(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(Bytes.Span[offset..]);
}

/// <summary>What the guest allowed the host: section 8 rule 3.</summary>
/// <param name="Bits">All 64.</param>
public readonly record struct GuestPolicy(ulong Bits)
{
    private const int LastKnownBit = 25;

    /// <summary>The least version of the firmware's ABI: minor in bits 0 to 7, major in 8 to 15.</summary>
    public (int Major, int Minor) LeastAbi => ((byte)(Bits >> 8), (byte)Bits);

    public bool AllowsSmt => IsSet(16);

    public bool HasReservedBit => IsSet(17);

    public bool AllowsMigration => IsSet(18);

    public bool AllowsDebug => IsSet(19);

    public bool DemandsSingleSocket => IsSet(20);

    public bool AllowsCxl => IsSet(21);

    /// <summary>Bits that have no meaning yet.</summary>
    internal ulong Unknown => Bits >> (LastKnownBit + 1) << (LastKnownBit + 1);

    public override string ToString() => $"0x{Bits:x}";

    private bool IsSet(int bit) => ((Bits >> bit) & 1) != 0;
}

/// <summary>How the machine is set up, as its firmware says: section 8 rule 4.</summary>
/// <param name="Bits">All 64.</param>
public readonly record struct PlatformInfo(ulong Bits)
{
    private static readonly (string Name, int Bit)[] Named =
        [("smt", 0), ("tsme", 1), ("ecc", 2), ("rapl_disabled", 3), ("ciphertext_hiding", 4), ("alias_check_complete", 5), ("tio_enabled", 7)];

    /// <summary>The bits that a policy may demand or forbid, by their names in it.</summary>
    public static IReadOnlyCollection<string> Names { get; } = [.. Named.Select(bit => bit.Name)];

    public bool IsSet(string name)
    {
        var bits = Bits;
        return Array.Exists(Named, bit => bit.Name == name && ((bits >> bit.Bit) & 1) != 0);
    }

    public override string ToString() => $"0x{Bits:x}";
}

/// <summary>Which processor it is; family and model with their extended parts, as CPUID has them.</summary>
public readonly record struct Cpuid(byte Family, byte Model, byte Stepping)
{
    public override string ToString() => $"family {Family:x2}, model {Model:x2}, stepping {Stepping:x}";
}
