using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Attestation.Collateral;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Collateral;

/// <summary>spec/attestation.md section 13, "Forms": recorded evidence in the forms in which people have it.</summary>
public sealed class EvidenceFormTests
{
    private const string Set = "tdx/01-v4-uptodate-b0c06f";
    private static readonly DateTimeOffset Snp = Evidence.Time("2026-03-01T00:00:00Z");

    [Theory]
    [InlineData("")]
    [InlineData("0x")]
    public void A_quote_in_hexadecimal_is_the_quote(string prefix)
    {
        var quote = Evidence.Bytes($"{Set}/quote.bin");
        var hex = prefix + string.Join("\n", Convert.ToHexString(quote).Chunk(64).Select(line => new string(line))) + "\r\n";
        EvidenceForm.Evidence(Encoding.ASCII.GetBytes(hex)).ShouldBe(quote);
        EvidenceForm.Evidence(quote).ShouldBeSameAs(quote);
        foreach (var other in new[] { "", "0x", "abc", "zz", "00 0" })
            EvidenceForm.Evidence(Encoding.ASCII.GetBytes(other)).ShouldBe(Encoding.ASCII.GetBytes(other));
    }

    [Fact]
    public void A_report_within_Azures_HCL_report_is_the_report()
    {
        const string set = "snp/08-genoa-azure-hcl";
        var report = EvidenceForm.Evidence(Evidence.Bytes($"{set}/hcl-report.bin"));
        report.ShouldBe(Evidence.Bytes($"{set}/report.bin"));
        SevSnpVerifier.Verify(report, EvidenceForm.SevSnp(Evidence.Bytes($"{set}/vcek.der")), Policy.Default, Snp).Verdict.Refusals().ShouldBeEmpty();
        EvidenceForm.Evidence("HCLA"u8.ToArray()).ShouldBe("HCLA"u8.ToArray());

        // Nothing has to stand behind the report, and the parser is who refuses a version.
        foreach (var version in new byte[] { 1, 0x80 })
        {
            byte[] least = [.. "HCLA"u8, .. new byte[28], version, .. report[1..]];
            EvidenceForm.Evidence(least).ShouldBe(least[32..]);
            EvidenceForm.Evidence(least[..^1]).ShouldBe(least[..^1]);
        }
    }

    [Theory]
    [InlineData("tdx/10-v4-outofdate-azure-00806f")]
    [InlineData("tdx/13-v4-uptodate-azure-dcesv6-90c06f")]
    public void The_HCL_report_of_a_TDX_machine_is_no_quote_and_refused_by_name(string set)
    {
        var evidence = EvidenceForm.Evidence(Evidence.Bytes($"{set}/hcl-report.bin"));
        TdxQuote.TryParse(evidence, out _)!.Found.ShouldStartWith("Azure's HCL report");
    }

    [Fact]
    public void Chains_with_comments_and_URL_encoded_ones_and_lists_in_PEM_and_hexadecimal_verify()
    {
        var (collateral, at) = Evidence.First(Set);
        var chain = Encoding.ASCII.GetString(collateral.TcbSigningChain!.Value.Span);
        foreach (var form in new[]
        {
            Uri.EscapeDataString(chain),
            "# Intel's\nsubject=CN = Intel SGX TCB Signing\n" + chain.Replace("-----BEGIN", "\n # next\n-----BEGIN", StringComparison.Ordinal) + "\nthe end",
        })
        {
            var given = collateral with
            {
                TcbSigningChain = EvidenceForm.Certificates(Encoding.ASCII.GetBytes(form)),
                PckCrl = EvidenceForm.RevocationList(Encoding.ASCII.GetBytes(PemEncoding.WriteString("X509 CRL", collateral.PckCrl!.Value.Span))),
                RootCaCrl = EvidenceForm.RevocationList(Encoding.ASCII.GetBytes(Convert.ToHexStringLower(collateral.RootCaCrl!.Value.Span))),
            };
            TdxVerifier.Verify(Evidence.Bytes($"{Set}/quote.bin"), given, Policy.Default, at).Verdict.Refusals().ShouldBeEmpty();
        }

        // The parser itself stays as strict as a bundle needs it, and a private key in the text is no comment.
        var commented = Encoding.ASCII.GetBytes("# Intel's\n" + chain);
        TdxVerifier.Verify(Evidence.Bytes($"{Set}/quote.bin"), collateral with { TcbSigningChain = commented }, Policy.Default, at).Verdict.Refusals()
            .ShouldContain("tdx.tcb_signing_path");
        var keyed = Encoding.ASCII.GetBytes("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n" + chain);
        EvidenceForm.Certificates(keyed).ToArray().ShouldBe(keyed);
    }

    [Fact]
    public void A_folder_takes_lists_in_PEM_under_their_names()
    {
        var folder = Directory.CreateTempSubdirectory("cchat-forms-");
        try
        {
            var (collateral, _) = Evidence.First(Set);
            File.WriteAllText(Path.Combine(folder.FullName, "pck_crl.pem"), PemEncoding.WriteString("X509 CRL", collateral.PckCrl!.Value.Span));
            File.WriteAllText(Path.Combine(folder.FullName, "root_ca_crl.der"), Convert.ToHexString(collateral.RootCaCrl!.Value.Span));
            var read = new CollateralFolder(folder.FullName).Tdx(null);
            read.PckCrl!.Value.ToArray().ShouldBe(collateral.PckCrl!.Value.ToArray());
            read.RootCaCrl!.Value.ToArray().ShouldBe(collateral.RootCaCrl!.Value.ToArray());
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public void Lines_that_share_their_dashes_are_no_list_and_break_nothing()
    {
        var bytes = "-----BEGIN X509 CRL-----END X509 CRL-----"u8.ToArray(); // found by guided fuzzing
        EvidenceForm.RevocationList(bytes).ToArray().ShouldBe(bytes);
        EvidenceForm.RevocationList("-----END X509 CRL----------BEGIN X509 CRL-----AQID-----END X509 CRL-----"u8.ToArray()).ToArray().ShouldBe([1, 2, 3]);
    }

    [Fact]
    public void The_kernels_table_of_certificates_gives_the_path()
    {
        var table = Evidence.Bytes("../faults/snp/snp-auxblob-milan.bin");
        var collateral = EvidenceForm.SevSnp(table);
        ConfidentialChat.Attestation.Certificates.CertificateList.TryParse(collateral.Vek!.Value.Span, out var path).ShouldBeNull();
        using (path)
            path!.Items.Select(certificate => certificate.ToString()).ShouldBe(["SEV-VCEK", "SEV-Milan", "ARK-Milan"]);
        collateral.Crl.ShouldBeNull();
        // A genuine report's certificates in such a table, with the list of another product beside them.
        byte[][] parts =
        [
            Evidence.Bytes("snp/05-milan-v3/vcek.der"),
            Evidence.Bytes("snp/crl/" + Path.GetFileName(Directory.GetFiles(Vectors.Locate("snp/crl"), "*.der").Single())),
        ];
        var own = Table(("63da758de6644564adc5f4b93be8accd", parts[0]), ("92f81bc358114d3d97ffd19f88dc67ea", parts[1]));
        var report = Evidence.Bytes("snp/05-milan-v3/report.bin");
        SevSnpVerifier.Verify(report, EvidenceForm.SevSnp(own), Policy.Default, Snp).Verdict.Refusals().ShouldBe(["snp.crl"]);
        SevSnpVerifier.Verify(report, EvidenceForm.SevSnp(own) with { Crl = null }, Policy.Default, Snp).Verdict.Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void A_table_of_a_VLEK_gives_its_path_and_of_both_kinds_the_chips_own()
    {
        const string vcek = "63da758de6644564adc5f4b93be8accd", vlek = "a8074bc2a25a483eaae639c045a0b8a1", ark = "c0b406a4a803495297433fb6014cd0ae";
        Path(Table((ark, [3]), (vlek, [1, 2]))).ShouldBe([1, 2, 3]);
        Path(Table((vlek, [1, 2]), (vcek, [4]), (ark, [3]))).ShouldBe([4, 3]);
        var other = Table((ark, [3]));
        Path(other).ShouldBe(other, "there is no key in it");

        // As many entries as are read, and one more.
        var full = Table([.. Enumerable.Repeat((ark, (byte[])[3]), 14), (vcek, [4])]);
        Path(full).ShouldBe([4, 3]);
        var over = Table([.. Enumerable.Repeat((ark, (byte[])[3]), 15), (vcek, [4])]);
        Path(over).ShouldBe(over);

        static byte[] Path(byte[] table) => EvidenceForm.SevSnp(table).Vek!.Value.ToArray();
    }

    [Fact]
    public void A_table_that_lies_about_its_sizes_is_taken_as_it_is()
    {
        var table = Evidence.Bytes("../faults/snp/snp-auxblob-milan.bin");
        for (var length = 0; length < table.Length; length += length < 200 ? 1 : 97)
        {
            var cut = table[..length];
            EvidenceForm.SevSnp(cut).Vek!.Value.ToArray().ShouldBe(cut, $"{length} bytes");
        }

        foreach (var at in new[] { 16, 20 })
        {
            var changed = (byte[])table.Clone();
            BinaryPrimitives.WriteUInt32LittleEndian(changed.AsSpan(at), uint.MaxValue);
            EvidenceForm.SevSnp(changed).Vek!.Value.ToArray().ShouldBe(changed);
        }
    }

    [Fact]
    public void Whatever_the_bytes_are_a_form_breaks_nothing()
    {
        var random = new Random(7);
        foreach (var seed in new[]
        {
            "-----BEGIN CERTIFICATE-----", "-----BEGIN%20CERTIFICATE-----%0", "-----BEGIN X509 CRL-----\n-----END X509 CRL-----", "HCLA", "0x00",
        })
        {
            for (var i = 0; i < 500; i++)
            {
                byte[] bytes = [.. Encoding.ASCII.GetBytes(seed), .. new byte[random.Next(2000)]];
                random.NextBytes(bytes.AsSpan(seed.Length));
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
                _ = EvidenceForm.Evidence(bytes);
                _ = EvidenceForm.Certificates(bytes);
                _ = EvidenceForm.RevocationList(bytes);
                _ = EvidenceForm.SevSnp(bytes);
            }
        }
    }

    private static byte[] Table(params (string Id, byte[] Value)[] entries)
    {
        using var stream = new MemoryStream();
        var offset = 24 * (entries.Length + 1);
        foreach (var (id, value) in entries)
        {
            stream.Write(Convert.FromHexString(id));
            stream.Write(BitConverter.GetBytes(offset));
            stream.Write(BitConverter.GetBytes(value.Length));
            offset += value.Length;
        }

        stream.Write(new byte[24]);
        foreach (var (_, value) in entries)
            stream.Write(value);
        return stream.ToArray();
    }
}
