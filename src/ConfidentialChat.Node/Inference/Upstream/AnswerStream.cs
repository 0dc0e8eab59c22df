// spec/inference.md sections 6 and 7.
using System.Buffers;

namespace ConfidentialChat.Node.Inference.Upstream;

/// <summary>An answer's bytes, and no more of them than were allowed: in all, and since the last event.</summary>
internal sealed class AnswerStream(Stream inner, long totalMax, long eventMax) : Stream
{
    private const int ErrorMax = UpstreamError.BodyMax;

    private long total;
    private long sinceEvent;
    private int matched; // bytes of the error field's name with which the line begins; -1 where it begins otherwise
    private ArrayBufferWriter<byte>? error;

    /// <summary>
    /// What stood in a field named <c>error</c>: llama-server wrote its faults so, where events have <c>data</c>, and whoever reads events
    /// passes such a field over. Null where there was none.
    /// </summary>
    public byte[]? ErrorField => error?.WrittenSpan.ToArray();

    private static ReadOnlySpan<byte> ErrorName => "error:"u8;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>An event is complete; what was read beyond it counts to the next.</summary>
    public void EndEvent() => sinceEvent = 0;

    /// <exception cref="AnswerTooLargeException">It is too much.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = await inner.ReadAsync(buffer, cancellationToken);
        total += read;
        sinceEvent += read;
        NoteLines(buffer.Span[..read]);
        return total <= totalMax && sinceEvent <= eventMax ? read : throw new AnswerTooLargeException();
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            inner.Dispose();
        base.Dispose(disposing);
    }

    private void NoteLines(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (matched >= 0 && matched < ErrorName.Length)
            {
                if (bytes[0] == ErrorName[matched])
                {
                    matched++;
                    bytes = bytes[1..];
                    continue;
                }

                matched = -1;
            }

            var end = bytes.IndexOfAny((byte)'\n', (byte)'\r');
            if (matched == ErrorName.Length)
            {
                error ??= new ArrayBufferWriter<byte>();
                var line = end < 0 ? bytes : bytes[..end];
                error.Write(line[..Math.Min(line.Length, ErrorMax - error.WrittenCount)]);
            }

            if (end < 0)
                return;
            matched = 0;
            bytes = bytes[(end + 1)..];
        }
    }
}

/// <summary>An engine's answer or one of its events is larger than allowed.</summary>
internal sealed class AnswerTooLargeException() : Exception("The answer is larger than allowed.");
