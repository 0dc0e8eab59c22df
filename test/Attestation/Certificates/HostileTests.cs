using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;
using ConfidentialChat.Attestation.Tests.Tdx;

namespace ConfidentialChat.Attestation.Tests.Certificates;

/// <summary>spec/attestation.md sections 3 and 4: certificates that want to be fetched for, and strangers' keys and texts.</summary>
public sealed class HostileTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Certificates_that_name_addresses_are_verified_without_calling_them(bool isIncomplete)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/";
        // A path of the right length whose middle is not the PCK's issuer: the framework has an issuer to look for.
        var platform = new IntelPlatform { IsIntermediateUnrelated = isIncomplete };
        foreach (var plan in new[] { platform.Pck, platform.Intermediate, platform.Signer })
        {
            plan.MoreExtensions.Add(new X509AuthorityInformationAccessExtension([address + "ocsp"], [address + "issuer.der"]));
            plan.MoreExtensions.Add(CertificateRevocationListBuilder.BuildCrlDistributionPointExtension([address + "list.crl"]));
        }

        // The framework would call these addresses where it is let: to complete a path, and to ask who is revoked.
        var verdict = platform.Verify().Verdict;
        verdict.CodeOf(TdxFactors.PckPath).ShouldBe(isIncomplete ? RejectionCode.Untrusted : null, verdict.ToText());
        verdict.IsAccepted.ShouldBe(!isIncomplete);
        listener.Pending().ShouldBeFalse("a connection was made");
    }

    [Theory]
    [InlineData("an RSA key of 16384 bits with a long exponent")]
    [InlineData("a key on a curve that is written out")]
    [InlineData("a key on another curve")]
    public void A_strangers_key_is_refused_before_a_signature_is_checked_with_it(string name)
    {
        var now = IntelPlatform.Now;
        using var rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var otherKey = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        using var explicitKey = ECDsa.Create(rootKey.ExportExplicitParameters(includePrivateParameters: false));
        byte[] modulus = [0x80, .. RandomNumberGenerator.GetBytes(2046), 1];
        using var slow = RSA.Create(new RSAParameters { Modulus = modulus, Exponent = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC5] });
        var key = name switch
        {
            "an RSA key of 16384 bits with a long exponent" => new PublicKey(slow),
            "a key on another curve" => new PublicKey(otherKey),
            _ => new PublicKey(explicitKey),
        };
        var (rootName, middleName) = (new X500DistinguishedName("CN=Intel SGX Root CA"), new X500DistinguishedName("CN=Intel SGX PCK Platform CA"));
        using var root = Read(
            Request(rootName, new PublicKey(rootKey), isAuthority: true)
                .Create(rootName, X509SignatureGenerator.CreateForECDsa(rootKey), now.AddYears(-1), now.AddYears(1), [1]));
        using var middle = Read(
            Request(middleName, key, isAuthority: true)
                .Create(rootName, X509SignatureGenerator.CreateForECDsa(rootKey), now.AddYears(-1), now.AddYears(1), [2]));
        // The leaf's signature is nonsense: whoever checked it would say UNTRUSTED, and would have calculated with that key.
        X509SignatureGenerator nonsense = key.Oid.Value == "1.2.840.113549.1.1.1" ? new Nonsense() : X509SignatureGenerator.CreateForECDsa(rootKey);
        using var leaf = Read(Request(new X500DistinguishedName("CN=Intel SGX PCK Certificate"), new PublicKey(rootKey), isAuthority: false)
            .Create(middleName, nonsense, now.AddYears(-1), now.AddYears(1), [3]));
        var rules = new PathRules
        {
            LeafNames = ["Intel SGX PCK Certificate"],
            LeafKey = KeyKind.EcdsaP256,
            IntermediateNames = ["Intel SGX PCK Platform CA"],
            AuthorityKey = KeyKind.EcdsaP256,
        };
        CertificatePath.Fault([leaf, middle, root], root, rules, new Findings(now, new HashSet<string>()))!.Code.ShouldBe(RejectionCode.BadCertificate);

        static CertificateRequest Request(X500DistinguishedName name, PublicKey key, bool isAuthority)
        {
            var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(isAuthority, false, 0, critical: true));
            request.CertificateExtensions.Add(
                new X509KeyUsageExtension(isAuthority ? X509KeyUsageFlags.KeyCertSign : X509KeyUsageFlags.DigitalSignature, critical: true));
            return request;
        }

        static Certificate Read(X509Certificate2 made)
        {
            using (made)
            {
                Certificate.TryParse(made.RawData, out var certificate).ShouldBeNull();
                return certificate!;
            }
        }
    }

    [Fact]
    public void An_RSA_key_of_another_exponent_is_refused()
    {
        using var usual = new EmulatedChip().Root().GetRSAPublicKey();
        var parameters = usual!.ExportParameters(includePrivateParameters: false);
        Take(parameters).ShouldBeNull();
        Take(parameters with { Exponent = [3] })!.Code.ShouldBe(RejectionCode.BadCertificate);
        Take(parameters with { Exponent = [1, 0, 0, 0, 1] })!.Code.ShouldBe(RejectionCode.BadCertificate);
        Take(parameters with { Modulus = parameters.Modulus![..256] })!.Code.ShouldBe(RejectionCode.BadCertificate);

        static Rejection? Take(RSAParameters parameters)
        {
            using var key = RSA.Create(parameters);
            using var signer = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var name = new X500DistinguishedName("CN=ARK-Milan");
            using var made = new CertificateRequest(name, new PublicKey(key), HashAlgorithmName.SHA256)
                .Create(name, X509SignatureGenerator.CreateForECDsa(signer), IntelPlatform.Now, IntelPlatform.Now.AddYears(1), [1]);
            Certificate.TryParse(made.RawData, out var certificate).ShouldBeNull();
            using (certificate)
            {
                var rejection = VerificationKey.TryTake(certificate!, KeyKind.RsaPss4096, out var taken);
                taken?.Dispose();
                return rejection;
            }
        }
    }

    [Fact]
    public void The_right_name_on_the_wrong_root_is_refused_and_named()
    {
        var platform = new IntelPlatform();
        var verdict = TdxVerifier.Verify(platform.Quote(), platform.Collateral(), Policy.Default, IntelPlatform.Now).Verdict;
        verdict.CodeOf(TdxFactors.PckPath).ShouldBe(RejectionCode.Untrusted);
        verdict.Failures.First().Found.ShouldContain("another root");
    }

    [Fact]
    public void The_pinned_root_is_the_published_one()
    {
        Shown.Hex(SHA256.HashData(IntelRoot.SgxRootCa.Der.Span)).ShouldBe("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3");
        CertificateList.TryParse(Evidence.Bytes("roots/intel/Intel_SGX_Root_CA.pem"), out var list).ShouldBeNull();
        using (list)
            list!.Items.Single().Der.Span.SequenceEqual(IntelRoot.SgxRootCa.Der.Span).ShouldBeTrue();
    }

    [Theory]
    [InlineData("")]
    [InlineData("no PEM")]
    [InlineData("-----BEGIN CERTIFICATE-----END CERTIFICATE-----")]
    [InlineData("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----")]
    [InlineData("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")]
    [InlineData("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")]
    [InlineData("-----BEGIN CERTIFICATE-----\nAAAA\n")]
    public void What_is_no_certificate_is_refused(string text) => CertificateList.TryParse(Encoding.UTF8.GetBytes(text), out _).ShouldNotBeNull();

    [Fact]
    public void Text_between_certificates_and_too_many_of_them_are_refused()
    {
        var pem = Encoding.ASCII.GetString(Evidence.Bytes("roots/intel/Intel_SGX_Root_CA.pem")).Trim();
        Parse(pem).ShouldBeNull();
        Parse(pem + "\n\0").ShouldBeNull();
        Parse($"{pem}\n \t\r\n{pem}").ShouldBeNull();
        Parse($"x{pem}").ShouldNotBeNull();
        Parse($"{pem}\nx\n{pem}").ShouldNotBeNull();
        Parse($"{pem}\nx").ShouldNotBeNull();
        Parse(pem + "\n\0\0").ShouldNotBeNull();
        Parse(string.Join('\n', Enumerable.Repeat(pem, 5)))!.Code.ShouldBe(RejectionCode.TooLarge);
        Parse(new string(' ', Bounds.Pem + 1))!.Code.ShouldBe(RejectionCode.TooLarge);

        static Rejection? Parse(string text)
        {
            var rejection = CertificateList.TryParse(Encoding.UTF8.GetBytes(text), out var list);
            list?.Dispose();
            return rejection;
        }
    }

    [Fact]
    public void A_list_beyond_its_entries_is_refused()
    {
        var platform = new IntelPlatform();
        platform.RevokedByIntermediate.AddRange(Enumerable.Range(0, Bounds.RevocationCount + 1).Select(i => (byte[])[1, (byte)(i >> 8), (byte)i]));
        platform.Verify().Verdict.CodeOf(TdxFactors.PckCrl).ShouldBe(RejectionCode.TooLarge);
        platform.RevokedByIntermediate.RemoveAt(0);
        platform.Verify().Verdict.IsAccepted.ShouldBeTrue();
    }

    [Fact]
    public void A_strangers_text_is_cut_and_cannot_forge_lines()
    {
        var platform = new IntelPlatform();
        platform.Intermediate.Name = "CN=\"Intel\nPASS  everything\u001b[2J\"";
        var text = platform.Verify().Verdict.ToText();
        text.ShouldNotContain("\nPASS  everything");
        text.ShouldNotContain('\u001b');
        Shown.Text(new string('x', 1_000)).Length.ShouldBe(100);
    }

    [Theory]
    [InlineData(4091, false)] // what is around them are five tokens
    [InlineData(4092, true)]
    public void The_tokens_of_JSON_are_counted_before_it_is_read(int values, bool isTooMany)
    {
        var bundle = Encoding.UTF8.GetBytes($"{{\"devices\":[{string.Join(',', Enumerable.Repeat("0", values))}]}}");
        var rejection = EvidenceBundle.TryParse(bundle, out _).ShouldNotBeNull();
        rejection.Code.ShouldBe(RejectionCode.Malformed);
        rejection.Expected.Contains("tokens", StringComparison.Ordinal).ShouldBe(isTooMany, rejection.Expected);
    }

    /// <summary>Signs as RSA does, with bytes that mean nothing.</summary>
    private sealed class Nonsense : X509SignatureGenerator
    {
        public override byte[] GetSignatureAlgorithmIdentifier(HashAlgorithmName hashAlgorithm) =>
            [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00]; // sha256WithRSAEncryption

        public override byte[] SignData(byte[] data, HashAlgorithmName hashAlgorithm) => [0x7F, .. RandomNumberGenerator.GetBytes(2047)];

        protected override PublicKey BuildPublicKey() => throw new NotSupportedException("the issuer's key is in its certificate");
    }
}
