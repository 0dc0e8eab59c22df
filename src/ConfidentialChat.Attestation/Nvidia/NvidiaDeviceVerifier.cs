// spec/attestation.md section 12 check 11.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>NVIDIA's devices within a bundle.</summary>
public sealed class NvidiaDeviceVerifier : IDeviceVerifier
{
    public IReadOnlyCollection<string> Architectures { get; } =
        [.. DeviceArchitecture.All.Select(known => known.Name).Distinct(StringComparer.Ordinal)];

    public void Verify(IReadOnlyList<DeviceEvidence> devices, DocumentSet documents, ReadOnlyMemory<byte> nonce, Policy policy, Findings findings)
    {
        ArgumentNullException.ThrowIfNull(devices);
        ArgumentNullException.ThrowIfNull(documents);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(findings);
        NvidiaVerifier.Check(
            [
                .. devices.Select(device => new NvidiaEvidence
                {
                    Architecture = device.Architecture,
                    Report = device.Evidence,
                    Certificates = device.Certificates,
                    Documents = [.. device.Collateral.Select(digest => documents.Find(digest)).OfType<ReadOnlyMemory<byte>>()],
                }),
            ],
            policy, findings, isRaw: false, nonce);
    }
}
