// spec/attestation.md section 11.
namespace ConfidentialChat.Attestation;

/// <summary>What a bundle has of its processor: a stranger's bytes, by name.</summary>
public sealed record CpuEvidence
{
    /// <summary>One of <see cref="CpuType"/>, or whatever else was written.</summary>
    public required string Type { get; init; }

    /// <summary>The quote or report as the processor gave it.</summary>
    public required ReadOnlyMemory<byte> Evidence { get; init; }

    /// <summary>By the names that the type's table gives.</summary>
    public IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Collateral { get; init; } = new Dictionary<string, ReadOnlyMemory<byte>>();

    public ReadOnlyMemory<byte>? EventLog { get; init; }
}
