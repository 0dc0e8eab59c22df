using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.State;
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Health;

/// <summary>Whether the gateway lives, and whether it should be sent requests.</summary>
internal static class HealthChecks
{
    public static IResult Ok() => new JsonAnswer<HealthAnswer>(new("ok"), GatewayJson.Default.HealthAnswer);

    /// <summary>Ready while the database answers; a gateway that stops is turned away before this (see <see cref="Draining"/>).</summary>
    public static IResult Ready(Database database, Seldom seldom, ILogger<GatewayHost> log)
    {
        try
        {
            using var connection = database.Connect();
            using var command = connection.CreateCommand();
            command.CommandText = "SELECT 1 FROM nodes LIMIT 1";
            command.ExecuteScalar();
            return Ok();
        }
        catch (System.Data.Common.DbException e)
        {
            if (seldom.Says("Readiness checks that failed"))
                log.Unhandled(e);
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
            ? new ErrorAnswer(RequestError.ServiceUnavailable).ExecuteAsync(context)
            : next(context);
}
