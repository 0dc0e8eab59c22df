// spec/envelope-v1.md sections 1 and 9: 413, then 415.
using ConfidentialChat.Protocol.V1;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway.Errors;

/// <summary>The body of a request, whole and exactly as it came.</summary>
internal static class RequestBody
{
    /// <summary>Memory grows with what has arrived, not with what a header promises: promises cost an attacker nothing.</summary>
    private const int FirstBufferSize = 16 * 1024;

    /// <summary>Reads it, or says why not.</summary>
    /// <exception cref="BadHttpRequestException">It breaks off, is too slow, or has no length and grows above the server's limit.</exception>
    public static async Task<(ArraySegment<byte> Body, ErrorAnswer? Fault)> ReadAsync(HttpContext context, int maxBytes)
    {
        var request = context.Request;
        if (request.ContentLength > maxBytes)
            return (default, new ErrorAnswer(V1Error.BodyTooLarge));
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || !type.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase))
            return (default, new ErrorAnswer(V1Error.UnsupportedMediaType));

        using var body = new MemoryStream((int)Math.Min(request.ContentLength ?? 0, FirstBufferSize));
        var part = new byte[FirstBufferSize];
        int read;
        while ((read = await request.Body.ReadAsync(part, context.RequestAborted)) > 0)
        {
            if (body.Length + read > maxBytes)
                return (default, new ErrorAnswer(V1Error.BodyTooLarge));
            body.Write(part, 0, read);
        }

        return (new ArraySegment<byte>(body.GetBuffer(), 0, (int)body.Length), null);
    }
}
