// spec/attestation.md section 10, table [sev_snp].
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>What a policy accepts of SEV-SNP. Immutable.</summary>
public sealed record SevSnpPolicy
{
    internal const int LowestLevel = 3;

    private const int DigestSize = 48; // SHA-384
    private const int HostDataSize = 32;

    /// <summary>Accepts reports that a cloud provider's key signs: they name no chip.</summary>
    public bool AllowVlek { get; init; } = true;

    /// <summary>Accepts reports whose host hides the chip's id; the VCEK names it all the same.</summary>
    public bool AllowMaskedChipId { get; init; }

    public bool AllowSmt { get; init; } = true;

    public bool AllowMigration { get; init; }

    public bool AllowCxl { get; init; }

    public bool RequireSingleSocket { get; init; }

    /// <summary>Refuses evidence without AMD's revocation list.</summary>
    public bool RequireCrl { get; init; }

    /// <summary>0 to 3. A report of a higher number is by software that the levels above it can replace.</summary>
    public int MaxVmpl { get; init; } = LowestLevel;

    /// <summary>Bits that have to be set: of <see cref="SevSnp.PlatformInfo.Names"/>.</summary>
    public IReadOnlyList<string> PlatformInfo { get; init; } = [];

    /// <summary>Bits that must not be set, of the same names.</summary>
    public IReadOnlyList<string> PlatformInfoForbidden { get; init; } = [];

    /// <summary>The lines of processors that are accepted, by their names in lower case.</summary>
    public IReadOnlyList<string> Products { get; init; } = ProductNames;

    /// <summary>Whose VLEKs are accepted; empty is anybody's.</summary>
    public IReadOnlyList<string> CspIds { get; init; } = [];

    /// <summary>Accepts firmware that its host may still roll back: current beyond committed.</summary>
    public bool AllowProvisionalFirmware { get; init; } = true;

    /// <summary>Bits that both mitigation vectors need.</summary>
    public IReadOnlyList<int> Mitigations { get; init; } = [];

    /// <summary>Floors of single models, in the place of their product's: by family and model in hexadecimal, <c>19-a0</c>.</summary>
    public IReadOnlyDictionary<string, TcbFloor> ModelFloors { get; init; } = new Dictionary<string, TcbFloor>();

    public ReferenceValues Measurement { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues HostData { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues IdKeyDigest { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues AuthorKeyDigest { get; init; } = ReferenceValues.Unnamed;

    /// <summary>Whole releases, one of which has to match.</summary>
    public IReadOnlyList<ReferenceSet> References { get; init; } = [];

    public TcbFloor MilanFloor { get; init; } = new();

    public TcbFloor GenoaFloor { get; init; } = new();

    public TcbFloor TurinFloor { get; init; } = new();

    private static IReadOnlyList<string> ProductNames => [.. SevSnpProduct.All.Select(product => product.Name.ToLowerInvariant())];

    internal static SevSnpPolicy Read(PolicyTable table)
    {
        var (milan, genoa, turin) = (table.Table("milan"), table.Table("genoa"), table.Table("turin"));
        var models = table.Table("models").Tables();
        var policy = new SevSnpPolicy
        {
            PlatformInfoForbidden = table.Words("platform_info_forbidden", [], SevSnp.PlatformInfo.Names),
            Products = table.Words("products", ProductNames, ProductNames),
            CspIds = table.Words("csp_ids", []),
            AllowProvisionalFirmware = table.Flag("allow_provisional_firmware", fallback: true),
            Mitigations = table.Numbers("mitigations", 63),
            ModelFloors = models.ToDictionary(model => ModelName(model.Name), model => TcbFloor.Read(model.Table), StringComparer.Ordinal),
            AllowVlek = table.Flag("allow_vlek", fallback: true),
            AllowMaskedChipId = table.Flag("allow_masked_chip_id", fallback: false),
            AllowSmt = table.Flag("allow_smt", fallback: true),
            AllowMigration = table.Flag("allow_migration", fallback: false),
            AllowCxl = table.Flag("allow_cxl", fallback: false),
            RequireSingleSocket = table.Flag("require_single_socket", fallback: false),
            RequireCrl = table.Flag("require_crl", fallback: false),
            MaxVmpl = Limited(table, "max_vmpl", LowestLevel, LowestLevel),
            PlatformInfo = table.Words("platform_info", [], SevSnp.PlatformInfo.Names),
            Measurement = table.Values("measurement", DigestSize),
            HostData = table.Values("host_data", HostDataSize),
            IdKeyDigest = table.Values("id_key_digest", DigestSize),
            AuthorKeyDigest = table.Values("author_key_digest", DigestSize),
            References = ReferenceSet.Read(
                table.Table("reference"),
                [("measurement", DigestSize), ("host_data", HostDataSize), ("id_key_digest", DigestSize), ("author_key_digest", DigestSize)],
                ["measurement"]),
            MilanFloor = TcbFloor.Read(milan, SevSnpProduct.Milan),
            GenoaFloor = TcbFloor.Read(genoa, SevSnpProduct.Genoa),
            TurinFloor = TcbFloor.Read(turin, SevSnpProduct.Turin),
        };
        foreach (var floor in (PolicyTable[])[milan, genoa, turin, .. models.Select(model => model.Table)])
            floor.End();
        return policy;
    }

    internal static int Limited(PolicyTable table, string key, int fallback, int highest) =>
        table.Number(key, fallback) is var number && number <= highest ? number
            : throw new PolicyException($"the policy's sev_snp {key} is wrong: expected 0 to {highest}", "./cchat policy init prints one that is right");

    /// <summary>The registers of a report beside what this policy says of them, in the order of their factors.</summary>
    internal IReadOnlyList<MeasuredRegister> Registers(SevSnpReport report) =>
    [
        new(SevSnpFactors.Measurement, "measurement", report.Measurement, Measurement, IsProgram: true),
        new(SevSnpFactors.HostData, "host_data", report.HostData, HostData, IsProgram: false),
        new(SevSnpFactors.IdKeyDigest, "id_key_digest", report.IdKeyDigest, IdKeyDigest, IsProgram: false),
        new(SevSnpFactors.AuthorKeyDigest, "author_key_digest", report.AuthorKeyDigest, AuthorKeyDigest, IsProgram: false),
    ];

    internal TcbFloor Floor(SevSnpProduct product) =>
        product == SevSnpProduct.Milan ? MilanFloor : product == SevSnpProduct.Genoa ? GenoaFloor : TurinFloor;

    /// <summary>The floor of a model where it has one; where a report does not say its model, the highest that it could have.</summary>
    internal TcbFloor Floor(SevSnpProduct product, Cpuid? cpuid)
    {
        if (cpuid is { } named)
            return ModelFloors.GetValueOrDefault($"{named.Family:x2}-{named.Model:x2}") ?? Floor(product);
        return ModelFloors.Where(floor => product.Includes(new Cpuid(Hex(floor.Key[..2]), Hex(floor.Key[3..]), 0)))
            .Aggregate(Floor(product), (highest, floor) => highest.Max(floor.Value));
    }

    private static byte Hex(string digits) => Convert.FromHexString(digits)[0];

    private static string ModelName(string name) =>
        name.Length == 5 && name[2] == '-' && name.Remove(2, 1).All(char.IsAsciiHexDigitLower) ? name
            : throw new PolicyException(
                $"the policy's sev_snp.models.{Shown.Text(name)} is no model", "family and model, two hexadecimal digits each in lower case: 19-a0");

    internal void Write(PolicyText text)
    {
        text.Table("sev_snp", "AMD SEV-SNP");
        text.Flag("allow_vlek", AllowVlek, "keys of a cloud provider, for any of its chips");
        text.Flag("allow_masked_chip_id", AllowMaskedChipId, "hosts that hide the chip's id; the VCEK still names it");
        text.Flag("allow_smt", AllowSmt, "a sibling thread shares caches with the guest");
        text.Flag("allow_migration", AllowMigration, "a migration agent moves the guest to where nothing was verified");
        text.Flag("allow_cxl", AllowCxl, "memory outside the socket");
        text.Flag("require_single_socket", RequireSingleSocket, null);
        text.Flag("require_crl", RequireCrl, "refuses evidence without AMD's revocation list");
        text.Number("max_vmpl", MaxVmpl, "0 to 3; above 0 a guest runs under a module, of its cloud for example");
        text.Words("platform_info", PlatformInfo, "demanded: " + string.Join(", ", SevSnp.PlatformInfo.Names));
        text.Words("platform_info_forbidden", PlatformInfoForbidden, "must not be set, of the same");
        text.Words("products", Products, "accepted; leave \"milan\" out where keys derived from its published seed are feared");
        text.Words("csp_ids", CspIds, "whose VLEKs; none named is anybody's");
        text.Flag("allow_provisional_firmware", AllowProvisionalFirmware, "firmware that its host may still roll back");
        text.Numbers("mitigations", Mitigations, "bits that launch and current mitigation vector need");
        text.Values("measurement", Measurement, "the launched memory. Lists of values, or \"any\"; an empty list names none");
        text.Values("host_data", HostData, "given by whoever started the guest; checked where named, like the next");
        text.Values("id_key_digest", IdKeyDigest, "who signed the guest's ID block");
        text.Values("author_key_digest", AuthorKeyDigest, "who signed that key");
        text.Comment("[sev_snp.reference.NAME] is a release: measurement, and others of the above, one value each or \"any\"; one of them matches whole");
        foreach (var set in References)
            set.Write(text, "sev_snp.reference");
        foreach (var product in SevSnpProduct.All)
        {
            text.Table($"sev_snp.{product.Name.ToLowerInvariant()}", $"TCB floor of {product}: AMD's security bulletins say which");
            Floor(product).Write(text, product);
        }

        text.Comment("[sev_snp.models.FAMILY-MODEL], 19-a0 for example, is the floor of one model in the place of its product's");
        foreach (var (model, floor) in ModelFloors)
        {
            text.Table($"sev_snp.models.{model}", "TCB floor of one model");
            floor.Write(text);
        }
    }
}

/// <summary>The least security versions that are accepted of a product; 0 is any.</summary>
public sealed record TcbFloor
{
    /// <summary>Turin and later.</summary>
    public int Fmc { get; init; }

    public int Bootloader { get; init; }

    public int Tee { get; init; }

    public int Snp { get; init; }

    public int Microcode { get; init; }

    internal static TcbFloor Read(PolicyTable table) => new()
    {
        Fmc = Read(table, TcbComponent.Fmc),
        Bootloader = Read(table, TcbComponent.Bootloader),
        Tee = Read(table, TcbComponent.Tee),
        Snp = Read(table, TcbComponent.Snp),
        Microcode = Read(table, TcbComponent.Microcode),
    };

    internal static TcbFloor Read(PolicyTable table, SevSnpProduct product) => new()
    {
        Fmc = product.Components.Contains(TcbComponent.Fmc) ? Read(table, TcbComponent.Fmc) : 0,
        Bootloader = Read(table, TcbComponent.Bootloader),
        Tee = Read(table, TcbComponent.Tee),
        Snp = Read(table, TcbComponent.Snp),
        Microcode = Read(table, TcbComponent.Microcode),
    };

    internal int Of(TcbComponent component) => component switch
    {
        TcbComponent.Fmc => Fmc,
        TcbComponent.Bootloader => Bootloader,
        TcbComponent.Tee => Tee,
        TcbComponent.Snp => Snp,
        TcbComponent.Microcode => Microcode,
        _ => 0,
    };

    /// <summary>The higher of each.</summary>
    internal TcbFloor Max(TcbFloor other) => new()
    {
        Fmc = Math.Max(Fmc, other.Fmc),
        Bootloader = Math.Max(Bootloader, other.Bootloader),
        Tee = Math.Max(Tee, other.Tee),
        Snp = Math.Max(Snp, other.Snp),
        Microcode = Math.Max(Microcode, other.Microcode),
    };

    /// <summary>Whether it demands nothing.</summary>
    internal bool IsOpen => TcbComponents.Named.All(component => Of(component) == 0);

    /// <summary>The first security version that is too low; null where each is high enough.</summary>
    internal TcbComponent? Below(TcbVersion version, SevSnpProduct product)
    {
        foreach (var component in TcbComponents.Named)
        {
            if ((version.Of(component, product) ?? 0) < Of(component))
                return component;
        }

        return null;
    }

    internal void Write(PolicyText text)
    {
        foreach (var component in TcbComponents.Named)
            text.Number(component.Spell(), Of(component), null);
    }

    internal void Write(PolicyText text, SevSnpProduct product)
    {
        foreach (var component in Named(product))
            text.Number(component.Spell(), Of(component), null);
    }

    internal string ToString(SevSnpProduct product) => string.Join(", ", Named(product).Select(component => $"{component.Spell()} {Of(component)}"));

    private static IEnumerable<TcbComponent> Named(SevSnpProduct product) => TcbComponents.Named.Where(product.Components.Contains);

    private static int Read(PolicyTable table, TcbComponent component) => SevSnpPolicy.Limited(table, component.Spell(), 0, byte.MaxValue);
}
