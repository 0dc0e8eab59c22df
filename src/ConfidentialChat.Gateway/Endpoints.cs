// spec/envelope-v1.md section 1: the paths beside those of the confidential endpoints, which are one table in the protocol.
namespace ConfidentialChat.Gateway;

/// <summary>Where the gateway answers for itself.</summary>
internal static class Endpoints
{
    public const string Health = "/health";
    public const string Live = "/health/live";
    public const string Ready = "/health/ready";
    public const string Models = "/v1/models";
    public const string Lock = "/v1/nodes/lock";
    public const string Nodes = "/v2/nodes";
    public const string Evidence = "/v2/nodes/{id}/evidence";
    public const string Relay = "/v2/nodes/{id}/relay";
    public const string Collateral = "/v2/collateral/{digest}";

    /// <summary>Whether errors at this path are problem documents (RFC 9457); spec/envelope-v2.md section 7.</summary>
    public static bool SpeaksProblems(PathString path) =>
        path.StartsWithSegments(Nodes, StringComparison.OrdinalIgnoreCase) || path.StartsWithSegments("/v2/collateral", StringComparison.OrdinalIgnoreCase);
}
