// spec/attestation.md section 6, "TCB status": what Intel's documents say of a platform, before any policy is asked.
using System.Text.Json;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>What Intel says of a platform's security versions. Believed only as far as the factors of the documents go.</summary>
public sealed record TdxTcb : IPlatformFacts
{
    /// <summary>The three below combined.</summary>
    public required TcbStatus Status { get; init; }

    public required TcbStatus PlatformStatus { get; init; }

    public required TcbStatus ModuleStatus { get; init; }

    public required TcbStatus QeStatus { get; init; }

    /// <summary>Of all matched levels that are not up to date, each once; texts of Intel's.</summary>
    public required IReadOnlyList<string> Advisories { get; init; }

    /// <summary>What keeps platform, module and QE from the first of their levels; empty where nothing does.</summary>
    public required IReadOnlyList<string> TooLow { get; init; }

    /// <summary>When the matched level of the platform was current last; null where none matches.</summary>
    public required DateTimeOffset? PlatformDate { get; init; }

    /// <summary>The earliest tcbDate of the matched levels that are OutOfDate, of platform, module and QE; null where none is.</summary>
    public required DateTimeOffset? OutOfDateSince { get; init; }

    /// <summary>6 bytes.</summary>
    public required ReadOnlyMemory<byte> Fmspc { get; init; }

    /// <summary>tcbEvaluationDataNumber of TCB info.</summary>
    public required int TcbInfoEvaluation { get; init; }

    /// <summary>tcbEvaluationDataNumber of QE identity.</summary>
    public required int QeIdentityEvaluation { get; init; }

    public required DateTimeOffset TcbInfoIssued { get; init; }

    public required DateTimeOffset TcbInfoNextUpdate { get; init; }

    public required DateTimeOffset QeIdentityIssued { get; init; }

    public required DateTimeOffset QeIdentityNextUpdate { get; init; }

    string IPlatformFacts.Name => "tcb";

    void IPlatformFacts.WriteMembers(Utf8JsonWriter json)
    {
        json.WriteString("status", $"{Status}");
        json.WriteString("platform_status", $"{PlatformStatus}");
        json.WriteString("module_status", $"{ModuleStatus}");
        json.WriteString("qe_status", $"{QeStatus}");
        WriteTexts("advisories", Advisories);
        WriteTexts("below_first_level", TooLow);
        json.WriteString("fmspc", Shown.Hex(Fmspc.Span));
        if (PlatformDate is { } date)
            json.WriteString("tcb_date", Shown.Date(date));
        json.WriteNumber("tcb_info_evaluation", TcbInfoEvaluation);
        json.WriteNumber("qe_identity_evaluation", QeIdentityEvaluation);
        json.WriteString("tcb_info_issued", Shown.Date(TcbInfoIssued));
        json.WriteString("tcb_info_next_update", Shown.Date(TcbInfoNextUpdate));
        json.WriteString("qe_identity_issued", Shown.Date(QeIdentityIssued));
        json.WriteString("qe_identity_next_update", Shown.Date(QeIdentityNextUpdate));

        void WriteTexts(string name, IEnumerable<string> texts)
        {
            json.WriteStartArray(name);
            foreach (var text in texts)
                json.WriteStringValue(Shown.Text(text));
            json.WriteEndArray();
        }
    }

    internal static TdxTcb Read(TdxQuote quote, PckExtension platform, TcbInfo info, QeIdentity identity)
    {
        var svn = quote.Report.TeeTcbSvn.Span;
        var level = Match(info, platform, quote.Report.TeeTcbSvn);
        // A module of version 0 is judged by the platform's components alone.
        var moduleLevels = info.ModuleOf(quote.Report)?.Levels ?? [];
        var module = svn[1] == 0 ? IsvLevel.UpToDate : IsvLevel.Match(moduleLevels, svn[0]);
        var qe = IsvLevel.Match(identity.Levels, quote.Qe.IsvSvn);
        var platformStatus = level?.Status ?? TcbStatus.NoMatchingTcbLevel;
        return new TdxTcb
        {
            Status = TcbStatusNames.Combine(platformStatus, module.Status, qe.Status),
            PlatformStatus = platformStatus,
            ModuleStatus = module.Status,
            QeStatus = qe.Status,
            Advisories =
            [
                .. Open(platformStatus, level?.Advisories).Concat(Open(module.Status, module.Advisories)).Concat(Open(qe.Status, qe.Advisories))
                    .Distinct(StringComparer.Ordinal),
            ],
            TooLow =
            [
                .. info.Levels.Count == 0 ? [] : info.Levels[0].TooLow(platform, svn),
                .. svn[1] == 0 ? [] : TooLow("the TDX module's isvsvn", svn[0], moduleLevels),
                .. TooLow("the QE's isvsvn", quote.Qe.IsvSvn, identity.Levels),
            ],
            PlatformDate = level?.Date,
            OutOfDateSince =
                new[] { (Status: platformStatus, Date: level?.Date ?? default), (module.Status, module.Date), (qe.Status, qe.Date) }
                    .Where(part => part.Status == TcbStatus.OutOfDate).Select(part => (DateTimeOffset?)part.Date).Min(),
            Fmspc = platform.Fmspc,
            TcbInfoEvaluation = info.EvaluationNumber,
            QeIdentityEvaluation = identity.EvaluationNumber,
            TcbInfoIssued = info.IssueDate,
            TcbInfoNextUpdate = info.NextUpdate,
            QeIdentityIssued = identity.IssueDate,
            QeIdentityNextUpdate = identity.NextUpdate,
        };

        static IEnumerable<string> Open(TcbStatus status, IReadOnlyList<string>? advisories) => status == TcbStatus.UpToDate ? [] : advisories ?? [];

        static string[] TooLow(string name, int found, IReadOnlyList<IsvLevel> levels) =>
            levels.Count > 0 && found < levels[0].IsvSvn ? [$"{name} {found} of {levels[0].IsvSvn}"] : [];
    }

    // The first that is reached, in the order of the list.
    private static TcbLevel? Match(TcbInfo info, PckExtension platform, ReadOnlyMemory<byte> svn) =>
        info.Levels.FirstOrDefault(level => level.IsReachedBy(platform, svn.Span));
}
