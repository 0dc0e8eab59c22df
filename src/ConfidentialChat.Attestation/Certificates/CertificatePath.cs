// spec/attestation.md section 4 rules 2, 3, 4 and 5.
using System.Security.Cryptography;
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
        return KeyFault(path, rules) ?? SignatureFault(path, findings.At) ?? UsageFault(path, rules) ?? DateFault(path, findings);
    }

    // Before any signature: a stranger's key may be one that takes seconds to verify with, or a curve of its own.
    private static Rejection? KeyFault(Certificate[] path, PathRules rules)
    {
        for (var i = 0; i < path.Length; i++)
        {
            var rejection = VerificationKey.TryTake(path[i], i == 0 ? rules.LeafKey : rules.AuthorityKey, out var key);
            key?.Dispose();
            if (rejection is not null)
                return rejection;
        }

        return null;
    }

    // The framework checks names, signatures and extensions; it may take nothing from the network or the machine's stores.
    private static Rejection? SignatureFault(Certificate[] path, DateTimeOffset at)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck; // it would fetch; our lists are checked apart
        chain.ChainPolicy.VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid; // DateFault compares them
        chain.ChainPolicy.VerificationTime = at.UtcDateTime; // else it would ask the clock
        chain.ChainPolicy.CustomTrustStore.Add(path[^1].X509);
        foreach (var intermediate in path[1..^1])
            chain.ChainPolicy.ExtraStore.Add(intermediate.X509);
        try
        {
            var stands = chain.Build(path[0].X509);
            var status = chain.ChainStatus.Select(item => item.Status)
                .Where(item => item is not (X509ChainStatusFlags.NotTimeValid or X509ChainStatusFlags.NoError))
                .ToList();
            var exact = chain.ChainElements.Count == path.Length
                && chain.ChainElements.Select(element => element.Certificate)
                    .Zip(path)
                    .All(pair => pair.First.RawDataMemory.Span.SequenceEqual(pair.Second.Der.Span));
            if (stands && exact && status.Count == 0)
                return null;
            const X509ChainStatusFlags wrongUse = X509ChainStatusFlags.HasNotSupportedCriticalExtension | X509ChainStatusFlags.InvalidBasicConstraints
                | X509ChainStatusFlags.InvalidExtension | X509ChainStatusFlags.NotValidForUsage | X509ChainStatusFlags.InvalidNameConstraints
                | X509ChainStatusFlags.InvalidPolicyConstraints;
            var found = status.Count == 0 ? "another path" : string.Join(", ", status);
            return exact && status.Count > 0 && status.All(item => (item | wrongUse) == wrongUse)
                ? new Rejection(RejectionCode.BadCertificate, "certificates of the right use", found)
                : new Rejection(RejectionCode.Untrusted, $"a path to the pinned {path[^1]}", found);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or NotSupportedException)
        {
            return new Rejection(RejectionCode.Untrusted, $"a path to the pinned {path[^1]}", "undecodable certificates");
        }
        finally
        {
            foreach (var element in chain.ChainElements)
                element.Certificate.Dispose();
        }
    }

    private static Rejection? UsageFault(Certificate[] path, PathRules rules)
    {
        for (var i = 1; i < path.Length; i++)
        {
            if (!path[i].IsAuthority || path[i].PathLength < i - 1 || path[i].KeyUsages is not { } usages || !usages.HasFlag(X509KeyUsageFlags.KeyCertSign))
                return new Rejection(RejectionCode.BadCertificate, "a CA that may sign certificates", path[i].ToString());
            if (rules.AuthorityKey == KeyKind.RsaPss4096 && path[i - 1].X509.SignatureAlgorithm.Value != VerificationKey.RsaPss)
                return new Rejection(RejectionCode.BadCertificate, "a certificate signed with RSASSA-PSS", path[i - 1].ToString());
        }

        if (path[0].IsAuthority)
            return new Rejection(RejectionCode.BadCertificate, "a leaf", "a CA");
        if (path[0].KeyUsages is { } leaf && !leaf.HasFlag(X509KeyUsageFlags.DigitalSignature))
            return new Rejection(RejectionCode.BadCertificate, "a leaf that may sign", "another usage");
        if (!rules.LeafNames.Contains(path[0].CommonName))
            return new Rejection(RejectionCode.BadCertificate, Shown.List(rules.LeafNames), path[0].ToString());
        if (path.Length == 3 && !rules.IntermediateNames.Contains(path[1].CommonName))
            return new Rejection(RejectionCode.BadCertificate, Shown.List(rules.IntermediateNames), path[1].ToString());
        return null;
    }

    // All of them are compared, so that the verdict knows every date.
    private static Rejection? DateFault(Certificate[] path, Findings findings)
    {
        Rejection? first = null;
        foreach (var certificate in path)
        {
            var fault = findings.DateFault(certificate.ToString(), certificate.NotBefore, certificate.NotAfter);
            first ??= fault;
        }

        return first;
    }
}
