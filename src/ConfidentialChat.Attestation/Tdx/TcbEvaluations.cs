// spec/attestation.md section 6, check 20. Source: Intel PCS API version 4, tcbevaluationdatanumbers.
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>
/// Which of Intel's evaluations may still judge a platform. Several are in date at once, and whoever brings the collateral chooses: a platform
/// that the newest calls out of date is up to date under an older one.
/// </summary>
internal static class TcbEvaluations
{
    // The recovery events of Intel's own lists: of TDX of 2025-06-05, and for 20 of SGX of 2025-08-15, which has the same numbers.
    private static readonly TcbEvaluation[] Known =
    [
        new(17, Day(2024, 3, 12)),
        new(18, Day(2024, 11, 12)),
        new(19, Day(2025, 5, 13)),
        new(20, Day(2025, 8, 12)),
    ];

    private static readonly TimeSpan Year = TimeSpan.FromDays(365);

    /// <summary>
    /// From when on an evaluation is the least: Intel serves it to everybody a year after its event, and what it served before lives 30 days.
    /// </summary>
    public static DateTimeOffset LeastFrom(TcbEvaluation evaluation) => RevocationList.Later(evaluation.RecoveryEvent, Year + TimeSpan.FromDays(30));

    /// <summary>The least number of the table that ships; 0 before its first line.</summary>
    public static int Shipped(Findings findings) => Least(Known, findings);

    /// <summary>Whether the table is old: Intel has an event every year, so that a year after its last line one is missing.</summary>
    public static bool IsOld(Findings findings) => findings.HasPassed(RevocationList.Later(LeastFrom(Known[^1]), Year));

    /// <summary>The last line of the table.</summary>
    public static TcbEvaluation Last => Known[^1];

    /// <summary>The greatest number whose time has come; 0 where none has.</summary>
    public static int Least(IEnumerable<TcbEvaluation> evaluations, Findings findings) =>
        evaluations.Where(evaluation => findings.HasPassed(LeastFrom(evaluation))).Select(evaluation => evaluation.Number).DefaultIfEmpty().Max();

    private static DateTimeOffset Day(int year, int month, int day) => new(year, month, day, 0, 0, 0, TimeSpan.Zero);
}

/// <summary>One of Intel's evaluations.</summary>
/// <param name="Number">tcbEvaluationDataNumber.</param>
/// <param name="RecoveryEvent">When Intel disclosed what it takes into account.</param>
internal sealed record TcbEvaluation(int Number, DateTimeOffset RecoveryEvent);

/// <summary>The evaluations that Intel signs at one time.</summary>
internal sealed record TcbEvaluationNumbers(DateTimeOffset IssueDate, DateTimeOffset NextUpdate, IReadOnlyList<TcbEvaluation> Evaluations)
{
    private const int MostEvaluations = 64;

    public static TcbEvaluationNumbers? Read(JsonFields fields)
    {
        var id = fields.Text("id");
        var version = (int)fields.Number("version", 0, int.MaxValue);
        if (fields.Fault is null && (id != "TDX" || version != 1))
        {
            fields.Wrong(new Rejection(RejectionCode.Mismatch, "evaluation numbers of TDX, version 1", $"of {Shown.Text(id)}, version {version}"));
            return null;
        }

        var evaluations = fields.List("tcbEvalNumbers", MostEvaluations).Select(evaluation => new TcbEvaluation(
            (int)evaluation.Number("tcbEvaluationDataNumber", 0, int.MaxValue), evaluation.Date("tcbRecoveryEventDate"))).ToList();
        if (fields.Fault is null && evaluations.Count == 0)
            fields.Wrong("tcbEvalNumbers", "one at least");
        return new TcbEvaluationNumbers(fields.Date("issueDate"), fields.Date("nextUpdate"), evaluations);
    }

    /// <summary>The least number by this list: none that it no longer has, and none whose successor's time has come.</summary>
    public int Least(Findings findings) =>
        Math.Max(Evaluations.Min(evaluation => evaluation.Number), TcbEvaluations.Least(Evaluations, findings));
}
