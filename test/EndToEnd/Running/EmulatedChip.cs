using System.Buffers.Binary;
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.EndToEnd.Tests.Running;

/// <summary>A Milan of our own: its report, certificates and bundle, for a policy that trusts its root.</summary>
internal sealed class EmulatedChip : IDisposable
{
    public static readonly string Measurement = string.Concat(Enumerable.Repeat("4e", 48));

    private const string Arc = "1.3.6.1.4.1.3704.1.";

    // RSA keys of this size take seconds to make: one pair for the whole run.
    private static readonly RSA RootKey = RSA.Create(4096);
    private static readonly RSA IssuerKey = RSA.Create(4096);

    private readonly DateTimeOffset now = DateTimeOffset.UtcNow;
    private readonly byte[] hwid = RandomNumberGenerator.GetBytes(64);
    private readonly ECDsa vekKey = ECDsa.Create(ECCurve.NamedCurves.nistP384);
    private readonly X509Certificate2 root;
    private readonly X509Certificate2 issuer;
    private readonly X509Certificate2 vek;

    public EmulatedChip()
    {
        root = Authority("ARK-Milan", RootKey, [1], X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign);
        issuer = Authority("SEV-Milan", IssuerKey, [1, 2, 3], X509KeyUsageFlags.KeyCertSign);
        var request = new CertificateRequest(new X500DistinguishedName("CN=SEV-VCEK"), vekKey, HashAlgorithmName.SHA384);
        foreach (var id in new[] { "1", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8" })
            request.CertificateExtensions.Add(new X509Extension(Arc + id, [2, 1, 0], critical: false));
        request.CertificateExtensions.Add(new X509Extension(Arc + "2", [(byte)UniversalTagNumber.IA5String, 5, .. "Milan"u8], critical: false));
        request.CertificateExtensions.Add(new X509Extension(Arc + "4", hwid, critical: false));
        vek = request.Create(issuer.SubjectName, X509SignatureGenerator.CreateForRSA(IssuerKey, RSASignaturePadding.Pss), now.AddDays(-1), now.AddDays(1), [0]);
    }

    public byte[] Policy(string more) => Encoding.UTF8.GetBytes(
        $"version = 1\n[dangerous_test_roots]\namd = '''\n{root.ExportCertificatePem()}'''\n{(more.StartsWith('[') ? "" : "[sev_snp]\n")}{more}\n");

    public byte[] Path() => Encoding.ASCII.GetBytes($"{vek.ExportCertificatePem()}\n{issuer.ExportCertificatePem()}\n");

    public byte[] List(params byte[][] revoked)
    {
        var list = new CertificateRevocationListBuilder();
        foreach (var serialNumber in revoked)
            list.AddEntry(serialNumber, now.AddHours(-1));
        using var signing = root.CopyWithPrivateKey(RootKey);
        return list.Build(signing, 1, now.AddDays(1), HashAlgorithmName.SHA384, RSASignaturePadding.Pss, now.AddHours(-1));
    }

    public byte[] Report(byte[] reportData, byte measured)
    {
        var report = new byte[SevSnpReport.Size];
        (report[0], report[0x034]) = (2, 1);
        BinaryPrimitives.WriteUInt64LittleEndian(report.AsSpan(0x008), 0x30000);
        reportData.CopyTo(report, 0x050);
        report.AsSpan(0x090, 48).Fill(measured);
        report.AsSpan(0x160, 32).Fill(0xFF);
        hwid.CopyTo(report, 0x1A0);
        var signature = vekKey.SignData(report.AsSpan(0, 0x2A0), HashAlgorithmName.SHA384);
        for (var i = 0; i < 2; i++)
        {
            signature.AsSpan(i * 48, 48).Reverse();
            signature.AsSpan(i * 48, 48).CopyTo(report.AsSpan(0x2A0 + (i * 72)));
        }

        return report;
    }

    public byte[] Bundle(byte measured = 0x4E, byte[]? nonce = null)
    {
        var statement = Statement(now, nonce).ToBytes();
        var cpu = new CpuEvidence
        {
            Type = CpuType.SevSnp,
            Evidence = Report(BundleStatement.ReportData(statement), measured),
            Collateral = new Dictionary<string, ReadOnlyMemory<byte>> { ["vek"] = Path() },
        };
        return EvidenceBundle.Write(statement, cpu, []);
    }

    /// <summary>What a node would say of itself, for an hour from then.</summary>
    public static BundleStatement Statement(DateTimeOffset at, byte[]? nonce = null) => new()
    {
        Node = 3,
        Keys = new NodeKeys { Ohttp = new byte[40], X25519 = new byte[32], Signing = new byte[32] },
        IssuedAt = DateTimeOffset.FromUnixTimeSeconds(at.ToUnixTimeSeconds()),
        NotAfter = DateTimeOffset.FromUnixTimeSeconds(at.AddHours(1).ToUnixTimeSeconds()),
        Nonce = nonce ?? new byte[32],
        Software = new NodeSoftware("node", "1"),
        Models = [],
        Configuration = new NodeConfiguration([], [], "information", []),
    };

    public void Dispose()
    {
        foreach (var owned in (IDisposable[])[root, issuer, vek, vekKey])
            owned.Dispose();
    }

    private X509Certificate2 Authority(string name, RSA key, byte[] serialNumber, X509KeyUsageFlags usages)
    {
        var request = new CertificateRequest(new X500DistinguishedName($"CN={name}"), key, HashAlgorithmName.SHA384, RSASignaturePadding.Pss);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(usages, critical: true));
        return request.Create(new X500DistinguishedName("CN=ARK-Milan"), X509SignatureGenerator.CreateForRSA(RootKey, RSASignaturePadding.Pss), now.AddDays(-1), now.AddDays(1), serialNumber);
    }
}
