// spec/gateway.md section 7: what an operator changes holds within a second; section 10 rule 9.
using System.Collections.Concurrent;
using System.Collections.Frozen;
using ConfidentialChat.Gateway.State;

namespace ConfidentialChat.Gateway.Auth;

/// <summary>The API keys that open, by their public prefix: a picture in memory, which is replaced whole. Safe from any thread.</summary>
internal sealed class KnownApiKeys(IStateWriter state, TimeProvider time)
{
    private readonly Latest<FrozenDictionary<string, KnownApiKey>> keys = new(FrozenDictionary<string, KnownApiKey>.Empty);
    private readonly ConcurrentDictionary<string, DateTimeOffset> used = new(StringComparer.Ordinal); // of good keys alone, since they were written

    public Task ReloadAsync() => keys.ReadAsync(
        state, async rows => (await rows.ApiKeys.AllAsync()).ToFrozenDictionary(key => key.Prefix, StringComparer.Ordinal));

    /// <summary>The key as it is known; null for one that does not open.</summary>
    public KnownApiKey? Find(BearerSecret secret)
    {
        var known = keys.Value.GetValueOrDefault(secret.Prefix);
        if (!secret.Matches(known?.Hash))
            return null;
        var now = time.GetUtcNow();
        if (known!.ExpiresAt <= now)
            return null;
        if (known.IsUsedAt(now))
            used[known.Prefix] = now;
        return known;
    }

    /// <summary>Writes when keys were last used, behind whatever is written next: no request waits for it.</summary>
    public void WriteUses()
    {
        foreach (var (prefix, at) in used)
        {
            if (used.TryRemove(new(prefix, at)))
                _ = state.RunAsync(rows => rows.ApiKeys.NoteUseAsync(prefix, at), Commit.Lazily);
        }
    }
}

/// <summary>The rows of API keys, within one transaction.</summary>
internal interface IApiKeyRows
{
    /// <summary>Those that are not revoked, expired ones too.</summary>
    ValueTask<IReadOnlyList<KnownApiKey>> AllAsync();

    /// <summary>When a key was last used, where that is later than what is known.</summary>
    ValueTask<bool> NoteUseAsync(string prefix, DateTimeOffset at);
}

/// <param name="Prefix">Public.</param>
/// <param name="Hash">SHA-256 of the whole key.</param>
/// <param name="User">Whose it is.</param>
/// <param name="Scopes">What it opens.</param>
/// <param name="ExpiresAt">Null where it does not expire.</param>
internal sealed record KnownApiKey(string Prefix, byte[] Hash, UserId User, ApiKeyScopes Scopes, DateTimeOffset? ExpiresAt)
{
    /// <summary>When it was last used is known down to this.</summary>
    private const long Grain = 60_000;

    private long noted; // milliseconds since 1970

    /// <summary>Whether this is worth to be written: once a minute, by one of those that use it.</summary>
    public bool IsUsedAt(DateTimeOffset now)
    {
        var (at, before) = (now.ToUnixTimeMilliseconds(), Volatile.Read(ref noted));
        return Math.Abs(at - before) >= Grain && Interlocked.CompareExchange(ref noted, at, before) == before;
    }
}
