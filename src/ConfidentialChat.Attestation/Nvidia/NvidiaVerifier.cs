// spec/attestation.md sections 19 and 13.
using ConfidentialChat.Attestation.Policies;

namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>Verifies NVIDIA's GPUs and switches: a pure function of evidence, documents, policy and time. Safe for several threads.</summary>
public static class NvidiaVerifier
{
    /// <summary>Raw evidence: what nobody gave is skipped.</summary>
    /// <param name="devices">One to 16, which one machine is said to have.</param>
    /// <param name="policy">What is accepted.</param>
    /// <param name="at">The time of verification.</param>
    /// <param name="nonce">The 32 bytes that each report has to carry, or null to skip that check.</param>
    /// <param name="ocspNonce">What OCSP answers have to give back, or null.</param>
    public static NvidiaVerification Verify(
        IReadOnlyList<NvidiaEvidence> devices, Policy policy, DateTimeOffset at, ReadOnlyMemory<byte>? nonce = null, ReadOnlyMemory<byte>? ocspNonce = null)
    {
        ArgumentNullException.ThrowIfNull(devices);
        ArgumentNullException.ThrowIfNull(policy);
        var findings = policy.Begin(at);
        var read = Check(devices, policy, findings, isRaw: true, nonce, ocspNonce);
        if (policy.DangerousTestRoots is not null)
            findings.Fail(PolicyFactors.TestRoots, RejectionCode.Untrusted, "the vendors' roots", "roots of a test");
        return new NvidiaVerification(findings.ToVerdict(), read);
    }

    internal static IReadOnlyList<NvidiaDevice> Check(
        IReadOnlyList<NvidiaEvidence> devices, Policy policy, Findings findings, bool isRaw, ReadOnlyMemory<byte>? nonce,
        ReadOnlyMemory<byte>? ocspNonce = null)
    {
        if (devices.Count is 0 or > Bounds.DeviceCount)
        {
            findings.Fail(NvidiaFactors.Report, RejectionCode.TooLarge, $"1 to {Bounds.DeviceCount} devices", $"{devices.Count}");
            return [];
        }

        using var check = new DeviceCheck(policy, findings, isRaw, nonce, ocspNonce);
        return check.Run(devices);
    }
}
