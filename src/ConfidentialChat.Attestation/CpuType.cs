// spec/attestation.md sections 10 and 11.
namespace ConfidentialChat.Attestation;

/// <summary>The kinds of evidence, as policies and bundles name them.</summary>
public static class CpuType
{
    public const string Tdx = "tdx";
    public const string SevSnp = "sev-snp";
    public const string Simulated = "simulated";
}
