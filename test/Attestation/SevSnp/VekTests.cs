using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Attestation.Tests.SevSnp;

/// <summary>spec/attestation.md, AMD SEV-SNP: certificates and revocation lists of our own, wrong in one way each.</summary>
public sealed class VekTests
{
    private static readonly EmulatedChip Chip = new();

    // The path.

    [Fact]
    public void A_self_made_root_with_AMDs_name_is_refused()
    {
        var forged = Chip with { IsForged = true };
        foreach (var path in new[] { EmulatedChip.Path(forged.Vek(), forged.Issuer(), forged.Root()), EmulatedChip.Path(forged.Vek(), forged.Issuer()) })
            Evidence.Only(forged.Verify(Chip.Policy, new SevSnpCollateral { Vek = path }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
        Evidence.Only(
            forged.Verify(Policy.Default, new SevSnpCollateral { Vek = EmulatedChip.Path(forged.Vek(), forged.Issuer(), forged.Root()) }),
            SevSnpFactors.VekPath, RejectionCode.Untrusted);
        Evidence.Only(forged.Verify(Policy.Default, new SevSnpCollateral { Vek = forged.Vek().RawData }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
    }

    [Fact]
    public void A_VEK_is_accepted_from_its_first_second_to_its_last()
    {
        var chip = Chip with { VekFrom = EmulatedChip.At, VekUntil = EmulatedChip.At.AddDays(1) };
        chip.Verify(at: chip.VekFrom).Refusals().ShouldBeEmpty();
        chip.Verify(at: chip.VekUntil).Refusals().ShouldBeEmpty();
        Evidence.Only(chip.Verify(at: chip.VekFrom.AddSeconds(-1)), SevSnpFactors.VekPath, RejectionCode.NotYetValid);
        Evidence.Only(chip.Verify(at: chip.VekUntil.AddSeconds(1)), SevSnpFactors.VekPath, RejectionCode.Expired);
        chip.Verify(at: chip.VekFrom).ValidBefore.ShouldBe(chip.VekUntil.AddTicks(1));
    }

    [Fact]
    public void A_certificate_of_another_use_is_refused()
    {
        Evidence.Only((Chip with { VekName = "SEV-VLEK" }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Evidence.Only((Chip with { IssuerUsage = X509KeyUsageFlags.DigitalSignature }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Evidence.Only((Chip with { IssuerIsAuthority = false }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Evidence.Only((Chip with { RootUsage = X509KeyUsageFlags.CrlSign }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        var unpadded = (Chip with { VekPadding = RSASignaturePadding.Pkcs1 }).Verify();
        Evidence.Only(unpadded, SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        unpadded.Failures.Single().Found.ShouldBe("SEV-VCEK");
        Evidence.Only(
            (Chip with { MoreExtensions = [new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true)] })
                .Verify(),
            SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        (Chip with { MoreExtensions = [new X509KeyUsageExtension(X509KeyUsageFlags.KeyAgreement, critical: true)] }).Verify().Refusals()
            .ShouldBe(["snp.vek_path", "snp.report_signature"]);
        Evidence.Only(
            (Chip with { MoreExtensions = [new X509Extension("1.2.3.4", [5, 0], critical: true)] }).Verify(),
            SevSnpFactors.VekPath, RejectionCode.BadCertificate);
    }

    [Fact]
    public void A_VEK_with_a_key_of_another_kind_is_refused()
    {
        using var p256 = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var rsa = RSA.Create(2048);
        foreach (var key in new AsymmetricAlgorithm[] { p256, rsa })
            (Chip with { VekKey = key }).Verify().Refusals().ShouldBe(["snp.vek_path", "snp.report_signature"]);
    }

    [Fact]
    public void An_issuer_of_one_kind_of_key_issues_no_other()
    {
        // SEV-VLEK-Milan signing a VCEK: its name decides what it may sign.
        var chip = Chip with { IssuerName = "SEV-VLEK-Milan" };
        chip.Verify().Refusals().ShouldBe(["snp.vek_path", "snp.vek_extensions"]);
        Evidence.Only((Chip with { IssuerName = "SEV-Naples" }).Verify(), SevSnpFactors.VekPath, RejectionCode.Untrusted);
    }

    [Fact]
    public void A_path_that_is_too_long_or_no_path_is_refused()
    {
        var (vek, issuer, root) = (Chip.Vek(), Chip.Issuer(), Chip.Root());
        foreach (var path in new[]
        {
            EmulatedChip.Path(vek), EmulatedChip.Path(vek, root), EmulatedChip.Path(vek, issuer, issuer), EmulatedChip.Path(vek, issuer, root, root),
        })
            Evidence.Only(Chip.Verify(collateral: new SevSnpCollateral { Vek = path }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
        // The second is refused by its key.
        Evidence.Only(Chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(vek, vek) }), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Evidence.Only(
            Chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(vek, issuer, root, root, root) }),
            SevSnpFactors.VekPath, RejectionCode.TooLarge);
        Evidence.Only(Chip.Verify(collateral: new SevSnpCollateral()), SevSnpFactors.VekPath, RejectionCode.Missing);
        Evidence.Only(Chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(issuer, root) }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
    }

    [Fact]
    public void Nothing_is_fetched_from_where_certificates_point()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var url = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/issuer";
        var chip = Chip with
        {
            MoreExtensions =
                [new X509AuthorityInformationAccessExtension(null, [url]), CertificateRevocationListBuilder.BuildCrlDistributionPointExtension([url])],
        };
        chip.Verify().Refusals().ShouldBeEmpty();
        Evidence.Only(chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(chip.Vek()) }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
        listener.Pending().ShouldBeFalse();
    }

    // The VEK's extensions.

    [Theory]
    [InlineData("1")]
    [InlineData("2")]
    [InlineData("3.1")]
    [InlineData("3.2")]
    [InlineData("3.3")]
    [InlineData("3.4")]
    [InlineData("3.7")]
    [InlineData("3.8")]
    [InlineData("4")]
    public void A_VEK_without_one_of_its_extensions_is_refused(string id) =>
        Evidence.Only(
            (Chip with { Extensions = extensions => extensions.Remove(EmulatedChip.Arc + id).ShouldBeTrue() }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Malformed);

    [Fact]
    public void An_extension_that_is_not_what_AMD_writes_is_refused()
    {
        foreach (var (id, value) in new (string, byte[])[]
        {
            ("1", EmulatedChip.Integer(2)), ("1", []), ("1", EmulatedChip.Text("0")), ("2", [0x0C, 0x01, 0x4D]), ("2", [.. EmulatedChip.Text("Milan"), 0]),
            ("3.1", EmulatedChip.Integer(256)), ("3.1", EmulatedChip.Integer(-1)), ("3.1", [.. EmulatedChip.Integer(4), 0]), ("3.1", [4]),
            ("3.3", [0x02, 0x06, 1, 0, 0, 0, 0, 0]), ("3.8", [0x02, 0x80]), ("4", new byte[63]), ("4", new byte[65]), ("4", new byte[66]),
            ("4", EmulatedChip.Octets(new byte[63])), ("4", []), ("4", new byte[8]), ("5", EmulatedChip.Text("CN=cloud.example")),
        })
            Evidence.Only(
                (Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + id] = value }).Verify(),
                SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        Evidence.Only(
            (Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "3.9"] = EmulatedChip.Integer(0) }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Unsupported);
        Evidence.Only(
            (Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "3.10"] = EmulatedChip.Integer(0) }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Unsupported);
        var turin = Chip with { Product = SevSnpProduct.Turin };
        Evidence.Only(
            (turin with { Extensions = extensions => extensions[EmulatedChip.Arc + "3.4"] = EmulatedChip.Integer(0) }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Unsupported);
        Evidence.Only(
            (turin with { Extensions = extensions => extensions.Remove(EmulatedChip.Arc + "3.9") }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        Evidence.Only(
            (turin with { Extensions = extensions => extensions[EmulatedChip.Arc + "4"] = new byte[64] }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        var vlek = Chip with { Kind = VekKind.Vlek };
        Evidence.Only(
            (vlek with { Extensions = extensions => extensions[EmulatedChip.Arc + "4"] = new byte[64] }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        Evidence.Only(
            (vlek with { Extensions = extensions => extensions.Remove(EmulatedChip.Arc + "5") }).Verify(),
            SevSnpFactors.VekExtensions, RejectionCode.Malformed);
    }

    [Theory]
    [InlineData(VekKind.Vcek, "4", "5", "hwid and no csp_id, a VCEK")]
    [InlineData(VekKind.Vlek, "5", "4", "csp_id and no hwid, a VLEK")]
    public void A_key_of_one_kind_with_the_others_id_is_refused_by_its_own(VekKind kind, string own, string other, string expected)
    {
        var chip = Chip with { Kind = kind };
        foreach (var change in new Action<Dictionary<string, byte[]>>[]
        {
            extensions => extensions.Remove(EmulatedChip.Arc + own).ShouldBeTrue(),
            extensions => extensions[EmulatedChip.Arc + other] = other == "4" ? chip.Hwid : EmulatedChip.Text("CN=cloud.example"),
        })
            (chip with { Extensions = change }).Verify().Failures.Single().Expected.ShouldBe(expected);
    }

    [Fact]
    public void A_chips_id_is_taken_bare_and_as_octet_string_and_unknown_extensions_are_ignored()
    {
        foreach (var product in SevSnpProduct.All)
        {
            var chip = Chip with { Product = product };
            (chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "4"] = EmulatedChip.Octets(chip.Hwid) }).Verify().Refusals().ShouldBeEmpty();
        }

        (Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "77"] = [5, 0] }).Verify().Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void An_extension_that_stands_twice_is_refused()
    {
        // The framework issues no such certificate, and no issuer would sign it: the second one's id is changed in the bytes, so the path falls with it.
        var chip = Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "6"] = EmulatedChip.Octets(new byte[64]) };
        var der = chip.Vek().RawData;
        var six = der.AsSpan().IndexOf((byte[])[0x2B, 0x06, 0x01, 0x04, 0x01, 0x9C, 0x78, 0x01, 0x06]);
        six.ShouldBePositive();
        der[six + 8] = 4;
        var path = EmulatedChip.Path(X509CertificateLoader.LoadCertificate(der), chip.Issuer());
        chip.Verify(collateral: new SevSnpCollateral { Vek = path }).Refusals().ShouldBe(["snp.vek_path", "snp.vek_extensions"]);
    }

    // Revocation.

    [Fact]
    public void A_revoked_issuer_or_root_is_refused_and_an_empty_list_is_not()
    {
        var (from, until) = (EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(1));
        Listed(Chip.Crl(from, until)).Refusals().ShouldBeEmpty();
        Listed(Chip.Crl(from, until, [1, 0, 2], [0x7F])).Refusals().ShouldBeEmpty();
        Listed(Chip.Crl(from, until)).ValidBefore.ShouldBe(until.AddTicks(1));
        Evidence.Only(Listed(Chip.Crl(from, until, [0x7F], [1, 0, 1])), SevSnpFactors.Crl, RejectionCode.Revoked);
        Evidence.Only(Listed(Chip.Crl(from, until, [1, 0, 0])), SevSnpFactors.Crl, RejectionCode.Revoked);
    }

    [Fact]
    public void A_revoked_issuer_is_refused_whose_serial_number_begins_with_a_set_bit()
    {
        var chip = Chip with { IssuerSerialNumber = [0xBA, 0xD0, 1] };
        var (from, until) = (EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(1));
        // In DER a zero stands before it: without it the number were negative.
        Evidence.Only(
            chip.Verify(collateral: chip.Collateral with { Crl = chip.Crl(from, until, [0, 0xBA, 0xD0, 1]) }), SevSnpFactors.Crl, RejectionCode.Revoked);
        chip.Verify(collateral: chip.Collateral with { Crl = chip.Crl(from, until, [0, 0xBA, 0xD0, 2]) }).Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_list_that_is_not_the_roots_or_not_in_date_is_refused()
    {
        var (from, until) = (EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(1));
        Evidence.Only(Listed((Chip with { IsForged = true }).Crl(from, until)), SevSnpFactors.Crl, RejectionCode.BadSignature);
        Evidence.Only(Listed((Chip with { RootName = "ARK-Genoa" }).Crl(from, until)), SevSnpFactors.Crl, RejectionCode.Mismatch);
        Evidence.Only(Listed(Chip.Crl(from, EmulatedChip.At.AddSeconds(-1))), SevSnpFactors.Crl, RejectionCode.Expired);
        Evidence.Only(Listed(Chip.Crl(EmulatedChip.At.AddSeconds(1), until)), SevSnpFactors.Crl, RejectionCode.NotYetValid);
        Evidence.Only(Listed([]), SevSnpFactors.Crl, RejectionCode.Malformed);
        Evidence.Only(Listed(new byte[Bounds.RevocationList + 1]), SevSnpFactors.Crl, RejectionCode.TooLarge);
        var usage = Chip with { RootUsage = X509KeyUsageFlags.KeyCertSign };
        Evidence.Only(usage.Verify(collateral: usage.Collateral with { Crl = usage.Crl(from, until) }), SevSnpFactors.Crl, RejectionCode.BadCertificate);
        Evidence.Only(
            Chip.Verify(Chip.Policy with { MaxRootCrlAge = TimeSpan.FromHours(23) }, Chip.Collateral with { Crl = Chip.Crl(from, until) }),
            SevSnpFactors.Crl, RejectionCode.Expired);
    }

    [Fact]
    public void A_missing_list_is_refused_where_the_policy_demands_one() =>
        Evidence.Only(Chip.VerifyUnder(policy => policy with { RequireCrl = true }), SevSnpFactors.Crl, RejectionCode.Missing);

    private static Verdict Listed(byte[] list) => Chip.Verify(collateral: Chip.Collateral with { Crl = list });
}
