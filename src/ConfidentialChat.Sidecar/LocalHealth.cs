// spec/sidecar.md section 6.
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace ConfidentialChat.Sidecar;

/// <summary>Whether the sidecar lives, and whether a request could be sealed now.</summary>
internal static class LocalHealth
{
    private static readonly byte[] Ok = """{"message":"ok"}"""u8.ToArray();

    public static Task LiveAsync(HttpContext context) => WriteAsync(context);

    public static async Task ReadyAsync(HttpContext context)
    {
        if (await context.RequestServices.GetRequiredService<NodeVerdicts>().LookAsync(context.RequestAborted) is { } why)
            await (why with { Status = StatusCodes.Status503ServiceUnavailable }).WriteAsync(context);
        else
            await WriteAsync(context);
    }

    private static Task WriteAsync(HttpContext context)
    {
        var response = context.Response;
        response.ContentType = "application/json";
        response.ContentLength = Ok.Length;
        response.Headers.CacheControl = "no-store";
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(Ok, context.RequestAborted).AsTask();
    }
}
