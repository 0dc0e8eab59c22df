namespace ConfidentialChat.Protocol;

/// <summary>An amount of compute units: one unit is one token, prompt or completion; for images one pixel.</summary>
public readonly record struct ComputeUnits(long Value) : IComparable<ComputeUnits>
{
    /// <summary>Above any model's context, far below overflow.</summary>
    public const long MaxValue = 1L << 40;

    public static ComputeUnits Zero => default;

    /// <summary>What the origin API locks when a caller names no amount.</summary>
    public static ComputeUnits Default { get; } = new(8192);

    /// <summary>The same for images: one of 1024 by 1024 pixels.</summary>
    public static ComputeUnits DefaultOfImages { get; } = new(1024 * 1024);

    public int CompareTo(ComputeUnits other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString();
}
