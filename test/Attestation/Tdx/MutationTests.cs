using System.Text;
using System.Text.Json;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>The altered quotes and collateral of the shared vectors: all refused, each by a factor, but for padding.</summary>
public sealed class MutationTests
{
    private const string Base = "tdx/01-v4-uptodate-b0c06f";

    private static readonly Dictionary<string, string> FactorOf = new()
    {
        // What the independent checker found failing, in the words of this project.
        ["parse-error"] = "tdx.quote",
        ["truncated"] = "tdx.quote",
        ["unsupported-attestation-key-type"] = "tdx.quote",
        ["unsupported-certification-data"] = "tdx.quote",
        ["wrong-tee-type"] = "tdx.quote",
        ["quote-signature"] = "tdx.quote_signature",
        ["qe-report-signature"] = "tdx.qe_report_signature",
        ["attestation-key-binding"] = "tdx.attestation_key",
    };

    public static TheoryData<string> QuoteCases => [.. Cases("tdx/mutations.json").Select(item => item.String("id"))];

    public static TheoryData<string> CollateralCases => [.. Cases("tdx/collateral-mutations.json").Select(item => item.String("id"))];

    [Theory]
    [MemberData(nameof(QuoteCases))]
    public void An_altered_quote_is_refused_by_a_factor(string id)
    {
        var item = Cases("tdx/mutations.json").Single(item => item.String("id") == id);
        var path = item.String("base");
        var (collateral, at) = Evidence.First(Path.GetDirectoryName(path)!);
        var verdict = TdxVerifier.Verify(Evidence.Mutate(Evidence.Bytes(path), item.GetProperty("operations")), collateral, Policy.Default, at).Verdict;
        verdict.IsAccepted.ShouldBe(item.String("expected") == "accept", verdict.ToText());
        if (verdict.IsAccepted)
            return;
        string[] expected = [.. item.String("first_failing_checks").Split('+').Select(check => FactorOf[check])];
        // A key off its curve, a certificate that is no base64 and a body of another type are found by other checks here.
        string[] elsewhere = id switch
        {
            _ when id.EndsWith("-ak", StringComparison.Ordinal) => ["tdx.quote_signature", "tdx.attestation_key"],
            _ when id.Contains("-pem-", StringComparison.Ordinal) => ["tdx.pck_path"],
            "v5-body-type-2" => ["tdx.quote"],
            _ => [],
        };
        verdict.Refusals().Intersect([.. expected, .. elsewhere]).ShouldNotBeEmpty(verdict.ToText());
    }

    [Theory]
    [InlineData("qe-sig", "tdx.qe_report_signature")]
    [InlineData("qe-report", "tdx.qe_report_signature")]
    [InlineData("qe-auth-data", "tdx.attestation_key")]
    [InlineData("sig-r", "tdx.quote_signature")]
    [InlineData("sig-s", "tdx.quote_signature")]
    [InlineData("sig-zero", "tdx.quote_signature")]
    [InlineData("user-data", "tdx.quote_signature")]
    [InlineData("mrtd", "tdx.quote_signature")]
    [InlineData("report-data", "tdx.quote_signature")]
    public void An_altered_signature_is_refused_by_its_factor_alone(string id, string refusal)
    {
        foreach (var version in new[] { "v4", "v5" })
        {
            var item = Cases("tdx/mutations.json").Single(item => item.String("id") == $"{version}-{id}");
            var (collateral, at) = Evidence.First(Path.GetDirectoryName(item.String("base"))!);
            var verdict = TdxVerifier.Verify(
                Evidence.Mutate(Evidence.Bytes(item.String("base")), item.GetProperty("operations")), collateral, Policy.Default, at).Verdict;
            verdict.Refusals().ShouldBe([refusal], verdict.ToText());
        }
    }

    [Fact]
    public void An_altered_date_of_the_QE_identity_is_refused_by_its_signature_alone()
    {
        var (collateral, at) = Evidence.First(Base);
        var altered = collateral with { QeIdentity = Replace(collateral.QeIdentity, "\"nextUpdate\":\"20", "\"nextUpdate\":\"21") };
        TdxVerifier.Verify(Evidence.Bytes($"{Base}/quote.bin"), altered, Policy.Default, at).Verdict.Refusals().ShouldBe(["tdx.qe_identity"]);
    }

    [Theory]
    [MemberData(nameof(CollateralCases))]
    public void Altered_collateral_is_refused_by_its_factor(string id)
    {
        var (collateral, at) = Evidence.First(Base);
        string refusal;
        (collateral, at, refusal) = id switch
        {
            "tcbinfo-status-flip" =>
                (collateral with { TcbInfo = Replace(collateral.TcbInfo, "\"tcbStatus\":\"OutOfDate\"", "\"tcbStatus\":\"UpToDate\"") }, at, "tdx.tcb_info"),
            "tcbinfo-fmspc" =>
                (collateral with { TcbInfo = Replace(collateral.TcbInfo, "\"fmspc\":\"B0", "\"fmspc\":\"FF") }, at, "tdx.tcb_info tdx.tcb_info_platform"),
            "tcbinfo-nextupdate" =>
                (collateral with { TcbInfo = Replace(collateral.TcbInfo, "\"nextUpdate\":\"20", "\"nextUpdate\":\"21") }, at, "tdx.tcb_info"),
            "qeidentity-isvsvn" => (
                collateral with { QeIdentity = Replace(collateral.QeIdentity, "\"isvsvn\":4", "\"isvsvn\":9") }, at,
                "tdx.qe_identity tdx.tcb_supported tdx.tcb_status"),
            "qeidentity-swapped-chain" =>
                (collateral with { TcbSigningChain = SwappedChain(collateral) }, at, "tdx.tcb_signing_path tdx.tcb_info tdx.qe_identity"),
            "pck-crl-other-issuer" => (collateral with { PckCrl = Evidence.Bytes("tdx/07-v3-sgx-not-tdx-00a067/pck_crl.der") }, at, "tdx.pck_crl"),
            "pck-crl-flip" => (collateral with { PckCrl = Flip(collateral.PckCrl, 400) }, at, "tdx.pck_crl"),
            "crl-missing" => (collateral with { PckCrl = null }, at, "tdx.pck_crl"),
            // That set's platform is another, and its time too: its TCB info is not yet issued here.
            "tcbinfo-of-other-fmspc" => (
                collateral with { TcbInfo = Evidence.Bytes("tdx/05-v4-gcp-ccel-00806f/tcb_info.json") }, at,
                "tdx.tcb_info_date tdx.tcb_info_platform tdx.tcb_supported tdx.tcb_status"),
            "tcbinfo-sgx-instead-of-tdx" => (
                collateral with { TcbInfo = Evidence.Bytes("tdx/07-v3-sgx-not-tdx-00a067/tcb_info.json") }, at,
                "tdx.tcb_info tdx.tcb_info_date tdx.tcb_info_platform tdx.tdx_module tdx.tcb_supported tdx.tcb_status tdx.advisories tdx.tcb_evaluation"),
            "time-before-issue" => (collateral, Evidence.Time("2025-06-18T10:16:03Z"), "tdx.pck_crl tdx.tcb_info_date tdx.qe_identity_date"),
            "time-after-next-update" => (collateral, Evidence.Time("2025-07-20T10:16:03Z"), "tdx.pck_crl tdx.tcb_info_date tdx.qe_identity_date"),
            _ => throw new InvalidOperationException($"a case that this test does not know: {id}"),
        };
        var verdict = TdxVerifier.Verify(Evidence.Bytes($"{Base}/quote.bin"), collateral, Policy.Default, at).Verdict;
        verdict.Refusals().ShouldBe(refusal.Split(' '), verdict.ToText());
    }

    [Fact]
    public void Intels_own_sample_is_refused_for_its_root_and_accepted_under_it()
    {
        const string set = "tdx/12-v4-wrong-root-intel-sample";
        var collateral = new TdxCollateral
        {
            TcbInfo = Evidence.Bytes($"{set}/tcbInfo.json"),
            QeIdentity = Evidence.Bytes($"{set}/qeIdentity.json"),
            TcbSigningChain = Evidence.Bytes($"{set}/tcbSignChain.pem"),
            PckCrl = Evidence.Bytes($"{set}/intermediateCaCrl.der"),
            RootCaCrl = Evidence.Bytes($"{set}/rootCaCrl.der"),
        };
        var quote = Evidence.Bytes($"{set}/quote.dat");
        var at = Evidence.Time("2024-01-01T00:00:00Z");
        var refused = TdxVerifier.Verify(quote, collateral, Policy.Default, at).Verdict;
        refused.Refusals().ShouldContain("tdx.pck_path");
        refused.CodeOf(TdxFactors.PckPath).ShouldBe(RejectionCode.Untrusted);
        var policy = Policy.Parse($"version = 1\n[dangerous_test_roots]\nintel = '''\n{Vectors.Text($"{set}/trustedRootCaCert.pem")}'''");
        var underIt = TdxVerifier.Verify(quote, collateral, policy, at).Verdict;
        // The sample's own dates and levels are whatever they are; its signatures and paths stand.
        foreach (var name in (FactorName[])
        [
            TdxFactors.PckPath, TdxFactors.PckExtension, TdxFactors.QeReportSignature, TdxFactors.AttestationKey, TdxFactors.QuoteSignature,
            TdxFactors.TcbSigningPath, TdxFactors.TcbInfo,
        ])
            underIt.Factors.Single(factor => factor.Name == name).Outcome.ShouldBe(Outcome.Pass, underIt.ToText());
    }

    private static JsonElement.ArrayEnumerator Cases(string file) => Vectors.Json(file).GetProperty("cases").EnumerateArray();

    private static byte[] Replace(ReadOnlyMemory<byte>? json, string from, string to)
    {
        var text = Encoding.UTF8.GetString(json!.Value.Span);
        text.ShouldContain(from);
        return Encoding.UTF8.GetBytes(text.Replace(from, to, StringComparison.Ordinal));
    }

    private static byte[] Flip(ReadOnlyMemory<byte>? bytes, int at)
    {
        var flipped = bytes!.Value.ToArray();
        flipped[at] ^= 1;
        return flipped;
    }

    private static byte[] SwappedChain(TdxCollateral collateral)
    {
        const string end = "-----END CERTIFICATE-----";
        var foreign = Vectors.Text("tdx/12-v4-wrong-root-intel-sample/tcbSignChain.pem");
        var leaf = foreign[..(foreign.IndexOf(end, StringComparison.Ordinal) + end.Length)];
        var chain = Encoding.ASCII.GetString(collateral.TcbSigningChain!.Value.Span);
        return Encoding.ASCII.GetBytes(leaf + chain[(chain.IndexOf(end, StringComparison.Ordinal) + end.Length)..]);
    }
}
