using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Tests;

/// <summary>
/// A processor of our own: signs reports with a VCEK or VLEK under a root that only the test's policy trusts.
/// As it stands everything about it is right; a test changes what it is about.
/// </summary>
internal sealed record EmulatedChip
{
    public const string Arc = "1.3.6.1.4.1.3704.1.";
    private const X509KeyUsageFlags SignsCertificates = X509KeyUsageFlags.KeyCertSign;

    public static readonly DateTimeOffset At = new(2026, 6, 1, 0, 0, 0, TimeSpan.Zero);

    // RSA keys of this size take seconds to make: one pair for the whole run, and where that is many processes, made before them.
    private static readonly Lazy<RSA> RootKey = new(() => Key("root"));
    private static readonly Lazy<RSA> IssuerKey = new(() => Key("issuer"));

    // They sign as slowly: certificates are made once, by what is in them.
    private static readonly ConcurrentDictionary<object, byte[]> Made = new();
    private static readonly Lazy<ECDsa> ChipKey = new(() => ECDsa.Create(ECCurve.NamedCurves.nistP384));

    public SevSnpProduct Product { get; init; } = SevSnpProduct.Milan;

    public VekKind Kind { get; init; }

    public int Version { get; init; } = 3;

    /// <summary>Of report and certificate alike; hexadecimal, byte 0 first.</summary>
    public string? Tcb { get; init; }

    public Cpuid? Cpuid { get; init; }

    public DateTimeOffset VekFrom { get; init; } = At.AddYears(-1);

    public DateTimeOffset VekUntil { get; init; } = At.AddYears(1);

    public string? VekName { get; init; }

    public AsymmetricAlgorithm VekKey { get; init; } = ChipKey.Value;

    public RSASignaturePadding VekPadding { get; init; } = RSASignaturePadding.Pss;

    /// <summary>Changes the VEK's extensions before it is issued.</summary>
    public Action<Dictionary<string, byte[]>> Extensions { get; init; } = static _ => { };

    /// <summary>Added to the VEK as they are.</summary>
    public IReadOnlyList<X509Extension> MoreExtensions { get; init; } = [];

    public string? IssuerName { get; init; }

    public string? RootName { get; init; }

    /// <summary>Unsigned, big endian.</summary>
    public byte[] IssuerSerialNumber { get; init; } = [1, 0, 1];

    public X509KeyUsageFlags IssuerUsage { get; init; } = SignsCertificates;

    public bool IssuerIsAuthority { get; init; } = true;

    public X509KeyUsageFlags RootUsage { get; init; } = SignsCertificates | X509KeyUsageFlags.CrlSign;

    /// <summary>Root and issuer change keys: the same names, other certificates.</summary>
    public bool IsForged { get; init; }

    /// <summary>Changes the report before it is signed.</summary>
    public Action<byte[]> Content { get; init; } = static _ => { };

    public byte[] Hwid => [.. Enumerable.Range(1, Product.HwidSize).Select(i => (byte)i)];

    private string TcbText => Tcb ?? (Product == SevSnpProduct.Turin ? "0102030400000048" : "04000000000018db");

    private string IssuerText => IssuerName ?? (Kind == VekKind.Vcek ? $"SEV-{Product}" : $"SEV-VLEK-{Product}");

    private (RSA Root, RSA Issuer) Keys => IsForged ? (IssuerKey.Value, RootKey.Value) : (RootKey.Value, IssuerKey.Value);

    /// <summary>Trusts this chip's root in the place of AMD's.</summary>
    public Policy Policy => Policy.Default with { DangerousTestRoots = new TestRoots { Amd = Parse(Root()) } };

    public SevSnpCollateral Collateral => new() { Vek = Path(Vek(), Issuer()) };

    public byte[] Report()
    {
        var report = new byte[SevSnpReport.Size];
        BinaryPrimitives.WriteInt32LittleEndian(report, Version);
        BinaryPrimitives.WriteUInt64LittleEndian(report.AsSpan(0x008), 0x30000);
        report[0x034] = 1;
        report[0x048] = (byte)((int)Kind << 2);
        report.AsSpan(0x050, 64).Fill(0xDA);
        report.AsSpan(0x090, 48).Fill(0x4E);
        report.AsSpan(0x160, 32).Fill(0xFF);
        foreach (var offset in new[] { 0x038, 0x180, 0x1E0, 0x1F0 })
            Convert.FromHexString(TcbText).CopyTo(report, offset);
        if (Version >= 3)
        {
            var cpuid = Cpuid
                ?? (Product == SevSnpProduct.Turin ? new(0x1A, 0x02, 1) : Product == SevSnpProduct.Genoa ? new(0x19, 0x11, 1) : new(0x19, 0x01, 1));
            (report[0x188], report[0x189], report[0x18A]) = (cpuid.Family, cpuid.Model, cpuid.Stepping);
        }

        if (Kind == VekKind.Vcek)
            Hwid.CopyTo(report, 0x1A0);
        Content(report);
        if (VekKey is ECDsa { KeySize: 384 } key)
        {
            var signature = key.SignData(report.AsSpan(0, 0x2A0), HashAlgorithmName.SHA384, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
            signature.AsSpan(0, 48).Reverse();
            signature.AsSpan(48).Reverse();
            signature.AsSpan(0, 48).CopyTo(report.AsSpan(0x2A0));
            signature.AsSpan(48).CopyTo(report.AsSpan(0x2E8));
        }

        return report;
    }

    /// <summary>The root, PEM-less.</summary>
    public X509Certificate2 Root() => X509CertificateLoader.LoadCertificate(
        Made.GetOrAdd((IsForged, RootName ?? $"ARK-{Product}", RootUsage), _ => MakeRoot().RawData));

    /// <summary>The ASK or ASVK.</summary>
    public X509Certificate2 Issuer() => X509CertificateLoader.LoadCertificate(Made.GetOrAdd(
        (IsForged, RootName ?? $"ARK-{Product}", IssuerText, IssuerIsAuthority, IssuerUsage, Convert.ToHexString(IssuerSerialNumber)),
        _ => MakeIssuer().RawData));

    private X509Certificate2 MakeRoot()
    {
        var name = Name(RootName ?? $"ARK-{Product}");
        var request = new CertificateRequest(name, Keys.Root, HashAlgorithmName.SHA384, RSASignaturePadding.Pss);
        request.CertificateExtensions.Add(new X509KeyUsageExtension(RootUsage, critical: true));
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        return request.Create(name, X509SignatureGenerator.CreateForRSA(Keys.Root, RSASignaturePadding.Pss), At.AddYears(-5), At.AddYears(20), [1, 0, 0]);
    }

    private X509Certificate2 MakeIssuer()
    {
        var request = new CertificateRequest(Name(IssuerText), Keys.Issuer, HashAlgorithmName.SHA384, RSASignaturePadding.Pss);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(IssuerIsAuthority, hasPathLengthConstraint: IssuerIsAuthority, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(IssuerUsage, critical: true));
        return request.Create(
            Name(RootName ?? $"ARK-{Product}"), X509SignatureGenerator.CreateForRSA(Keys.Root, RSASignaturePadding.Pss), At.AddYears(-5), At.AddYears(20),
            IssuerSerialNumber);
    }

    public X509Certificate2 Vek() => X509CertificateLoader.LoadCertificate(Made.GetOrAdd(
        (IsForged, Product, Kind, TcbText, (VekFrom, VekUntil, VekName, VekKey, VekPadding), Extensions, MoreExtensions, IssuerText),
        _ => MakeVek().RawData));

    private X509Certificate2 MakeVek()
    {
        var name = Name(VekName ?? (Kind == VekKind.Vcek ? "SEV-VCEK" : "SEV-VLEK"));
        var request = VekKey switch
        {
            ECDsa ec => new CertificateRequest(name, ec, HashAlgorithmName.SHA384),
            RSA rsa => new CertificateRequest(name, rsa, HashAlgorithmName.SHA384, RSASignaturePadding.Pss),
            _ => throw new InvalidOperationException(),
        };
        var extensions = new Dictionary<string, byte[]>(StringComparer.Ordinal)
        {
            [Arc + "1"] = Integer(Product == SevSnpProduct.Turin ? 1 : 0),
            [Arc + "2"] = Text(Product.Name),
            [Arc + (Kind == VekKind.Vcek ? "4" : "5")] = Kind == VekKind.Vcek ? Hwid : Text("CN=cloud.example"),
        };
        var tcb = Convert.FromHexString(TcbText);
        for (var i = 0; i < 8; i++)
            extensions[$"{Arc}3.{(int)Product.Components[i]}"] = Integer(tcb[i]);
        Extensions(extensions);
        foreach (var (oid, value) in extensions)
            request.CertificateExtensions.Add(new X509Extension(oid, value, critical: false));
        foreach (var extension in MoreExtensions)
            request.CertificateExtensions.Add(extension);
        return request.Create(Name(IssuerText), X509SignatureGenerator.CreateForRSA(Keys.Issuer, VekPadding), VekFrom, VekUntil, [0]);
    }

    /// <summary>A revocation list of the root.</summary>
    public byte[] Crl(DateTimeOffset from, DateTimeOffset until, params byte[][] serialNumbers)
    {
        var list = new CertificateRevocationListBuilder();
        foreach (var serialNumber in serialNumbers)
            list.AddEntry(serialNumber, from);
        // The framework signs no list for a root that may not: such a root's list is made by one of the same name and key that may.
        using var root = (this with { RootUsage = X509KeyUsageFlags.CrlSign }).Root().CopyWithPrivateKey(Keys.Root);
        return list.Build(root, 1, until, HashAlgorithmName.SHA384, RSASignaturePadding.Pss, from);
    }

    public Verdict Verify(Policy? policy = null, SevSnpCollateral? collateral = null, DateTimeOffset? at = null, ReadOnlyMemory<byte>? reportData = null) =>
        SevSnpVerifier.Verify(Report(), collateral ?? Collateral, policy ?? Policy, at ?? At, reportData).Verdict;

    /// <summary>Under this chip's root, with more or less accepted of SEV-SNP.</summary>
    public Verdict VerifyUnder(Func<SevSnpPolicy, SevSnpPolicy> change)
    {
        var policy = Policy;
        return Verify(policy with { SevSnp = change(policy.SevSnp) });
    }

    public static byte[] Path(params X509Certificate2[] path) =>
        Encoding.ASCII.GetBytes(string.Concat(path.Select(certificate => certificate.ExportCertificatePem() + "\n")));

    public static byte[] Integer(int value) => Encode(writer => writer.WriteInteger(value));

    public static byte[] Text(string text) => Encode(writer => writer.WriteCharacterString(UniversalTagNumber.IA5String, text));

    public static byte[] Octets(byte[] bytes) => Encode(writer => writer.WriteOctetString(bytes));

    private static RSA Key(string name)
    {
        if (Environment.GetEnvironmentVariable("CONFIDENTIALCHAT_CHIP_KEYS") is not { Length: > 0 } folder)
            return RSA.Create(4096);
        var key = RSA.Create();
        key.ImportFromPem(File.ReadAllText(System.IO.Path.Combine(folder, $"{name}.pem")));
        return key;
    }

    private static Certificate Parse(X509Certificate2 certificate)
    {
        Certificate.TryParse(certificate.RawData, out var parsed).ShouldBeNull();
        return parsed!;
    }

    private static byte[] Encode(Action<AsnWriter> write)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        write(writer);
        return writer.Encode();
    }

    private static X500DistinguishedName Name(string commonName) => new($"CN={commonName}, O=Advanced Micro Devices");
}
