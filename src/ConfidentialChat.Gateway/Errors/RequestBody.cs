// spec/envelope-v1.md sections 1 and 9: 413, then 415.
using ConfidentialChat.Protocol.Errors;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway.Errors;

/// <summary>The body of a request, whole and exactly as it came.</summary>
internal static class RequestBody
{
    /// <summary>Memory grows with what has arrived, not with what a header promises: promises cost an attacker nothing.</summary>
    private const int FirstBufferSize = 16 * 1024;

    /// <summary>Reads it, or says why not: it is too large, of another type, or took longer than it may.</summary>
    /// <exception cref="BadHttpRequestException">It breaks off, is too slow, or has no length and grows above the server's limit.</exception>
    public static async Task<(ArraySegment<byte> Body, ErrorAnswer? Fault)> ReadAsync(HttpContext context, int maxBytes)
    {
        var request = context.Request;
        if (request.ContentLength > maxBytes)
            return (default, new ErrorAnswer(RequestError.BodyTooLarge));
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || !type.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase))
            return (default, new ErrorAnswer(RequestError.UnsupportedMediaType));

        // Kestrel's least rate alone would let 32 MiB take a day and a half, and the room for them be held as long.
        using var late = new CancellationTokenSource(context.RequestServices.GetRequiredService<GatewayOptions>().UploadTimeout);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
        using var body = new MemoryStream((int)Math.Min(request.ContentLength ?? 0, FirstBufferSize));
        var part = new byte[FirstBufferSize];
        int read;
        try
        {
            while ((read = await request.Body.ReadAsync(part, either.Token)) > 0)
            {
                if (body.Length + read > maxBytes)
                    return (default, new ErrorAnswer(RequestError.BodyTooLarge));
                body.Write(part, 0, read);
            }
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
        {
            context.Response.Headers.Connection = "close"; // the rest of the body would be read as the next request
            return (default, ErrorAnswer.ForStatus(StatusCodes.Status408RequestTimeout));
        }

        return (new ArraySegment<byte>(body.GetBuffer(), 0, (int)body.Length), null);
    }
}
