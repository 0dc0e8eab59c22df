// spec/envelope-v1.md section 9.
using ConfidentialChat.Protocol.V1;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway.Errors;

/// <summary>An answer that turns a request away: the one place where the gateway writes an error.</summary>
internal sealed class ErrorAnswer(Rejection rejection, int? retryAfterSeconds = null) : IResult
{
    private const int DefaultRetryAfterSeconds = 1;

    public ErrorAnswer(V1Error error, string? field = null)
        : this(new Rejection(error, field))
    {
    }

    /// <summary>The error that a bare status of the framework stands for.</summary>
    public static ErrorAnswer ForStatus(int status) => new(status switch
    {
        StatusCodes.Status401Unauthorized => V1Error.AuthError,
        StatusCodes.Status404NotFound => V1Error.NotFound,
        StatusCodes.Status405MethodNotAllowed => V1Error.MethodNotAllowed,
        StatusCodes.Status413PayloadTooLarge => V1Error.BodyTooLarge,
        StatusCodes.Status415UnsupportedMediaType => V1Error.UnsupportedMediaType,
        StatusCodes.Status503ServiceUnavailable => V1Error.ServiceUnavailable,
        >= 500 => V1Error.InternalError,
        _ => V1Error.InvalidJson, // a body that broke off, or came too slowly
    });

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        var body = rejection.ToJson();
        response.StatusCode = rejection.Error.Row().Status;
        response.ContentType = "application/json";
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-store";
        if (rejection.Error is V1Error.AuthError)
            response.Headers.WWWAuthenticate = "Bearer";
        if (rejection.Error is V1Error.TooManyRequests or V1Error.ServiceUnavailable)
            response.Headers[HeaderNames.RetryAfter] = (retryAfterSeconds ?? DefaultRetryAfterSeconds).ToString();
        await response.Body.WriteAsync(body, httpContext.RequestAborted);
    }
}
