// spec/gateway.md section 7: what an operator changes holds within a second.
using System.Collections.Frozen;
using ConfidentialChat.Gateway.State;

namespace ConfidentialChat.Gateway.Auth;

/// <summary>The API keys that open, by their public prefix: a picture in memory, which is replaced whole. Safe from any thread.</summary>
internal sealed class KnownApiKeys(IStateWriter state)
{
    private readonly Latest<FrozenDictionary<string, KnownApiKey>> keys = new(FrozenDictionary<string, KnownApiKey>.Empty);

    public Task ReloadAsync() => keys.ReadAsync(
        state, async rows => (await rows.ApiKeys.AllAsync()).ToFrozenDictionary(key => key.Prefix, StringComparer.Ordinal));

    /// <summary>Whose key it is; null for a key that does not open.</summary>
    public UserId? Find(BearerSecret secret)
    {
        var known = keys.Value.GetValueOrDefault(secret.Prefix);
        return secret.Matches(known?.Hash) ? known!.User : null;
    }
}

/// <summary>The rows of API keys, within one transaction.</summary>
internal interface IApiKeyRows
{
    /// <summary>Those that are not revoked.</summary>
    ValueTask<IReadOnlyList<KnownApiKey>> AllAsync();
}

/// <param name="Prefix">Public.</param>
/// <param name="Hash">SHA-256 of the whole key.</param>
/// <param name="User">Whose it is.</param>
internal sealed record KnownApiKey(string Prefix, byte[] Hash, UserId User);
