// spec/attestation.md sections 6 and 13.
using System.Buffers.Binary;
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>A verdict on a quote, and what was read of it.</summary>
/// <param name="Verdict">The factors.</param>
/// <param name="Quote">What the quote says, believed or not; null where it could not be parsed.</param>
/// <param name="EventLog">The log, where one was given and could be read.</param>
public sealed record TdxVerification(Verdict Verdict, TdxQuote? Quote, EventLog? EventLog)
{
    /// <summary>What Intel's documents say of the platform; null where a document could not be read.</summary>
    public TdxTcb? Tcb { get; init; }

    /// <summary>The measurements by their names in a policy; empty where there is no quote.</summary>
    public IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Measurements =>
        Quote is null ? new Dictionary<string, ReadOnlyMemory<byte>>() : TdxVerifier.Measurements(Quote.Report);
}

/// <summary>Verifies TDX quotes: a pure function of quote, collateral, policy and time. Safe for several threads.</summary>
public static class TdxVerifier
{
    private const ulong XfamKnown = 0x0006_DBE7; // x87, SSE, AVX, AVX-512, PT, PKU, CET, UINTR, LBR, AMX: Intel TDX module base architecture, XFAM

    private static readonly byte[] IntelQeVendor = Convert.FromHexString("939a7233f79c4ca9940a0db3957f0607");

    private static readonly PathRules PckPathRules = new()
    {
        LeafNames = ["Intel SGX PCK Certificate"],
        LeafKey = KeyKind.EcdsaP256,
        IntermediateNames = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"],
        AuthorityKey = KeyKind.EcdsaP256,
    };

    private static readonly PathRules TcbSigningPathRules = new()
    {
        LeafNames = ["Intel SGX TCB Signing"],
        LeafKey = KeyKind.EcdsaP256,
        IntermediateNames = [],
        AuthorityKey = KeyKind.EcdsaP256,
    };

    /// <summary>Raw evidence: measurements without a reference value are skipped.</summary>
    /// <param name="quote">As the kernel gave it, padding included.</param>
    /// <param name="collateral">What is missing in it fails.</param>
    /// <param name="policy">What is accepted.</param>
    /// <param name="at">The time of verification.</param>
    /// <param name="reportData">The expected 64 bytes, or null to skip that check.</param>
    /// <param name="eventLog">A CCEL or a log in JSON, or null to skip its replay.</param>
    public static TdxVerification Verify(
        ReadOnlySpan<byte> quote, TdxCollateral collateral, Policy policy, DateTimeOffset at, ReadOnlyMemory<byte>? reportData = null,
        ReadOnlyMemory<byte>? eventLog = null)
    {
        ArgumentNullException.ThrowIfNull(collateral);
        ArgumentNullException.ThrowIfNull(policy);
        var findings = policy.Begin(at);
        EventLog? log = null;
        TdxQuote? parsed = null;
        TdxTcb? tcb = null;
        if (policy.Tees.Contains(CpuType.Tdx))
        {
            (parsed, tcb) = Check(quote, collateral, policy, findings, isRaw: true, checkLast: report =>
            {
                if (reportData is { } expected)
                    findings.Check(
                        TdxFactors.ReportData, report.ReportData.Span.SequenceEqual(expected.Span), RejectionCode.Mismatch, Shown.Hex(expected.Span),
                        Shown.Hex(report.ReportData.Span));
                else
                    findings.Skip(TdxFactors.ReportData, $"{Shown.Hex(report.ReportData.Span)} (nothing expected)");
                log = CheckEventLog(report, eventLog, findings);
            });
        }
        else
        {
            findings.Fail(PolicyFactors.Tee, RejectionCode.Forbidden, Shown.List(policy.Tees), CpuType.Tdx);
        }

        if (policy.DangerousTestRoots is not null)
            findings.Fail(PolicyFactors.TestRoots, RejectionCode.Untrusted, "the vendors' roots", "roots of a test");
        return new TdxVerification(findings.ToVerdict(), parsed, log) { Tcb = tcb };
    }

    /// <summary>Reads which platform a quote is of, to find its collateral; null where it does not say.</summary>
    /// <returns>12 hexadecimal digits, lower case. Unverified.</returns>
    public static string? ReadFmspc(ReadOnlySpan<byte> quote)
    {
        if (TdxQuote.TryParse(quote, out var parsed) is not null || CertificateList.TryParse(parsed!.PckPath.Span, out var path) is not null)
            return null;
        using (path)
            return PckExtension.TryRead(path!.Items[0], out var pck) is null ? Shown.Hex(pck!.Fmspc.Span) : null;
    }

    internal static Dictionary<string, ReadOnlyMemory<byte>> Measurements(TdReport report) => new(StringComparer.Ordinal)
    {
        ["mr_td"] = report.MrTd,
        ["rtmr0"] = report.Rtmr(0),
        ["rtmr1"] = report.Rtmr(1),
        ["rtmr2"] = report.Rtmr(2),
        ["rtmr3"] = report.Rtmr(3),
    };

    internal static EventLog? CheckEventLog(TdReport report, ReadOnlyMemory<byte>? bytes, Findings findings)
    {
        if (bytes is not { } given)
        {
            findings.Skip(TdxFactors.EventLog, "no log given");
            return null;
        }

        var rejection = EventLog.TryParse(given, out var log);
        findings.Report(
            TdxFactors.EventLog, rejection ?? log!.Fault(report), "a log that gives the registers",
            $"{log?.Events.Count} events give {(log is { IsRtmr3Recorded: false } ? "rtmr0 to rtmr2; rtmr3 is not in a CCEL" : "the registers")}");
        return log;
    }

    // The numbers are those of the specification. Checks 29 and 30 are the caller's, and not made where an earlier one ends the verification.
    internal static (TdxQuote? Quote, TdxTcb? Tcb) Check(
        ReadOnlySpan<byte> bytes, TdxCollateral collateral, Policy policy, Findings findings, bool isRaw, Action<TdReport> checkLast)
    {
        // 1, 2.
        if (!findings.Report(
            TdxFactors.Quote, TdxQuote.TryParse(bytes, out var quote), "a TDX quote",
            quote is null ? "" : $"version {quote.Version}, {quote.Report.Body.Length} bytes of body"))
            return (null, null);
        findings.Check(
            TdxFactors.QeVendor, quote!.QeVendorId.Span.SequenceEqual(IntelQeVendor), RejectionCode.Unsupported, Shown.Hex(IntelQeVendor),
            Shown.Hex(quote.QeVendorId.Span));

        // 3, 4.
        var root = policy.DangerousTestRoots?.Intel ?? IntelRoot.SgxRootCa;
        var unreadable = CertificateList.TryParse(quote.PckPath.Span, out var path);
        if (unreadable is not null)
        {
            findings.Report(TdxFactors.PckPath, unreadable, "", "");
            return (quote, null);
        }

        using var pckPath = path!;
        var pck = pckPath.Items[0];
        findings.Report(
            TdxFactors.PckPath, CertificatePath.Fault(pckPath.Items, root, PckPathRules, findings), "a path to the Intel SGX Root CA",
            $"{pck} by {(pckPath.Items.Count > 1 ? pckPath.Items[1] : "nobody")}");
        if (!findings.Report(
            TdxFactors.PckExtension, PckExtension.TryRead(pck, out var platform), "Intel's extension",
            platform is null ? "" : $"fmspc {Shown.Hex(platform.Fmspc.Span)}"))
            return (quote, null);

        // 5, 6, 7.
        CheckSignatures(quote, pck, findings);

        // 8 to 16.
        var signer = CheckLists(collateral, policy, root, pckPath, findings);
        TdxTcb? tcb;
        using (signer)
        {
            var tcbInfo = CheckTcbInfo(collateral, policy, signer, platform!, findings);
            var identity = CheckQeIdentity(collateral, policy, signer, quote, findings);

            var numbers = CheckEvaluationNumbers(collateral, policy, signer, findings);

            // 17 to 20.
            CheckSvn(quote.Report, policy, findings);
            tcb = CheckTcb(quote, platform!, tcbInfo, identity, numbers, policy, findings);
        }

        // 21 to 30.
        CheckReport(quote.Report, platform!, policy, isRaw, findings);
        checkLast(quote.Report);
        return (quote, tcb);
    }

    private static void CheckSignatures(TdxQuote quote, Certificate pck, Findings findings)
    {
        var keyRejection = VerificationKey.TryTake(pck, KeyKind.EcdsaP256, out var pckKey);
        using (pckKey)
        {
            findings.Report(
                TdxFactors.QeReportSignature,
                keyRejection ?? BadUnless(pckKey!.Verify(quote.Qe.Bytes.Span, quote.QeReportSignature.Span), "signed by the PCK"),
                "signed by the PCK", "signed by the PCK");
        }

        Span<byte> bound = stackalloc byte[64];
        bound.Clear();
        using (var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256))
        {
            hash.AppendData(quote.AttestationKey.Span);
            hash.AppendData(quote.QeAuthData.Span);
            hash.GetHashAndReset(bound);
        }

        findings.Check(
            TdxFactors.AttestationKey, quote.Qe.ReportData.SequenceEqual(bound), RejectionCode.Mismatch, "the attestation key's digest in the QE report",
            quote.Qe.ReportData.SequenceEqual(bound) ? "its digest" : "another");

        var importRejection = VerificationKey.TryImportP256(quote.AttestationKey.Span, out var attestationKey);
        using (attestationKey)
        {
            findings.Report(
                TdxFactors.QuoteSignature,
                importRejection ?? BadUnless(attestationKey!.Verify(quote.Signed.Span, quote.Signature.Span), "signed by the attestation key"),
                "signed by the attestation key", "signed by the attestation key");
        }
    }

    // 8, 9, 10. Gives the TCB signing certificate's key, trusted or not: what it signed is checked either way.
    private static VerificationKey? CheckLists(TdxCollateral collateral, Policy policy, Certificate root, CertificateList pckPath, Findings findings)
    {
        CertificateList? signing = null;
        var signingRejection = collateral.TcbSigningChain is { } chain
            ? CertificateList.TryParse(chain.Span, out signing)
            : Rejection.Missing("the TCB signing chain");
        using (signing)
        {
            findings.Report(
                TdxFactors.RootCrl,
                ListFault(
                    collateral.RootCaCrl, "the root's revocation list", root, policy.MaxRootCrlAge, findings,
                    [.. pckPath.Items.Skip(1).Take(1), .. signing?.Items.Take(1) ?? []]),
                "the root's list, without these", "neither intermediate nor TCB signer revoked");
            findings.Report(
                TdxFactors.PckCrl,
                pckPath.Items.Count > 1
                    ? ListFault(collateral.PckCrl, "the revocation list of the PCK's issuer", pckPath.Items[1], policy.MaxCrlAge, findings, [pckPath.Items[0]])
                    : Rejection.Missing("the PCK's issuer"),
                "the issuer's list, without the PCK", "PCK not revoked");
            findings.Report(
                TdxFactors.TcbSigningPath,
                signingRejection ?? CertificatePath.Fault(signing!.Items, root, TcbSigningPathRules, findings),
                "a path to the Intel SGX Root CA", signing is null ? "" : signing.Items[0].ToString());
            VerificationKey? key = null;
            if (signing is not null)
                _ = VerificationKey.TryTake(signing.Items[0], KeyKind.EcdsaP256, out key);
            return key;
        }
    }

    private static Rejection? ListFault(
        ReadOnlyMemory<byte>? bytes, string name, Certificate authority, TimeSpan? maxAge, Findings findings, IReadOnlyList<Certificate> certificates)
    {
        if (bytes is not { } given)
            return Rejection.Missing(name);
        if ((RevocationList.TryParse(given.Span, out var list) ?? list!.Fault(authority, KeyKind.EcdsaP256, maxAge, findings)) is { } rejection)
            return rejection;
        return certificates.FirstOrDefault(list!.Revokes) is { } revoked
            ? new Rejection(RejectionCode.Revoked, "no certificate of the path", revoked.ToString())
            : null;
    }

    private static TcbInfo? CheckTcbInfo(TdxCollateral collateral, Policy policy, VerificationKey? signer, PckExtension platform, Findings findings)
    {
        IntelDocument<TcbInfo>? document = null;
        var rejection = collateral.TcbInfo is { } json
            ? IntelDocument<TcbInfo>.TryParse(json, "tcbInfo", fields => TcbInfo.Read(fields)!, out document)
            : Rejection.Missing("TCB info");
        findings.Report(
            TdxFactors.TcbInfo, rejection ?? SignatureFault(document!, signer), "TCB info signed by Intel",
            document is null ? "" : $"TCB info of {Shown.Date(document.Body.IssueDate)}");
        if (document is null)
        {
            foreach (var factor in (ReadOnlySpan<FactorName>)[TdxFactors.TcbInfoDate, TdxFactors.TcbInfoPlatform])
                findings.Fail(factor, RejectionCode.Missing, "TCB info", "none that can be read");
            return null;
        }

        var info = document.Body;
        findings.Report(
            TdxFactors.TcbInfoDate, AgeFault("TCB info", info.IssueDate, info.NextUpdate, policy, findings), "in date", $"until {Shown.Date(info.NextUpdate)}");
        findings.Check(
            TdxFactors.TcbInfoPlatform, info.Fmspc.AsSpan().SequenceEqual(platform.Fmspc.Span) && info.PceId.AsSpan().SequenceEqual(platform.PceId.Span),
            RejectionCode.Mismatch,
            $"fmspc {Shown.Hex(platform.Fmspc.Span)}, pceid {Shown.Hex(platform.PceId.Span)}", $"fmspc {Shown.Hex(info.Fmspc)}, pceid {Shown.Hex(info.PceId)}");
        return info;
    }

    private static QeIdentity? CheckQeIdentity(TdxCollateral collateral, Policy policy, VerificationKey? signer, TdxQuote quote, Findings findings)
    {
        IntelDocument<QeIdentity>? document = null;
        var rejection = collateral.QeIdentity is { } json
            ? IntelDocument<QeIdentity>.TryParse(json, "enclaveIdentity", fields => QeIdentity.Read(fields)!, out document)
            : Rejection.Missing("QE identity");
        findings.Report(
            TdxFactors.QeIdentity, rejection ?? SignatureFault(document!, signer), "QE identity signed by Intel",
            document is null ? "" : $"QE identity of {Shown.Date(document.Body.IssueDate)}");
        if (document is null)
        {
            foreach (var factor in (ReadOnlySpan<FactorName>)[TdxFactors.QeIdentityDate, TdxFactors.Qe])
                findings.Fail(factor, RejectionCode.Missing, "QE identity", "none that can be read");
            return null;
        }

        var identity = document.Body;
        findings.Report(
            TdxFactors.QeIdentityDate, AgeFault("QE identity", identity.IssueDate, identity.NextUpdate, policy, findings), "in date",
            $"until {Shown.Date(identity.NextUpdate)}");
        findings.Report(TdxFactors.Qe, identity.Fault(quote.Qe), "Intel's quoting enclave", $"isvsvn {quote.Qe.IsvSvn}");
        return identity;
    }

    // 20, the list. It is optional: without it the policy's own minimum stands, and a list never lowers that.
    private static TcbEvaluationNumbers? CheckEvaluationNumbers(TdxCollateral collateral, Policy policy, VerificationKey? signer, Findings findings)
    {
        if (collateral.TcbEvaluationNumbers is not { } json)
        {
            findings.Skip(TdxFactors.TcbEvaluationNumbers, "no list given");
            return null;
        }

        var rejection = IntelDocument<TcbEvaluationNumbers>.TryParse(
            json, "tcbEvaluationDataNumbers", fields => TcbEvaluationNumbers.Read(fields)!, out var document);
        var numbers = document?.Body;
        findings.Report(
            TdxFactors.TcbEvaluationNumbers,
            rejection ?? SignatureFault(document!, signer) ?? AgeFault("evaluation numbers", numbers!.IssueDate, numbers.NextUpdate, policy, findings),
            "evaluation numbers signed by Intel, in date",
            numbers is null ? "" : string.Join(", ", numbers.Evaluations.Select(evaluation => evaluation.Number).Order()));
        return numbers;
    }

    private static TdxTcb? CheckTcb(
        TdxQuote quote, PckExtension platform, TcbInfo? info, QeIdentity? identity, TcbEvaluationNumbers? numbers, Policy policy, Findings findings)
    {
        if (info is null || identity is null)
        {
            ReadOnlySpan<FactorName> unknown =
                [
                    TdxFactors.TdxModule, TdxFactors.TcbSupported, TdxFactors.TcbStatus, TdxFactors.Advisories, TdxFactors.TcbEvaluation,
                ];
            foreach (var factor in unknown)
                findings.Fail(factor, RejectionCode.Missing, info is null ? "TCB info" : "QE identity", "none that can be read");
            return null;
        }

        // 17.
        var major = quote.Report.TeeTcbSvn.Span[1];
        findings.Report(
            TdxFactors.TdxModule, ModuleFault(quote.Report, info.ModuleOf(quote.Report)), "the identity of the TDX module",
            major == 0 ? "TDX module of version 0" : $"TDX module {TcbInfo.ModuleName(major)}");

        // 18.
        var tcb = TdxTcb.Read(quote, platform, info, identity);
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
        return tcb;
    }

    private static void CheckSvn(TdReport report, Policy policy, Findings findings)
    {
        var svn = report.TeeTcbSvn;
        findings.CheckIf(
            policy.Tdx.MinTeeTcbSvn is not null, TdxFactors.TeeTcbSvn, AtLeast(svn.Span, policy.Tdx.MinTeeTcbSvn), RejectionCode.OutOfDate,
            $"each byte at least {Shown.Hex((policy.Tdx.MinTeeTcbSvn ?? default).Span)}", Shown.Hex(svn.Span));
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

    private static Rejection? ModuleFault(TdReport report, ModuleIdentity? module)
    {
        if (module is null)
            return new Rejection(RejectionCode.Mismatch, $"an identity of {TcbInfo.ModuleName(report.TeeTcbSvn.Span[1])}", "none in TCB info");
        if (!report.MrSignerSeam.Span.SequenceEqual(module.MrSigner))
            return new Rejection(RejectionCode.Mismatch, $"mr_signer_seam {Shown.Hex(module.MrSigner)}", Shown.Hex(report.MrSignerSeam.Span));
        return Masked.Equal(report.SeamAttributes.Span, module.Attributes, module.AttributesMask) ? null
            : new Rejection(RejectionCode.Mismatch, $"seam_attributes {Shown.Hex(module.Attributes)}", Shown.Hex(report.SeamAttributes.Span));
    }

    private static void CheckReport(TdReport report, PckExtension platform, Policy policy, bool isRaw, Findings findings)
    {
        const ulong debug = 0xFF, migratable = 1UL << 29, septVeDisable = 1UL << 28, perfmon = 1UL << 63;
        const ulong known = 1 | migratable | septVeDisable | perfmon | (1UL << 27) | (1UL << 30) | (1UL << 31); // LASS, PKS, KL
        var attributes = report.TdAttributes;
        findings.CheckIf(
            !policy.DangerousAllowDebug, TdxFactors.Debug, (attributes & debug) == 0, RejectionCode.Forbidden, "no bit of 0 to 7",
            Shown.Bits(attributes & debug));
        findings.Check(
            TdxFactors.TdAttributes, (attributes & ~known) == 0, RejectionCode.Unsupported, $"only {Shown.Bits(known)}", Shown.Bits(attributes));
        var xfam = BinaryPrimitives.ReadUInt64LittleEndian(report.Xfam.Span);
        findings.Check(
            TdxFactors.Xfam, (xfam & ~XfamKnown) == 0, RejectionCode.Unsupported, $"only {Shown.Bits(XfamKnown)}", Shown.Bits(xfam));
        findings.CheckIf(
            !policy.Tdx.AllowPerfmon, TdxFactors.Perfmon, (attributes & perfmon) == 0, RejectionCode.Forbidden, "PERFMON 0", Bit("PERFMON", perfmon));
        var isBound = report.MrServiceTd.Span.ContainsAnyExcept((byte)0);
        findings.CheckIf(
            !policy.Tdx.AllowMigration, TdxFactors.Migratable, (attributes & migratable) == 0 && (!isBound || policy.Tdx.KnowsServiceTd(report)),
            RejectionCode.Forbidden, "MIGRATABLE 0, no service TD but a known one",
            $"{Bit("MIGRATABLE", migratable)}, {(isBound ? $"service TD {Shown.Hex(report.MrServiceTd.Span)}" : "no service TD")}");
        findings.CheckIf(
            policy.Tdx.RequireSeptVeDisable, TdxFactors.SeptVeDisable, (attributes & septVeDisable) != 0, RejectionCode.Forbidden, "SEPT_VE_DISABLE 1",
            Bit("SEPT_VE_DISABLE", septVeDisable));

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

    private static Rejection? SignatureFault<T>(IntelDocument<T> document, VerificationKey? signer)
        where T : class =>
        signer is null
            ? Rejection.Missing("the TCB signing certificate's key")
            : BadUnless(document.IsSignedBy(signer), "signed by the TCB signing certificate");

    private static Rejection? AgeFault(string name, DateTimeOffset issued, DateTimeOffset nextUpdate, Policy policy, Findings findings) =>
        findings.DateFault(name, issued, nextUpdate)
        ?? (policy.MaxTcbInfoAge is { } age ? findings.DateFault($"{name} by its age", issued, RevocationList.Later(issued, age)) : null);

    private static Rejection? BadUnless(bool verifies, string expected) =>
        verifies ? null : new Rejection(RejectionCode.BadSignature, expected, "another signature");
}
