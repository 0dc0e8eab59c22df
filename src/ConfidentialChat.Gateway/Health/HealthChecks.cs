using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Health;

/// <summary>Whether the gateway lives, and whether it should be sent requests.</summary>
internal static class HealthChecks
{
    public static IResult Ok() => new JsonAnswer<HealthAnswer>(new("ok"), GatewayJson.Default.HealthAnswer);

    /// <summary>
    /// Ready while the database can be read, and took the last change; a gateway that stops is turned away before this (see
    /// <see cref="Draining"/>).
    /// </summary>
    public static async Task<IResult> Ready(Database database, WriteHealth health)
    {
        if (!health.IsGood)
            return new ErrorAnswer(RequestError.ServiceUnavailable);
        try
        {
            await database.LookAsync();
            return Ok();
        }
        catch (Exception e) when (e is GatewayStateException or System.Data.Common.DbException)
        {
            health.Failed(e as GatewayStateException ?? new GatewayStateException(StateFault.Unusable, e), changes: 0);
            return new ErrorAnswer(RequestError.ServiceUnavailable);
        }
    }
}

internal sealed record HealthAnswer(string Message);

/// <summary>Turns new requests away once the gateway is told to stop; those in flight go on.</summary>
internal sealed class Draining(RequestDelegate next, IHostApplicationLifetime lifetime)
{
    public Task InvokeAsync(HttpContext context) =>
        lifetime.ApplicationStopping.IsCancellationRequested && context.Request.Path != Endpoints.Live
            ? new ErrorAnswer(RequestError.ServiceUnavailable) { Forwarded = false }.ExecuteAsync(context)
            : next(context);
}
