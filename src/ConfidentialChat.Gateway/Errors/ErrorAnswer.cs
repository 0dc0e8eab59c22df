// spec/envelope-v1.md section 9; spec/envelope-v2.md section 7.
using ConfidentialChat.Protocol.Errors;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway.Errors;

/// <summary>
/// An answer that turns a request away: the one place where the gateway writes an error, in the shape that its endpoint speaks.
/// </summary>
internal sealed class ErrorAnswer(Rejection rejection, int? retryAfterSeconds = null) : IResult
{
    private const int DefaultRetryAfterSeconds = 1;

    public ErrorAnswer(RequestError error, string? field = null)
        : this(new Rejection(error, field))
    {
    }

    /// <summary>False where no node has read anything of the request and nothing is held; null where that is not said.</summary>
    public bool? Forwarded { get; init; }

    /// <summary>The error that a bare status of the framework stands for.</summary>
    public static ErrorAnswer ForStatus(int status) => new(RequestErrors.FromStatus(status));

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        var row = rejection.Error.Row();
        var speaksProblems = Endpoints.SpeaksProblems(httpContext.Request.Path);
        var body = !speaksProblems ? rejection.ToJson()
            : new ProblemDocument(rejection.Error, Forwarded, rejection.Field) { Shortfall = rejection.Shortfall }.ToJson();
        response.StatusCode = row.Status;
        response.ContentType = speaksProblems ? ProblemDocument.MediaType : "application/json";
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff";
        if (rejection.Error is RequestError.AuthError)
            response.Headers.WWWAuthenticate = "Bearer";
        if (row.HasRetryAfter)
            response.Headers[HeaderNames.RetryAfter] = (retryAfterSeconds ?? DefaultRetryAfterSeconds).ToString();
        await response.Body.WriteAsync(body, httpContext.RequestAborted);
    }
}
