using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Tests.Attestation.Tdx;

/// <summary>The quotes within providers' own bundles, whose formats are read here and nowhere else.</summary>
public sealed class ProviderTests
{
    public static TheoryData<string> Sets => ["bundles/01-tinfoil-direct-tdx-1gpu", "bundles/02-nearai-direct-tdx-8gpu", "bundles/03-phala-chutes-5x-tdx-8gpu"];

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
            Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(quote)).ShouldBe(item.String("sha256"));
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

    [Theory]
    [MemberData(nameof(Sets))]
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

    private static string Published(string file)
    {
        var payload = Vectors.Json(file).GetProperty("attestations")[0].GetProperty("bundle").GetProperty("dsseEnvelope").String("payload");
        return Encoding.UTF8.GetString(Convert.FromBase64String(payload));
    }

    private static TdxVerification FirstOf(string set)
    {
        var expected = Vectors.Json($"{set}/expected.json");
        var path = expected.GetProperty("tdx_quotes")[0].String("path");
        return TdxVerifier.Verify(
            Decode(At(Vectors.Json($"{set}/attestation.json"), path).GetString()!), Evidence.Collateral(set), Policy.Default, Evidence.Time(expected.String("verification_time")));
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
