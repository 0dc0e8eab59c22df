// spec/attestation.md section 4.
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.Tdx;

/// <summary>The root of Intel's PKI for SGX and TDX. Source: certificates.trustedservices.intel.com, IntelSGXRootCA.</summary>
internal static class IntelRoot
{
    public static Certificate SgxRootCa { get; } =
        PinnedRoot.Load("intel_sgx_root_ca.pem", "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3");
}
