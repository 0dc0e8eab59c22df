// spec/attestation.md section 4 rules 2, 3, 4 and 5.
using System.Security.Cryptography.X509Certificates;

namespace ConfidentialChat.Attestation.Certificates;

/// <summary>What one place in a vendor's PKI demands of a path.</summary>
public sealed record PathRules
{
    /// <summary>The common names that the leaf may have.</summary>
    public required IReadOnlyList<string> LeafNames { get; init; }

    public required KeyKind LeafKey { get; init; }

    /// <summary>The common names that the intermediate may have; empty where the root signs the leaf itself.</summary>
    public required IReadOnlyList<string> IntermediateNames { get; init; }

    public required KeyKind AuthorityKey { get; init; }
}

/// <summary>Leaf, intermediate and pinned root, checked as exactly that.</summary>
public static class CertificatePath
{
    private const string BasicConstraints = "2.5.29.19";
    private const string KeyUsage = "2.5.29.15";
    private const string NameConstraints = "2.5.29.30";

    /// <summary>Null where the path stands at <see cref="Findings.At"/>.</summary>
    /// <param name="given">Leaf first. The root may be left out; where it is given it has to be the pinned one.</param>
    /// <param name="root">The pinned root.</param>
    /// <param name="rules">What the place demands.</param>
    /// <param name="findings">Learns the dates that were compared.</param>
    public static Rejection? Fault(IReadOnlyList<Certificate> given, Certificate root, PathRules rules, Findings findings)
    {
        ArgumentNullException.ThrowIfNull(given);
        ArgumentNullException.ThrowIfNull(root);
        ArgumentNullException.ThrowIfNull(rules);
        ArgumentNullException.ThrowIfNull(findings);
        var below = rules.IntermediateNames.Count == 0 ? 1 : 2;
        if (given.Count == below + 1)
        {
            if (!given[^1].Der.Span.SequenceEqual(root.Der.Span))
                return new Rejection(RejectionCode.Untrusted, $"the pinned {root}", $"another root, named {given[^1]}");
        }
        else if (given.Count != below)
        {
            return new Rejection(RejectionCode.Untrusted, $"{below} certificates below the root", $"{given.Count} certificates");
        }

        Certificate[] path = [.. given.Take(below), root];
        var keys = new VerificationKey?[path.Length];
        try
        {
            return KeyFault(path, rules, keys) ?? SignatureFault(path, keys) ?? UseFault(path) ?? NameFault(path, rules) ?? DateFault(path, findings);
        }
        finally
        {
            foreach (var key in keys)
                key?.Dispose();
        }
    }

    /// <summary>Rule 4: what each certificate may be used for. What has no meaning here is refused where it is critical, and name constraints always.</summary>
    internal static Rejection? UseFault(IReadOnlyList<Certificate> path)
    {
        for (var i = 0; i < path.Count; i++)
        {
            var certificate = path[i];
            var oids = certificate.ExtensionOids.ToList();
            if (oids.Distinct(StringComparer.Ordinal).Count() != oids.Count)
                return new Rejection(RejectionCode.BadCertificate, "each extension once", $"one twice in {certificate}");
            if (certificate.X509.Extensions.FirstOrDefault(
                extension => (extension.Critical && extension.Oid?.Value is not (BasicConstraints or KeyUsage)) || extension.Oid?.Value == NameConstraints)
                is { } unknown)
                return new Rejection(
                    RejectionCode.BadCertificate, "certificates of the right use", $"{Shown.Text(unknown.Oid?.Value)} of {certificate} is not understood");
            var usages = certificate.KeyUsages;
            if (i == 0 && certificate.IsAuthority)
                return new Rejection(RejectionCode.BadCertificate, "a leaf", "a CA");
            if (i == 0 && usages is { } leaf && !leaf.HasFlag(X509KeyUsageFlags.DigitalSignature))
                return new Rejection(RejectionCode.BadCertificate, "a leaf that may sign", "another usage");
            if (i > 0 && (!certificate.IsAuthority || certificate.PathLength < i - 1 || usages?.HasFlag(X509KeyUsageFlags.KeyCertSign) != true))
                return new Rejection(RejectionCode.BadCertificate, "a CA that may sign certificates", certificate.ToString());
        }

        return null;
    }

    /// <summary>Rule 3. All of them are compared, so that the verdict knows every date.</summary>
    internal static Rejection? DateFault(IReadOnlyList<Certificate> path, Findings findings)
    {
        Rejection? first = null;
        foreach (var certificate in path)
        {
            var fault = findings.DateFault(certificate.ToString(), certificate.NotBefore, certificate.NotAfter);
            first ??= fault;
        }

        return first;
    }

    // Before any signature: a stranger's key may be one that takes seconds to verify with, or a curve of its own.
    private static Rejection? KeyFault(Certificate[] path, PathRules rules, VerificationKey?[] keys)
    {
        for (var i = 0; i < path.Length; i++)
        {
            if (VerificationKey.TryTake(path[i], i == 0 ? rules.LeafKey : rules.AuthorityKey, out keys[i]) is { } rejection)
                return rejection;
        }

        return null;
    }

    // Rule 2. The framework's chains complete a path from the stores of the machine, and prefer what lies there to what was given.
    private static Rejection? SignatureFault(Certificate[] path, VerificationKey?[] keys)
    {
        for (var i = 0; i + 1 < path.Length; i++)
        {
            var (subject, issuer, key) = (path[i], path[i + 1], keys[i + 1]!);
            if (!subject.Issuer.SequenceEqual(issuer.Subject))
                return new Rejection(RejectionCode.Untrusted, $"{subject} issued by {issuer}", Shown.Text(subject.IssuerCommonName));
            if (subject.SignatureAlgorithm != key.SignatureAlgorithm)
                return new Rejection(RejectionCode.BadCertificate, $"a certificate signed with {key.Algorithm}", subject.ToString());
            if (!subject.IsSignedBy(key))
                return new Rejection(RejectionCode.Untrusted, $"{subject} signed by {issuer}", "another signature");
        }

        return null;
    }

    private static Rejection? NameFault(Certificate[] path, PathRules rules)
    {
        if (!rules.LeafNames.Contains(path[0].CommonName))
            return new Rejection(RejectionCode.BadCertificate, Shown.List(rules.LeafNames), path[0].ToString());
        if (path.Length == 3 && !rules.IntermediateNames.Contains(path[1].CommonName))
            return new Rejection(RejectionCode.BadCertificate, Shown.List(rules.IntermediateNames), path[1].ToString());
        return null;
    }
}
