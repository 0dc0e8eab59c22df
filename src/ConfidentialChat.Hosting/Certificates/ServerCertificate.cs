// docs/operating.md, "Certificates".
using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace ConfidentialChat.Hosting.Certificates;

/// <summary>A certificate with its private key, and what leads from it to a root: what a handshake shows.</summary>
internal sealed class ServerCertificate : IDisposable
{
    private readonly string file;
    private readonly X509Certificate2 leaf;
    private readonly X509Certificate2Collection chain;
    private readonly string? absentIssuer;

    public ServerCertificate(string file, X509Certificate2 leaf, X509Certificate2Collection chain)
    {
        this.file = file;
        this.leaf = leaf;
        this.chain = chain;
        absentIssuer = FindAbsentIssuer();
        Handshake = new SslServerAuthenticationOptions
        {
            // Offline: a handshake asks nobody else, neither for certificates nor for their state.
            ServerCertificateContext = SslStreamCertificateContext.Create(leaf, chain, offline: true),
            ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11],
        };
    }

    /// <summary>The same object for each handshake, so that sessions can be resumed.</summary>
    public SslServerAuthenticationOptions Handshake { get; }

    public DateTimeOffset Begins => new(leaf.NotBefore.ToUniversalTime());

    public DateTimeOffset Ends => new(leaf.NotAfter.ToUniversalTime());

    /// <summary>Whether a handshake would show the same.</summary>
    public bool IsSameAs(ServerCertificate other) =>
        leaf.RawDataMemory.Span.SequenceEqual(other.leaf.RawDataMemory.Span)
        && chain.Select(certificate => certificate.Thumbprint).SequenceEqual(other.chain.Select(certificate => certificate.Thumbprint), StringComparer.Ordinal);

    /// <summary>Why clients will not take it, though it can be served. Each names the file.</summary>
    /// <param name="now">By the server's clock.</param>
    /// <param name="name">What clients call the server; null where nobody said.</param>
    public IEnumerable<string> Faults(DateTimeOffset now, string? name)
    {
        if (now > Ends)
            yield return $"The certificate in {file} ended on {Date(Ends)}: clients refuse it. Renew it, or set the clock.";
        if (now < Begins)
            yield return $"The certificate in {file} begins on {Date(Begins)} only: clients refuse it until then. Set the clock, or wait.";
        if (absentIssuer is not null)
            yield return $"{file} lacks the certificate of its issuer, '{absentIssuer}', which is no root that this machine knows: clients that know the root alone refuse it. Put the intermediate certificates behind it (fullchain.pem).";
        if (name is not null && !IsFor(name))
            yield return $"The certificate in {file} is for {Names()}, and not for {name}: clients that call the gateway so refuse it.";
    }

    /// <summary>Of one that no handshake has shown.</summary>
    public void Dispose()
    {
        leaf.Dispose();
        foreach (var certificate in chain)
            certificate.Dispose();
    }

    public override string ToString() => $"{Names()}, until {Date(Ends)}";

    private static string Date(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture);

    private bool IsFor(string name)
    {
        try
        {
            return leaf.MatchesHostname(name, allowCommonName: false);
        }
        catch (Exception e) when (e is ArgumentException or System.Security.Cryptography.CryptographicException)
        {
            return false; // no name at all, or an extension that cannot be read
        }
    }

    private string Names()
    {
        try
        {
            var names = leaf.Extensions.OfType<X509SubjectAlternativeNameExtension>()
                .SelectMany(extension => extension.EnumerateDnsNames().Concat(extension.EnumerateIPAddresses().Select(address => address.ToString())))
                .Take(8)
                .ToList();
            return names.Count > 0 ? string.Join(", ", names) : "nobody that it names";
        }
        catch (System.Security.Cryptography.CryptographicException)
        {
            return "names that cannot be read";
        }
    }

    // Of a further certificate of the chain nobody can tell whether its issuer is a private root, which clients have, or one that was forgotten.
    private string? FindAbsentIssuer()
    {
        var issuer = leaf.IssuerName.RawData;
        if (issuer.AsSpan().SequenceEqual(leaf.SubjectName.RawData) || chain.Any(certificate => certificate.SubjectName.RawData.AsSpan().SequenceEqual(issuer)))
            return null;
        using var roots = new X509Store(StoreName.Root, StoreLocation.LocalMachine, OpenFlags.ReadOnly);
        var all = roots.Certificates; // made anew by each call
        var isThere = all.Any(root => root.SubjectName.RawData.AsSpan().SequenceEqual(issuer));
        foreach (var root in all)
            root.Dispose();
        return isThere ? null : leaf.Issuer;
    }
}
