// spec/attestation.md section 18, "Certificates".
using System.Security.Cryptography;
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>
/// NVIDIA's roots. Source: NVIDIA/nvtrust, verifier_device_root.pem and verifier_RIM_root.pem. Of its second device root only the fingerprint is
/// published: a chain that brings it is held against that.
/// </summary>
internal static class NvidiaRoots
{
    /// <summary>"NVIDIA Device Identity CA (New)", SHA-256 of its DER.</summary>
    public const string SecondDeviceFingerprint = "8805700fd307db6801f9a8a7a91acbf72e513cdf8ed16e0bfeaf62318037ad96";

    public static Certificate Device { get; } =
        PinnedRoot.Load("nvidia_device_identity_ca.pem", "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48");

    public static Certificate Rim { get; } =
        PinnedRoot.Load("nvidia_rim_root_ca.pem", "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1");

    public static bool IsSecondDeviceRoot(Certificate certificate) => Shown.Hex(SHA256.HashData(certificate.Der.Span)) == SecondDeviceFingerprint;
}
