using System.Buffers.Text;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace ConfidentialChat.Bench.WholePath.Load;

/// <summary>One answer as it came.</summary>
/// <param name="Status">Of HTTP.</param>
/// <param name="FirstByte">When the first byte of the body was there, as a timestamp.</param>
/// <param name="Body">Without its chunked frames; good until the connection is used again.</param>
internal readonly record struct RawAnswer(int Status, long FirstByte, ReadOnlyMemory<byte> Body);

/// <summary>
/// One kept connection that sends requests prepared as bytes and reads HTTP/1.1 answers, and does no more: the load must cost less
/// than what it loads.
/// </summary>
internal sealed class RawConnection : IDisposable
{
    private const int HeadMax = 16 * 1024;

    private readonly Uri to;
    private readonly Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly byte[] buffer;
    private byte[] body = new byte[4096];
    private int start;
    private int end;

    public RawConnection(Uri to, int bufferSize = 64 * 1024)
    {
        this.to = to;
        buffer = new byte[Math.Max(bufferSize, HeadMax)];
    }

    /// <summary>Ticks from the request to the first byte of the body, of every answer; told while a stream still runs.</summary>
    public Action? OnFirstByte { get; set; }

    /// <summary>Beside the clock: what a connection costs is not what a request costs.</summary>
    public async Task ConnectAsync() => await socket.ConnectAsync(to.Host, to.Port);

    /// <exception cref="LostAnswerException">The answer broke off, or is not one.</exception>
    public async ValueTask<RawAnswer> ExchangeAsync(ReadOnlyMemory<byte> request, CancellationToken cancellation = default)
    {
        if (!socket.Connected)
            await socket.ConnectAsync(to.Host, to.Port, cancellation);
        start = end = 0;
        await socket.SendAsync(request, cancellation);
        int head;
        while ((head = buffer.AsSpan(start, end - start).IndexOf("\r\n\r\n"u8)) < 0)
            await FillAsync(cancellation);
        var (status, length, isChunked) = Head(buffer.AsSpan(start, head + 2));
        start += head + 4;
        var firstByte = 0L;
        var filled = 0;
        if (!isChunked)
        {
            while (filled < length)
            {
                await NeedAsync(cancellation);
                Seen(ref firstByte);
                filled = Take(filled, Math.Min(end - start, length - filled));
            }

            return new RawAnswer(status, firstByte, body.AsMemory(0, filled));
        }

        while (true)
        {
            int line;
            while ((line = buffer.AsSpan(start, end - start).IndexOf("\r\n"u8)) < 0)
                await FillAsync(cancellation);
            if (!Utf8Parser.TryParse(buffer.AsSpan(start, line), out int size, out _, 'x'))
                throw new LostAnswerException("a frame without a size");
            start += line + 2;
            for (var rest = size; rest > 0;)
            {
                await NeedAsync(cancellation);
                Seen(ref firstByte);
                var taken = Math.Min(end - start, rest);
                filled = Take(filled, taken);
                rest -= taken;
            }

            while (end - start < 2)
                await FillAsync(cancellation);
            start += 2;
            if (size == 0)
                return new RawAnswer(status, firstByte, body.AsMemory(0, filled));
        }
    }

    public void Dispose() => socket.Dispose();

    /// <summary>A request as bytes.</summary>
    public static byte[] Post(Uri to, string path, ReadOnlySpan<byte> body, string? headers = null, string type = "application/json")
    {
        var head = Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: {to.Authority}\r\nContent-Type: {type}\r\n{headers}Content-Length: {body.Length}\r\n\r\n");
        return [.. head, .. body];
    }

    private void Seen(ref long firstByte)
    {
        if (firstByte != 0)
            return;
        firstByte = Stopwatch.GetTimestamp();
        OnFirstByte?.Invoke();
    }

    private int Take(int filled, int count)
    {
        if (filled + count > body.Length)
            Array.Resize(ref body, Math.Max(body.Length * 2, filled + count));
        buffer.AsSpan(start, count).CopyTo(body.AsSpan(filled));
        start += count;
        return filled + count;
    }

    private ValueTask NeedAsync(CancellationToken cancellation) => start < end ? default : FillAsync(cancellation);

    private async ValueTask FillAsync(CancellationToken cancellation)
    {
        if (start == end)
            start = end = 0;
        if (end == buffer.Length)
        {
            buffer.AsSpan(start, end - start).CopyTo(buffer);
            end -= start;
            start = 0;
        }

        var read = end == buffer.Length ? 0 : await socket.ReceiveAsync(buffer.AsMemory(end), cancellation);
        if (read == 0)
            throw new LostAnswerException("the connection ended in the middle of an answer");
        end += read;
    }

    private static (int Status, int Length, bool IsChunked) Head(ReadOnlySpan<byte> head)
    {
        if (!head.StartsWith("HTTP/1.1 "u8) || !Utf8Parser.TryParse(head[9..12], out int status, out _))
            throw new LostAnswerException("no answer of HTTP/1.1");
        var (length, isChunked) = (0, false);
        foreach (var range in head.Split("\r\n"u8))
        {
            var line = head[range];
            if (StartsWith(line, "content-length:"u8) && !Utf8Parser.TryParse(line["content-length:".Length..].Trim((byte)' '), out length, out _))
                throw new LostAnswerException("a length that is none");
            if (StartsWith(line, "transfer-encoding:"u8))
                isChunked = true;
        }

        return (status, length, isChunked);

        static bool StartsWith(ReadOnlySpan<byte> line, ReadOnlySpan<byte> name) =>
            line.Length >= name.Length && Ascii.EqualsIgnoreCase(line[..name.Length], name);
    }
}

/// <summary>An answer that did not come whole, or was none.</summary>
internal sealed class LostAnswerException(string what) : Exception(what);
