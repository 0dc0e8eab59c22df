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
}
