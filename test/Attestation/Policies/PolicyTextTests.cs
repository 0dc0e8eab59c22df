using ConfidentialChat.Attestation.Certificates;
using ConfidentialChat.Attestation.Nvidia;
using ConfidentialChat.Attestation.Policies;
using ConfidentialChat.Attestation.SevSnp;
using ConfidentialChat.Attestation.Tdx;

namespace ConfidentialChat.Attestation.Tests.Policies;

/// <summary>spec/attestation.md section 10: the text of a policy, from and to which people work.</summary>
public sealed class PolicyTextTests
{
    private const string Restrictive = """
        version = 1
        tees = ["tdx"]
        allow_simulated = true
        measurements = "any"
        dangerous_allow_debug = true
        advisory = ["bundle.time", "tdx.perfmon"]
        [freshness]
        max_lifetime = "90m"
        clock_skew = "61s"
        require_nonce = true
        [collateral]
        max_tcb_info_age = "7d"
        max_crl_age = "36h"
        max_root_crl_age = "9m"
        [node]
        dangerous_options = ["plain-http"]
        upstreams = ["http://127.0.0.1:8000"]
        platforms = ["00AB"]
        [devices]
        mode = "ignore"
        """;

    [Fact]
    public void Every_key_is_read_into_its_own_member()
    {
        var policy = Policy.Parse(Restrictive);
        policy.Tees.ShouldBe([CpuType.Tdx]);
        (policy.AllowSimulated, policy.MeasurementsAny, policy.DangerousAllowDebug, policy.RequireNonce, policy.IgnoreDevices)
            .ShouldBe((true, true, true, true, true));
        policy.Advisory.Order(StringComparer.Ordinal).ShouldBe(["bundle.time", "tdx.perfmon"]);
        (policy.MaxLifetime, policy.ClockSkew).ShouldBe((TimeSpan.FromMinutes(90), TimeSpan.FromSeconds(61)));
        (policy.MaxTcbInfoAge, policy.MaxCrlAge, policy.MaxRootCrlAge).ShouldBe((TimeSpan.FromDays(7), TimeSpan.FromHours(36), TimeSpan.FromMinutes(9)));
        policy.DangerousOptions.ShouldBe(["plain-http"]);
        policy.Upstreams.ShouldBe(["http://127.0.0.1:8000"]);
        policy.Platforms.ShouldBe(["00ab"]);
        Policy.Parse("version = 1\n[nvidia]\nmin_gpus = 2147483647").Nvidia.MinGpus.ShouldBe(int.MaxValue);
        Policy.Default.ToToml().ShouldContain("measurements = \"listed\"");
        Policy.Default.ToToml().ShouldContain("mode = \"verify\"");
        Policy.Default.ToToml().ShouldContain("mr_td = []");
        Policy.Default.ToToml().ShouldStartWith("# ");
        policy.DangerousTestRoots.ShouldBeNull();
        var written = policy.ToToml();
        foreach (var line in Restrictive.Split('\n').Where(line => !line.Contains("max_root_crl_age", StringComparison.Ordinal)))
            written.ShouldContain(line.Replace("00AB", "00ab", StringComparison.Ordinal).Trim());
        written.ShouldContain("max_root_crl_age = \"540s\"");
        Policy.Parse(written).ToToml().ShouldBe(written);
    }

    [Fact]
    public void The_default_is_the_safe_one()
    {
        var policy = Policy.Parse("version = 1");
        policy.Tees.ShouldBe([CpuType.Tdx, CpuType.SevSnp]);
        (policy.AllowSimulated, policy.MeasurementsAny, policy.DangerousAllowDebug, policy.RequireNonce, policy.IgnoreDevices)
            .ShouldBe((false, false, false, false, false));
        (policy.MaxLifetime, policy.ClockSkew).ShouldBe((TimeSpan.FromHours(2), TimeSpan.FromSeconds(60)));
        (policy.MaxTcbInfoAge, policy.MaxCrlAge, policy.MaxRootCrlAge).ShouldBe((null, null, null));
        (policy.Advisory.Count, policy.DangerousOptions.Count, policy.Upstreams.Count, policy.Platforms.Count).ShouldBe((0, 0, 0, 0));
        (policy.Nvidia.MinGpus, policy.Nvidia.RequireRims, policy.Nvidia.RequireOcsp, policy.Nvidia.AllowCertificateHold).ShouldBe((0, true, false, false));
        policy.Nvidia.Modes.ShouldBe([DeviceMode.Cc, DeviceMode.MultiGpu, DeviceMode.ProtectedPcie]);
        (policy.Nvidia.MinDriver, policy.Nvidia.MaxRimAge, policy.Nvidia.OcspGrace).ShouldBe((null, null, TimeSpan.Zero));
    }

    [Theory]
    [InlineData("1s", 1)]
    [InlineData("599s", 599)]
    [InlineData("10m", 600)]
    [InlineData("61m", 3_660)]
    [InlineData("1h", 3_600)]
    [InlineData("25h", 90_000)]
    [InlineData("1d", 86_400)]
    [InlineData("0s", 0)]
    public void A_duration_is_written_in_its_largest_unit(string text, int seconds)
    {
        PolicyText.Duration(TimeSpan.FromSeconds(seconds)).ShouldBe(text);
        Policy.Parse($"version = 1\n[collateral]\nmax_crl_age = \"{text}\"").MaxCrlAge.ShouldBe(TimeSpan.FromSeconds(seconds));
        PolicyText.Duration(null).ShouldBe("unlimited");
    }

    [Theory]
    [InlineData("max_crl_age = \"\"")]
    [InlineData("max_crl_age = \"d\"")]
    [InlineData("max_crl_age = \"7\"")]
    [InlineData("max_crl_age = \"7w\"")]
    [InlineData("max_crl_age = \"+7d\"")]
    [InlineData("max_crl_age = \"1000000d\"")]
    [InlineData("max_crl_age = \"Unlimited\"")]
    [InlineData("max_crl_age = 7")]
    public void A_duration_in_another_form_is_refused_with_one_that_is_right(string line) =>
        Should.Throw<PolicyException>(() => Policy.Parse("version = 1\n[collateral]\n" + line)).Message
            .ShouldStartWith("the policy's collateral.max_crl_age is wrong: expected ");

    [Fact]
    public void What_stands_in_quotes_is_read_as_it_was()
    {
        var texts = new[] { "\"", "\\", "\\u0041", "\n\t\u007f\u001f", " ~é漢" };
        Policy.Parse((Policy.Default with { Upstreams = texts }).ToToml()).Upstreams.ShouldBe(texts);
    }

    [Theory]
    [InlineData("allow_simulated = 1", "the policy's allow_simulated is wrong: expected true or false")]
    [InlineData("tees = \"tdx\"", "the policy's tees is wrong: expected a list of texts")]
    [InlineData("tees = [1]", "the policy's tees is wrong: expected a list of texts")]
    [InlineData("tees = [\"sgx\"]", "the policy's tees is wrong: expected a list of tdx, sev-snp")]
    [InlineData("measurements = \"all\"", "the policy's measurements is wrong: expected one of listed, any")]
    [InlineData("freshness = 1", "the policy's freshness is wrong: expected a table")]
    [InlineData("[freshness]\nmax_lifetime = \"unlimited\"", "the policy's freshness.max_lifetime is wrong: expected \"2h\" or \"60s\", for example")]
    [InlineData("[collateral]\nmax_crl_age = \"x\"", "the policy's collateral.max_crl_age is wrong: expected \"7d\", \"90m\" or \"unlimited\", for example")]
    [InlineData("[collateral]\nmax_crl_age = \"7w\"", "the policy's collateral.max_crl_age is wrong: expected a number and s, m, h or d")]
    [InlineData("[freshness]\nclock_skew = \"unlimited\"", "the policy's freshness.clock_skew is wrong: expected \"2h\" or \"60s\", for example")]
    [InlineData("[nvidia]\nmin_gpus = -1", "the policy's nvidia.min_gpus is wrong: expected a number that is not negative")]
    [InlineData("[nvidia]\nmin_gpus = 2147483648", "the policy's nvidia.min_gpus is wrong: expected a number that is not negative")]
    [InlineData("[nvidia]\nmin_driver = 570", "the policy's nvidia.min_driver is wrong: expected a text")]
    [InlineData("[tdx]\nmr_td = [\"0\"]", "the policy's tdx.mr_td is wrong: expected a list of values of 96 hexadecimal digits, or \"any\"")]
    [InlineData("[tdx]\nmr_td = 1", "the policy's tdx.mr_td is wrong: expected a list of values of 96 hexadecimal digits, or \"any\"")]
    [InlineData("[tdx]\nmr_tdd = []", "the policy has an unknown key: tdx.mr_tdd")]
    [InlineData("more = 1", "the policy has an unknown key: more")]
    [InlineData("[dangerous_test_roots]\namd = \"x\"", "the policy's dangerous_test_roots.amd is no certificate")]
    [InlineData("[tdx.reference.\"a b\"]\nmr_td = \"any\"", "the policy has a set of reference values of an odd name: a b")]
    [InlineData("[tdx.reference.one]\nmr_td = \"any\"", "the policy's set of reference values one has no rtmr0")]
    public void What_is_wrong_is_said_with_its_place(string line, string message) =>
        Should.Throw<PolicyException>(() => Policy.Parse("version = 1\n" + line)).Message.ShouldBe(message);

    [Fact]
    public void A_policy_of_another_version_or_beyond_its_bound_is_refused_by_name()
    {
        Should.Throw<PolicyException>(() => Policy.Parse("")).Message.ShouldBe("the policy's version is not 1");
        Should.Throw<PolicyException>(() => Policy.Parse("version = 2")).Message.ShouldBe("the policy's version is not 1");
        Should.Throw<PolicyException>(() => Policy.Parse("version")).Message.ShouldStartWith("the policy is no TOML: ");
        var comment = "version = 1\n#";
        Policy.Parse(comment + new string('x', Bounds.Policy - comment.Length)).ToToml().ShouldBe(Policy.Default.ToToml());
        Should.Throw<PolicyException>(() => Policy.Parse(comment + new string('x', Bounds.Policy - comment.Length + 1))).Message
            .ShouldBe("the policy is too large");
    }

    [Fact]
    public void Roots_of_a_test_are_kept_apart_by_vendor()
    {
        CertificateList.TryParse(Evidence.Bytes("roots/amd/genoa_ark.pem"), out var root).ShouldBeNull();
        using (root)
        {
            var pem = root!.Items[0].X509.ExportCertificatePem();
            foreach (var (key, read) in new (string, Func<TestRoots, Certificate?>)[]
            {
                ("intel", roots => roots.Intel), ("amd", roots => roots.Amd), ("nvidia_device", roots => roots.NvidiaDevice),
                ("nvidia_rim", roots => roots.NvidiaRim),
            })
            {
                var policy = Policy.Parse($"version = 1\n[dangerous_test_roots]\n{key} = \"\"\"\n{pem}\n\"\"\"");
                read(policy.DangerousTestRoots!)!.Der.ToArray().ShouldBe(root.Items[0].Der.ToArray());
                policy.DangerousTestRoots.ShouldNotBe(new TestRoots());
                read(Policy.Parse(policy.ToToml()).DangerousTestRoots!)!.Der.ToArray().ShouldBe(root.Items[0].Der.ToArray());
                Should.Throw<PolicyException>(() => Policy.Parse($"version = 1\n[dangerous_test_roots]\n{key} = \"\"\"\n{pem}\n{pem}\n\"\"\"")).Message
                    .ShouldContain(key);
            }
        }
    }

    [Fact]
    public void A_set_has_a_name_that_can_stand_in_a_table()
    {
        ReferenceSet.IsName(new string('a', 64)).ShouldBeTrue();
        ReferenceSet.IsName("aZ09-_").ShouldBeTrue();
        foreach (var name in new[] { null, "", new string('a', 65), "a b", "a.b", "é", "a\n" })
            ReferenceSet.IsName(name).ShouldBeFalse();
    }

    [Fact]
    public void A_value_is_accepted_where_it_is_listed()
    {
        var (one, two) = (new byte[] { 1, 2 }, new byte[] { 1, 3 });
        var values = ReferenceValues.OneOf(one);
        values.Accepts(one).ShouldBeTrue();
        values.Accepts(two).ShouldBeFalse();
        values.Accepts([]).ShouldBeFalse();
        values.With(one).ShouldBeSameAs(values);
        values.With(two).Hex.ShouldBe(["0102", "0103"]);
        ReferenceValues.Any.With(two).Hex.ShouldBe(["0103"]);
        ReferenceValues.Any.With(two).IsAny.ShouldBeFalse();
        (ReferenceValues.Any.Accepts(two), ReferenceValues.Any.IsUnnamed).ShouldBe((true, false));
        (ReferenceValues.Unnamed.Accepts(two), ReferenceValues.Unnamed.IsUnnamed).ShouldBe((false, true));
        one[0] = 9;
        values.Hex.ShouldBe(["0102"], "whoever made it may go on with his bytes");
    }

    [Fact]
    public void A_factor_of_a_value_says_what_was_accepted()
    {
        var name = new FactorName("a.b", FactorKind.Policy);
        var byteValues = Enumerable.Range(1, 5).Select(i => new[] { (byte)i }).ToArray();
        Line(ReferenceValues.OneOf(byteValues), [5]).ShouldBe("Pass  01 or 02 or 03 or 04 or another 05");
        Line(ReferenceValues.OneOf(byteValues[..4]), [5]).ShouldBe("Fail Mismatch 01 or 02 or 03 or 04 05");
        Line(ReferenceValues.Any, [5]).ShouldBe("Skip   05 (any is accepted)");
        Line(ReferenceValues.Unnamed, [5]).ShouldBe("Skip   05 (nothing expected)");
        Line(ReferenceValues.Unnamed, [5], isDemanded: true).ShouldBe("Fail NoReference a value in the policy 05");
        Line(ReferenceValues.Any, [5], isDemanded: true).ShouldBe("Skip   05 (any is accepted)");

        string Line(ReferenceValues values, byte[] found, bool isDemanded = false)
        {
            var findings = new Findings(Evidence.Time("2026-06-01T12:00:00Z"), new HashSet<string>());
            values.Check(name, found, isDemanded, findings);
            var factor = findings.ToVerdict().Factors.Single();
            return $"{factor.Outcome} {factor.Code} {factor.Expected} {factor.Found}";
        }
    }

    [Fact]
    public void Of_sets_the_nearest_is_named_and_each_register_is_held_against_them()
    {
        byte[] Of(int value) => [(byte)value];
        ReferenceSet Set(string name, params (string Name, ReferenceValues Values)[] values) =>
            new(name, values.ToDictionary(value => value.Name, value => value.Values));
        var old = Set("old", ("a", ReferenceValues.OneOf(Of(1))), ("b", ReferenceValues.OneOf(Of(1))), ("d", ReferenceValues.Any));
        var late = Set("late", ("a", ReferenceValues.OneOf(Of(2))), ("b", ReferenceValues.OneOf(Of(2))), ("d", ReferenceValues.OneOf(Of(1))));
        Lines([old, late], 1, 1).ShouldBe(["Pass 01 or 02", "Pass 01 or 02", "Pass 09", "Skip ", "Pass one of the sets old, late; old"]);
        Lines([old, late], 2, 2)[^1].ShouldBe("Fail one of the sets old, late; late but for d");
        Lines([old, late], 1, 2)[^1].ShouldBe("Fail one of the sets old, late; old but for b");
        Lines([], 1, 1).ShouldBe(["Fail a value in the policy", "Fail a value in the policy", "Pass 09", "Skip ", "Skip ; no set of reference values"]);

        string[] Lines(ReferenceSet[] sets, int a, int b)
        {
            var findings = new Findings(Evidence.Time("2026-06-01T12:00:00Z"), new HashSet<string>());
            MeasuredRegister.Check(
                [
                    new(Name("a"), "a", Of(a), ReferenceValues.Unnamed, IsProgram: true),
                    new(Name("b"), "b", Of(b), ReferenceValues.Unnamed, IsProgram: true),
                    new(Name("c"), "c", Of(9), ReferenceValues.OneOf(Of(9)), IsProgram: true),
                    new(Name("d"), "d", Of(5), ReferenceValues.Unnamed, IsProgram: false),
                ],
                sets, Name("whole"), areDemanded: true, findings);
            var factors = findings.ToVerdict().Factors;
            return
            [
                .. factors.SkipLast(1).Select(factor => $"{factor.Outcome} {factor.Expected}"),
                $"{factors[^1].Outcome} {factors[^1].Expected}; {factors[^1].Found}",
            ];
        }

        static FactorName Name(string value) => new(value, FactorKind.Policy);
    }
}
