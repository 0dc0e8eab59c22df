// The path of one request of envelope v1, steps 3 to 9 of docs/architecture.md; spec/envelope-v1.md section 9 orders its refusals.
using ConfidentialChat.Gateway.Auth;
using ConfidentialChat.Gateway.Errors;
using ConfidentialChat.Gateway.Relay;
using ConfidentialChat.Hosting.Bodies;
using ConfidentialChat.Protocol.Errors;
using ConfidentialChat.Protocol.V1;

namespace ConfidentialChat.Gateway.V1;

/// <summary>Serves one row of <see cref="EnvelopeEndpoint.Table"/>.</summary>
internal sealed class ConfidentialRequest(
    EnvelopeEndpoint endpoint,
    InFlight inFlight,
    RefusedBytes refused,
    FiveFieldForm olderForm,
    Admission admission,
    NodeRelay relay,
    GatewayOptions options,
    TimeProvider time)
{
    /// <summary>
    /// What the whole envelope has beyond the older form: a key, a number, a model's name
    /// of 256 signs with each escaped, and the writer's own reserve.
    /// </summary>
    private const int AddedBytes = 16 * 1024;

    private readonly RelayRoute route = new()
    {
        Path = endpoint.Path,
        Endpoint = endpoint.Path,
        RequestType = "application/json",
        AnswerTypes = endpoint.Inference.MayStream ? ["application/json", "text/event-stream"] : ["application/json"],
        ReadRefusal = Rejection.TryParse,
    };

    public async ValueTask<IResult> HandleAsync(HttpContext context, Caller caller)
    {
        // 3 who calls: Callers has asked
        if (refused.Wait(caller.User) is { } wait)
            return new ErrorAnswer(new Rejection(RequestError.TooManyRequests), (int)Math.Ceiling(wait.TotalSeconds));

        // 4 a place, the body as it came, and its outer fields; the ciphertext stays closed
        using var place = inFlight.TryEnter(caller.User);
        if (place is null)
            return new ErrorAnswer(RequestError.TooManyRequests);
        var (body, fault) = await RequestBody.ReadAsync(context, new BodyLimits(options.MaxBodyBytes, options.UploadTimeout), place.Room, time);
        if (body is null)
            return fault!;
        using var received = body;
        if (EnvelopeOutline.TryParse(body.Span, out var outline, out var rejection))
            return await AdmitAsync(context, caller, place, outline, body);

        // The older form does not say where it goes. The node is sent the whole one.
        if (!FiveFieldRequest.TryParseInPlace(body.Memory, out var older, out _) || await olderForm.CompleteAsync(caller, older) is not { } envelope)
        {
            refused.Count(caller.User, body.Length);
            return new ErrorAnswer(rejection);
        }

        outline = EnvelopeOutline.Of(envelope);
        using var whole = ReceivedBody.TryBegin(body.Length + AddedBytes, place.Room, isSmall: body.Length + AddedBytes <= BodyBudget.SmallBytes);
        if (whole is null || !whole.TryTakeFor(body.Length + AddedBytes))
            return new ErrorAnswer(RequestError.TooManyRequests);
        envelope.Write(whole);
        body.Dispose();
        return await AdmitAsync(context, caller, place, outline, whole);
    }

    private async Task<IResult> AdmitAsync(HttpContext context, Caller caller, InFlight.Place place, EnvelopeOutline outline, ReceivedBody body)
    {
        // 5 the lock, 6 the units
        var (admitted, refusal) = await admission.AdmitAsync(context.Name(), caller, route, outline, endpoint.Inference.DefaultUnits);
        if (admitted is null)
            return new ErrorAnswer(refusal!);

        // 7 to 9 the node, its answer as it comes, and what becomes of the units
        place.Begin(admitted.Reservation.Request);
        await using var sent = new HeldBody(body);
        return await relay.SendAsync(context, admitted, sent);
    }
}
