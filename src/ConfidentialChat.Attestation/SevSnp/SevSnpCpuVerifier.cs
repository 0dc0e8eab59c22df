// spec/attestation.md section 12 check 4.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>SEV-SNP within a bundle.</summary>
public sealed class SevSnpCpuVerifier : ICpuVerifier
{
    public string Type => CpuType.SevSnp;

    public IReadOnlyCollection<string> CollateralNames => SevSnpCollateral.Names;

    public CpuClaims? Verify(CpuEvidence evidence, Policy policy, Findings findings)
    {
        ArgumentNullException.ThrowIfNull(evidence);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(findings);
        // snp.report_data is raw evidence's; here bundle.report_data makes that check.
        var (report, vek) = SevSnpVerifier.Check(evidence.Evidence.Span, SevSnpCollateral.From(evidence.Collateral), policy, findings, isRaw: false);
        return report is null ? null
            : new CpuClaims { ReportData = report.ReportData, Measurements = SevSnpVerifier.Measurements(report), Platform = vek };
    }
}
