// spec/attestation.md section 12 check 4.
using System.Text.Json;
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation;

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

    /// <summary>What the vendor says of the platform; null where it says nothing that can be read.</summary>
    public IPlatformFacts? Platform { get; init; }
}

/// <summary>What a vendor's documents say of a platform, as values for programs to read. Believed only as far as the factors go.</summary>
public interface IPlatformFacts
{
    /// <summary>Of the object in <c>cchat verify --json</c>: <c>tcb</c>, <c>vek</c>.</summary>
    string Name { get; }

    /// <summary>Writes its members into an object that is open.</summary>
    void WriteMembers(Utf8JsonWriter json);
}
