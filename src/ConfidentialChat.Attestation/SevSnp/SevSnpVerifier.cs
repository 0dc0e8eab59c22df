// spec/attestation.md sections 9 and 13.
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>A verdict on a report, and what was read of it.</summary>
/// <param name="Verdict">The factors.</param>
/// <param name="Report">What the report says, believed or not; null where it could not be parsed.</param>
public sealed record SevSnpVerification(Verdict Verdict, SevSnpReport? Report)
{
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
        SevSnpReport? parsed = null;
        if (policy.Tees.Contains(CpuType.SevSnp))
            parsed = Check(report, collateral, policy, findings, isRaw: true, reportData);
        else
            findings.Fail(PolicyFactors.Tee, RejectionCode.Forbidden, Shown.List(policy.Tees), CpuType.SevSnp);
        if (policy.DangerousTestRoots is not null)
            findings.Fail(PolicyFactors.TestRoots, RejectionCode.Untrusted, "the vendors' roots", "roots of a test");
        return new SevSnpVerification(findings.ToVerdict(), parsed);
    }

    internal static Dictionary<string, ReadOnlyMemory<byte>> Measurements(SevSnpReport report) =>
        new(StringComparer.Ordinal) { ["measurement"] = report.Measurement };

    // The numbers are those of the specification.
    internal static SevSnpReport? Check(
        ReadOnlySpan<byte> bytes, SevSnpCollateral collateral, Policy policy, Findings findings, bool isRaw, ReadOnlyMemory<byte>? reportData = null)
    {
        // 1.
        if (!findings.Report(
            SevSnpFactors.Report, SevSnpReport.TryParse(bytes, out var report), "a SEV-SNP report", report is null ? "" : $"version {report.Version}"))
            return null;

        // 2.
        CertificateList? given = null;
        var unreadable = collateral.Vek is { } vekBytes ? CertificateList.TryParse(vekBytes.Span, out given) : Rejection.Missing("a VCEK or VLEK certificate");
        using (given)
        {
            if (unreadable is not null)
            {
                findings.Report(SevSnpFactors.VekPath, unreadable, "", "");
                return report;
            }

            var vek = given!.Items[0];
            if (SevSnpProduct.OfIssuer(vek.IssuerCommonName) is not var (product, kind))
            {
                if (vek.IssuerCommonName is "SEV-Venice" or "SEV-VLEK-Venice")
                    findings.Fail(SevSnpFactors.VekPath, RejectionCode.Unsupported, "Milan, Genoa or Turin", "Venice, whose root is not carried yet");
                else
                    findings.Fail(
                        SevSnpFactors.VekPath, RejectionCode.Untrusted, "an issuer of VEKs: SEV-Milan, SEV-VLEK-Genoa ...",
                        Shown.Text(vek.IssuerCommonName));
                return report;
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
                return report;

            // 4 to 9.
            CheckKey(report!, vek, kind, findings);
            CheckChip(report!, extensions!, product, policy, findings);
            CheckCrl(collateral.Crl, path[1], root, policy, findings);

            // 10 to 23.
            CheckGuestPolicy(report!, policy, findings);
            CheckPlatform(report!, extensions!, product, kind, policy, findings);
            MeasuredRegister.Check(
                policy.SevSnp.Registers(report!), policy.SevSnp.References, SevSnpFactors.Reference, areDemanded: !isRaw && !policy.MeasurementsAny, findings);
            CheckIdentity(report!, extensions!, policy, findings);
        }

        if (isRaw)
            CheckReportData(report!, reportData, findings);
        return report;
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

    // 10 to 15.
    private static void CheckGuestPolicy(SevSnpReport report, Policy policy, Findings findings)
    {
        var (guest, accepted) = (report.GuestPolicy, policy.SevSnp);
        findings.CheckIf(
            !policy.DangerousAllowDebug, SevSnpFactors.Debug, !guest.AllowsDebug, RejectionCode.Forbidden, "DEBUG 0", Bit("DEBUG", guest.AllowsDebug));
        findings.Check(
            SevSnpFactors.GuestPolicy, guest.HasReservedBit && guest.Unknown == 0, RejectionCode.Unsupported, "bit 17 and no bit above 25", $"{guest}");
        var abi = report.CurrentVersion.Span;
        var least = guest.LeastAbi;
        findings.Check(
            SevSnpFactors.Abi, ((int)abi[2], (int)abi[1]).CompareTo(least) >= 0, RejectionCode.OutOfDate,
            $"firmware of ABI {least.Major}.{least.Minor} at least, by the guest's policy", $"{abi[2]}.{abi[1]}");
        var hasAgent = report.ReportIdMa.Span.ContainsAnyExcept((byte)0xFF);
        findings.CheckIf(
            !accepted.AllowMigration, SevSnpFactors.Migration, !guest.AllowsMigration && !hasAgent, RejectionCode.Forbidden, "MIGRATE_MA 0, no migration agent",
            $"{Bit("MIGRATE_MA", guest.AllowsMigration)}, {(hasAgent ? "a" : "no")} migration agent");
        findings.CheckIf(!accepted.AllowSmt, SevSnpFactors.Smt, !guest.AllowsSmt, RejectionCode.Forbidden, "SMT 0", Bit("SMT", guest.AllowsSmt));
        findings.CheckIf(!accepted.AllowCxl, SevSnpFactors.Cxl, !guest.AllowsCxl, RejectionCode.Forbidden, "CXL_ALLOW 0", Bit("CXL_ALLOW", guest.AllowsCxl));
        findings.CheckIf(
            accepted.RequireSingleSocket, SevSnpFactors.SingleSocket, guest.DemandsSingleSocket, RejectionCode.Forbidden, "SINGLE_SOCKET 1",
            Bit("SINGLE_SOCKET", guest.DemandsSingleSocket));

        static string Bit(string name, bool isSet) => $"{name} {(isSet ? 1 : 0)}";
    }

    // 16 to 18.
    private static void CheckPlatform(SevSnpReport report, VekExtensions vek, SevSnpProduct product, VekKind kind, Policy policy, Findings findings)
    {
        var accepted = policy.SevSnp;
        findings.CheckIf(
            accepted.Products.Count < SevSnpProduct.All.Count, SevSnpFactors.Products, accepted.Products.Contains(product.Name.ToLowerInvariant()),
            RejectionCode.Forbidden, Shown.List(accepted.Products), product.Name.ToLowerInvariant());
        findings.CheckIf(
            !accepted.AllowVlek, SevSnpFactors.Vlek, kind == VekKind.Vcek, RejectionCode.Forbidden, "a VCEK",
            kind == VekKind.Vcek ? "a VCEK" : $"a VLEK of {Shown.Text(vek.CspId)}");
        findings.CheckIf(
            accepted.CspIds.Count > 0 && vek.CspId is not null, SevSnpFactors.CspId, accepted.CspIds.Contains(vek.CspId ?? ""), RejectionCode.Forbidden,
            Shown.List(accepted.CspIds), vek.CspId is null ? "a VCEK, of no provider" : Shown.Text(vek.CspId));
        findings.CheckIf(
            accepted.MaxVmpl < SevSnpPolicy.LowestLevel, SevSnpFactors.Vmpl, report.Vmpl <= accepted.MaxVmpl, RejectionCode.Forbidden,
            $"at most {accepted.MaxVmpl}", $"{report.Vmpl}");
        var (demanded, forbidden) = (accepted.PlatformInfo, accepted.PlatformInfoForbidden);
        findings.CheckIf(
            demanded.Count + forbidden.Count > 0, SevSnpFactors.PlatformInfo,
            demanded.All(report.PlatformInfo.IsSet) && !forbidden.Any(report.PlatformInfo.IsSet), RejectionCode.Forbidden,
            Shown.List(demanded) + (forbidden.Count == 0 ? "" : $"; not {Shown.List(forbidden)}"),
            $"{Shown.Bits(report.PlatformInfo.Bits)}: {Shown.List(PlatformInfo.Names.Where(report.PlatformInfo.IsSet))}");
        CheckFirmware(report, product, accepted, findings);
    }

    // 19.
    private static void CheckFirmware(SevSnpReport report, SevSnpProduct product, SevSnpPolicy accepted, Findings findings)
    {
        var (current, committed) = (report.CurrentTcb, report.CommittedTcb);
        var isOrdered = committed.IsAtMost(current) && report.ReportedTcb.IsAtMost(current)
            && Version(report.CommittedVersion.Span).CompareTo(Version(report.CurrentVersion.Span)) <= 0;
        findings.Check(
            SevSnpFactors.TcbOrder, isOrdered, RejectionCode.Mismatch, "committed and reported at most current",
            $"current {current} {Shown.Hex(report.CurrentVersion.Span)}, committed {committed} {Shown.Hex(report.CommittedVersion.Span)}, reported {report.ReportedTcb}");
        findings.CheckIf(
            !accepted.AllowProvisionalFirmware, SevSnpFactors.Provisional,
            current == committed && report.CurrentVersion.Span.SequenceEqual(report.CommittedVersion.Span), RejectionCode.Forbidden,
            "firmware that is committed",
            $"current {current} {Shown.Hex(report.CurrentVersion.Span)}, committed {committed} {Shown.Hex(report.CommittedVersion.Span)}");
        var mitigations = report.LaunchMitigations & report.CurrentMitigations;
        findings.CheckIf(
            accepted.Mitigations.Count > 0, SevSnpFactors.Mitigations,
            accepted.Mitigations.All(bit => ((mitigations >> bit) & 1) != 0), RejectionCode.OutOfDate,
            $"bits {string.Join(", ", accepted.Mitigations)}", $"{Shown.Bits(report.LaunchMitigations)} at launch, {Shown.Bits(report.CurrentMitigations)} now");

        var floor = accepted.Floor(product, report.Cpuid);
        (string Name, TcbVersion Version)[] versions =
        [
            ("reported_tcb", report.ReportedTcb), ("committed_tcb", report.CommittedTcb), ("launch_tcb", report.LaunchTcb),
            ("current_tcb", report.CurrentTcb),
        ];
        var below = versions.Select(version => (version.Name, version.Version, Component: floor.Below(version.Version, product)))
            .FirstOrDefault(version => version.Component is not null);
        findings.CheckIf(
            !floor.IsOpen, SevSnpFactors.TcbFloor, below.Component is null, RejectionCode.OutOfDate, $"at least {floor.ToString(product)}",
            below.Component is { } component
                ? $"{below.Name}: {component.Spell()} {below.Version.Of(component, product)} is below {floor.Of(component)}"
                : $"reported_tcb: {report.ReportedTcb.ToString(product)}");

        static (byte Major, byte Minor, byte Build) Version(ReadOnlySpan<byte> bytes) => (bytes[2], bytes[1], bytes[0]);
    }

    // 22.
    private static void CheckIdentity(SevSnpReport report, VekExtensions vek, Policy policy, Findings findings)
    {
        var id = vek.Hwid is { } hwid ? Shown.Hex(hwid.Span) : report.IsChipMasked ? null : Shown.Hex(report.ChipId.Span);
        if (policy.Platforms.Count == 0)
            findings.Skip(SevSnpFactors.Platform, $"{id ?? "masked"} (any is accepted)");
        else
            findings.Check(
                SevSnpFactors.Platform, id is not null && policy.Platforms.Contains(id), RejectionCode.Forbidden, "a platform on the policy's list",
                id ?? "masked");
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
