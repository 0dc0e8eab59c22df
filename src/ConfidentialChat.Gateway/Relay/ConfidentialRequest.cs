// The path of one request, top to bottom; spec/envelope-v1.md section 9 orders its refusals.
using System.Buffers;
using System.Runtime.InteropServices;
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Locks;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Gateway.Relay;

/// <summary>Serves every row of <see cref="EnvelopeEndpoint.Table"/>.</summary>
internal static class ConfidentialRequest
{
    public static async Task<IResult> HandleAsync(
        HttpContext context,
        EnvelopeEndpoint endpoint,
        InFlight inFlight,
        OpenLocks locks,
        Admission admission,
        NodeRelay relay,
        GatewayOptions options)
    {
        // 1 who calls: the filter of the route has asked
        var caller = Caller.Of(context);

        // 2 a place, then the body as it came: its bytes go to the node unchanged
        using var place = inFlight.TryEnter(caller.User, Math.Min(context.Request.ContentLength ?? options.MaxBodyBytes, options.MaxBodyBytes));
        if (place is null)
            return new ErrorAnswer(RequestError.TooManyRequests);
        var (body, fault) = await RequestBody.ReadAsync(context, options.MaxBodyBytes);
        if (fault is not null)
            return fault;
        place.Shrink(body.Count);

        // 3 the outer fields; the ciphertext stays closed
        if (!EnvelopeRequest.TryParse(body, out var envelope, out var rejection))
        {
            // The older form does not say where it goes. The node is sent the whole one.
            if (!FiveFieldRequest.TryParse(body, out var older, out _))
                return new ErrorAnswer(rejection);
            envelope = await locks.CompleteAsync(caller, older, context.RequestAborted);
            if (envelope is null)
                return new ErrorAnswer(rejection);
            body = Write(envelope);
        }

        // 4 stack, model, node key, lock, units
        var (admitted, refusal) = await admission.AdmitAsync(caller, endpoint, envelope, context.RequestAborted);
        if (admitted is null)
            return new ErrorAnswer(refusal);

        // 5 the node, and its answer as it comes
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
