// spec/attestation.md section 19: one factor for all devices together.
namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>
/// Collects what came of each check for each device, and writes one factor of each name: FAIL where one fails, else SKIP where one could not be
/// asked, else PASS. So a PASS is one of every device. Not for several threads.
/// </summary>
internal sealed class DeviceFindings(Findings findings)
{
    private readonly Dictionary<FactorName, List<Entry>> entries = [];

    /// <summary>Learns the dates; the factors are written by <see cref="Write"/> alone.</summary>
    public Findings Findings => findings;

    /// <param name="name">The check.</param>
    /// <param name="whose">A device or a file; empty where there is only one.</param>
    /// <param name="rejection">Null is a PASS.</param>
    /// <param name="expected">Of a PASS.</param>
    /// <param name="found">Of a PASS.</param>
    /// <returns>Whether it passed.</returns>
    public bool Report(FactorName name, string whose, Rejection? rejection, string expected, string found)
    {
        Add(name, new Entry(whose, rejection is null ? Outcome.Pass : Outcome.Fail, rejection, expected, found));
        return rejection is null;
    }

    public bool Check(FactorName name, string whose, bool holds, RejectionCode code, string expected, string found) =>
        Report(name, whose, holds ? null : new Rejection(code, expected, found), expected, found);

    public void Skip(FactorName name, string whose, string found) => Add(name, new Entry(whose, Outcome.Skip, null, "", found));

    /// <summary>Writes what was collected, in the order of the specification.</summary>
    public void Write()
    {
        foreach (var name in NvidiaFactors.All)
        {
            if (!entries.TryGetValue(name, out var all))
                continue;
            var failed = all.FindAll(entry => entry.Outcome == Outcome.Fail);
            if (failed.Count > 0)
            {
                var first = failed[0];
                findings.Fail(
                    name, first.Rejection!.Code, first.Rejection.Expected,
                    Prefixed(first.Whose, first.Rejection.Found) + (failed.Count > 1 ? $"; {failed.Count - 1} more" : ""));
            }
            else if (all.Find(entry => entry.Outcome == Outcome.Skip) is { } skipped)
            {
                findings.Skip(name, Prefixed(skipped.Whose, skipped.Found));
            }
            else
            {
                findings.Pass(name, all[0].Expected, all.TrueForAll(entry => entry.Found == all[0].Found) ? all[0].Found : $"{all.Count} of {all.Count}");
            }
        }
    }

    private static string Prefixed(string whose, string found) => whose.Length == 0 ? found : $"{whose}: {found}";

    private void Add(FactorName name, Entry entry)
    {
        if (!entries.TryGetValue(name, out var all))
            entries[name] = all = [];
        all.Add(entry);
    }

    private sealed record Entry(string Whose, Outcome Outcome, Rejection? Rejection, string Expected, string Found);
}
