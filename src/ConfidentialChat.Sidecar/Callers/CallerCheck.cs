// spec/sidecar.md section 1.
using ConfidentialChat.Hosting;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Sidecar.Callers;

/// <summary>
/// Keeps web pages away, before anything is read: a browser lets any page send to this machine, and names the page in headers that the page
/// cannot choose.
/// </summary>
internal sealed class CallerCheck(RequestDelegate next, KnownCallers callers, Seldom seldom, ILogger<CallerCheck> log)
{
    private const string FetchSite = "Sec-Fetch-Site";
    private const string AsksPrivateNetwork = "Access-Control-Request-Private-Network", AllowsPrivateNetwork = "Access-Control-Allow-Private-Network";

    public Task InvokeAsync(HttpContext context)
    {
        if (!callers.KnowsHost(context))
            return RefuseAsync(context, SidecarError.HostRefused);
        var headers = context.Request.Headers;
        if (headers.Origin.Count > 0)
        {
            if (headers.Origin is not [{ } origin] || !callers.KnowsOrigin(origin))
                return RefuseAsync(context, SidecarError.OriginRefused);
            if (HttpMethods.IsOptions(context.Request.Method) && headers.ContainsKey(AsksPrivateNetwork))
                context.Response.Headers[AllowsPrivateNetwork] = "true";
        }
        else if (headers[FetchSite] is { Count: > 0 } site && site is not (["none"] or ["same-origin"]))
        {
            return RefuseAsync(context, SidecarError.OriginRefused); // a picture or a script of a page has no origin
        }

        return next(context);
    }

    private Task RefuseAsync(HttpContext context, SidecarError error)
    {
        if (seldom.Says("Requests of web pages or of other names than this machine's"))
            log.Refused(error.Row().Code);
        context.Response.Headers.Connection = "close";
        return SidecarRefusal.Of(error).WriteAsync(context);
    }
}
