using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>The quotes within providers' own bundles, whose formats are read here and nowhere else.</summary>
public sealed class ProviderTests
{
    private const string Chutes = "bundles/05-chutes-tdx-8gpu";
    private const string TinfoilCloud = "bundles/06-tinfoil-cloud-snp";

    public static TheoryData<string> Sets =>
        ["bundles/01-tinfoil-direct-tdx-1gpu", "bundles/02-nearai-direct-tdx-8gpu", "bundles/03-phala-chutes-5x-tdx-8gpu", "bundles/04-venice-tdx-8gpu"];

    // Of Chutes' second capture the first quote is of the platform whose TCB info was recorded.
    public static TheoryData<string> Reported => [.. Sets.Select(row => row.Data), Chutes];

    /// <summary>Of a bundle the evidence of its CPU is verified; that of its GPUs and NVIDIA's tokens have no verifier yet.</summary>
    [Fact]
    public void No_recorded_bundle_is_left_out() =>
        Vectors.HaveRows("bundles", [.. Sets.Select(row => row.Data["bundles/".Length..]), Chutes["bundles/".Length..], TinfoilCloud["bundles/".Length..]]);

    [Theory]
    [MemberData(nameof(Sets))]
    public void Every_quote_of_a_providers_bundle_has_the_expected_verdict(string set)
    {
        var expected = Vectors.Json($"{set}/expected.json");
        var attestation = Vectors.Json($"{set}/attestation.json");
        var at = Evidence.Time(expected.String("verification_time"));
        var quotes = expected.GetProperty("tdx_quotes").EnumerateArray().ToList();
        quotes.ShouldNotBeEmpty();
        foreach (var item in quotes)
        {
            var quote = Decode(At(attestation, item.String("path")).GetString()!);
            Convert.ToHexStringLower(SHA256.HashData(quote)).ShouldBe(item.String("sha256"));
            var verification = TdxVerifier.Verify(quote, Evidence.Collateral(set), Policy.Default, at);
            verification.Verdict.IsAccepted.ShouldBeTrue(verification.Verdict.ToText());
            verification.Verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus).Found.ShouldStartWith(item.String("tcb_status"));
            Shown.Hex(verification.Quote!.Report.MrTd.Span).ShouldBe(item.String("mr_td"));
            Shown.Hex(verification.Quote.Report.ReportData.Span).ShouldBe(item.String("report_data"));
            for (var i = 0; i < 4; i++)
                Shown.Hex(verification.Quote.Report.Rtmr(i).Span).ShouldBe(item.GetProperty("rtmr")[i].GetString());
            // Today its collateral is past its dates.
            TdxVerifier.Verify(quote, Evidence.Collateral(set), Policy.Default, Evidence.Time("2026-11-22T00:00:00Z")).Verdict.IsAccepted.ShouldBeFalse();
        }
    }

    [Fact]
    public void Quotes_of_a_platform_whose_TCB_info_is_missing_are_refused_beside_those_that_are_accepted()
    {
        var expected = Vectors.Json($"{Chutes}/expected.json");
        var (attestation, collateral) = (Vectors.Json($"{Chutes}/attestation.json"), Evidence.Collateral(Chutes));
        var at = Evidence.Time(expected.String("verification_time"));
        var accepted = new List<bool>();
        foreach (var item in expected.GetProperty("tdx_quotes").EnumerateArray())
        {
            var quote = Decode(At(attestation, item.String("path")).GetString()!);
            Convert.ToHexStringLower(SHA256.HashData(quote)).ShouldBe(item.String("sha256"));
            TdxVerifier.ReadFmspc(quote).ShouldBe(item.String("fmspc"));
            var isRecorded = item.String("fmspc") == "90c06f000000";
            var verdict = TdxVerifier.Verify(quote, isRecorded ? collateral : collateral with { TcbInfo = null }, Policy.Default, at).Verdict;
            accepted.Add(verdict.IsAccepted);
            if (isRecorded)
            {
                verdict.Refusals().ShouldBeEmpty(verdict.ToText());
                verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus).Found.ShouldStartWith(item.String("tcb_status"));
                continue;
            }

            item.String("tcb_status").ShouldStartWith("undeterminable");
            verdict.CodeOf(TdxFactors.TcbInfo).ShouldBe(RejectionCode.Missing, verdict.ToText());
            // Another platform's TCB info does not stand in for it.
            TdxVerifier.Verify(quote, collateral, Policy.Default, at).Verdict.IsAccepted.ShouldBeFalse();
        }

        accepted.ShouldBe([true, false, false, true]);
    }

    [Fact]
    public void A_providers_report_of_SEV_SNP_is_accepted_and_binds_its_keys_and_the_challenge()
    {
        var (expected, attestation) = (Vectors.Json($"{TinfoilCloud}/expected.json"), Vectors.Json($"{TinfoilCloud}/attestation.json"));
        var report = Convert.FromBase64String(attestation.GetProperty("cpu").String("report"));
        var named = attestation.GetProperty("report_data");
        named.String("nonce").ShouldBe(expected.String("client_nonce"));
        byte[] bound = [.. SHA256.HashData([.. named.Hex("tls_key_fp"), .. named.Hex("hpke_key"), .. named.Hex("nonce")]), .. new byte[32]];
        var verification = Verify(bound);
        verification.Verdict.Refusals().ShouldBeEmpty(verification.Verdict.ToText());
        verification.Verdict.Factors.Single(factor => factor.Name == SevSnpFactors.ReportData).Outcome.ShouldBe(Outcome.Pass);
        Shown.Hex(verification.Report!.Measurement.Span).ShouldBe(expected.GetProperty("report").String("measurement"));
        bound[0] ^= 1;
        Verify(bound).Verdict.Refusals().ShouldBe(["snp.report_data"]);

        SevSnpVerification Verify(byte[] reportData) => SevSnpVerifier.Verify(
            report, new SevSnpCollateral { Vek = Evidence.Bytes($"{TinfoilCloud}/vcek.der") }, Policy.Default,
            Evidence.Time(expected.String("verification_time")), reportData);
    }

    [Theory]
    [MemberData(nameof(Reported))]
    public void Another_verifiers_report_on_the_same_bundle_has_the_same_registers_and_status(string set)
    {
        var report = Vectors.Text($"{set}/source-tool-report.txt");
        var verification = FirstOf(set);
        report.ShouldContain($"MRTD: {Shown.Hex(verification.Quote!.Report.MrTd.Span)[..16]}...");
        report.ShouldContain("TCB is UpToDate");
        verification.Verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus).Found.ShouldStartWith("UpToDate ");
    }

    [Fact]
    public void Measurements_that_a_provider_published_with_its_build_are_those_that_are_parsed()
    {
        // Computed by the provider's build from image and firmware, signed through Sigstore; not taken from any quote.
        var report = FirstOf("bundles/01-tinfoil-direct-tdx-1gpu").Quote!.Report;
        var image = Published("sigstore/gemma4-31b.attestations.json");
        image.ShouldContain(Shown.Hex(report.Rtmr(1).Span));
        image.ShouldContain(Shown.Hex(report.Rtmr(2).Span));
        var hardware = Published("sigstore/hardware-measurements.attestations.json");
        hardware.ShouldContain(Shown.Hex(report.MrTd.Span));
        hardware.ShouldContain(Shown.Hex(report.Rtmr(0).Span));
    }

    [Theory]
    [InlineData("bundles/02-nearai-direct-tdx-8gpu")]
    [InlineData("bundles/04-venice-tdx-8gpu")]
    public void A_providers_event_log_gives_all_four_registers_and_names_its_runtime_events(string set)
    {
        var (expected, attestation) = (Vectors.Json($"{set}/expected.json"), Vectors.Json($"{set}/attestation.json"));
        var verification = Verify(set, 0, Encoding.UTF8.GetBytes(attestation.GetProperty("event_log").GetRawText()));
        verification.Verdict.Refusals().ShouldBeEmpty(verification.Verdict.ToText());
        verification.Verdict.Factors.Single(factor => factor.Name == TdxFactors.EventLog).Outcome.ShouldBe(Outcome.Pass);
        var replayed = expected.GetProperty("binding").GetProperty("event_log_replay");
        replayed.GetProperty("matches").GetArrayLength().ShouldBe(4);
        var runtime = verification.EventLog!.Events.Where(measured => measured.Register == 3).Select(measured => measured.Name).ToList();
        if (replayed.TryGetProperty("imr3_events", out var names))
            runtime.ShouldBe(names.EnumerateArray().Select(name => name.GetString()));
        else
            runtime.ShouldContain("compose-hash");
        for (var i = 0; i < 4; i++)
            Shown.Hex(verification.EventLog.Replay(i)).ShouldBe(expected.GetProperty("tdx_quotes")[0].GetProperty("rtmr")[i].GetString());
        // The second quote of the bundle is of the same machine, and its log stands in a text of its own.
        var second = attestation.GetProperty("compose_manager_attestation").String("event_log");
        Verify(set, 1, Encoding.UTF8.GetBytes(second)).Verdict.Refusals().ShouldBeEmpty();
    }

    [Fact]
    public void What_tinfoils_quote_binds_is_its_keys_the_challenge_and_the_evidence_of_its_GPU()
    {
        const string set = "bundles/01-tinfoil-direct-tdx-1gpu";
        var (expected, attestation) = (Vectors.Json($"{set}/expected.json"), Vectors.Json($"{set}/attestation.json"));
        var named = attestation.GetProperty("report_data");
        var gpu = SHA256.HashData(Encoding.UTF8.GetBytes(attestation.GetProperty("gpu").GetRawText()));
        gpu.ShouldBe(named.Hex("gpu_evidence_hash"));
        named.String("nonce").ShouldBe(expected.String("client_nonce"));
        named.String("hpke_key").ShouldBe(expected.GetProperty("binding").String("hpke_key"));
        Accepts(set, 0, [.. SHA256.HashData([.. named.Hex("tls_key_fp"), .. named.Hex("hpke_key"), .. named.Hex("nonce"), .. gpu]), .. new byte[32]]);
    }

    [Fact]
    public void What_nearais_quotes_bind_is_its_keys_or_actions_and_the_challenge()
    {
        const string set = "bundles/02-nearai-direct-tdx-8gpu";
        var attestation = Vectors.Json($"{set}/attestation.json");
        var nonce = Vectors.Json($"{set}/expected.json").Hex("client_nonce");
        attestation.Hex("request_nonce").ShouldBe(nonce);
        Accepts(set, 0, [.. SHA256.HashData([.. attestation.Hex("signing_public_key"), .. attestation.Hex("tls_cert_fingerprint")]), .. nonce]);
        Accepts(set, 1, [.. attestation.GetProperty("compose_manager_attestation").Hex("actions_hash"), .. nonce]);
    }

    [Fact]
    public void What_each_of_phalas_quotes_binds_is_its_challenge_and_its_key()
    {
        const string set = "bundles/03-phala-chutes-5x-tdx-8gpu";
        var (expected, attestation) = (Vectors.Json($"{set}/expected.json"), Vectors.Json($"{set}/attestation.json"));
        var instances = attestation.GetProperty("all_attestations").EnumerateArray().ToList();
        instances.Count.ShouldBe(expected.GetProperty("tdx_quotes").GetArrayLength());
        for (var i = 0; i < instances.Count; i++)
        {
            var bound = SHA256.HashData(Encoding.ASCII.GetBytes(instances[i].String("nonce") + instances[i].String("e2e_pubkey")));
            Verify(set, i).Quote!.Report.ReportData[..32].ToArray().ShouldBe(bound, $"instance {i}");
            // The client's own challenge is not in it: only the provider's word leads from one to the other.
            Shown.Hex(Verify(set, i).Quote!.Report.ReportData.Span).ShouldNotContain(expected.String("client_nonce"));
        }
    }

    [Fact]
    public void What_venices_quotes_bind_is_its_address_or_actions_and_the_challenge()
    {
        const string set = "bundles/04-venice-tdx-8gpu";
        var attestation = Vectors.Json($"{set}/attestation.json");
        var nonce = Vectors.Json($"{set}/expected.json").Hex("client_nonce");
        Accepts(set, 0, [.. Convert.FromHexString(attestation.String("signing_address")[2..]), .. new byte[12], .. nonce]);
        Accepts(set, 1, [.. attestation.GetProperty("compose_manager_attestation").Hex("actions_hash"), .. nonce]);
    }

    [Fact]
    public void What_each_of_chutes_quotes_binds_is_the_challenge_and_the_key_of_its_instance()
    {
        var (expected, attestation) = (Vectors.Json($"{Chutes}/expected.json"), Vectors.Json($"{Chutes}/attestation.json"));
        var keys = Vectors.Json($"{Chutes}/instances.json")
            .GetProperty("instances").EnumerateArray().ToDictionary(item => item.String("instance_id"), item => item.String("e2e_pubkey"));
        var instances = attestation.GetProperty("evidence").EnumerateArray().ToList();
        instances.Count.ShouldBe(4);
        foreach (var instance in instances)
        {
            TdxQuote.TryParse(Decode(instance.String("quote")), out var quote).ShouldBeNull();
            var bound = SHA256.HashData(Encoding.ASCII.GetBytes(expected.String("client_nonce") + keys[instance.String("instance_id")]));
            quote!.Report.ReportData[..32].ToArray().ShouldBe(bound);
        }
    }

    [Fact]
    public void What_the_recorded_gateways_quote_binds_is_its_key_its_certificate_and_the_challenge()
    {
        const string set = "tdx/08-v4-outofdate-nearai-gateway-b0c06f";
        var bound = Vectors.Json($"{set}/expected.json").GetProperty("report_data_binding");
        byte[] expected = [.. SHA256.HashData([.. bound.Hex("signing_address"), .. bound.Hex("tls_cert_fingerprint")]), .. bound.Hex("request_nonce")];
        var (collateral, at) = Evidence.First(set);
        var verdict = TdxVerifier.Verify(Evidence.Bytes($"{set}/quote.bin"), collateral, Policy.Default, at, expected).Verdict;
        verdict.Factors.Single(factor => factor.Name == TdxFactors.ReportData).Outcome.ShouldBe(Outcome.Pass);
    }

    [Theory]
    [InlineData("tdx/10-v4-outofdate-azure-00806f")]
    [InlineData("tdx/13-v4-uptodate-azure-dcesv6-90c06f")]
    public void What_an_Azure_quote_binds_is_its_runtime_data(string set)
    {
        var record = Evidence.Bytes($"{set}/hcl-report.bin");
        var json = record.AsSpan(record.AsSpan().IndexOf("{\""u8));
        byte[] expected = [.. SHA256.HashData(json[..(json.LastIndexOf((byte)'}') + 1)]), .. new byte[32]];
        var (collateral, at) = Evidence.First(set);
        var verification = TdxVerifier.Verify(Evidence.Bytes($"{set}/quote.bin"), collateral, Policy.Default, at, expected);
        verification.Verdict.Factors.Single(factor => factor.Name == TdxFactors.ReportData).Outcome.ShouldBe(Outcome.Pass);
        record.AsSpan().IndexOf(verification.Quote!.Report.ReportData.Span).ShouldBePositive("the TD report within the record has the same");
    }

    private static void Accepts(string set, int index, byte[] reportData)
    {
        var verdict = Verify(set, index, reportData: reportData).Verdict;
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        verdict.Factors.Single(factor => factor.Name == TdxFactors.ReportData).Outcome.ShouldBe(Outcome.Pass);
        reportData[0] ^= 1;
        Verify(set, index, reportData: reportData).Verdict.Refusals().ShouldBe(["tdx.report_data"]);
    }

    private static string Published(string file)
    {
        var payload = Vectors.Json(file).GetProperty("attestations")[0].GetProperty("bundle").GetProperty("dsseEnvelope").String("payload");
        return Encoding.UTF8.GetString(Convert.FromBase64String(payload));
    }

    private static TdxVerification FirstOf(string set) => Verify(set, 0);

    private static TdxVerification Verify(string set, int index, byte[]? eventLog = null, byte[]? reportData = null)
    {
        var expected = Vectors.Json($"{set}/expected.json");
        var quote = Decode(At(Vectors.Json($"{set}/attestation.json"), expected.GetProperty("tdx_quotes")[index].String("path")).GetString()!);
        return TdxVerifier.Verify(
            quote, Evidence.Collateral(set), Policy.Default, Evidence.Time(expected.String("verification_time")),
            reportData is null ? null : (ReadOnlyMemory<byte>?)reportData, eventLog is null ? null : (ReadOnlyMemory<byte>?)eventLog);
    }

    private static JsonElement At(JsonElement element, string pointer)
    {
        foreach (var step in pointer.Split('/').Skip(1))
        {
            if (element.ValueKind == JsonValueKind.String)
                element = JsonElement.Parse(element.GetString()!);
            element = element.ValueKind == JsonValueKind.Array ? element[int.Parse(step)] : element.GetProperty(step);
        }

        return element;
    }

    // Providers write hexadecimal, base64, or base64 of a compressed quote.
    private static byte[] Decode(string text)
    {
        var bytes = text.All(char.IsAsciiHexDigit) ? Convert.FromHexString(text) : Convert.FromBase64String(text);
        if (bytes is not [0x1F, 0x8B, ..])
            return bytes;
        using var unpacked = new MemoryStream();
        using (var gzip = new System.IO.Compression.GZipStream(new MemoryStream(bytes), System.IO.Compression.CompressionMode.Decompress))
            gzip.CopyTo(unpacked);
        return unpacked.ToArray();
    }
}
