// spec/envelope-v1.md sections 7 and 8.
using System.Buffers;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Serving;

/// <summary>Writes an answer as it is sealed: whole, or event by event without holding the stream back.</summary>
internal sealed class SealedResponse(HttpResponse response, OpenedRequest opened, TimeSpan keepAlive, TimeSpan readerTimeout, TimeProvider time)
{
    /// <summary>A whole answer goes out in pieces of this many bytes, each with the reader's full time.</summary>
    private const int Slice = 64 * 1024;

    private static readonly byte[] KeepAliveComment = ": keep-alive\n\n"u8.ToArray();

    /// <param name="json">The answer; cleared.</param>
    /// <param name="usage">What is shown outside; null for nothing.</param>
    /// <param name="cancellation">Cancelled when the caller is gone.</param>
    /// <exception cref="ReaderTooSlowException">The reader took nothing for too long.</exception>
    public async Task WriteWholeAsync(ReadOnlyMemory<byte> json, Usage? usage, CancellationToken cancellation)
    {
        var body = new ArrayBufferWriter<byte>(json.Length * 2);
        opened.SealWhole(json.Span, usage is { } tokens ? new ClearUsage(tokens.PromptTokens, tokens.CompletionTokens) : null, body);
        Clear(json);
        response.ContentType = "application/json";
        response.ContentLength = body.WrittenCount;
        for (var rest = body.WrittenMemory; rest.Length > 0; rest = rest[Math.Min(rest.Length, Slice)..])
            await SendAsync(rest[..Math.Min(rest.Length, Slice)], cancellation);
    }

    /// <param name="parts">The parts, moved to the first already.</param>
    /// <param name="cancellation">Cancelled when the caller is gone.</param>
    /// <exception cref="ReaderTooSlowException">The reader took nothing for too long.</exception>
    public async Task WriteStreamAsync(AnswerParts parts, CancellationToken cancellation)
    {
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
        var body = new ArrayBufferWriter<byte>(1024);
        do
        {
            body.ResetWrittenCount();
            body.Write("data: "u8);
            opened.SealEvent(parts.Current.Span, null, body);
            Clear(parts.Current);
            body.Write("\n\n"u8);
            await SendAsync(body.WrittenMemory, cancellation);
        }
        while (await NextAsync(parts, cancellation));
    }

    // What the reader does not take waits in a bounded pipe; once that is full, the write waits for the reader, and not for ever.
    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        var sending = WriteAsync();
        if (sending.IsCompletedSuccessfully)
            return;
        try
        {
            await sending.AsTask().WaitAsync(readerTimeout, time, cancellation);
        }
        catch (TimeoutException)
        {
            throw new ReaderTooSlowException();
        }

        async ValueTask WriteAsync()
        {
            await response.Body.WriteAsync(bytes, cancellation);
            await response.Body.FlushAsync(cancellation);
        }
    }

    private static void Clear(ReadOnlyMemory<byte> part) => CryptographicOperations.ZeroMemory(MemoryMarshal.AsMemory(part).Span);

    private async Task<bool> NextAsync(AnswerParts parts, CancellationToken cancellation)
    {
        while (true)
        {
            if (await parts.MoveNextAsync(keepAlive, time, cancellation) is { } moved)
                return moved;
            await SendAsync(KeepAliveComment, cancellation);
        }
    }
}

/// <summary>The reader of an answer took nothing of it for too long. The write is still pending: abort the connection.</summary>
internal sealed class ReaderTooSlowException() : Exception("The reader took nothing for too long.");
