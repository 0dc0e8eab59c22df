using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;

namespace ConfidentialChat.Attestation.Tests.SevSnp;

/// <summary>Every recorded report of the shared vectors, and the factors that refuse it: exactly these.</summary>
public sealed class RecordedReportTests
{
    public static TheoryData<string, string, string, string> Recordings => new()
    {
        { "01-milan-v2-debug", "vcek.der", "2026-03-01T00:00:00Z", "snp.debug" },
        { "01-milan-v2-debug", "vcek.der", "2022-09-24T00:55:27Z", "snp.vek_path snp.debug" },
        { "01-milan-v2-debug", "vcek.der", "2030-01-01T00:00:00Z", "snp.vek_path snp.debug" },
        { "02-milan-v2", "vcek.der", "2026-03-01T00:00:00Z", "" },
        { "02-milan-v2", "vcek.der", "2023-01-24T17:58:26Z", "" },
        { "02-milan-v2", "vcek.der", "2030-01-24T17:58:26Z", "" },
        { "02-milan-v2", "vcek.der", "2030-01-24T17:58:27Z", "snp.vek_path" },
        { "02-milan-v2", "vcek-invalid-legacy.der", "2026-03-01T00:00:00Z", "snp.vek_path snp.report_signature snp.tcb snp.chip_id" },
        { "02-milan-v2", "vcek-invalid-new.der", "2026-03-01T00:00:00Z", "snp.vek_path snp.report_signature snp.tcb snp.chip_id" },
        { "03-milan-v3-vlek-aws", "vlek.der", "2025-06-01T00:00:00Z", "" },
        { "03-milan-v3-vlek-aws", "vlek.der", "2025-12-10T22:14:21Z", "" },
        { "03-milan-v3-vlek-aws", "vlek.der", "2025-12-10T22:14:22Z", "snp.vek_path" },
        { "03-milan-v3-vlek-aws", "vlek.der", "2026-11-22T00:00:00Z", "snp.vek_path" },
        { "04-genoa-v5", "vcek.der", "2026-03-01T00:00:00Z", "" },
        { "05-milan-v3", "vcek.der", "2026-03-01T00:00:00Z", "" },
        { "06-milan-v5-gcp", "vcek.der", "2026-03-01T00:00:00Z", "" },
        { "06-milan-v5-gcp", "vcek.der", "2025-12-05T06:04:26Z", "snp.vek_path" },
        { "08-genoa-azure-hcl", "vcek.der", "2026-03-01T00:00:00Z", "" },
        { "08-genoa-azure-hcl", "vcek.der", "2032-01-24T02:21:49Z", "snp.vek_path" },
        { "09-turin-v5-mitigation", "vcek.der", "2026-03-01T00:00:00Z", "" },
        { "09-turin-v5-mitigation", "vcek.der", "2026-02-05T01:04:32Z", "snp.vek_path" },
        { "09-turin-v5-mitigation", "vcek.der", "2033-02-05T01:04:34Z", "snp.vek_path" },
        { "10-genoa-v3", "vcek.der", "2026-03-01T00:00:00Z", "" },
        { "10-genoa-v3", "vcek.der", "2025-07-20T22:15:41Z", "snp.vek_path" },
    };

    // A set whose VCEK was never published: what it says is read, and it is refused.
    private const string WithoutVek = "11-milan-v4-gcp-no-vcek";

    private static readonly string[] WithVek =
    [
        "01-milan-v2-debug", "02-milan-v2", "03-milan-v3-vlek-aws", "04-genoa-v5", "05-milan-v3", "06-milan-v5-gcp", "08-genoa-azure-hcl",
        "09-turin-v5-mitigation", "10-genoa-v3",
    ];

    public static TheoryData<string> Sets => [.. WithVek, WithoutVek];

    public static TheoryData<string> Certified => [.. WithVek];

    [Theory]
    [MemberData(nameof(Recordings))]
    public void A_recorded_report_has_the_expected_verdict(string set, string vek, string at, string refusals)
    {
        var verdict = Reports.Verify(Evidence.Bytes($"snp/{set}/report.bin"), $"snp/{set}/{vek}", Evidence.Time(at));
        verdict.Refusals().ShouldBe(Reports.Names(refusals), verdict.ToText());
        verdict.IsAccepted.ShouldBe(refusals.Length == 0);
        var recorded = Vectors.Json($"snp/{set}/expected.json").String("default_policy");
        if (verdict.IsAccepted)
            recorded.ShouldStartWith("accept");
        else if (refusals == "snp.debug")
            recorded.ShouldBe("reject: policy DEBUG=1");
    }

    [Fact]
    public void No_recorded_set_is_left_out()
    {
        Vectors.HaveRows("snp", [.. Sets.Select(row => row.Data), "07-turin-vcek-only", "crl"]);
        Recordings.Select(row => row.Data.Item1).Distinct().ShouldBe(WithVek, ignoreOrder: true);
    }

    [Fact]
    public void A_report_whose_VCEK_was_not_published_is_refused_without_one_and_with_anothers()
    {
        Vectors.Json($"snp/{WithoutVek}/expected.json").String("default_policy").ShouldStartWith("reject: no VCEK");
        var report = Evidence.Bytes($"snp/{WithoutVek}/report.bin");
        var without = SevSnpVerifier.Verify(report, new SevSnpCollateral(), Policy.Default, Reports.At).Verdict;
        without.IsAccepted.ShouldBeFalse();
        without.CodeOf(SevSnpFactors.VekPath).ShouldBe(RejectionCode.Missing, without.ToText());
        var anothers = Reports.Verify(report, $"{Reports.Milan}/vcek.der", Reports.At);
        anothers.Refusals().ShouldBe(["snp.report_signature", "snp.tcb", "snp.chip_id"], anothers.ToText());
    }

    [Fact]
    public void The_recorded_revocation_list_of_Genoa_stands_between_its_dates_and_names_another_issuer()
    {
        var (facts, list) = (Vectors.Json("snp/crl/expected.json"), Evidence.Bytes("snp/crl/genoa_crl.der"));
        RevocationList.TryParse(list, out var parsed).ShouldBeNull();
        (parsed!.ThisUpdate, parsed.NextUpdate).ShouldBe((Evidence.Time(facts.String("this_update")), Evidence.Time(facts.String("next_update"))));
        var demanded = Policy.Default with { SevSnp = Policy.Default.SevSnp with { RequireCrl = true } };
        foreach (var set in new[] { "04-genoa-v5", "08-genoa-azure-hcl", "10-genoa-v3" })
        {
            var (report, vek) = (Evidence.Bytes($"snp/{set}/report.bin"), Evidence.Bytes($"snp/{set}/vcek.der"));
            Refusals(parsed.NextUpdate).ShouldBeEmpty(set);
            Refusals(parsed.NextUpdate.AddSeconds(1)).ShouldBe(["snp.crl"], set);
            Refusals(parsed.ThisUpdate.AddSeconds(-1)).ShouldContain("snp.crl", set);
            SevSnpVerifier.Verify(report, new SevSnpCollateral { Vek = vek }, demanded, parsed.NextUpdate).Verdict.Refusals().ShouldBe(["snp.crl"], set);

            string[] Refusals(DateTimeOffset at) =>
                SevSnpVerifier.Verify(report, new SevSnpCollateral { Vek = vek, Crl = list }, demanded, at).Verdict.Refusals();
        }

        // It is Genoa's alone.
        var milan = new SevSnpCollateral { Vek = Evidence.Bytes($"{Reports.Milan}/vcek.der"), Crl = list };
        var verdict = SevSnpVerifier.Verify(Evidence.Bytes($"{Reports.Milan}/report.bin"), milan, demanded, parsed.NextUpdate).Verdict;
        Evidence.Only(verdict, SevSnpFactors.Crl, RejectionCode.Mismatch);
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void What_is_parsed_is_what_the_independent_checker_parsed(string set)
    {
        var facts = Vectors.Json($"snp/{set}/expected.json");
        var expected = facts.GetProperty("report");
        SevSnpReport.TryParse(Evidence.Bytes($"snp/{set}/report.bin"), out var report).ShouldBeNull();
        report!.Version.ShouldBe(Number("version"));
        ((long)report.GuestSvn).ShouldBe(Number("guest_svn"));
        $"{report.GuestPolicy}".ShouldBe(expected.String("policy"));
        report.Vmpl.ShouldBe(Number("vmpl"));
        $"{report.PlatformInfo}".ShouldBe(expected.String("platform_info"));
        ((VekKind)report.SigningKey).ToString().ToUpperInvariant().ShouldBe(expected.String("signing_key"));
        report.HasAuthorKey.ShouldBe(Number("author_key_en") != 0);
        report.IsKeyMasked.ShouldBe(Number("mask_chip_key") != 0);
        foreach (var (name, value) in new (string, TcbVersion)[]
        {
            ("current_tcb_raw", report.CurrentTcb), ("reported_tcb_raw", report.ReportedTcb), ("committed_tcb_raw", report.CommittedTcb),
            ("launch_tcb_raw", report.LaunchTcb),
        })
            $"{value}".ShouldBe(expected.String(name), name);
        foreach (var (name, value) in new (string, ReadOnlyMemory<byte>)[]
        {
            ("report_data", report.ReportData), ("measurement", report.Measurement), ("host_data", report.HostData), ("id_key_digest", report.IdKeyDigest),
            ("author_key_digest", report.AuthorKeyDigest), ("report_id", report.ReportId), ("report_id_ma", report.ReportIdMa), ("chip_id", report.ChipId),
        })
            Shown.Hex(value.Span).ShouldBe(expected.String(name), name);
        Versions("cur_ver").ShouldBe(report.CurrentVersion.ToArray());
        Versions("com_ver").ShouldBe(report.CommittedVersion.ToArray());
        (report.Cpuid ?? default).ShouldBe(new Cpuid((byte)Number("family"), (byte)Number("model"), (byte)Number("stepping")));
        var policy = expected.GetProperty("policy_decoded");
        report.GuestPolicy.AllowsSmt.ShouldBe(policy.GetProperty("smt_allowed").GetBoolean());
        report.GuestPolicy.HasReservedBit.ShouldBe(policy.GetProperty("reserved_bit17").GetBoolean());
        report.GuestPolicy.AllowsMigration.ShouldBe(policy.GetProperty("migrate_ma").GetBoolean());
        report.GuestPolicy.AllowsDebug.ShouldBe(policy.GetProperty("debug").GetBoolean());
        report.GuestPolicy.DemandsSingleSocket.ShouldBe(policy.GetProperty("single_socket").GetBoolean());
        if (!facts.TryGetProperty("reported_tcb", out var tcb))
            return; // Without a chain nobody says whose order its bytes have.
        var product = Reports.Product(facts);
        foreach (var (component, name) in new[]
        {
            (TcbComponent.Bootloader, "bl"), (TcbComponent.Tee, "tee"), (TcbComponent.Snp, "snp"), (TcbComponent.Microcode, "ucode"),
        })
            report.ReportedTcb.Of(component, product).ShouldBe(tcb.GetProperty(name).GetInt32(), name);

        int Number(string name) => expected.GetProperty(name).GetInt32();
        IEnumerable<byte> Versions(string name) => expected.GetProperty(name).EnumerateArray().Select(part => part.GetByte());
    }

    [Theory]
    [MemberData(nameof(Certified))]
    public void What_the_certificate_says_is_what_the_independent_checker_parsed(string set)
    {
        var facts = Vectors.Json($"snp/{set}/expected.json");
        var (issuer, expected) = (facts.GetProperty("checks").String("chain"), facts.GetProperty("certificate").GetProperty("extensions"));
        var kind = issuer.EndsWith("/asvk", StringComparison.Ordinal) ? VekKind.Vlek : VekKind.Vcek;
        var extensions = Extensions($"snp/{set}/{(kind == VekKind.Vlek ? "vlek" : "vcek")}.der", Reports.Product(facts), kind);
        extensions.ProductName.ShouldBe(expected.String("product"));
        $"{extensions.Tcb}".ShouldBe(facts.GetProperty("report").String("reported_tcb_raw"));
        if (kind == VekKind.Vcek)
            Shown.Hex(extensions.Hwid!.Value.Span).ShouldBe(expected.String("hwid"));
        else
            extensions.CspId.ShouldBe(expected.String("csp_id"));
    }

    [Theory]
    [InlineData("vcek-invalid-legacy.der")]
    [InlineData("vcek-invalid-new.der")]
    public void A_chips_id_reads_the_same_bare_and_as_octet_string(string vek) =>
        Extensions($"snp/02-milan-v2/{vek}", SevSnpProduct.Milan, VekKind.Vcek).Hwid!.Value.ToArray().ShouldBe(Enumerable.Range(0, 64).Select(i => (byte)i));

    [Fact]
    public void The_recorded_VCEK_of_Turin_leads_to_its_root_and_has_its_security_versions()
    {
        const string vek = "snp/07-turin-vcek-only/vcek.der";
        var expected = Vectors.Json("snp/07-turin-vcek-only/expected.json").GetProperty("extensions");
        var extensions = Extensions(vek, SevSnpProduct.Turin, VekKind.Vcek);
        extensions.ProductName.ShouldBe("Turin");
        Shown.Hex(extensions.Hwid!.Value.Span).ShouldBe(expected.String("hwid"));
        foreach (var (component, name) in new[]
        {
            (TcbComponent.Fmc, "fmc"), (TcbComponent.Bootloader, "bl"), (TcbComponent.Tee, "tee"), (TcbComponent.Snp, "snp"),
            (TcbComponent.Spl5, "spl5"), (TcbComponent.Spl6, "spl6"), (TcbComponent.Spl7, "spl7"), (TcbComponent.Microcode, "ucode"),
        })
            extensions.Tcb.Of(component, SevSnpProduct.Turin).ShouldBe(expected.GetProperty(name).GetInt32(), name);

        // With another chip's report the path stands, and what binds the report to it does not.
        var verdict = Reports.Verify(Evidence.Bytes($"{Reports.Milan}/report.bin"), vek, Reports.At);
        verdict.Refusals().ShouldBe(["snp.report_signature", "snp.tcb", "snp.product", "snp.chip_id"], verdict.ToText());
    }

    [Fact]
    public void An_issuer_and_root_that_come_along_are_checked_and_change_nothing()
    {
        var pem = PemEncoding.WriteString("CERTIFICATE", Evidence.Bytes($"{Reports.Genoa}/vcek.der")) + "\n";
        byte[] vek = Encoding.ASCII.GetBytes(pem);
        foreach (var path in new[] { vek, [.. vek, .. Reports.Root("genoa_ask")], [.. vek, .. Reports.Root("genoa_ask"), .. Reports.Root("genoa_ark")] })
        {
            var verdict = SevSnpVerifier.Verify(
                Evidence.Bytes($"{Reports.Genoa}/report.bin"), new SevSnpCollateral { Vek = path }, Policy.Default, Reports.At).Verdict;
            verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        }
    }

    [Fact]
    public void The_report_within_an_Azure_record_binds_its_runtime_data()
    {
        var record = Evidence.Bytes("snp/08-genoa-azure-hcl/hcl-report.bin");
        var report = Evidence.Bytes("snp/08-genoa-azure-hcl/report.bin");
        record.AsSpan(32, SevSnpReport.Size).SequenceEqual(report).ShouldBeTrue();
        SevSnpReport.TryParse(report, out var parsed).ShouldBeNull();
        var json = record.AsSpan(record.AsSpan().IndexOf("{\""u8));
        json = json[..(json.LastIndexOf((byte)'}') + 1)];
        var expected = new byte[64];
        SHA256.HashData(json, expected);
        SevSnpVerifier.Verify(report, Reports.Vek("snp/08-genoa-azure-hcl/vcek.der"), Policy.Default, Reports.At, expected).Verdict.Refusals().ShouldBeEmpty();
        parsed!.ReportData.ToArray().ShouldBe(expected);
    }

    [Fact]
    public void A_verdict_names_what_was_not_asked_for_and_how_long_it_stands()
    {
        var verdict = Reports.Verify(Evidence.Bytes($"{Reports.Milan}/report.bin"), $"{Reports.Milan}/vcek.der", Reports.At);
        verdict.NotChecked.Select(factor => factor.Name.Value)
            .ShouldBe([
            "snp.crl", "snp.smt", "snp.single_socket", "snp.products", "snp.vlek", "snp.csp_id", "snp.vmpl", "snp.platform_info", "snp.provisional_firmware",
            "snp.mitigations", "snp.tcb_floor", "snp.measurement", "snp.host_data", "snp.id_key_digest", "snp.author_key_digest", "snp.reference",
            "snp.platform", "snp.report_data",
        ]);
        verdict.ValidFrom.ShouldBe(Evidence.Time("2025-01-15T21:21:54Z"));
        verdict.ValidBefore.ShouldBe(Evidence.Time("2032-01-15T21:21:54Z").AddTicks(1));
        JsonElement.Parse(verdict.ToJson()).GetProperty("accepted").GetBoolean().ShouldBeTrue();
    }

    private static VekExtensions Extensions(string path, SevSnpProduct product, VekKind kind)
    {
        Certificate.TryParse(Evidence.Bytes(path), out var vek).ShouldBeNull();
        using (vek)
        {
            VekExtensions.TryRead(vek!, product, kind, out var extensions).ShouldBeNull();
            return extensions!;
        }
    }
}
