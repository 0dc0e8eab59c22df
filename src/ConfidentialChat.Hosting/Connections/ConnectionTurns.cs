// spec/gateway.md section 8 rules 1 and 2.
using ConfidentialChat.Hosting.Bodies;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace ConfidentialChat.Hosting.Connections;

/// <summary>Where a server's connections meet its requests.</summary>
internal static class ConnectionTurns
{
    /// <summary>
    /// Read and thrown away of a body that nobody asked for, so that its sender gets to read the answer; for a larger one the connection is closed.
    /// A node's message is no larger, but for usage reports.
    /// </summary>
    private const int MaxUnaskedBytes = 64 * 1024;

    /// <summary>
    /// What a client may send before any of it is read, bytes: of one request, and of all on a connection (RFC 9113 section 5.2). A window is
    /// also what a distant client sends in one round trip, which the system's own buffers do for HTTP/1.1.
    /// </summary>
    private const int StreamWindow = 256 * 1024, ConnectionWindow = 512 * 1024;

    public static void BoundStrangers(this KestrelServerLimits limits)
    {
        limits.MaxRequestBodySize = MaxUnaskedBytes;
        limits.MaxRequestBufferSize = BodyReader.ConnectionBytes;
        limits.MinRequestBodyDataRate = null; // a body's pace is asked by whoever reads it (BodyPace), and is never as slow as the server's own
        limits.Http2.InitialStreamWindowSize = StreamWindow;
        limits.Http2.InitialConnectionWindowSize = ConnectionWindow;
        limits.RequestHeadersTimeout = ConnectionLimits.HeadTime; // of further requests; that of the first runs from the connection on
    }

    /// <summary>The first of all: whoever is here has sent a whole head.</summary>
    /// <param name="app">The server's.</param>
    /// <param name="isOfService">Whether a path is for nodes or health checks, which have places of their own.</param>
    /// <param name="refuse">Answers where no place is left for a request.</param>
    public static void UseConnectionTurns(
        this IApplicationBuilder app, Func<PathString, bool> isOfService, RequestDelegate refuse) => app.Use(next => context =>
        context.Features.Get<ConnectionPlace>() is { } place
            ? TakeTurnAsync(context, place, isOfService(context.Request.Path), next, refuse)
            : next(context));

    /// <summary>Who asks has shown a key, a token or a signature: the connection is no stranger's, and its request may have a body.</summary>
    /// <param name="context">The request.</param>
    /// <param name="maxBodyBytes">Of the body, which its reader bounds to the byte; null where it alone does.</param>
    public static void Recognise(this HttpContext context, long? maxBodyBytes)
    {
        context.Features.Get<ConnectionPlace>()?.Know();
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            size.MaxRequestBodySize = maxBodyBytes * 2; // Kestrel counts the framing of chunks as well: a body of the very limit would not pass
    }

    private static async Task TakeTurnAsync(HttpContext context, ConnectionPlace place, bool isOfService, RequestDelegate next, RequestDelegate refuse)
    {
        try
        {
            if (place.Begin(isOfService))
            {
                await next(context);
            }
            else
            {
                context.Response.Headers.Connection = "close";
                await refuse(context);
            }
        }
        finally
        {
            place.End(isOfService);
        }
    }
}
