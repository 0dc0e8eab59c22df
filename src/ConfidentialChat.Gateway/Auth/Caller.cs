// spec/envelope-v1.md section 9: 401 comes before everything else.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Auth;

/// <summary>Who calls. Only <see cref="Callers"/> makes one, so whoever holds it knows that the key was good.</summary>
internal sealed record Caller(UserId User);

/// <summary>What a caller who showed a good API key asked for.</summary>
internal delegate ValueTask<IResult> CallerHandler(HttpContext context, Caller caller);

/// <summary>Lets through who shows a good API key.</summary>
internal sealed class Callers(KnownApiKeys keys, ForeignChanges changes, GatewayOptions options)
{
    /// <summary>3 of docs/architecture.md: who calls.</summary>
    public RequestDelegate Only(CallerHandler handler) => async context =>
    {
        IResult answer = new ErrorAnswer(RequestError.AuthError) { Forwarded = false };
        if (BearerSecret.FromHeader(SecretKind.ApiKey, context.Request.Headers.Authorization) is { } secret
            && (keys.Find(secret) ?? await FindNewAsync(secret)) is { } user)
        {
            context.Recognise(options.MaxBodyBytes);
            answer = await handler(context, new Caller(user));
        }

        await answer.ExecuteAsync(context);
    };

    // Perhaps it was made a moment ago, by another process.
    private async ValueTask<UserId?> FindNewAsync(BearerSecret secret)
    {
        await changes.LookSoonAsync();
        return keys.Find(secret);
    }
}
