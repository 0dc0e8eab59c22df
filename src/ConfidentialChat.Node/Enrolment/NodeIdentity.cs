// spec/gateway.md sections 1 and 2.
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Hosting;
using ConfidentialChat.Hosting.Certificates;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>What a node keeps on its disk: its identity key and its TLS key. Neither proves anything about a TEE.</summary>
internal sealed class NodeIdentity : IDisposable
{
    private const string DamageHint = "restore it, or move it away and enrol the node anew";

    private readonly string directory;
    private volatile Tls? tls;

    private NodeIdentity(string directory, Ed25519PrivateKey key, X509Certificate2? certificate)
    {
        this.directory = directory;
        Key = key;
        tls = certificate is null ? null : Shown(CertificatePath(directory), certificate);
    }

    /// <summary>The certificate on the disk was taken, and its key is another: <see cref="TlsPin"/> is no longer what the gateway was told.</summary>
    public event Action? TlsPinChanged;

    public Ed25519PrivateKey Key { get; }

    /// <summary>Self-signed: the gateway pins its key and asks for nothing else of it.</summary>
    public X509Certificate2? Certificate => tls?.Certificate;

    /// <summary>What the next handshake shows.</summary>
    public SslServerAuthenticationOptions? Handshake => tls?.Shown.Handshake;

    /// <summary>SHA-256 of the SubjectPublicKeyInfo, base64; of the certificate that is served now.</summary>
    public string? TlsPin => tls?.Pin;

    /// <summary>Loads the identity, or makes it at the first start.</summary>
    public static NodeIdentity Open(string directory, bool tls)
    {
        var seed = OpenOrCreate(Path.Combine(directory, "identity.key"), Ed25519PrivateKey.SeedSize, () =>
        {
            Ed25519PrivateKey.Generate(out var made).Dispose();
            return made;
        });
        var key = Ed25519PrivateKey.Import(seed);
        CryptographicOperations.ZeroMemory(seed);
        try
        {
            return new NodeIdentity(directory, key, tls ? OpenCertificate(directory) : null);
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    /// <summary>Takes the certificate on the disk where it is another than the one that is served. Not for two callers at once.</summary>
    /// <returns>Whether it was taken.</returns>
    /// <exception cref="NodeOptionsException">There is none, or none that can be served; the one that is served stays.</exception>
    public bool TakeCertificate()
    {
        if (tls is not { } before)
            return false;
        var path = CertificatePath(directory);
        byte[] pkcs12;
        try
        {
            pkcs12 = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new NodeOptionsException(
                $"{path} cannot be read: {e.Message}", "restore it; the node serves on with what it has in memory, until its end", e);
        }

        var found = Load(path, pkcs12);
        if (found.RawDataMemory.Span.SequenceEqual(before.Certificate.RawDataMemory.Span))
        {
            found.Dispose();
            return false;
        }

        // The one before is left to the collector: a handshake may be showing it.
        var now = Shown(path, found);
        tls = now;
        if (now.Pin != before.Pin)
            TlsPinChanged?.Invoke();
        return true;
    }

    public void Dispose()
    {
        Key.Dispose();
        Certificate?.Dispose();
    }

    private static string CertificatePath(string directory) => Path.Combine(directory, "tls.p12");

    private static X509Certificate2 OpenCertificate(string directory)
    {
        var pkcs12 = OpenOrCreate(CertificatePath(directory), null, () =>
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest("CN=confidentialchat-node", key, HashAlgorithmName.SHA256);
            var names = new SubjectAlternativeNameBuilder();
            names.AddIpAddress(IPAddress.Loopback);
            names.AddDnsName("confidentialchat-node");
            request.CertificateExtensions.Add(names.Build());
            // The pin decides, not the dates: they are as wide as the format lets them be.
            using var made = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, new DateTimeOffset(9999, 12, 31, 0, 0, 0, TimeSpan.Zero));
            return made.Export(X509ContentType.Pkcs12);
        });
        return Load(CertificatePath(directory), pkcs12);
    }

    private static Tls Shown(string path, X509Certificate2 certificate)
    {
        try
        {
            return new Tls(certificate, new ServerCertificate(path, certificate, []));
        }
        catch (Exception e) when (CertificateFiles.IsOfCryptography(e))
        {
            certificate.Dispose();
            throw new NodeOptionsException($"TLS cannot use the key in {path}.", "put one there for ECDSA P-256, or restore the one before", e);
        }
    }

    private static X509Certificate2 Load(string path, byte[] pkcs12)
    {
        try
        {
            var certificate = X509CertificateLoader.LoadPkcs12(pkcs12, null);
            return certificate.HasPrivateKey ? certificate : throw new NodeOptionsException($"{path} holds no private key.", DamageHint);
        }
        catch (Exception e) when (CertificateFiles.IsOfCryptography(e))
        {
            throw new NodeOptionsException(pkcs12.Length == 0 ? $"{path} is empty." : $"{path} is damaged, or has a password.", DamageHint, e);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(pkcs12);
        }
    }

    private static byte[] OpenOrCreate(string path, int? size, Func<byte[]> make)
    {
        if (!File.Exists(path))
        {
            var made = make();
            PrivateFile.TryCreate(path, made); // else another node of this directory was first, and its key stays
            CryptographicOperations.ZeroMemory(made);
        }

        var bytes = File.ReadAllBytes(path);
        if (size is { } expected && bytes.Length != expected)
            throw new NodeOptionsException($"{path} is damaged: {bytes.Length} bytes instead of {expected}.", DamageHint);
        return bytes;
    }

    private sealed record Tls(X509Certificate2 Certificate, ServerCertificate Shown)
    {
        public string Pin { get; } = Convert.ToBase64String(SHA256.HashData(Certificate.PublicKey.ExportSubjectPublicKeyInfo()));
    }
}
