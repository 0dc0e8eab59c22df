// spec/attestation.md sections 2 and 15.
namespace ConfidentialChat.Attestation;

/// <summary>Collects the factors of one verification, and the dates that were compared on the way. Not for several threads.</summary>
public sealed class Findings
{
    private readonly List<Factor> factors = [];
    private readonly IReadOnlySet<string> advisory;
    private DateTimeOffset from = DateTimeOffset.MinValue;
    private DateTimeOffset before = DateTimeOffset.MaxValue;

    /// <param name="at">The time of verification.</param>
    /// <param name="advisory">Names of policy factors whose failure does not refuse.</param>
    public Findings(DateTimeOffset at, IReadOnlySet<string> advisory)
    {
        At = at;
        this.advisory = advisory;
    }

    /// <summary>The time for which the verdict is asked.</summary>
    public DateTimeOffset At { get; }

    public void Pass(FactorName name, string expected, string found) => Add(name, Outcome.Pass, null, expected, found);

    public void Fail(FactorName name, RejectionCode code, string expected, string found) => Add(name, Outcome.Fail, code, expected, found);

    /// <summary>Nobody asked for this check. What was asked for and cannot be made is a failure.</summary>
    public void Skip(FactorName name, string found) => Add(name, Outcome.Skip, null, "", found);

    /// <summary>PASS where <paramref name="rejection"/> is null.</summary>
    /// <returns>Whether it passed.</returns>
    public bool Report(FactorName name, Rejection? rejection, string expected, string found)
    {
        if (rejection is null)
            Pass(name, expected, found);
        else
            Fail(name, rejection.Code, rejection.Expected, rejection.Found);
        return rejection is null;
    }

    /// <returns>Whether it passed.</returns>
    public bool Check(FactorName name, bool holds, RejectionCode code, string expected, string found) =>
        Report(name, holds ? null : new Rejection(code, expected, found), expected, found);

    /// <summary>
    /// Null where <c>notBefore &lt;= At &lt;= notAfter</c>. Every comparison with a date goes through here, because the verdict
    /// stands until the next of them.
    /// </summary>
    /// <param name="what">Whose dates they are.</param>
    /// <param name="notBefore">The first moment of validity.</param>
    /// <param name="notAfter">The last moment of validity.</param>
    public Rejection? DateFault(string what, DateTimeOffset notBefore, DateTimeOffset notAfter)
    {
        Edge(notBefore);
        Edge(notAfter < DateTimeOffset.MaxValue ? notAfter.AddTicks(1) : notAfter);
        return At < notBefore ? new(RejectionCode.NotYetValid, $"{what} from {Shown.Date(notBefore)}", Shown.Date(At))
            : At > notAfter ? new(RejectionCode.Expired, $"{what} until {Shown.Date(notAfter)}", Shown.Date(At))
            : null;
    }

    public Verdict ToVerdict() => new([.. factors], At, from, before);

    /// <summary>SKIP where the policy does not ask for it: what is found is shown, and not held against anything.</summary>
    internal void CheckIf(bool isDemanded, FactorName name, bool holds, RejectionCode code, string expected, string found)
    {
        if (isDemanded)
            Check(name, holds, code, expected, found);
        else
            Skip(name, $"{found} (not demanded)");
    }

    /// <summary>Whether a date has come. The verdict stands until then, or from then on.</summary>
    internal bool HasPassed(DateTimeOffset date)
    {
        Edge(date);
        return At >= date;
    }

    // The verdict is the same for all times between the nearest dates on either side.
    private void Edge(DateTimeOffset date)
    {
        if (date <= At && date > from)
            from = date;
        else if (date > At && date < before)
            before = date;
    }

    private void Add(FactorName name, Outcome outcome, RejectionCode? code, string expected, string found)
    {
        var enforced = name.Kind switch
        {
            FactorKind.Notice => false,
            // A value that differs may be advisory. That there is none to compare with, only the policy's own word waives.
            FactorKind.Policy => code == RejectionCode.NoReference || !advisory.Contains(name.Value),
            _ => true,
        };
        factors.Add(new Factor(name, outcome, enforced, code, expected, found));
    }
}
