// spec/envelope-v1.md section 9: 401 comes before everything else.
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol.Errors;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.EntityFrameworkCore;

namespace ConfidentialChat.Gateway.Auth;

/// <summary>Who calls. Only <see cref="CallerFilter"/> makes one, so whoever holds it knows that the key was good.</summary>
internal sealed record Caller(UserId User)
{
    public static Caller Of(HttpContext context) => context.Features.GetRequiredFeature<Caller>();
}

/// <summary>Lets through who shows a good API key.</summary>
internal sealed class CallerFilter : IEndpointFilter
{
    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        if (BearerSecret.FromHeader(SecretKind.ApiKey, http.Request.Headers.Authorization) is not { } secret)
            return new ErrorAnswer(RequestError.AuthError);
        var row = await http.RequestServices.GetRequiredService<GatewayDbContext>().ApiKeys.AsNoTracking()
            .SingleOrDefaultAsync(key => key.Prefix == secret.Prefix, http.RequestAborted);
        if (!secret.Matches(row?.Hash) || row is not { RevokedAt: null })
            return new ErrorAnswer(RequestError.AuthError);
        http.Features.Set(new Caller(new UserId(row.UserId)));
        return await next(context);
    }
}
