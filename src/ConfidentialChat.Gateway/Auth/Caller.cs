// spec/envelope-v1.md section 9: 401 comes before everything else.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Auth;

/// <summary>Who calls. Only <see cref="Callers"/> makes one, so whoever holds it knows that the key was good.</summary>
/// <param name="User">Whose key it is.</param>
/// <param name="Key">The public prefix of the key that was shown: by it an act is known in the audit log.</param>
internal sealed record Caller(UserId User, string Key);

/// <summary>What a caller who showed a good API key asked for.</summary>
internal delegate ValueTask<IResult> CallerHandler(HttpContext context, Caller caller);

/// <summary>Lets through who shows a good API key.</summary>
internal sealed class Callers(KnownApiKeys keys, ForeignChanges changes, GatewayOptions options)
{
    /// <summary>3 of docs/architecture.md: who calls, and whether the key is for that.</summary>
    public RequestDelegate Only(CallerHandler handler, ApiKeyScopes scope = ApiKeyScopes.Inference) => async context =>
    {
        IResult answer = new ErrorAnswer(RequestError.AuthError) { Forwarded = false };
        if (BearerSecret.FromHeader(SecretKind.ApiKey, context.Request.Headers.Authorization) is { } secret
            && (keys.Find(secret) ?? await FindNewAsync(secret)) is { } key)
        {
            context.Recognise(options.MaxBodyBytes);
            answer = key.Scopes.HasFlag(scope) ? await handler(context, new Caller(key.User, key.Prefix))
                : new ErrorAnswer(RequestError.Forbidden) { Forwarded = false };
        }

        await answer.ExecuteAsync(context);
    };

    // Perhaps it was made a moment ago, by another process.
    private async ValueTask<KnownApiKey?> FindNewAsync(BearerSecret secret)
    {
        await changes.LookSoonAsync();
        return keys.Find(secret);
    }
}
