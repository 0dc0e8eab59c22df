using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests.Certificates;

/// <summary>spec/attestation.md section 4 rules 1 and 5: certificates, lists of them and keys, read whole or not at all.</summary>
public sealed class CertificateTests
{
    private static readonly IntelPlatform Platform = new();
    private static readonly byte[] Leaf = Platform.PckCertificate().RawData;
    private static readonly byte[] Middle = Platform.IntermediateCertificate().RawData;
    private static readonly byte[] Root = Platform.X509Root().RawData;

    [Fact]
    public void What_a_certificate_says_is_there_as_values()
    {
        using var root = Read(Root);
        using var middle = Read(Middle);
        using var leaf = Read(Leaf);
        (root.CommonName, root.IssuerCommonName, root.IsAuthority, root.PathLength).ShouldBe(("Intel SGX Root CA", "Intel SGX Root CA", true, 1));
        (middle.CommonName, middle.IssuerCommonName, middle.IsAuthority, middle.PathLength)
            .ShouldBe(("Intel SGX PCK Platform CA", "Intel SGX Root CA", true, 0));
        (leaf.CommonName, leaf.IsAuthority, leaf.PathLength, leaf.ToString()).ShouldBe(("Intel SGX PCK Certificate", false, null, "Intel SGX PCK Certificate"));
        (leaf.NotBefore, leaf.NotAfter).ShouldBe((IntelPlatform.Now.AddYears(-1), IntelPlatform.Now.AddYears(5)));
        root.KeyUsages.ShouldBe(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign);
        leaf.KeyUsages.ShouldBe(X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.NonRepudiation);
        leaf.ExtensionOids.ShouldBe(["2.5.29.19", "2.5.29.15", "1.2.840.113741.1.13.1"], ignoreOrder: true);
        leaf.Extension("1.2.840.113741.1.13.1").ShouldNotBeNull();
        leaf.Extension("1.2.3").ShouldBeNull();
        leaf.SerialNumber.ToArray().ShouldBe(Platform.Pck.SerialNumber);
    }

    [Fact]
    public void One_certificate_and_nothing_behind_it()
    {
        Certificate.TryParse([.. Leaf, 0], out var certificate).ShouldBe(Rejection.Malformed("one certificate", "1 bytes after it"));
        certificate.ShouldBeNull();
        Certificate.TryParse(Encoding.ASCII.GetBytes(Pem(Leaf)), out certificate)!.Code.ShouldBe(RejectionCode.Malformed);
        Certificate.TryParse(new byte[Bounds.Certificate], out certificate)!.Code.ShouldBe(RejectionCode.Malformed);
        Certificate.TryParse(new byte[Bounds.Certificate + 1], out certificate)!.Code.ShouldBe(RejectionCode.TooLarge);
        Certificate.TryParse(Leaf.AsSpan(0, Leaf.Length - 1), out certificate)!.Code.ShouldBe(RejectionCode.Malformed);
        // A SEQUENCE of the right size that is no certificate.
        Certificate.TryParse([0x30, 2, 5, 0], out certificate)!.Code.ShouldBe(RejectionCode.Malformed);
        certificate.ShouldBeNull();
    }

    [Fact]
    public void A_path_is_read_from_PEM_and_DER_and_from_either_end()
    {
        string[] names = ["Intel SGX PCK Certificate", "Intel SGX PCK Platform CA", "Intel SGX Root CA"];
        Names([.. Leaf, .. Middle, .. Root]).ShouldBe(names);
        Names([.. Root, .. Middle, .. Leaf]).ShouldBe(names);
        Names(Encoding.ASCII.GetBytes(Pem(Leaf) + Pem(Middle) + Pem(Root))).ShouldBe(names);
        Names(Encoding.ASCII.GetBytes(Pem(Root) + Pem(Middle) + Pem(Leaf))).ShouldBe(names);
        Names([.. Root, .. Middle]).ShouldBe([names[2], names[1]], "two authorities are in no other order");
        Names([.. Middle]).ShouldBe([names[1]]);
        Names([.. Leaf, .. Leaf, .. Leaf, .. Leaf])!.Length.ShouldBe(Bounds.CertificateCount);

        static string[] Names(byte[] text)
        {
            CertificateList.TryParse(text, out var list).ShouldBeNull();
            using (list)
                return [.. list!.Items.Select(item => item.CommonName)];
        }
    }

    [Fact]
    public void A_path_with_something_else_in_it_is_refused()
    {
        var pem = Pem(Leaf);
        foreach (var (text, code) in new (byte[], RejectionCode)[]
        {
            ([.. Leaf, 0], RejectionCode.Malformed), ([.. Leaf, 0x30], RejectionCode.Malformed), ([.. Leaf, 0x30, 0], RejectionCode.Malformed),
            ([.. Leaf, .. Leaf, .. Leaf, .. Leaf, .. Leaf], RejectionCode.TooLarge), ([0], RejectionCode.Malformed), ([0, 0], RejectionCode.Malformed),
            ([.. Encoding.ASCII.GetBytes(pem), 0xC3], RejectionCode.Malformed), (Ascii(pem.TrimEnd() + "x"), RejectionCode.Malformed),
            (Ascii(pem.TrimEnd() + pem), RejectionCode.Malformed), (Ascii(pem.Replace("MII", "M-I", StringComparison.Ordinal)), RejectionCode.Malformed),
            (Ascii(pem.Replace("MII", "M*I", StringComparison.Ordinal)), RejectionCode.Malformed), (new byte[Bounds.Pem + 1], RejectionCode.TooLarge),
            (Ascii(new string(' ', Bounds.Pem)), RejectionCode.Malformed),
            // A block that does not end, up to the largest that could.
            (Ascii(pem[..60]), RejectionCode.Malformed), (Ascii(pem[..60].PadRight(Bounds.PemBlock, 'A')), RejectionCode.Malformed),
            (Ascii(pem[..60].PadRight(Bounds.PemBlock + 1, 'A')), RejectionCode.TooLarge),
            // A block of more characters, and one of more bytes, than a certificate has.
            (Ascii(Block(new string(' ', Bounds.PemBlock))), RejectionCode.TooLarge),
            (Ascii(Block(Convert.ToBase64String(new byte[Bounds.Certificate + 1]))), RejectionCode.TooLarge),
            (Ascii(Block(Convert.ToBase64String(new byte[Bounds.Certificate]))), RejectionCode.Malformed),
        })
        {
            CertificateList.TryParse(text, out var list)!.Code.ShouldBe(code, $"{text.Length} bytes");
            list.ShouldBeNull();
        }

        static byte[] Ascii(string text) => Encoding.ASCII.GetBytes(text);

        static string Block(string content) => $"-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----";
    }

    [Fact]
    public void A_list_takes_over_what_it_is_given()
    {
        var (leaf, middle) = (Read(Leaf), Read(Middle));
        var list = CertificateList.Of(leaf, middle);
        list.Items.ShouldBe([leaf, middle]);
        list.Dispose();
        Should.Throw<CryptographicException>(() => leaf.ExtensionOids.ToList());
    }

    [Fact]
    public void A_key_is_taken_as_the_kind_that_it_is()
    {
        foreach (var (curve, kind, other, hash) in new[]
        {
            (ECCurve.NamedCurves.nistP256, KeyKind.EcdsaP256, KeyKind.EcdsaP384, HashAlgorithmName.SHA256),
            (ECCurve.NamedCurves.nistP384, KeyKind.EcdsaP384, KeyKind.EcdsaP256, HashAlgorithmName.SHA384),
        })
        {
            using var made = ECDsa.Create(curve);
            using var certificate = Read(
                new CertificateRequest("CN=x", made, hash).CreateSelfSigned(IntelPlatform.Now, IntelPlatform.Now.AddDays(1)).RawData);
            var data = "signed"u8.ToArray();
            var otherHash = kind == KeyKind.EcdsaP256 ? HashAlgorithmName.SHA384 : HashAlgorithmName.SHA256;
            VerificationKey.TryTake(certificate, other, out var key)!.Code.ShouldBe(RejectionCode.BadCertificate);
            key.ShouldBeNull();
            VerificationKey.TryTake(certificate, KeyKind.RsaPss4096, out key)!.Code.ShouldBe(RejectionCode.BadCertificate);
            VerificationKey.TryTake(certificate, kind, out key).ShouldBeNull();
            Holds(key!);
            var point = made.ExportParameters(false).Q;
            byte[] coordinates = [.. point.X!, .. point.Y!];
            var rejection = kind == KeyKind.EcdsaP256
                ? VerificationKey.TryImportP256(coordinates, out key)
                : VerificationKey.TryImportP384(coordinates, out key);
            rejection.ShouldBeNull();
            Holds(key!);

            void Holds(VerificationKey taken)
            {
                using (taken)
                {
                    taken.Kind.ShouldBe(kind);
                    taken.Verify(data, made.SignData(data, hash)).ShouldBeTrue();
                    taken.VerifyDer(data, made.SignData(data, hash, DSASignatureFormat.Rfc3279DerSequence)).ShouldBeTrue();
                    taken.Verify("other"u8, made.SignData(data, hash)).ShouldBeFalse();
                    taken.Verify(data, made.SignData(data, otherHash)).ShouldBeFalse();
                    taken.Verify(data, []).ShouldBeFalse();
                    taken.VerifyDer(data, [0x30, 0]).ShouldBeFalse();
                }
            }
        }
    }

    [Fact]
    public void A_point_that_is_none_is_refused()
    {
        foreach (var point in new[] { new byte[63], new byte[65], new byte[64], new byte[96], [] })
        {
            VerificationKey.TryImportP256(point, out var key)!.Code.ShouldBe(RejectionCode.Malformed, $"{point.Length} bytes");
            key.ShouldBeNull();
            VerificationKey.TryImportP384(point, out key)!.Code.ShouldBe(RejectionCode.Malformed, $"{point.Length} bytes");
            key.ShouldBeNull();
        }

        VerificationKey.TryImportP256(new byte[63], out _)!.Expected.ShouldBe("64 bytes");
        VerificationKey.TryImportP384(new byte[64], out _)!.Expected.ShouldBe("96 bytes");
    }

    [Fact]
    public void An_embedded_root_of_another_digest_is_none()
    {
        Should.Throw<InvalidOperationException>(() => PinnedRoot.Load("amd_milan_ark.pem", new string('0', 64)));
        Should.Throw<InvalidOperationException>(() => PinnedRoot.Load("nobody.pem", new string('0', 64)));
        PinnedRoot.Load("amd_milan_ark.pem", "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd").CommonName.ShouldBe("ARK-Milan");
    }

    private static Certificate Read(byte[] der)
    {
        Certificate.TryParse(der, out var certificate).ShouldBeNull();
        return certificate!;
    }

    private static string Pem(byte[] der) => PemEncoding.WriteString("CERTIFICATE", der) + "\n";
}
