// spec/gateway.md section 11, rule 6.
using System.Globalization;

namespace ConfidentialChat.Gateway.Admin;

/// <summary>What acts on users, keys and nodes are called in the audit log, whoever does them.</summary>
internal static class AuditActs
{
    public const string CreateUser = "user.create";
    public const string CreateKey = "key.create";
    public const string RevokeKey = "key.revoke";
    public const string CreateToken = "token.create";
    public const string RemoveNode = "node.remove";

    /// <summary>Of an API key, what it opens and until when.</summary>
    public static string Detail(ApiKeyScopes scopes, DateTimeOffset? expiresAt) =>
        expiresAt is { } end ? $"{ApiKeyScopeText.Write(scopes)}, {Until(end)}" : ApiKeyScopeText.Write(scopes);

    /// <summary>To the second, UTC.</summary>
    public static string Until(DateTimeOffset end) => string.Create(CultureInfo.InvariantCulture, $"until {end.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ}");
}
