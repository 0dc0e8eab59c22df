// spec/attestation.md section 12 check 11.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation;

/// <summary>Verifies one vendor's devices within a bundle. Stateless.</summary>
public interface IDeviceVerifier
{
    /// <summary>The values of <see cref="DeviceEvidence.Architecture"/> that it knows.</summary>
    IReadOnlyCollection<string> Architectures { get; }

    /// <summary>Makes every check of these devices, together, and writes the factors. Never throws for what the evidence is.</summary>
    /// <param name="devices">Each of a known architecture.</param>
    /// <param name="documents">Where those that a device names by digest are found.</param>
    /// <param name="nonce">The 32 bytes that each device's evidence has to carry.</param>
    /// <param name="policy">What is accepted.</param>
    /// <param name="findings">Where the factors are written.</param>
    void Verify(IReadOnlyList<DeviceEvidence> devices, DocumentSet documents, ReadOnlyMemory<byte> nonce, Policy policy, Findings findings);
}
