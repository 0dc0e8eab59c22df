using System.Security.Cryptography;
using System.Text;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using CsCheck;

namespace ConfidentialChat.Attestation.Tests.SevSnp;

/// <summary>Recorded reports and certificates with something changed: always a verdict, and never an accepting one.</summary>
public sealed class MutationTests
{
    /// <summary>What each mutation of the signed range touches besides the signature.</summary>
    private static readonly Dictionary<string, string> Refusals = new(StringComparer.Ordinal)
    {
        ["version-1"] = "snp.report",
        ["version-99"] = "snp.report",
        ["policy-debug-set"] = "snp.report_signature snp.debug",
        ["report-data"] = "snp.report_signature",
        ["measurement"] = "snp.report_signature",
        ["host-data"] = "snp.report_signature",
        ["chip-id"] = "snp.report_signature snp.chip_id",
        ["reported-tcb"] = "snp.report_signature snp.tcb snp.tcb_order",
        ["id-key-digest"] = "snp.report_signature",
        ["vmpl"] = "snp.report_signature",
        ["sig-algo"] = "snp.report",
        ["sig-r"] = "snp.report_signature",
        ["sig-s"] = "snp.report_signature",
        ["sig-zero"] = "snp.report_signature",
        ["sig-rs-big-endian"] = "snp.report_signature",
        ["truncated"] = "snp.report",
        ["empty"] = "snp.report",
    };

    public static TheoryData<int> Cases => [.. Enumerable.Range(0, 34)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_mutation_is_refused_by_the_factors_that_it_touches(int index)
    {
        var mutation = Vectors.Json("snp/mutations.json").GetProperty("cases")[index];
        var (report, set) = (mutation.String("base"), Path.GetDirectoryName(mutation.String("base"))!);
        Reports.Verify(Evidence.Bytes(report), $"{set}/vcek.der", Reports.At).IsAccepted.ShouldBeTrue();
        var verdict = Reports.Verify(Evidence.Mutate(Evidence.Bytes(report), mutation.GetProperty("operations")), $"{set}/vcek.der", Reports.At);
        verdict.IsAccepted.ShouldBeFalse();
        verdict.Refusals().ShouldBe(Reports.Names(Refusals[mutation.String("id")]), verdict.ToText());
    }

    [Fact]
    public void A_flipped_bit_of_a_list_is_refused()
    {
        var chip = new EmulatedChip();
        var list = chip.Crl(EmulatedChip.At.AddDays(-1), EmulatedChip.At.AddDays(1), [0x7F]);
        var (collateral, policy, report) = (chip.Collateral, chip.Policy, chip.Report());
        foreach (var bit in Daily.Of(list.Length * 8, 97))
        {
            list[bit / 8] ^= (byte)(1 << (bit % 8));
            SevSnpVerifier.Verify(report, collateral with { Crl = list }, policy, EmulatedChip.At).Verdict.Refusals().ShouldBe(["snp.crl"], $"bit {bit}");
            list[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void Every_mutation_has_a_row()
    {
        var ids = Vectors.Json("snp/mutations.json").GetProperty("cases").EnumerateArray().Select(item => item.String("id")).ToList();
        ids.Count.ShouldBe(Cases.Count);
        ids.Distinct().ShouldBe(Refusals.Keys, ignoreOrder: true);
    }

    [Theory]
    [InlineData("wrong-vcek", "snp.report_signature snp.tcb snp.chip_id")]
    [InlineData("wrong-product-chain", "snp.vek_path")]
    [InlineData("ask-in-place-of-asvk", "snp.vek_path")]
    [InlineData("vcek-expired", "snp.vek_path snp.debug")]
    public void A_chain_of_another_place_is_refused(string id, string refusals)
    {
        var item = Vectors.Json("snp/chain-mutations.json").GetProperty("cases").EnumerateArray().Single(candidate => candidate.String("id") == id);
        var report = item.String("report");
        var vek = item.TryGetProperty("vcek", out var named) ? named.GetString()! : $"{Path.GetDirectoryName(report)}/vcek.der";
        var path = new StringBuilder(PemEncoding.WriteString("CERTIFICATE", Evidence.Bytes(vek))).Append('\n');
        foreach (var above in new[] { "ask", "ark" })
        {
            if (item.TryGetProperty(above, out var file))
                path.Append(Vectors.Text(file.GetString()!)).Append('\n');
        }

        // The VLEK's own dates are over today: at a time when nothing but the path is wrong.
        var at = item.TryGetProperty("verification_time", out var time)
            ? Evidence.Time(time.GetString()!)
            : id == "ask-in-place-of-asvk" ? Evidence.Time("2025-06-01T00:00:00Z")
            : Reports.At;
        var verdict = SevSnpVerifier.Verify(
            Evidence.Bytes(report), new SevSnpCollateral { Vek = Encoding.ASCII.GetBytes(path.ToString()) }, Policy.Default, at).Verdict;
        verdict.Refusals().ShouldBe(Reports.Names(refusals), verdict.ToText());
    }

    [Fact]
    public void Every_chain_mutation_has_a_test() => // self-made-ark has no files: VekTests make one
        Vectors.Json("snp/chain-mutations.json").GetProperty("cases").EnumerateArray().Select(item => item.String("id"))
            .ShouldBe(["wrong-vcek", "wrong-product-chain", "ask-in-place-of-asvk", "self-made-ark", "vcek-expired"]);

    [Fact]
    public void A_report_cut_anywhere_or_longer_is_refused()
    {
        var report = Evidence.Bytes($"{Reports.Milan}/report.bin");
        for (var length = 0; length < report.Length; length++)
            SevSnpReport.TryParse(report.AsSpan(0, length), out _)!.Code.ShouldBe(RejectionCode.Malformed, $"{length} bytes");
        SevSnpReport.TryParse([.. report, 0], out _)!.Code.ShouldBe(RejectionCode.TooLarge);
        SevSnpReport.TryParse(report, out _).ShouldBeNull();
        Reports.Verify(report[..^1], $"{Reports.Milan}/vcek.der", Reports.At).Refusals().ShouldBe(["snp.report"]);
    }

    [Theory]
    [InlineData("snp/02-milan-v2", "vcek", "2026-03-01T00:00:00Z")]
    [InlineData("snp/03-milan-v3-vlek-aws", "vlek", "2025-06-01T00:00:00Z")]
    [InlineData("snp/04-genoa-v5", "vcek", "2026-03-01T00:00:00Z")]
    public void Any_flipped_bit_of_a_report_is_refused(string set, string vek, string at)
    {
        var report = Evidence.Bytes($"{set}/report.bin");
        var (collateral, time) = (Reports.Vek($"{set}/{vek}.der"), Evidence.Time(at));
        SevSnpVerifier.Verify(report, collateral, Policy.Default, time).Verdict.IsAccepted.ShouldBeTrue();
        foreach (var bit in Daily.Of(report.Length * 8, 61))
        {
            report[bit / 8] ^= (byte)(1 << (bit % 8));
            var verdict = SevSnpVerifier.Verify(report, collateral, Policy.Default, time).Verdict;
            verdict.Refusals().ShouldContain(name => name == "snp.report" || name == "snp.report_signature", $"bit {bit}");
            report[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void Any_flipped_bit_or_cut_of_a_certificate_is_refused()
    {
        var report = Evidence.Bytes($"{Reports.Milan}/report.bin");
        var vek = Evidence.Bytes($"{Reports.Milan}/vcek.der");
        foreach (var bit in Daily.Of(vek.Length * 8, 61))
        {
            vek[bit / 8] ^= (byte)(1 << (bit % 8));
            var verdict = SevSnpVerifier.Verify(report, new SevSnpCollateral { Vek = vek }, Policy.Default, Reports.At).Verdict;
            verdict.Refusals().ShouldContain("snp.vek_path", $"bit {bit}");
            vek[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        foreach (var length in Daily.Of(vek.Length, 7))
            SevSnpVerifier.Verify(report, new SevSnpCollateral { Vek = vek.AsMemory(0, length) }, Policy.Default, Reports.At).Verdict.Refusals()
                .ShouldBe(["snp.vek_path"], $"{length} bytes");
    }

    [Fact]
    public void Arbitrary_bytes_get_a_verdict_and_nothing_else() =>
        Gen.Select(Gen.Byte.Array[0, 1400], Gen.Byte.Array[0, 400], Gen.Byte.Array[0, 400]).Sample(
            (report, vek, crl) =>
            {
                var verdict = SevSnpVerifier.Verify(report, new SevSnpCollateral { Vek = vek, Crl = crl }, Policy.Default, Reports.At).Verdict;
                return !verdict.IsAccepted && verdict.Failures.Any();
            },
            iter: 500);

    [Fact]
    public void Arbitrary_bytes_beside_a_true_report_get_a_verdict_and_nothing_else()
    {
        var report = Evidence.Bytes($"{Reports.Milan}/report.bin");
        var vek = Evidence.Bytes($"{Reports.Milan}/vcek.der");
        Gen.Select(Gen.Int[0, vek.Length - 1], Gen.Byte.Array[1, 40], Gen.Byte.Array[0, 400]).Sample(
            (offset, noise, crl) =>
            {
                var noisy = vek.ToArray();
                noise.AsSpan(0, Math.Min(noise.Length, noisy.Length - offset)).CopyTo(noisy.AsSpan(offset));
                var accepted = SevSnpVerifier.Verify(report, new SevSnpCollateral { Vek = noisy }, Policy.Default, Reports.At).Verdict.IsAccepted;
                var listed = SevSnpVerifier.Verify(report, new SevSnpCollateral { Vek = vek, Crl = crl }, Policy.Default, Reports.At).Verdict.Refusals();
                return accepted == noisy.AsSpan().SequenceEqual(vek) && listed.SequenceEqual(["snp.crl"]);
            },
            iter: 100);
    }

    [Fact]
    public void The_carried_certificates_are_the_published_ones()
    {
        foreach (var product in SevSnpProduct.All)
        {
            var name = product.Name.ToLowerInvariant();
            foreach (var (file, certificate) in new[]
            {
                ("ark", AmdRoots.Ark(product)), ("ask", AmdRoots.Issuer(product, VekKind.Vcek)), ("asvk", AmdRoots.Issuer(product, VekKind.Vlek)),
            })
            {
                CertificateList.TryParse(Reports.Root($"{name}_{file}"), out var published).ShouldBeNull();
                using (published)
                    certificate.Der.ToArray().ShouldBe(published!.Items.Single().Der.ToArray());
            }
        }
    }
}
