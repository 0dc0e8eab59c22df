// spec/envelope-v1.md section 9; spec/inference.md section 7.
using System.Globalization;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Node.Errors;

/// <summary>Writes a rejection in the one shape that every error of the node has.</summary>
internal static class RejectionResponse
{
    private const int RetryAfterLeast = 1; // seconds; also where nobody knows better
    private const int RetryAfterMost = 60; // an engine's word does not keep callers away for longer

    /// <param name="response">Not begun yet.</param>
    /// <param name="rejection">What the caller learns.</param>
    /// <param name="retryAfter">When there may be room again, where that is known.</param>
    public static async Task WriteAsync(this HttpResponse response, Rejection rejection, TimeSpan? retryAfter = null)
    {
        var row = rejection.Error.Row();
        response.StatusCode = row.Status;
        response.ContentType = "application/json";
        response.Headers.XContentTypeOptions = "nosniff";
        if (row.HasRetryAfter)
        {
            var seconds = Math.Clamp(Math.Ceiling(retryAfter?.TotalSeconds ?? 0), RetryAfterLeast, RetryAfterMost);
            response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        }

        var body = rejection.ToJson();
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body);
    }

    /// <summary>What the framework itself answers (no such path, wrong method, too large) gets the same shape.</summary>
    public static Task WriteStatusAsync(HttpResponse response) => response.WriteAsync(new Rejection(
        response.StatusCode is StatusCodes.Status408RequestTimeout ? RequestError.InternalError : RequestErrors.FromStatus(response.StatusCode))); // who is slow is the gateway
}
