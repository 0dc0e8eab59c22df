// spec/attestation.md sections 9 and 13.
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>A verdict on a report, and what was read of it.</summary>
/// <param name="Verdict">The factors.</param>
/// <param name="Report">What the report says, believed or not; null where it could not be parsed.</param>
public sealed record SevSnpVerification(Verdict Verdict, SevSnpReport? Report)
{
    /// <summary>What AMD says of the key that signed; null where its certificate could not be read.</summary>
    public Vek? Vek { get; init; }

    /// <summary>The measurements by their names in a policy; empty where there is no report.</summary>
    public IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Measurements =>
        Report is null ? new Dictionary<string, ReadOnlyMemory<byte>>() : SevSnpVerifier.Measurements(Report);
}

/// <summary>Verifies SEV-SNP reports: a pure function of report, collateral, policy and time. Safe for several threads.</summary>
public static class SevSnpVerifier
{
    /// <summary>Raw evidence: measurements without a reference value are skipped.</summary>
    /// <param name="report">As the kernel gave it, 1184 bytes.</param>
    /// <param name="collateral">What is missing in it fails.</param>
    /// <param name="policy">What is accepted.</param>
    /// <param name="at">The time of verification.</param>
    /// <param name="reportData">The expected 64 bytes, or null to skip that check.</param>
    public static SevSnpVerification Verify(
        ReadOnlySpan<byte> report, SevSnpCollateral collateral, Policy policy, DateTimeOffset at, ReadOnlyMemory<byte>? reportData = null)
    {
        ArgumentNullException.ThrowIfNull(collateral);
        ArgumentNullException.ThrowIfNull(policy);
        var findings = policy.Begin(at);
        (SevSnpReport? Report, Vek? Vek) read = default;
        if (policy.Tees.Contains(CpuType.SevSnp))
            read = Check(report, collateral, policy, findings, isRaw: true, reportData);
        else
            findings.Fail(PolicyFactors.Tee, RejectionCode.Forbidden, Shown.List(policy.Tees), CpuType.SevSnp);
        if (policy.DangerousTestRoots is not null)
            findings.Fail(PolicyFactors.TestRoots, RejectionCode.Untrusted, "the vendors' roots", "roots of a test");
        return new SevSnpVerification(findings.ToVerdict(), read.Report) { Vek = read.Vek };
    }

    internal static Dictionary<string, ReadOnlyMemory<byte>> Measurements(SevSnpReport report) =>
        new(StringComparer.Ordinal) { ["measurement"] = report.Measurement };

    // The numbers are those of the specification.
    internal static (SevSnpReport? Report, Vek? Vek) Check(
        ReadOnlySpan<byte> bytes, SevSnpCollateral collateral, Policy policy, Findings findings, bool isRaw, ReadOnlyMemory<byte>? reportData = null)
    {
        // 1.
        if (!findings.Report(
            SevSnpFactors.Report, SevSnpReport.TryParse(bytes, out var report), "a SEV-SNP report", report is null ? "" : $"version {report.Version}"))
            return default;

        // 2.
        CertificateList? given = null;
        Vek? said = null;
        var unreadable = collateral.Vek is { } vekBytes ? CertificateList.TryParse(vekBytes.Span, out given) : Rejection.Missing("a VCEK or VLEK certificate");
        using (given)
        {
            if (unreadable is not null)
            {
                findings.Report(SevSnpFactors.VekPath, unreadable, "", "");
                return (report, null);
            }

            var vek = given!.Items[0];
            if (SevSnpProduct.OfIssuer(vek.IssuerCommonName) is not var (product, kind))
            {
                if (SevSnpProduct.IsUncarried(vek.IssuerCommonName))
                    findings.Fail(SevSnpFactors.VekPath, RejectionCode.Unsupported, "Milan, Genoa or Turin", "Venice, whose root is not carried yet");
                else
                    findings.Fail(
                        SevSnpFactors.VekPath, RejectionCode.Untrusted, "an issuer of VEKs: SEV-Milan, SEV-VLEK-Genoa ...",
                        Shown.Text(vek.IssuerCommonName));
                return (report, null);
            }

            var root = policy.DangerousTestRoots?.Amd ?? product.Root;
            IReadOnlyList<Certificate> path = given.Items.Count == 1 ? [vek, AmdRoots.Issuer(product, kind)] : given.Items;
            findings.Report(
                SevSnpFactors.VekPath, CertificatePath.Fault(path, root, Rules(product, kind), findings), $"a path to the pinned {root}",
                $"{vek} by {path[1]} by {root}");

            // 3.
            if (!findings.Report(
                SevSnpFactors.VekExtensions, VekExtensions.TryRead(vek, product, kind, out var extensions), "AMD's extensions",
                extensions is null ? "" : $"{Shown.Text(extensions.ProductName)}; {extensions.Tcb.ToString(product)}"))
                return (report, null);

            said = new Vek(product, kind, extensions!.ProductName, extensions.Hwid, extensions.CspId);

            // 4 to 9.
            CheckKey(report!, vek, kind, findings);
            CheckChip(report!, extensions, product, policy, findings);
            CheckCrl(collateral.Crl, path[1], root, policy, findings);

            // 10 to 22.
            new SevSnpAppraisal(report!, extensions, product, policy, findings).Check(kind, isRaw);
        }

        if (isRaw)
            CheckReportData(report!, reportData, findings);
        return (report, said);
    }

    private static PathRules Rules(SevSnpProduct product, VekKind kind) => new()
    {
        LeafNames = [kind == VekKind.Vcek ? "SEV-VCEK" : "SEV-VLEK"],
        LeafKey = KeyKind.EcdsaP384,
        IntermediateNames = [product.IssuerName(kind)],
        AuthorityKey = KeyKind.RsaPss4096,
    };

    // 4, 5.
    private static void CheckKey(SevSnpReport report, Certificate vek, VekKind kind, Findings findings)
    {
        var expected = kind == VekKind.Vcek ? "a VCEK's signature" : "a VLEK's signature";
        findings.Check(
            SevSnpFactors.SigningKey, report.SigningKey == (int)kind && !report.IsKeyMasked, RejectionCode.Mismatch, expected,
            report.IsKeyMasked
                ? "a masked key"
                : report.SigningKey switch { 0 => "a VCEK's signature", 1 => "a VLEK's signature", var other => $"SIGNING_KEY {other}" });

        var rejection = VerificationKey.TryTake(vek, KeyKind.EcdsaP384, out var key);
        using (key)
        {
            Span<byte> signature = stackalloc byte[96];
            report.CopySignature(signature);
            if (rejection is null && !key!.Verify(report.Signed, signature))
                rejection = new Rejection(RejectionCode.BadSignature, $"signed by the {vek}", "another signature");
            findings.Report(SevSnpFactors.ReportSignature, rejection, "signed by the VEK", $"signed by the {vek}");
        }
    }

    // 6, 7, 8.
    private static void CheckChip(SevSnpReport report, VekExtensions vek, SevSnpProduct product, Policy policy, Findings findings)
    {
        findings.Check(SevSnpFactors.Tcb, report.ReportedTcb == vek.Tcb, RejectionCode.Mismatch, $"{vek.Tcb} of the certificate", $"{report.ReportedTcb}");

        var cpuid = report.Cpuid;
        findings.Check(
            SevSnpFactors.Product, cpuid is { } named ? product.Includes(vek.ProductName, named) : product.Includes(vek.ProductName), RejectionCode.Mismatch,
            $"{product}",
            Shown.Text(vek.ProductName) + (cpuid is null ? "" : $"; {cpuid}"));

        var shown = Shown.Hex(report.ChipId.Span);
        if (vek.Hwid is not { } hwid)
            findings.Skip(SevSnpFactors.ChipId, report.IsChipMasked ? "masked by the host, and a VLEK names no chip" : $"{shown}; a VLEK names no chip");
        else if (report.IsChipMasked)
            findings.CheckIf(
                !policy.SevSnp.AllowMaskedChipId, SevSnpFactors.ChipId, holds: false, RejectionCode.Forbidden, Shown.Hex(hwid.Span),
                $"masked by the host; the VCEK names {Shown.Hex(hwid.Span)}");
        else
            findings.Check(SevSnpFactors.ChipId, report.ChipId.Span.StartsWith(hwid.Span), RejectionCode.Mismatch, Shown.Hex(hwid.Span), shown);
    }

    // 9. The issuer has no right to sign lists, and VEKs have no serial number: the root's list is the only one there is.
    private static void CheckCrl(ReadOnlyMemory<byte>? bytes, Certificate issuer, Certificate root, Policy policy, Findings findings)
    {
        if (bytes is not { } given)
        {
            if (policy.SevSnp.RequireCrl)
                findings.Report(SevSnpFactors.Crl, Rejection.Missing($"the revocation list of {root}"), "", "");
            else
                findings.Skip(SevSnpFactors.Crl, "no list given");
            return;
        }

        var rejection = RevocationList.TryParse(given.Span, out var list) ?? list!.Fault(root, KeyKind.RsaPss4096, policy.MaxRootCrlAge, findings);
        Certificate[] certificates = [issuer, root];
        if (rejection is null && Array.Find(certificates, list!.Revokes) is { } revoked)
            rejection = new Rejection(RejectionCode.Revoked, "no certificate of the path", revoked.ToString());
        findings.Report(SevSnpFactors.Crl, rejection, "the root's list, without the VEK's issuer", $"{issuer} not revoked");
    }

    // 23.
    private static void CheckReportData(SevSnpReport report, ReadOnlyMemory<byte>? expected, Findings findings)
    {
        var shown = Shown.Hex(report.ReportData.Span);
        if (expected is { } demanded)
            findings.Check(
                SevSnpFactors.ReportData, report.ReportData.Span.SequenceEqual(demanded.Span), RejectionCode.Mismatch, Shown.Hex(demanded.Span), shown);
        else
            findings.Skip(SevSnpFactors.ReportData, $"{shown} (nothing expected)");
    }
}
