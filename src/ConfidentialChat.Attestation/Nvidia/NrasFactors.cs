// spec/attestation.md section 22.
namespace ConfidentialChat.Attestation.Nvidia;

/// <summary>The factors of NRAS tokens, in the order of the checks.</summary>
public static class NrasFactors
{
    public static readonly FactorName Tokens = new("nras.tokens", FactorKind.Authenticity);
    public static readonly FactorName Signature = new("nras.signature", FactorKind.Authenticity);
    public static readonly FactorName Time = new("nras.time", FactorKind.Authenticity);
    public static readonly FactorName Nonce = new("nras.nonce", FactorKind.Authenticity);
    public static readonly FactorName Submodules = new("nras.submodules", FactorKind.Authenticity);
    public static readonly FactorName Result = new("nras.result", FactorKind.Guard);
    public static readonly FactorName Devices = new("nras.devices", FactorKind.Guard);

    public static IReadOnlyList<FactorName> All { get; } = [Tokens, Signature, Time, Nonce, Submodules, Result, Devices];
}
