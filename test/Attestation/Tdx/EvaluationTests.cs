using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>Intel signs several evaluations of a platform at once, and a node brings one of them: which are still good enough.</summary>
public sealed class EvaluationTests
{
    private static readonly DateTimeOffset Faults = Evidence.Time("2026-06-01T18:00:00Z");

    [Fact]
    public void An_out_of_date_platform_does_not_pass_by_the_kinder_evaluation_that_it_brings()
    {
        // One platform, judged twice on the same day.
        Verify("evaluation-20").Refusals().ShouldBe(["tdx.tcb_status", "tdx.advisories"]);
        var kinder = Verify("evaluation-17");
        Evidence.Only(kinder, TdxFactors.TcbEvaluation, RejectionCode.OutOfDate);
        kinder.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus).Found.ShouldStartWith("UpToDate");

        static Verdict Verify(string set) => TdxVerifier.Verify(
            Evidence.Bytes($"../faults/tdx/{set}/quote.bin"), Evidence.Collateral($"../faults/tdx/{set}"),
            Policy.Parse(Vectors.Text($"../faults/tdx/{set}/policy.toml")), Faults).Verdict;
    }

    [Theory]
    [InlineData("2025-04-10T23:59:59Z", 0)]
    [InlineData("2025-04-11T00:00:00Z", 17)]
    [InlineData("2025-12-12T00:00:00Z", 18)]
    [InlineData("2026-06-11T23:59:59Z", 18)]
    [InlineData("2026-06-12T00:00:00Z", 19)]
    [InlineData("2026-09-11T00:00:00Z", 20)]
    [InlineData("2100-01-01T00:00:00Z", 20)]
    public void The_table_that_ships_is_looked_up_at_the_time_of_verification(string time, int least)
    {
        var findings = new Findings(Evidence.Time(time), new HashSet<string>());
        TcbEvaluations.Shipped(findings).ShouldBe(least);
        // A verdict that was kept does not outlive its line.
        var verdict = findings.ToVerdict();
        TcbEvaluations.Shipped(new Findings(verdict.ValidFrom > DateTimeOffset.MinValue ? verdict.ValidFrom : verdict.At, new HashSet<string>()))
            .ShouldBe(least);
        if (verdict.ValidBefore < DateTimeOffset.MaxValue)
            TcbEvaluations.Shipped(new Findings(verdict.ValidBefore, new HashSet<string>())).ShouldBeGreaterThan(least);
    }

    [Fact]
    public void The_older_of_the_two_documents_counts()
    {
        var platform = new IntelPlatform();
        platform.QeIdentity["tcbEvaluationDataNumber"] = 17;
        var verdict = platform.Verify().Verdict;
        Evidence.Only(verdict, TdxFactors.TcbEvaluation, RejectionCode.OutOfDate);
        verdict.Failures.Single().Found.ShouldBe("20 of TCB info, 17 of QE identity");
    }

    [Fact]
    public void A_number_in_the_policy_stands_in_the_place_of_the_table()
    {
        var platform = new IntelPlatform { Policy = Policy.Parse("version = 1\n[tdx]\nmin_tcb_evaluation_data_number = 17") };
        platform.TcbInfo["tcbEvaluationDataNumber"] = 17;
        platform.Verify().Verdict.Refusals().ShouldBeEmpty();
        platform.Policy = Policy.Parse("version = 1\n[tdx]\nmin_tcb_evaluation_data_number = \"dated\"");
        platform.Verify().Verdict.Refusals().ShouldBe(["tdx.tcb_evaluation"]);
        platform.Policy = Policy.Parse(Policy.Default.ToToml());
        platform.Policy.Tdx.MinTcbEvaluationDataNumber.ShouldBeNull();
        Should.Throw<PolicyException>(() => Policy.Parse("version = 1\n[tdx]\nmin_tcb_evaluation_data_number = \"newest\""));
    }

    [Fact]
    public void A_table_that_is_older_than_a_year_warns_and_a_policys_own_number_does_not()
    {
        foreach (var (time, isOld) in new[] { ("2027-09-10T23:59:59Z", false), ("2027-09-11T00:00:00Z", true) })
        {
            var platform = new IntelPlatform();
            foreach (var document in (JsonObject[])[platform.TcbInfo, platform.QeIdentity])
                (document["issueDate"], document["nextUpdate"]) = ("2027-09-01T00:00:00Z", "2027-10-01T00:00:00Z");
            (platform.ChangeRootList, platform.ChangePckList) = (Renew, Renew);
            platform.Verify(Evidence.Time(time)).Verdict.Warnings.Select(factor => factor.Name.Value)
                .ShouldBe(isOld ? ["tdx.tcb_evaluation_table", "policy.test_roots"] : ["policy.test_roots"], time);
            platform.Policy = Policy.Default with { Tdx = new TdxPolicy { MinTcbEvaluationDataNumber = 20 } };
            platform.Verify(Evidence.Time(time)).Verdict.Warnings.Select(factor => factor.Name.Value).ShouldBe(["policy.test_roots"]);
        }

        static void Renew(RevocationListWriter list) => list.NextUpdate = Evidence.Time("2028-01-01T00:00:00Z");
    }

    [Fact]
    public void Intels_recorded_list_of_evaluations_is_believed_within_its_dates()
    {
        const string set = "tdx/01-v4-uptodate-b0c06f";
        var (collateral, at) = Evidence.First(set);
        collateral = collateral with { TcbEvaluationNumbers = Evidence.Bytes("tcb-evaluation-numbers/tdx-2025-06.json") };
        var verdict = Verify(collateral, at);
        verdict.Refusals().ShouldBeEmpty(verdict.ToText());
        verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbEvaluationNumbers).Found.ShouldBe("17, 18, 19");
        verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbEvaluation).Expected.ShouldBe("tcbEvaluationDataNumber at least 17");
        Evidence.Only(Verify(collateral, Evidence.Time("2025-07-05T01:31:33Z")), TdxFactors.TcbEvaluationNumbers, RejectionCode.Expired);
        // SGX's list, and one in which a number was changed.
        Evidence.Only(
            Verify(collateral with { TcbEvaluationNumbers = Evidence.Bytes("tcb-evaluation-numbers/sgx-2025-08.json") }, at),
            TdxFactors.TcbEvaluationNumbers, RejectionCode.Mismatch);
        var changed = Vectors.Text("tcb-evaluation-numbers/tdx-2025-06.json").Replace("Number\":18", "Number\":17", StringComparison.Ordinal);
        Evidence.Only(
            Verify(collateral with { TcbEvaluationNumbers = System.Text.Encoding.UTF8.GetBytes(changed) }, at),
            TdxFactors.TcbEvaluationNumbers, RejectionCode.BadSignature);

        static Verdict Verify(TdxCollateral collateral, DateTimeOffset at) =>
            TdxVerifier.Verify(Evidence.Bytes($"{set}/quote.bin"), collateral, Policy.Default, at).Verdict;
    }

    [Theory]
    [InlineData("22@2026-01-01 20@2025-08-12", "")] // not a year old: what was before it is still good
    [InlineData("21@2025-05-01 20@2024-01-01", "tdx.tcb_evaluation")]
    [InlineData("21@2026-05-01 20@2024-01-01", "")]
    [InlineData("19@2020-01-01 18@2019-01-01", "")] // a list never lowers what the policy or the table has
    [InlineData("21@2026-05-01", "tdx.tcb_evaluation")] // not listed any more
    [InlineData("", "tdx.tcb_evaluation_numbers")]
    public void A_list_of_evaluations_raises_what_is_demanded_and_never_lowers_it(string evaluations, string refusals)
    {
        var platform = new IntelPlatform();
        var list = new JsonObject
        {
            ["id"] = "TDX",
            ["version"] = 1,
            ["issueDate"] = "2026-05-20T00:00:00Z",
            ["nextUpdate"] = "2026-06-20T00:00:00Z",
            ["tcbEvalNumbers"] = new JsonArray(
            [
                .. evaluations.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(text => text.Split('@')).Select(parts => new JsonObject
                {
                    ["tcbEvaluationDataNumber"] = int.Parse(parts[0], System.Globalization.CultureInfo.InvariantCulture),
                    ["tcbRecoveryEventDate"] = $"{parts[1]}T00:00:00Z",
                    ["tcbDate"] = $"{parts[1]}T00:00:00Z",
                }),
            ]),
        };
        var collateral = platform.Collateral() with { TcbEvaluationNumbers = IntelPlatform.Signed("tcbEvaluationDataNumbers", list) };
        var verdict = TdxVerifier.Verify(platform.Quote(), collateral, platform.TrustingPolicy(), IntelPlatform.Now).Verdict;
        verdict.Refusals().ShouldBe(refusals.Split(' ', StringSplitOptions.RemoveEmptyEntries), verdict.ToText());
        platform.TcbInfo["tcbEvaluationDataNumber"] = 17;
        TdxVerifier.Verify(platform.Quote(), collateral with { TcbInfo = platform.Collateral().TcbInfo }, platform.TrustingPolicy(), IntelPlatform.Now)
            .Verdict.Refusals().ShouldContain("tdx.tcb_evaluation");
    }
}
