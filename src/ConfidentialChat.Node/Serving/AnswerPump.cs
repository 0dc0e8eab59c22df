// spec/envelope-v1.md section 8; spec/envelope-v2.md section 12.
using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ConfidentialChat.Node.Inference;

namespace ConfidentialChat.Node.Serving;

/// <summary>
/// Moves an answer from its engine to its reader as it is made, for a reader who may leave, or stop reading, while a part is still being
/// made. Disposal stops the engine.
/// </summary>
internal sealed class AnswerPump : IAsyncDisposable
{
    /// <summary>What is large goes out in pieces of this many bytes, each with the reader's full time.</summary>
    public const int Slice = 64 * 1024;

    /// <summary>Parts that are at hand already go out together up to this many bytes; nothing waits for another.</summary>
    private const int Together = 16 * 1024;

    /// <summary>Bytes of a paced stream that wait for their ticks, from which on the engine waits too.</summary>
    private const int WaitingMost = 64 * 1024;

    private readonly InferenceAnswer answer;
    private readonly HttpResponse response;
    private readonly NodeOptions options;
    private readonly TimeProvider time;
    private readonly CancellationToken gone;
    private readonly IAsyncEnumerator<AnswerPart> parts;
    private Task<bool>? asked;
    private AnswerPart? held; // not written before it is known whether another follows
    private CancellationTokenSource? pausing;
    private Task? tick;
    private long sentAt;

    /// <param name="answer">Owned from here on.</param>
    /// <param name="response">Where it goes.</param>
    /// <param name="options">The times.</param>
    /// <param name="time">The clock.</param>
    public AnswerPump(InferenceAnswer answer, HttpResponse response, NodeOptions options, TimeProvider time)
    {
        this.answer = answer;
        this.response = response;
        this.options = options;
        this.time = time;
        gone = response.HttpContext.RequestAborted;
        parts = answer.ReadPartsAsync(gone).GetAsyncEnumerator(gone);
    }

    /// <summary>Waits for the first part; false where there is none.</summary>
    /// <exception cref="OperationCanceledException">The caller is gone, whatever the engine makes of it.</exception>
    public async ValueTask<bool> BeginAsync()
    {
        var asking = parts.MoveNextAsync();
        if (asking.IsCompleted)
            return await asking;
        asked = asking.AsTask();
        await ((Task)asked).WaitAsync(gone).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return await TakeAsync();
    }

    /// <summary>Writes everything from the first part on.</summary>
    /// <exception cref="OperationCanceledException">The caller is gone, whatever the engine makes of it.</exception>
    /// <exception cref="CallerGoneException">The connection broke.</exception>
    /// <exception cref="ReaderTooSlowException">The reader took nothing for too long.</exception>
    public Task RunAsync(IAnswerWriter writer) => writer switch
    {
        { IsWhole: true } => WriteWholeAsync(writer),
        IPacedWriter paced => WritePacedAsync(paced),
        _ => WriteStreamAsync(writer),
    };

    public async ValueTask DisposeAsync()
    {
        // An enumerator may be neither asked nor disposed of while it is being asked: stopping the engine ends the asking.
        await answer.DisposeAsync();
        if (asked is not null)
            await ((Task)asked).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await parts.DisposeAsync();
        if (held is { } part)
            Clear(part);
        if (pausing is not null)
        {
            await pausing.CancelAsync();
            pausing.Dispose();
        }
    }

    private async Task WriteWholeAsync(IAnswerWriter writer)
    {
        var body = new ArrayBufferWriter<byte>(parts.Current.Data.Length * 2);
        writer.Write(parts.Current, isLast: true, body);
        Clear(parts.Current);
        response.ContentLength = body.WrittenCount;
        for (var rest = body.WrittenMemory; rest.Length > 0; rest = rest[Math.Min(rest.Length, Slice)..])
        {
            response.BodyWriter.Write(rest.Span[..Math.Min(rest.Length, Slice)]);
            await SendAsync();
        }
    }

    private async Task WriteStreamAsync(IAnswerWriter writer)
    {
        var isUnsent = false;
        for (var isMore = true; isMore;)
        {
            var size = 0;
            isUnsent = true;
            do
            {
                var part = parts.Current;
                size += part.Data.Length;
                await WriteHeldAsync(writer, isLast: false);
                if (writer.MayBeLast(part))
                    held = part;
                else
                    await WriteAsync(writer, part, isLast: false);
                var asking = parts.MoveNextAsync();
                if (asking.IsCompletedSuccessfully)
                    isMore = await asking;
                else
                    asked = asking.AsTask();
            }
            while (isMore && asked is null && size < Together);

            // What is sealed goes out before anything is waited for, also before a failure that is at hand already.
            if (isMore)
            {
                await SendAsync();
                isUnsent = false;
            }

            if (asked is not null)
                isMore = await NextAsync(writer, asked);
        }

        isUnsent |= held is not null;
        await WriteHeldAsync(writer, isLast: true);
        try
        {
            isUnsent |= writer.TryEnd(response.BodyWriter);
        }
        catch (InferenceException) when (isUnsent)
        {
            await SendAsync();
            throw;
        }

        if (isUnsent)
            await SendAsync();
    }

    // A chunk on each tick, whatever came since the last. The engine is read on while little waits, and its failure waits behind what it said.
    private async Task WritePacedAsync(IPacedWriter writer)
    {
        using var ticks = new PeriodicTimer(writer.Pace, time);
        Put(writer, parts.Current);
        var isMore = true;
        InferenceException? failure = null;
        do
        {
            writer.WriteTick();
            await SendAsync();
            var tick = ticks.WaitForNextTickAsync(gone).AsTask();
            try
            {
                while (!tick.IsCompleted && isMore && writer.Waiting < WaitingMost)
                {
                    asked ??= parts.MoveNextAsync().AsTask();
                    if (!asked.IsCompleted)
                        await Task.WhenAny(asked, tick);
                    else if (isMore = await TakeAsync())
                        Put(writer, parts.Current);
                    else
                        writer.PutEnd(response.BodyWriter);
                }
            }
            catch (InferenceException e)
            {
                (isMore, failure) = (false, e);
            }

            await tick;
        }
        while (isMore || writer.Waiting > 0);
        if (failure is not null)
            throw failure;
        if (writer.TryEnd(response.BodyWriter))
            await SendAsync();
    }

    private void Put(IPacedWriter writer, AnswerPart part)
    {
        writer.Write(part, isLast: false, response.BodyWriter);
        while (writer.HasRest)
            writer.WriteRest(response.BodyWriter);
        Clear(part);
    }

    private ValueTask WriteHeldAsync(IAnswerWriter writer, bool isLast)
    {
        if (held is not { } part)
            return default;
        held = null;
        return WriteAsync(writer, part, isLast);
    }

    private ValueTask WriteAsync(IAnswerWriter writer, AnswerPart part, bool isLast)
    {
        writer.Write(part, isLast, response.BodyWriter);
        if (writer.HasRest)
            return WriteRestAsync(writer, part);
        Clear(part);
        return default;
    }

    private async ValueTask WriteRestAsync(IAnswerWriter writer, AnswerPart part)
    {
        try
        {
            while (writer.HasRest)
            {
                await SendAsync();
                writer.WriteRest(response.BodyWriter);
            }
        }
        finally
        {
            Clear(part);
        }
    }

    private static void Clear(AnswerPart part) => CryptographicOperations.ZeroMemory(MemoryMarshal.AsMemory(part.Data).Span);

    // One timer for each pause of an answer, not for each part: it is set anew for what is left of the pause when it ends.
    private async ValueTask<bool> NextAsync(IAnswerWriter writer, Task<bool> pending)
    {
        while (!pending.IsCompleted)
        {
            pausing ??= CancellationTokenSource.CreateLinkedTokenSource(gone);
            tick ??= Task.Delay(options.KeepAlive - Silence(), time, pausing.Token);
            await Task.WhenAny(pending, tick);
            if (pending.IsCompleted || !tick.IsCompleted)
                continue;
            gone.ThrowIfCancellationRequested();
            tick = null;
            if (Silence() < options.KeepAlive)
                continue;
            writer.KeepAlive(response.BodyWriter);
            await SendAsync();
        }

        return await TakeAsync();
    }

    private TimeSpan Silence() => time.GetElapsedTime(sentAt) is var silence && silence < options.KeepAlive ? silence : options.KeepAlive;

    private async ValueTask<bool> TakeAsync()
    {
        if (!asked!.IsCompleted)
            gone.ThrowIfCancellationRequested();
        var answered = asked;
        asked = null;
        return await answered;
    }

    // What the reader does not take waits in a bounded pipe; once that is full, the flush waits for the reader, and not for ever.
    private async ValueTask SendAsync()
    {
        var sending = response.BodyWriter.FlushAsync(gone);
        var sent = sending.IsCompleted ? await sending : await WaitForReaderAsync(sending.AsTask());
        if (sent.IsCompleted)
            throw new CallerGoneException();
        gone.ThrowIfCancellationRequested();
        sentAt = time.GetTimestamp();
    }

    private async Task<FlushResult> WaitForReaderAsync(Task<FlushResult> sending)
    {
        try
        {
            return await sending.WaitAsync(options.ReaderTimeout, time, gone);
        }
        catch (TimeoutException)
        {
            throw new ReaderTooSlowException();
        }
    }
}

/// <summary>Puts the parts of one answer under its envelope.</summary>
internal interface IAnswerWriter
{
    /// <summary>Whether the first part is all, and the length of the sealed answer is announced.</summary>
    bool IsWhole { get; }

    /// <summary>
    /// Whether this part has to wait until it is known if another follows. No part of an answer in the making: a reader who has to wait
    /// for the next word sees each one late.
    /// </summary>
    bool MayBeLast(AnswerPart part);

    /// <summary>Writes one part.</summary>
    /// <exception cref="InferenceException">The envelope does not carry such a part.</exception>
    void Write(AnswerPart part, bool isLast, IBufferWriter<byte> output);

    /// <summary>Whether the part is too large to go out at once: what was written is to be sent before the rest, and until then the part is in use.</summary>
    bool HasRest => false;

    /// <summary>Writes on, by <see cref="AnswerPump.Slice"/> bytes or to the part's end.</summary>
    void WriteRest(IBufferWriter<byte> output)
    {
    }

    /// <summary>Writes what says only that the answer goes on; nothing where the envelope has no such thing.</summary>
    void KeepAlive(IBufferWriter<byte> output);

    /// <summary>Writes what says that no part follows; false where the envelope has no such thing.</summary>
    /// <exception cref="InferenceException">The envelope cannot end after the last that came.</exception>
    bool TryEnd(IBufferWriter<byte> output);
}

/// <summary>Puts the parts of one stream under its envelope on ticks alone: what is written waits for one.</summary>
internal interface IPacedWriter : IAnswerWriter
{
    /// <summary>Between two ticks.</summary>
    TimeSpan Pace { get; }

    /// <summary>Bytes that wait for a tick.</summary>
    int Waiting { get; }

    /// <summary>Puts what ends the stream's content behind what waits.</summary>
    /// <exception cref="InferenceException">The envelope cannot end after the last that came.</exception>
    void PutEnd(IBufferWriter<byte> output);

    /// <summary>Writes what one tick has.</summary>
    void WriteTick();
}

/// <summary>The reader of an answer took nothing of it for too long. The write is still pending: abort the connection.</summary>
internal sealed class ReaderTooSlowException() : Exception("The reader took nothing for too long.");

/// <summary>The connection broke.</summary>
internal sealed class CallerGoneException() : Exception("The caller is gone.");
