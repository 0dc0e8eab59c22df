using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>Every recorded quote of the shared vectors, and the factors that refuse it: exactly these.</summary>
public sealed class RecordedQuoteTests
{
    public static TheoryData<string, int, string> Sets => new()
    {
        { "tdx/01-v4-uptodate-b0c06f", 0, "" },
        { "tdx/02-v4-no-matching-tcb-50806f", 0, "tdx.tcb_supported tdx.tcb_status" },
        { "tdx/03-v5-uptodate-90c06f", 0, "" },
        { "tdx/04-v4-debug-td-50806f", 0, "tdx.debug" },
        { "tdx/04-v4-debug-td-50806f", 1, "tdx.tcb_status tdx.advisories tdx.debug" },
        { "tdx/05-v4-gcp-ccel-00806f", 0, "" },
        { "tdx/06-v4-outofdate-gnr-00a06d08", 0, "tdx.tcb_status" },
        { "tdx/07-v3-sgx-not-tdx-00a067", 0, "tdx.quote" },
        { "tdx/08-v4-outofdate-nearai-gateway-b0c06f", 0, "tdx.tcb_status tdx.advisories" },
        { "tdx/09-v4-dstack-eventlog-90c06f", 0, "" },
        { "tdx/10-v4-outofdate-azure-00806f", 0, "tdx.tcb_status tdx.advisories" },
        { "tdx/11-v4-perfmon-90c06f", 0, "tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.perfmon" },
        { "tdx/13-v4-uptodate-azure-dcesv6-90c06f", 0, "" },
        { "tdx/14-v5-service-td-no-matching-90c06f", 0, "tdx.tcb_supported tdx.tcb_status tdx.migratable" },
        // The quote alone: dstack's container around it, with its event log, is not read yet.
        { "tdx/15-v4-uptodate-dstack-container-b0c06f", 0, "" },
        { "tdx/16-v4-outofdate-edgeless-00806f", 0, "tdx.tcb_status tdx.advisories" },
    };

    // Its root is not Intel's: MutationTests has it.
    private const string WrongRoot = "12-v4-wrong-root-intel-sample";

    [Fact]
    public void No_recorded_set_is_left_out() =>
        Vectors.HaveRows("tdx", [.. Sets.Select(row => row.Data.Item1["tdx/".Length..]), WrongRoot]);

    [Theory]
    [MemberData(nameof(Sets))]
    public void A_recorded_quote_has_the_expected_verdict(string set, int index, string refusals)
    {
        var expected = Vectors.Json($"{set}/expected.json").GetProperty("verdicts")[index];
        var verification = Verify(set, index, Evidence.Time(expected.String("verification_time")));
        verification.Verdict.Refusals().ShouldBe(Split(refusals), verification.Verdict.ToText());
        verification.Verdict.IsAccepted.ShouldBe(expected.String("default_policy") == "accept");
        if (verification.Quote is null)
            return;
        var status = verification.Verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus);
        status.Found.Split(' ')[0].ShouldBe(expected.String("tcb_status"));
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void After_the_dates_of_its_collateral_a_recorded_quote_is_refused(string set, int index, string refusals)
    {
        var expected = Vectors.Json($"{set}/expected.json").GetProperty("verdicts")[index];
        var verification = Verify(set, index, Evidence.Time(expected.GetProperty("after_expiry").String("verification_time")));
        verification.Verdict.IsAccepted.ShouldBeFalse();
        verification.Verdict.Refusals().ShouldBeSubsetOf(
            [.. Split(refusals), "tdx.tcb_info_date", "tdx.qe_identity_date", "tdx.pck_crl", "tdx.root_crl"], verification.Verdict.ToText());
        Verify(set, index, DateTimeOffset.UtcNow).Verdict.IsAccepted.ShouldBeFalse();
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void What_is_parsed_is_what_the_independent_checker_parsed(string set, int index, string refusals)
    {
        _ = refusals;
        if (index != 0 || set.Contains("sgx", StringComparison.Ordinal))
            return;
        var facts = Vectors.Json($"{set}/expected.json").GetProperty("facts");
        TdxQuote.TryParse(Evidence.Bytes($"{set}/quote.bin"), out var quote).ShouldBeNull();
        var (report, body) = (quote!.Report, facts.GetProperty("body"));
        quote.Version.ShouldBe(facts.GetProperty("header").GetProperty("version").GetInt32());
        Shown.Hex(quote.QeVendorId.Span).ShouldBe(facts.GetProperty("header").String("qe_vendor_id"));
        foreach (var (name, value) in new (string, ReadOnlyMemory<byte>)[]
        {
            ("tee_tcb_svn", report.TeeTcbSvn), ("mr_seam", report.MrSeam), ("mr_signer_seam", report.MrSignerSeam), ("seam_attributes", report.SeamAttributes),
            ("td_attributes", report.TdAttributesBytes), ("xfam", report.Xfam), ("mr_td", report.MrTd), ("mr_config_id", report.MrConfigId),
            ("mr_owner", report.MrOwner), ("mr_owner_config", report.MrOwnerConfig), ("rtmr0", report.Rtmr(0)), ("rtmr1", report.Rtmr(1)),
            ("rtmr2", report.Rtmr(2)), ("rtmr3", report.Rtmr(3)), ("report_data", report.ReportData),
        })
            Shown.Hex(value.Span).ShouldBe(body.String(name), name);
        if (body.TryGetProperty("mr_service_td", out var service))
            Shown.Hex(report.MrServiceTd.Span).ShouldBe(service.GetString());
        var qe = facts.GetProperty("qe_report");
        Shown.Hex(quote.Qe.MrSigner).ShouldBe(qe.String("mrsigner"));
        Shown.Hex(quote.Qe.Attributes).ShouldBe(qe.String("attributes"));
        ((int)quote.Qe.IsvProdId).ShouldBe(qe.GetProperty("isvprodid").GetInt32());
        ((int)quote.Qe.IsvSvn).ShouldBe(qe.GetProperty("isvsvn").GetInt32());

        var platform = Platform(quote);
        var pck = facts.GetProperty("pck");
        Shown.Hex(platform.Ppid.Span).ShouldBe(pck.String("ppid"));
        platform.PceSvn.ShouldBe(pck.GetProperty("pcesvn").GetInt32());
        platform.Components.ToArray().Select(svn => (int)svn).ShouldBe(pck.GetProperty("tcb").EnumerateArray().Select(svn => svn.GetInt32()));
        Shown.Hex(platform.PceId.Span).ShouldBe(pck.String("pceid"));
        Shown.Hex(platform.Fmspc.Span).ShouldBe(pck.String("fmspc"));
        TdxVerifier.ReadFmspc(quote.Bytes.Span).ShouldBe(pck.String("fmspc"));
        Shown.Hex(platform.PlatformInstanceId!.Value.Span).ShouldBe(pck.String("platinst"));
    }

    private static PckExtension Platform(TdxQuote quote)
    {
        CertificateList.TryParse(quote.PckPath.Span, out var path).ShouldBeNull();
        using (path)
        {
            PckExtension.TryRead(path!.Items[0], out var platform).ShouldBeNull();
            return platform!;
        }
    }

    private static TdxVerification Verify(string set, int index, DateTimeOffset at)
    {
        var folder = Vectors.Json($"{set}/expected.json").GetProperty("verdicts")[index].String("collateral_dir");
        return TdxVerifier.Verify(Evidence.Bytes($"{set}/quote.bin"), Evidence.Collateral($"{set}/{folder}"), Policy.Default, at);
    }

    private static string[] Split(string names) => names.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
