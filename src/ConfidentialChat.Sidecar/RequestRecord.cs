// spec/sidecar.md section 6.
using ConfidentialChat.Hosting;
using ConfidentialChat.Protocol;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ConfidentialChat.Sidecar;

/// <summary>What is known of one request for its line in the log and for the counters: sizes, times, codes.</summary>
internal sealed class RequestRecord
{
    public long BodyBytes { get; set; }

    public long AnswerBytes { get; set; }

    /// <summary>Whom it was sealed to last.</summary>
    public NodeId? Node { get; set; }

    /// <summary>Of the table; null where all went well.</summary>
    public string? Code { get; set; }

    /// <summary>When its answer began; null where none did.</summary>
    public long? Began { get; set; }
}

/// <summary>The first of all: counts every request, and says in the log what became of it.</summary>
internal sealed class RequestRecorder(
    RequestDelegate next, SidecarMetrics metrics, SidecarOptions options, Seldom seldom, TimeProvider time, ILogger<RequestRecorder> log)
{
    public async Task InvokeAsync(HttpContext context)
    {
        var began = time.GetTimestamp();
        var record = new RequestRecord();
        context.TraceIdentifier = RequestId.New().ToString();
        context.Features.Set(record);
        var isCut = false;
        try
        {
            await next(context);
        }
        catch (AnswerCutException)
        {
            isCut = true;
            throw;
        }
        finally
        {
            var status =
                context.RequestAborted.IsCancellationRequested ? AnswerStatus.Gone
                : isCut ? AnswerStatus.Cut
                : SidecarMetrics.ClassOf(context.Response.StatusCode);
            metrics.Note(context.Request.Path, status, record, began, time.GetTimestamp());
            Say(context, record, status, time.GetElapsedTime(began));
        }
    }

    private void Say(HttpContext context, RequestRecord record, AnswerStatus status, TimeSpan took)
    {
        if (InferenceEndpoints.OfPath(context.Request.Path.Value ?? "") is not { } row)
            return;
        var isFault = status is AnswerStatus.ServerError or AnswerStatus.Cut;
        if (!(isFault ? seldom.Says("Requests that failed") : options.LogRequests))
            return;
        log.Asked(
            isFault ? LogLevel.Warning : LogLevel.Information, context.TraceIdentifier, row.Path, record.Node?.ToString() ?? "-", record.BodyBytes,
            record.Code ?? (status is AnswerStatus.Gone ? "left by its caller" : "answered"), (long)took.TotalMilliseconds);
    }
}

internal static class RequestRecords
{
    public static RequestRecord? Record(this HttpContext context) => context.Features.Get<RequestRecord>();

    public static void NoteOutcome(this HttpContext context, string code)
    {
        if (context.Record() is { } record)
            record.Code ??= code;
    }
}
