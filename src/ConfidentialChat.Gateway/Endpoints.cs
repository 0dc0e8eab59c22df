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

    // spec/gateway.md section 11.
    public const string Balance = "/v1/balance";
    public const string Usage = "/v1/usage";
    public const string RequestUsage = "/v1/usage/{id}";
    public const string AdminUsers = "/v1/admin/users";
    public const string AdminUser = "/v1/admin/users/{id}";
    public const string AdminLedger = "/v1/admin/users/{id}/ledger";
    public const string AdminDeposits = "/v1/admin/users/{id}/deposits";
    public const string AdminCorrections = "/v1/admin/users/{id}/corrections";
    public const string AdminUserKeys = "/v1/admin/users/{id}/keys";
    public const string AdminKeys = "/v1/admin/keys";
    public const string AdminKey = "/v1/admin/keys/{key}";
    public const string AdminPrices = "/v1/admin/prices";
    public const string AdminUsage = "/v1/admin/usage";
    public const string AdminAudit = "/v1/admin/audit";

    /// <summary>Whether errors at this path are problem documents (RFC 9457); spec/envelope-v2.md section 7.</summary>
    public static bool SpeaksProblems(PathString path) =>
        path.StartsWithSegments(Nodes, StringComparison.OrdinalIgnoreCase) || path.StartsWithSegments("/v2/collateral", StringComparison.OrdinalIgnoreCase);
}
