using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Tests.Attestation.SevSnp;

/// <summary>What recordings cannot show: chips, certificates and lists of our own, wrong in one way each.</summary>
public sealed class AttackTests
{
    private static readonly EmulatedChip Chip = new();

    public static TheoryData<string, VekKind, int> Chips
    {
        get
        {
            var data = new TheoryData<string, VekKind, int>();
            foreach (var product in SevSnpProduct.All)
            {
                for (var version = 2; version <= 5; version++)
                {
                    data.Add(product.Name, VekKind.Vcek, version);
                    data.Add(product.Name, VekKind.Vlek, version);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Chips))]
    public void An_honest_chip_is_accepted_and_its_root_is_shown_as_a_tests(string product, VekKind kind, int version)
    {
        var chip = new EmulatedChip { Product = SevSnpProduct.All.Single(candidate => candidate.Name == product), Kind = kind, Version = version };
        var verdict = chip.Verify(reportData: Enumerable.Repeat((byte)0xDA, 64).ToArray());
        verdict.Refused().ShouldBeEmpty(verdict.ToText());
        verdict.Warnings.Select(factor => factor.Name).ShouldBe([BundleFactors.TestRoots]);
        chip.Verify(Policy.Default).Refused().ShouldBe(["snp.vek_path"]);
    }

    // The path.

    [Fact]
    public void A_self_made_root_with_AMDs_name_is_refused()
    {
        var forged = Chip with { IsForged = true };
        foreach (var path in new[] { EmulatedChip.Path(forged.Vek(), forged.Issuer(), forged.Root()), EmulatedChip.Path(forged.Vek(), forged.Issuer()) })
            Only(forged.Verify(Chip.Policy, new SevSnpCollateral { Vek = path }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
        Only(forged.Verify(Policy.Default, new SevSnpCollateral { Vek = EmulatedChip.Path(forged.Vek(), forged.Issuer(), forged.Root()) }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
        Only(forged.Verify(Policy.Default, new SevSnpCollateral { Vek = forged.Vek().RawData }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
    }

    [Fact]
    public void A_VEK_is_accepted_from_its_first_second_to_its_last()
    {
        var chip = Chip with { VekFrom = EmulatedChip.At, VekUntil = EmulatedChip.At.AddDays(1) };
        chip.Verify(at: chip.VekFrom).Refused().ShouldBeEmpty();
        chip.Verify(at: chip.VekUntil).Refused().ShouldBeEmpty();
        Only(chip.Verify(at: chip.VekFrom.AddSeconds(-1)), SevSnpFactors.VekPath, RejectionCode.NotYetValid);
        Only(chip.Verify(at: chip.VekUntil.AddSeconds(1)), SevSnpFactors.VekPath, RejectionCode.Expired);
        chip.Verify(at: chip.VekFrom).ValidBefore.ShouldBe(chip.VekUntil.AddTicks(1));
    }

    [Fact]
    public void A_certificate_of_another_use_is_refused()
    {
        Only((Chip with { VekName = "SEV-VLEK" }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Only((Chip with { IssuerUsage = X509KeyUsageFlags.DigitalSignature }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Only((Chip with { IssuerIsAuthority = false }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Only((Chip with { RootUsage = X509KeyUsageFlags.CrlSign }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Only((Chip with { VekPadding = RSASignaturePadding.Pkcs1 }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        Only((Chip with { MoreExtensions = [new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true)] }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
        (Chip with { MoreExtensions = [new X509KeyUsageExtension(X509KeyUsageFlags.KeyAgreement, critical: true)] }).Verify().Refused().ShouldBe(["snp.vek_path", "snp.report_signature"]);
        Only((Chip with { MoreExtensions = [new X509Extension("1.2.3.4", [5, 0], critical: true)] }).Verify(), SevSnpFactors.VekPath, RejectionCode.BadCertificate);
    }

    [Fact]
    public void A_VEK_with_a_key_of_another_kind_is_refused()
    {
        using var p256 = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var rsa = RSA.Create(2048);
        foreach (var key in new AsymmetricAlgorithm[] { p256, rsa })
            (Chip with { VekKey = key }).Verify().Refused().ShouldBe(["snp.vek_path", "snp.report_signature"]);
    }

    [Fact]
    public void An_issuer_of_one_kind_of_key_issues_no_other()
    {
        // SEV-VLEK-Milan signing a VCEK: its name decides what it may sign.
        var chip = Chip with { IssuerName = "SEV-VLEK-Milan" };
        chip.Verify().Refused().ShouldBe(["snp.vek_path", "snp.vek_extensions"]);
        Only((Chip with { IssuerName = "SEV-Naples" }).Verify(), SevSnpFactors.VekPath, RejectionCode.Untrusted);
    }

    [Fact]
    public void A_path_that_is_too_long_or_no_path_is_refused()
    {
        var (vek, issuer, root) = (Chip.Vek(), Chip.Issuer(), Chip.Root());
        foreach (var path in new[] { EmulatedChip.Path(vek), EmulatedChip.Path(vek, root), EmulatedChip.Path(vek, issuer, issuer), EmulatedChip.Path(vek, issuer, root, root) })
            Only(Chip.Verify(collateral: new SevSnpCollateral { Vek = path }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
        Only(Chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(vek, vek) }), SevSnpFactors.VekPath, RejectionCode.BadCertificate); // by its key
        Only(Chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(vek, issuer, root, root, root) }), SevSnpFactors.VekPath, RejectionCode.TooLarge);
        Only(Chip.Verify(collateral: new SevSnpCollateral()), SevSnpFactors.VekPath, RejectionCode.Missing);
        Only(Chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(issuer, root) }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
    }

    [Fact]
    public void Nothing_is_fetched_from_where_certificates_point()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var url = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/issuer";
        var chip = Chip with
        {
            MoreExtensions = [new X509AuthorityInformationAccessExtension(null, [url]), CertificateRevocationListBuilder.BuildCrlDistributionPointExtension([url])],
        };
        chip.Verify().Refused().ShouldBeEmpty();
        Only(chip.Verify(collateral: new SevSnpCollateral { Vek = EmulatedChip.Path(chip.Vek()) }), SevSnpFactors.VekPath, RejectionCode.Untrusted);
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
        Only((Chip with { Extensions = extensions => extensions.Remove(EmulatedChip.Arc + id).ShouldBeTrue() }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Malformed);

    [Fact]
    public void An_extension_that_is_not_what_AMD_writes_is_refused()
    {
        foreach (var (id, value) in new (string, byte[])[]
        {
            ("1", EmulatedChip.Integer(2)), ("1", []), ("1", EmulatedChip.Text("0")), ("2", [0x0C, 0x01, 0x4D]), ("2", [.. EmulatedChip.Text("Milan"), 0]),
            ("3.1", EmulatedChip.Integer(256)), ("3.1", EmulatedChip.Integer(-1)), ("3.1", [.. EmulatedChip.Integer(4), 0]), ("3.1", [4]), ("3.3", [0x02, 0x06, 1, 0, 0, 0, 0, 0]),
            ("3.8", [0x02, 0x80]), ("4", new byte[63]), ("4", new byte[65]), ("4", new byte[66]), ("4", EmulatedChip.Octets(new byte[63])), ("4", []), ("4", new byte[8]),
            ("5", EmulatedChip.Text("CN=cloud.example")),
        })
            Only((Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + id] = value }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        Only((Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "3.9"] = EmulatedChip.Integer(0) }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Unsupported);
        Only((Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "3.10"] = EmulatedChip.Integer(0) }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Unsupported);
        var turin = Chip with { Product = SevSnpProduct.Turin };
        Only((turin with { Extensions = extensions => extensions[EmulatedChip.Arc + "3.4"] = EmulatedChip.Integer(0) }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Unsupported);
        Only((turin with { Extensions = extensions => extensions.Remove(EmulatedChip.Arc + "3.9") }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        Only((turin with { Extensions = extensions => extensions[EmulatedChip.Arc + "4"] = new byte[64] }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        var vlek = Chip with { Kind = VekKind.Vlek };
        Only((vlek with { Extensions = extensions => extensions[EmulatedChip.Arc + "4"] = new byte[64] }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Malformed);
        Only((vlek with { Extensions = extensions => extensions.Remove(EmulatedChip.Arc + "5") }).Verify(), SevSnpFactors.VekExtensions, RejectionCode.Malformed);
    }

    [Fact]
    public void A_chips_id_is_taken_bare_and_as_octet_string_and_unknown_extensions_are_ignored()
    {
        foreach (var product in SevSnpProduct.All)
        {
            var chip = Chip with { Product = product };
            (chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "4"] = EmulatedChip.Octets(chip.Hwid) }).Verify().Refused().ShouldBeEmpty();
        }

        (Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "77"] = [5, 0] }).Verify().Refused().ShouldBeEmpty();
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
        chip.Verify(collateral: new SevSnpCollateral { Vek = path }).Refused().ShouldBe(["snp.vek_path", "snp.vek_extensions"]);
    }

    // The report against the VEK.

    [Fact]
    public void A_report_that_names_another_signing_key_is_refused()
    {
        foreach (var keyInfo in new[] { 1 << 2, 2 << 2, 7 << 2, 0b10 })
            Only((Chip with { Content = report => report[0x048] = (byte)keyInfo }).Verify(), SevSnpFactors.SigningKey, RejectionCode.Mismatch);
        Only((Chip with { Kind = VekKind.Vlek, Content = report => report[0x048] = 0 }).Verify(), SevSnpFactors.SigningKey, RejectionCode.Mismatch);
    }

    [Fact]
    public void A_report_that_another_key_signed_is_refused()
    {
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        var report = (Chip with { VekKey = other }).Report();
        Only(SevSnpVerifier.Verify(report, Chip.Collateral, Chip.Policy, EmulatedChip.At).Verdict, SevSnpFactors.ReportSignature, RejectionCode.BadSignature);
    }

    [Theory]
    [InlineData("Milan", VekKind.Vcek)]
    [InlineData("Milan", VekKind.Vlek)]
    [InlineData("Turin", VekKind.Vcek)]
    [InlineData("Turin", VekKind.Vlek)]
    public void A_report_of_a_TCB_version_that_is_not_the_certificates_is_refused(string product, VekKind kind)
    {
        var chip = Chip with { Product = SevSnpProduct.All.Single(candidate => candidate.Name == product), Kind = kind };
        for (var i = 0; i < 8; i++)
        {
            foreach (var change in new[] { 1, -1 })
                Only((chip with { Content = report => report[0x180 + i] = (byte)(report[0x180 + i] + change) }).Verify(), SevSnpFactors.Tcb, RejectionCode.Mismatch);
        }
    }

    [Fact]
    public void The_order_of_security_versions_is_the_products()
    {
        // Milan's bytes read in Turin's order would be equal here and there, and say something else.
        SevSnpReport.TryParse((Chip with { Product = SevSnpProduct.Turin }).Report(), out var report).ShouldBeNull();
        report!.ReportedTcb.ToString(SevSnpProduct.Turin).ShouldBe("fmc 1, bootloader 2, tee 3, snp 4, microcode 72");
        report.ReportedTcb.ToString(SevSnpProduct.Milan).ShouldBe("bootloader 1, tee 2, snp 0, microcode 72");
        report.ReportedTcb.Of(TcbComponent.Fmc, SevSnpProduct.Milan).ShouldBeNull();
    }

    [Theory]
    [InlineData(0x19, 0x11)]
    [InlineData(0x19, 0xA0)]
    [InlineData(0x1A, 0x02)]
    [InlineData(0x19, 0x10)]
    [InlineData(0x17, 0x01)]
    [InlineData(0x00, 0x00)]
    public void A_report_of_another_product_than_its_chains_is_refused(byte family, byte model) =>
        Only((Chip with { Cpuid = new Cpuid(family, model, 1) }).Verify(), SevSnpFactors.Product, RejectionCode.Mismatch);

    [Fact]
    public void Models_of_each_product_are_known()
    {
        foreach (var (product, family, models) in new (SevSnpProduct, byte, byte[])[]
        {
            (SevSnpProduct.Milan, 0x19, [0x00, 0x01, 0x0F]), (SevSnpProduct.Genoa, 0x19, [0x10, 0x11, 0x1F, 0xA0, 0xAF]), (SevSnpProduct.Turin, 0x1A, [0x00, 0x02, 0x11, 0x1F]),
        })
        {
            foreach (var model in models)
                SevSnpProduct.All.Single(candidate => candidate.Includes(new Cpuid(family, model, 0))).ShouldBe(product);
        }

        foreach (var model in new byte[] { 0x20, 0x9F, 0xB0 })
            SevSnpProduct.All.ShouldNotContain(candidate => candidate.Includes(new Cpuid(0x19, model, 0)));
        SevSnpProduct.Turin.Includes(new Cpuid(0x1A, 0x20, 0)).ShouldBeFalse();
    }

    [Theory]
    [InlineData("Genoa")]
    [InlineData("milan")]
    [InlineData("Milan2")]
    [InlineData("")]
    public void A_VEK_whose_product_is_not_its_paths_is_refused(string name) =>
        Only((Chip with { Extensions = extensions => extensions[EmulatedChip.Arc + "2"] = EmulatedChip.Text(name) }).Verify(), SevSnpFactors.Product, RejectionCode.Mismatch);

    [Fact]
    public void A_report_of_another_chip_is_refused()
    {
        foreach (var product in SevSnpProduct.All)
        {
            var chip = Chip with { Product = product };
            foreach (var offset in new[] { 0, product.HwidSize - 1 })
                Only((chip with { Content = report => report[0x1A0 + offset] ^= 0x80 }).Verify(), SevSnpFactors.ChipId, RejectionCode.Mismatch);
        }
    }

    [Fact]
    public void A_masked_chip_is_refused_unless_the_policy_allows_it_and_keeps_its_platform_id()
    {
        var masked = Chip with { Content = report => report.AsSpan(0x1A0, 64).Clear() };
        Only(masked.Verify(), SevSnpFactors.ChipId, RejectionCode.Forbidden);
        var policy = masked.Policy with { SevSnp = new SevSnpPolicy { AllowMaskedChipId = true }, Platforms = [Shown.Hex(Chip.Hwid)] };
        masked.Verify(policy).Refused().ShouldBeEmpty();
    }

    [Fact]
    public void A_VLEKs_report_names_any_chip()
    {
        var vlek = Chip with { Kind = VekKind.Vlek };
        vlek.Verify().Factors.Single(factor => factor.Name == SevSnpFactors.ChipId).Outcome.ShouldBe(Outcome.Skip);
        (vlek with { Content = report => report[0x1A0] = 7 }).Verify().Refused().ShouldBeEmpty();
        Only(vlek.VerifyUnder(policy => policy with { AllowVlek = false }), SevSnpFactors.Vlek, RejectionCode.Forbidden);
        Chip.VerifyUnder(policy => policy with { AllowVlek = false }).Refused().ShouldBeEmpty();
    }

    // Revocation.

    [Fact]
    public void A_revoked_issuer_or_root_is_refused_and_an_empty_list_is_not()
    {
        var (from, until) = (EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(1));
        Listed(Chip.Crl(from, until)).Refused().ShouldBeEmpty();
        Listed(Chip.Crl(from, until, [1, 0, 2], [0x7F])).Refused().ShouldBeEmpty();
        Listed(Chip.Crl(from, until)).ValidBefore.ShouldBe(until.AddTicks(1));
        Only(Listed(Chip.Crl(from, until, [0x7F], [1, 0, 1])), SevSnpFactors.Crl, RejectionCode.Revoked);
        Only(Listed(Chip.Crl(from, until, [1, 0, 0])), SevSnpFactors.Crl, RejectionCode.Revoked);
    }

    [Fact]
    public void A_list_that_is_not_the_roots_or_not_in_date_is_refused()
    {
        var (from, until) = (EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(1));
        Only(Listed((Chip with { IsForged = true }).Crl(from, until)), SevSnpFactors.Crl, RejectionCode.BadSignature);
        Only(Listed((Chip with { RootName = "ARK-Genoa" }).Crl(from, until)), SevSnpFactors.Crl, RejectionCode.Mismatch);
        Only(Listed(Chip.Crl(from, EmulatedChip.At.AddSeconds(-1))), SevSnpFactors.Crl, RejectionCode.Expired);
        Only(Listed(Chip.Crl(EmulatedChip.At.AddSeconds(1), until)), SevSnpFactors.Crl, RejectionCode.NotYetValid);
        Only(Listed([]), SevSnpFactors.Crl, RejectionCode.Malformed);
        Only(Listed(new byte[Bounds.RevocationList + 1]), SevSnpFactors.Crl, RejectionCode.TooLarge);
        var usage = Chip with { RootUsage = X509KeyUsageFlags.KeyCertSign };
        Only(usage.Verify(collateral: usage.Collateral with { Crl = usage.Crl(from, until) }), SevSnpFactors.Crl, RejectionCode.BadCertificate);
        Only(Chip.Verify(Chip.Policy with { MaxRootCrlAge = TimeSpan.FromHours(23) }, Chip.Collateral with { Crl = Chip.Crl(from, until) }), SevSnpFactors.Crl, RejectionCode.Expired);
    }

    [Fact]
    public void A_flipped_bit_of_a_list_is_refused()
    {
        var list = Chip.Crl(EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(1), [0x7F]);
        var (collateral, policy, report) = (Chip.Collateral, Chip.Policy, Chip.Report());
        foreach (var bit in Daily.Of(list.Length * 8, 97))
        {
            list[bit / 8] ^= (byte)(1 << (bit % 8));
            SevSnpVerifier.Verify(report, collateral with { Crl = list }, policy, EmulatedChip.At).Verdict.Refused().ShouldBe(["snp.crl"], $"bit {bit}");
            list[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void A_missing_list_is_refused_where_the_policy_demands_one() =>
        Only(Chip.VerifyUnder(policy => policy with { RequireCrl = true }), SevSnpFactors.Crl, RejectionCode.Missing);

    // The policy.

    [Fact]
    public void A_debug_guest_is_refused_even_where_everything_is_advisory()
    {
        var debug = Chip with { Content = report => report[0x00A] |= 0x08 };
        var advisory = FactorNames.All.Where(name => name.Kind == FactorKind.Policy).Select(name => name.Value).ToHashSet();
        Only(debug.Verify(debug.Policy with { Advisory = advisory }), SevSnpFactors.Debug, RejectionCode.Forbidden);
        debug.Verify(debug.Policy with { DangerousAllowDebug = true }).Refused().ShouldBeEmpty();
    }

    [Fact]
    public void A_guest_policy_with_unknown_bits_or_without_its_reserved_bit_is_refused()
    {
        Only((Chip with { Content = report => report[0x00A] &= 0xFD }).Verify(), SevSnpFactors.GuestPolicy, RejectionCode.Unsupported);
        for (var bit = 26; bit < 64; bit++)
            Only((Chip with { Content = report => report[0x008 + (bit / 8)] |= (byte)(1 << (bit % 8)) }).Verify(), SevSnpFactors.GuestPolicy, RejectionCode.Unsupported);
        foreach (var bit in new[] { 0, 9, 20, 22, 23, 24, 25 })
            (Chip with { Content = report => report[0x008 + (bit / 8)] |= (byte)(1 << (bit % 8)) }).Verify().Refused().ShouldBeEmpty();
    }

    [Fact]
    public void A_guest_that_may_migrate_or_has_a_migration_agent_is_refused_unless_allowed()
    {
        foreach (var guest in new[] { Chip with { Content = report => report[0x00A] |= 0x04 }, Chip with { Content = report => report[0x17F] = 0xFE } })
        {
            Only(guest.Verify(), SevSnpFactors.Migration, RejectionCode.Forbidden);
            guest.VerifyUnder(policy => policy with { AllowMigration = true }).Refused().ShouldBeEmpty();
        }
    }

    [Fact]
    public void Each_restriction_of_the_policy_refuses_alone()
    {
        Only(Chip.VerifyUnder(policy => policy with { AllowSmt = false }), SevSnpFactors.Smt, RejectionCode.Forbidden);
        (Chip with { Content = report => report[0x00A] &= 0xFE }).VerifyUnder(policy => policy with { AllowSmt = false }).Refused().ShouldBeEmpty();

        var cxl = Chip with { Content = report => report[0x00A] |= 0x20 };
        Only(cxl.Verify(), SevSnpFactors.Cxl, RejectionCode.Forbidden);
        cxl.VerifyUnder(policy => policy with { AllowCxl = true }).Refused().ShouldBeEmpty();

        Only(Chip.VerifyUnder(policy => policy with { RequireSingleSocket = true }), SevSnpFactors.SingleSocket, RejectionCode.Forbidden);
        (Chip with { Content = report => report[0x00A] |= 0x10 }).VerifyUnder(policy => policy with { RequireSingleSocket = true }).Refused().ShouldBeEmpty();

        var low = Chip with { Content = report => report[0x030] = 2 };
        low.Verify().Refused().ShouldBeEmpty();
        low.VerifyUnder(policy => policy with { MaxVmpl = 2 }).Refused().ShouldBeEmpty();
        Only(low.VerifyUnder(policy => policy with { MaxVmpl = 1 }), SevSnpFactors.Vmpl, RejectionCode.Forbidden);

        var machine = Chip with { Content = report => report[0x040] = 0x24 };
        machine.VerifyUnder(policy => policy with { PlatformInfo = ["ecc", "alias_check_complete"] }).Refused().ShouldBeEmpty();
        Only(machine.VerifyUnder(policy => policy with { PlatformInfo = ["ecc", "ciphertext_hiding"] }), SevSnpFactors.PlatformInfo, RejectionCode.Forbidden);
    }

    [Theory]
    [InlineData(0x180)]
    [InlineData(0x1E0)]
    [InlineData(0x1F0)]
    [InlineData(0x038)]
    public void A_TCB_version_below_the_floor_is_refused_wherever_it_stands(int offset)
    {
        var floor = new TcbFloor { Bootloader = 4, Snp = 24, Microcode = 219 };
        Chip.VerifyUnder(policy => policy with { MilanFloor = floor, GenoaFloor = new TcbFloor { Snp = 255 }, TurinFloor = new TcbFloor { Snp = 255 } }).Refused().ShouldBeEmpty();
        foreach (var byteOfTcb in new[] { 0, 6, 7 })
        {
            var old = Convert.FromHexString("04000000000018db");
            old[byteOfTcb]--;
            // A certificate of that version where it is the reported one: an honest chip that is out of date.
            var chip = offset == 0x180
                ? Chip with { Tcb = Convert.ToHexString(old) }
                : Chip with { Content = report => report[offset + byteOfTcb]-- };
            chip.Verify().Refused().ShouldBeEmpty();
            Only(chip.VerifyUnder(policy => policy with { MilanFloor = floor }), SevSnpFactors.TcbFloor, RejectionCode.OutOfDate);
        }
    }

    [Fact]
    public void The_floor_of_Turin_reads_Turins_order()
    {
        var turin = Chip with { Product = SevSnpProduct.Turin };
        turin.VerifyUnder(policy => policy with { TurinFloor = new TcbFloor { Fmc = 1, Bootloader = 2, Tee = 3, Snp = 4, Microcode = 72 } }).Refused().ShouldBeEmpty();
        foreach (var floor in new TcbFloor[] { new() { Fmc = 2 }, new() { Bootloader = 3 }, new() { Tee = 4 }, new() { Snp = 5 }, new() { Microcode = 73 } })
            Only(turin.VerifyUnder(policy => policy with { TurinFloor = floor }), SevSnpFactors.TcbFloor, RejectionCode.OutOfDate);
    }

    [Fact]
    public void Each_reference_value_refuses_alone()
    {
        var (right, wrong) = (ReferenceValues.OneOf(Enumerable.Repeat((byte)0x4E, 48).ToArray()), ReferenceValues.OneOf(new byte[48], Enumerable.Repeat((byte)0x4F, 48).ToArray()));
        Chip.VerifyUnder(policy => policy with { Measurement = right, HostData = ReferenceValues.OneOf(new byte[32]), IdKeyDigest = ReferenceValues.OneOf(new byte[48]), AuthorKeyDigest = ReferenceValues.Any }).Refused().ShouldBeEmpty();
        Only(Chip.VerifyUnder(policy => policy with { Measurement = wrong }), SevSnpFactors.Measurement, RejectionCode.Mismatch);
        Only(Chip.VerifyUnder(policy => policy with { HostData = ReferenceValues.OneOf(Enumerable.Repeat((byte)1, 32).ToArray()) }), SevSnpFactors.HostData, RejectionCode.Mismatch);
        Only(Chip.VerifyUnder(policy => policy with { IdKeyDigest = right }), SevSnpFactors.IdKeyDigest, RejectionCode.Mismatch);
        Only(Chip.VerifyUnder(policy => policy with { AuthorKeyDigest = right }), SevSnpFactors.AuthorKeyDigest, RejectionCode.Mismatch);
    }

    [Fact]
    public void Another_platform_or_other_report_data_is_refused()
    {
        var (policy, id) = (Chip.Policy, Shown.Hex(Chip.Hwid));
        Chip.Verify(policy with { Platforms = ["00", id] }).Refused().ShouldBeEmpty();
        Only(Chip.Verify(policy with { Platforms = ["00"] }), SevSnpFactors.Platform, RejectionCode.Forbidden);
        // A VLEK's host that hides its chip is on no list, not even on one that names zeros.
        Only((Chip with { Kind = VekKind.Vlek }).Verify(policy with { Platforms = [new string('0', 128)] }), SevSnpFactors.Platform, RejectionCode.Forbidden);
        Only(Chip.Verify(reportData: new byte[64]), SevSnpFactors.ReportData, RejectionCode.Mismatch);
        Only(Chip.Verify(reportData: Enumerable.Repeat((byte)0xDA, 63).ToArray()), SevSnpFactors.ReportData, RejectionCode.Mismatch);
    }

    [Fact]
    public void A_policy_without_SEV_SNP_refuses_it() =>
        Chip.Verify(Chip.Policy with { Tees = [CpuType.Tdx] }).Refused().ShouldBe(["bundle.tee"]);

    // The report's own form.

    [Fact]
    public void A_report_that_its_version_does_not_define_is_refused()
    {
        foreach (var (version, offset) in new[]
        {
            (3, 0x04B), (3, 0x04C), (3, 0x04F), (2, 0x188), (2, 0x18A), (3, 0x18B), (3, 0x19F), (3, 0x1EB), (3, 0x1EF), (3, 0x1F8), (4, 0x200), (5, 0x208), (5, 0x29F),
        })
            Only((Chip with { Version = version, Content = report => report[offset] |= 0x80 }).Verify(), SevSnpFactors.Report, RejectionCode.Malformed);
        foreach (var offset in new[] { 0x2D0, 0x2E7, 0x318, 0x32F, 0x330, 0x49F })
        {
            var report = Chip.Report();
            report[offset] = 1;
            Only(SevSnpVerifier.Verify(report, Chip.Collateral, Chip.Policy, EmulatedChip.At).Verdict, SevSnpFactors.Report, RejectionCode.Malformed);
        }

        (Chip with { Version = 5, Content = report => report.AsSpan(0x1F8, 16).Fill(0x0B) }).Verify().Refused().ShouldBeEmpty();
    }

    [Theory]
    [InlineData(0x000, 0)]
    [InlineData(0x000, 1)]
    [InlineData(0x000, 6)]
    [InlineData(0x034, 0)]
    [InlineData(0x034, 2)]
    [InlineData(0x030, 4)]
    [InlineData(0x033, 0xFF)]
    public void Unknown_versions_algorithms_and_levels_are_refused_by_name(int offset, byte value)
    {
        var verdict = (Chip with { Content = report => report[offset] = value }).Verify();
        Only(verdict, SevSnpFactors.Report, RejectionCode.Unsupported);
        verdict.Failures.Single().Found.ShouldNotBeEmpty();
    }

    [Fact]
    public void A_report_that_the_host_asked_for_is_refused_by_name() =>
        (Chip with { Content = report => report.AsSpan(0x030, 4).Fill(0xFF) }).Verify().Failures.Single().Found.ShouldBe("one that the host asked for");

    // Within a bundle.

    [Fact]
    public void In_a_bundle_the_measurement_has_to_be_named()
    {
        var verifier = new SevSnpCpuVerifier();
        verifier.Type.ShouldBe("sev-snp");
        var evidence = new CpuEvidence { Type = verifier.Type, Evidence = Chip.Report(), Collateral = Chip.Collateral.ToNamed() };
        evidence.Collateral.Keys.ShouldBeSubsetOf(verifier.CollateralNames);
        var (policy, claims) = Run(Chip.Policy);
        Only(policy, SevSnpFactors.Measurement, RejectionCode.NoReference);
        Only(Run(Chip.Policy with { Advisory = new HashSet<string> { "snp.measurement" } }).Verdict, SevSnpFactors.Measurement, RejectionCode.NoReference);
        claims!.ReportData.ToArray().ShouldBe(Enumerable.Repeat((byte)0xDA, 64));
        claims.Measurements.Keys.ShouldBe(["measurement"]);

        Run(Chip.Policy with { MeasurementsAny = true }).Verdict.Refused().ShouldBeEmpty();
        var pinned = Run(Chip.Policy with { SevSnp = new SevSnpPolicy { Measurement = ReferenceValues.OneOf(claims.Measurements["measurement"].ToArray()) } });
        pinned.Verdict.Refused().ShouldBeEmpty();
        pinned.Verdict.Factors.ShouldNotContain(factor => factor.Name == SevSnpFactors.ReportData); // the bundle's own check makes it
        evidence = evidence with { Evidence = new byte[7] };
        Run(Chip.Policy).Claims.ShouldBeNull();

        (Verdict Verdict, CpuClaims? Claims) Run(Policy under)
        {
            var findings = under.Begin(EmulatedChip.At);
            var found = verifier.Verify(evidence, under, findings);
            return (findings.ToVerdict(), found);
        }
    }

    private static Verdict Listed(byte[] list) => Chip.Verify(collateral: Chip.Collateral with { Crl = list });

    // This factor refuses, with this code, and no other does.
    private static void Only(Verdict verdict, FactorName name, RejectionCode code)
    {
        verdict.Failures.Select(factor => (factor.Name.Value, factor.Code)).ShouldBe([(name.Value, (RejectionCode?)code)], verdict.ToText());
        verdict.IsAccepted.ShouldBeFalse();
    }
}
