// spec/envelope-v1.md sections 1 and 9: 413, then 415.
using System.Buffers;
using ConfidentialChat.Protocol.Errors;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Gateway.Errors;

/// <summary>What a body may be.</summary>
/// <param name="MaxBytes">Beyond it 413.</param>
/// <param name="Time">For all of it to arrive.</param>
internal readonly record struct BodyLimits(int MaxBytes, TimeSpan Time);

/// <summary>The body of a request, whole and exactly as it came.</summary>
internal static class RequestBody
{
    private const string Json = "application/json";

    /// <summary>Memory grows with what has arrived, not with what a header promises: promises cost an attacker nothing.</summary>
    private const int FirstBufferSize = 16 * 1024;

    /// <summary>Reads it, or says why not: it is too large, of another type, or took longer than it may.</summary>
    /// <exception cref="BadHttpRequestException">It breaks off, is too slow, or has no length and grows above the server's limit.</exception>
    public static ValueTask<(ArraySegment<byte> Body, ErrorAnswer? Fault)> ReadAsync(HttpContext context, BodyLimits limits)
    {
        var request = context.Request;
        if (request.ContentLength > limits.MaxBytes)
            return new((default, new ErrorAnswer(RequestError.BodyTooLarge)));
        if (!IsJson(request.ContentType))
            return new((default, new ErrorAnswer(RequestError.UnsupportedMediaType)));

        return TryTake(request, out var body) ? new((body, null)) : ReadOnAsync(context, limits);
    }

    // Most bodies are here with their head: no clock has to be set for them.
    private static bool TryTake(HttpRequest request, out ArraySegment<byte> body)
    {
        body = default;
        if (request.ContentLength is not (> 0 and <= FirstBufferSize) || !request.BodyReader.TryRead(out var result))
            return false;
        var isWhole = result.Buffer.Length == request.ContentLength;
        if (isWhole)
            body = result.Buffer.ToArray();
        request.BodyReader.AdvanceTo(isWhole ? result.Buffer.End : result.Buffer.Start);
        return isWhole;
    }

    private static async ValueTask<(ArraySegment<byte> Body, ErrorAnswer? Fault)> ReadOnAsync(HttpContext context, BodyLimits limits)
    {
        // Kestrel's least rate alone would let 32 MiB take a day and a half, and the room for them be held as long.
        using var late = new CancellationTokenSource(limits.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
        var request = context.Request;
        var buffer = GC.AllocateUninitializedArray<byte>((int)Math.Min(request.ContentLength + 1 ?? FirstBufferSize, FirstBufferSize));
        var length = 0;
        try
        {
            for (int read; (read = await request.Body.ReadAsync(buffer.AsMemory(length), either.Token)) > 0;)
            {
                length += read;
                if (length > limits.MaxBytes)
                    return (default, new ErrorAnswer(RequestError.BodyTooLarge));
                if (length == buffer.Length)
                    Array.Resize(ref buffer, (int)Math.Min(2L * buffer.Length, limits.MaxBytes + 1L));
            }
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
        {
            context.Response.Headers.Connection = "close"; // the rest of the body would be read as the next request
            return (default, ErrorAnswer.ForStatus(StatusCodes.Status408RequestTimeout));
        }
        catch (IOException e) when (e is not BadHttpRequestException)
        {
            context.Response.Headers.Connection = "close"; // nobody knows where the next request would begin
            return (default, ErrorAnswer.ForStatus(StatusCodes.Status400BadRequest)); // a chunk size above what Kestrel counts to, or a connection that broke
        }

        return (new ArraySegment<byte>(buffer, 0, length), null);
    }

    private static bool IsJson(string? contentType) =>
        string.Equals(contentType, Json, StringComparison.OrdinalIgnoreCase)
        || (MediaTypeHeaderValue.TryParse(contentType, out var type) && type.MediaType.Equals(Json, StringComparison.OrdinalIgnoreCase));
}
