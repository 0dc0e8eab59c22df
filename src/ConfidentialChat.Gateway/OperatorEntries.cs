using ConfidentialChat.Gateway.Nodes;

namespace ConfidentialChat.Gateway;

/// <summary>An API key as its operator sees it.</summary>
/// <param name="Prefix">The public part: the eight characters after <c>cc_</c>. Names the key when it is revoked.</param>
/// <param name="User">Whose key it is.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="RevokedAt">Null while it opens.</param>
public sealed record ApiKeyEntry(string Prefix, string User, DateTimeOffset CreatedAt, DateTimeOffset? RevokedAt)
{
    /// <summary>What it opens.</summary>
    public ApiKeyScopes Scopes { get; init; } = ApiKeyScopes.Inference;

    /// <summary>Null where it does not expire.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Down to a minute; null where it never was, or not since that is known.</summary>
    public DateTimeOffset? LastUsedAt { get; init; }
}

/// <summary>An enrolled node as its operator sees it.</summary>
public sealed record NodeEntry
{
    public required long Id { get; init; }

    /// <summary>Where the gateway reaches it.</summary>
    public required string Address { get; init; }

    public required IReadOnlyList<string> Models { get; init; }

    public required NodeCondition State { get; init; }

    /// <summary>Requests being served when it was last heard, and waiting.</summary>
    public required int Running { get; init; }

    public required int Queued { get; init; }

    /// <summary>A node beats every few seconds (<see cref="GatewayOptions.HeartbeatSeconds"/>); a silent one gets no locks.</summary>
    public required DateTimeOffset HeardAt { get; init; }

    /// <summary>When the newest key that it announced ends; null where it has none.</summary>
    public required DateTimeOffset? KeyExpiresAt { get; init; }

    /// <summary>Requests whose usage it never reported.</summary>
    public required long Unreported { get; init; }

    /// <summary>The last message of it, or in its name, that was refused; null where there was none. It stays when the node is heard again.</summary>
    public required NodeRefusalEntry? LastRefusal { get; init; }
}

/// <summary>A message that said it was a node's and was refused: what the node itself is not told.</summary>
/// <param name="Reason">Why.</param>
/// <param name="At">When; a running gateway says it within two seconds.</param>
public sealed record NodeRefusalEntry(NodeRefusal Reason, DateTimeOffset At)
{
    /// <summary>The reason in words, the end of a sentence.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public string InWords => Reason.InWords();
}

/// <summary>How a node last was.</summary>
public enum NodeCondition
{
    Ready,

    /// <summary>It finishes what it has and takes nothing new.</summary>
    Draining,

    /// <summary>The gateway could not connect to it since it was last heard.</summary>
    Unreachable,
}

/// <summary>Which version of the program a database's tables are of.</summary>
/// <param name="Name">The newest change that was made to them; null where there are none yet.</param>
/// <param name="Age">Beside this program.</param>
public sealed record TablesVersion(string? Name, TablesAge Age);

/// <summary>How tables stand to a program.</summary>
public enum TablesAge
{
    Same,

    /// <summary>The program brings them up to date when it opens them.</summary>
    Older,

    /// <summary>The program refuses them.</summary>
    Later,
}
