// spec/attestation.md section 8, "Certificates".
using ConfidentialChat.Attestation.Certificates;

namespace ConfidentialChat.Attestation.SevSnp;

/// <summary>
/// AMD's roots (ARK), which are trusted, and the issuers below them (ASK, ASVK), which are carried so that a bundle needs the VEK alone.
/// Source: kdsintf.amd.com, /vcek/v1/PRODUCT/cert_chain and /vlek/v1/PRODUCT/cert_chain.
/// </summary>
internal static class AmdRoots
{
    private static readonly Dictionary<string, Certificate> Carried = new(StringComparer.Ordinal)
    {
        ["ARK-Milan"] = PinnedRoot.Load("amd_milan_ark.pem", "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"),
        ["ARK-Genoa"] = PinnedRoot.Load("amd_genoa_ark.pem", "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"),
        ["ARK-Turin"] = PinnedRoot.Load("amd_turin_ark.pem", "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"),
        ["SEV-Milan"] = PinnedRoot.Load("amd_milan_ask.pem", "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b"),
        ["SEV-Genoa"] = PinnedRoot.Load("amd_genoa_ask.pem", "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521"),
        ["SEV-Turin"] = PinnedRoot.Load("amd_turin_ask.pem", "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185"),
        ["SEV-VLEK-Milan"] = PinnedRoot.Load("amd_milan_asvk.pem", "c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5"),
        ["SEV-VLEK-Genoa"] = PinnedRoot.Load("amd_genoa_asvk.pem", "197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372"),
        ["SEV-VLEK-Turin"] = PinnedRoot.Load("amd_turin_asvk.pem", "104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c"),
    };

    public static Certificate Ark(SevSnpProduct product) => Carried[$"ARK-{product.Name}"];

    /// <summary>The ASK or ASVK.</summary>
    public static Certificate Issuer(SevSnpProduct product, VekKind kind) => Carried[product.IssuerName(kind)];
}
