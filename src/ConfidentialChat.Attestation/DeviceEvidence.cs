// spec/attestation.md section 11.
namespace ConfidentialChat.Attestation;

/// <summary>What a bundle says of one GPU or switch: a stranger's bytes.</summary>
public sealed record DeviceEvidence
{
    public required string Architecture { get; init; }

    public required ReadOnlyMemory<byte> Evidence { get; init; }

    public required ReadOnlyMemory<byte> Certificates { get; init; }

    /// <summary>SHA-256 of documents that are fetched apart.</summary>
    public IReadOnlyList<byte[]> Collateral { get; init; } = [];
}
