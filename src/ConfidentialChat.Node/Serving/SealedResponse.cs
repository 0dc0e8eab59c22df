// spec/envelope-v1.md sections 7 and 8.
using System.Buffers;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ConfidentialChat.Node.Inference;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Node.Serving;

/// <summary>Writes an answer as it is sealed: whole, or event by event without holding the stream back.</summary>
internal sealed class SealedResponse(HttpResponse response, OpenedRequest opened, TimeSpan keepAlive, TimeProvider time)
{
    private static readonly byte[] KeepAliveComment = ": keep-alive\n\n"u8.ToArray();

    public async Task WriteWholeAsync(ReadOnlyMemory<byte> json, Usage usage, CancellationToken cancellation)
    {
        var body = new ArrayBufferWriter<byte>(json.Length * 2);
        opened.SealWhole(json.Span, new ClearUsage(usage.PromptTokens, usage.CompletionTokens), body);
        Clear(json);
        response.ContentType = "application/json";
        response.ContentLength = body.WrittenCount;
        await response.Body.WriteAsync(body.WrittenMemory, cancellation);
    }

    /// <param name="parts">The parts, moved to the first already.</param>
    /// <param name="cancellation">Cancelled when the caller is gone.</param>
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
            await response.Body.WriteAsync(body.WrittenMemory, cancellation);
            await response.Body.FlushAsync(cancellation);
        }
        while (await NextAsync(parts, cancellation));
    }

    private static void Clear(ReadOnlyMemory<byte> part) => CryptographicOperations.ZeroMemory(MemoryMarshal.AsMemory(part).Span);

    private async Task<bool> NextAsync(AnswerParts parts, CancellationToken cancellation)
    {
        while (true)
        {
            if (await parts.MoveNextAsync(keepAlive, time, cancellation) is { } moved)
                return moved;
            await response.Body.WriteAsync(KeepAliveComment, cancellation);
            await response.Body.FlushAsync(cancellation);
        }
    }
}
