// spec/attestation.md sections 19, checks 9 to 12 and 21, 20 and 21.
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>The RIM files and OCSP answers of one verification: each is read and checked once, however many devices name it. Not for several threads.</summary>
internal sealed class DeviceDocuments(Policy policy, VendorPath paths, DeviceFindings on, ReadOnlyMemory<byte>? ocspNonce) : IDisposable
{
    private const int RimPathSize = 4; // signer, two CAs, root

    private readonly Dictionary<string, RimFile?> known = new(StringComparer.Ordinal);
    private readonly List<(string Whose, RimFile Rim)> rims = [];
    private readonly List<RimFile> standing = [];
    private readonly List<(string Whose, OcspAnswer Answer)> answers = [];

    private Certificate Root => policy.DangerousTestRoots?.NvidiaRim ?? NvidiaRoots.Rim;

    /// <summary>Reads those that were not read yet, and gives the RIM files among them.</summary>
    public IReadOnlyList<RimFile> Take(IReadOnlyList<ReadOnlyMemory<byte>> documents)
    {
        var found = new List<RimFile>();
        foreach (var document in documents)
        {
            var digest = Shown.Hex(SHA256.HashData(document.Span));
            if (!known.TryGetValue(digest, out var rim))
            {
                if (known.Count == Bounds.DeviceDocuments)
                {
                    on.Report(NvidiaFactors.Rim, "", new Rejection(RejectionCode.TooLarge, $"at most {Bounds.DeviceDocuments} documents", "more"), "", "");
                    break;
                }

                known[digest] = rim = Read(document, $"document[{known.Count}]");
            }

            if (rim is not null && !found.Contains(rim))
                found.Add(rim);
        }

        return found;
    }

    // 9, 10, 11.
    public void CheckRims()
    {
        foreach (var (whose, rim) in rims)
        {
            if (on.Report(NvidiaFactors.RimPath, whose, PathFault(rim), $"a path to the pinned {Root}", $"a path to the pinned {Root}"))
                standing.Add(rim);
            on.Report(NvidiaFactors.RimSignature, whose, rim.SignatureFault(), "signed by the file's signer", "signed by the file's signer");
        }

        if (rims.Count > 0 || known.Count > answers.Count)
            return;
        foreach (var name in (FactorName[])[NvidiaFactors.Rim, NvidiaFactors.RimPath, NvidiaFactors.RimSignature])
            on.Skip(name, "", "no RIM file was given");
    }

    // 12. Of paths that stand: the others are refused, and their keys not looked at.
    public void CheckRevocation(IEnumerable<IReadOnlyList<Certificate>> devicePaths)
    {
        // No responder is named for the leaf: the chip issues it to itself.
        var links = devicePaths.SelectMany(path => Links(path, path[^1]).Skip(1))
            .Concat(standing.SelectMany(rim => Links(rim.Certificates, Root)))
            .DistinctBy(link => Shown.Hex(SHA256.HashData(link.Subject.Der.Span)))
            .ToList();
        if (answers.Count == 0 && !policy.Nvidia.RequireOcsp)
        {
            on.Skip(NvidiaFactors.Revocation, "", "no OCSP answer was given");
            return;
        }

        foreach (var (subject, issuer) in links)
        {
            var about = answers.Where(item => item.Answer.Of(subject, issuer) is not null).ToList();
            foreach (var (whose, answer) in about)
                on.Report(NvidiaFactors.Revocation, whose, Fault(answer, subject, issuer), "not revoked", "not revoked");
            if (about.Count == 0 && policy.Nvidia.RequireOcsp)
                on.Report(NvidiaFactors.Revocation, "", Rejection.Missing($"an OCSP answer about {subject}"), "", "");
        }

        foreach (var (whose, answer) in answers.Where(item => !links.Exists(link => item.Answer.Of(link.Subject, link.Issuer) is not null)))
            on.Report(NvidiaFactors.Revocation, whose, new Rejection(RejectionCode.Mismatch, "an answer about a certificate of these", "about others"), "", "");
    }

    // 21.
    public void CheckAge(RimFile rim, string whose)
    {
        var certified = rim.Certificates[0].NotBefore;
        if (policy.Nvidia.MaxRimAge is { } age)
            on.Report(
                NvidiaFactors.RimAge, whose, on.Findings.DateFault("RIM file by its age", certified, RevocationList.Later(certified, age)), "young enough",
                Shown.Date(certified));
        else
            on.Skip(NvidiaFactors.RimAge, whose, $"{Shown.Date(certified)} (any is accepted)");
    }

    public void Dispose()
    {
        rims.ForEach(item => item.Rim.Dispose());
        answers.ForEach(item => item.Answer.Dispose());
    }

    private static IEnumerable<(Certificate Subject, Certificate Issuer)> Links(IReadOnlyList<Certificate> path, Certificate root)
    {
        Certificate[] whole = path[^1].Der.Span.SequenceEqual(root.Der.Span) ? [.. path] : [.. path, root];
        return whole.Zip(whole.Skip(1));
    }

    // An XML text and DER begin differently; what is neither is a RIM file that cannot be read.
    private RimFile? Read(ReadOnlyMemory<byte> document, string whose)
    {
        if (!document.IsEmpty && document.Span[0] == 0x30)
        {
            if (OcspAnswer.TryParse(document.Span, out var answer) is { } unreadable)
                on.Report(NvidiaFactors.Revocation, whose, unreadable, "", "");
            else
                answers.Add((whose, answer!));
            return null;
        }

        on.Report(
            NvidiaFactors.Rim, whose, RimFile.TryParse(document.Span, out var rim), "a RIM file",
            rim is null ? "" : Shown.Text($"{rim.Product} {rim.Edition} {rim.Version}"));
        if (rim is not null)
            rims.Add((whose, rim));
        return rim;
    }

    private Rejection? PathFault(RimFile rim)
    {
        var path = rim.Certificates;
        var fault = paths.Fault(path, RimPathSize, certificate => certificate.Der.Span.SequenceEqual(Root.Der.Span), Root, on.Findings);
        if (fault is not null)
            return fault;
        // The chip in the names of the CAs is no chip of the file: NVIDIA's names are older than some of its chips.
        const string before = "NVIDIA Reference Value ";
        const string after = " CA";
        var name = path[2].CommonName;
        var isOurs = name.StartsWith(before, StringComparison.Ordinal) && name.EndsWith(after, StringComparison.Ordinal);
        var chip = isOurs && name.Length > before.Length + after.Length
            ? name[before.Length..^after.Length]
            : "";
        var isSigner = path[0].CommonName == "HCC RIM L4 Signer" || path[0].CommonName == $"NVIDIA Reference Value L4 {chip}";
        var start = $"NVIDIA Reference Value L3 {chip} ";
        var isIssuer = path[1].CommonName.StartsWith(start, StringComparison.Ordinal) && path[1].CommonName.Length - start.Length is >= 1 and <= 8
            && path[1].CommonName[start.Length..].All(char.IsAsciiDigit);
        return chip.Length is >= 2 and <= 12 && !chip.Contains(' ', StringComparison.Ordinal) && isSigner && isIssuer
            ? null
            : new Rejection(RejectionCode.BadCertificate, "a signer of RIM files", Shown.List(path.Take(3).Select(item => item.CommonName)));
    }

    private Rejection? Fault(OcspAnswer answer, Certificate subject, Certificate issuer)
    {
        if (answer.Fault(subject, issuer, policy.Nvidia.OcspGrace, paths, on.Findings) is { } fault)
            return fault;
        if (ocspNonce is { } expected && (answer.Nonce is not { } found || !found.Span.SequenceEqual(expected.Span)))
            return new Rejection(
                RejectionCode.Mismatch, Shown.Hex(expected.Span), answer.Nonce is { } other ? Shown.Hex(other.Span[..Math.Min(32, other.Length)]) : "no nonce");
        return answer.Of(subject, issuer) switch
        {
            OcspStatus.Good => null,
            OcspStatus.Held when policy.Nvidia.AllowCertificateHold => null,
            OcspStatus.Held => new Rejection(RejectionCode.Revoked, $"{subject} in force", "held (certificateHold)"),
            OcspStatus.Revoked => new Rejection(RejectionCode.Revoked, $"{subject} in force", "revoked"),
            _ => new Rejection(RejectionCode.Untrusted, $"{subject} in force", "unknown to its issuer"),
        };
    }
}
