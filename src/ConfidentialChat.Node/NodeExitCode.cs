namespace ConfidentialChat.Node;

/// <summary>Exit codes of the node's process; docs/operating.md lists them all.</summary>
public static class NodeExitCode
{
    public const int Success = 0;
    public const int Failure = 1;
    public const int Usage = 2;

    /// <summary>The gateway does not know this node and takes no token of it.</summary>
    public const int NotEnrolled = 3;
}
