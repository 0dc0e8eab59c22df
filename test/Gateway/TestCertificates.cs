using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ConfidentialChat.Gateway.Tests;

/// <summary>An authority of a test's own: a root, an intermediate below it, and what it issues, as PEM files.</summary>
internal sealed class TestCertificates : IDisposable
{
    private readonly X509Certificate2 intermediate;

    public TestCertificates(DateTimeOffset now)
    {
        Now = now;
        using var rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Root = Authority("CN=test root", rootKey).CreateSelfSigned(now.AddYears(-10), now.AddYears(10));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var issued = Authority("CN=test intermediate", key).Create(Root, now.AddYears(-9), now.AddYears(9), [1]);
        intermediate = issued.CopyWithPrivateKey(key);
        Directory = System.IO.Directory.CreateTempSubdirectory("certificates-").FullName;
    }

    public X509Certificate2 Root { get; }

    public DateTimeOffset Now { get; }

    public string Directory { get; }

    public string CertificateFile => Path.Combine(Directory, "cert.pem");

    public string KeyFile => Path.Combine(Directory, "key.pem");

    public string IntermediatePem => intermediate.ExportCertificatePem();

    public string RootPem => Root.ExportCertificatePem();

    /// <summary>A new key and its certificate, from an hour ago on unless <paramref name="begins"/> says otherwise.</summary>
    public (string Certificate, string Key) Issue(int days = 90, DateTimeOffset? begins = null, string name = "gateway.example", bool rsa = false)
    {
        var from = begins ?? Now.AddHours(-1);
        using AsymmetricAlgorithm key = rsa ? RSA.Create(2048) : ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = key is RSA r
            ? new CertificateRequest("CN=ignored", r, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            : new CertificateRequest("CN=ignored", (ECDsa)key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var issuer = intermediate.GetECDsaPrivateKey()!;
        using var made = request.Create(
            intermediate.SubjectName, X509SignatureGenerator.CreateForECDsa(issuer), from, from.AddDays(days), RandomNumberGenerator.GetBytes(8));
        return (made.ExportCertificatePem() + "\n", key.ExportPkcs8PrivateKeyPem() + "\n");
    }

    /// <summary>Writes a pair as most tools do: the new file takes the old one's place.</summary>
    public void Write((string Certificate, string Key) pair, bool withIntermediate = true)
    {
        Replace(CertificateFile, pair.Certificate + (withIntermediate ? IntermediatePem + "\n" : ""));
        Replace(KeyFile, pair.Key);
    }

    public void Dispose()
    {
        Root.Dispose();
        intermediate.Dispose();
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    private static CertificateRequest Authority(string name, ECDsa key)
    {
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        return request;
    }

    private static void Replace(string path, string text)
    {
        File.WriteAllText(path + ".new", text);
        File.Move(path + ".new", path, overwrite: true);
    }
}
