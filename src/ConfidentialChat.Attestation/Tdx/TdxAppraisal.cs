// spec/attestation.md section 6, checks 18 to 28: what a policy accepts of what was verified. Each check has its number.
using System.Buffers.Binary;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>Holds what a quote and Intel's documents say against a policy. Whether they are genuine, <see cref="TdxVerifier"/> has said before.</summary>
internal sealed class TdxAppraisal(Policy policy, Findings findings)
{
    // Of td_attributes.
    private const ulong Debug = 0xFF;
    private const ulong SeptVeDisable = 1UL << 28;
    private const ulong Migratable = 1UL << 29;
    private const ulong Perfmon = 1UL << 63;
    private const ulong Known = 1 | Migratable | SeptVeDisable | Perfmon | (1UL << 27) | (1UL << 30) | (1UL << 31); // LASS, PKS, KL

    private const ulong XfamFixed = 0x3; // x87 and SSE: XFAM_FIXED1
    private const ulong XfamKnown = 0x0006_DBE7; // x87, SSE, AVX, AVX-512, PT, PKU, CET, UINTR, LBR, AMX: Intel TDX module base architecture, XFAM

    /// <summary>18 to 20.</summary>
    public void CheckTcb(TdReport report, TdxTcb tcb, TcbEvaluationNumbers? numbers)
    {
        // 18.
        var isSupported = tcb.Status is not (TcbStatus.Revoked or TcbStatus.NoMatchingTcbLevel);
        var code = tcb.Status == TcbStatus.Revoked ? RejectionCode.Revoked : RejectionCode.OutOfDate;
        var shown = $"{tcb.Status} (platform {tcb.PlatformStatus}, module {tcb.ModuleStatus}, QE {tcb.QeStatus})";
        findings.Check(TdxFactors.TcbSupported, isSupported, code, "neither Revoked nor NoMatchingTcbLevel", shown);
        var isAccepted = isSupported && policy.Tdx.TcbStatuses.Contains(tcb.Status);
        var graceEnd = !isAccepted && tcb is { Status: TcbStatus.OutOfDate, OutOfDateSince: { } since } && policy.Tdx.OutOfDateGrace > TimeSpan.Zero
            ? RevocationList.Later(since, policy.Tdx.OutOfDateGrace) : (DateTimeOffset?)null;
        var isGraced = graceEnd is { } graced && !findings.HasPassed(graced);
        findings.Check(
            TdxFactors.TcbStatus, isAccepted || isGraced, code,
            string.Join(" or ", policy.Tdx.TcbStatuses) + (graceEnd is { } end ? $", or OutOfDate before {Shown.Date(end)}" : ""),
            shown + (tcb.TooLow.Count == 0 ? "" : $"; below the first level: {Shown.List(tcb.TooLow)}"));

        // 19.
        CheckSvn(report);
        var unaccepted = tcb.Advisories.Except(policy.Tdx.Advisories, StringComparer.Ordinal).ToList();
        findings.CheckIf(
            !isGraced, TdxFactors.Advisories, unaccepted.Count == 0, RejectionCode.OutOfDate,
            policy.Tdx.Advisories.Count == 0 ? "none open" : $"none open but {Shown.List(policy.Tdx.Advisories)}",
            Shown.List(unaccepted.Count > 0 ? unaccepted : tcb.Advisories));

        // 20.
        var least = Math.Max(policy.Tdx.MinTcbEvaluationDataNumber ?? TcbEvaluations.Shipped(findings), numbers?.Least(findings) ?? 0);
        findings.CheckIf(
            least > 0, TdxFactors.TcbEvaluation, Math.Min(tcb.TcbInfoEvaluation, tcb.QeIdentityEvaluation) >= least, RejectionCode.OutOfDate,
            $"tcbEvaluationDataNumber at least {least}",
            tcb.TcbInfoEvaluation == tcb.QeIdentityEvaluation ? $"{tcb.TcbInfoEvaluation}"
            : $"{tcb.TcbInfoEvaluation} of TCB info, {tcb.QeIdentityEvaluation} of QE identity");
        if (policy.Tdx.MinTcbEvaluationDataNumber is null && TcbEvaluations.IsOld(findings))
            findings.Fail(
                TdxFactors.TcbEvaluationTable, RejectionCode.OutOfDate, "a table of evaluations that is younger than a year, or a number in the policy",
                $"{TcbEvaluations.Last.Number} from {Shown.Date(TcbEvaluations.LeastFrom(TcbEvaluations.Last))} as its last line");
    }

    /// <summary>18 to 20, where a document of Intel's could not be read.</summary>
    public void FailTcb(TdReport report, string unread)
    {
        Fail(TdxFactors.TcbSupported);
        Fail(TdxFactors.TcbStatus);
        CheckSvn(report);
        Fail(TdxFactors.Advisories);
        Fail(TdxFactors.TcbEvaluation);

        void Fail(FactorName factor) => findings.Fail(factor, RejectionCode.Missing, unread, "none that can be read");
    }

    /// <summary>21 to 28.</summary>
    public void CheckReport(TdReport report, PckExtension platform, bool isRaw)
    {
        // 21, 22.
        var attributes = report.TdAttributes;
        findings.CheckIf(
            !policy.DangerousAllowDebug, TdxFactors.Debug, (attributes & Debug) == 0, RejectionCode.Forbidden, "no bit of 0 to 7",
            Shown.Bits(attributes & Debug));
        findings.Check(
            TdxFactors.TdAttributes, (attributes & ~Known) == 0, RejectionCode.Unsupported, $"only {Shown.Bits(Known)}", Shown.Bits(attributes));
        var xfam = BinaryPrimitives.ReadUInt64LittleEndian(report.Xfam.Span);
        findings.Check(
            TdxFactors.Xfam, (xfam & ~XfamKnown) == 0 && policy.Tdx.Xfam.All(bit => ((xfam >> bit) & 1) != 0), RejectionCode.Unsupported,
            (policy.Tdx.Xfam.Count == 0 ? "" : $"bits {string.Join(", ", policy.Tdx.Xfam)}, and ") + $"only {Shown.Bits(XfamKnown)}", Shown.Bits(xfam));
        if ((xfam & XfamFixed) != XfamFixed)
            findings.Fail(TdxFactors.XfamFixed, RejectionCode.Unsupported, $"{Shown.Bits(XfamFixed)}, as in every TD", Shown.Bits(xfam));

        // 23, 24, 25.
        findings.CheckIf(
            !policy.Tdx.AllowPerfmon, TdxFactors.Perfmon, (attributes & Perfmon) == 0, RejectionCode.Forbidden, "PERFMON 0", Bit("PERFMON", Perfmon));
        var isBound = report.MrServiceTd.Span.ContainsAnyExcept((byte)0);
        findings.CheckIf(
            !policy.Tdx.AllowMigration, TdxFactors.Migratable, (attributes & Migratable) == 0 && (!isBound || policy.Tdx.KnowsServiceTd(report)),
            RejectionCode.Forbidden, "MIGRATABLE 0, no service TD but a known one",
            $"{Bit("MIGRATABLE", Migratable)}, {(isBound ? $"service TD {Shown.Hex(report.MrServiceTd.Span)}" : "no service TD")}");
        findings.CheckIf(
            policy.Tdx.RequireSeptVeDisable, TdxFactors.SeptVeDisable, (attributes & SeptVeDisable) != 0, RejectionCode.Forbidden, "SEPT_VE_DISABLE 1",
            Bit("SEPT_VE_DISABLE", SeptVeDisable));

        // 26, 27.
        MeasuredRegister.Check(
            policy.Tdx.Registers(report), policy.Tdx.References, TdxFactors.Reference, areDemanded: !isRaw && !policy.MeasurementsAny, findings);

        // 28.
        if (policy.Platforms.Count == 0)
            findings.Skip(TdxFactors.Platform, $"{platform.PlatformId} (any is accepted)");
        else
            findings.Check(
                TdxFactors.Platform, policy.Platforms.Contains(platform.PlatformId), RejectionCode.Forbidden, "a platform on the policy's list",
                platform.PlatformId);

        string Bit(string name, ulong mask) => $"{name} {((report.TdAttributes & mask) == 0 ? 0 : 1)}";
    }

    private static bool AtLeast(ReadOnlySpan<byte> found, ReadOnlyMemory<byte>? least)
    {
        for (var i = 0; least is { } demanded && i < found.Length; i++)
        {
            if (found[i] < demanded.Span[i])
                return false;
        }

        return true;
    }

    private void CheckSvn(TdReport report)
    {
        var (svn, least) = (report.TeeTcbSvn, policy.Tdx.MinTeeTcbSvn);
        findings.CheckIf(
            least is not null, TdxFactors.TeeTcbSvn, AtLeast(svn.Span, least), RejectionCode.OutOfDate,
            $"each byte at least {Shown.Hex((least ?? default).Span)}", Shown.Hex(svn.Span));
    }
}
