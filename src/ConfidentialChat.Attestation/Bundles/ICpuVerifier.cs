// spec/attestation.md section 12 check 4.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Bundles;

/// <summary>Verifies one kind of processor evidence within a bundle. Stateless.</summary>
public interface ICpuVerifier
{
    /// <summary>The <see cref="CpuEvidence.Type"/> that it knows.</summary>
    string Type { get; }

    /// <summary>The names that may stand in <see cref="CpuEvidence.Collateral"/>.</summary>
    IReadOnlyCollection<string> CollateralNames { get; }

    /// <summary>Makes every check of its type and writes the factors. Never throws for what the evidence is.</summary>
    /// <returns>What the evidence says, believed or not: the factors tell. Null where nothing could be read.</returns>
    CpuClaims? Verify(CpuEvidence evidence, Policy policy, Findings findings);
}

/// <summary>What evidence says, whatever its kind.</summary>
public sealed record CpuClaims
{
    /// <summary>64 bytes.</summary>
    public required ReadOnlyMemory<byte> ReportData { get; init; }

    /// <summary>Those that <c>cchat policy pin</c> writes, by their names in the policy.</summary>
    public required IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Measurements { get; init; }

    /// <summary>What Intel's documents say of a TDX platform; null for other kinds, and where a document could not be read.</summary>
    public Tdx.TdxTcb? Tcb { get; init; }
}
