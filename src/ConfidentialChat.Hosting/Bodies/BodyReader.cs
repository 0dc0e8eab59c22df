// spec/gateway.md section 8 rule 2.
using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;

namespace ConfidentialChat.Hosting.Bodies;

/// <summary>What a body may be.</summary>
/// <param name="MaxBytes">The largest.</param>
/// <param name="Time">The longest that it may take, however large it is.</param>
internal readonly record struct BodyLimits(int MaxBytes, TimeSpan Time);

/// <summary>Why a body was not read to its end.</summary>
internal enum BodyFault
{
    None,
    TooLarge,

    /// <summary>Behind the least rate, or beyond its time.</summary>
    TooSlow,

    NoRoom,
}

/// <summary>Reads the body of a request, whole and exactly as it came.</summary>
internal static class BodyReader
{
    /// <summary>What a server is to let a connection hold before anybody reads from it, beside a request's head: a small body may wait there whole.</summary>
    public const int ConnectionBytes = BodyBudget.SmallBytes;

    /// <summary>Reads it into room of the payer's.</summary>
    /// <param name="context">The request. Where its body is too slow, its connection is told to close.</param>
    /// <param name="limits">What it may be.</param>
    /// <param name="room">Pays for the memory.</param>
    /// <param name="time">The clock.</param>
    /// <returns>The body, which its taker disposes of, or the fault.</returns>
    /// <exception cref="IOException">The connection broke, the body breaks off, or the server itself refuses it.</exception>
    /// <exception cref="OperationCanceledException">The caller is gone.</exception>
    public static ValueTask<(ReceivedBody? Body, BodyFault Fault)> ReadAsync(HttpContext context, BodyLimits limits, BodyShare room, TimeProvider time)
    {
        var length = context.Request.ContentLength;
        if (length > limits.MaxBytes)
            return new((null, BodyFault.TooLarge));
        if (length is { } known && !room.HasRoom(known, known <= BodyBudget.SmallBytes))
            return new((null, BodyFault.NoRoom));
        return length is > 0 and <= BodyBudget.SmallBytes && TryTake(context.Request.BodyReader, (int)length, room, out var taken)
            ? new(taken)
            : ReadOnAsync(context, limits, room, time);
    }

    // Most bodies are here with their head: no clock has to be set for them.
    private static bool TryTake(PipeReader reader, int length, BodyShare room, out (ReceivedBody? Body, BodyFault Fault) taken)
    {
        taken = default;
        if (!reader.TryRead(out var result))
            return false;
        var isWhole = result.Buffer.Length == length;
        if (isWhole)
        {
            var body = ReceivedBody.TryCopy(result.Buffer, room);
            taken = (body, body is null ? BodyFault.NoRoom : BodyFault.None);
        }

        reader.AdvanceTo(isWhole ? result.Buffer.End : result.Buffer.Start);
        return isWhole;
    }

    private static async ValueTask<(ReceivedBody? Body, BodyFault Fault)> ReadOnAsync(HttpContext context, BodyLimits limits, BodyShare room, TimeProvider time)
    {
        var length = context.Request.ContentLength;
        if (ReceivedBody.TryBegin((int)(length ?? limits.MaxBytes), room, isSmall: length is null or <= BodyBudget.SmallBytes) is not { } body)
            return (null, BodyFault.NoRoom);
        var fault = BodyFault.NoRoom;
        try
        {
            fault = await FillAsync(context, body, limits, time);
        }
        finally
        {
            if (fault is not BodyFault.None)
                body.Dispose();
        }

        if (fault is BodyFault.None)
            return (body, fault);
        if (fault is BodyFault.TooSlow)
            context.Response.Headers.Connection = "close"; // else the server reads the rest for a while, so that its sender sees the answer
        return (null, fault);
    }

    private static async Task<BodyFault> FillAsync(HttpContext context, ReceivedBody body, BodyLimits limits, TimeProvider time)
    {
        var pace = new BodyPace(limits, time);
        using var late = new CancellationTokenSource(pace.Left(0), time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
        var reader = context.Request.BodyReader;
        try
        {
            while (true)
            {
                var result = await reader.ReadAsync(either.Token);
                var isTooLarge = body.Length + result.Buffer.Length > limits.MaxBytes;
                var isTaken = !isTooLarge && body.TryAppend(result.Buffer);
                reader.AdvanceTo(result.Buffer.End);
                if (!isTaken)
                    return isTooLarge ? BodyFault.TooLarge : BodyFault.NoRoom;
                if (result.IsCompleted)
                    return BodyFault.None;

                var left = pace.Left(body.Length);
                if (left <= TimeSpan.Zero)
                    return BodyFault.TooSlow;
                late.CancelAfter(left);
            }
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
        {
            return BodyFault.TooSlow;
        }
    }
}
