using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Errors;

/// <summary>Writes a rejection in the one shape that every error of the node has.</summary>
internal static class RejectionResponse
{
    private const string RetryAfterSeconds = "1";

    public static async Task WriteAsync(this HttpResponse response, Rejection rejection)
    {
        var row = rejection.Error.Row();
        response.StatusCode = row.Status;
        response.ContentType = "application/json";
        if (row.Status is StatusCodes.Status429TooManyRequests or StatusCodes.Status503ServiceUnavailable)
            response.Headers.RetryAfter = RetryAfterSeconds;
        var body = rejection.ToJson();
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body);
    }

    /// <summary>What the framework itself answers (no such path, wrong method, too large) gets the same shape.</summary>
    public static Task WriteStatusAsync(HttpResponse response) => response.WriteAsync(new Rejection(response.StatusCode switch
    {
        StatusCodes.Status404NotFound => V1Error.NotFound,
        StatusCodes.Status405MethodNotAllowed => V1Error.MethodNotAllowed,
        StatusCodes.Status413PayloadTooLarge => V1Error.BodyTooLarge,
        StatusCodes.Status415UnsupportedMediaType => V1Error.UnsupportedMediaType,
        StatusCodes.Status503ServiceUnavailable => V1Error.ServiceUnavailable,
        StatusCodes.Status408RequestTimeout or >= 500 => V1Error.InternalError,
        _ => V1Error.InvalidJson,
    }));
}
