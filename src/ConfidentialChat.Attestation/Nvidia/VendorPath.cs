// spec/attestation.md section 18, "Certificates", rules 1 to 4; section 4 rules 2 to 5.
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>
/// NVIDIA's paths, which are longer than the other vendors': ECDSA P-384 throughout. What several devices share is checked once, as long as
/// they are asked about with the same instance. Not for several threads.
/// </summary>
internal sealed class VendorPath : IDisposable
{
    private readonly Dictionary<(string Issuer, string Subject), bool> signatures = [];
    private readonly Dictionary<string, (Rejection? Rejection, VerificationKey? Key)> keys = new(StringComparer.Ordinal);

    /// <summary>Null where each certificate is issued by the next at this time and the last is the root.</summary>
    /// <param name="given">Leaf first; the root may be left out, where it is known whole.</param>
    /// <param name="size">Certificates, with the root.</param>
    /// <param name="isRoot">Whether a certificate that was given is a pinned root.</param>
    /// <param name="root">The pinned root of a path that leaves it out.</param>
    /// <param name="findings">Learns the dates that were compared.</param>
    public Rejection? Fault(IReadOnlyList<Certificate> given, int size, Func<Certificate, bool> isRoot, Certificate root, Findings findings)
    {
        if (given.Count != size && given.Count != size - 1)
            return new Rejection(RejectionCode.Untrusted, $"{size} certificates, leaf to root", $"{given.Count}");
        if (given.Count == size && !isRoot(given[^1]))
            return new Rejection(RejectionCode.Untrusted, $"the pinned {root}", $"another root, named {given[^1]}");
        IReadOnlyList<Certificate> path = given.Count == size ? given : [.. given, root];
        return KeyFault(path) ?? CertificatePath.UseFault(path) ?? SignatureFault(path) ?? CertificatePath.DateFault(path, findings);
    }

    /// <summary>The key of a certificate, which stays this instance's.</summary>
    public Rejection? TryTake(Certificate certificate, out VerificationKey? key)
    {
        var name = Name(certificate);
        if (!keys.TryGetValue(name, out var taken))
            keys[name] = taken = (VerificationKey.TryTake(certificate, KeyKind.EcdsaP384, out var made), made);
        key = taken.Key;
        return taken.Rejection;
    }

    /// <summary>Whether a certificate was signed by the key of another, with ECDSA and SHA-384.</summary>
    public bool IsSignedBy(Certificate subject, Certificate issuer)
    {
        var pair = (Name(issuer), Name(subject));
        if (!signatures.TryGetValue(pair, out var holds))
            signatures[pair] = holds = TryTake(issuer, out var key) is null && subject.IsSignedBy(key!);
        return holds;
    }

    public void Dispose()
    {
        foreach (var (_, key) in keys.Values)
            key?.Dispose();
    }

    private static string Name(Certificate certificate) => Shown.Hex(SHA256.HashData(certificate.Der.Span));

    // Before any signature: a stranger's key is not calculated with.
    private Rejection? KeyFault(IReadOnlyList<Certificate> path)
    {
        foreach (var certificate in path)
        {
            if (TryTake(certificate, out _) is { } rejection)
                return rejection;
        }

        return null;
    }

    private Rejection? SignatureFault(IReadOnlyList<Certificate> path)
    {
        for (var i = 0; i + 1 < path.Count; i++)
        {
            var (subject, issuer) = (path[i], path[i + 1]);
            if (!subject.Issuer.SequenceEqual(issuer.Subject))
                return new Rejection(RejectionCode.Untrusted, $"{subject} issued by {issuer}", Shown.Text(subject.IssuerCommonName));
            if (!IsSignedBy(subject, issuer))
                return new Rejection(RejectionCode.Untrusted, $"{subject} signed by {issuer}", "another signature");
        }

        return null;
    }
}
