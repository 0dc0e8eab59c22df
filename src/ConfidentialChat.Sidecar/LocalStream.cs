// spec/sidecar.md section 4: server-sent events, WHATWG HTML section 9.2.
using System.Buffers;
using System.Collections.Frozen;
using System.IO.Pipelines;
using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Protocol;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Sidecar;

/// <summary>
/// Writes a stream's events as they are opened. What a client takes for the end goes out only when the end has authenticated; a stream without
/// one ends in an error of its API, and with a connection that breaks.
/// </summary>
internal static class LocalStream
{
    /// <summary>Written without a wait at the most, bytes: a reader that is slow slows the node down, and fills no memory.</summary>
    private const int MostUnflushed = 64 * 1024;

    /// <summary>The names of last events, of the APIs whose events have names.</summary>
    private static readonly FrozenSet<string> Last =
        FrozenSet.Create(StringComparer.Ordinal, "message_stop", "response.completed", "response.incomplete", "response.failed");

    public static async Task WriteAsync(HttpContext context, InferenceEndpointRow row, OpenedAnswer answer)
    {
        var (writer, shape, isNamed) = (context.Response.BodyWriter, ApiShapes.Of(context), row.HasNamedEvents);
        AnswerHeaders.Say(context, answer);
        context.Response.Headers["X-Accel-Buffering"] = "no"; // nginx would keep it back
        await context.Response.StartAsync(context.RequestAborted);
        (string? Name, byte[] Data)? held = null;
        var (sent, shown) = (0L, 0);
        try
        {
            await using var events = answer.ReadEventsAsync().GetAsyncEnumerator(CancellationToken.None);
            while (true)
            {
                var next = events.MoveNextAsync();
                if (!await (next.IsCompleted && writer.UnflushedBytes <= MostUnflushed ? next : FlushAsync(writer, next, context.RequestAborted)))
                    break;
                shown++;
                if (held is { } early)
                    sent += Write(writer, early.Name, early.Data);
                var opened = events.Current;
                held = isNamed && opened.Name is { } name && Last.Contains(name) ? (name, opened.Data.ToArray()) : null;
                if (held is null)
                    sent += Write(writer, opened.Name, opened.Data.Span);
            }

            if (held is { } end)
                sent += Write(writer, end.Name, end.Data);
            if (!isNamed)
                sent += Write(writer, null, "[DONE]"u8);
            await writer.FlushAsync(context.RequestAborted);
        }
        catch (Exception e) when (SidecarRefusal.Of(e) is { } refusal && !context.RequestAborted.IsCancellationRequested)
        {
            context.NoteOutcome(refusal.Code);
            var (name, data) = refusal.ToEvent(shape, isNamed, held is null ? shown : shown - 1);
            Write(writer, name, data.Span);
            await writer.FlushAsync(context.RequestAborted);
            throw new AnswerCutException();
        }
        finally
        {
            if (context.Record() is { } record)
                record.AnswerBytes = sent;
        }
    }

    // The next event is being read meanwhile, and is waited for whatever becomes of what is written: its reader cannot be left before.
    private static async ValueTask<bool> FlushAsync(PipeWriter writer, ValueTask<bool> next, CancellationToken cancellation)
    {
        var flush = writer.FlushAsync(cancellation);
        try
        {
            return await next;
        }
        finally
        {
            await flush;
        }
    }

    private static long Write(PipeWriter writer, string? name, ReadOnlySpan<byte> data)
    {
        var before = writer.UnflushedBytes;
        if (name is not null)
        {
            writer.Write("event: "u8);
            Encoding.UTF8.GetBytes(name, writer);
            writer.Write("\n"u8);
        }

        // A line break within the data begins another line of it.
        foreach (var range in data.Split((byte)'\n'))
        {
            writer.Write("data: "u8);
            writer.Write(data[range]);
            writer.Write("\n"u8);
        }

        writer.Write("\n"u8);
        return writer.UnflushedBytes - before;
    }
}
