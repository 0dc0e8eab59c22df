// spec/attestation.md section 12 check 4.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>TDX within a bundle.</summary>
public sealed class TdxCpuVerifier : ICpuVerifier
{
    public string Type => CpuType.Tdx;

    public IReadOnlyCollection<string> CollateralNames => TdxCollateral.Names;

    public CpuClaims? Verify(CpuEvidence evidence, Policy policy, Findings findings)
    {
        ArgumentNullException.ThrowIfNull(evidence);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(findings);
        // tdx.report_data is raw evidence's; here bundle.report_data makes that check.
        var (quote, tcb) = TdxVerifier.Check(
            evidence.Evidence.Span, TdxCollateral.From(evidence.Collateral), policy, findings, isRaw: false,
            report => TdxVerifier.CheckEventLog(report, evidence.EventLog, findings));
        return quote is null ? null
            : new CpuClaims { ReportData = quote.Report.ReportData, Measurements = TdxVerifier.Measurements(quote.Report), Platform = tcb };
    }
}
