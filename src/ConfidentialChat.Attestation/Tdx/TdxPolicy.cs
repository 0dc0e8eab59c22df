// spec/attestation.md section 10, table [tdx].
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>What a policy accepts of TDX. Immutable.</summary>
public sealed record TdxPolicy
{
    private const int RegisterSize = 48; // SHA-384
    private const int SvnSize = 16;
    private const string Dated = "dated";

    public IReadOnlyList<TcbStatus> TcbStatuses { get; init; } = [TcbStatus.UpToDate];

    /// <summary>Intel's advisories that are accepted on levels that are not up to date.</summary>
    public IReadOnlyList<string> Advisories { get; init; } = [];

    /// <summary>The least of Intel's evaluations that may judge a platform; null is the dated table that ships, section 6 check 20.</summary>
    public int? MinTcbEvaluationDataNumber { get; init; }

    /// <summary>16 bytes, each of which tee_tcb_svn has to reach; null demands nothing.</summary>
    public ReadOnlyMemory<byte>? MinTeeTcbSvn { get; init; }

    /// <summary>How long after the tcbDate of its level an OutOfDate platform is still accepted; zero is not at all.</summary>
    public TimeSpan OutOfDateGrace { get; init; }

    /// <summary>Numbers of bits that xfam needs. 0 and 1 are set in every TD of Intel's; where they are not, a verdict warns.</summary>
    public IReadOnlyList<int> Xfam { get; init; } = [];

    public bool AllowPerfmon { get; init; }

    public bool AllowMigration { get; init; }

    public bool RequireSeptVeDisable { get; init; }

    public ReferenceValues MrTd { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues Rtmr0 { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues Rtmr1 { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues Rtmr2 { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues Rtmr3 { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues MrConfigId { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues MrOwner { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues MrOwnerConfig { get; init; } = ReferenceValues.Unnamed;

    public ReferenceValues MrSeam { get; init; } = ReferenceValues.Unnamed;

    /// <summary>What service TD may be bound: the migration TD. Named, it may be bound without <see cref="AllowMigration"/>.</summary>
    public ReferenceValues MrServiceTd { get; init; } = ReferenceValues.Unnamed;

    /// <summary>Whole releases, one of which has to match.</summary>
    public IReadOnlyList<ReferenceSet> References { get; init; } = [];

    /// <summary>The registers that name the program, by their names in a policy.</summary>
    internal static IReadOnlyList<string> Program { get; } = ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3"];

    internal static TdxPolicy Read(PolicyTable table) => new()
    {
        TcbStatuses = [.. table.Words("tcb_statuses", [nameof(TcbStatus.UpToDate)], TcbStatusNames.Acceptable).Select(Enum.Parse<TcbStatus>)],
        Advisories = table.Words("advisories", []),
        MinTcbEvaluationDataNumber = table.NumberOr("min_tcb_evaluation_data_number", Dated),
        MinTeeTcbSvn = table.Bytes("min_tee_tcb_svn", SvnSize) is { } least ? (ReadOnlyMemory<byte>?)least : null,
        OutOfDateGrace = table.Duration("out_of_date_grace", TimeSpan.Zero, mayBeUnlimited: false)!.Value,
        Xfam = table.Numbers("xfam", 63),
        AllowPerfmon = table.Flag("allow_perfmon", fallback: false),
        AllowMigration = table.Flag("allow_migration", fallback: false),
        RequireSeptVeDisable = table.Flag("require_sept_ve_disable", fallback: false),
        MrTd = table.Values("mr_td", RegisterSize),
        Rtmr0 = table.Values("rtmr0", RegisterSize),
        Rtmr1 = table.Values("rtmr1", RegisterSize),
        Rtmr2 = table.Values("rtmr2", RegisterSize),
        Rtmr3 = table.Values("rtmr3", RegisterSize),
        MrConfigId = table.Values("mr_config_id", RegisterSize),
        MrOwner = table.Values("mr_owner", RegisterSize),
        MrOwnerConfig = table.Values("mr_owner_config", RegisterSize),
        MrSeam = table.Values("mr_seam", RegisterSize),
        MrServiceTd = table.Values("mr_service_td", RegisterSize),
        References = ReferenceSet.Read(
            table.Table("reference"),
            [
                .. ((IEnumerable<string>)[.. Program, "mr_config_id", "mr_owner", "mr_owner_config", "mr_seam", "mr_service_td"])
                    .Select(name => (name, RegisterSize)),
            ],
            Program),
    };

    /// <summary>The registers of a report beside what this policy says of them, in the order of their factors.</summary>
    internal IReadOnlyList<MeasuredRegister> Registers(TdReport report) =>
    [
        new(TdxFactors.MrTd, "mr_td", report.MrTd, MrTd, IsProgram: true),
        new(TdxFactors.Rtmr0, "rtmr0", report.Rtmr(0), Rtmr0, IsProgram: true),
        new(TdxFactors.Rtmr1, "rtmr1", report.Rtmr(1), Rtmr1, IsProgram: true),
        new(TdxFactors.Rtmr2, "rtmr2", report.Rtmr(2), Rtmr2, IsProgram: true),
        new(TdxFactors.Rtmr3, "rtmr3", report.Rtmr(3), Rtmr3, IsProgram: true),
        new(TdxFactors.MrConfigId, "mr_config_id", report.MrConfigId, MrConfigId, IsProgram: false),
        new(TdxFactors.MrOwner, "mr_owner", report.MrOwner, MrOwner, IsProgram: false),
        new(TdxFactors.MrOwnerConfig, "mr_owner_config", report.MrOwnerConfig, MrOwnerConfig, IsProgram: false),
        new(TdxFactors.MrSeam, "mr_seam", report.MrSeam, MrSeam, IsProgram: false),
        new(TdxFactors.MrServiceTd, "mr_service_td", report.MrServiceTd, MrServiceTd, IsProgram: false),
    ];

    /// <summary>Whether the service TD is one that this policy names, in its list or in a set that matches whole.</summary>
    internal bool KnowsServiceTd(TdReport report)
    {
        if (!MrServiceTd.IsUnnamed)
            return !MrServiceTd.IsAny && MrServiceTd.Accepts(report.MrServiceTd.Span);
        var registers = Registers(report);
        return References.Any(set => set.Values.TryGetValue("mr_service_td", out var values) && !values.IsAny && set.Differing(registers).Count == 0);
    }

    internal void Write(PolicyText text)
    {
        text.Table("tdx", "Intel TDX");
        text.Words("tcb_statuses", TcbStatuses.Select(status => status.ToString()), "accepted: " + string.Join(", ", TcbStatusNames.Acceptable));
        text.Words("advisories", Advisories, "Intel's advisories that are accepted on a level that is not UpToDate");
        text.NumberOr(
            "min_tcb_evaluation_data_number", MinTcbEvaluationDataNumber, Dated,
            "or a number: refuses older evaluations that are still within their dates");
        text.Word("min_tee_tcb_svn", MinTeeTcbSvn is { } least ? Shown.Hex(least.Span) : "any", "or 32 digits: the least of each byte of tee_tcb_svn");
        text.Word("out_of_date_grace", PolicyText.Duration(OutOfDateGrace), "an OutOfDate level is accepted for so long after its tcbDate, advisories too");
        text.Numbers("xfam", Xfam, "bits of xfam that are demanded; 0 and 1 are set in every TD");
        text.Flag("allow_perfmon", AllowPerfmon, "performance counters are a side channel");
        text.Flag("allow_migration", AllowMigration, "a migrated TD runs where nothing was verified");
        text.Flag("require_sept_ve_disable", RequireSeptVeDisable, "the host cannot inject exceptions by unmapping memory");
        text.Values("mr_td", MrTd, "the firmware. Lists of values, or \"any\"; an empty list names none");
        text.Values("rtmr0", Rtmr0, "the virtual hardware");
        text.Values("rtmr1", Rtmr1, "the kernel");
        text.Values("rtmr2", Rtmr2, "its command line and initial file system");
        text.Values("rtmr3", Rtmr3, "what the image measures at run time; 48 zero bytes where it does not");
        text.Values("mr_config_id", MrConfigId, "given by whoever started the TD; checked where named, like the next");
        text.Values("mr_owner", MrOwner, null);
        text.Values("mr_owner_config", MrOwnerConfig, null);
        text.Values("mr_seam", MrSeam, "the TDX module's own measurement");
        text.Values("mr_service_td", MrServiceTd, "the migration TD that is bound; zeros are none");
        text.Comment("[tdx.reference.NAME] is a release: mr_td, rtmr0 to rtmr3, and others of the above, one value each or \"any\"; one of them matches whole");
        foreach (var set in References)
            set.Write(text, "tdx.reference");
    }
}
