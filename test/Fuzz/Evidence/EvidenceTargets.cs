// spec/attestation.md section 2 rule 6: whatever the bytes are, the outcome is a verdict.
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Fuzz.Evidence;

/// <summary>Each takes any bytes, and throws where what came out is no typed rejection. Nothing of what is fuzzed may run before the first input.</summary>
internal static class EvidenceTargets
{
    private static readonly DateTimeOffset At = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero); // within the dates of the corpus

    public static IReadOnlyDictionary<string, Action<byte[]>> All { get; } = new Dictionary<string, Action<byte[]>>(StringComparer.Ordinal)
    {
        ["quote"] = Quote,
        ["snp-report"] = Report,
        ["bundle"] = Bundle,
        ["crl"] = List,
        ["certificate"] = Certificates,
    };

    // All of it but Intel's documents: the form, the quote, its path and the PCK's extension. Its root is nobody's.
    private static void Quote(byte[] bytes) =>
        Refused(TdxVerifier.Verify(EvidenceForm.Evidence(bytes), new TdxCollateral(), Policy.Default, At).Verdict);

    // A report, and whatever certificates follow it.
    private static void Report(byte[] bytes)
    {
        var report = bytes.AsMemory(0, Math.Min(bytes.Length, SevSnpReport.Size));
        Refused(SevSnpVerifier.Verify(report.Span, EvidenceForm.SevSnp(bytes.AsMemory(report.Length)), Policy.Default, At).Verdict);
    }

    // Simulated evidence is not accepted either: the default policy does not know it.
    private static void Bundle(byte[] bytes) => Refused(new BundleVerifier().Verify(bytes, Policy.Default, At).Verdict);

    private static void List(byte[] bytes)
    {
        var rejection = RevocationList.TryParse(EvidenceForm.RevocationList(bytes).Span, out var list);
        Demand((rejection is null) == (list is not null), "a list is either read or refused");
        if (list is not null)
            Demand(
                list.Fault(IntelRoot.SgxRootCa, KeyKind.EcdsaP256, null, new Findings(At, new HashSet<string>())) is not null, "a list of nobody's stands");
    }

    private static void Certificates(byte[] bytes)
    {
        var rejection = CertificateList.TryParse(EvidenceForm.Certificates(bytes).Span, out var list);
        Demand((rejection is null) == (list is not null), "certificates are either read or refused");
        using (list)
        {
            foreach (var certificate in list?.Items ?? [])
                Read(certificate);
        }
    }

    private static void Read(Certificate certificate)
    {
        _ = certificate.ToString();
        _ = PckExtension.TryRead(certificate, out _);
        foreach (var product in SevSnpProduct.All)
        {
            _ = VekExtensions.TryRead(certificate, product, VekKind.Vcek, out _);
            _ = VekExtensions.TryRead(certificate, product, VekKind.Vlek, out _);
        }

        foreach (var kind in Enum.GetValues<KeyKind>())
        {
            _ = VerificationKey.TryTake(certificate, kind, out var key);
            key?.Dispose();
        }

        using var again = Again(certificate);
        Demand(again.CommonName == certificate.CommonName && again.NotAfter == certificate.NotAfter, "a certificate reads differently a second time");
    }

    private static Certificate Again(Certificate certificate)
    {
        Demand(Certificate.TryParse(certificate.Der.Span, out var again) is null, "a certificate is refused a second time");
        return again!;
    }

    private static void Refused(Verdict verdict)
    {
        Demand(!verdict.IsAccepted, "accepted");
        Demand(verdict.Failures.Any(), "refused for nothing");
        foreach (var factor in verdict.Factors)
            Demand((factor.Expected + factor.Found).All(c => c is >= ' ' and <= '~'), "a text that is not printable ASCII");
    }

    private static void Demand(bool holds, string what)
    {
        if (!holds)
            throw new InvalidOperationException(what);
    }
}
