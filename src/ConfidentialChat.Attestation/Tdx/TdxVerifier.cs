// spec/attestation.md sections 6 and 13.
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
        TcbEvaluationNumbers? numbers;
        string unread;
        using (signer)
        {
            var tcbInfo = CheckTcbInfo(collateral, policy, signer, platform!, findings);
            var identity = CheckQeIdentity(collateral, policy, signer, quote, findings);
            numbers = CheckEvaluationNumbers(collateral, policy, signer, findings);

            // 17.
            CheckModule(quote.Report, tcbInfo, findings);
            tcb = tcbInfo is null || identity is null ? null : TdxTcb.Read(quote, platform!, tcbInfo, identity);
            unread = tcbInfo is null ? "TCB info" : "QE identity";
        }

        // 18 to 30.
        var appraisal = new TdxAppraisal(policy, findings);
        if (tcb is null)
            appraisal.FailTcb(quote.Report, unread);
        else
            appraisal.CheckTcb(quote.Report, tcb, numbers);
        appraisal.CheckReport(quote.Report, platform!, isRaw);
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

    private static void CheckModule(TdReport report, TcbInfo? info, Findings findings)
    {
        if (info is null)
        {
            findings.Fail(TdxFactors.TdxModule, RejectionCode.Missing, "TCB info", "none that can be read");
            return;
        }

        var major = report.TeeTcbSvn.Span[1];
        findings.Report(
            TdxFactors.TdxModule, ModuleFault(report, info.ModuleOf(report)), "the identity of the TDX module",
            major == 0 ? "TDX module of version 0" : $"TDX module {TcbInfo.ModuleName(major)}");
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
