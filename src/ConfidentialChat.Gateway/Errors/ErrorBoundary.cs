using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Gateway.Errors;

/// <summary>Gives whatever goes wrong below it, in the framework too, the one shape of an error.</summary>
internal sealed class ErrorBoundary(RequestDelegate next, Seldom seldom, ILogger<ErrorBoundary> log)
{
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            return; // nobody is left to answer
        }
        catch (BadHttpRequestException e)
        {
            await AnswerAsync(context, ErrorAnswer.ForStatus(e.StatusCode));
            return;
        }
        catch (GatewayStateException)
        {
            await AnswerAsync(context, new ErrorAnswer(RequestError.ServiceUnavailable)); // who met it first has logged it
            return;
        }
        catch (Exception e)
        {
            if (seldom.Says("Requests that failed inside the gateway"))
                log.Unhandled(e);
            await AnswerAsync(context, new ErrorAnswer(RequestError.InternalError));
            return;
        }

        var response = context.Response;
        if (!response.HasStarted && response.StatusCode >= 400 && response.ContentType is null)
            await ErrorAnswer.ForStatus(response.StatusCode).ExecuteAsync(context);
    }

    private static Task AnswerAsync(HttpContext context, ErrorAnswer answer)
    {
        // Half an answer is out: it must not look like a whole one.
        if (context.Response.HasStarted)
        {
            context.Abort();
            return Task.CompletedTask;
        }

        context.ClearAnswer();
        return answer.ExecuteAsync(context);
    }
}
