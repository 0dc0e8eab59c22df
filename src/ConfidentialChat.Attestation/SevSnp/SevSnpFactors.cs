// spec/attestation.md section 9.
namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>The factors of a SEV-SNP report, in the order of the checks.</summary>
public static class SevSnpFactors
{
    public static readonly FactorName Report = new("snp.report", FactorKind.Authenticity);
    public static readonly FactorName VekPath = new("snp.vek_path", FactorKind.Authenticity);
    public static readonly FactorName VekExtensions = new("snp.vek_extensions", FactorKind.Authenticity);
    public static readonly FactorName SigningKey = new("snp.signing_key", FactorKind.Authenticity);
    public static readonly FactorName ReportSignature = new("snp.report_signature", FactorKind.Authenticity);
    public static readonly FactorName Tcb = new("snp.tcb", FactorKind.Authenticity);
    public static readonly FactorName Product = new("snp.product", FactorKind.Authenticity);
    public static readonly FactorName Products = new("snp.products", FactorKind.Policy);
    public static readonly FactorName ChipId = new("snp.chip_id", FactorKind.Guard);
    public static readonly FactorName Crl = new("snp.crl", FactorKind.Guard);
    public static readonly FactorName Debug = new("snp.debug", FactorKind.Guard);
    public static readonly FactorName GuestPolicy = new("snp.guest_policy", FactorKind.Policy);
    public static readonly FactorName Abi = new("snp.abi", FactorKind.Policy);
    public static readonly FactorName Migration = new("snp.migration", FactorKind.Policy);
    public static readonly FactorName Smt = new("snp.smt", FactorKind.Policy);
    public static readonly FactorName Cxl = new("snp.cxl", FactorKind.Policy);
    public static readonly FactorName SingleSocket = new("snp.single_socket", FactorKind.Policy);
    public static readonly FactorName Vlek = new("snp.vlek", FactorKind.Policy);
    public static readonly FactorName CspId = new("snp.csp_id", FactorKind.Policy);
    public static readonly FactorName Vmpl = new("snp.vmpl", FactorKind.Policy);
    public static readonly FactorName PlatformInfo = new("snp.platform_info", FactorKind.Policy);
    public static readonly FactorName TcbOrder = new("snp.tcb_order", FactorKind.Policy);
    public static readonly FactorName Provisional = new("snp.provisional_firmware", FactorKind.Policy);
    public static readonly FactorName Mitigations = new("snp.mitigations", FactorKind.Policy);
    public static readonly FactorName TcbFloor = new("snp.tcb_floor", FactorKind.Policy);
    public static readonly FactorName Measurement = new("snp.measurement", FactorKind.Policy);
    public static readonly FactorName HostData = new("snp.host_data", FactorKind.Policy);
    public static readonly FactorName IdKeyDigest = new("snp.id_key_digest", FactorKind.Policy);
    public static readonly FactorName AuthorKeyDigest = new("snp.author_key_digest", FactorKind.Policy);
    public static readonly FactorName Reference = new("snp.reference", FactorKind.Policy);
    public static readonly FactorName Platform = new("snp.platform", FactorKind.Policy);
    public static readonly FactorName ReportData = new("snp.report_data", FactorKind.Authenticity);

    public static IReadOnlyList<FactorName> All { get; } =
    [
        Report, VekPath, VekExtensions, SigningKey, ReportSignature, Tcb, Product, ChipId, Crl,
        Debug, GuestPolicy, Abi, Migration, Smt, Cxl, SingleSocket, Products, Vlek, CspId, Vmpl, PlatformInfo, TcbOrder, Provisional, Mitigations, TcbFloor,
        Measurement, HostData, IdKeyDigest, AuthorKeyDigest, Reference, Platform, ReportData,
    ];
}
