// spec/envelope-v1.md sections 1 and 9: 413, then 415, then room; spec/gateway.md section 8 rule 2.
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Errors;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway.Errors;

/// <summary>The JSON body of a request, whole and exactly as it came.</summary>
internal static class RequestBody
{
    private const string Json = "application/json";
    private const string Identity = "identity";

    /// <summary>Reads it, or says why not: it is too large, of another type, finds no room, or took longer than it may.</summary>
    /// <returns>The body, which its taker disposes of, or the fault.</returns>
    /// <exception cref="BadHttpRequestException">It breaks off, or has no length and grows above the server's limit.</exception>
    public static async ValueTask<(ReceivedBody? Body, ErrorAnswer? Fault)> ReadAsync(HttpContext context, BodyLimits limits, BodyShare room, TimeProvider time)
    {
        if (!(context.Request.ContentLength > limits.MaxBytes))
        {
            if (!IsPlain(context.Request.Headers.ContentEncoding))
            {
                context.Response.Headers.AcceptEncoding = Identity; // RFC 9110 section 15.5.16
                return (null, new ErrorAnswer(RequestError.UnsupportedMediaType));
            }

            if (!IsJson(context.Request.ContentType))
                return (null, new ErrorAnswer(RequestError.UnsupportedMediaType));
        }

        try
        {
            var (body, fault) = await BodyReader.ReadAsync(context, limits, room, time);
            return (body, fault switch
            {
                BodyFault.None => null,
                BodyFault.TooLarge => new ErrorAnswer(RequestError.BodyTooLarge),
                BodyFault.TooSlow => new ErrorAnswer(RequestError.BodyTooSlow),
                _ => new ErrorAnswer(RequestError.TooManyRequests),
            });
        }
        catch (IOException e) when (e is not BadHttpRequestException)
        {
            context.Response.Headers.Connection = "close"; // nobody knows where the next request would begin
            return (null, ErrorAnswer.ForStatus(StatusCodes.Status400BadRequest)); // a chunk size above what Kestrel counts to, or a connection that broke
        }
    }

    // Ciphertext does not shrink, and what is unpacked has no length that could be judged before it is in memory.
    private static bool IsPlain(StringValues encoding) => encoding.Count == 0 || string.Equals(encoding, Identity, StringComparison.OrdinalIgnoreCase);

    private static bool IsJson(string? contentType) =>
        string.Equals(contentType, Json, StringComparison.OrdinalIgnoreCase)
        || (MediaTypeHeaderValue.TryParse(contentType, out var type) && type.MediaType.Equals(Json, StringComparison.OrdinalIgnoreCase));
}
