// spec/attestation.md section 6.
namespace ConfidentialChat.Attestation.Tdx;

/// <summary>The factors of a TDX quote, in the order of the checks.</summary>
public static class TdxFactors
{
    public static readonly FactorName Quote = new("tdx.quote", FactorKind.Authenticity);
    public static readonly FactorName QeVendor = new("tdx.qe_vendor", FactorKind.Authenticity);
    public static readonly FactorName PckPath = new("tdx.pck_path", FactorKind.Authenticity);
    public static readonly FactorName PckExtension = new("tdx.pck_extension", FactorKind.Authenticity);
    public static readonly FactorName QeReportSignature = new("tdx.qe_report_signature", FactorKind.Authenticity);
    public static readonly FactorName AttestationKey = new("tdx.attestation_key", FactorKind.Authenticity);
    public static readonly FactorName QuoteSignature = new("tdx.quote_signature", FactorKind.Authenticity);
    public static readonly FactorName RootCrl = new("tdx.root_crl", FactorKind.Authenticity);
    public static readonly FactorName PckCrl = new("tdx.pck_crl", FactorKind.Authenticity);
    public static readonly FactorName TcbSigningPath = new("tdx.tcb_signing_path", FactorKind.Authenticity);
    public static readonly FactorName TcbInfo = new("tdx.tcb_info", FactorKind.Authenticity);
    public static readonly FactorName TcbInfoDate = new("tdx.tcb_info_date", FactorKind.Authenticity);
    public static readonly FactorName TcbInfoPlatform = new("tdx.tcb_info_platform", FactorKind.Authenticity);
    public static readonly FactorName QeIdentity = new("tdx.qe_identity", FactorKind.Authenticity);
    public static readonly FactorName QeIdentityDate = new("tdx.qe_identity_date", FactorKind.Authenticity);
    public static readonly FactorName Qe = new("tdx.qe", FactorKind.Authenticity);
    public static readonly FactorName TdxModule = new("tdx.tdx_module", FactorKind.Authenticity);
    public static readonly FactorName TcbSupported = new("tdx.tcb_supported", FactorKind.Guard);
    public static readonly FactorName TcbStatus = new("tdx.tcb_status", FactorKind.Policy);
    public static readonly FactorName TeeTcbSvn = new("tdx.tee_tcb_svn", FactorKind.Policy);
    public static readonly FactorName Advisories = new("tdx.advisories", FactorKind.Policy);
    public static readonly FactorName TcbEvaluationNumbers = new("tdx.tcb_evaluation_numbers", FactorKind.Authenticity);
    public static readonly FactorName TcbEvaluationTable = new("tdx.tcb_evaluation_table", FactorKind.Notice);
    public static readonly FactorName TcbEvaluation = new("tdx.tcb_evaluation", FactorKind.Policy);
    public static readonly FactorName Debug = new("tdx.debug", FactorKind.Guard);
    public static readonly FactorName TdAttributes = new("tdx.td_attributes", FactorKind.Policy);
    public static readonly FactorName Xfam = new("tdx.xfam", FactorKind.Policy);
    public static readonly FactorName XfamFixed = new("tdx.xfam_fixed", FactorKind.Notice);
    public static readonly FactorName Perfmon = new("tdx.perfmon", FactorKind.Policy);
    public static readonly FactorName Migratable = new("tdx.migratable", FactorKind.Policy);
    public static readonly FactorName SeptVeDisable = new("tdx.sept_ve_disable", FactorKind.Policy);
    public static readonly FactorName MrTd = new("tdx.mr_td", FactorKind.Policy);
    public static readonly FactorName Rtmr0 = new("tdx.rtmr0", FactorKind.Policy);
    public static readonly FactorName Rtmr1 = new("tdx.rtmr1", FactorKind.Policy);
    public static readonly FactorName Rtmr2 = new("tdx.rtmr2", FactorKind.Policy);
    public static readonly FactorName Rtmr3 = new("tdx.rtmr3", FactorKind.Policy);
    public static readonly FactorName MrConfigId = new("tdx.mr_config_id", FactorKind.Policy);
    public static readonly FactorName MrOwner = new("tdx.mr_owner", FactorKind.Policy);
    public static readonly FactorName MrOwnerConfig = new("tdx.mr_owner_config", FactorKind.Policy);
    public static readonly FactorName MrSeam = new("tdx.mr_seam", FactorKind.Policy);
    public static readonly FactorName MrServiceTd = new("tdx.mr_service_td", FactorKind.Policy);
    public static readonly FactorName Reference = new("tdx.reference", FactorKind.Policy);
    public static readonly FactorName Platform = new("tdx.platform", FactorKind.Policy);
    public static readonly FactorName ReportData = new("tdx.report_data", FactorKind.Authenticity);
    public static readonly FactorName EventLog = new("tdx.event_log", FactorKind.Authenticity);

    public static IReadOnlyList<FactorName> All { get; } =
    [
        Quote, QeVendor, PckPath, PckExtension, QeReportSignature, AttestationKey, QuoteSignature, RootCrl, PckCrl, TcbSigningPath,
        TcbInfo, TcbInfoDate, TcbInfoPlatform, QeIdentity, QeIdentityDate, Qe, TdxModule, TcbSupported, TcbStatus, TeeTcbSvn, Advisories,
        TcbEvaluationNumbers, TcbEvaluation, TcbEvaluationTable,
        Debug, TdAttributes, Xfam, XfamFixed, Perfmon, Migratable, SeptVeDisable, MrTd, Rtmr0, Rtmr1, Rtmr2, Rtmr3, MrConfigId, MrOwner, MrOwnerConfig,
        MrSeam, MrServiceTd, Reference, Platform, ReportData, EventLog,
    ];
}
