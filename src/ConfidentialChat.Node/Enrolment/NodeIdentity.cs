// spec/gateway.md sections 1 and 2.
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Primitives;

namespace ConfidentialChat.Node.Enrolment;

/// <summary>What a node keeps on its disk: its identity key and its TLS key. Neither proves anything about a TEE.</summary>
internal sealed class NodeIdentity : IDisposable
{
    private NodeIdentity(Ed25519PrivateKey key, X509Certificate2? certificate)
    {
        Key = key;
        Certificate = certificate;
    }

    public Ed25519PrivateKey Key { get; }

    /// <summary>Self-signed: the gateway pins its key and asks for nothing else of it.</summary>
    public X509Certificate2? Certificate { get; }

    /// <summary>SHA-256 of the SubjectPublicKeyInfo, base64.</summary>
    public string? TlsPin => Certificate is null
        ? null
        : Convert.ToBase64String(SHA256.HashData(Certificate.PublicKey.ExportSubjectPublicKeyInfo()));

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
        return new NodeIdentity(key, tls ? OpenCertificate(directory) : null);
    }

    public void Dispose()
    {
        Key.Dispose();
        Certificate?.Dispose();
    }

    private static X509Certificate2 OpenCertificate(string directory)
    {
        var pkcs12 = OpenOrCreate(Path.Combine(directory, "tls.p12"), null, () =>
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
        var certificate = X509CertificateLoader.LoadPkcs12(pkcs12, null);
        CryptographicOperations.ZeroMemory(pkcs12);
        return certificate;
    }

    private static byte[] OpenOrCreate(string path, int? size, Func<byte[]> make)
    {
        if (!File.Exists(path))
        {
            var made = make();
            PrivateFile.Write(path, made);
            CryptographicOperations.ZeroMemory(made);
        }

        var bytes = File.ReadAllBytes(path);
        if (size is { } expected && bytes.Length != expected)
            throw new NodeOptionsException($"{path} is damaged: {bytes.Length} bytes instead of {expected}.", "restore it, or move it away and enrol the node anew");
        return bytes;
    }
}
