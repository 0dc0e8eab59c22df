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
            response.Headers.RetryAfter = RetryAfter(retryAfter);
        var body = rejection.ToJson();
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body);
    }

    /// <summary>The same outside of a sealed answer; spec/envelope-v2.md section 7.</summary>
    public static async Task WriteProblemAsync(this HttpResponse response, ProblemDocument problem, TimeSpan? retryAfter = null)
    {
        var row = problem.Error.Row();
        response.StatusCode = row.Status;
        response.ContentType = ProblemDocument.MediaType;
        response.Headers.XContentTypeOptions = "nosniff";
        if (row.HasRetryAfter)
            response.Headers.RetryAfter = RetryAfter(retryAfter);
        var body = problem.ToJson();
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body);
    }

    /// <summary>Whole seconds, within bounds.</summary>
    public static string RetryAfter(TimeSpan? known) =>
        Math.Clamp(Math.Ceiling(known?.TotalSeconds ?? 0), RetryAfterLeast, RetryAfterMost).ToString(CultureInfo.InvariantCulture);

    /// <summary>What the framework itself answers (no such path, wrong method, too large) gets the same shape.</summary>
    public static Task WriteStatusAsync(HttpResponse response) => response.WriteAsync(new Rejection(
        // who is slow is the gateway
        response.StatusCode is StatusCodes.Status408RequestTimeout ? RequestError.InternalError : RequestErrors.FromStatus(response.StatusCode)));
}
