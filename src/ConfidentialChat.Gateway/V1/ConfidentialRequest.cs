// The path of one request of envelope v1, steps 3 to 9 of docs/architecture.md; spec/envelope-v1.md section 9 orders its refusals.
using System.Buffers;
using System.Runtime.InteropServices;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Gateway.V1;

/// <summary>Serves one row of <see cref="EnvelopeEndpoint.Table"/>.</summary>
internal sealed class ConfidentialRequest(
    EnvelopeEndpoint endpoint, InFlight inFlight, RefusedBytes refused, FiveFieldForm olderForm, Admission admission, NodeRelay relay, GatewayOptions options)
{
    private readonly RelayRoute route = new(
        endpoint.Path,
        "application/json",
        endpoint.Inference.MayStream ? ["application/json", "text/event-stream"] : ["application/json"],
        Rejection.TryParse);

    public async ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        // 3 who calls: Callers has asked
        if (refused.Wait(caller.User) is { } wait)
            return new ErrorAnswer(new Rejection(RequestError.TooManyRequests), (int)Math.Ceiling(wait.TotalSeconds));

        // 4 a place, the body as it came, and its outer fields; the ciphertext stays closed
        using var place = inFlight.TryEnter(caller.User, Math.Min(context.Request.ContentLength ?? options.MaxBodyBytes, options.MaxBodyBytes));
        if (place is null)
            return new ErrorAnswer(RequestError.TooManyRequests);
        var (body, fault) = await RequestBody.ReadAsync(context, new BodyLimits(options.MaxBodyBytes, options.UploadTimeout));
        if (fault is not null)
            return fault;
        place.Shrink(body.Count);
        if (!EnvelopeOutline.TryParse(body, out var outline, out var rejection))
        {
            // The older form does not say where it goes. The node is sent the whole one.
            if (!FiveFieldRequest.TryParse(body, out var older, out _) || await olderForm.CompleteAsync(caller, older) is not { } envelope)
            {
                refused.Count(caller.User, body.Count);
                return new ErrorAnswer(rejection);
            }

            outline = EnvelopeOutline.Of(envelope);
            body = Write(envelope);
        }

        // 5 the lock, 6 the units
        var (admitted, refusal) = await admission.AdmitAsync(caller, route, outline, endpoint.Inference.DefaultUnits);
        if (admitted is null)
            return new ErrorAnswer(refusal);

        // 7 to 9 the node, its answer as it comes, and what becomes of the units
        place.Begin(admitted.Reservation.Request);
        return await relay.SendAsync(context, admitted, body);
    }

    private static ArraySegment<byte> Write(EnvelopeRequest envelope)
    {
        var body = new ArrayBufferWriter<byte>();
        envelope.Write(body);
        return MemoryMarshal.TryGetArray(body.WrittenMemory, out var segment) ? segment : body.WrittenSpan.ToArray();
    }
}
