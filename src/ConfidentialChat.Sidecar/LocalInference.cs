// spec/sidecar.md sections 2 to 4.
using ConfidentialChat.Client;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Hosting.Connections;
using ConfidentialChat.Protocol;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Sidecar.Errors;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace ConfidentialChat.Sidecar;

/// <summary>Takes one request in plain, has it sealed to a verified node, and hands its opened answer on as it comes.</summary>
internal sealed class LocalInference(
    ConfidentialChatClient client, RequestPlaces places, BodyShare room, LocalModels models, NodeVerdicts verdicts, SidecarOptions options, TimeProvider time)
{
    private const string Json = "application/json";

    public async Task HandleAsync(HttpContext context, InferenceEndpointRow row)
    {
        // 1 a place
        if (!places.TryEnter())
        {
            await SidecarRefusal.Of(SidecarError.TooManyRequests).WriteAsync(context);
            return;
        }

        try
        {
            await AskAsync(context, row);
        }
        finally
        {
            places.Leave();
        }
    }

    private async Task AskAsync(HttpContext context, InferenceEndpointRow row)
    {
        // 2 the body, as it came
        var (body, fault) = await ReadAsync(context);
        if (body is null)
        {
            await SidecarRefusal.Of(fault).WriteAsync(context);
            return;
        }

        // 3 sealed to a verified node, or not sent at all
        OpenedAnswer answer;
        long? estimate = row.Endpoint is InferenceEndpoint.CountTokens ? TokenEstimate.Of(body.Span) : null;
        var record = context.Record();
        try
        {
            using (body)
            {
                if (record is not null)
                    record.BodyBytes = body.Length;
                answer = await client.SendAsync(row.Endpoint, body.Memory, Call(context, row), context.RequestAborted);
            }
        }
        catch (NodeApiException e) when (estimate is { } tokens && e.Code == RequestError.EndpointNotServed.Row().Code)
        {
            await TokenEstimate.WriteAsync(context, tokens);
            return;
        }
        catch (Exception e) when (SidecarRefusal.Of(e) is { } refusal)
        {
            await (await models.ExplainAsync(refusal, context.RequestAborted)).WriteAsync(context);
            return;
        }

        // 4 opened as it comes
        await using (answer)
        {
            if (record is not null)
                record.Began = time.GetTimestamp();
            if (answer.Request is { } id)
                context.TraceIdentifier = id.ToString();
            if (answer.IsStream)
                await LocalStream.WriteAsync(context, row, answer);
            else
                await WriteWholeAsync(context, answer);
        }
    }

    private CallOptions Call(HttpContext context, InferenceEndpointRow row) => new()
    {
        AnthropicVersion = row.Api is InferenceApi.Messages ? Joined(context.Request.Headers["anthropic-version"]) : null,
        AnthropicBeta = row.Api is InferenceApi.Messages ? Joined(context.Request.Headers["anthropic-beta"]) : null,
        OnNode = node =>
        {
            verdicts.Note(node);
            if (context.Record() is { } record)
                record.Node = node.Id;
        },
    };

    private static string? Joined(StringValues values) => values.Count == 0 ? null : string.Join(',', values.ToArray());

    private static async Task WriteWholeAsync(HttpContext context, OpenedAnswer answer)
    {
        ReadOnlyMemory<byte> whole;
        try
        {
            whole = await answer.ReadWholeAsync(); // nothing is shown of an answer that is not whole
        }
        catch (Exception e) when (SidecarRefusal.Of(e) is { } refusal)
        {
            await refusal.WriteAsync(context);
            return;
        }

        AnswerHeaders.Say(context, answer);
        context.Response.ContentLength = whole.Length;
        if (context.Record() is { } record)
            record.AnswerBytes = whole.Length;
        await context.Response.BodyWriter.WriteAsync(whole, context.RequestAborted);
    }

    private async ValueTask<(ReceivedBody? Body, SidecarError Fault)> ReadAsync(HttpContext context)
    {
        var request = context.Request;
        if (!PackedBody.TryKnow(request.Headers.ContentEncoding, out var coding) || !IsJson(request.ContentType))
            return (null, SidecarError.UnsupportedMediaType);
        context.Recognise(options.MaxBodyBytes);
        PackedBody? packed = null;
        try
        {
            if (coding is not null && (packed = PackedBody.TryUnpack(context, coding, room)) is null)
                return (null, SidecarError.TooManyRequests);
            var (body, fault) = await BodyReader.ReadAsync(context, new BodyLimits(options.MaxBodyBytes, options.UploadTimeout), room, time);
            return (body, fault switch
            {
                BodyFault.TooLarge => SidecarError.BodyTooLarge,
                BodyFault.TooSlow => SidecarError.BodyTooSlow,
                _ => SidecarError.TooManyRequests,
            });
        }
        catch (Exception e) when ((packed is not null && PackedBody.IsBroken(e)) || (e is IOException and not BadHttpRequestException))
        {
            context.Response.Headers.Connection = "close"; // nobody knows where the next request would begin
            return (null, SidecarError.InvalidRequest);
        }
        finally
        {
            packed?.Dispose();
        }
    }

    // Also: a page can send other types than this one without asking its browser first.
    private static bool IsJson(string? contentType) =>
        string.Equals(contentType, Json, StringComparison.OrdinalIgnoreCase)
        || (MediaTypeHeaderValue.TryParse(contentType, out var type) && type.MediaType.Equals(Json, StringComparison.OrdinalIgnoreCase));
}
