using System.Text.Json.Nodes;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Tdx;

/// <summary>spec/attestation.md section 6, "TCB status": each security version counts, one by one.</summary>
public sealed class TcbLevelTests
{
    public static TheoryData<int> All => [.. Enumerable.Range(0, 16)];

    public static TheoryData<int> AfterTheModules => [.. Enumerable.Range(2, 14)];

    [Theory]
    [MemberData(nameof(All))]
    public void An_SGX_component_below_the_level_is_at_the_next_one(int index)
    {
        var platform = AtTheLevel();
        Status(platform).ShouldBe("UpToDate");
        platform.Components[index]--;
        Status(platform).ShouldBe("OutOfDate");
    }

    [Theory]
    [MemberData(nameof(AfterTheModules))]
    public void A_TDX_component_below_the_level_is_at_the_next_one(int index)
    {
        var platform = AtTheLevel();
        platform.Body[index]--;
        Status(platform).ShouldBe("OutOfDate");
    }

    [Fact]
    public void A_PCESVN_below_the_level_is_at_the_next_one()
    {
        var platform = AtTheLevel();
        platform.PceSvn--;
        Status(platform).ShouldBe("OutOfDate");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void The_modules_own_versions_count_for_a_module_of_version_0_only(int index)
    {
        // The level demands more than there is: a module that has an identity is judged by that.
        var platform = AtTheLevel();
        platform.TcbInfo["tcbLevels"]![0]!["tcb"]!["tdxtcbcomponents"]![index]!["svn"] = 200;
        Status(platform).ShouldBe("UpToDate");
        platform.Body[1] = 0;
        Status(platform).ShouldBe("OutOfDate");
        platform.TcbInfo["tcbLevels"]![0]!["tcb"]!["tdxtcbcomponents"]![index]!["svn"] = index == 0 ? 5 : 0;
        Status(platform).ShouldBe("UpToDate");
    }

    [Fact]
    public void What_a_module_of_version_0_is_below_is_said_by_the_platforms_level()
    {
        var platform = AtTheLevel();
        (platform.Body[0], platform.Body[1]) = (2, 0);
        platform.TcbInfo["tcbLevels"]![0]!["tcb"]!["tdxtcbcomponents"]![0]!["svn"] = 3;
        platform.Verify().Tcb!.TooLow.ShouldBe(["tee_tcb_svn[0] 2 of 3"]);
        platform.TcbInfo["tcbLevels"] = new JsonArray();
        var tcb = platform.Verify().Tcb.ShouldNotBeNull();
        tcb.TooLow.ShouldBeEmpty();
        (tcb.PlatformStatus, tcb.PlatformDate).ShouldBe((TcbStatus.NoMatchingTcbLevel, null));
    }

    [Fact]
    public void Advisories_are_those_of_every_level_that_is_not_up_to_date()
    {
        var platform = new IntelPlatform();
        platform.TcbInfo["tcbLevels"]![0]!["advisoryIDs"] = new JsonArray("INTEL-SA-00001");
        var (module, enclave) = (platform.TcbInfo["tdxModuleIdentities"]![0]!["tcbLevels"]![0]!, platform.QeIdentity["tcbLevels"]![0]!);
        module["advisoryIDs"] = new JsonArray("INTEL-SA-00002", "INTEL-SA-00003");
        enclave["advisoryIDs"] = new JsonArray("INTEL-SA-00003", "INTEL-SA-00004");
        platform.Verify().Tcb!.Advisories.ShouldBeEmpty();
        (module["tcbStatus"], enclave["tcbStatus"]) = ("OutOfDate", "OutOfDate");
        platform.Verify().Tcb!.Advisories.ShouldBe(["INTEL-SA-00002", "INTEL-SA-00003", "INTEL-SA-00004"]);
    }

    [Theory]
    [InlineData("\"INTEL-SA-00001\"", "INTEL-SA-00002")]
    [InlineData("\"INTEL-SA-00001\", \"INTEL-SA-00002\"", "INTEL-SA-00001, INTEL-SA-00002")]
    public void Of_the_advisories_those_are_shown_that_are_not_accepted_or_else_all(string accepted, string found)
    {
        var platform = new IntelPlatform
        {
            Policy = Policy.Parse($"version = 1\n[tdx]\ntcb_statuses = [\"SWHardeningNeeded\"]\nadvisories = [{accepted}]"),
        };
        platform.TcbInfo["tcbLevels"] = new JsonArray(IntelPlatform.Level(11, 3, "SWHardeningNeeded", "INTEL-SA-00001", "INTEL-SA-00002"));
        var factor = platform.Verify().Verdict.Factors.Single(factor => factor.Name == TdxFactors.Advisories);
        factor.Found.ShouldBe(found);
        factor.Outcome.ShouldBe(found == "INTEL-SA-00002" ? Outcome.Fail : Outcome.Pass);
    }

    [Theory]
    [InlineData("0F", "1F", "0F", true)] // beyond the mask
    [InlineData("0E", "0F", "0F", false)]
    [InlineData("0F00", "0F01", "0F00", true)]
    [InlineData("0F00", "0F01", "0FFF", false)]
    [InlineData("0F00", "0F", "0F", false)] // sizes are equal as well
    [InlineData("0F", "0F00", "0F", false)]
    public void Attributes_are_those_that_the_mask_names(string found, string expected, string mask, bool equal) =>
        Masked.Equal(Convert.FromHexString(found), Convert.FromHexString(expected), Convert.FromHexString(mask)).ShouldBe(equal);

    [Fact]
    public void What_stands_beside_a_document_of_Intels_and_its_signature_is_refused()
    {
        var platform = new IntelPlatform();
        var collateral = platform.Collateral();
        var more = System.Text.Encoding.UTF8.GetString(collateral.TcbInfo!.Value.Span)[..^1] + ",\"more\":1}";
        var verdict = TdxVerifier.Verify(
            platform.Quote(), collateral with { TcbInfo = System.Text.Encoding.UTF8.GetBytes(more) }, platform.TrustingPolicy(), IntelPlatform.Now).Verdict;
        verdict.CodeOf(TdxFactors.TcbInfo).ShouldBe(RejectionCode.Malformed);
    }

    [Fact]
    public void Of_Intels_statuses_all_but_Revoked_may_be_accepted() =>
        TcbStatusNames.Acceptable.ShouldBe(
        [
            "UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded",
        ]);

    // Exactly at the first level in every version, and above the second in every one.
    private static IntelPlatform AtTheLevel()
    {
        var platform = new IntelPlatform();
        platform.Components.AsSpan().Fill(9);
        platform.Body.AsSpan(2, 14).Fill(9);
        platform.TcbInfo["tcbLevels"] = new JsonArray(Level(9, platform.PceSvn, "UpToDate"), Level(0, 0, "OutOfDate"));
        return platform;
    }

    private static JsonObject Level(int svn, int pceSvn, string status) => new()
    {
        ["tcb"] = new JsonObject
        {
            ["sgxtcbcomponents"] = new JsonArray([.. Enumerable.Range(0, 16).Select(_ => new JsonObject { ["svn"] = svn })]),
            ["pcesvn"] = pceSvn,
            ["tdxtcbcomponents"] = new JsonArray([.. Enumerable.Range(0, 16).Select(index => new JsonObject { ["svn"] = index < 2 ? 0 : svn })]),
        },
        ["tcbDate"] = "2026-01-01T00:00:00Z",
        ["tcbStatus"] = status,
    };

    private static string Status(IntelPlatform platform) =>
        platform.Verify().Verdict.Factors.Single(factor => factor.Name == TdxFactors.TcbStatus).Found.Split("platform ")[1].Split(',')[0];
}
