using System.Text.Json;

namespace ConfidentialChat.Attestation.Tests;

/// <summary>spec/attestation.md sections 2, 13 and 15: what is collected on the way, and how a verdict is written down.</summary>
public sealed class FindingsTests
{
    private static readonly DateTimeOffset At = Evidence.Time("2026-06-01T12:00:00Z");
    private static readonly FactorName Genuine = new("a.genuine", FactorKind.Authenticity);
    private static readonly FactorName Guarded = new("a.guarded", FactorKind.Guard);
    private static readonly FactorName Demotable = new("a.demotable", FactorKind.Policy);
    private static readonly FactorName Noticed = new("a.noticed", FactorKind.Notice);

    [Theory]
    [InlineData(FactorKind.Authenticity, RejectionCode.Mismatch, false)]
    [InlineData(FactorKind.Guard, RejectionCode.Mismatch, false)]
    [InlineData(FactorKind.Policy, RejectionCode.Mismatch, true)]
    [InlineData(FactorKind.Policy, RejectionCode.NoReference, false)]
    [InlineData(FactorKind.Notice, RejectionCode.Untrusted, true)]
    public void What_a_policy_calls_advisory_refuses_unless_it_is_not_the_policys_to_say(FactorKind kind, RejectionCode code, bool isAccepted)
    {
        var name = new FactorName("a.b", kind);
        var findings = new Findings(At, new HashSet<string> { "a.b" });
        findings.Pass(Genuine, "", "");
        findings.Fail(name, code, "", "");
        findings.ToVerdict().IsAccepted.ShouldBe(isAccepted);
        var enforcing = new Findings(At, new HashSet<string>());
        enforcing.Pass(Genuine, "", "");
        enforcing.Fail(name, code, "", "");
        enforcing.ToVerdict().IsAccepted.ShouldBe(kind == FactorKind.Notice);
    }

    [Fact]
    public void A_verdict_without_a_PASS_accepts_nothing()
    {
        var findings = new Findings(At, new HashSet<string>());
        findings.ToVerdict().IsAccepted.ShouldBeFalse();
        findings.Skip(Genuine, "nothing");
        findings.ToVerdict().IsAccepted.ShouldBeFalse();
        findings.Pass(Guarded, "", "");
        findings.ToVerdict().IsAccepted.ShouldBeTrue();
    }

    [Fact]
    public void A_verdict_stands_between_the_nearest_dates_on_either_side()
    {
        var findings = new Findings(At, new HashSet<string>());
        findings.ToVerdict().ValidFrom.ShouldBe(DateTimeOffset.MinValue);
        findings.ToVerdict().ValidBefore.ShouldBe(DateTimeOffset.MaxValue);
        findings.DateFault("it", At.AddDays(-2), At.AddDays(2)).ShouldBeNull();
        findings.DateFault("it", At.AddDays(-1), At.AddDays(3)).ShouldBeNull();
        findings.DateFault("it", At.AddDays(-3), At.AddDays(1)).ShouldBeNull();
        (findings.ToVerdict().ValidFrom, findings.ToVerdict().ValidBefore).ShouldBe((At.AddDays(-1), At.AddDays(1).AddTicks(1)));
        findings.DateFault("it", At.AddHours(2), DateTimeOffset.MaxValue)!.Code.ShouldBe(RejectionCode.NotYetValid);
        findings.DateFault("it", DateTimeOffset.MinValue, At.AddHours(-2))!.Code.ShouldBe(RejectionCode.Expired);
        (findings.ToVerdict().ValidFrom, findings.ToVerdict().ValidBefore).ShouldBe((At.AddHours(-2).AddTicks(1), At.AddHours(2)));
        findings.HasPassed(At.AddHours(1)).ShouldBeFalse();
        findings.HasPassed(At.AddHours(-1)).ShouldBeTrue();
        (findings.ToVerdict().ValidFrom, findings.ToVerdict().ValidBefore).ShouldBe((At.AddHours(-1), At.AddHours(1)));
        findings.HasPassed(At).ShouldBeTrue();
        (findings.ToVerdict().ValidFrom, findings.ToVerdict().ValidBefore).ShouldBe((At, At.AddHours(1)));
    }

    [Fact]
    public void A_date_is_good_from_its_first_moment_to_its_last()
    {
        var findings = new Findings(At, new HashSet<string>());
        findings.DateFault("it", At, At).ShouldBeNull();
        findings.DateFault("it", At.AddTicks(1), At.AddDays(1))
            .ShouldBe(new Rejection(RejectionCode.NotYetValid, "it from 2026-06-01T12:00:00Z", "2026-06-01T12:00:00Z"));
        findings.DateFault("it", At.AddDays(-1), At.AddTicks(-1))
            .ShouldBe(new Rejection(RejectionCode.Expired, "it until 2026-06-01T11:59:59Z", "2026-06-01T12:00:00Z"));
    }

    [Fact]
    public void A_verdict_is_written_like_this()
    {
        var verdict = Mixed();
        verdict.ToText().ShouldBe(
            """
            PASS  a.genuine                   expected this; found that
            FAIL  a.guarded                   BAD_SIGNATURE: expected one; found another
            WARN  a.demotable                 OUT_OF_DATE: expected ; found less
            WARN  a.noticed                   UNTRUSTED: expected a root; found none
            SKIP  a.guarded                   1 (not demanded)
            PASS  a.genuine                   without a word

            """.ReplaceLineEndings("\n"));
        verdict.Failures.Select(factor => factor.Name).ShouldBe([Guarded]);
        verdict.Warnings.Select(factor => factor.Name).ShouldBe([Demotable, Noticed]);
        verdict.NotChecked.Select(factor => factor.Name).ShouldBe([Guarded]);
        JsonElement.Parse(verdict.ToJson()).GetRawText().Where(c => c is not (' ' or '\n' or '\r')).ShouldBe(
            """
            {"accepted":false,"at":"2026-06-01T12:00:00Z","valid_from":"2026-05-01T00:00:00Z","valid_before":null,
            "failures":["a.guarded"],"warnings":["a.demotable","a.noticed"],"factors":[
            {"factor":"a.genuine","outcome":"PASS","enforced":true,"expected":"this","found":"that"},
            {"factor":"a.guarded","outcome":"FAIL","enforced":true,"code":"BAD_SIGNATURE","expected":"one","found":"another"},
            {"factor":"a.demotable","outcome":"FAIL","enforced":false,"code":"OUT_OF_DATE","expected":"","found":"less"},
            {"factor":"a.noticed","outcome":"FAIL","enforced":false,"code":"UNTRUSTED","expected":"a root","found":"none"},
            {"factor":"a.guarded","outcome":"SKIP","enforced":true,"expected":"","found":"1 (not demanded)"},
            {"factor":"a.genuine","outcome":"PASS","enforced":true,"expected":"","found":"without a word"}],
            "not_checked":["a.guarded"]}
            """.Where(c => c is not (' ' or '\n' or '\r')));

        static Verdict Mixed()
        {
            var findings = new Findings(At, new HashSet<string> { "a.demotable", "a.guarded" });
            findings.Check(Genuine, true, RejectionCode.Mismatch, "this", "that").ShouldBeTrue();
            findings.Report(Guarded, new Rejection(RejectionCode.BadSignature, "one", "another"), "", "").ShouldBeFalse();
            findings.CheckIf(true, Demotable, false, RejectionCode.OutOfDate, "", "less");
            findings.Fail(Noticed, RejectionCode.Untrusted, "a root", "none");
            findings.CheckIf(false, Guarded, false, RejectionCode.OutOfDate, "2", "1");
            findings.Pass(Genuine, "", "without a word");
            findings.HasPassed(Evidence.Time("2026-05-01T00:00:00Z"));
            return findings.ToVerdict();
        }
    }

    [Fact]
    public void Every_code_has_its_spelling()
    {
        Enum.GetValues<RejectionCode>().Select(code => code.Spell()).ShouldBe(
            Enum.GetNames<RejectionCode>()
                .Select(name => string.Concat(name.Select((c, i) => char.IsUpper(c) && i > 0 ? $"_{c}" : $"{c}")).ToUpperInvariant()));
        Rejection.TooLarge(5, 7).ShouldBe(new Rejection(RejectionCode.TooLarge, "at most 5 bytes", "7 bytes"));
        Rejection.Missing("it").ShouldBe(new Rejection(RejectionCode.Missing, "it", "nothing"));
        Rejection.Malformed("it", "that").ShouldBe(new Rejection(RejectionCode.Malformed, "it", "that"));
        Genuine.ToString().ShouldBe("a.genuine");
    }

    [Fact]
    public void A_strangers_text_is_cut_and_cannot_forge_a_line()
    {
        Shown.Text(null).ShouldBe("nothing");
        Shown.Text("\u001f ~\u007f\né").ShouldBe("? ~???");
        Shown.Text(new string('x', 100)).ShouldBe(new string('x', 100));
        Shown.Text(new string('x', 101)).ShouldBe(new string('x', 100));
        Shown.Bits(1UL << 5).ShouldBe("bit 5");
        Shown.Bits(3).ShouldBe("bits 0, 1");
        Shown.Date(new DateTimeOffset(2026, 6, 1, 14, 0, 0, TimeSpan.FromHours(2))).ShouldBe("2026-06-01T12:00:00Z");
        Shown.List([]).ShouldBe("none");
        Shown.List(["a", "b\n"]).ShouldBe("a, b?");
        Shown.List(Enumerable.Range(1, 8).Select(i => $"{i}")).ShouldBe("1, 2, 3, 4, 5, 6, 7, 8");
        Shown.List(Enumerable.Range(1, 20).Select(i => $"{i}")).ShouldBe("1, 2, 3, 4, 5, 6, 7, 8, ...");
    }
}
