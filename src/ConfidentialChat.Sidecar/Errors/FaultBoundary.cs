// spec/sidecar.md section 5.
using ConfidentialChat.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Sidecar.Errors;

/// <summary>An answer that had begun has said all that it can of its fault. The server closes its connection without the end of a body.</summary>
internal sealed class AnswerCutException : Exception
{
    public AnswerCutException()
        : base("The answer was cut.")
    {
    }
}

/// <summary>Gives whatever goes wrong below it, in the framework too, the shape of an error.</summary>
internal sealed class FaultBoundary(RequestDelegate next, Seldom seldom, ILogger<FaultBoundary> log)
{
    public async Task InvokeAsync(HttpContext context)
    {
        SidecarRefusal refusal;
        try
        {
            await next(context);
            var status = context.Response.StatusCode;
            if (context.Response.HasStarted || status < 400 || context.Response.ContentType is not null)
                return;
            refusal = SidecarRefusal.Of(SidecarErrors.FromStatus(status));
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            return; // nobody is left to answer, and what broke broke for that
        }
        catch (AnswerCutException)
        {
            throw;
        }
        catch (BadHttpRequestException e)
        {
            refusal = SidecarRefusal.Of(SidecarErrors.FromStatus(e.StatusCode));
        }
        catch (Exception e)
        {
            if (seldom.Says("Requests that failed inside the sidecar"))
                log.Unhandled(e);
            refusal = SidecarRefusal.Of(SidecarError.InternalError);
        }

        if (context.Response.HasStarted)
            throw new AnswerCutException(); // half an answer is out: it must not look like a whole one
        await refusal.WriteAsync(context);
    }
}
