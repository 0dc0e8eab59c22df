using System.Buffers;
using ConfidentialChat.Protocol.Errors;

namespace ConfidentialChat.Node.Serving;

/// <summary>Reads a body that is bounded in size and time.</summary>
internal static class EnvelopeBody
{
    private const int FirstBufferSize = 16 * 1024;

    /// <summary>The body, or why it was not read to its end.</summary>
    /// <exception cref="OperationCanceledException">The caller is gone.</exception>
    /// <exception cref="CallerGoneException">The connection broke.</exception>
    public static async Task<(ReadOnlyMemory<byte> Body, RequestError? Fault)> ReadAsync(HttpRequest request, long limit, TimeSpan patience, TimeProvider time)
    {
        if (request.ContentLength > limit)
            return (default, RequestError.BodyTooLarge);
        if (TryTakeWhole(request) is { } whole)
            return (whole, null);

        using var late = new CancellationTokenSource(patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, request.HttpContext.RequestAborted);
        var body = new ArrayBufferWriter<byte>(FirstBufferSize); // grows with what came, not with what was announced
        try
        {
            while (true)
            {
                var read = await request.Body.ReadAsync(body.GetMemory(FirstBufferSize), either.Token);
                if (read == 0)
                    return (body.WrittenMemory, null);
                body.Advance(read);
                if (body.WrittenCount > limit)
                    return (default, RequestError.BodyTooLarge);
            }
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !request.HttpContext.RequestAborted.IsCancellationRequested)
        {
            return (default, RequestError.InternalError);
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException e) when (e.StatusCode == StatusCodes.Status408RequestTimeout)
        {
            return (default, RequestError.InternalError); // below Kestrel's rate
        }
        catch (IOException)
        {
            throw new CallerGoneException();
        }
    }

    // Most bodies are here with their head: for those no clock runs. What is wrong with one shows when it is read.
    private static byte[]? TryTakeWhole(HttpRequest request)
    {
        try
        {
            if (request.ContentLength is not { } length || !request.BodyReader.TryRead(out var read))
                return null;
            var isWhole = read.Buffer.Length == length;
            var body = isWhole ? read.Buffer.ToArray() : null;
            request.BodyReader.AdvanceTo(isWhole ? read.Buffer.End : read.Buffer.Start);
            return body;
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            return null;
        }
    }
}
