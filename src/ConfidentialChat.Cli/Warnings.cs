namespace ConfidentialChat.Cli;

/// <summary>What is not protected, said wherever someone could believe that it is.</summary>
internal static class Warnings
{
    public const string NoAttestation =
        "warning: no attestation yet: the node's key is taken from the gateway on trust, and nothing shows that the node runs in a TEE (spec/gaps.md)";
}
