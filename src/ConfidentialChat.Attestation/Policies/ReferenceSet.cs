// spec/attestation.md section 10 rule 1.
namespace ConfidentialChat.Attestation.Policies;

/// <summary>
/// The registers of one release, which match together or not at all: lists register by register would also accept the firmware of one release
/// with the kernel of another. Immutable.
/// </summary>
/// <param name="Name">As the policy has it: letters, digits, <c>-</c> and <c>_</c>.</param>
/// <param name="Values">By the registers' names in a policy, each one value or "any"; what is not named is not compared.</param>
public sealed record ReferenceSet(string Name, IReadOnlyDictionary<string, ReferenceValues> Values)
{
    private const int LongestName = 64;

    /// <summary>Whether a set may be called so.</summary>
    public static bool IsName(string? name) => name is { Length: > 0 and <= LongestName } && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    /// <summary>The registers that are not the set's; none where it matches whole.</summary>
    internal IReadOnlyList<string> Differing(IEnumerable<MeasuredRegister> registers) =>
    [
        .. registers.Where(register => Values.TryGetValue(register.Name, out var values) && !values.Accepts(register.Value.Span))
            .Select(register => register.Name),
    ];

    /// <summary>Reads the sets below a table.</summary>
    /// <param name="table">That has one table a set.</param>
    /// <param name="registers">Names and sizes in bytes of what a set may name.</param>
    /// <param name="program">Those that each set has to name.</param>
    internal static IReadOnlyList<ReferenceSet> Read(PolicyTable table, IReadOnlyList<(string Name, int Size)> registers, IReadOnlyList<string> program)
    {
        var sets = new List<ReferenceSet>();
        foreach (var (name, set) in table.Tables())
        {
            if (!IsName(name))
                throw new PolicyException($"the policy has a set of reference values of an odd name: {Shown.Text(name)}", "letters, digits, - and _");
            var values = registers.Select(register => (register.Name, Value: set.Value(register.Name, register.Size)))
                .Where(named => !named.Value.IsUnnamed).ToDictionary(named => named.Name, named => named.Value, StringComparer.Ordinal);
            if (program.FirstOrDefault(register => !values.ContainsKey(register)) is { } missing)
                throw new PolicyException(
                    $"the policy's set of reference values {name} has no {missing}", $"a set names all of {string.Join(", ", program)}; \"any\" is a value");
            set.End();
            sets.Add(new ReferenceSet(name, values));
        }

        return sets;
    }

    internal void Write(PolicyText text, string table)
    {
        text.Table($"{table}.{Name}", "One release: all of it, or another set");
        foreach (var (name, values) in Values)
            text.Word(name, values.IsAny ? "any" : values.Hex.First(), null);
    }
}

/// <summary>A register of evidence beside what a policy says of it.</summary>
/// <param name="Factor">Its check.</param>
/// <param name="Name">In a policy.</param>
/// <param name="Value">As found.</param>
/// <param name="Listed">The policy's list of this register alone.</param>
/// <param name="IsProgram">One of those that name the program: without a value in the policy a bundle is refused.</param>
internal sealed record MeasuredRegister(FactorName Factor, string Name, ReadOnlyMemory<byte> Value, ReferenceValues Listed, bool IsProgram)
{
    /// <summary>Writes the factor of each register, and that of the sets.</summary>
    /// <param name="registers">In the order of their factors.</param>
    /// <param name="sets">The policy's.</param>
    /// <param name="whole">The factor that says whether one of them matches.</param>
    /// <param name="areDemanded">This is no raw evidence, and the policy does not accept every program.</param>
    /// <param name="findings">Where they are written.</param>
    public static void Check(
        IReadOnlyList<MeasuredRegister> registers, IReadOnlyList<ReferenceSet> sets, FactorName whole, bool areDemanded, Findings findings)
    {
        foreach (var register in registers)
            register.Expected(sets).Check(register.Factor, register.Value.Span, areDemanded && register.IsProgram, findings);
        if (sets.Count == 0)
        {
            findings.Skip(whole, "no set of reference values");
            return;
        }

        var (nearest, differing) = sets.Select(set => (set, Differing: set.Differing(registers))).MinBy(pair => pair.Differing.Count);
        findings.Check(
            whole, differing.Count == 0, RejectionCode.Mismatch, $"one of the sets {Shown.List(sets.Select(set => set.Name))}",
            differing.Count == 0 ? nearest.Name : $"{nearest.Name} but for {Shown.List(differing)}");
    }

    // Its list; where it has none, whatever a set has for it.
    private ReferenceValues Expected(IReadOnlyList<ReferenceSet> sets)
    {
        if (!Listed.IsUnnamed || sets.Count == 0)
            return Listed;
        var named = sets.Select(set => set.Values.GetValueOrDefault(Name, ReferenceValues.Unnamed)).ToList();
        return named.TrueForAll(values => values.IsUnnamed) ? ReferenceValues.Unnamed
            : named.Exists(values => values.IsAny || values.IsUnnamed) ? ReferenceValues.Any
            : ReferenceValues.OneOf(named.SelectMany(values => values.Hex).Distinct(StringComparer.Ordinal).Select(Convert.FromHexString));
    }
}
