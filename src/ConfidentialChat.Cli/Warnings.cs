namespace ConfidentialChat.Cli;

/// <summary>What is not protected, said wherever someone could believe that it is.</summary>
internal static class Warnings
{
    public const string SimulatedEvidence =
        "warning: simulated evidence: a software key signs in the place of a processor, and NOTHING IS PROTECTED from whoever runs the node's machine";

    public const string OpenSidecar =
        "warning: the sidecar listens beyond this machine: whoever reaches it asks in your name, and what programs ask it passes the network in plain";

    public const string NoEvidence =
        "warning: no evidence: the node serves envelope v1 alone, and clients that ask what it is refuse it (--evidence)";
}
