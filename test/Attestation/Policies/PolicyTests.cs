using ConfidentialChat.Attestation.Bundles;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Policies;

/// <summary>spec/attestation.md section 10.</summary>
public sealed class PolicyTests
{
    private const string Register = "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7";

    [Fact]
    public void What_is_written_reads_back_as_the_same_policy()
    {
        var policy = Policy.Default with
        {
            MeasurementsAny = true,
            Advisory = new HashSet<string> { "tdx.perfmon" },
            MaxCrlAge = TimeSpan.FromDays(3),
            ClockSkew = TimeSpan.FromSeconds(61),
            Upstreams = ["http://127.0.0.1:8000/\"\\\n"],
            Tdx = new TdxPolicy
            {
                MrTd = ReferenceValues.OneOf(Convert.FromHexString(Register), new byte[48]),
                Rtmr3 = ReferenceValues.Any,
                TcbStatuses = [TcbStatus.OutOfDate],
            },
        };
        var read = Policy.Parse(policy.ToToml());
        read.ToToml().ShouldBe(policy.ToToml());
        read.Tdx.MrTd.Accepts(Convert.FromHexString(Register)).ShouldBeTrue();
        read.Tdx.MrTd.Accepts(new byte[47]).ShouldBeFalse();
        read.Upstreams.ShouldBe(policy.Upstreams);
        Policy.Parse("version = 1").ToToml().ShouldBe(Policy.Default.ToToml());
    }

    [Fact]
    public void Every_member_of_a_TDX_policy_is_written_and_reads_back()
    {
        var all = new TdxPolicy
        {
            TcbStatuses = [TcbStatus.SWHardeningNeeded, TcbStatus.OutOfDate],
            Advisories = ["INTEL-SA-00001"],
            MinTcbEvaluationDataNumber = 21,
            MinTeeTcbSvn = Enumerable.Range(1, 16).Select(i => (byte)i).ToArray(),
            OutOfDateGrace = TimeSpan.FromDays(3),
            Xfam = [2, 63],
            AllowPerfmon = true,
            AllowMigration = true,
            RequireSeptVeDisable = true,
            MrTd = One(1),
            Rtmr0 = One(2),
            Rtmr1 = One(3),
            Rtmr2 = One(4),
            Rtmr3 = One(5),
            MrConfigId = One(6),
            MrOwner = One(7),
            MrOwnerConfig = One(8),
            MrSeam = One(9),
            MrServiceTd = One(10),
        };
        var text = (Policy.Default with { Tdx = all }).ToToml();
        var read = Policy.Parse(text).Tdx;
        read.TcbStatuses.ShouldBe(all.TcbStatuses);
        read.Advisories.ShouldBe(all.Advisories);
        read.MinTcbEvaluationDataNumber.ShouldBe(21);
        read.MinTeeTcbSvn!.Value.ToArray().ShouldBe(all.MinTeeTcbSvn.Value.ToArray());
        read.OutOfDateGrace.ShouldBe(all.OutOfDateGrace);
        read.Xfam.ShouldBe(all.Xfam);
        (read.AllowPerfmon, read.AllowMigration, read.RequireSeptVeDisable).ShouldBe((true, true, true));
        var registers = new[]
        {
            read.MrTd, read.Rtmr0, read.Rtmr1, read.Rtmr2, read.Rtmr3, read.MrConfigId, read.MrOwner, read.MrOwnerConfig, read.MrSeam, read.MrServiceTd,
        };
        for (var i = 0; i < registers.Length; i++)
            registers[i].Accepts(Enumerable.Repeat((byte)(i + 1), 48).ToArray()).ShouldBeTrue($"register {i}");
        text.ShouldContain("\n[tdx]");
        text.ShouldContain("[tdx.reference.NAME] is a release");
        var none = Policy.Parse("version = 1").Tdx;
        none.TcbStatuses.ShouldBe([TcbStatus.UpToDate]);
        (none.AllowPerfmon, none.AllowMigration, none.RequireSeptVeDisable, none.MinTeeTcbSvn, none.MinTcbEvaluationDataNumber, none.OutOfDateGrace)
            .ShouldBe((false, false, false, null, null, TimeSpan.Zero));
        Should.Throw<PolicyException>(() => Policy.Parse("version = 1\n[tdx]\nout_of_date_grace = \"unlimited\""));
        Should.Throw<PolicyException>(() => Policy.Parse("version = 1\n[tdx]\nxfam = [64]"));

        static ReferenceValues One(byte value) => ReferenceValues.OneOf([.. Enumerable.Repeat(value, 48)]);
    }

    [Theory]
    [InlineData("")]
    [InlineData("version = 2")]
    [InlineData("version = \"1\"")]
    [InlineData("version = 1\nversion = 1")]
    [InlineData("version = 1\nalow_simulated = true")]
    [InlineData("version = 1\nallow_simulated = \"true\"")]
    [InlineData("version = 1\nmeasurements = \"all\"")]
    [InlineData("version = 1\ntees = [\"tdx\", \"sgx\"]")]
    [InlineData("version = 1\ntees = [\"simulated\"]")]
    [InlineData("version = 1\nadvisory = [\"tdx.quote_signature\"]")]
    [InlineData("version = 1\nadvisory = [\"tdx.debug\"]")]
    [InlineData("version = 1\nadvisory = [\"bundle.tee\"]")]
    [InlineData("version = 1\n[tdx]\nmrtd = []")]
    [InlineData("version = 1\n[tdx]\nmr_td = [\"00\"]")]
    [InlineData("version = 1\n[tdx]\nmr_td = [1]")]
    [InlineData("version = 1\n[tdx]\nmr_td = \"" + Register + "\"")]
    [InlineData("version = 1\n[tdx]\ntcb_statuses = [\"Revoked\"]")]
    [InlineData("version = 1\n[tdx]\ntcb_statuses = [\"NoMatchingTcbLevel\"]")]
    [InlineData("version = 1\n[tdx]\nmin_tcb_evaluation_data_number = -1")]
    [InlineData("version = 1\n[freshness]\nmax_lifetime = \"unlimited\"")]
    [InlineData("version = 1\n[freshness]\nclock_skew = 60")]
    [InlineData("version = 1\n[freshness]\nclock_skew = \"-1s\"")]
    [InlineData("version = 1\n[dangerous_test_roots]\nintel = \"no certificate\"")]
    [InlineData("version = 1\n[unknown]")]
    [InlineData("version = 1\n[tdx]\nallow_perfmon = false\nallow_perfmon = true")]
    [InlineData("version = 1\n[tdx]\n[tdx]\nallow_perfmon = true")]
    [InlineData("version = 1\ntdx = { allow_perfmon = false, allow_perfmon = true }")]
    [InlineData("version = 1\n[[tdx]]\nallow_perfmon = true")]
    [InlineData("version = 1\n[tdx")]
    public void A_policy_that_says_something_else_is_refused_with_a_hint(string text) =>
        Should.Throw<PolicyException>(() => Policy.Parse(text)).Hint.ShouldNotBeNullOrEmpty();

    [Fact]
    public void An_empty_list_names_no_value() => Policy.Parse("version = 1\n[tdx]\nmr_td = []").Tdx.MrTd.IsUnnamed.ShouldBeTrue();

    [Fact]
    public void Every_policy_factor_may_be_made_advisory_and_no_other()
    {
        foreach (var name in FactorNames.All)
        {
            var text = $"version = 1\nadvisory = [\"{name}\"]";
            if (name.Kind == FactorKind.Policy)
                Policy.Parse(text).Advisory.ShouldBe([name.Value]);
            else
                Should.Throw<PolicyException>(() => Policy.Parse(text));
        }
    }
}
