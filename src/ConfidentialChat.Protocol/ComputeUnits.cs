namespace ConfidentialChat.Protocol;

/// <summary>An amount of compute units: one unit is one token, prompt or completion.</summary>
public readonly record struct ComputeUnits(long Value) : IComparable<ComputeUnits>
{
    public static ComputeUnits Zero => default;

    /// <summary>What the origin API locks when a caller names no amount.</summary>
    public static ComputeUnits Default { get; } = new(8192);

    public int CompareTo(ComputeUnits other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString();
}
