// spec/attestation.md section 9, checks 10 to 22: what a policy accepts of what was verified. Each check has its number.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>Holds what a report and its certificate say against a policy. Whether they are genuine, <see cref="SevSnpVerifier"/> has said before.</summary>
internal sealed class SevSnpAppraisal(SevSnpReport report, VekExtensions vek, SevSnpProduct product, Policy policy, Findings findings)
{
    private readonly SevSnpPolicy accepted = policy.SevSnp;

    /// <param name="kind">Of the key that signed.</param>
    /// <param name="isRaw">Raw evidence: measurements without a reference value are skipped.</param>
    public void Check(VekKind kind, bool isRaw)
    {
        CheckGuestPolicy();
        CheckPlatform(kind);
        CheckFirmware();
        // 20, 21.
        MeasuredRegister.Check(
            accepted.Registers(report), accepted.References, SevSnpFactors.Reference, areDemanded: !isRaw && !policy.MeasurementsAny, findings);
        CheckIdentity();
    }

    // 10 to 15.
    private void CheckGuestPolicy()
    {
        var guest = report.GuestPolicy;
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
    private void CheckPlatform(VekKind kind)
    {
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
    }

    // 19.
    private void CheckFirmware()
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
    private void CheckIdentity()
    {
        var id = vek.Hwid is { } hwid ? Shown.Hex(hwid.Span) : report.IsChipMasked ? null : Shown.Hex(report.ChipId.Span);
        if (policy.Platforms.Count == 0)
            findings.Skip(SevSnpFactors.Platform, $"{id ?? "masked"} (any is accepted)");
        else
            findings.Check(
                SevSnpFactors.Platform, id is not null && policy.Platforms.Contains(id), RejectionCode.Forbidden, "a platform on the policy's list",
                id ?? "masked");
    }
}
