// spec/attestation.md section 10 rules 1 to 3.
namespace ConfidentialChat.Attestation.Policies;

/// <summary>What a policy says of one measurement: nothing, that any value will do, or a list of which any is accepted. Immutable.</summary>
public sealed class ReferenceValues
{
    private readonly byte[][] values;

    private ReferenceValues(bool isAny, byte[][] values)
    {
        IsAny = isAny;
        this.values = values;
    }

    /// <summary>The policy does not name the measurement.</summary>
    public static ReferenceValues Unnamed { get; } = new(false, []);

    /// <summary>The policy names it and takes whatever is found.</summary>
    public static ReferenceValues Any { get; } = new(true, []);

    public bool IsAny { get; }

    public bool IsUnnamed => !IsAny && values.Length == 0;

    public IEnumerable<string> Hex => values.Select(value => Shown.Hex(value));

    /// <summary>One value or several, any of which is accepted.</summary>
    public static ReferenceValues OneOf(params IEnumerable<byte[]> values) => new(false, [.. values.Select(value => (byte[])value.Clone())]);

    /// <summary>These values and one more; "any" becomes the one.</summary>
    public ReferenceValues With(ReadOnlySpan<byte> value)
    {
        foreach (var known in values)
        {
            if (value.SequenceEqual(known))
                return this;
        }

        return new ReferenceValues(false, [.. values, value.ToArray()]);
    }

    public bool Accepts(ReadOnlySpan<byte> found)
    {
        foreach (var value in values)
        {
            if (found.SequenceEqual(value))
                return true;
        }

        return IsAny;
    }

    /// <summary>Writes the factor of this measurement.</summary>
    /// <param name="name">The measurement's factor.</param>
    /// <param name="found">Its value.</param>
    /// <param name="isDemanded">A missing value refuses: the measurement is one of those that name the program, and this is no raw evidence.</param>
    /// <param name="findings">Where it is written.</param>
    public void Check(FactorName name, ReadOnlySpan<byte> found, bool isDemanded, Findings findings)
    {
        ArgumentNullException.ThrowIfNull(findings);
        var shown = Shown.Hex(found);
        if (IsAny)
            findings.Skip(name, $"{shown} (any is accepted)");
        else if (!IsUnnamed)
            findings.Check(name, Accepts(found), RejectionCode.Mismatch, string.Join(" or ", Hex.Take(4)) + (values.Length > 4 ? " or another" : ""), shown);
        else if (isDemanded)
            findings.Fail(name, RejectionCode.NoReference, "a value in the policy", shown);
        else
            findings.Skip(name, $"{shown} (nothing expected)");
    }
}
