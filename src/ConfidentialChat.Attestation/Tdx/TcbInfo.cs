// spec/attestation.md section 6, checks 11 to 13 and 17 to 20.
namespace ConfidentialChat.Attestation.Tdx;

/// <summary>What Intel says of the security versions of one kind of platform.</summary>
internal sealed record TcbInfo
{
    public required string Id { get; init; }

    public required int Version { get; init; }

    public required DateTimeOffset IssueDate { get; init; }

    public required DateTimeOffset NextUpdate { get; init; }

    public required byte[] Fmspc { get; init; }

    public required byte[] PceId { get; init; }

    public required int EvaluationNumber { get; init; }

    /// <summary>The TDX module of major version 0.</summary>
    public required ModuleIdentity TdxModule { get; init; }

    /// <summary>The TDX modules of later versions.</summary>
    public required IReadOnlyList<ModuleIdentity> Modules { get; init; }

    public required IReadOnlyList<TcbLevel> Levels { get; init; }

    /// <summary>The identity of a report's TDX module, by its major version; null where there is none.</summary>
    public ModuleIdentity? ModuleOf(TdReport report)
    {
        var major = report.TeeTcbSvn.Span[1];
        return major == 0 ? TdxModule : Modules.FirstOrDefault(candidate => candidate.Id == ModuleName(major));
    }

    public static string ModuleName(byte major) => $"TDX_{major:X2}";

    public static TcbInfo? Read(JsonFields fields)
    {
        var id = fields.Text("id");
        var version = (int)fields.Number("version", 0, int.MaxValue);
        if (fields.Fault is null && (id != "TDX" || version != 3))
        {
            // Before the rest: the TCB info of SGX has no TDX parts to complain about.
            fields.Wrong(new Rejection(RejectionCode.Mismatch, "TCB info of TDX, version 3", $"of {Shown.Text(id)}, version {version}"));
            return null;
        }

        // Another kind compares the components by another rule.
        var type = (int)fields.Number("tcbType", 0, int.MaxValue);
        if (fields.Fault is null && type != 0)
        {
            fields.Wrong(new Rejection(RejectionCode.Unsupported, "tcbType 0", $"{type}"));
            return null;
        }

        return new TcbInfo
        {
            Id = id,
            Version = version,
            IssueDate = fields.Date("issueDate"),
            NextUpdate = fields.Date("nextUpdate"),
            Fmspc = fields.Hex("fmspc", 6),
            PceId = fields.Hex("pceId", 2),
            EvaluationNumber = (int)fields.Number("tcbEvaluationDataNumber", 0, int.MaxValue),
            TdxModule = ModuleIdentity.Read(fields.Object("tdxModule"), "", []),
            Modules =
            [
                .. fields.OptionalList("tdxModuleIdentities", Bounds.TcbLevelCount)
                    .Select(module => ModuleIdentity.Read(module, module.Text("id"), IsvLevel.ReadList(module))),
            ],
            Levels = [.. fields.List("tcbLevels", Bounds.TcbLevelCount).Select(TcbLevel.Read)],
        };
    }
}

/// <summary>Who signs a TDX module, and its levels.</summary>
internal sealed record ModuleIdentity(string Id, byte[] MrSigner, byte[] Attributes, byte[] AttributesMask, IReadOnlyList<IsvLevel> Levels)
{
    public static ModuleIdentity Read(JsonFields fields, string id, IReadOnlyList<IsvLevel> levels) =>
        new(id, fields.Hex("mrsigner", 48), fields.Hex("attributes", 8), fields.Hex("attributesMask", 8), levels);
}

/// <summary>One level of a platform's TCB.</summary>
internal sealed record TcbLevel(int[] Sgx, int PceSvn, int[] Tdx, TcbStatus Status, IReadOnlyList<string> Advisories, DateTimeOffset Date)
{
    public static TcbLevel Read(JsonFields fields)
    {
        var tcb = fields.Object("tcb");
        return new TcbLevel(
            Components(tcb, "sgxtcbcomponents"), (int)tcb.Number("pcesvn", 0, ushort.MaxValue), Components(tcb, "tdxtcbcomponents"),
            IsvLevel.ReadStatus(fields), fields.OptionalTexts("advisoryIDs", Bounds.TcbLevelCount), fields.Date("tcbDate"));
    }

    /// <summary>Whether the platform is at least at this level.</summary>
    /// <param name="pck">The platform as certified.</param>
    /// <param name="teeTcbSvn">16 bytes of the quote.</param>
    public bool IsReachedBy(PckExtension pck, ReadOnlySpan<byte> teeTcbSvn)
    {
        // The module's own identity judges bytes 0 and 1 where it has one.
        var first = teeTcbSvn[1] > 0 ? 2 : 0;
        return AtLeast(pck.Components.Span, Sgx) && pck.PceSvn >= PceSvn && AtLeast(teeTcbSvn[first..], Tdx.AsSpan(first));
    }

    /// <summary>Which of the platform's security versions are below this level's, each with both numbers.</summary>
    public IReadOnlyList<string> TooLow(PckExtension pck, ReadOnlySpan<byte> teeTcbSvn)
    {
        var low = new List<string>();
        for (var i = 0; i < Sgx.Length; i++)
        {
            if (pck.Components.Span[i] < Sgx[i])
                low.Add($"sgxtcbcomponents[{i}] {pck.Components.Span[i]} of {Sgx[i]}");
        }

        if (pck.PceSvn < PceSvn)
            low.Add($"pcesvn {pck.PceSvn} of {PceSvn}");
        for (var i = teeTcbSvn[1] > 0 ? 2 : 0; i < Tdx.Length; i++)
        {
            if (teeTcbSvn[i] < Tdx[i])
                low.Add($"tee_tcb_svn[{i}] {teeTcbSvn[i]} of {Tdx[i]}");
        }

        return low;
    }

    private static bool AtLeast(ReadOnlySpan<byte> found, ReadOnlySpan<int> level)
    {
        for (var i = 0; i < level.Length; i++)
        {
            if (found[i] < level[i])
                return false;
        }

        return true;
    }

    private static int[] Components(JsonFields tcb, string name)
    {
        var components = tcb.List(name, 16);
        if (tcb.Fault is null && components.Count != 16)
            tcb.Wrong(name, "16 components");
        return [.. components.Select(component => (int)component.Number("svn", 0, ushort.MaxValue))];
    }
}
