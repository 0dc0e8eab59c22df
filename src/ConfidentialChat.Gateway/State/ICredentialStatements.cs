using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Nodes;

namespace ConfidentialChat.Gateway.State;

/// <summary>
/// Makes, finds and ends credentials by hand: commands that do this and end would otherwise spend most of their time on making EF Core's
/// model, and that within a transaction, for which a gateway beside them waits. Each act is in the audit log, as the
/// operator's, in one transaction. Safe from any thread. One implementation for each database engine.
/// </summary>
internal interface ICredentialStatements
{
    /// <summary>Makes an API key, and its user where that is missing.</summary>
    /// <returns>False, and nothing is made, where the user is there already and <paramref name="newUser"/> asks for a new one.</returns>
    bool AddApiKey(string user, bool newUser, BearerSecret secret, ApiKeyScopes scopes, DateTimeOffset? expiresAt, DateTimeOffset now);

    /// <summary>The hash of an API key that opens; null where there is none of this prefix.</summary>
    byte[]? FindApiKey(string prefix, DateTimeOffset now);

    /// <returns>False where there is no such key, or it was revoked before.</returns>
    bool RevokeApiKey(string prefix, DateTimeOffset now);

    void AddEnrolmentToken(BearerSecret secret, DateTimeOffset now, DateTimeOffset expiresAt);

    /// <summary>A token by its public prefix, spent or not.</summary>
    EnrolmentToken? FindEnrolmentToken(string prefix);

    /// <summary>Ends what a node has: its models, its key sets, its relay key. Its row stays, because stacks are of it.</summary>
    /// <returns>False where there is no such node.</returns>
    bool RemoveNode(long id, DateTimeOffset now);
}
